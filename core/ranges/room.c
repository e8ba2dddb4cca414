/* SPDX-License-Identifier: MIT */
/*
 * room.c - where pages will move to, taken before anything moves.
 *
 * Room needs no memory to be kept: each chunk is an allocated page of MHP_OWNER_ROOM whose cookie
 * links it to the next, in the order in which it was taken. Big chunks are taken first and cut when
 * it is their turn, so that pages that follow each other at home also follow each other at the
 * target: a port that remaps can then do it in few, long runs. A target stays a page of
 * MHP_OWNER_ROOM until it is its new owner's, so room is found again after a kill (blocks/cut.c).
 */
#include "memmap/memmap.h"
#include "pages/alloc.h"
#include "pages/arena.h"
#include "pages/scan.h"
#include "pages/zone.h"
#include "ranges/migrate.h"

/* Chunks taken under one lock, but not more than a pageblock: a kill before they are linked loses
 * them. */
#define TAKE_MAX 32U

void
mhp__room_init(struct mhp__room *room)
{
	for (unsigned order = 0; order < MHP_ORDERS; order++)
		room->list[order] =
			(struct mhp__room_list){ MHP_PFN_NONE, MHP_PFN_NONE };
}

/* The cookie of the last chunk; no page has that pfn. */
#define LAST MHP_COOKIE_MAX

/* Append a chunk that is taken and whose descriptors are all-zero. */
static void
append(struct mhp *m, struct mhp__room_list *list, uint64_t pfn, unsigned chunk_order)
{
	MHP_ASSERT_DEBUG(chunk_order <= MHP_PAGEBLOCK_ORDER(m));
	MHP_ASSERT_DEBUG((pfn & ((UINT64_C(1) << chunk_order) - 1)) == 0);
	mhp__page_begin(mhp__pfn_to_page(m, pfn), MHP_OWNER_ROOM, chunk_order, LAST);
	if (list->last_pfn == MHP_PFN_NONE) {
		list->first_pfn = pfn;
	} else {
		struct mhp__page *last = mhp__pfn_to_page(m, list->last_pfn);
		mhp__page_begin(last, MHP_OWNER_ROOM, mhp__word_order(mhp__page_word(last)), pfn);
	}
	list->last_pfn = pfn;
}

void
mhp__room_put(struct mhp *m, struct mhp__room *room, unsigned order, uint64_t pfn)
{
	MHP_ASSERT_DEBUG(order < MHP_ORDERS);
	append(m, &room->list[order], pfn, order);
}

bool
mhp__room_fill(struct mhp *m, struct mhp__room *room, unsigned node, unsigned order, uint64_t nr,
	       uint64_t *ret_missing)
{
	unsigned chunk_order = MHP_PAGEBLOCK_ORDER(m);
	struct mhp__nodes nodes = { .set = room->nodes, .first = node };

	MHP_ASSERT_DEBUG(nr == 0 || order <= MHP_PAGEBLOCK_ORDER(m));
	/* Bound: each turn takes a chunk or goes one order down; and that of the work. */
	for (uint32_t turn = 1; nr > 0 && mhp__work_stop_at(m, turn) == 0; turn++) {
		uint64_t pfns[TAKE_MAX], nr_chunks = nr >> (chunk_order - order);
		unsigned most = 1U << (MHP_PAGEBLOCK_ORDER(m) - chunk_order), nr_got = 0;
		unsigned max = most < TAKE_MAX ? most : TAKE_MAX;

		max = nr_chunks < max ? (unsigned)nr_chunks : max;
		if (max != 0)
			nr_got = mhp__pages_take(m, nodes, chunk_order, max, pfns);
		if (nr_got == 0 && chunk_order == order)
			nr_got = mhp__pages_take_last(m, nodes, order, pfns);
		for (unsigned i = 0; i < nr_got; i++)
			append(m, &room->list[order], pfns[i], chunk_order);
		nr -= (uint64_t)nr_got << (chunk_order - order);
		if (nr_got == 0 && chunk_order-- == order)
			break;
	}
	*ret_missing = nr;
	return nr == 0;
}

/* Cut the first chunk into targets, from its end: until it is cut itself it bears all of its
 * frames, for whoever finds the change cut. Returns what follows the first target. */
