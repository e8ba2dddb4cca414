/* SPDX-License-Identifier: MIT */
/*
 * settle.c - windows go to a device, and come back, while the program runs.
 *
 * To the device: writers are held up, the window is copied to the frames of its labels through the
 * direct map, which is then mapped at the window's addresses, and the writers go on there. Back:
 * the window is replaced by empty memory that everybody waits for, and filled from the direct map.
 * The labels do not change by this. A window that is all on one device, but scattered over it, gets
 * one large page of it first, so that it is one mapping afterwards. Before anything is done, the
 * kernel is asked whether the memory still is what we made of it (view.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <memplug/companion.h>

#include "frames.h"
#include "room.h"
#include "settle.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* A run shorter than this is not worth its mapping. */
#define RUN_MIN 16U
#define LOOK_AGAIN_NS UINT64_C(50000000)

struct run {
	uint64_t page, nr;             /* pages of the region */
	uint64_t pfn;
	const struct mhp__file *file;
	uint64_t offset;               /* of the first frame in the file */
};

static uint64_t
window_end(const struct mhp_region *region, uint64_t window)
{
	uint64_t end = (window + 1) * MHP__HUGE_PAGES;
	return end < region->nr_pages ? end : region->nr_pages;
}

/* May this page go to a device? */
static bool
may_go(const struct mhp_region *region, mhp__entry entry)
{
	return (entry & MHP__ENTRY_COMMITTED) != 0 && (entry & MHP__ENTRY_SETTLED) == 0 &&
	       mhp__frame_has_place(region->space, mhp__entry_pfn(entry));
}

/* The next run of pages at or behind page whose frames adjoin in one file. False: none. */
static bool
next_run(const struct mhp_region *region, uint64_t page, uint64_t end, struct run *ret_run)
{
	while (page < end && !may_go(region, region->entry[page]))
		page++;
	if (page >= end)
		return false;
	*ret_run = (struct run){ .page = page, .nr = 1 };
	ret_run->pfn = mhp__entry_pfn(region->entry[page]);
	ret_run->file = mhp__frame_file(region->space, ret_run->pfn, &ret_run->offset);
	for (; page + ret_run->nr < end; ret_run->nr++) {
		mhp__entry entry = region->entry[page + ret_run->nr];
		if (!may_go(region, entry) ||
		    mhp__entry_pfn(entry) != ret_run->pfn + ret_run->nr ||
		    !mhp__frames_adjoin(region->space, mhp__entry_pfn(entry) - 1))
			break;
	}
	return true;
}

/* Can the device's memory be mapped at these addresses, and is it worth it? */
static bool
worth_it(const struct mhp_region *region, const struct run *run)
{
	uint64_t granule = run->file->granule, size = run->nr << MHP__PAGE_SHIFT;
	uintptr_t start = mhp__page_address(region, run->page);
	return run->nr >= RUN_MIN && ((start | run->offset | size) & (granule - 1)) == 0;
}

