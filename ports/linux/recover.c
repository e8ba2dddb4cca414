/* SPDX-License-Identifier: MIT */
/*
 * recover.c - the first thing that a companion does when the one before it was killed.
 *
 * The journal names the window that was on its way, and how far it was; each step can be repeated,
 * or undone, from what the table and the kernel say.
 *
 * As a rule this companion has the descriptors of the last one (leader.c): threads that waited for
 * that window still wait, and go on with the right data when its move has ended. If the descriptors
 * are gone, too, those threads have gone on already. A change of blocks that was half done comes
 * last (mend.c), since another thread may hold its lock for long.
 */
#include "frames.h"
#include "leader.h"
#include "settle.h"

/* Writers are held, if they are, by descriptors that are open still. */
static void
finish_settle(struct mhp_pool *pool, const struct mhp__journal *left)
{
	struct mhp__run run = mhp__run_of(left->region, left->page, left->nr);
	uintptr_t start = mhp__page_address(left->region, left->page);
	bool mapped = mhp__view_shared(start);
	if (mapped) {
		(void)!mhp__run_map(left->region, &run); /* for the marks that it has */
		mhp__table_mark(left->region, run.page, run.nr, MHP__ENTRY_SETTLED, true);
	}
	mhp__guard_wake(&pool->guard, start, left->nr << MHP__PAGE_SHIFT, !mapped);
}

/* The rest of a run that somebody goes on in, where no descriptor is to be had: nobody is held. */
static void
fill_unguarded(const struct mhp_region *region, const struct mhp__run *run)
{
	const uint64_t step = mhp__kernel_page();
	unsigned char *start = (unsigned char *)mhp__page_address(region, run->page);
	unsigned char *source = mhp__frame_virt(region->space, run->pfn);
	for (uint64_t at = 0; at < run->nr << MHP__PAGE_SHIFT; at += step)
		if (mhp__view_in_use((uintptr_t)start + at, (uintptr_t)start + at + step) == 0)
			(void)!mhp__stage_copy(start + at, source + at, step);
}

/* A run comes back; false: it is on the device. Memory that came at once is in use, all of it or a
 * part: what is in the device then is old. */
static bool
fill_run(struct mhp_pool *pool, const struct mhp_region *region, const struct mhp__run *run)
{
	uintptr_t start = mhp__page_address(region, run->page);
	uint64_t size = run->nr << MHP__PAGE_SHIFT;
	if (mhp__view_shared(start))
		return false;
	uint64_t in_use = mhp__view_in_use(start, start + size);
	if (in_use != 0 && pool->guard.hole_fd < 0) {
		fill_unguarded(region, run);
		return true;
	}
	mhp__guard_adopt(&pool->guard, start, size);
	if (in_use != size)
		return mhp__unsettle_fill(pool, region, run->page, run->nr, in_use != 0) == 0;
	mhp__guard_filled(&pool->guard);
	return true;
}

/* Run by run there is the device, before or again, or a hole, or what came at once; or it has come,
 * and that is noted. The region mutex is held, but not meanwhile: there may be no memory for
 * long. */
static void
finish_unsettle(struct mhp_pool *pool, const struct mhp__journal *left)
{
	struct mhp_region *region = left->region;
	uint64_t end = left->page + left->nr;
	for (uint64_t page = left->page, nr; page < end; page += nr) {
		nr = mhp__table_span(region, page, end - page, MHP__ENTRY_SETTLED);
		if ((region->entry[page] & MHP__ENTRY_SETTLED) == 0)
			continue;
		struct mhp__run run = mhp__run_settled(region, page, page + nr);
		nr = run.nr;
		pthread_mutex_unlock(&pool->mutex);
		bool came = fill_run(pool, region, &run);
		mhp__pool_lock_now(pool);
		if (came)
			mhp__table_mark(region, page, run.nr, MHP__ENTRY_SETTLED, false);
	}
}

static void
finish(struct mhp_pool *pool)
{
	const struct mhp__journal *left = &pool->journal;
	switch (atomic_load(&left->step)) {
	case MHP__COPYING:
		finish_settle(pool, left);
		break;
	case MHP__CUTTING:
		mhp__frames_split(left->region, left->page);
		mhp__frames_split(left->region, left->page + left->nr);
		break;
	case MHP__RELABELLING:
		mhp__labels_finish(&pool->labels, left->page, left->nr);
		break;
	case MHP__FILLING:
		finish_unsettle(pool, left);
		break;
	default:
		break;
	}
}

static void
recover(struct mhp_pool *pool, bool fresh)
{
	mhp__pool_lock_now(pool);
	bool guarded = pool->guard.hole_fd >= 0;
	if (guarded && fresh)
		(void)!mhp__guard_reopen(&pool->guard);
	if (mhp__journal_torn(&pool->journal)) {
		finish(pool);
		mhp__journal_end(&pool->journal);
	}
	if (mhp__journal_still(&pool->journal)) { /* so whoever took and opened them is gone */
		mhp__labels_drop(&pool->labels);
		mhp__guard_close(&pool->guard);
	}
	/* Only now: while a hole is found and noted again, whoever waits in it is to wait on. A
	 * step that fails is tried once more, before anybody wants to move a window. */
	if (guarded && (pool->guard.hole_fd < 0 || mhp__guard_listen(&pool->guard) != 0))
		(void)!mhp__guard_start(&pool->guard);
	pthread_mutex_unlock(&pool->mutex);
	if (guarded)
		(void)!mhp__settler_restart(pool);
	mhp__pool_mend(pool);
}

void
mhp__recover_all(void *fresh)
{
	mhp__pools_enter();
	for (unsigned i = 0; i < MHP__POOLS_MAX; i++)
		if (mhp__pools[i] != NULL)
			recover(mhp__pools[i], fresh != NULL);
	mhp__pools_leave();
}