static uint64_t
cut_first(struct mhp *m, struct mhp__room_list *list, unsigned order)
{
	uint64_t first_pfn = list->first_pfn, step = UINT64_C(1) << order;
	struct mhp__page *first = mhp__pfn_to_page(m, first_pfn);
	uint64_t word = mhp__page_word(first), next_pfn = mhp__word_cookie(word);
	uint64_t pfn = first_pfn + (UINT64_C(1) << mhp__word_order(word));

	MHP_ASSERT_DEBUG(mhp__word_owner(word) == MHP_OWNER_ROOM);
	MHP_ASSERT_DEBUG(mhp__word_order(word) >= order); /* chunks are whole targets */
	if (pfn - first_pfn == step)
		return next_pfn;
	if (next_pfn == LAST)
		list->last_pfn = pfn - step;
	while ((pfn -= step) != first_pfn) {
		mhp__page_begin(mhp__pfn_to_page(m, pfn), MHP_OWNER_ROOM, order, next_pfn);
		next_pfn = pfn;
	}
	mhp__page_begin(first, MHP_OWNER_ROOM, order, next_pfn);
	return next_pfn;
}

bool
mhp__room_take(struct mhp *m, struct mhp__room *room, unsigned order, uint64_t *ret_pfn)
{
	struct mhp__room_list *list = &room->list[order];
	uint64_t pfn = list->first_pfn;

	MHP_ASSERT_DEBUG(order < MHP_ORDERS);
	if (pfn == MHP_PFN_NONE)
		return false;
	list->first_pfn = cut_first(m, list, order);
	if (list->first_pfn == LAST)
		list->first_pfn = list->last_pfn = MHP_PFN_NONE;
	*ret_pfn = pfn;
	return true;
}

static bool
starts_pageblock(const struct mhp *m, uint64_t pfn)
{
	return (pfn & ((UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) - 1)) == 0;
}

void
mhp__room_empty(struct mhp *m, struct mhp__room *room)
{
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		struct mhp__room_list *list = &room->list[order];
		uint64_t run = 0, run_end = 0; /* frames of a pageblock, to give back as one */
		while (list->first_pfn != MHP_PFN_NONE) {
			struct mhp__page *page = mhp__pfn_to_page(m, list->first_pfn);
			uint64_t pfn = list->first_pfn, word = mhp__page_word(page);
			list->first_pfn = mhp__word_cookie(word);
			if (list->first_pfn == LAST)
				list->first_pfn = list->last_pfn = MHP_PFN_NONE;
			if (pfn != run_end || starts_pageblock(m, pfn)) {
				mhp__zone_give_range(m, run, run_end - run);
				run = pfn;
			}
			mhp__page_end(page);
			run_end = pfn + (UINT64_C(1) << mhp__word_order(word));
		}
		mhp__zone_give_range(m, run, run_end - run);
	}
}

/* ---- counting ---- */

/* Add the naturally aligned pages of each order in a run of free frames. */
static void
count_run(const struct mhp *m, uint64_t start_pfn, uint64_t end_pfn,
	  uint64_t ret_nr[MHP_ORDERS])
{
	MHP_ASSERT_DEBUG(start_pfn <= end_pfn);
	for (unsigned order = 0; order <= MHP_PAGEBLOCK_ORDER(m); order++) {
		uint64_t first = (start_pfn + (UINT64_C(1) << order) - 1) >> order;
		uint64_t end = end_pfn >> order;
		if (end > first)
			ret_nr[order] += end - first;
	}
}

void
mhp__room_count(struct mhp *m, const struct mhp__zone *zone, uint32_t index,
		uint64_t ret_nr[MHP_ORDERS])
{
	struct mhp__arena *arena = &m->arenas[index];
	uint64_t start = mhp__arena_start(m, arena);
	uint32_t end = (uint32_t)mhp__arena_pages(m), at = 0, run = 0;

	MHP_ASSERT_DEBUG(index < m->nr_arenas);
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (arena->zone_id1 != mhp__zone_id(m, zone) + 1)
		end = 0;
	/* Bound: each turn moves on by a frame at least. */
	while (at < end) {
		bool free;
		uint32_t length = mhp__arena_run(m, arena, at, &free);
		if (!free) {
			count_run(m, start + run, start + at, ret_nr);
			run = at + length;
		}
		at += length;
	}
	count_run(m, start + run, start + at, ret_nr);
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
}
