/* SPDX-License-Identifier: MIT */
/*
 * mhp_port_inline.h - the hot half of the simulator (docs/PORTING.md; contract in cache.h).
 *
 * The caches take a real lock each, so any thread may play any CPU, also two the same one. Which
 * CPU a thread plays is for the test to say (mhp_sim_cpu). The order of pageblocks is left to the
 * geometry, so that tests can have small ones.
 */
#ifndef MHP_PORT_INLINE_H
#define MHP_PORT_INLINE_H

#include <sched.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

extern _Thread_local unsigned mhp_sim_cpu;
extern _Thread_local uint32_t mhp_sim_ranks;
extern _Thread_local bool mhp_sim_mortal; /* this thread may die while others go on */
#define MHP_PORT_MORTAL() mhp_sim_mortal

static inline unsigned
mhp_port_cpu(void)
{
	return mhp_sim_cpu;
}

static inline void
mhp_port_relax(unsigned spins)
{
	/* Test machines have few CPUs, and the holder of the lock may wait for this one. */
	if (spins % 64 == 63)
		sched_yield();
}

static inline uint32_t *
mhp_port_lock_ranks(void)
{
	uint32_t *ranks = &mhp_sim_ranks;
	/* A comparison of this with NULL must be made on a register: under sanitizers the compiler
	 * would use the flags of the addition that makes the address, which the linker turns into
	 * one that sets none. */
	__asm__("" : "+r"(ranks));
	return ranks;
}

#include <memplug/cache_locked.h>

#endif
