/* SPDX-License-Identifier: MIT */
/*
 * mhp_port_inline.h - the hot half of the bare-metal port (docs/PORTING.md; contract in cache.h).
 *
 * With interrupts off nothing else runs on this CPU, so the section that pushes or pops needs no
 * atomic instruction: plain loads and stores of the CPU's own cache. Closing from elsewhere is a
 * store that the section may miss; ops->fence_cpus interrupts every CPU, which a CPU in the section
 * answers after it, and confirm() then tells whether a local close got in between. The answer is a
 * release that the fence acquires (smp.c): on a machine of weak order that pair shows what the
 * section wrote to whoever drains. Invariant: CPU numbers are below the geometry's nr_cpus, because
 * the geometry is made from them. The core is compiled with this header, so it must not need any
 * other of the port's but the machine's cpu.h.
 *
 * MHP_PORT_ANY_GEOMETRY is for tests of the core, whose machines are not this one: pageblocks of
 * any size, CPU numbers that no geometry was made from.
 */
#ifndef MHP_PORT_INLINE_H
#define MHP_PORT_INLINE_H

#include <memplug/cache.h>

#include "cpu.h"

#ifndef MHP_PORT_ANY_GEOMETRY
#define MHP_PORT_PAGEBLOCK_ORDER MHP_PAGEBLOCK_ORDER_MAX
#endif

static inline unsigned
mhp_port_cpu(void)
{
	return cpu_number();
}

static inline uint32_t *
mhp_port_lock_ranks(void)
{
	return (uint32_t *)cpu_self() + 1;     /* struct smp_cpu */
}

static inline void
mhp_port_relax(unsigned spins)
{
	(void)spins;
	cpu_pause();
}

static inline struct mhp_cache *
mhp_port_own_cache(struct mhp_cache *caches, unsigned nr_cpus)
{
	unsigned cpu = mhp_port_cpu();

#ifdef MHP_PORT_ANY_GEOMETRY
	cpu %= nr_cpus;
#endif
	(void)nr_cpus;
	return &caches[cpu];
}

static inline bool
mhp_port_cache_pop(struct mhp_cache *caches, unsigned nr_cpus, unsigned order, uint64_t *ret_pfn)
{
	uint64_t flags = irq_save();
	struct mhp_cache *cache = mhp_port_own_cache(caches, nr_cpus);
	/* First: whoever opened the cache wrote the count before that. */
	bool open = atomic_load_explicit(&cache->closed, memory_order_acquire) == 0;
	uint32_t count = atomic_load_explicit(&cache->count[order], memory_order_relaxed);
	bool done = false;

	if (open && count > 0) {
		count--;
		*ret_pfn = atomic_load_explicit(&cache->slot[mhp_cache_bottom(order) + count],
						memory_order_relaxed);
		atomic_store_explicit(&cache->count[order], count, memory_order_relaxed);
		done = true;
	}
	irq_restore(flags);
	return done;
}

static inline bool
mhp_port_cache_push(struct mhp_cache *caches, unsigned nr_cpus, unsigned order, uint64_t pfn,
		    const _Atomic uint64_t *isolated, uint64_t mask)
{
	uint64_t flags = irq_save();
	struct mhp_cache *cache = mhp_port_own_cache(caches, nr_cpus);
	bool open = atomic_load_explicit(&cache->closed, memory_order_acquire) == 0;
	uint32_t count = atomic_load_explicit(&cache->count[order], memory_order_relaxed);
	bool done = false;

	if (open && count < mhp_cache_depth(order) &&
	    (atomic_load_explicit(isolated, memory_order_relaxed) & mask) == 0) {
		atomic_store_explicit(&cache->slot[mhp_cache_bottom(order) + count], pfn,
				      memory_order_relaxed);
		atomic_store_explicit(&cache->count[order], count + 1, memory_order_relaxed);
		done = true;
	}
	irq_restore(flags);
	return done;
}

static inline struct mhp_cache *
mhp_port_cache_close_local(struct mhp_cache *caches, unsigned nr_cpus)
{
	uint64_t flags = irq_save();
	struct mhp_cache *cache = mhp_port_own_cache(caches, nr_cpus);
	bool open = atomic_load_explicit(&cache->closed, memory_order_acquire) == 0;

	if (open)
		atomic_store_explicit(&cache->closed, 1, memory_order_relaxed);
	irq_restore(flags);
	return open ? cache : NULL;
}

static inline bool
mhp_port_cache_close(struct mhp_cache *cache)
{
	uint32_t open = 0;

	return atomic_compare_exchange_strong_explicit(&cache->closed, &open, 2,
						       memory_order_acquire, memory_order_relaxed);
}

static inline bool
mhp_port_cache_confirm(struct mhp_cache *cache)
{
	return atomic_load_explicit(&cache->closed, memory_order_acquire) == 2;
}

static inline void
mhp_port_cache_open(struct mhp_cache *cache)
{
	atomic_store_explicit(&cache->closed, 0, memory_order_release);
}

#endif
