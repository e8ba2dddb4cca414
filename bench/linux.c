/* SPDX-License-Identifier: MIT */
/*
 * linux.c - the entry of the Linux port's benchmark.
 *
 *     bench-linux [relabel] [bandwidth] [stall] [plug] [fork] [tier]      no argument: everything
 *
 * It only chooses the parts; what they share is linux_pool.c's.
 */
#include <stdio.h>
#include <string.h>

#include "linux.h"

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} parts[] = {
		{ "relabel", bench_relabel },
		{ "bandwidth", bench_bandwidth },
		{ "stall", bench_stall },
		{ "plug", bench_plug },
		{ "fork", bench_fork },
		{ "tier", bench_tier },
	};
	bool known = argc < 2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
		bool wanted = argc < 2;
		for (int i = 1; i < argc; i++)
			wanted |= strcmp(argv[i], parts[p].name) == 0;
		if (wanted)
			parts[p].run();
		known |= wanted;
	}
	if (!known)
		fprintf(stderr, "usage: bench-linux [relabel] [bandwidth] [stall] [plug] [fork] "
				"[tier]\n");
	return known ? 0 : 2;
}
