/* SPDX-License-Identifier: MIT */
/*
 * bench.c - the entry of the benchmark.
 *
 *     bench [pages] [blocks] [flat] [deadlines]      no argument: everything
 *
 * It only chooses the parts; clocks and medians are measure.c's.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

_Thread_local bool mhp_port_mortal; /* none of ours is; the port itself is not linked */

int
main(int argc, char **argv)
{
	bool all = argc < 2;
	bool pages = all, blocks = all, flat = all, deadlines = all;

	for (int i = 1; i < argc; i++) {
		pages |= strcmp(argv[i], "pages") == 0;
		blocks |= strcmp(argv[i], "blocks") == 0;
		flat |= strcmp(argv[i], "flat") == 0;
		deadlines |= strcmp(argv[i], "deadlines") == 0;
	}
	if (!pages && !blocks && !flat && !deadlines) {
		fprintf(stderr, "usage: bench [pages] [blocks] [flat] [deadlines]\n");
		return 2;
	}
	if (blocks)
		bench_blocks_all();
	if (flat)
		bench_flat();
	if (deadlines)
		bench_deadlines();
	if (pages)
		bench_pages();
	return 0;
}
