/* SPDX-License-Identifier: MIT */
/*
 * runs.c - runs of like blocks.
 *
 * A bit of m->runs marks each block that differs from the one before it (INV 3); block 0 has none
 * before it and no bit. Absent blocks are all alike, so a gap of any size is one run, and every
 * walk here is bounded by the number of runs. The set is derived from the slots and holds nothing
 * that they do not say. Must not know: what states mean, and who may change them.
 */
#include "state/runs.h"

bool
mhp__blocks_alike(const struct mhp *m, uint32_t a, uint32_t b)
{
	const struct mhp__block *one = &m->blocks[a], *two = &m->blocks[b];

	if (one->state != two->state)
		return false;
	if (one->state == MHP_ABSENT)
		return true;
	if (one->zone != two->zone)
		return false;
	if (((one->flags ^ two->flags) & MHP_BLOCK_BOOT) != 0)
		return false;
	return one->node == two->node && one->placement == two->placement &&
	       one->backing == two->backing;
}

void
mhp__runs_update(struct mhp *m, struct mhp_blocks blocks)
{
	/* The block after the last one may now differ from it, or not any more. */
	uint64_t last = (uint64_t)blocks.first + blocks.count;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT(blocks.count > 0 && last <= m->geo.nr_blocks);
	for (uint64_t block = blocks.first; block <= last && block < m->geo.nr_blocks; block++) {
		uint32_t at = (uint32_t)block;
		bool differs = at > 0 && !mhp__blocks_alike(m, at - 1, at);
		if (mhp__bitset_test(&m->runs, at) != differs)
			mhp__bitset_put(&m->runs, at, differs);
	}
}

uint32_t
mhp__run_end(const struct mhp *m, uint32_t block)
{
	MHP_ASSERT_DEBUG(block < m->geo.nr_blocks);
	return mhp__bitset_next(&m->runs, block + 1U);
}

uint32_t
mhp__run_start(const struct mhp *m, uint32_t block)
{
	uint32_t start = mhp__bitset_prev(&m->runs, block);

	MHP_ASSERT_DEBUG(block < m->geo.nr_blocks);
	return start == m->geo.nr_blocks ? 0 : start;
}

uint32_t
mhp__next_present(const struct mhp *m, uint32_t first, uint32_t end)
{
	if (first >= end)
		return end;
	MHP_ASSERT_DEBUG(end <= m->geo.nr_blocks);
	if (m->blocks[first].state == MHP_ABSENT)
		first = mhp__run_end(m, first); /* absent blocks are alike: what follows is there */
	return first < end ? first : end;
}
