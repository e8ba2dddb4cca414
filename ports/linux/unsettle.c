/* SPDX-License-Identifier: MIT */
/*
 * unsettle.c - windows come back from a device while the program runs.
 *
 * The window is replaced in one step by empty memory that everybody waits for, which is filled from
 * the direct map; if that fails, the device is mapped there again, which has all the data still.
 * Its labels stay; whoever wants them changed does that afterwards (move.c, window.c). A page that
 * is pinned, or not as we made it, stays where it is. While a window is on its way its entries do
 * not change, so they are read without the mutex.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <memplug/companion.h>

#include "frames.h"
#include "region.h"
#include "room.h"
#include "settle.h"

_Static_assert(MHP__STAGE_BYTES == MHP__HUGE_BYTES, "a window is staged as a whole");

#define AGAIN_NS UINT64_C(1000000)

/* There is no memory for what should come back: the device takes the hole's place again. Bound:
 * the kernel has memory for a mapping as soon as it has any, and nobody can go on before that. */
static void
put_back(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page, uint64_t end)
{
	struct mhp__run run;
	MHP__ASSERT(page < end);
	for (; page < end; page = run.page + run.nr) {
		run = mhp__run_settled(region, page, end);
		while (mhp__run_map(region, &run) != 0)
			mhp__linux_ops.pause(pool, AGAIN_NS);
	}
	mhp__guard_undone(&pool->guard);
}

/* Has nothing ever been written there? Then nothing comes back: what is missing reads as zeros, and
 * is no memory, as before it went there. */
static bool
is_empty(const struct mhp_region *region, uint64_t page, uint64_t end)
{
	struct mhp__run run;
	bool empty = true;
	MHP__ASSERT(page < end);
	for (; page < end && empty; page = run.page + run.nr) {
		run = mhp__run_settled(region, page, end);
		uint64_t stop = run.offset + (run.nr << MHP__PAGE_SHIFT);
		off_t data = run.file->sparse ? lseek(run.file->fd, (off_t)run.offset, SEEK_DATA)
					      : (off_t)run.offset;
		empty = data < 0 ? errno == ENXIO : (uint64_t)data >= stop;
	}
	return empty;
}

static int
fill_runs(const struct mhp_pool *pool, const struct mhp_region *region, uint64_t page, uint64_t end)
{
	struct mhp__run run;
	int err = 0;
	MHP__ASSERT(page < end && end <= region->nr_pages);
	for (; page < end && err == 0; page = run.page + run.nr) {
		run = mhp__run_settled(region, page, end);
		err = mhp__guard_fill(&pool->guard, mhp__page_address(region, run.page),
				      mhp__frame_virt(region->space, run.pfn),
				      run.nr << MHP__PAGE_SHIFT);
	}
	return err;
}

int
mhp__unsettle_fill(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page,
		   uint64_t nr, bool in_use)
{
	MHP__ASSERT(atomic_load(&pool->journal.step) == MHP__FILLING);
	int err = is_empty(region, page, page + nr) ? 0
						    : fill_runs(pool, region, page, page + nr);
	/* Bound: the kernel will have memory, or kill somebody. */
	while (err == MHP_ENOMEM && in_use) {
		mhp__linux_ops.pause(pool, AGAIN_NS);
		err = fill_runs(pool, region, page, page + nr);
	}
	if (err == 0 || in_use)
		mhp__guard_filled(&pool->guard);
	else
		put_back(pool, region, page, page + nr);
	MHP__ASSERT(pool->guard.hole_start == 0); /* nobody waits any more */
	return in_use ? 0 : err;
}

/*
 * A huge page for all of a window that comes back, before anybody waits: it costs a third of 512
 * small ones. NULL: small ones will do.
 */
static unsigned char *
take_stage(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	bool whole = nr == MHP__HUGE_PAGES &&
		     mhp__page_address(region, page) % MHP__HUGE_BYTES == 0 &&
		     !is_empty(region, page, page + nr);
	MHP__ASSERT(nr != 0 && nr <= MHP__HUGE_PAGES);
	return whole && mhp__window_huge(pool, region, page) ? mhp__stage_take(&pool->stage) : NULL;
}

/* Fill the hole of a window at once. False: the hole is as before. */
static bool
fill_at_once(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page,
	     unsigned char *stage)
{
	struct mhp__run run;
	bool copied = true;
	MHP__ASSERT(page % MHP__HUGE_PAGES == 0 && page + MHP__HUGE_PAGES <= region->nr_pages);
	for (uint64_t at = page, end = page + MHP__HUGE_PAGES; at < end && copied;
	     at = run.page + run.nr) {
		run = mhp__run_settled(region, at, end);
		copied = mhp__stage_copy(stage + ((at - page) << MHP__PAGE_SHIFT),
					 mhp__frame_virt(region->space, run.pfn),
					 run.nr << MHP__PAGE_SHIFT);
	}
	uintptr_t start = mhp__page_address(region, page);
	uint64_t there = copied ? mhp__stage_move(&pool->stage, pool->guard.hole_fd, start) : 0;
	uint64_t nr = there >> MHP__PAGE_SHIFT;
	mhp__stage_drop(&pool->stage);
	MHP__ASSERT(nr <= MHP__HUGE_PAGES);
	if (nr == 0)
		return false;
	/* A thread that has got a part may have written there. */
	if (nr < MHP__HUGE_PAGES)
		(void)!mhp__unsettle_fill(pool, region, page + nr, MHP__HUGE_PAGES - nr, true);
	else
		mhp__guard_filled(&pool->guard);
	return true;
}

