/* SPDX-License-Identifier: MIT */
/*
 * cache_locked.h - the cache half of mhp_port_inline.h with a real lock: good on any machine.
 *
 * `closed` is that lock, taken by an atomic exchange, and whoever takes it has closed the cache:
 * local and remote are the same here. Push and pop never wait: a cache that somebody else holds
 * counts as closed, and the caller goes to the bitmaps. So a thread that loses the CPU in the
 * middle holds nobody up, and threads may play CPUs as they like, two the same one as well. There
 * is no section to fence: ops->fence_cpus may be NULL, and confirm always says yes.
 *
 * A port defines mhp_port_cpu() and includes this; a port that has something faster for most
 * cases defines MHP_CACHE_LOCKED_ONLY first, gets mhp_cache_locked_*() alone, and may choose
 * between the two as it runs, once for all threads. Must not know: the core.
 */
#ifndef MEMPLUG_CACHE_LOCKED_H
#define MEMPLUG_CACHE_LOCKED_H

#include <memplug/cache.h>

static inline bool
mhp_cache_locked_take(struct mhp_cache *cache, uint32_t how)
{
	uint32_t open = 0;

	/* The load keeps the line shared while somebody else holds the lock. */
	if (atomic_load_explicit(&cache->closed, memory_order_relaxed) != 0)
		return false;
	return atomic_compare_exchange_strong_explicit(
		&cache->closed, &open, how, memory_order_acquire, memory_order_relaxed);
}

static inline bool
mhp_cache_locked_close(struct mhp_cache *cache)
{
	return mhp_cache_locked_take(cache, 2);
}

static inline void
mhp_cache_locked_open(struct mhp_cache *cache)
{
	atomic_store_explicit(&cache->closed, 0, memory_order_release);
}

static inline struct mhp_cache *
mhp_cache_locked_close_local(struct mhp_cache *caches, unsigned nr_cpus)
{
	struct mhp_cache *cache = &caches[mhp_port_cpu() % nr_cpus];
#ifdef MHP_PORT_MORTAL
	if (MHP_PORT_MORTAL())
		return NULL;
#endif
	return mhp_cache_locked_take(cache, 1) ? cache : NULL;
}

static inline bool
mhp_cache_locked_pop(struct mhp_cache *caches, unsigned nr_cpus, unsigned order,
		     uint64_t *ret_pfn)
{
	struct mhp_cache *cache = mhp_cache_locked_close_local(caches, nr_cpus);
	if (cache == NULL)
		return false;
	uint32_t nr = atomic_load_explicit(&cache->count[order], memory_order_relaxed);
	if (nr != 0) {
		*ret_pfn = atomic_load_explicit(&cache->slot[mhp_cache_bottom(order) + nr - 1],
						memory_order_relaxed);
		atomic_store_explicit(&cache->count[order], nr - 1, memory_order_relaxed);
	}
	mhp_cache_locked_open(cache);
	return nr != 0;
}

static inline bool
mhp_cache_locked_push(struct mhp_cache *caches, unsigned nr_cpus, unsigned order, uint64_t pfn,
		      const _Atomic uint64_t *isolated, uint64_t mask)
{
	struct mhp_cache *cache = mhp_cache_locked_close_local(caches, nr_cpus);
	if (cache == NULL)
		return false;
	uint32_t nr = atomic_load_explicit(&cache->count[order], memory_order_relaxed);
	bool fits = nr < mhp_cache_depth(order) &&
		    (atomic_load_explicit(isolated, memory_order_relaxed) & mask) == 0;
	if (fits) {
		atomic_store_explicit(&cache->slot[mhp_cache_bottom(order) + nr], pfn,
				      memory_order_relaxed);
		atomic_store_explicit(&cache->count[order], nr + 1, memory_order_relaxed);
	}
	mhp_cache_locked_open(cache);
	return fits;
}

#ifndef MHP_CACHE_LOCKED_ONLY

static inline bool
mhp_port_cache_pop(struct mhp_cache *caches, unsigned nr_cpus, unsigned order, uint64_t *ret_pfn)
{
	return mhp_cache_locked_pop(caches, nr_cpus, order, ret_pfn);
}

static inline bool
mhp_port_cache_push(struct mhp_cache *caches, unsigned nr_cpus, unsigned order, uint64_t pfn,
		    const _Atomic uint64_t *isolated, uint64_t mask)
{
	return mhp_cache_locked_push(caches, nr_cpus, order, pfn, isolated, mask);
}

static inline struct mhp_cache *
mhp_port_cache_close_local(struct mhp_cache *caches, unsigned nr_cpus)
{
	return mhp_cache_locked_close_local(caches, nr_cpus);
}

static inline bool
mhp_port_cache_close(struct mhp_cache *cache)
{
	return mhp_cache_locked_close(cache);
}

static inline bool
mhp_port_cache_confirm(struct mhp_cache *cache)
{
	(void)cache;
	return true;
}

static inline void
mhp_port_cache_open(struct mhp_cache *cache)
{
	mhp_cache_locked_open(cache);
}

#endif
#endif
