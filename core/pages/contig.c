/* SPDX-License-Identifier: MIT */
/*
 * contig.c - ranges of frames of any length, across pageblocks, arenas and blocks.
 *
 * A short range is taken as one page, or right after the range before it. For others a zone is
 * searched, one arena lock at a time, for a run of free frames that is long enough; then the run is
 * taken arena by arena. If another thread took some of it in between, the rest goes back, and the
 * search goes on after it. A range is split at natural alignment into pages like any other, so that
 * nobody has to know later that they came together.
 *
 * Must not know: blocks. Runs end where a zone's arenas do, or where frames are not the
 * allocator's.
 */
#include "pages/contig.h"

#include "memmap/memmap.h"
#include "pages/alloc.h"
#include "pages/arena.h"
#include "pages/attach.h"
#include "pages/poison.h"
#include "pages/scan.h"
#include "pages/zone.h"

/* The largest order of a page that [pfn, pfn + nr_pages) can start with. */
static unsigned
first_order(const struct mhp *m, uint64_t pfn, uint64_t nr_pages)
{
	unsigned order = MHP_PAGEBLOCK_ORDER(m);
	uint64_t fits = nr_pages >> order != 0 ? order : 63U - (unsigned)__builtin_clzll(nr_pages);
	uint64_t mask = (UINT64_C(1) << fits) - 1;

	MHP_ASSERT_DEBUG(nr_pages != 0);
	if ((pfn & mask) != 0)
		fits = (unsigned)__builtin_ctzll(pfn);
	MHP_ASSERT_DEBUG(UINT64_C(1) << fits <= nr_pages);
	return (unsigned)fits;
}

/* Take a run that was free when it was found, all or nothing. */
static bool
take_range(struct mhp *m, struct mhp__zone *zone, uint64_t pfn, uint64_t nr_pages)
{
	uint64_t end = pfn + nr_pages, stop;

	MHP_ASSERT_DEBUG(nr_pages != 0);
	MHP_ASSERT_DEBUG(end <= mhp__max_pfn(m));
	for (uint64_t at = pfn; at < end; at = stop) {
		stop = mhp__arena_next(m, at);
		stop = stop < end ? stop : end;
		if (!mhp__zone_take_part(m, zone, at, (uint32_t)(stop - at))) {
			mhp__zone_give_range(m, pfn, at - pfn);
			return false;
		}
	}
	return true;
}

/* Where a range may be looked for, other than after the last one. */
enum how {
	ANYWHERE,
	BY_ADDRESS,                    /* but not by the lists of a zone */
	WITHIN,                        /* only in [from, end), from its start */
};

/* A search under way: frames [run, at) are free. */
struct search {
	struct mhp__zone *zone;
	uint64_t nr_pages, align_mask;
	enum how how;
	uint64_t from, end;            /* other frames are not wanted */
	uint64_t run, at;
};

static inline uint64_t
aligned_run(const struct search *search)
{
	return (search->run + search->align_mask) & ~search->align_mask;
}

static inline bool
is_enough(const struct search *search)
{
	uint64_t start = aligned_run(search);

	MHP_ASSERT_DEBUG(search->run <= search->at);
	return search->at > start && search->at - start >= search->nr_pages;
}

/* Go on in the arena that search->at is in, to its end or until there is enough. */
static void
search_arena(struct mhp *m, struct search *search)
{
	struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, search->at)];
	uint64_t start = mhp__arena_start(m, arena), end = start + mhp__arena_pages(m);

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (arena->zone_id1 != mhp__zone_id(m, search->zone) + 1)
		search->run = search->at = end;
	while (search->at < end && !is_enough(search)) {
		bool free;
		search->at += mhp__arena_run(m, arena, (uint32_t)(search->at - start), &free);
		if (!free)
			search->run = search->at;
	}
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
}

/* Look for a range that begins in [from, end) and take it. */
static bool
take_between(struct mhp *m, const struct search *what, uint64_t from, uint64_t end,
	     uint64_t *ret_pfn)
{
	struct search search = *what;

	MHP_ASSERT_DEBUG(end <= mhp__max_pfn(m));
	search.run = search.at = from;
	/* Bound: each turn comes to the end of an arena, or of a run. */
	while (search.at < end) {
		search_arena(m, &search);
		if (!is_enough(&search))
			continue;
		*ret_pfn = aligned_run(&search);
		if (*ret_pfn + search.nr_pages > search.end)
			return false;
		if (take_range(m, search.zone, *ret_pfn, search.nr_pages))
			return true;
		search.run = search.at;
	}
	return false;
}

