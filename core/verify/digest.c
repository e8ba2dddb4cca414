/* SPDX-License-Identifier: MIT */
/*
 * digest.c - a hash of the logical state of an instance.
 *
 * Two instances that went through the same calls have the same digest, whatever port, memory model
 * or addresses they run with; so a digest says in 64 bits whether a failed call left everything as
 * it was. The digest covers everything that a caller can see: blocks, zones, nodes, bad frames, and
 * every page by its first frame. A free frame contributes nothing, and neither does one in a cache,
 * which is taken without being part of a page: so the contents of caches do not matter, nor do the
 * conditions of pageblocks. Absent ranges are skipped run by run, free pageblocks at a glance.
 */
#include <memplug/check.h>

#include "base/sum.h"
#include "memmap/memmap.h"
#include "pages/arena.h"
#include "pages/scan.h"
#include "state/hotplug.h"
#include "state/runs.h"

static uint64_t
hash_slot(uint64_t hash, const struct mhp__block *slot, uint32_t block)
{
	hash = mhp__hash_u64(hash, block);
	hash = mhp__hash_u64(hash, (uint64_t)slot->state << 32 | (uint64_t)slot->node << 24 |
					   (uint64_t)slot->placement << 16 | slot->zone);
	hash = mhp__hash_u64(hash, (uint64_t)slot->backing << 1 |
					   ((slot->flags & MHP_BLOCK_BOOT) != 0));
	return mhp__hash_u64(hash, slot->altmap.capacity);
}

/* Hash the page that starts at pfn; returns the frame after it, or after pfn when there is
 * none. */
static uint64_t
hash_page(const struct mhp *m, uint64_t *hash, uint64_t pfn)
{
	const struct mhp__page *page = mhp__pfn_to_page(m, pfn);
	uint64_t word = mhp__page_word(page);

	if (mhp__word_owner(word) == MHP_OWNER_NONE)
		return pfn + 1;
	*hash = mhp__hash_u64(*hash, pfn);
	*hash = mhp__hash_u64(*hash, word & ~MHP_WORD_PARITY);
	return pfn + (UINT64_C(1) << mhp__word_order(word));
}

/* Arena lock held, the arena is online. */
static void
hash_arena(const struct mhp *m, uint64_t *hash, const struct mhp__arena *arena)
{
	uint32_t frame = 0, end = (uint32_t)mhp__arena_pages(m), run_end;
	uint64_t start = mhp__arena_start(m, arena);

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(arena->zone_id1 != 0);
	/* Bound: each turn moves on by a frame at least. */
	while ((frame = mhp__arena_next_taken(m, arena, frame, &run_end)) < end)
		while (frame < run_end)
			frame = (uint32_t)(hash_page(m, hash, start + frame) - start);
}

static void
hash_block(struct mhp *m, uint64_t *hash, uint32_t block)
{
	uint32_t index = mhp__pfn_arena(m, mhp__block_start(m, block));
	uint32_t end = mhp__pfn_arena(m, mhp__block_start(m, block + 1));

	MHP_ASSERT_DEBUG(m->blocks[block].state != MHP_ABSENT);
	*hash = hash_slot(*hash, &m->blocks[block], block);
	for (; m->blocks[block].state > MHP_OFFLINE && index < end; index++) {
		struct mhp__arena *arena = &m->arenas[index];

		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		if (arena->zone_id1 != 0)
			hash_arena(m, hash, arena);
		mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	}
}

static uint64_t
hash_zone(uint64_t hash, const struct mhp__zone *zone)
{
	hash = mhp__hash_u64(hash, atomic_load_explicit(&zone->start_pfn, memory_order_relaxed));
	hash = mhp__hash_u64(hash, atomic_load_explicit(&zone->end_pfn, memory_order_relaxed));
	hash = mhp__hash_u64(hash, zone->present);
	hash = mhp__hash_u64(hash, atomic_load_explicit(&zone->managed, memory_order_relaxed));
	return mhp__hash_u64(hash, zone->nr_blocks);
}

static uint64_t
hash_instance(const struct mhp *m)
{
	uint64_t hash = mhp__hash_u64(0, (uint64_t)m->blocks_present << 32 | m->blocks_online);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	for (unsigned id = 0; id < m->nr_zones; id++)
		hash = hash_zone(hash, &m->zones[id]);
	for (unsigned node = 0; node < m->geo.nr_nodes; node++)
		hash = mhp__hash_u64(hash, mhp__node_states(m, node));
	for (uint32_t i = 0; i < m->nr_bad; i++)
		hash = mhp__hash_u64(hash, m->bad[i]);
	return hash;
}

uint64_t
mhp_digest(struct mhp *m)
{
	bool locked = mhp__read_begin(m);
	uint64_t hash = hash_instance(m);

	for (uint32_t block = 0; mhp__seek_present(m, &block); block++)
		hash_block(m, &hash, block);
	mhp__read_end(m, locked);
	return hash;
}
