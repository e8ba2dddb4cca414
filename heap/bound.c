/* SPDX-License-Identifier: MIT */
/*
 * bound.c - how far a pool may grow below the limit of its cgroup, and how much of it may be taken.
 *
 * Memory that the program has taken counts as touched, since the program may touch it without
 * asking. So the program may take what it is charged for already, plus what is left below the
 * limit, less a margin.
 *
 * A limit that has fallen will probably fall again, and only the program can give back what it has
 * allocated, perhaps not as fast. So while a limit falls, room for three more steps, an eighth of
 * the limit at most, is not handed out in large pieces. Once the limit has stood still for as long
 * as three steps last, that room is for all.
 *
 * The pool may have whole blocks for all that may be taken, and for what is in use without having
 * been taken, which costs no memory.
 */
#include "bound.h"

#define MARGIN_MIN (UINT64_C(4) << 20)
#define MARGIN_MAX (UINT64_C(64) << 20)
/* Looks between two steps: what is thought until there are two, and beyond this they are none of
 * one fall. */
#define GAP_FIRST 10U
#define GAP_MAX 100U

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

static uint64_t
less(uint64_t value, uint64_t by)
{
	return value > by ? value - by : 0;
}

/* In whole blocks; one that is begun counts. */
static uint64_t
in_blocks(const struct mhp__follow_facts *facts, uint64_t bytes)
{
	return (bytes + facts->block_bytes - 1) / facts->block_bytes * facts->block_bytes;
}

void
mhp__follow_bounds(const struct mhp__follow_facts *facts, struct mhp__follow_bounds *ret_bounds)
{
	uint64_t reserve = least(3 * facts->fall_bytes, facts->limit_bytes / 8);
	uint64_t ready = less(facts->used_bytes, facts->taken_bytes), most = UINT64_MAX;
	*ret_bounds = (struct mhp__follow_bounds){ UINT64_MAX, UINT64_MAX, UINT64_MAX };
	if (facts->limit_bytes != UINT64_MAX) {
		most = less(facts->charged_bytes + facts->room_bytes,
			    mhp__follow_margin(facts->limit_bytes));
		ret_bounds->taken_bytes = most;
		ret_bounds->large_bytes = less(most, reserve);
		ret_bounds->pool_bytes = in_blocks(facts, most + ready);
	}
	uint64_t in_use = in_blocks(facts, facts->used_bytes);
	if (facts->pressed || ret_bounds->pool_bytes < in_use)
		ret_bounds->pool_bytes = in_use;
}

void
mhp__follow_fall(struct mhp__fall *fall, uint64_t limit_before, uint64_t limit_bytes)
{
	uint64_t fell = limit_before != UINT64_MAX ? less(limit_before, limit_bytes) : 0;
	fall->still += fall->still <= 3 * GAP_MAX; /* no more matters */
	if (fell != 0) {
		bool again = fall->gap != 0 && fall->still <= GAP_MAX;
		fall->gap = again && fall->still > GAP_FIRST ? fall->still : GAP_FIRST;
		fall->bytes = fell > fall->bytes / 2 ? fell : fall->bytes / 2;
		fall->still = 0;
	} else if (limit_bytes > limit_before || fall->still > 3 * fall->gap) {
		fall->bytes = 0;
	}
}