/* Take a page that the range fits in, as any other, and give the rest of it back. */
static bool
take_as_page(struct mhp *m, const struct search *what, uint64_t *ret_pfn)
{
	unsigned order = 0;

	MHP_ASSERT_DEBUG(what->nr_pages != 0);
	while (UINT64_C(1) << order < what->nr_pages || UINT64_C(1) << order <= what->align_mask)
		order++;
	if (order > MHP_PAGEBLOCK_ORDER(m) ||
	    mhp__zone_take(m, what->zone, order, 1, NULL, ret_pfn) == 0)
		return false;
	if (what->nr_pages < UINT64_C(1) << order)
		mhp__zone_give_range(m, *ret_pfn + what->nr_pages,
				     (UINT64_C(1) << order) - what->nr_pages);
	return true;
}

/* Behind the last range first, so that ranges which come one after the other lie so, and each costs
 * the same; then what the zone's lists find; only then is all of the zone searched. */
static bool
take_from_zone(struct mhp *m, const struct search *what, uint64_t *ret_pfn)
{
	struct mhp__zone *zone = what->zone;
	uint64_t start = atomic_load_explicit(&zone->start_pfn, memory_order_relaxed);
	uint64_t end = atomic_load_explicit(&zone->end_pfn, memory_order_relaxed);
	uint64_t next = atomic_load_explicit(&zone->next_pfn, memory_order_relaxed);
	bool near = next >= start && next < end;

	if (!(near && take_between(m, what, next, mhp__arena_next(m, next), ret_pfn)) &&
	    !(what->how == ANYWHERE && take_as_page(m, what, ret_pfn)) &&
	    !(near && take_between(m, what, next, end, ret_pfn)) &&
	    !take_between(m, what, start, end, ret_pfn))
		return false;
	atomic_store_explicit(&zone->next_pfn, *ret_pfn + what->nr_pages, memory_order_relaxed);
	return true;
}

static bool
take_within(struct mhp *m, const struct search *what, uint64_t *ret_pfn)
{
	uint64_t start = atomic_load_explicit(&what->zone->start_pfn, memory_order_relaxed);
	uint64_t end = atomic_load_explicit(&what->zone->end_pfn, memory_order_relaxed);

	start = start > what->from ? start : what->from;
	end = end < what->end ? end : what->end;
	return start < end && take_between(m, what, start, end, ret_pfn);
}

/* In all zones that the request may use. */
static bool
take(struct mhp *m, struct mhp_page_req req, struct search *what, uint64_t *ret_pfn)
{
	bool taken = false;

	MHP_ASSERT_DEBUG(what->nr_pages != 0);
	for (unsigned at = 0; !taken && (what->zone = mhp__page_req_zone(m, req, &at)) != NULL;)
		taken = what->how == WITHIN ? take_within(m, what, ret_pfn)
					    : take_from_zone(m, what, ret_pfn);
	return taken;
}

static void
begin_pages(struct mhp *m, struct mhp_page_req req, uint64_t pfn, uint64_t nr_pages)
{
	mhp__unpoison(m, pfn, nr_pages, true);
	while (nr_pages > 0) {
		unsigned order = first_order(m, pfn, nr_pages);
		MHP_ASSERT_DEBUG(mhp__page_word(mhp__pfn_to_page(m, pfn)) == 0); /* INV 9 */
		mhp__page_begin(mhp__pfn_to_page(m, pfn), req.owner, order, req.cookie);
		pfn += UINT64_C(1) << order;
		nr_pages -= UINT64_C(1) << order;
	}
}

static int
alloc(struct mhp *m, struct mhp_page_req req, struct search *what, uint64_t *ret_pfn)
{
	uint64_t pfn;

	what->align_mask = (UINT64_C(1) << req.order) - 1;
	req = mhp__page_req_home(m, req);
	if (!take(m, req, what, &pfn)) {
		mhp__page_req_drain(m, req);
		if (!take(m, req, what, &pfn))
			return MHP_ENOMEM;
	}
	MHP_ASSERT_DEBUG((pfn & what->align_mask) == 0);
	MHP_ASSERT_DEBUG(pfn >= what->from);
	MHP_ASSERT_DEBUG(pfn + what->nr_pages <= what->end);
	begin_pages(m, req, pfn, what->nr_pages);
	*ret_pfn = pfn;
	return 0;
}

