/* SPDX-License-Identifier: MIT */
/*
 * arena.h - one arena: take frames from its bitmaps, and give them back.
 *
 * The caller holds the arena's lock, and it is online. Frames count from the arena's start.
 */
#ifndef MHP_CORE_ARENA_H
#define MHP_CORE_ARENA_H

#include "memmap/memmap.h"
#include "state/instance.h"

/* Pageblocks that are wholly free and can be taken as one page: not isolated, and none that
 * nr_unmanaged reaches into. */
uint64_t mhp__arena_huge(const struct mhp *m, const struct mhp__arena *arena);
/* Pageblocks with free frames that are no huge page: small pages should come from these. */
uint64_t mhp__arena_partial(const struct mhp *m, const struct mhp__arena *arena);
/* The list that the arena's contents call for, MHP_LIST_*. */
unsigned mhp__arena_list(const struct mhp *m, const struct mhp__arena *arena);
/* Count how many orders there are holes of (slots.h); the search ends at `enough`. */
unsigned mhp__arena_holes(const struct mhp *m, const struct mhp__arena *arena, unsigned enough);
/* Isolate these pageblocks, one bit each, so that nothing is taken from them; or open them
 * again. */
void mhp__arena_isolate(struct mhp *m, struct mhp__arena *arena, uint64_t pageblocks, bool isolate);
/* Take up to nr_max pages of an order from pageblocks in mask that are not isolated, holes first.
 * Returns how many; their descriptors are all-zero. */
unsigned mhp__arena_take(struct mhp *m, struct mhp__arena *arena, unsigned order, uint64_t mask,
			 unsigned nr_max, uint64_t *ret_pfns);
/* Take one frame, isolated or not. False: it is taken already, or not the allocator's. */
bool mhp__arena_take_frame(struct mhp *m, struct mhp__arena *arena, uint64_t pfn);
/* Give back nr pages of an order, all of this arena; their descriptors are all-zero. */
void mhp__arena_give_many(struct mhp *m, struct mhp__arena *arena, unsigned order, unsigned nr,
			  const uint64_t *pfns);
/* Take the frames [frame, end), all or none. */
bool mhp__arena_take_range(struct mhp *m, struct mhp__arena *arena, uint32_t frame, uint32_t end);
/* Give back the frames [frame, end), all of them taken, whatever pages they were; their descriptors
 * are all-zero. */
void mhp__arena_give_range(struct mhp *m, struct mhp__arena *arena, uint32_t frame, uint32_t end);

#endif
