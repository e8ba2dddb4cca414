/* SPDX-License-Identifier: MIT */
/*
 * zone.h - taking pages from a zone and giving them back: which arena, and the lists of arenas.
 *
 * Takes zone and arena locks itself, except where it says otherwise. Pages that are given back have
 * all-zero descriptors.
 */
#ifndef MHP_CORE_ZONE_H
#define MHP_CORE_ZONE_H

#include "state/instance.h"

/* Take up to nr_max pages of an order from one arena of the zone, in ascending order: holes first,
 * so that free pageblocks last.
 * cache: NULL, or a closed cache of the zone, which keeps to an arena of its own while there are
 * enough. Returns how many. 0: at that moment no arena of the zone had such a page in its bitmaps;
 * if all caches are closed and empty, the zone has none. */
unsigned mhp__zone_take(struct mhp *m, struct mhp__zone *zone, unsigned order, unsigned nr_max,
			struct mhp_cache *cache, uint64_t *ret_pfns);
/* Take the frames [pfn, pfn + nr_pages), which are of one arena, if all are free and the zone's. */
bool mhp__zone_take_part(struct mhp *m, struct mhp__zone *zone, uint64_t pfn, uint32_t nr_pages);
/* mhp__zone_take() from this arena, but only from pageblocks that are partly in use and begin below
 * end_pfn. 0 also if the arena is not the zone's. */
unsigned mhp__zone_take_packed(struct mhp *m, struct mhp__zone *zone, uint32_t arena,
			       uint64_t end_pfn, unsigned order, unsigned nr_max,
			       uint64_t *ret_pfns);
/* Give back taken frames, whatever pages they were, of any number of arenas and zones. */
void mhp__zone_give_range(struct mhp *m, uint64_t pfn, uint64_t nr_pages);
/* Give nr pages of an order back to their arenas.
 * cache: NULL, or a closed cache, which counts them; then all are of its zone. */
void mhp__zone_give(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr,
		    const uint64_t *pfns);
/* Release the lock of an arena, after putting the arena on the list that its contents call for. */
void mhp__zone_unlock(struct mhp *m, struct mhp__arena *arena);
/* Rebuild the lists from what the arenas say of themselves: a thread was killed in a change of
 * them. The zone's lock is held. */
void mhp__zone_relink(struct mhp *m, struct mhp__zone *zone);
/* Count frames that were given back, or (below 0) taken. cache: as for mhp__zone_give(). */
void mhp__zone_count(struct mhp__zone *zone, struct mhp_cache *cache, int64_t nr_given);
/* Frames that are free in the zone's bitmaps. A snapshot; exact when nobody is in the engine. */
uint64_t mhp__zone_nr_free(const struct mhp *m, const struct mhp__zone *zone);
/* Add the count of a closed cache to the zone's. */
void mhp__zone_collect(struct mhp__zone *zone, struct mhp_cache *cache);
/* The caches of a zone, one for each CPU. */
static inline struct mhp_cache *
mhp__zone_caches(const struct mhp *m, const struct mhp__zone *zone)
{
	return m->caches + (size_t)mhp__zone_id(m, zone) * m->geo.nr_cpus;
}

#endif
