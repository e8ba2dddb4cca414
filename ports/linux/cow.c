/* SPDX-License-Identifier: MIT */
/*
 * cow.c - the parent's side of copy-on-write: who stores to a page that a child sees gets a copy.
 *
 * Copies are made 64 KiB at a time (or a whole huge page), so that random stores do not cost a
 * mapping for every 4 KiB; when mappings become scarce, 2 MiB at a time. The move itself is a
 * batch like any other, but its old frames stay with the children. Pages that cannot be protected
 * are not shared at all: everybody is kept from them until the child has made a copy, which the
 * parent's fork waits for. Region mutex held.
 */
#include "frames.h"

#define COW_PAGES UINT64_C(16)

void
mhp__cow_each(struct mhp_pool *pool, bool protectable,
	      void (*fn)(const struct mhp_region *region, uint64_t page, uint64_t nr))
{
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		const struct mhp_region *region = &pool->region[i];
		uint64_t first = 0, nr = 0, page = 0, span;
		for (; region->live && page < region->top; page += span) {
			mhp__entry entry = region->entry[page];
			bool committed = (entry & MHP__ENTRY_COMMITTED) != 0;
			span = committed ? mhp__table_run(region, page, region->top - page)
					 : mhp__table_span(region, page, region->top - page);
			if (committed &&
			    mhp__frame_protectable(pool, mhp__entry_pfn(entry)) == protectable) {
				first = nr == 0 ? page : first;
				nr += span;
			} else if (nr != 0) {
				fn(region, first, nr);
				nr = 0;
			}
		}
		if (nr != 0)
			fn(region, first, nr);
	}
}

unsigned mhp__test_fail_protects;

static int
try_protect(struct mhp_pool *pool, uintptr_t start, uint64_t size)
{
	if (mhp__test_fail_protects != 0 && mhp__test_fail_protects-- != 0)
		return MHP_ENOMEM;
	return mhp__uffd_protect(pool, start, size);
}

static void
protect(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	uintptr_t start = mhp__page_address(region, page);
	if (try_protect(pool, start, nr << MHP__PAGE_SHIFT) == 0)
		return;
	mhp__spare_drop(pool);
	if (try_protect(pool, start, nr << MHP__PAGE_SHIFT) != 0)
		pool->fork_eager = true;
}

static void
make_hole(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	uintptr_t start = mhp__page_address(region, page);
	(void)!mhp__hole_make(region->pool, start, nr << MHP__PAGE_SHIFT);
}

void
mhp__cow_protect(struct mhp_pool *pool)
{
	pool->fork_eager = false;
	mhp__cow_each(pool, true, protect);
	if (pool->scratch != NULL)
		mhp__cow_each(pool, false, make_hole);
}

static void
fill_hole(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	uintptr_t start = mhp__page_address(region, page);
	uint64_t size = nr << MHP__PAGE_SHIFT;
	for (uint64_t end = page + nr, run; page < end; page += run) {
		run = mhp__table_run(region, page, end - page);
		(void)!mhp__region_map(region, page, mhp__entry_pfn(region->entry[page]), run);
		/* The child has its own copy. */
		for (uint64_t i = page; i < page + run; i++)
			region->entry[i] = mhp__entry_make(mhp__entry_pfn(region->entry[i]),
							   mhp__entry_order(region->entry[i]),
							   pool->epoch) |
				(region->entry[i] & (MHP__ENTRY_ISOLATED | MHP__ENTRY_MOVED));
	}
	mhp__hole_wake(pool, start, size);
}

void
mhp__cow_fill_holes(struct mhp_pool *pool)
{
	if (pool->scratch != NULL)
		mhp__cow_each(pool, false, fill_hole);
}

static void
release(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	mhp__uffd_release(region->pool, mhp__page_address(region, page), nr << MHP__PAGE_SHIFT);
}

void
mhp__cow_release(struct mhp_pool *pool)
{
	mhp__cow_each(pool, true, release);
	mhp__spare_take(pool);
}

/* What is copied for a store to page: an aligned piece of like pages around it. */
static void
choose(struct mhp_region *region, uint64_t page, uint64_t *ret_first, uint64_t *ret_nr)
{
	struct mhp_pool *pool = region->pool;
	bool scarce = !mhp__mappings_fit(pool, pool->map_limit / 4);
	uint64_t unit = pool->granule != MHP__PAGE_BYTES || scarce ? MHP__BATCH_PAGES : COW_PAGES;
	uint64_t first = page & ~(unit - 1), end = first + unit;
	while (first < page && !mhp__shared(pool, region->entry[first]))
		first++;
	if (end > region->nr_pages)
		end = region->nr_pages;
	uint64_t nr = page - first;
	while (first + nr < end && (region->entry[first + nr] & MHP__ENTRY_COMMITTED) != 0 &&
	       mhp__shared(pool, region->entry[first + nr]))
		nr++;
	/* Between first and page something may be missing: then only from page on. */
	for (uint64_t i = page; i > first; i--) {
		mhp__entry entry = region->entry[i - 1];
		if ((entry & MHP__ENTRY_COMMITTED) == 0 || !mhp__shared(pool, entry)) {
			nr -= i - first;
			first = i;
			break;
		}
	}
	*ret_first = first;
	*ret_nr = nr;
}

