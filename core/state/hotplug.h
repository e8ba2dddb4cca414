/* SPDX-License-Identifier: MIT */
/*
 * hotplug.h - the hotplug lock, which serialises everything that changes blocks, and reading.
 *
 * Calls that only read must work from a listener or an owner's function too: there this thread
 * holds the lock already, so nothing that it reads can change.
 *
 * Readers do not block while an offline moves pages, which may take its whole deadline. During the
 * move blocks, runs, zones and knobs do not change, and m->still says so; readers then take no
 * lock, but are counted (m->readers), and the change waits for them before it goes on.
 */
#ifndef MHP_CORE_HOTPLUG_H
#define MHP_CORE_HOTPLUG_H

#include "state/instance.h"

/* ---- the lock ---- */

/* Return: 0, MHP_EDEADLK (this thread holds it already), or MHP_EOWNERDEAD (mhp_lock_lost()). */
MHP_MUST_CHECK int mhp__hotplug_lock(struct mhp *m);
void mhp__hotplug_unlock(struct mhp *m);
/* Take the lock if there is a change for mhp_change_lost() to end. False: there is none. */
MHP_MUST_CHECK bool mhp__hotplug_take_over(struct mhp *m);

/* ---- reading under it, from anywhere: a thread that holds it reads all the same ---- */

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

/* ---- reading what holds still while pages move ---- */

enum mhp__reader {
	MHP_READER_OWN,                 /* this thread holds the lock, or is a reader already */
	MHP_READER_LOCKED,
	MHP_READER_STILL,
};

#define MHP_READER_SPINS 20000U /* about a millisecond */

/* The count that this thread goes into. */
static inline _Atomic uint32_t *
mhp__readers_here(struct mhp *m)
{
	return &m->readers[mhp__holder() == MHP_HELD_BY_MORTAL];
}

static inline bool
mhp__has_readers(const struct mhp *m)
{
	return (atomic_load(&m->readers[0]) | atomic_load(&m->readers[1])) != 0;
}

static inline bool
mhp__reader_enter_still(struct mhp *m)
{
	_Atomic uint32_t *readers = mhp__readers_here(m);

	atomic_fetch_add(readers, 1);
	if (atomic_load(&m->still) != 0)
		return true;
	atomic_fetch_sub(readers, 1);
	return false;
}

/* Spin first: the holder is about to reach a quiet point or to finish. */
static inline enum mhp__reader
mhp__reader_begin(struct mhp *m)
{
	uint64_t self = m->ops->self(m->port);

	if (atomic_load_explicit(&m->between, memory_order_relaxed) == self)
		return MHP_READER_OWN;
	for (unsigned spins = 0; spins < MHP_READER_SPINS; spins++) {
		uint64_t holder = atomic_load_explicit(&m->lock_owner, memory_order_relaxed);

		if (holder == 0 || holder == self)
			break;
		if (mhp__reader_enter_still(m))
			return MHP_READER_STILL;
		mhp_port_relax(spins);
	}
	return mhp__hotplug_lock(m) == 0 ? MHP_READER_LOCKED : MHP_READER_OWN;
}

static inline void
mhp__reader_end(struct mhp *m, enum mhp__reader how)
{
	MHP_ASSERT_DEBUG(how != MHP_READER_STILL || atomic_load(mhp__readers_here(m)) != 0);
	if (how == MHP_READER_STILL)
		atomic_fetch_sub(mhp__readers_here(m), 1);
	else if (how == MHP_READER_LOCKED)
		mhp__hotplug_unlock(m);
}

/* A reader that calls a function which may read again says so: once the change waits for the first
 * reader, a second one of the same thread must not wait for the change. One at a time. */
static inline void
mhp__reader_nest(struct mhp *m)
{
	uint64_t self = m->ops->self(m->port);

	MHP_ASSERT_DEBUG(mhp__has_readers(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->between) != self);
	/* The others here are readers, too, and wait for nobody. */
	mhp__spin_take(&m->nest);
	atomic_store(&m->between, self);
}

static inline void
mhp__reader_unnest(struct mhp *m)
{
	MHP_ASSERT_DEBUG(atomic_load(&m->between) == m->ops->self(m->port));
	atomic_store(&m->between, 0);
	mhp__spin_drop(&m->nest);
}

/* The holder of the lock promises: from here to mhp__still_end() nothing that readers see
 * changes. */
static inline void
mhp__still_begin(struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 0);
	atomic_store(&m->still, 1);
}

static inline void
mhp__still_end(struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 1);
	atomic_store(&m->still, 0);
	/* Bound: no reader comes in after the store, and each that is in is short. Both sides write
	 * one flag and read the other's, so both must be sequentially consistent. */
	for (unsigned spins = 0; mhp__has_readers(m); spins++)
		mhp_port_relax(spins);
}

#endif
