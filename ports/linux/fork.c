/* SPDX-License-Identifier: MIT */
/*
 * fork.c - what happens around fork(): nothing is half done in the child.
 *
 * Pages of regions, the engine, its tables and the blocks of `ram` are ordinary memory, so the
 * kernel gives the child a copy of its own and the child keeps its pool. The handlers only take the
 * locks, so that no change is under way at that moment. A change that takes long is told to stop
 * first: fork waits for one batch of moves at most, never for a move.
 */
#include "pool.h"

static void
for_each(void (*fn)(struct mhp_pool *pool))
{
	for (unsigned i = 0; i < MHP__POOLS_MAX; i++)
		if (mhp__pools[i] != NULL)
			fn(mhp__pools[i]);
}

/* Stop the change under way, if there is one, until the hotplug mutex is ours. */
static void
take_locks(struct mhp_pool *pool)
{
	while (pthread_mutex_trylock(&pool->hotplug) != 0) {
		struct mhp_progress now = mhp_offline_progress(pool->m);
		if (now.blocks.count != 0)
			(void)mhp_offline_cancel(pool->m, now.blocks.first);
		mhp__linux_ops.pause(pool, 100000);
	}
	pthread_mutex_lock(&pool->mutex);
}

static void
drop_locks(struct mhp_pool *pool)
{
	pool->stats.forks++;
	pthread_mutex_unlock(&pool->mutex);
	pthread_mutex_unlock(&pool->hotplug);
}

/* The locks are ours: this thread took them, in the parent. */
static void
start_child(struct mhp_pool *pool)
{
	pthread_mutex_unlock(&pool->mutex);
	pthread_mutex_unlock(&pool->hotplug);
}

static void
prepare(void)
{
	for_each(take_locks);
}

static void
parent(void)
{
	for_each(drop_locks);
}

static void
child(void)
{
	for_each(start_child);
}

void
mhp_fork_init(void)
{
	static atomic_bool installed;
	if (!atomic_exchange(&installed, true))
		pthread_atfork(prepare, parent, child);
}
