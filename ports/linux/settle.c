/* SPDX-License-Identifier: MIT */
/*
 * settle.c - windows go to a device while the program runs.
 *
 * Writers are held up, each run of the window is copied to the frames of its labels through the
 * direct map, which is then mapped at the window's addresses, and the writers go on there. The
 * labels do not change by this. A window that is all on one device, but scattered over it, gets one
 * large page of it first, so that it is one mapping afterwards; so a window of which part is still
 * in a block that is leaving waits for that. Before anything is done, the kernel
 * is asked whether the memory still is what we made of it (view.c).
 */
#include <memplug/companion.h>

#include "frames.h"
#include "room.h"
#include "settle.h"

uint64_t
mhp__window_end(const struct mhp_region *region, uint64_t window)
{
	uint64_t end = (window + 1) * MHP__HUGE_PAGES;
	MHP__ASSERT(window * MHP__HUGE_PAGES < region->nr_pages);
	return end < region->nr_pages ? end : region->nr_pages;
}

bool
mhp__window_huge(const struct mhp_pool *pool, const struct mhp_region *region, uint64_t page)
{
	return mhp__region_huge(region, page) != MHP_HUGE_OFF && !atomic_load(&pool->tiering.on);
}

void
mhp__settle_count(struct mhp_pool *pool, uint64_t nr, uint64_t copied, uint64_t stall_ns)
{
	MHP__ASSERT(copied <= nr);
	pool->stats.move_batches++;
	pool->stats.moved_pages += nr;
	pool->stats.untouched_pages += nr - copied;
	pool->stats.stall_sum_ns += stall_ns;
	if (stall_ns > pool->stats.stall_max_ns)
		pool->stats.stall_max_ns = stall_ns;
}

/* ---- a window that is scattered ---- */

/* Is all of the window on one device, no page of it held, but not in one piece? */
static bool
is_scattered(const struct mhp_region *region, uint64_t window, uint64_t end)
{
	uint64_t page = window * MHP__HUGE_PAGES, offset;
	struct mhp__run run;
	MHP__ASSERT(page < end);
	if (end - page != MHP__HUGE_PAGES || !mhp__run_next(region, page, end, &run) ||
	    run.page != page || (run.nr == MHP__HUGE_PAGES && mhp__run_worth_it(region, &run)))
		return false;
	for (uint64_t i = page; i < end; i++)
		if (!mhp__run_may_go(region, region->entry[i]) ||
		    mhp__frame_file(region->space, mhp__entry_pfn(region->entry[i]), &offset) !=
			    run.file)
			return false;
	return !mhp__frames_held(region, page, MHP__HUGE_PAGES);
}

/* A large page of this device: any other memory that is free would not help. */
static int
take_of_device(struct mhp_region *region, const struct mhp__file *file, uint64_t page,
	       uint64_t *ret_pfn)
{
	const struct mhp__space *space = region->space;
	const uint64_t frames = space->block_bytes >> MHP__PAGE_SHIFT;
	struct mhp_page_req req = {
		.cookie = mhp__page_address(region, page), .owner = region->owner,
		.order = MHP__HUGE_ORDER,
	};
	uint16_t file1 = (uint16_t)(file - space->file + 1);
	int err = MHP_ENOMEM;
	MHP__ASSERT(page % MHP__HUGE_PAGES == 0 && page + MHP__HUGE_PAGES <= region->nr_pages);
	for (uint32_t block = 0, seen = 0; err != 0 && seen < file->nr_blocks; block++) {
		if (space->slot[block].file1 != file1)
			continue;
		seen++;
		err = mhp_pages_alloc_within(region->m, req, MHP__HUGE_PAGES, block * frames,
					     (block + 1) * frames, ret_pfn);
	}
	return err;
}

/* Give a window one large page of its device, if there is one. */
static void
heal(struct mhp_pool *pool, struct mhp_region *region, uint64_t window)
{
	uint64_t page = window * MHP__HUGE_PAGES, pfn, offset;
	const struct mhp__file *file =
		mhp__frame_file(region->space, mhp__entry_pfn(region->entry[page]), &offset);
	MHP__ASSERT(file->has_place);
	if (take_of_device(region, file, page, &pfn) != 0)
		return;
	mhp__labels_begin(&pool->labels, region, window);
	mhp__labels_add(&pool->labels, page, MHP__HUGE_PAGES, pfn, MHP__HUGE_ORDER);
	mhp__labels_use(&pool->labels, &pool->journal, page, MHP__HUGE_PAGES);
}

/* Are pages of it, which are ordinary memory, in a block that is leaving? */
static bool
is_leaving(const struct mhp_pool *pool, const struct mhp_region *region, uint64_t page,
	   uint64_t end)
{
	for (uint64_t nr; page < end; page += nr) {
		mhp__entry entry = region->entry[page];
		nr = (UINT64_C(1) << mhp__entry_order(entry)) - mhp__entry_offset(entry);
		if ((entry & (MHP__ENTRY_COMMITTED | MHP__ENTRY_SETTLED)) == MHP__ENTRY_COMMITTED &&
		    mhp_frame_peek(pool->m, mhp__entry_pfn(entry)).isolated)
			return true;
	}
	return false;
}