/* Make every page of the pool in the range end with it: single frames, but for whole huge pages. */
static void
cut(struct mhp_region *region, uint64_t first, uint64_t nr)
{
	for (uint64_t i = first; i < first + nr;) {
		mhp__entry entry = region->entry[i];
		uint64_t size = UINT64_C(1) << mhp__entry_order(entry);
		if (size == UINT64_C(1) << MHP__HUGE_ORDER && nr == size &&
		    mhp__entry_offset(entry) == 0)
			return;
		mhp__frames_split(region, i);
		i++;
	}
}

/* Take frames for the copies into the batch; false: there are none. */
static bool
fill(struct mhp_region *region, uint64_t first, uint64_t nr)
{
	struct mhp__batch *batch = &region->pool->batch;
	struct mhp *m = region->pool->m;
	*batch = (struct mhp__batch){ .keep_src = true };
	for (uint64_t done = 0; done < nr && batch->nr_pieces < MHP__BATCH_PIECES;) {
		uint64_t pfn, got, page = first + done, run;
		unsigned order;
		if (!mhp__frames_take(region, page, nr - done, &pfn, &got, &order))
			break;
		bool whole = mhp__entry_order(region->entry[page]) == order;
		if (!whole)
			mhp__frames_split(region, page);
		if (!whole && order != 0 && mhp_page_split(m, pfn) == 0)
			for (uint64_t i = 1; i < got; i++)
				(void)!mhp_page_set_cookie(m, pfn + i,
							   mhp__page_address(region, page + i));
		/* The old frames need not be consecutive: a piece for each run of them. */
		for (uint64_t at = 0; at < got; at += run) {
			run = mhp__table_run(region, page + at, got - at);
			if (batch->nr_pieces == MHP__BATCH_PIECES) {
				(void)!mhp_pages_free_contig(m, pfn + at, got - at);
				break;
			}
			batch->piece[batch->nr_pieces++] = (struct mhp__piece){
				.region = region, .page = page + at, .nr = run,
				.src_pfn = mhp__entry_pfn(region->entry[page + at]),
				.dst_pfn = pfn + at };
			batch->nr_pages += run;
		}
		done += got;
	}
	return batch->nr_pieces != 0;
}

/* The old frames of the batch stay with the children. */
static void
keep_old(struct mhp_pool *pool, const uint32_t epoch)
{
	const struct mhp__batch *batch = &pool->batch;
	for (unsigned i = 0; i < batch->nr_pieces; i++) {
		const struct mhp__piece *piece = &batch->piece[i];
		unsigned order = mhp__entry_order(piece->region->entry[piece->page]);
		for (uint64_t at = 0; at < piece->nr; at += UINT64_C(1) << order)
			mhp__quarantine(pool, piece->src_pfn + at, epoch);
	}
	pool->stats.cow_pages += batch->nr_pages;
}

static void
give_new_back(struct mhp_pool *pool)
{
	const struct mhp__batch *batch = &pool->batch;
	for (unsigned i = 0; i < batch->nr_pieces; i++) {
		const struct mhp__piece *piece = &batch->piece[i];
		mhp__frames_release(pool, piece->dst_pfn, piece->nr);
		(void)!mhp_pages_free_contig(pool->m, piece->dst_pfn, piece->nr);
	}
}

/* No frame is free: ask for more, without locks; the writer tries again in any case. */
static void
starve(struct mhp_pool *pool)
{
	pthread_mutex_unlock(&pool->mutex);
	if (pool->grow == NULL || !pool->grow(pool->grow_ctx))
		mhp__linux_ops.pause(pool, 1000000);
	pthread_mutex_lock(&pool->mutex);
}

void
mhp__cow_resolve(struct mhp_pool *pool, uintptr_t address)
{
	uintptr_t start = address & ~(uintptr_t)(pool->granule - 1);
	struct mhp_region *region = mhp__region_find(pool, address);
	uint64_t first, nr, page;

	if (region == NULL)
		return;
	page = (start - region->base) >> MHP__PAGE_SHIFT;
	if ((region->entry[page] & MHP__ENTRY_COMMITTED) != 0 &&
	    mhp__shared(pool, region->entry[page])) {
		choose(region, page, &first, &nr);
		mhp__frames_settle(region, first, nr);
		choose(region, page, &first, &nr); /* settling let go of the mutex */
		if (nr != 0 && mhp__shared(pool, region->entry[page])) {
			uint32_t epoch = mhp__entry_epoch(region->entry[page]);
			for (uint64_t i = first; i < first + nr; i++)
				if (mhp__entry_epoch(region->entry[i]) < epoch)
					epoch = mhp__entry_epoch(region->entry[i]);
			cut(region, first, nr);
			if (!fill(region, first, nr))
				starve(pool);
			else if (mhp__batch_run(pool) == 0)
				keep_old(pool, epoch);
			else
				give_new_back(pool);
		}
	} else {
		mhp__uffd_unprotect(pool, start, pool->granule);
	}
	mhp__uffd_wake(pool, start, pool->granule);
}
