/* SPDX-License-Identifier: MIT */
/*
 * bound.c - how far a pool may grow below the limit of its cgroup.
 *
 * All memory of the pool counts as if it were touched: a heap that has freed and keeps it, or that
 * has not touched it yet, touches it without asking anybody. So what the pool may have is what it
 * is charged for, and what is left until the limit, less a margin. A limit that falls will fall
 * again: while it does, room for three such steps is kept, an eighth of the limit at most, since
 * only the program can give back what it has allocated by then, and it may take longer than a step.
 */
#include "bound.h"

#define MARGIN_MIN (UINT64_C(4) << 20)
#define MARGIN_MAX (UINT64_C(64) << 20)
#define FADES 64U                      /* a fall is half as much after so many looks * ln 2 */

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t
mhp__follow_margin(uint64_t limit_bytes)
{
	uint64_t margin = limit_bytes / 64;
	return margin < MARGIN_MIN ? MARGIN_MIN : least(margin, MARGIN_MAX);
}

uint64_t
mhp__follow_bound(const struct mhp__follow_facts *facts)
{
	uint64_t block = facts->block_bytes;
	uint64_t margin = mhp__follow_margin(facts->limit_bytes) +
			  least(3 * facts->fall_bytes, facts->limit_bytes / 8);
	uint64_t in_use = (facts->used_bytes + block - 1) / block * block;
	if (facts->limit_bytes == UINT64_MAX && !facts->pressed)
		return UINT64_MAX;
	uint64_t most = facts->charged_bytes + facts->room_bytes;
	most = facts->pressed || most <= margin ? 0 : (most - margin) / block * block;
	return most > in_use ? most : in_use;
}

uint64_t
mhp__follow_fall(uint64_t fall_bytes, uint64_t limit_before, uint64_t limit_bytes)
{
	uint64_t faded = fall_bytes - fall_bytes / FADES - (fall_bytes % FADES != 0);
	uint64_t fell = limit_before != UINT64_MAX && limit_bytes < limit_before
		? limit_before - limit_bytes : 0;
	return fell > faded ? fell : faded;
}
