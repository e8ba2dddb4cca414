/* SPDX-License-Identifier: MIT */
/*
 * arena.h - one arena: its bitmaps, what can be taken from them and what is taken.
 *
 * The caller holds the arena's lock, and it is online. Frames count from the arena's start.
 */
#ifndef MHP_CORE_ARENA_H
#define MHP_CORE_ARENA_H

#include "memmap/memmap.h"
#include "state/instance.h"

static inline unsigned
mhp__arena_pageblocks(const struct mhp *m)
{
	return 1U << (m->arena_order - MHP_PAGEBLOCK_ORDER(m));
}

/* One bit for each pageblock that the arena has. */
static inline uint64_t
mhp__arena_mask(const struct mhp *m)
{
	return UINT64_MAX >> (64U - mhp__arena_pageblocks(m));
}

static inline uint32_t
mhp__arena_index(const struct mhp *m, const struct mhp_arena *arena)
{
	return (uint32_t)(arena - m->arenas);
}

static inline uint64_t
mhp__arena_start(const struct mhp *m, const struct mhp_arena *arena)
{
	return (uint64_t)mhp__arena_index(m, arena) << m->arena_order;
}

/* The first frame of the arena behind pfn's. */
static inline uint64_t
mhp__arena_next(const struct mhp *m, uint64_t pfn)
{
	return (pfn | m->arena_mask) + 1;
}

/* The bit of pfn's pageblock in the sets of its arena. */
static inline uint64_t
mhp__pageblock_bit(const struct mhp *m, uint64_t pfn)
{
	return UINT64_C(1) << ((pfn & m->arena_mask) >> MHP_PAGEBLOCK_ORDER(m));
}

/* Pageblocks that are wholly free and can be taken as one page: not isolated, and none that nr_head
 * reaches into. */
uint64_t mhp__arena_huge(const struct mhp *m, const struct mhp_arena *arena);
/* Pageblocks that small pages should come from before those: free frames, but no huge page. */
uint64_t mhp__arena_partial(const struct mhp *m, const struct mhp_arena *arena);
/* The list that the arena's contents call for, MHP_LIST_*. */
unsigned mhp__arena_list(const struct mhp *m, const struct mhp_arena *arena);
/* How many orders there are holes of (slots.h), counted anew; the search ends at `enough`. */
unsigned mhp__arena_holes(const struct mhp *m, const struct mhp_arena *arena, unsigned enough);
/* From now on nothing is taken from these pageblocks, one bit each; or it may be again. */
void mhp__arena_isolate(struct mhp *m, struct mhp_arena *arena, uint64_t pageblocks, bool isolate);
/* Take up to nr_max pages of order from pageblocks in mask that are not isolated; their pfns.
 * Holes first. Their descriptors are all-zero afterwards. */
unsigned mhp__arena_take(struct mhp *m, struct mhp_arena *arena, unsigned order, uint64_t mask,
			 unsigned nr_max, uint64_t *ret_pfns);
/* Take one frame, isolated or not. False: it is taken already, or not the allocator's. */
bool mhp__arena_take_frame(struct mhp *m, struct mhp_arena *arena, uint64_t pfn);
/* Give nr pages of order back, all of this arena; their descriptors are all-zero. */
void mhp__arena_give_many(struct mhp *m, struct mhp_arena *arena, unsigned order, unsigned nr,
			  const uint64_t *pfns);
/* Is this frame taken? Frames below nr_head are. */
bool mhp__arena_taken(const struct mhp *m, const struct mhp_arena *arena, uint64_t pfn);
/* The first taken frame at or after frame (counted from the arena's start), past the head; the
 * number of its frames when there is none. *ret_end: frames up to there are taken too, as far as
 * one look shows. */
uint32_t mhp__arena_next_taken(const struct mhp *m, const struct mhp_arena *arena, uint32_t frame,
			       uint32_t *ret_end);
/* How many frames from frame on can be taken, or cannot be (*ret_free), as far as one look
 * shows. */
uint32_t mhp__arena_run(const struct mhp *m, const struct mhp_arena *arena, uint32_t frame,
			bool *ret_free);
/* Take the frames [frame, end), all or none. */
bool mhp__arena_take_range(struct mhp *m, struct mhp_arena *arena, uint32_t frame, uint32_t end);
/* Give them back, all of them taken, whatever pages they were; their descriptors are all-zero. */
void mhp__arena_give_range(struct mhp *m, struct mhp_arena *arena, uint32_t frame, uint32_t end);
/* Free frames of one pageblock, and how many are the allocator's. */
unsigned mhp__pageblock_nr_free(const struct mhp *m, const struct mhp_arena *arena,
				unsigned pageblock);
unsigned mhp__pageblock_nr_managed(const struct mhp *m, const struct mhp_arena *arena,
				   unsigned pageblock);

#endif
