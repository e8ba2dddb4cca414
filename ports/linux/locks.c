/* SPDX-License-Identifier: MIT */
/*
 * locks.c - the locks of a pool, whose holder may be killed.
 *
 * A companion may be killed at any moment, so the locks are robust: the next one to take them is
 * told. Half a change of a table is counted again; a window that was on its way is for the next
 * companion to bring to an end (recover.c), and until then nobody else gets the region mutex.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>

#include <memplug/companion.h>

#include "pool.h"

#define WAIT_NS UINT64_C(1000000)
#define CALL_EVERY 50U

void
mhp__pool_init_locks(struct mhp_pool *pool)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&pool->hotplug, &attr);
	pthread_mutex_init(&pool->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
}

void
mhp__pool_lock_torn(struct mhp_pool *pool)
{
	int error = pthread_mutex_lock(&pool->mutex);
	MHP__ASSERT(error == 0 || error == EOWNERDEAD);
	if (error == 0)
		return;
	pthread_mutex_consistent(&pool->mutex);
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (pool->region[i].live)
			mhp__table_recount(&pool->region[i]);
}

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* The next companion does it; if there is none, a call makes one. */
static void
wait_for_next(struct mhp_pool *pool, unsigned turn)
{
	if (turn % CALL_EVERY == CALL_EVERY - 1)
		(void)!mhp_companion_call(nothing, NULL, NULL);
	mhp__linux_ops.pause(pool, WAIT_NS);
}

void
mhp__pool_lock(struct mhp_pool *pool)
{
	for (unsigned turn = 0;; turn++) {
		mhp__pool_lock_torn(pool);
		if (pool->journal.step == MHP__STILL)
			return;
		pthread_mutex_unlock(&pool->mutex);
		wait_for_next(pool, turn);
	}
}

static void
take_hotplug(struct mhp_pool *pool, int error)
{
	if (error != EOWNERDEAD)
		return;
	pthread_mutex_consistent(&pool->hotplug);
	mhp_lock_lost(pool->m);
}

void
mhp__pool_lock_hotplug(struct mhp_pool *pool)
{
	take_hotplug(pool, pthread_mutex_lock(&pool->hotplug));
}

void
mhp__pool_look_hotplug(struct mhp_pool *pool)
{
	int error = pthread_mutex_trylock(&pool->hotplug);
	take_hotplug(pool, error);
	if (error == 0 || error == EOWNERDEAD)
		pthread_mutex_unlock(&pool->hotplug);
}
