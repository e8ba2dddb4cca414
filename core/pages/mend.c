/* SPDX-License-Identifier: MIT */
/*
 * mend.c - repair the allocator after threads were killed in it, while other threads go on.
 *
 * A lock says whether such a thread holds it (base/lock.h); others wait for it meanwhile. What the
 * lock guards is recomputed from what cannot be half done: for an arena from `mixed` and the
 * bitmaps, which every section writes in an order that leaves them right at any instruction
 * (arena.c); for a zone from the lists that its arenas say they are on. Frames that a killed thread
 * had in its hands stay taken: nobody knows of them.
 *
 * Zones come first, since a thread may wait for the lock of one while it holds an arena's. Must not
 * know: who was killed, what a page is used for.
 */
#include "pages/arena.h"
#include "pages/scan.h"
#include "pages/words.h"
#include "pages/zone.h"
#include "state/hotplug.h"

static void
mend_zone(struct mhp *m, struct mhp__zone *zone)
{
	if (!mhp__spin_is_left(&zone->lock))
		return;
	mhp__rank_enter(MHP_RANK_ZONE);
	mhp__zone_relink(m, zone);
	mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
}

/* Recompute what the slot says of its bitmaps. */
static void
recount(struct mhp *m, struct mhp__arena *arena)
{
	uint32_t nr_free = 0;

	MHP_ASSERT_DEBUG(arena->zone_id1 != 0);
	for (unsigned pageblock = 0; pageblock < mhp__arena_pageblocks(m); pageblock++) {
		if ((arena->mixed >> pageblock & 1) != 0)
			mhp__pageblock_classify(m, arena, pageblock);
		nr_free += mhp__pageblock_nr_free(m, arena, pageblock);
	}
	mhp__zone_count(&m->zones[arena->zone_id1 - 1], NULL, (int64_t)nr_free - arena->nr_free);
	arena->nr_free = nr_free;
	arena->holes = (uint8_t)mhp__arena_holes(m, arena, MHP_ORDERS);
}

static void
mend_arena(struct mhp *m, struct mhp__arena *arena)
{
	if (!mhp__spin_is_left(&arena->lock))
		return;
	mhp__rank_enter(MHP_RANK_ARENA);
	if (arena->zone_id1 != 0)
		recount(m, arena);
	mhp__zone_unlock(m, arena);
}

/* Open the caches that a drain had closed; what it had not emptied yet is still in them. */
static void
mend_caches(struct mhp *m, struct mhp__zone *zone)
{
	struct mhp_cache *caches = mhp__zone_caches(m, zone);

	if (atomic_load(&caches[0].draining) != MHP_HELD_BY_MORTAL)
		return;
	if (m->ops->fence_cpus != NULL) /* a thread may be about to close one locally */
		m->ops->fence_cpus(m->port);
	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++)
		if (atomic_load(&caches[cpu].closed) == 2)
			mhp_port_cache_open(&caches[cpu]);
	atomic_store(&caches[0].draining, 0);
}

void
mhp_threads_lost(struct mhp *m)
{
	atomic_store(&m->readers[1], 0);
	if (mhp__spin_is_left(&m->nest)) {
		atomic_store(&m->between, 0);
		mhp__spin_drop(&m->nest);
	}
	for (unsigned id = 0; id < m->nr_zones; id++)
		mend_zone(m, &m->zones[id]);
	for (uint32_t index = 0; index < m->nr_arenas; index++)
		mend_arena(m, &m->arenas[index]);
	for (unsigned id = 0; id < m->nr_zones; id++)
		mend_caches(m, &m->zones[id]);
}
