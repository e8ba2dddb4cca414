/* SPDX-License-Identifier: MIT */
/*
 * unsettle.c - windows come back from a device while the program runs.
 *
 * The window is replaced in one step by empty memory that everybody waits for, which is filled from
 * the direct map. Its labels stay; whoever wants them changed does that afterwards (move.c,
 * window.c). What is pinned, or is not as we made it, stays where it is.
 */
#include <string.h>

#include <memplug/companion.h>

#include "room.h"
#include "settle.h"

void
mhp__unsettle_fill(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page,
		   uint64_t nr)
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
	mhp__journal_step(&pool->journal, MHP__FILLING);
	int error = mhp__guard_hole(&pool->guard, start, size);
	if (error != 0)
		return mhp__say(reterr, mhp__errno(error), "no mapping: %s", strerror(error));
	mhp__unsettle_fill(pool, region, page, nr);
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
	mhp__journal_begin(&pool->journal, region, page, nr, 0, MHP__LOOKING);
	pthread_mutex_unlock(&pool->mutex);
	int err = move_back(pool, region, page, nr, &stall, reterr);
	mhp__pool_lock_now(pool);
	if (err == 0) {
		mhp__table_mark(region, page, nr, MHP__ENTRY_SETTLED, false);
		mhp__settle_count(pool, nr, nr, stall);
	}
	mhp__journal_end(&pool->journal);
	return err;
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
	for (uint64_t nr; page < end && err == 0; page += nr) {
		nr = mhp__table_span(region, page, end - page, MHP__ENTRY_SETTLED);
		if ((region->entry[page] & MHP__ENTRY_SETTLED) != 0)
			err = unsettle_pages(pool, region, page, nr, reterr);
	}
	return err;
}
