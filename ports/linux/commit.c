/* SPDX-License-Identifier: MIT */
/*
 * commit.c - commit and decommit ranges of a region, and give their memory back.
 *
 * Committing takes labels and opens the addresses: the memory is ordinary, comes when it is touched
 * and reads as zeros. Decommitting gives the memory back to the system, then the labels to the
 * pool. Nothing here waits for a move: what the engine holds at this moment is refused, and so is
 * taking away from a window that is on its way. Nothing here needs a descriptor.
 */
#include "frames.h"
#include "nodes.h"
#include "pool.h"
#include "region.h"
#include "spread.h"

/* It takes a while to zero a device's memory, and others want the mutex. */
#define PURGE_BYTES (UINT64_C(8) << 20)

static bool
range_valid(const struct mhp_region *region, const void *start, uint64_t size, uint64_t unit,
	    uint64_t *ret_page, uint64_t *ret_nr)
{
	uint64_t offset = (uintptr_t)start - region->base;
	uint64_t whole = region->nr_pages << MHP__PAGE_SHIFT;
	if ((uintptr_t)start < region->base || offset > whole || size > whole - offset ||
	    size == 0 || (offset | size) % unit != 0)
		return false;
	*ret_page = offset >> MHP__PAGE_SHIFT;
	*ret_nr = size >> MHP__PAGE_SHIFT;
	return true;
}

/* Labels for up to nr pages from page on, of the first node that has some. */
static bool
take_run(struct mhp_region *region, uint64_t page, uint64_t nr, uint64_t *ret_pfn,
	 uint64_t *ret_nr, unsigned *ret_order)
{
	struct mhp__candidates from;
	nr = mhp__spread_nodes(region, page, nr, &from);
	for (unsigned i = 0; i < from.nr; i++)
		if (mhp__frames_take(region, page, nr, from.node[i], ret_pfn, ret_nr, ret_order))
			return true;
	return false;
}

/* Labels for all of [page, page + nr); on error none. */
static int
take_labels(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	for (uint64_t done = 0, pfn, got; done < nr; done += got) {
		unsigned order;
		if (!take_run(region, page + done, nr - done, &pfn, &got, &order)) {
			mhp__frames_give(region, page, done);
			mhp__table_set(region, page, done, 0);
			return MHP_ENOMEM;
		}
		MHP__ASSERT(got != 0 && got <= nr - done);
		mhp__table_set(region, page + done, got, mhp__entry_make(pfn, order));
	}
	return 0;
}

static int
commit_locked(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	if ((region->entry[page] & MHP__ENTRY_COMMITTED) != 0 ||
	    mhp__table_span(region, page, nr, MHP__ENTRY_COMMITTED) != nr)
		return MHP_EEXIST;
	uint64_t cost = region->over ? 0 : mhp__region_open_cost(region, page, nr);
	if (cost != 0 && !mhp__budget_fits(&pool->budget, mhp__regions_mappings(pool), cost))
		return MHP_ENOSPC;
	int err = mhp__table_grow(region, page + nr + mhp__pages_behind());
	if (err == 0)
		err = take_labels(region, page, nr);
	if (err == 0 && pool->guard.hole_fd >= 0)
		atomic_store(&pool->settle_wanted, true);
	if (err == 0 && !region->over &&
	    (mhp__region_open(region, page, nr) != 0 ||
	     (pool->space.has_nodes && mhp__nodes_bind(region, page, nr) != 0))) {
		mhp__frames_give(region, page, nr);
		mhp__table_set(region, page, nr, 0);
		err = MHP_ENOSPC;
	}
	return err;
}

static int
decommit_locked(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	uintptr_t address = mhp__page_address(region, page);
	if (mhp__pinned(&pool->pins, address, address + (nr << MHP__PAGE_SHIFT)))
		return MHP_EBUSY;
	if (mhp__frames_held(region, page, nr) ||
	    mhp__journal_names(&pool->journal, region, page, nr))
		return MHP_EAGAIN;
	if (!mhp__region_can_cut(region, page, nr))
		return MHP_EBUSY;
	mhp__frames_split(region, page);
	mhp__frames_split(region, page + nr);
	if (!region->over && mhp__region_drop(region, page, nr) != 0)
		return MHP_EBUSY;
	if (region->over && region->nr_settled != 0) /* it maps something else there by now */
		mhp__table_mark(region, page, nr, MHP__ENTRY_SETTLED, false);
	mhp__frames_give(region, page, nr);
	if (page < region->nr_writable)
		mhp__table_set(region, page, nr < region->nr_writable - page ?
				       nr : region->nr_writable - page, 0);
	return 0;
}

static int
purge_locked(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	uintptr_t address = mhp__page_address(region, page);
	if (mhp__pinned(&pool->pins, address, address + (nr << MHP__PAGE_SHIFT)))
		return MHP_EBUSY;
	if ((region->entry[page] & MHP__ENTRY_COMMITTED) == 0 ||
	    mhp__table_span(region, page, nr, MHP__ENTRY_COMMITTED) != nr)
		return MHP_EINVAL;
	if (mhp__journal_names(&pool->journal, region, page, nr))
		return MHP_EAGAIN;
	return mhp__region_zero(region, page, nr) == 0 ? 0 : MHP_EBUSY;
}

static int
with_mutex(struct mhp_region *region, void *start, uint64_t size, uint64_t unit,
	   int (*fn)(struct mhp_region *region, uint64_t page, uint64_t nr))
{
	uint64_t page, nr;
	if (!range_valid(region, start, size, unit, &page, &nr))
		return MHP_EINVAL;
	MHP__ASSERT(nr != 0 && page + nr <= region->nr_pages);
	mhp__pool_lock_now(region->pool);
	int err = fn(region, page, nr);
	pthread_mutex_unlock(&region->pool->mutex);
	return err;
}

int
mhp_region_commit(struct mhp_region *region, void *start, uint64_t size)
{
	return with_mutex(region, start, size, region->granule, commit_locked);
}

int
mhp_region_decommit(struct mhp_region *region, void *start, uint64_t size)
{
	return with_mutex(region, start, size, region->granule, decommit_locked);
}

/* What a program gives up by madvise is no multiple of what the pool deals in. */
int
mhp_region_purge(struct mhp_region *region, void *start, uint64_t size)
{
	int err;
	do {
		uint64_t part = size < PURGE_BYTES ? size : PURGE_BYTES;
		err = with_mutex(region, start, part, mhp__kernel_page(), purge_locked);
		start = (char *)start + part;
		size -= part;
	} while (err == 0 && size != 0);
	return err;
}
