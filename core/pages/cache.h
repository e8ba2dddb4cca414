/* SPDX-License-Identifier: MIT */
/*
 * cache.h - the caches of a zone, one for each CPU: refill, spill, drain.
 *
 * memplug/cache.h has their layout and what a port does with them.
 */
#ifndef MHP_CORE_CACHE_H
#define MHP_CORE_CACHE_H

#include "state/instance.h"

/* Refill the cache of this CPU and return one page of it. False: the zone has none. */
bool mhp__cache_refill(struct mhp *m, struct mhp__zone *zone, unsigned order, uint64_t *ret_pfn);
/* Free a page whose cache push failed: spill half of the stack, or give it to its arena. */
void mhp__cache_spill(struct mhp *m, struct mhp__zone *zone, uint64_t pfn, unsigned order);
/* Empty the caches of one zone, all CPUs. */
void mhp__cache_drain(struct mhp *m, struct mhp__zone *zone);
/* Empty all caches of the zone and take a page before they open. False: the zone has none. */
bool mhp__cache_take_last(struct mhp *m, struct mhp__zone *zone, unsigned order, uint64_t *ret_pfn);
/* Frames in the caches of one zone. A snapshot. */
uint64_t mhp__cache_nr_frames(const struct mhp *m, const struct mhp__zone *zone);

#endif
