/* SPDX-License-Identifier: MIT */
/*
 * look.c - what can be read of blocks: attributes of one, usage of many.
 *
 * Readers do not block while an offline moves pages (state/hotplug.h), and nothing here changes
 * anything. Like blocks are counted as a run; a run that is all of its zone costs a look at the
 * zone's own totals.
 */
#include "base/mem.h"
#include "blocks/block.h"
#include "memmap/memmap.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "state/hotplug.h"
#include "state/runs.h"
#include "tables/bad.h"

/* Waste is a property of the shape, the same for each block: the predicate says it again. */
static void
fill_metadata(const struct mhp *m, const struct mhp__block *slot, struct mhp_block_info *info)
{
	struct mhp_memmap_shape shape = mhp_memmap_shape(m);
	struct mhp_memmap_answer answer;
	uint64_t slice = mhp__block_pages(m) * sizeof(struct mhp__page);
	uint64_t large = (uint64_t)slot->nr_large_maps << m->caps.large_granule_shift;

	MHP_ASSERT_DEBUG(slot->state != MHP_ABSENT);
	(void)mhp_supports_memmap_on_memory(&shape, &answer);
	info->placement = (enum mhp_placement)slot->placement;
	info->metadata_node = slot->meta_node;
	info->metadata_bytes = (uint64_t)slot->meta_pages << m->geo.page_shift;
	info->nr_vmemmap_pages = slot->altmap.capacity;
	info->altmap = slot->altmap;
	info->waste_bytes = answer.waste_bytes;
	info->nr_large_mappings = slot->nr_large_maps;
	if (MHP_VMEMMAP)
		info->nr_base_mappings = (uint32_t)((slice - large) >> m->caps.granule_shift);
}

static void
fill_info(struct mhp *m, uint32_t block, struct mhp_block_info *info)
{
	const struct mhp__block *slot = &m->blocks[block];
	struct mhp__range range;

	/* Each state has all that the one before it has, so what is known ends with the state. */
	info->state = (enum mhp_block_state)slot->state;
	if (info->state == MHP_ABSENT)
		return;
	range = mhp__block_usable(m, block);
	info->node = slot->node;
	info->backing = slot->backing;
	info->generation = slot->generation;
	info->boot = (slot->flags & MHP_BLOCK_BOOT) != 0;
	info->nr_bad_pages =
		mhp__bad_in(m, mhp__block_start(m, block), mhp__block_start(m, block + 1));
	fill_metadata(m, slot, info);
	if (info->state == MHP_OFFLINE)
		return;
	info->zone = slot->zone;
	/* Its arenas are no zone's yet, so there is nothing to count. */
	if (info->state == MHP_GOING_ONLINE)
		return;
	info->free_bytes = mhp__pages_nr_free(m, range.start_pfn, range.nr_pages)
			   << m->geo.page_shift;
	MHP_ASSERT_DEBUG(info->free_bytes <= range.nr_pages << m->geo.page_shift);
	info->used_bytes = (range.nr_pages << m->geo.page_shift) - info->free_bytes;
}

uint32_t
mhp_generation(const struct mhp *m)
{
	return atomic_load_explicit(&m->generation, memory_order_acquire);
}

int
mhp_block_get(struct mhp *m, uint32_t block, struct mhp_block_info *ret_info)
{
	enum mhp__reader reader;

	if (block >= m->geo.nr_blocks)
		return MHP_ENXIO;
	reader = mhp__reader_begin(m);
	memset(ret_info, 0, sizeof(*ret_info));
	ret_info->block = block;
	ret_info->span.start = mhp__pfn_phys(m, mhp__block_start(m, block));
	ret_info->span.size = mhp__block_pages(m) << m->geo.page_shift;
	fill_info(m, block, ret_info);
	mhp__reader_end(m, reader);
	return 0;
}

/* Are like blocks, which are in use, all that their zone has? */
static bool
are_whole_zone(const struct mhp *m, struct mhp_blocks blocks)
{
	const struct mhp__block *slot = &m->blocks[blocks.first];

	MHP_ASSERT_DEBUG(mhp__zone_exists(slot->zone));
	return mhp__run_end(m, blocks.first) - blocks.first >= blocks.count &&
	       mhp__zone(m, slot->node, slot->zone)->nr_blocks == blocks.count;
}

static bool
in_use(const struct mhp *m, uint32_t block)
{
	return m->blocks[block].state == MHP_ONLINE || m->blocks[block].state == MHP_GOING_OFFLINE;
}

/* Usable and free pages of the blocks that are in use. */
static void
count_pages(struct mhp *m, struct mhp_blocks blocks, uint64_t *ret_usable, uint64_t *ret_free)
{
	uint32_t end = blocks.first + blocks.count, block = blocks.first, run_end;
	const struct mhp__zone *zone;

	MHP_ASSERT_DEBUG(blocks.count != 0);
	MHP_ASSERT_DEBUG(end <= m->geo.nr_blocks);
	*ret_usable = *ret_free = 0;
	if (in_use(m, block) && are_whole_zone(m, blocks)) {
		zone = mhp__zone(m, m->blocks[block].node, m->blocks[block].zone);
		*ret_usable = zone->present;
		*ret_free = mhp__zone_nr_free(m, zone);
		return;
	}
	for (; block < end; block = run_end) {
		run_end = mhp__run_end(m, block);
		run_end = run_end < end ? run_end : end;
		/* Blocks of a run are alike, so one that is not in use ends the look at its run. */
		for (uint32_t b = block; in_use(m, block) && b < run_end; b++) {
			struct mhp__range range = mhp__block_usable(m, b);
			*ret_usable += range.nr_pages;
			*ret_free += mhp__pages_nr_free(m, range.start_pfn, range.nr_pages);
		}
	}
}

int
mhp_range_usage(struct mhp *m, struct mhp_blocks blocks, uint64_t *ret_used_bytes,
		uint64_t *ret_free_bytes)
{
	uint64_t nr_usable, nr_free;
	enum mhp__reader reader;
	int err = mhp__blocks_check(m, blocks);

	if (err != 0)
		return err;
	reader = mhp__reader_begin(m);
	count_pages(m, blocks, &nr_usable, &nr_free);
	mhp__reader_end(m, reader);
	nr_free = nr_free < nr_usable ? nr_free : nr_usable; /* the zone counts without a lock */
	*ret_free_bytes = nr_free << m->geo.page_shift;
	*ret_used_bytes = (nr_usable - nr_free) << m->geo.page_shift;
	return 0;
}

int
mhp_range_get(struct mhp *m, uint32_t block, struct mhp_blocks *ret_blocks)
{
	enum mhp__reader reader;

	if (block >= m->geo.nr_blocks)
		return MHP_ENXIO;
	reader = mhp__reader_begin(m);
	ret_blocks->first = block;
	ret_blocks->count = mhp__run_end(m, block) - block;
	MHP_ASSERT_DEBUG(ret_blocks->count != 0);
	mhp__reader_end(m, reader);
	return 0;
}
