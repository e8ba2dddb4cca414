/* SPDX-License-Identifier: MIT */
/*
 * runs.c - runs of like blocks, and the checksum of a block's slot.
 *
 * A bit of m->runs marks each block that differs from the one before it (INV 3); block 0 has none
 * before it and no bit. Absent blocks are all alike, so a gap of any size is one run, and all that
 * walks blocks here is bounded by the number of runs. The set is derived from the slots and holds
 * nothing that they do not say. What states mean, and who may change them, is not its business.
 *
 * INV 4: slot->check is the checksum of the rest of the slot, at all times that the hotplug lock
 * can be had.
 */
#include "state/runs.h"

#include "base/sum.h"
#include "state/locked.h"

bool
mhp__blocks_alike(const struct mhp *m, uint32_t a, uint32_t b)
{
	const struct mhp_block *one = &m->blocks[a], *two = &m->blocks[b];

	if (one->state != two->state)
		return false;
	if (one->state == MHP_ABSENT)
		return true;
	if (one->state != MHP_OFFLINE && one->zone != two->zone)
		return false;
	if (((one->flags ^ two->flags) & MHP_BLOCK_BOOT) != 0)
		return false;
	return one->node == two->node && one->placement == two->placement &&
	       one->backing == two->backing;
}

void
mhp__runs_update(struct mhp *m, struct mhp_blocks blocks)
{
	/* The block behind the last one may now differ from it, or not any more. */
	uint64_t last = (uint64_t)blocks.first + blocks.count;

	MHP_ASSERT(blocks.count > 0 && last <= m->geo.nr_blocks);
	for (uint64_t block = blocks.first; block <= last && block < m->geo.nr_blocks; block++) {
		uint32_t at = (uint32_t)block;
		mhp__bitset_put(&m->runs, at, at > 0 && !mhp__blocks_alike(m, at - 1, at));
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

uint32_t
mhp__block_checksum(const struct mhp_block *slot)
{
	uint32_t sum = 0;

	sum = mhp__sum_ptr(sum, slot->pages);
	sum = mhp__sum_ptr(sum, slot->bitmap);
	sum = mhp__sum_u64(sum, slot->altmap.base_pfn);
	sum = mhp__sum_word(sum, slot->altmap.capacity);
	sum = mhp__sum_word(sum, slot->altmap.allocated);
	sum = mhp__sum_u64(sum, slot->meta_addr);
	sum = mhp__sum_word(sum, slot->generation);
	sum = mhp__sum_word(sum, slot->meta_pages);
	sum = mhp__sum_word(sum, (uint32_t)slot->state << 24 | (uint32_t)slot->zone << 16 |
					 (uint32_t)slot->node << 8 | slot->meta_node);
	sum = mhp__sum_word(sum, (uint32_t)slot->placement << 24 | (uint32_t)slot->flags << 16 |
					 slot->backing);
	return mhp__sum_word(sum, slot->nr_large_maps);
}

int
mhp_range_get(struct mhp *m, uint32_t block, struct mhp_blocks *ret_blocks)
{
	enum mhp__look look;

	if (block >= m->geo.nr_blocks)
		return MHP_ENXIO;
	look = mhp__look_begin(m);
	ret_blocks->first = block;
	ret_blocks->count = mhp__run_end(m, block) - block;
	mhp__look_end(m, look);
	return 0;
}
