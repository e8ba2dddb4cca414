/* SPDX-License-Identifier: MIT */
/*
 * locks.c - the locks of a pool, whose holder may be killed.
 *
 * A companion may be killed at any moment, so the locks are robust: the next thread to take one
 * learns of it. The counts of a table that was half changed are recomputed at once. A window that
 * was on its way, and a change of blocks, are ended by the next companion (recover.c); until then
 * only hooks get the region mutex, as while a window moves, and nobody gets the hotplug mutex.
 *
 * A mover that releases the mutex between two windows would take it again before a thread that was
 * woken for it runs. So it asks first whether somebody waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>

#include <memplug/companion.h>

#include "leader.h"
#include "pool.h"

#define CALL_EVERY 50U
#define GIVE_WAY_NS UINT64_C(200000)
/* For whoever wants to change blocks while a change that was cut is mended: 20 s at most. */
#define MENDING_NS UINT64_C(2000000)
#define MENDING_TURNS 10000U
#define NOTE_TURNS 10U

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
mhp__pool_lock_now(struct mhp_pool *pool)
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

/* Its mover ends it, or the next companion does; if there is none, a call makes one. */
static void
wait_for_arrival(struct mhp_pool *pool, unsigned turn)
{
	if (turn % CALL_EVERY == CALL_EVERY - 1)
		(void)!mhp_companion_call(nothing, NULL, NULL);
	atomic_store(&pool->wanted, true);
	mhp__journal_wait(&pool->journal);
}

void
mhp__pool_lock(struct mhp_pool *pool)
{
	for (unsigned turn = 0;; turn++) {
		mhp__pool_lock_now(pool);
		if (mhp__journal_still(&pool->journal))
			return;
		pthread_mutex_unlock(&pool->mutex);
		wait_for_arrival(pool, turn);
	}
}

void
mhp__pool_give_way(struct mhp_pool *pool)
{
	pthread_mutex_unlock(&pool->mutex);
	if (atomic_exchange(&pool->wanted, false))
		mhp__linux_ops.pause(pool, GIVE_WAY_NS);
	mhp__pool_lock(pool);
}

/* Only the first to have the lock is told that its holder was killed. */
static void
note_lost(struct mhp_pool *pool, int error)
{
	if (error != EOWNERDEAD)
		return;
	pthread_mutex_consistent(&pool->hotplug);
	mhp_lock_lost(pool->m);
	atomic_store(&pool->hotplug_holder, 0);
	atomic_store(&pool->change_lost, true);
}

/* The next companion takes the change back or carries it on; if there is none, a call makes one.
 * False: none can be had. */
static bool
wait_for_mending(struct mhp_pool *pool, unsigned turn)
{
	if (turn % CALL_EVERY == 0 && mhp_companion_call(nothing, NULL, NULL) == MHP_EPERM)
		return false;
	mhp__linux_ops.pause(pool, MENDING_NS);
	return true;
}

void
mhp__pool_lock_hotplug(struct mhp_pool *pool)
{
	for (unsigned turn = 0;; turn++) {
		note_lost(pool, pthread_mutex_lock(&pool->hotplug));
		if (!atomic_load(&pool->change_lost) || turn == MENDING_TURNS ||
		    atomic_load(&pool->mender) == mhp__linux_ops.self(pool))
			return;
		pthread_mutex_unlock(&pool->hotplug);
		if (!wait_for_mending(pool, turn)) {
			note_lost(pool, pthread_mutex_lock(&pool->hotplug));
			return;
		}
	}
}

bool
mhp__pool_try_hotplug(struct mhp_pool *pool)
{
	int error = pthread_mutex_trylock(&pool->hotplug);
	note_lost(pool, error);
	return error != EBUSY;
}

/* Its holder lives, and notes at once what it was told: so it is not waited for long. A companion
 * that is killed meanwhile has not failed. */
bool
mhp__pool_change_lost(struct mhp_pool *pool)
{
	bool taken = mhp__pool_try_hotplug(pool);
	if (!taken)
		mhp__leader_waits();
	for (unsigned turn = 0; !taken && turn < NOTE_TURNS; turn++) {
		mhp__linux_ops.pause(pool, MENDING_NS);
		if (atomic_load(&pool->change_lost))
			return true;
		taken = mhp__pool_try_hotplug(pool);
	}
	if (taken)
		pthread_mutex_unlock(&pool->hotplug);
	return atomic_load(&pool->change_lost);
}
