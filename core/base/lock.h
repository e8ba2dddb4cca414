/* SPDX-License-Identifier: MIT */
/*
 * lock.h - the spin locks of the engine and their ranks.
 *
 * A lock of a lower rank is taken before one of a higher rank, and two of the same rank are never
 * held together. Debug builds check it for each thread. The hotplug lock is the port's mutex and
 * comes before all of these. A closed cache counts as a lock (rank CACHE).
 *
 * A lock says whether its holder may be killed while others go on: then somebody mends what it
 * guards and lets go of it (pages/mend.c), and until then whoever wants it waits.
 */
#ifndef MHP_CORE_LOCK_H
#define MHP_CORE_LOCK_H

#include <memplug/types.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "mhp_port_inline.h"

enum mhp__rank {
	MHP_RANK_CACHE = 1,
	MHP_RANK_ARENA = 2,
	MHP_RANK_ZONE = 3,
};

struct mhp__spin {
	_Atomic uint32_t held;          /* 0: free; else mhp__holder() of whoever has it */
};

enum { MHP_HELD = 1, MHP_HELD_BY_MORTAL = 2 };

/* Can threads of this port be killed while others go on? */
#ifdef MHP_PORT_MORTAL
enum { MHP__THREADS_DIE = true };
#else
enum { MHP__THREADS_DIE = false };
#endif

/* The word that this thread writes into the locks that it takes. */
static inline uint32_t
mhp__holder(void)
{
#ifdef MHP_PORT_MORTAL
	return MHP_PORT_MORTAL() ? MHP_HELD_BY_MORTAL : MHP_HELD;
#else
	return MHP_HELD;
#endif
}

/* Has a thread that was killed left it locked? Asked when all that could be killed were. */
static inline bool
mhp__spin_is_left(const struct mhp__spin *lock)
{
	return atomic_load_explicit(&lock->held, memory_order_acquire) == MHP_HELD_BY_MORTAL;
}

static inline void
mhp__rank_enter(enum mhp__rank rank)
{
	if (!MHP_DEBUG)
		return;
	uint32_t *held = mhp_port_lock_ranks();
	if (held == NULL) /* Untaken: ports for bare metal keep no account, the simulator does. */
		return;
	MHP_ASSERT_DEBUG(*held < (1U << rank)); /* nothing of this rank or a later one is held */
	*held |= 1U << rank;
}

static inline void
mhp__rank_leave(enum mhp__rank rank)
{
	if (!MHP_DEBUG)
		return;
	uint32_t *held = mhp_port_lock_ranks();
	if (held == NULL) /* Untaken: ports for bare metal keep no account, the simulator does. */
		return;
	MHP_ASSERT_DEBUG((*held & (1U << rank)) != 0);
	*held &= ~(1U << rank);
}

/* For assertions: does this thread hold a lock of that rank? True where the port keeps no
 * account. */
static inline bool
mhp__rank_held(enum mhp__rank rank)
{
	const uint32_t *held = MHP_DEBUG ? mhp_port_lock_ranks() : NULL;

	/* Untaken: only assertions ask, and the simulator keeps account. */
	return held == NULL || (*held & (1U << rank)) != 0;
}

/* Without a rank: for locks that are taken where no other is. */
static inline void
mhp__spin_take(struct mhp__spin *lock)
{
	uint32_t self = mhp__holder(), nobody = 0;

	/* Bound: the holder leaves after a bounded time; every section under a spin is finite.
	 * Another thread mends what a killed one holds. */
	for (unsigned spins = 0; !atomic_compare_exchange_strong_explicit(
		     &lock->held, &nobody, self, memory_order_acquire, memory_order_relaxed);
	     spins++) {
		while (atomic_load_explicit(&lock->held, memory_order_relaxed) != 0)
			mhp_port_relax(spins++);
		nobody = 0;
	}
}

static inline void
mhp__spin_drop(struct mhp__spin *lock)
{
	MHP_ASSERT_DEBUG(atomic_load_explicit(&lock->held, memory_order_relaxed) != 0);
	atomic_store_explicit(&lock->held, 0, memory_order_release);
}

static inline void
mhp__spin_lock(struct mhp__spin *lock, enum mhp__rank rank)
{
	mhp__rank_enter(rank);
	mhp__spin_take(lock);
}

static inline void
mhp__spin_unlock(struct mhp__spin *lock, enum mhp__rank rank)
{
	mhp__spin_drop(lock);
	mhp__rank_leave(rank);
}

#endif
