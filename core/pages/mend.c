/* SPDX-License-Identifier: MIT */
/*
 * mend.c - what threads that were killed held of the allocator, while others go on.
 *
 * A lock that such a thread took says so (base/lock.h), and who wants it waits. The state under it
 * is reckoned anew from what cannot be half done: of an arena, `mixed` and the bitmaps, which every
 * section writes in an order that leaves them right at any instruction (arena.c); of a zone, the
 * lists that its arenas say they are on. Frames that the dead had taken and given to nobody, or
 * taken back and not freed, stay taken: nobody knows of them.
 *
 * Zones come first, since a thread may wait for the lock of one while it holds an arena's. Must not
 * know: who the dead were, what a page is used for.
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

/* All that the slot says of its bitmaps. */
static void
reckon(struct mhp *m, struct mhp__arena *arena)
{
	uint32_t nr_free = 0;

	MHP_ASSERT_DEBUG(arena->zone_id1 != 0);
	for (unsigned pageblock = 0; pageblock < mhp__arena_pageblocks(m); pageblock++) {
		if ((arena->mixed >> pageblock & 1) != 0)
			mhp__pageblock_reckon(m, arena, pageblock);
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
		reckon(m, arena);
	mhp__zone_unlock(m, arena);
}

/* Of a drain, which closes all caches of its zone: what it had not emptied yet is there. */
static void
mend_caches(struct mhp *m, struct mhp__zone *zone)
{
	struct mhp_cache *caches = mhp__zone_caches(m, zone);

	if (atomic_load(&caches[0].draining) != MHP_HELD_BY_MORTAL)
		return;
	if (m->ops->fence_cpus != NULL) /* for who closes one locally, and has not seen that */
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
