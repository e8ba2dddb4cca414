/* SPDX-License-Identifier: MIT */
/*
 * budget.c - the budget of kernel mappings.
 *
 * The regions count theirs exactly (table.c); the rest of the process is counted from /proc when
 * memory is added or goes to a device, never where a hook asks. An eighth of the limit stays for
 * the program. If the count is out of date, the kernel refuses, which is an error like this one.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "budget.h"

#define LIMIT_DEFAULT 65530U
#define FOREIGN_UNKNOWN 1024U

static uint64_t
count_mappings(void)
{
	char text[4096];
	uint64_t lines = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	for (ssize_t got; (got = read(fd, text, sizeof(text))) > 0;)
		for (ssize_t i = 0; i < got; i++)
			lines += text[i] == '\n';
	close(fd);
	return lines;
}

void
mhp__budget_count(struct mhp__budget *budget, uint64_t ours)
{
	uint64_t all = count_mappings(), limit = mhp__read_number("/proc/sys/vm/max_map_count");
	budget->limit = limit != 0 ? limit : LIMIT_DEFAULT;
	budget->foreign = all == 0 ? FOREIGN_UNKNOWN : all > ours ? all - ours : 0;
}

bool
mhp__budget_fits(const struct mhp__budget *budget, uint64_t ours, uint64_t nr)
{
	return ours + budget->foreign + nr <= budget->limit - budget->limit / 8;
}
