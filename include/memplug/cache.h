/* SPDX-License-Identifier: MIT */
/*
 * cache.h - per-CPU caches of free pages: the layout, and what the hot half of a port does with it.
 *
 * A cache is a stack of pfns for each order, one cache per zone and CPU. Its frames are taken in
 * the bitmaps, so a cache is never the truth about anything; it only saves lock operations. Pushing
 * and popping one page is the port's business, because only a port knows what keeps two threads of
 * one CPU apart: a restartable sequence (Linux, rseq), disabled interrupts (a kernel), or a lock
 * (cache_locked.h, good anywhere). Moving batches is the core's: it closes a cache first, and
 * push and pop of a closed cache fail, so that the caller goes to the bitmaps.
 */
#ifndef MEMPLUG_CACHE_H
#define MEMPLUG_CACHE_H

#include <memplug/types.h>
#include <stdatomic.h>

/*
 * The header mhp_port_inline.h of a port defines, as static inline functions:
 *
 *   unsigned mhp_port_cpu(void);
 *       The CPU we run on, any number; the core reduces it to below nr_cpus.
 *   void mhp_port_relax(unsigned spins);
 *       In a spin loop, @spins says how often it has been called before: pause, then yield.
 *   uint32_t *mhp_port_lock_ranks(void);
 *       A word per thread in which debug builds note the ranks of held locks; NULL where none.
 *   bool mhp_port_cache_pop(struct mhp_cache *caches, unsigned nr_cpus, unsigned order,
 *                           uint64_t *ret_pfn);
 *       Pop from the cache of this CPU, caches[cpu]. False: closed or empty.
 *   bool mhp_port_cache_push(struct mhp_cache *caches, unsigned nr_cpus, unsigned order,
 *                            uint64_t pfn, const _Atomic uint64_t *isolated, uint64_t mask);
 *       Push to the cache of this CPU. False: closed, full, or (*isolated & mask) != 0, which is
 *       tested inside of the section: a frame of an isolated pageblock that reached a cache after
 *       the caches were drained would be handed out again.
 *   struct mhp_cache *mhp_port_cache_close_local(struct mhp_cache *caches, unsigned nr_cpus);
 *       Close the cache of this CPU; NULL when it is closed already. Never waits.
 *   bool mhp_port_cache_close(struct mhp_cache *cache);
 *       Close any cache, from any CPU; false when somebody else has it closed: try again. The core
 *       calls ops->fence_cpus after it and then tests mhp_port_cache_confirm().
 *   bool mhp_port_cache_confirm(struct mhp_cache *cache);
 *       After the fence: is the cache really ours? (A local close that was under way may have won.)
 *   void mhp_port_cache_open(struct mhp_cache *cache);
 *       Undo either close.
 *
 * It may define MHP_PORT_PAGEBLOCK_ORDER, a constant: then geometry.pageblock_order must be that.
 *
 * It may define MHP_PORT_MORTAL(): true in a thread that may be killed while others go on. In such
 * a thread a local close must fail, since nobody could repair a batch that was under way; and after
 * a kill mhp_threads_lost() releases the locks of such threads.
 */

/** Depth of the stacks: pages of order 0, and of each higher order. */
#define MHP_CACHE_DEPTH_0 256U
#define MHP_CACHE_DEPTH_N 64U
#define MHP_CACHE_SLOTS (MHP_CACHE_DEPTH_0 + (MHP_ORDERS - 1U) * MHP_CACHE_DEPTH_N)

/**
 * One cache. All-zero is open and empty. The thread that has closed it owns all of it but
 * @draining, which keeps apart the threads that close caches from elsewhere: only one at a time
 * does so in the caches of a zone, and it holds @draining of the zone's first cache.
 */
struct mhp_cache {
	_Atomic uint32_t closed;              /* 0 open, 1 closed locally, 2 from elsewhere */
	uint32_t hint;                        /* arena last refilled from, + 1 */
	_Atomic uint32_t count[MHP_ORDERS];   /* pages on each stack */
	_Atomic int64_t nr_given;             /* frames given to arenas less those taken, not yet in
						 the zone's counter */
	_Atomic uint32_t draining;            /* 0: no; 1: yes; 2: by a thread that may be killed */
	_Atomic uint64_t slot[MHP_CACHE_SLOTS];
} __attribute__((aligned(64)));

static inline unsigned
mhp_cache_depth(unsigned order)
{
	return order == 0 ? MHP_CACHE_DEPTH_0 : MHP_CACHE_DEPTH_N;
}

/** Index of the bottom of a stack in slot[]. */
static inline unsigned
mhp_cache_bottom(unsigned order)
{
	return order == 0 ? 0 : MHP_CACHE_DEPTH_0 + (order - 1U) * MHP_CACHE_DEPTH_N;
}

#endif
