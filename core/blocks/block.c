/* SPDX-License-Identifier: MIT */
/*
 * block.c - what all operations on blocks share.
 *
 * This layer owns the reserve: mhp__block_part() is the one place that offsets the start of a block
 * by its reserve and shortens the length, on the way into use and on the way out of it (R15). The
 * layer below gets the result and cannot tell where it came from.
 *
 *     ABSENT -> OFFLINE -> GOING_ONLINE -> ONLINE -> GOING_OFFLINE -> OFFLINE -> ABSENT
 *
 * States change in mhp__block_set_state() only, which keeps the slot's checksum and the runs.
 */
#include "blocks/block.h"

#include "state/runs.h"
#include "state/seal.h"

struct mhp__range
mhp__block_part(const struct mhp *m, uint32_t block, uint32_t nr_vmemmap_pages, unsigned node)
{
	struct mhp__range range;

	MHP_ASSERT_DEBUG(block < m->geo.nr_blocks);
	MHP_ASSERT_DEBUG(nr_vmemmap_pages < mhp__block_pages(m)); /* something is left to use */
	range.start_pfn = mhp__block_start(m, block) + nr_vmemmap_pages;
	range.nr_pages = mhp__block_pages(m) - nr_vmemmap_pages;
	range.node = (uint8_t)node;
	range.zone = MHP_ZONE_DEFAULT;
	return range;
}

struct mhp__range
mhp__block_usable(const struct mhp *m, uint32_t block)
{
	const struct mhp__block *slot = &m->blocks[block];
	struct mhp__range range = mhp__block_part(m, block, slot->altmap.capacity, slot->node);

	MHP_ASSERT_DEBUG(slot->state != MHP_ABSENT);
	range.zone = slot->zone;
	return range;
}

void
mhp__block_set_state(struct mhp *m, uint32_t block, enum mhp_block_state state, unsigned zone)
{
	struct mhp__block *slot = &m->blocks[block];

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(slot->state != MHP_ABSENT);
	MHP_ASSERT_DEBUG(state != MHP_ABSENT); /* physical's to do */
	MHP_ASSERT_DEBUG(slot->state != (uint8_t)state);
	MHP_ASSERT_DEBUG((state == MHP_OFFLINE) == (zone == MHP_ZONE_DEFAULT));
	mhp__block_seal_state(slot, state, zone);
	mhp__runs_update(m, (struct mhp_blocks){ block, 1 });
}

bool
mhp__block_is_meant(const struct mhp *m, uint32_t block, uint64_t as_of)
{
	MHP_ASSERT_DEBUG(block < m->geo.nr_blocks);
	return as_of == 0 || m->blocks[block].generation <= as_of;
}

int
mhp__why_state(struct mhp_why *why, uint32_t block, int error)
{
	MHP_ASSERT_DEBUG(error != 0);
	MHP_ASSERT_DEBUG(why->cause == MHP_CAUSE_NONE);
	why->cause = MHP_CAUSE_STATE;
	why->block = block;
	return error;
}

int
mhp__why_bound(struct mhp_why *why, uint32_t block, int error)
{
	why->cause = mhp__work_cause(error);
	why->block = block;
	return error;
}
