/* SPDX-License-Identifier: MIT */
/*
 * zone.h - arenas in a zone: taking, giving, and the life of an arena in a zone.
 *
 * Takes zone and arena locks itself. A range of usable pages starts anywhere and ends at an arena's
 * end; what the frames before its start are used for is not this layer's business.
 */
#ifndef MHP_CORE_ZONE_H
#define MHP_CORE_ZONE_H

#include "state/instance.h"

/* Take up to nr_max pages of order from one arena of the zone, in ascending order; takes zone and
 * arena locks. Holes first, so that free pageblocks last. cache: a closed cache of the zone, which
 * keeps to an arena of its own while there are enough; or NULL. 0: when it looked, no arena of the
 * zone had such a page in its bitmaps; with all caches closed and empty, that is a proof. */
unsigned mhp__zone_take(struct mhp *m, struct mhp__zone *zone, unsigned order, unsigned nr_max,
			struct mhp_cache *cache, uint64_t *ret_pfns);
/* Take the frames [pfn, pfn + nr_pages) of one arena, if they are all free and of this zone. */
bool mhp__zone_take_part(struct mhp *m, struct mhp__zone *zone, uint64_t pfn, uint32_t nr_pages);
/* The same from one arena, breaking up no pageblock, and only from those that begin below
 * end_pfn. Returns 0 too when the arena is not the zone's. */
unsigned mhp__zone_take_packed(struct mhp *m, struct mhp__zone *zone, uint32_t arena,
			       uint64_t end_pfn, unsigned order, unsigned nr_max,
			       uint64_t *ret_pfns);
/* Give back taken frames, whatever pages they were; their descriptors are all-zero. Any number of
 * arenas; takes arena and zone locks. */
void mhp__zone_give_range(struct mhp *m, uint64_t pfn, uint64_t nr_pages);
/* Give nr pages of order back to their arenas; takes arena and zone locks. cache: a closed cache,
 * all of whose zone they are, and which counts them; NULL: any mixture of zones. */
void mhp__zone_give(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr,
		    const uint64_t *pfns);
/* Give the lock of an arena back; if it has changed, it is on its list before anybody else has it.
 * Takes the zone's lock. */
void mhp__zone_unlock(struct mhp *m, struct mhp__arena *arena);
/* Rebuild the lists from what the arenas say of themselves: a thread was killed in a change of
 * them. The zone's lock is held. */
void mhp__zone_relink(struct mhp *m, struct mhp__zone *zone);
/* So many frames have come free, or were taken (below 0). cache: as for mhp__zone_give(). */
void mhp__zone_count(struct mhp__zone *zone, struct mhp_cache *cache, int64_t nr_given);
/* Frames that are free in the zone's bitmaps. A snapshot; exact when nobody is in the engine. */
uint64_t mhp__zone_nr_free(const struct mhp *m, const struct mhp__zone *zone);
/* Add what the cache, which is closed, has counted to the zone's counter. */
void mhp__zone_collect(struct mhp__zone *zone, struct mhp_cache *cache);
/* The caches of a zone, one for each CPU. */
static inline struct mhp_cache *
mhp__zone_caches(const struct mhp *m, const struct mhp__zone *zone)
{
	return m->caches + (size_t)mhp__zone_id(m, zone) * m->geo.nr_cpus;
}

#endif
