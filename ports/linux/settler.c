/* SPDX-License-Identifier: MIT */
/*
 * settler.c - the task that looks again and again for windows that may go to their device.
 *
 * Memory gets the number of a device's frame when it is committed, long before it is used, and goes
 * there only in windows; so somebody has to look. Before a fork everything comes back, and nothing
 * goes until it is over. What cannot go just now, because the program has locked it for instance,
 * is looked at again from time to time: nobody tells when that ends.
 */
#include <memplug/companion.h>

#include "settle.h"

#define LOOK_AGAIN_NS UINT64_C(50000000)
/* What was refused is looked at again after so many times the time that it took, or a second. */
#define REST_TIMES 50U
#define REST_NS UINT64_C(1000000000)

/* Call fn for every window of every region, letting others in between; stop says when to end. */
static void
each_window(struct mhp_pool *pool, void (*fn)(struct mhp_pool *pool, struct mhp_region *region,
					      uint64_t window), bool settling)
{
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		struct mhp_region *region = &pool->region[i];
		mhp__pool_lock(pool);
		for (uint64_t window = 0; region->live &&
		     (window = mhp__table_next_window(region, window)) * MHP__HUGE_PAGES <
			     region->top &&
		     (settling ? !pool->forking : region->nr_settled != 0); window++) {
			fn(pool, region, window);
			mhp__pool_give_way(pool);
		}
		pthread_mutex_unlock(&pool->mutex);
	}
}

static void
unsettle(struct mhp_pool *pool, struct mhp_region *region, uint64_t window)
{
	(void)!mhp__unsettle_window(pool, region, window, NULL);
}

int
mhp__unsettle_all(void *arg)
{
	struct mhp_pool *pool = arg;
	each_window(pool, unsettle, false);
	mhp__pool_lock(pool);
	mhp__guard_close(&pool->guard);
	pthread_mutex_unlock(&pool->mutex);
	return 0;
}

/* Look at everything; returns when to do so again though nobody wants it. */
static uint64_t
look(struct mhp_pool *pool)
{
	uint64_t started = mhp__linux_ops.now_ns(pool);
	atomic_store(&pool->settle_refused, false);
	each_window(pool, mhp__settle_window, true);
	uint64_t now = mhp__linux_ops.now_ns(pool), rest = (now - started) * REST_TIMES;
	if (!atomic_load(&pool->settle_refused))
		return UINT64_MAX;
	return now + (rest > REST_NS ? rest : REST_NS);
}

/* In the companion, as long as it lives. */
static void
settler(void *arg)
{
	struct mhp_pool *pool = arg;
	uint64_t due = UINT64_MAX;
	while (!atomic_load(&pool->settler_stop)) {
		if (!atomic_load(&pool->forking) &&
		    (atomic_exchange(&pool->settle_wanted, false) ||
		     mhp__linux_ops.now_ns(pool) >= due))
			due = look(pool);
		mhp__linux_ops.pause(pool, LOOK_AGAIN_NS);
	}
	atomic_store(&pool->settler, 0);
}

int
mhp__settler_start(void *arg)
{
	struct mhp_pool *pool = arg;
	int self = mhp_companion_pid();
	int err = mhp__guard_start(&pool->guard);
	if (err != 0 || atomic_exchange(&pool->settler, self) == self)
		return err;
	atomic_store(&pool->settler_stop, false);
	err = mhp_companion_thread(settler, pool);
	if (err != 0)
		atomic_store(&pool->settler, 0);
	return err;
}

int
mhp__settler_restart(struct mhp_pool *pool)
{
	atomic_store(&pool->settle_wanted, true);
	return mhp__settler_start(pool);
}
