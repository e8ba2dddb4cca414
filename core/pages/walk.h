/* SPDX-License-Identifier: MIT */
/*
 * walk.h - what is taken in a range of frames, page by page, and how much is free.
 */
#ifndef MHP_CORE_WALK_H
#define MHP_CORE_WALK_H

#include "memmap/memmap.h"
#include "state/instance.h"

/* A page, as a walk saw it. */
struct mhp__chunk {
	uint64_t pfn;
	uint64_t cookie;
	uint16_t owner;                /* MHP_OWNER_NONE: cached, or on its way */
	uint8_t order;
};

/* Read the descriptor of a frame that is taken. */
static inline void
mhp__chunk_read(const struct mhp *m, uint64_t pfn, struct mhp__chunk *ret_chunk)
{
	const struct mhp__page *page = mhp__pfn_to_page(m, pfn);
	uint64_t word = mhp__page_word(page);

	MHP_ASSERT_DEBUG(mhp__word_order(word) <= MHP_PAGEBLOCK_ORDER(m));
	ret_chunk->pfn = pfn;
	ret_chunk->owner = (uint16_t)mhp__word_owner(word);
	ret_chunk->order = (uint8_t)mhp__word_order(word);
	ret_chunk->cookie = mhp__word_cookie(word);
}

/* A walk over what is taken in a range, in address order. It reads a batch of pages under the lock
 * of their arena, so what it says of a page may be a batch old. */
#define MHP_WALK_BATCH 32U
struct mhp__walk {
	uint64_t pfn, end_pfn;         /* not read yet */
	unsigned at, nr;               /* the next page of the batch, and how many it has */
	struct mhp__chunk chunk[MHP_WALK_BATCH];
};

void mhp__walk_begin(struct mhp__walk *walk, uint64_t start_pfn, uint64_t nr_pages);
/* Fill the next batch. False: nothing more is taken. */
bool mhp__walk_fill(struct mhp *m, struct mhp__walk *walk);
/* The next page, or NULL. */
static inline const struct mhp__chunk *
mhp__walk_next(struct mhp *m, struct mhp__walk *walk)
{
	if (walk->at == walk->nr && !mhp__walk_fill(m, walk))
		return NULL;
	MHP_ASSERT_DEBUG(walk->at < walk->nr);
	MHP_ASSERT_DEBUG(walk->nr <= MHP_WALK_BATCH);
	return &walk->chunk[walk->at++];
}
/* Was the last page the first of its batch? A long walk polls for cancellation this often. */
static inline bool
mhp__walk_is_fresh(const struct mhp__walk *walk)
{
	return walk->at == 1;
}
/* Forget the rest of the batch: others may have changed it. */
static inline void
mhp__walk_refresh(struct mhp__walk *walk)
{
	if (walk->at < walk->nr)
		walk->pfn = walk->chunk[walk->at].pfn;
	walk->nr = walk->at;
}

/* Frames of the range that are free in the bitmaps. O(1) for each arena that lies in it whole. */
uint64_t mhp__pages_nr_free(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* Is no frame of the range taken? In an isolated range that stays so. */
static inline bool
mhp__pages_are_free(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	return mhp__pages_nr_free(m, start_pfn, nr_pages) == nr_pages;
}

#endif
