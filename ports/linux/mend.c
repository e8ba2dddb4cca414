/* SPDX-License-Identifier: MIT */
/*
 * mend.c - the port's part in recovering a change of blocks whose thread was killed. The engine
 * then rolls the change back or forward (core/blocks/recovery.c).
 *
 * Three things may be half done. A page that was moving has two frames: the one that its entry does
 * not name is freed (move.c). Slots were filled for blocks that the engine has never heard of: they
 * say who filled them. Blocks that have left were being unmapped: the pool notes their range, and
 * the rest is unmapped when the lock is released (ops.c). The counts of files are recomputed. Each
 * step is done or not done if this thread is killed as well.
 */
#include <memplug/companion.h>

#include "pool.h"

/* Somebody wanted to add it, and was killed before he asked the engine to. */
static bool
is_orphan(const struct mhp__slot *slot)
{
	return slot->file1 != 0 && !slot->taken && slot->placer != 0 &&
	       slot->placer != mhp_companion_pid();
}

/* None of its tasks is left. Returns whether there were any. */
static bool
free_orphans(struct mhp__space *space)
{
	bool any = false;
	for (uint32_t block = 0; block < space->nr_blocks; block++) {
		if (!is_orphan(&space->slot[block]))
			continue;
		mhp__space_unmap(space, block, 1);
		any = true;
	}
	space->last_placer = 0;
	return any;
}

/* An add may come before the mend, or the mend may have found somebody changing blocks. */
void
mhp__pool_free_orphans(struct mhp_pool *pool)
{
	int last = pool->space.last_placer, companion = mhp_companion_pid();
	if (last != 0 && companion != 0 && companion != last)
		(void)free_orphans(&pool->space);
}

static void
mend_space(struct mhp_pool *pool)
{
	if (atomic_load(&pool->change_lost))
		mhp__pool_lock_hotplug(pool);
	else if (!mhp__pool_try_hotplug(pool))
		return; /* somebody changes blocks: what is left here waits for the next add */
	mhp__space_recount(&pool->space);
	if (free_orphans(&pool->space))
		mhp__pool_close_unused(pool);
	pthread_mutex_unlock(&pool->hotplug);
}

void
mhp__pool_mend(struct mhp_pool *pool)
{
	atomic_store(&pool->mender, mhp__linux_ops.self(pool));
	bool lost = mhp__pool_change_lost(pool);
	if (lost)
		mhp__region_set_right(pool);
	mend_space(pool);
	if (lost) /* if it cannot be mended, the engine says so to whoever wants another change */
		(void)!mhp_change_lost(pool->m, pool->owner);
	atomic_store(&pool->change_lost, false);
	atomic_store(&pool->mender, 0);
}