int
mhp__pages_alloc_by_address(struct mhp *m, struct mhp_page_req req, uint64_t nr_pages,
			    uint64_t *ret_pfn)
{
	struct search what = { .nr_pages = nr_pages, .how = BY_ADDRESS, .end = UINT64_MAX };

	return alloc(m, req, &what, ret_pfn);
}

void
mhp__pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr_pages)
{
	uint64_t end = pfn + nr_pages, behind = end;
	struct mhp__zone *zone = mhp__zone_of(m, pfn);

	MHP_ASSERT(zone != NULL); /* its pages are in use */
	/* The next range is looked for after the last one. Where that one comes back first, it is
	 * taken again: a caller who takes and gives in turn would otherwise wander through all of
	 * the zone, and write to descriptors that nobody has ever touched. */
	(void)atomic_compare_exchange_strong_explicit(&zone->next_pfn, &behind, pfn,
						      memory_order_relaxed, memory_order_relaxed);
	while (pfn < end) {
		struct mhp__page *page = mhp__pfn_to_page(m, pfn);
		unsigned order = mhp__word_order(mhp__page_word(page));
		mhp__page_release(m, pfn, order);
		pfn += UINT64_C(1) << order;
	}
	MHP_ASSERT_DEBUG(pfn == end); /* whole pages */
}

struct mhp__contig_hints
mhp__contig_hints(const struct mhp *m, unsigned node)
{
	struct mhp__contig_hints hints;

	for (unsigned i = 0; i < MHP_NODE_ZONES; i++)
		hints.next_pfn[i] = atomic_load_explicit(
			&mhp__zone(m, node, MHP_ZONE_NORMAL + i)->next_pfn, memory_order_relaxed);
	return hints;
}

void
mhp__contig_hints_set(struct mhp *m, unsigned node, struct mhp__contig_hints hints)
{
	for (unsigned i = 0; i < MHP_NODE_ZONES; i++)
		atomic_store_explicit(&mhp__zone(m, node, MHP_ZONE_NORMAL + i)->next_pfn,
				      hints.next_pfn[i], memory_order_relaxed);
}

int
mhp_pages_alloc_contig(struct mhp *m, struct mhp_page_req req, uint64_t nr_pages,
		       uint64_t *ret_pfn)
{
	struct search what = { .nr_pages = nr_pages, .how = ANYWHERE, .end = UINT64_MAX };
	int err = mhp__page_req_check(m, req, m->geo.block_order);

	if (err != 0)
		return err;
	if (nr_pages == 0)
		return MHP_EINVAL;
	if (nr_pages > mhp__max_pfn(m))
		return MHP_ENOMEM;
	return alloc(m, req, &what, ret_pfn);
}

int
mhp_pages_alloc_within(struct mhp *m, struct mhp_page_req req, uint64_t nr_pages,
		       uint64_t start_pfn, uint64_t end_pfn, uint64_t *ret_pfn)
{
	struct search what = { .nr_pages = nr_pages, .how = WITHIN, .from = start_pfn,
			       .end = end_pfn };
	int err = mhp__page_req_check(m, req, m->geo.block_order);

	if (err != 0)
		return err;
	if (nr_pages == 0 || start_pfn > end_pfn)
		return MHP_EINVAL;
	if (end_pfn > mhp__max_pfn(m))
		return MHP_ENXIO;
	return alloc(m, req, &what, ret_pfn);
}

int
mhp_pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr_pages)
{
	uint64_t max = mhp__max_pfn(m);
	unsigned order;

	if (nr_pages == 0 || pfn >= max || nr_pages > max - pfn)
		return MHP_EINVAL;
	for (uint64_t at = pfn; at < pfn + nr_pages; at += UINT64_C(1) << order) {
		int err = mhp__page_order(m, at, &order);
		if (err != 0)
			return err;
		if (pfn + nr_pages - at < UINT64_C(1) << order)
			return MHP_EINVAL;
	}
	mhp__pages_free_contig(m, pfn, nr_pages);
	return 0;
}
