/* SPDX-License-Identifier: MIT */
/*
 * commit.c - put frames behind a range of a region, take them away, give their memory back.
 *
 * A free frame of a sparse file has no memory: whoever frees one punches it first. That it reads as
 * zeros commit sees to, since other owners of the pool need not, and other files cannot. The
 * order of a decommit is: unmap, punch, free; so nobody can write to a frame that is on its way to
 * somebody else.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "frames.h"

static bool
range_valid(const struct mhp_region *region, const void *start, uint64_t size, uint64_t *ret_page,
	    uint64_t *ret_nr)
{
	uint64_t offset = (uintptr_t)start - region->base;
	uint64_t whole = region->nr_pages << MHP__PAGE_SHIFT;
	if ((uintptr_t)start < region->base || offset > whole || size > whole - offset ||
	    size == 0 || (offset | size) % region->pool->granule != 0)
		return false;
	*ret_page = offset >> MHP__PAGE_SHIFT;
	*ret_nr = size >> MHP__PAGE_SHIFT;
	return true;
}

/* Clear and free committed pages [page, page + nr), which are unmapped, settled and whole. */
static void
free_frames(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	for (uint64_t end = page + nr; page < end;) {
		mhp__entry entry = region->entry[page];
		uint64_t pfn = mhp__entry_pfn(entry);
		if (mhp__shared(pool, entry)) {
			mhp__quarantine(pool, pfn, mhp__entry_epoch(entry));
			page += UINT64_C(1) << mhp__entry_order(entry);
			continue;
		}
		uint64_t run = mhp__table_run(region, page, end - page), free = 0;
		while (free < run && !mhp__shared(pool, region->entry[page + free]))
			free++;
		mhp__frames_release(pool, pfn, free);
		(void)!mhp_pages_free_contig(pool->m, pfn, free);
		page += free;
	}
}

/* Undo a part of a commit. */
static void
undo(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	if (nr == 0)
		return;
	mhp__spare_drop(region->pool);
	(void)!mhp__region_unmap(region, page, nr);
	free_frames(region, page, nr);
	mhp__table_set(region, page, nr, 0);
	mhp__spare_take(region->pool);
}

static int
commit_locked(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	uint64_t done = 0;

	if ((region->entry[page] & MHP__ENTRY_COMMITTED) != 0 ||
	    mhp__table_span(region, page, nr) != nr)
		return MHP_EEXIST;
	while (done < nr) {
		uint64_t pfn, got, run = 0;
		unsigned order;
		uint64_t first = page + done;
		/* Collect consecutive frames, then map them as one. */
		while (done < nr &&
		       mhp__frames_take(region, page + done, nr - done, &pfn, &got, &order)) {
			bool adjoins = run == 0 ||
				       pfn == mhp__entry_pfn(region->entry[first]) + run;
			for (uint64_t i = 0; i < got; i += UINT64_C(1) << order)
				mhp__table_set(region, page + done + i, UINT64_C(1) << order,
					       mhp__entry_make(pfn + i, order, pool->epoch));
			done += got;
			if (!adjoins)
				break;
			run += got;
		}
		if (run == 0) {
			undo(region, page, done);
			return MHP_ENOMEM;
		}
		/* The last piece may have begun a new run: map run by run up to done. */
		for (uint64_t at = first; at < page + done;) {
			uint64_t piece = mhp__table_run(region, at, page + done - at);
			uint64_t base = mhp__entry_pfn(region->entry[at]);
			mhp__frames_zero(pool, base, piece);
			if (!mhp__mappings_fit(pool, 2) ||
			    mhp__region_map(region, at, base, piece) != 0) {
				undo(region, page, done);
				return MHP_ENOMEM;
			}
			at += piece;
		}
	}
	return 0;
}

int
mhp_region_commit(struct mhp_region *region, void *start, uint64_t size)
{
	uint64_t page, nr;
	if (!range_valid(region, start, size, &page, &nr))
		return MHP_EINVAL;
	pthread_mutex_lock(&region->pool->mutex);
	int err = commit_locked(region, page, nr);
	pthread_mutex_unlock(&region->pool->mutex);
	return err;
}

/* Pages of the pool that reach over the edges of the range are cut. */
static void
split_edge(struct mhp_region *region, uint64_t page)
{
	if (page < region->nr_pages && (region->entry[page] & MHP__ENTRY_COMMITTED) != 0 &&
	    mhp__entry_offset(region->entry[page]) != 0)
		mhp__frames_split(region, page);
}

static int
decommit_locked(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	uintptr_t address = mhp__page_address(region, page);
	bool whole = page == 0 && nr >= region->top;

	if (mhp__pinned(pool, address, address + (nr << MHP__PAGE_SHIFT)))
		return MHP_EBUSY;
	if (!whole && !mhp__mappings_fit(pool, 2))
		return MHP_ENOMEM;
	mhp__frames_settle(region, page, nr);
	split_edge(region, page);
	split_edge(region, page + nr);
	if (mhp__region_unmap(region, page, nr) != 0)
		return MHP_ENOMEM;
	for (uint64_t at = page; at < page + nr;) {
		uint64_t span = mhp__table_span(region, at, page + nr - at);
		if ((region->entry[at] & MHP__ENTRY_COMMITTED) != 0)
			free_frames(region, at, span);
		at += span;
	}
	mhp__table_set(region, page, nr, 0);
	return 0;
}

int
mhp_region_decommit(struct mhp_region *region, void *start, uint64_t size)
{
	uint64_t page, nr;
	if (!range_valid(region, start, size, &page, &nr))
		return MHP_EINVAL;
	pthread_mutex_lock(&region->pool->mutex);
	int err = decommit_locked(region, page, nr);
	pthread_mutex_unlock(&region->pool->mutex);
	return err;
}

static int
purge_locked(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	uintptr_t address = mhp__page_address(region, page);
	uint64_t end = page + nr;

	if (mhp__pinned(pool, address, address + (nr << MHP__PAGE_SHIFT)))
		return MHP_EBUSY;
	mhp__frames_settle(region, page, nr);
	for (uint64_t at = page; at < end; at++) {
		uint64_t offset;
		if ((region->entry[at] & MHP__ENTRY_COMMITTED) == 0)
			return MHP_EINVAL;
		if (mhp__shared(pool, region->entry[at]))
			return MHP_EBUSY;
		if (!mhp__frame_file(pool, mhp__entry_pfn(region->entry[at]), &offset)->sparse)
			return MHP_EOPNOTSUPP;
	}
	for (uint64_t run; page < end; page += run) {
		run = mhp__table_run(region, page, end - page);
		if (pool->private_map)
			madvise((void *)mhp__page_address(region, page), run << MHP__PAGE_SHIFT,
				MADV_DONTNEED);
		mhp__frames_release(pool, mhp__entry_pfn(region->entry[page]), run);
	}
	return 0;
}

int
mhp_region_purge(struct mhp_region *region, void *start, uint64_t size)
{
	uint64_t page, nr;
	if (!range_valid(region, start, size, &page, &nr))
		return MHP_EINVAL;
	pthread_mutex_lock(&region->pool->mutex);
	int err = purge_locked(region, page, nr);
	pthread_mutex_unlock(&region->pool->mutex);
	return err;
}
