/* SPDX-License-Identifier: MIT */
/*
 * walk.c - what is taken in a range of frames, and how much of it is free.
 *
 * A walk goes from page to page in address order. It reads a batch of them under one lock of their
 * arena and hands them out one by one, so its word on a page may be a batch old: code that acts on
 * it asks the owner of the page, who knows. A frame that the walk skips was free when the batch was
 * read; in a range that is isolated it stays so. Must not know: what pages are used for.
 */
#include "pages/walk.h"

#include "pages/arena.h"
#include "pages/scan.h"

/* ---- the walk ---- */

void
mhp__walk_begin(struct mhp__walk *walk, uint64_t start_pfn, uint64_t nr_pages)
{
	walk->pfn = start_pfn;
	walk->end_pfn = start_pfn + nr_pages;
	walk->at = walk->nr = 0;
}

/* Fill the batch with pages from walk->pfn to `stop`. The arena is online and its lock is held. */
static void
fill_in_arena(const struct mhp *m, const struct mhp__arena *arena, struct mhp__walk *walk,
	      uint64_t stop)
{
	uint64_t start = mhp__arena_start(m, arena);
	uint32_t frame = (uint32_t)(walk->pfn - start), end = (uint32_t)(stop - start), run_end;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(walk->pfn < stop);
	MHP_ASSERT_DEBUG(walk->nr == 0);
	while (walk->nr < MHP_WALK_BATCH &&
	       (frame = mhp__arena_next_taken(m, arena, frame, &run_end)) < end) {
		run_end = run_end < end ? run_end : end;
		while (walk->nr < MHP_WALK_BATCH && frame < run_end) {
			struct mhp__chunk *chunk = &walk->chunk[walk->nr++];
			mhp__chunk_read(m, start + frame, chunk);
			frame += UINT32_C(1) << chunk->order;
		}
	}
	walk->pfn = start + frame;
}

bool
mhp__walk_fill(struct mhp *m, struct mhp__walk *walk)
{
	MHP_ASSERT_DEBUG(walk->at == walk->nr); /* the last batch was handed out */
	walk->at = walk->nr = 0;
	/* Bound: each turn comes to the end of an arena, or finds something. */
	while (walk->nr == 0 && walk->pfn < walk->end_pfn) {
		struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, walk->pfn)];
		uint64_t stop = mhp__arena_next(m, walk->pfn);

		stop = stop < walk->end_pfn ? stop : walk->end_pfn;
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		if (arena->zone_id1 != 0)
			fill_in_arena(m, arena, walk, stop);
		else
			walk->pfn = stop;
		mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	}
	return walk->nr != 0;
}

/* ---- how much is free ---- */

/* Free frames of [frame, end) in one pageblock. Arena lock held. */
static uint64_t
nr_free_in(const struct mhp *m, const struct mhp__arena *arena, uint32_t frame, uint32_t end)
{
	unsigned order = MHP_PAGEBLOCK_ORDER(m), pageblock = frame >> order;
	uint32_t first = frame > arena->nr_unmanaged ? frame : arena->nr_unmanaged;
	uint64_t nr = 0;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	if (end == (pageblock + 1U) << order &&
	    end - first >= mhp__pageblock_nr_managed(m, arena, pageblock))
		return mhp__pageblock_nr_free(m, arena, pageblock);
	for (; frame < end; frame++)
		nr += !mhp__arena_taken(m, arena, mhp__arena_start(m, arena) + frame);
	return nr;
}

/* Free frames of [at, end) in an arena. Its lock held. */
static uint64_t
nr_free_between(const struct mhp *m, const struct mhp__arena *arena, uint32_t at, uint32_t end)
{
	unsigned order = MHP_PAGEBLOCK_ORDER(m);
	uint64_t nr = 0;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(at < end);
	MHP_ASSERT_DEBUG(end <= mhp__arena_pages(m));
	if (arena->zone_id1 == 0)
		return 0;
	if (at <= arena->nr_unmanaged && end == mhp__arena_pages(m))
		return arena->nr_free;
	while (at < end) {
		uint32_t next = ((at >> order) + 1) << order;
		next = next < end ? next : end;
		nr += nr_free_in(m, arena, at, next);
		at = next;
	}
	return nr;
}

uint64_t
mhp__pages_nr_free(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	uint64_t end_pfn = start_pfn + nr_pages, nr = 0;

	for (uint64_t pfn = start_pfn; pfn < end_pfn; pfn = mhp__arena_next(m, pfn)) {
		struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
		uint64_t start = mhp__arena_start(m, arena), stop = mhp__arena_next(m, pfn);
		uint32_t end = (uint32_t)((stop < end_pfn ? stop : end_pfn) - start);

		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		nr += nr_free_between(m, arena, (uint32_t)(pfn - start), end);
		mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	}
	MHP_ASSERT_DEBUG(nr <= nr_pages);
	return nr;
}