/* Without the region mutex. */
static int
move_back(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page, uint64_t nr,
	  uint64_t *ret_stall, struct mhp_text *reterr)
{
	uintptr_t start = mhp__page_address(region, page);
	uint64_t size = nr << MHP__PAGE_SHIFT;
	int err = mhp__window_plain(pool, region, page, nr, reterr);
	if (err != 0)
		return err;
	err = mhp__room_check_some(&pool->room, mhp__companion_program(), size,
				   mhp__linux_ops.now_ns(pool), reterr);
	if (err != 0)
		return err;
	MHP__ASSERT(atomic_load(&pool->journal.step) == MHP__LOOKING);
	unsigned char *stage = take_stage(pool, region, page, nr);
	uint64_t started = mhp__linux_ops.now_ns(pool);
	mhp__journal_step(&pool->journal, MHP__FILLING);
	int error = mhp__guard_hole(&pool->guard, start, size,
				    mhp__region_advice(region, page));
	if (error != 0 && stage != NULL)
		mhp__stage_drop(&pool->stage);
	if (error != 0)
		return mhp__say(reterr, mhp__errno(error), "no mapping: %s",
				strerrordesc_np(error));
	if (stage == NULL || !fill_at_once(pool, region, page, stage))
		err = mhp__unsettle_fill(pool, region, page, nr, false);
	*ret_stall = mhp__linux_ops.now_ns(pool) - started;
	/* A kill between this and the note that it came back does no harm: what is missing by then
	 * is what the program gave up, and reads as zeros. */
	if (err == 0)
		mhp__run_leave_places(region, page, page + nr);
	return err == 0 ? 0
			: mhp__say(reterr, err, "the kernel cannot fill the window: %s",
				   mhp_error_text(err));
}

/* Region mutex held, but not meanwhile. */
static int
unsettle_pages(struct mhp_pool *pool, struct mhp_region *region, uint64_t page, uint64_t nr,
	       struct mhp_text *reterr)
{
	uintptr_t start = mhp__page_address(region, page);
	uint64_t stall = 0;
	MHP__ASSERT(mhp__journal_still(&pool->journal));
	if (pool->guard.hole_fd < 0) /* no more; it stays where it is */
		return mhp__say(reterr, MHP_EPERM, "%s", pool->guard.why.text);
	if (mhp__pinned(&pool->pins, start, start + (nr << MHP__PAGE_SHIFT)))
		return mhp__say(reterr, MHP_EBUSY, "pinned");
	mhp__journal_begin(&pool->journal, region, page, nr, MHP__LOOKING);
	pthread_mutex_unlock(&pool->mutex);
	int err = move_back(pool, region, page, nr, &stall, reterr);
	mhp__pool_lock_now(pool);
	MHP__ASSERT((region->entry[page] & MHP__ENTRY_SETTLED) != 0); /* as it was */
	if (err == 0) {
		mhp__table_mark(region, page, nr, MHP__ENTRY_SETTLED, false);
		mhp__settle_count(pool, nr, nr, stall);
	}
	mhp__journal_end(&pool->journal);
	return err;
}

/* What the program has put in the place of a device's memory, or unmapped, is no device's any more.
 * Only what a system call of its own changed is found so. */
static int
forget_gone(struct mhp_region *region, uint64_t page, uint64_t nr, struct mhp_text *reterr)
{
	bool there;
	for (uint64_t end = page + nr; page < end; page += nr) {
		nr = mhp__window_there(region, page, end - page, &there);
		if (there)
			continue;
		bool cuts = mhp__entry_offset(region->entry[page]) != 0 ||
			    (page + nr < region->nr_pages &&
			     mhp__entry_offset(region->entry[page + nr]) != 0);
		if (cuts && mhp__frames_held(region, page, nr))
			return mhp__say(reterr, MHP_EBUSY,
					"mapped by the program as something else");
		mhp__frames_split(region, page);
		mhp__frames_split(region, page + nr);
		mhp__table_mark(region, page, nr, MHP__ENTRY_SETTLED, false);
	}
	return 0;
}

int
mhp__unsettle_window(struct mhp_pool *pool, struct mhp_region *region, uint64_t window,
		     struct mhp_text *reterr)
{
	return mhp__unsettle_part(pool, region, window * MHP__HUGE_PAGES,
				  mhp__window_end(region, window), reterr);
}

int
mhp__unsettle_part(struct mhp_pool *pool, struct mhp_region *region, uint64_t page, uint64_t end,
		   struct mhp_text *reterr)
{
	int err = 0;
	MHP__ASSERT(page < end && page / MHP__HUGE_PAGES == (end - 1) / MHP__HUGE_PAGES);
	for (uint64_t nr; page < end && err == 0; page += nr) {
		nr = mhp__table_span(region, page, end - page, MHP__ENTRY_SETTLED);
		MHP__ASSERT(nr != 0 && nr <= end - page);
		if ((region->entry[page] & MHP__ENTRY_SETTLED) == 0)
			continue;
		if (region->over) {
			err = forget_gone(region, page, nr, reterr);
			nr = mhp__table_span(region, page, nr, MHP__ENTRY_SETTLED);
		}
		if (err == 0 && (region->entry[page] & MHP__ENTRY_SETTLED) != 0)
			err = unsettle_pages(pool, region, page, nr, reterr);
	}
	return err;
}
