/* SPDX-License-Identifier: MIT */
/*
 * recover.c - what a companion that comes after one that was killed begins with.
 *
 * As a rule it has the last one's descriptors (companion.c): who waits for a window that was on its
 * way waits still, and goes on with the right data once that is brought to an end. Where even those
 * are gone, waiters have gone on. A change of blocks that was cut cannot be taken up again by
 * somebody else: the engine then takes no other (locks.c).
 */
#include "settle.h"

static void
recover(struct mhp_pool *pool, bool fresh)
{
	mhp__pool_lock_now(pool);
	bool guarded = pool->guard.hole_fd >= 0;
	if (fresh)
		pool->guard.write_fd = pool->guard.hole_fd = -1;
	if (mhp__pool_torn(pool)) {
		if (!fresh || pool->journal.step == MHP__HEALING)
			mhp__settle_finish(pool);
		mhp__pool_arrive(pool);
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
