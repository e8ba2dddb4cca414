/* SPDX-License-Identifier: MIT */
/*
 * recover.c - what a companion that comes after one that was killed begins with.
 *
 * The journal names the window that was on its way, and how far it was; each step can be done once
 * more, or taken back, from what the table and the kernel say.
 *
 * As a rule it has the last one's descriptors (companion.c): who waits for a window that was on its
 * way waits still, and goes on with the right data once that is brought to an end. Where even those
 * are gone, waiters have gone on. A change of blocks that was cut cannot be taken up again by
 * somebody else: the engine then takes no other (locks.c).
 */
#include <string.h>

#include "settle.h"

static void
finish_settle(struct mhp_pool *pool, const struct mhp__journal *left)
{
	struct mhp__run run = mhp__run_of(left->region, left->page, left->nr);
	if (mhp__settle_finish(pool, left->region, &run))
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
		mhp__unsettle_fill(pool, region, left->page, left->nr);
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

static void
finish(struct mhp_pool *pool)
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

static void
recover(struct mhp_pool *pool, bool fresh)
{
	mhp__pool_lock_now(pool);
	bool guarded = pool->guard.hole_fd >= 0;
	if (fresh)
		pool->guard.write_fd = pool->guard.hole_fd = -1;
	if (mhp__journal_torn(&pool->journal)) {
		if (!fresh || pool->journal.step == MHP__HEALING)
			finish(pool);
		mhp__journal_end(&pool->journal);
	}
	pthread_mutex_unlock(&pool->mutex);
	/* It may be that nobody asks for it soon, and the engine knows a holder who is dead. */
	mhp__pool_look_hotplug(pool);
	if (guarded)
		(void)!mhp__settler_restart(pool);
}

void
mhp__recover_all(void *fresh)
{
	for (unsigned i = 0; i < MHP__POOLS_MAX; i++)
		if (mhp__pools[i] != NULL)
			recover(mhp__pools[i], fresh != NULL);
}
