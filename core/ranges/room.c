/* SPDX-License-Identifier: MIT */
/*
 * room.c - where pages will move to, taken before anything moves.
 *
 * Room needs no memory to be kept: each chunk is an allocated page of MHP_OWNER_ROOM whose cookie
 * links it to the next, in the order in which it was taken. Large chunks are taken first and split
 * into targets when it is their turn, so that pages which are contiguous now are contiguous at the
 * target, too, and a port that remaps needs few, long runs. Recovery (blocks/recovery.c) finds
 * chunks by their owner, and what is left of the chunk that was being split by the log: a target
 * has no descriptor until it gets its new owner's.
 */
#include "memmap/memmap.h"
#include "pages/alloc.h"
#include "pages/arena.h"
#include "pages/scan.h"
#include "pages/zone.h"
#include "ranges/migrate.h"

/* Chunks taken under one lock, but never more than a pageblock: a thread that is killed before they
 * are linked loses them. */
#define TAKE_MAX 32U

void
mhp__room_init(struct mhp__room *room)
{
	for (unsigned order = 0; order < MHP_ORDERS; order++)
		room->list[order] =
			(struct mhp__room_list){ MHP_PFN_NONE, MHP_PFN_NONE, 0, 0 };
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

/* Take the first chunk off the list. */
static struct mhp__page *
first_chunk(struct mhp *m, struct mhp__room_list *list, uint64_t *ret_pfn, uint64_t *ret_end)
{
	struct mhp__page *page = mhp__pfn_to_page(m, list->first_pfn);
	uint64_t word = mhp__page_word(page);

	MHP_ASSERT_DEBUG(mhp__word_owner(word) == MHP_OWNER_ROOM);
	*ret_pfn = list->first_pfn;
	*ret_end = list->first_pfn + (UINT64_C(1) << mhp__word_order(word));
	list->first_pfn = mhp__word_cookie(word);
	if (list->first_pfn == LAST)
		list->first_pfn = list->last_pfn = MHP_PFN_NONE;
	return page;
}

/* From here on nothing but the log says whose the chunk is. */
static bool
open_chunk(struct mhp *m, struct mhp__room_list *list, unsigned order)
{
	struct mhp__log *log = &m->work.log;
	struct mhp__page *page;

	MHP_ASSERT_DEBUG(list->cut_pfn == list->cut_end);
	if (list->first_pfn == MHP_PFN_NONE)
		return false;
	page = first_chunk(m, list, &list->cut_pfn, &list->cut_end);
	MHP_ASSERT_DEBUG((list->cut_end - list->cut_pfn) >> order != 0); /* whole targets */
	mhp__log(&log->room_end[order], 0);
	mhp__log(&log->room_pfn[order], list->cut_pfn);
	mhp__log(&log->room_end[order], list->cut_end);
	mhp__page_end(page);
	return true;
}

bool
mhp__room_take(struct mhp *m, struct mhp__room *room, const struct mhp__chunk *page,
	       uint64_t *ret_pfn)
{
	unsigned order = page->order;
	struct mhp__room_list *list = &room->list[order];

	MHP_ASSERT_DEBUG(order < MHP_ORDERS);
	if (list->cut_pfn == list->cut_end && !open_chunk(m, list, order))
		return false;
	*ret_pfn = list->cut_pfn;
	mhp__page_begin(mhp__pfn_to_page(m, list->cut_pfn), page->owner, order, page->cookie);
	list->cut_pfn += UINT64_C(1) << order;
	mhp__log(&m->work.log.room_pfn[order], list->cut_pfn); /* its descriptor says so now */
	return true;
}

void
mhp__room_empty(struct mhp *m, struct mhp__room *room)
{
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		struct mhp__room_list *list = &room->list[order];
		uint64_t pfn = list->cut_pfn, end_pfn = list->cut_end;
		/* First: once they are free, frames without a descriptor may be in a cache. */
		mhp__log(&m->work.log.room_end[order], 0);
		list->cut_pfn = list->cut_end;
		mhp__zone_give_range(m, pfn, end_pfn - pfn);
		while (list->first_pfn != MHP_PFN_NONE) {
			mhp__page_end(first_chunk(m, list, &pfn, &end_pfn));
			mhp__zone_give_range(m, pfn, end_pfn - pfn);
		}
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
