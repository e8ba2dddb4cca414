/* SPDX-License-Identifier: MIT */
/*
 * locked.h - reading under the hotplug lock, from anywhere.
 *
 * Calls that only look must work from a listener or an owner's function too: there this thread
 * holds the lock already, so what it reads holds still all the same.
 *
 * And they must not wait for an offline that is moving pages, which may take its whole deadline:
 * what blocks, runs, zones and knobs are does not change before it is done with that, and it says
 * so (m->still). Whoever looks then takes no lock, and is counted, so that the change waits for it.
 */
#ifndef MHP_CORE_LOCKED_H
#define MHP_CORE_LOCKED_H

#include "state/instance.h"

/* True: the lock was taken here, and mhp__read_end() gives it back. */
static inline bool
mhp__read_begin(struct mhp *m)
{
	return mhp__hotplug_lock(m) == 0;
}

static inline void
mhp__read_end(struct mhp *m, bool locked)
{
	if (locked)
		mhp__hotplug_unlock(m);
}

/* ---- the same, for what holds still while pages move ---- */

enum mhp__look {
	MHP__LOOK_OWN,                 /* this thread holds the lock, or looks already */
	MHP__LOOK_LOCKED,
	MHP__LOOK_STILL,
};

#define MHP__LOOK_SPINS 20000U /* about a millisecond */

static inline bool
mhp__look_still(struct mhp *m)
{
	atomic_fetch_add(&m->lookers, 1);
	if (atomic_load(&m->still) != 0)
		return true;
	atomic_fetch_sub(&m->lookers, 1);
	return false;
}

/* A holder of the lock is about to hold still, or to be done: waiting in the lock is for later. */
static inline enum mhp__look
mhp__look_begin(struct mhp *m)
{
	uint64_t self = m->ops->self(m->port);

	if (atomic_load_explicit(&m->between, memory_order_relaxed) == self)
		return MHP__LOOK_OWN;
	for (unsigned spins = 0; spins < MHP__LOOK_SPINS; spins++) {
		uint64_t holder = atomic_load_explicit(&m->lock_owner, memory_order_relaxed);

		if (holder == 0 || holder == self)
			break;
		if (mhp__look_still(m))
			return MHP__LOOK_STILL;
		mhp_port_relax(spins);
	}
	return mhp__hotplug_lock(m) == 0 ? MHP__LOOK_LOCKED : MHP__LOOK_OWN;
}

static inline void
mhp__look_end(struct mhp *m, enum mhp__look how)
{
	if (how == MHP__LOOK_STILL)
		atomic_fetch_sub(&m->lookers, 1);
	else if (how == MHP__LOOK_LOCKED)
		mhp__hotplug_unlock(m);
}

/* Who looks, and calls somebody who looks again, says so: once the change waits for the first look,
 * a second one must not wait for the change. One at a time. */
static inline void
mhp__look_nest(struct mhp *m)
{
	uint64_t self = m->ops->self(m->port), nobody = 0;

	/* Bound: others who are here are about to look, too, and wait for nobody. */
	for (unsigned spins = 0; !atomic_compare_exchange_strong(&m->between, &nobody, self);
	     spins++) {
		nobody = 0;
		mhp_port_relax(spins);
	}
}

static inline void
mhp__look_unnest(struct mhp *m)
{
	atomic_store(&m->between, 0);
}

/* Of the holder of the lock: from here to mhp__still_end() nothing that others look at changes. */
static inline void
mhp__still_begin(struct mhp *m)
{
	atomic_store(&m->still, 1);
}

static inline void
mhp__still_end(struct mhp *m)
{
	atomic_store(&m->still, 0);
	/* Bound: nobody comes in any more, and a look is finite. */
	for (unsigned spins = 0; atomic_load(&m->lookers) != 0; spins++)
		mhp_port_relax(spins);
}

#endif
