/* SPDX-License-Identifier: MIT */
/*
 * mend.c - a change of blocks that a kill cut: the port's part, before the engine takes it back or
 * carries it on (core/blocks/cut.c).
 *
 * Three things may be half done. A page has two frames while it moves: the one that its entry does
 * not bear goes back (move.c). Slots were filled for blocks that the engine never heard of: who
 * filled them is noted there. Blocks that have left were being unmapped: what is left of them goes
 * when the lock is given back, which the range in the pool says (ops.c). The counts of files are
 * counted again. A kill in here finds all of it as before, or done.
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