/* Is all of the window on one device, no page of it held, but not in one piece? */
static bool
is_scattered(const struct mhp_region *region, uint64_t window, uint64_t end)
{
	uint64_t page = window * MHP__HUGE_PAGES, offset;
	struct run run;
	if (end - page != MHP__HUGE_PAGES || !next_run(region, page, end, &run) ||
	    run.page != page || (run.nr == MHP__HUGE_PAGES && worth_it(region, &run)))
		return false;
	for (uint64_t i = page; i < end; i++)
		if (!may_go(region, region->entry[i]) ||
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
heal(struct mhp_region *region, uint64_t window)
{
	uint64_t page = window * MHP__HUGE_PAGES, pfn, offset;
	const struct mhp__file *file =
		mhp__frame_file(region->space, mhp__entry_pfn(region->entry[page]), &offset);
	if (take_of_device(region, file, page, &pfn) != 0)
		return;
	mhp__pool_note(region->pool, region, page, MHP__HUGE_PAGES, pfn, MHP__HEALING);
	mhp__frames_split(region, page);
	mhp__frames_split(region, page + MHP__HUGE_PAGES);
	mhp__frames_give(region, page, MHP__HUGE_PAGES);
	mhp__table_set(region, page, MHP__HUGE_PAGES, mhp__entry_make(pfn, MHP__HUGE_ORDER));
	mhp__pool_arrive(region->pool);
}

/* Map a run of frames at the pages' addresses; errno, or 0. */
static int
map_run(const struct mhp_region *region, const struct run *run)
{
	void *start = (void *)mhp__page_address(region, run->page);
	uint64_t size = run->nr << MHP__PAGE_SHIFT;
	bool huge = run->file->granule != MHP__PAGE_BYTES &&
		    run->file->backing.kind != MHP_BACKING_DAX;
	void *mapped;
	if (huge) { /* the kernel does not double mappings of its huge pages */
		mapped = mmap(start, size, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED | MAP_NORESERVE, run->file->fd,
			      (off_t)run->offset);
		if (mapped != MAP_FAILED)
			madvise(start, size, MADV_DONTFORK);
	} else {
		mapped = mremap(mhp__frame_virt(region->space, run->pfn), 0, size,
				MREMAP_MAYMOVE | MREMAP_FIXED, start);
		if (mapped != MAP_FAILED)
			madvise(start, size, MADV_DODUMP);
	}
	return mapped != MAP_FAILED ? 0 : errno;
}

static bool
all_zeros(const uint64_t *words)
{
	for (size_t i = 0; i < MHP__PAGE_BYTES / sizeof(*words); i++)
		if (words[i] != 0)
			return false;
	return true;
}

/* Copy a run to its frames; pages of zeros stay holes where there can be holes. */
static uint64_t
copy_run(const struct mhp_region *region, const struct run *run)
{
	unsigned char *target = mhp__frame_virt(region->space, run->pfn);
	const unsigned char *source = (const unsigned char *)mhp__page_address(region, run->page);
	uint64_t copied = 0;
	if (!run->file->sparse) {
		memcpy(target, source, run->nr << MHP__PAGE_SHIFT);
		return run->nr;
	}
	for (uint64_t i = 0; i < run->nr; i++) {
		const void *page = source + (i << MHP__PAGE_SHIFT);
		if (all_zeros(page))
			continue;
		memcpy(target + (i << MHP__PAGE_SHIFT), page, MHP__PAGE_BYTES);
		copied++;
	}
	return copied;
}

static void
note(struct mhp_pool *pool, uint64_t nr, uint64_t copied, uint64_t stall)
{
	pool->stats.move_batches++;
	pool->stats.moved_pages += nr;
	pool->stats.untouched_pages += nr - copied;
	pool->stats.stall_sum_ns += stall;
	if (stall > pool->stats.stall_max_ns)
		pool->stats.stall_max_ns = stall;
}

/* The copy is whole: it takes the window's place, or everything is as before. Once more is fine. */
static bool
finish_run(struct mhp_pool *pool, struct mhp_region *region, const struct run *run)
{
	bool mapped = map_run(region, run) == 0;
	mhp__guard_wake(&pool->guard, mhp__page_address(region, run->page),
			run->nr << MHP__PAGE_SHIFT, !mapped);
	return mapped;
}

/* Region mutex held. */
static bool
may_settle(struct mhp_pool *pool, const struct mhp_region *region, const struct run *run)
{
	uintptr_t start = mhp__page_address(region, run->page);
	/* Where the block is leaving, its pages are about to get other numbers. */
	return !mhp_frame_peek(pool->m, run->pfn).isolated &&
	       !mhp_frame_peek(pool->m, run->pfn + run->nr - 1).isolated &&
	       !mhp__pinned(&pool->pins, start, start + (run->nr << MHP__PAGE_SHIFT)) &&
	       mhp__budget_fits(&pool->budget, mhp__regions_mappings(pool), 2);
}

/*
 * Is the run a window, all of which is in memory, and its place one that a huge page fits? Tiering
 * sees of a huge page only whether it is used.
 */
static bool
is_full(const struct mhp_pool *pool, const struct mhp_region *region, const struct run *run)
{
	unsigned char present[MHP__HUGE_PAGES];
	uint64_t place = (uintptr_t)mhp__frame_virt(region->space, run->pfn) | run->offset;
	uint64_t nr = 0;
	if (run->nr != MHP__HUGE_PAGES || run->file->granule != MHP__PAGE_BYTES ||
	    ((mhp__page_address(region, run->page) | place) & (MHP__HUGE_BYTES - 1)) != 0 ||
	    atomic_load(&pool->tiering.on) ||
	    mincore((void *)mhp__page_address(region, run->page), MHP__HUGE_BYTES, present) != 0)
		return false;
	for (unsigned i = 0; i < MHP__HUGE_PAGES; i++)
		nr += present[i] & 1;
	return nr == MHP__HUGE_PAGES;
}

/* One huge page of the file for a whole window costs a tenth of 512 small ones, which writers would
 * wait for besides. Where the kernel has none, small ones will do. */
static void
make_huge(volatile unsigned char *start)
{
	start[0] = 0; /* there has to be something to collapse */
	(void)madvise((void *)(uintptr_t)start, MHP__HUGE_BYTES, MADV_COLLAPSE);
}

/* Is the memory as we made it, and the place ready for it? Nobody waits for that. */
static bool
prepare(struct mhp_pool *pool, const struct mhp_region *region, const struct run *run)
{
	uintptr_t start = mhp__page_address(region, run->page);
	uint64_t size = run->nr << MHP__PAGE_SHIFT;
	if (mhp__view_plain(&pool->view, start, start + size, mhp__linux_ops.now_ns(pool),
			    NULL) != 0)
		return false;
	if (!run->file->sparse)
		return true;
	/* A file of memory takes more of it before the window gives up its own. */
	if (mhp__room_check(mhp__companion_program(), size, 0, NULL) != 0)
		return false;
	/* What the frames held before. */
	madvise(mhp__frame_virt(region->space, run->pfn), size, MADV_REMOVE);
	if (is_full(pool, region, run))
		make_huge(mhp__frame_virt(region->space, run->pfn));
	return true;
}

/* Without the region mutex. False: it has not moved. */
static bool
move_run(struct mhp_pool *pool, struct mhp_region *region, const struct run *run,
	 uint64_t *ret_copied, uint64_t *ret_stall)
{
	uint64_t started = mhp__linux_ops.now_ns(pool);
	atomic_store(&pool->journal.step, MHP__COPYING);
	if (mhp__guard_protect(&pool->guard, mhp__page_address(region, run->page),
			       run->nr << MHP__PAGE_SHIFT) != 0)
		return false;
	*ret_copied = copy_run(region, run);
	if (mhp__test_no_protect)
		mhp__linux_ops.pause(pool, 1000000); /* so that losses are sure */
	atomic_store(&pool->journal.step, MHP__MAPPING);
	bool moved = finish_run(pool, region, run);
	*ret_stall = mhp__linux_ops.now_ns(pool) - started;
	return moved;
}

/* Region mutex held, but not meanwhile. */
static void
settle_run(struct mhp_pool *pool, struct mhp_region *region, const struct run *run)
{
	uint64_t copied = 0, stall = 0;
	if (!may_settle(pool, region, run))
		return;
	mhp__pool_depart(pool, region, run->page, run->nr, run->pfn);
	bool moved = prepare(pool, region, run) && move_run(pool, region, run, &copied, &stall);
	mhp__pool_lock_now(pool);
	if (moved) {
		mhp__table_mark(region, run->page, run->nr, MHP__ENTRY_SETTLED, true);
		note(pool, run->nr, copied, stall);
	}
	mhp__pool_arrive(pool);
}

void
mhp__settle_window(struct mhp_pool *pool, struct mhp_region *region, uint64_t window)
{
	uint64_t end = window_end(region, window);
	struct run run;
	if (pool->guard.hole_fd < 0 || region->over)
		return;
	if (is_scattered(region, window, end))
		heal(region, window);
	for (uint64_t page = window * MHP__HUGE_PAGES; next_run(region, page, end, &run);
	     page = run.page + run.nr)
		if (worth_it(region, &run))
			settle_run(pool, region, &run);
}

/* ---- and back ---- */

/* Fill the hole of pages that were settled, run by run: there is one, in part full perhaps. */
static void
fill(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	for (uint64_t i = 0, run; i < nr; i += run) {
		uint64_t pfn = mhp__entry_pfn(pool->moving[i]);
		for (run = 1; i + run < nr && mhp__entry_pfn(pool->moving[i + run]) == pfn + run;)
			run++;
		mhp__guard_fill(&pool->guard, mhp__page_address(region, page + i),
				mhp__frame_virt(region->space, pfn), run << MHP__PAGE_SHIFT);
	}
	mhp__guard_filled(&pool->guard);
}

/* Without the region mutex. */
static int
move_back(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page, uint64_t nr,
	  uint64_t *ret_stall, struct mhp_text *reterr)
{
	uintptr_t start = mhp__page_address(region, page);
	uint64_t size = nr << MHP__PAGE_SHIFT;
	int err = mhp__view_plain(&pool->view, start, start + size, mhp__linux_ops.now_ns(pool),
				  reterr);
	if (err != 0)
		return err;
	err = mhp__room_check(mhp__companion_program(), size, 0, reterr);
	if (err != 0)
		return err;
	uint64_t started = mhp__linux_ops.now_ns(pool);
	atomic_store(&pool->journal.step, MHP__FILLING);
	int error = mhp__guard_hole(&pool->guard, start, size);
	if (error != 0)
		return mhp__say(reterr, mhp__errno(error), "no mapping: %s", strerror(error));
	fill(pool, region, page, nr);
	*ret_stall = mhp__linux_ops.now_ns(pool) - started;
	return 0;
}

/* Region mutex held, but not meanwhile. */
static int
unsettle_pages(struct mhp_pool *pool, struct mhp_region *region, uint64_t page, uint64_t nr,
	       struct mhp_text *reterr)
{
	uintptr_t start = mhp__page_address(region, page);
	uint64_t stall = 0;
	if (mhp__pinned(&pool->pins, start, start + (nr << MHP__PAGE_SHIFT)))
		return mhp__say(reterr, MHP_EBUSY, "pinned");
	memcpy(pool->moving, &region->entry[page], nr * sizeof(pool->moving[0]));
	mhp__pool_depart(pool, region, page, nr, 0);
	int err = move_back(pool, region, page, nr, &stall, reterr);
	mhp__pool_lock_now(pool);
	if (err == 0) {
		mhp__table_mark(region, page, nr, MHP__ENTRY_SETTLED, false);
		note(pool, nr, nr, stall);
	}
	mhp__pool_arrive(pool);
	return err;
}

int
mhp__unsettle_window(struct mhp_pool *pool, struct mhp_region *region, uint64_t window,
		     struct mhp_text *reterr)
{
	return mhp__unsettle_part(pool, region, window * MHP__HUGE_PAGES,
				  window_end(region, window), reterr);
}

int
mhp__unsettle_part(struct mhp_pool *pool, struct mhp_region *region, uint64_t page, uint64_t end,
		   struct mhp_text *reterr)
{
	int err = 0;
	for (uint64_t nr; page < end && err == 0; page += nr) {
		nr = mhp__table_span(region, page, end - page, MHP__ENTRY_SETTLED);
		if ((region->entry[page] & MHP__ENTRY_SETTLED) != 0)
			err = unsettle_pages(pool, region, page, nr, reterr);
	}
	return err;
}

/* ---- what a mover that was killed left ---- */

static void
finish_settle(struct mhp_pool *pool, const struct mhp__journal *left)
{
	struct run run = { .page = left->page, .nr = left->nr };
	run.pfn = mhp__entry_pfn(left->region->entry[left->page]);
	run.file = mhp__frame_file(left->region->space, run.pfn, &run.offset);
	if (finish_run(pool, left->region, &run))
		mhp__table_mark(left->region, run.page, run.nr, MHP__ENTRY_SETTLED, true);
}

static void
finish_unsettle(struct mhp_pool *pool, const struct mhp__journal *left)
{
	struct mhp_region *region = left->region;
	uintptr_t start = mhp__page_address(region, left->page);
	uint64_t size = left->nr << MHP__PAGE_SHIFT;
	memcpy(pool->moving, &region->entry[left->page], left->nr * sizeof(pool->moving[0]));
	if (mhp__guard_is_hole(&pool->guard, start)) {
		fill(pool, region, left->page, left->nr);
		mhp__table_mark(region, left->page, left->nr, MHP__ENTRY_SETTLED, false);
	}
	mhp__guard_filled(&pool->guard);
	mhp__guard_close(&pool->guard);
	mhp__guard_reopen(&pool->guard, start, size);
	mhp__guard_close(&pool->guard);
}

/* What of the old frames is still the window's goes back. */
static void
finish_heal(const struct mhp__journal *left)
{
	struct mhp_region *region = left->region;
	for (uint64_t i = 0; i < left->nr; i++) {
		uint64_t pfn = mhp__entry_pfn(region->entry[left->page + i]);
		struct mhp_frame frame = mhp_frame_peek(region->m, pfn);
		if (pfn != left->pfn + i && frame.state == MHP_FRAME_USED &&
		    frame.owner == region->owner &&
		    frame.cookie == mhp__page_address(region, left->page + i))
			(void)mhp_page_free(region->m, pfn);
	}
	mhp__table_set(region, left->page, left->nr, mhp__entry_make(left->pfn, MHP__HUGE_ORDER));
}

void
mhp__settle_finish(struct mhp_pool *pool)
{
	const struct mhp__journal *left = &pool->journal;
	switch (atomic_load(&left->step)) {
	case MHP__COPYING:
		mhp__guard_wake(&pool->guard, mhp__page_address(left->region, left->page),
				left->nr << MHP__PAGE_SHIFT, true);
		break;
	case MHP__MAPPING:
		finish_settle(pool, left);
		break;
	case MHP__HEALING:
		finish_heal(left);
		break;
	case MHP__FILLING:
		finish_unsettle(pool, left);
		break;
	default:
		break;
	}
}

/* Call fn for every window of every region, letting others in between; stop says when to end. */
static void
each_window(struct mhp_pool *pool, void (*fn)(struct mhp_pool *pool, struct mhp_region *region,
					      uint64_t window), bool settling)
{
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		struct mhp_region *region = &pool->region[i];
		mhp__pool_lock(pool);
		for (uint64_t window = 0; region->live && !region->over &&
					  window * MHP__HUGE_PAGES < region->top &&
					  (settling ? !pool->forking : region->nr_settled != 0);
		     window++) {
			fn(pool, region, window);
			mhp__pool_give_way(pool);
		}
		pthread_mutex_unlock(&pool->mutex);
	}
}

static void
unsettle(struct mhp_pool *pool, struct mhp_region *region, uint64_t window)
{
	(void)!mhp__unsettle_window(pool, region, window, NULL);
}

int
mhp__unsettle_all(void *arg)
{
	struct mhp_pool *pool = arg;
	each_window(pool, unsettle, false);
	mhp__pool_lock(pool);
	mhp__guard_close(&pool->guard);
	pthread_mutex_unlock(&pool->mutex);
	return 0;
}

/* In the companion, as long as it lives. */
static void
settler(void *arg)
{
	struct mhp_pool *pool = arg;
	while (!atomic_load(&pool->settler_stop)) {
		if (!atomic_load(&pool->forking) && atomic_exchange(&pool->settle_wanted, false))
			each_window(pool, mhp__settle_window, true);
		mhp__linux_ops.pause(pool, LOOK_AGAIN_NS);
	}
	atomic_store(&pool->settler_runs, false);
}

int
mhp__settler_restart(struct mhp_pool *pool)
{
	atomic_store(&pool->settler_runs, false);
	atomic_store(&pool->settle_wanted, true);
	int err = pool->guard.hole_fd >= 0 ? mhp__guard_listen(&pool->guard) : 0;
	return err != 0 ? err : mhp__settler_start(pool);
}

int
mhp__settler_start(void *arg)
{
	struct mhp_pool *pool = arg;
	int err = mhp__guard_start(&pool->guard);
	if (err != 0 || atomic_exchange(&pool->settler_runs, true))
		return err;
	atomic_store(&pool->settler_stop, false);
	err = mhp_companion_thread(settler, pool);
	if (err != 0)
		atomic_store(&pool->settler_runs, false);
	return err;
}
