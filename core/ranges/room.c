/* SPDX-License-Identifier: MIT */
/*
 * room.c - where pages will move to, taken before anything moves.
 *
 * Room needs no memory to be kept: each chunk is an allocated page of MHP_OWNER_ROOM whose cookie
 * links it to the next, in the order in which it was taken. Big chunks are taken first and cut from
 * the front, so that pages that follow each other at home also follow each other at the target:
 * a port that remaps can then do it in few, long runs.
 */
#include "memmap/memmap.h"
#include "pages/alloc.h"
#include "pages/arena.h"
#include "pages/scan.h"
#include "pages/zone.h"
#include "ranges/migrate.h"

/* Chunks taken under one lock. */
#define TAKE_MAX 32U

void
mhp__room_init(struct mhp__room *room)
{
	for (unsigned order = 0; order < MHP_ORDERS; order++)
		room->list[order] =
			(struct mhp__room_list){ MHP_PFN_NONE, MHP_PFN_NONE, MHP_PFN_NONE, 0 };
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
		unsigned max = nr_chunks < TAKE_MAX ? (unsigned)nr_chunks : TAKE_MAX, nr_got = 0;

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

/* Start to cut the first chunk. */
static bool
next_chunk(struct mhp *m, struct mhp__room_list *list)
{
	struct mhp__page *page;
	uint64_t pfn = list->first_pfn, word;

	MHP_ASSERT_DEBUG(list->cut_left == 0);
	if (pfn == MHP_PFN_NONE)
		return false;
	page = mhp__pfn_to_page(m, pfn);
	word = mhp__page_word(page);
	MHP_ASSERT_DEBUG(mhp__word_owner(word) == MHP_OWNER_ROOM);
	list->first_pfn = mhp__word_cookie(word);
	if (list->first_pfn == LAST)
		list->first_pfn = list->last_pfn = MHP_PFN_NONE;
	list->cut_pfn = pfn;
	list->cut_left = UINT64_C(1) << mhp__word_order(word);
	mhp__page_end(page);
	return true;
}

bool
mhp__room_take(struct mhp *m, struct mhp__room *room, unsigned order, uint64_t *ret_pfn)
{
	struct mhp__room_list *list = &room->list[order];

	MHP_ASSERT_DEBUG(order < MHP_ORDERS);
	if (list->cut_left == 0 && !next_chunk(m, list))
		return false;
	MHP_ASSERT_DEBUG(list->cut_left >> order != 0); /* chunks are whole targets */
	*ret_pfn = list->cut_pfn;
	list->cut_pfn += UINT64_C(1) << order;
	list->cut_left -= UINT64_C(1) << order;
	return true;
}

void
mhp__room_empty(struct mhp *m, struct mhp__room *room)
{
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		struct mhp__room_list *list = &room->list[order];
		while (list->cut_left != 0 || next_chunk(m, list)) {
			mhp__zone_give_range(m, list->cut_pfn, list->cut_left);
			list->cut_left = 0;
		}
		MHP_ASSERT_DEBUG(list->first_pfn == MHP_PFN_NONE);
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
