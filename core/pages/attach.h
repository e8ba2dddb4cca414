/* SPDX-License-Identifier: MIT */
/*
 * attach.h - the life of a range of usable pages in a zone: it comes, is isolated, goes.
 *
 * Hotplug lock held. A range starts anywhere and ends at an arena's end; what the frames before its
 * start are used for is not this layer's business.
 */
#ifndef MHP_CORE_ATTACH_H
#define MHP_CORE_ATTACH_H

#include "state/instance.h"

/* The usable range [start_pfn, start_pfn + nr_pages) comes to the zone: every arena that it covers
 * is set up with all of its frames free, and isolated until mhp__pages_open(). The range starts
 * anywhere and ends at an arena's end. zeroed: its descriptors are known to be all-zero.
 * O(arenas). */
void mhp__pages_attach(struct mhp *m, struct mhp__zone *zone, uint64_t start_pfn, uint64_t nr_pages,
		       bool zeroed);
/* Nothing of the range is in use (but frames of MHP_OWNER_BAD): the zone forgets it. All is
 * isolated. */
void mhp__pages_detach(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* From now on nothing is taken from pageblocks that the range touches. Frames of it that caches
 * hold, or that a push is about to put there because it tested the bits before they were set, are
 * out until the caller drains the caches, once for all its ranges. */
void mhp__pages_isolate(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* Undo it. */
void mhp__pages_open(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* Take a given free frame out of use for ever (owner BAD). False: it is in use. */
bool mhp__pages_take_bad(struct mhp *m, uint64_t pfn);
/* The zone whose usable page pfn is, or NULL. Hotplug lock held: that does not change. */
struct mhp__zone *mhp__zone_of(struct mhp *m, uint64_t pfn);
/* For recovery, for the range of a block that is present: arenas that were coming or going are
 * blank. */
void mhp__pages_repair(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* For recovery: let the zone count an arena that came or went, by the log. */
void mhp__pages_recount(struct mhp *m);

#endif