/* ---- a run goes ---- */

/* Region mutex held. */
static bool
may_settle(struct mhp_pool *pool, const struct mhp_region *region, const struct mhp__run *run)
{
	uintptr_t start = mhp__page_address(region, run->page);
	MHP__ASSERT(run->file->has_place && mhp__run_worth_it(region, run));
	return !is_leaving(pool, region, run->page, run->page + run->nr) &&
	       !mhp__pinned(&pool->pins, start, start + (run->nr << MHP__PAGE_SHIFT)) &&
	       mhp__budget_fits(&pool->budget, mhp__regions_mappings(pool), 2);
}

/* Is the memory as we made it, and the place ready for it? Nobody waits for that. */
static bool
prepare(struct mhp_pool *pool, const struct mhp_region *region, struct mhp__run *run)
{
	uint64_t size = run->nr << MHP__PAGE_SHIFT;
	if (mhp__window_plain(pool, region, run->page, run->nr, NULL) != 0)
		return false;
	if (mhp__run_by_large_pages(run) && mhp__huge_pages_off())
		return false;
	/* A file of memory takes more of it before the window gives up its own. */
	if (run->file->in_memory &&
	    mhp__room_check_some(&pool->room_there, mhp__companion_program(), size,
				 mhp__linux_ops.now_ns(pool), NULL) != 0)
		return false;
	mhp__run_clear_place(region, run, mhp__window_huge(pool, region, run->page));
	return true;
}

/* Without the region mutex. False: it has not moved. */
static bool
move_run(struct mhp_pool *pool, struct mhp_region *region, const struct mhp__run *run,
	 uint64_t *ret_copied, uint64_t *ret_stall)
{
	uint64_t started = mhp__linux_ops.now_ns(pool), size = run->nr << MHP__PAGE_SHIFT;
	uintptr_t start = mhp__page_address(region, run->page);
	MHP__ASSERT(atomic_load(&pool->journal.step) == MHP__LOOKING);
	mhp__journal_step(&pool->journal, MHP__COPYING);
	if (mhp__guard_protect(&pool->guard, start, size) != 0)
		return false;
	bool copied = mhp__run_copy(region, run, ret_copied);
	if (mhp__test_no_protect)
		mhp__linux_ops.pause(pool, 1000000); /* so that losses are sure */
	bool mapped = copied && mhp__run_map(region, run) == 0;
	mhp__guard_wake(&pool->guard, start, size, !mapped);
	*ret_stall = mhp__linux_ops.now_ns(pool) - started;
	return mapped;
}

/* Region mutex held, but not meanwhile. */
static void
settle_run(struct mhp_pool *pool, struct mhp_region *region, struct mhp__run *run)
{
	uint64_t copied = 0, stall = 0;
	MHP__ASSERT(mhp__journal_still(&pool->journal)); /* one window at a time */
	if (!may_settle(pool, region, run)) {
		atomic_store(&pool->settle_refused, true);
		return;
	}
	mhp__journal_begin(&pool->journal, region, run->page, run->nr, MHP__LOOKING);
	if (atomic_load(&region->nr_holds) != 0) { /* who holds it now sees the note, or this */
		mhp__journal_end(&pool->journal);
		atomic_store(&pool->settle_wanted, true);
		return;
	}
	pthread_mutex_unlock(&pool->mutex);
	bool ready = prepare(pool, region, run);
	bool moved = ready && move_run(pool, region, run, &copied, &stall);
	if (ready) /* part of it may have been copied */
		mhp__run_leave_place(region, run, !moved);
	mhp__pool_lock_now(pool);
	MHP__ASSERT(mhp__run_may_go(region, region->entry[run->page])); /* as it was */
	MHP__ASSERT(mhp__entry_pfn(region->entry[run->page]) == run->pfn);
	if (moved) {
		mhp__table_mark(region, run->page, run->nr, MHP__ENTRY_SETTLED, true);
		mhp__settle_count(pool, run->nr, copied, stall);
	} else {
		atomic_store(&pool->settle_refused, true);
	}
	mhp__journal_end(&pool->journal);
}

void
mhp__settle_window(struct mhp_pool *pool, struct mhp_region *region, uint64_t window)
{
	uint64_t end = mhp__window_end(region, window);
	struct mhp__run run;
	if (pool->guard.hole_fd < 0)
		return;
	/* It is about to get other numbers, and goes as a whole then. */
	if (is_leaving(pool, region, window * MHP__HUGE_PAGES, end)) {
		atomic_store(&pool->settle_wanted, true);
		return;
	}
	if (is_scattered(region, window, end))
		heal(pool, region, window);
	for (uint64_t page = window * MHP__HUGE_PAGES; mhp__run_next(region, page, end, &run);
	     page = run.page + run.nr)
		if (mhp__run_worth_it(region, &run))
			settle_run(pool, region, &run);
}
