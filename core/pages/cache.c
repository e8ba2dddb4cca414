/* SPDX-License-Identifier: MIT */
/*
 * cache.c - per-CPU caches of free pages: refill, spill, drain.
 *
 * cache.h has the layout and what a port does with it; here are the batches. A cache is closed
 * while a batch moves, so that its owner's pushes and pops fail and go to the bitmaps instead of
 * waiting. Nobody waits for a cache that is closed already but a drain, which has to see every
 * frame. Closed caches rank before zone and arena locks, so batches move to and from arenas with
 * the cache closed, and after a drain all that was cached is in the bitmaps.
 *
 * Frames in a cache are taken in the bitmaps, and their descriptors are all-zero. A cache holds no
 * frame of an isolated pageblock once a drain has followed the isolation: every way into a cache
 * tests the isolated bits while the cache is its own.
 */
#include "pages/cache.h"

#include "pages/arena.h"
#include "pages/zone.h"

/* Pages moved between a stack and the arenas in one go: half of the stack, so that a caller who
 * then turns around finds as much room as pages. */
#define BATCH_MAX (MHP_CACHE_DEPTH_0 / 2U)

static inline unsigned
batch(unsigned order)
{
	return mhp_cache_depth(order) / 2U;
}

/* ---- stacks of a closed cache ---- */

static inline unsigned
stack_count(const struct mhp_cache *cache, unsigned order)
{
	return atomic_load_explicit(&cache->count[order], memory_order_relaxed);
}

static inline void
set_stack_count(struct mhp_cache *cache, unsigned order, unsigned nr)
{
	MHP_ASSERT_DEBUG(nr <= mhp_cache_depth(order));
	atomic_store_explicit(&cache->count[order], nr, memory_order_relaxed);
}

static inline void
stack_push(struct mhp_cache *cache, unsigned order, uint64_t pfn)
{
	unsigned nr = stack_count(cache, order);

	MHP_ASSERT_DEBUG(nr < mhp_cache_depth(order));
	atomic_store_explicit(&cache->slot[mhp_cache_bottom(order) + nr], pfn,
			      memory_order_relaxed);
	set_stack_count(cache, order, nr + 1);
}

static inline uint64_t
stack_pop(struct mhp_cache *cache, unsigned order)
{
	unsigned nr = stack_count(cache, order) - 1;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_CACHE));
	MHP_ASSERT_DEBUG(nr < mhp_cache_depth(order)); /* it was not empty */
	set_stack_count(cache, order, nr);
	return atomic_load_explicit(&cache->slot[mhp_cache_bottom(order) + nr],
				    memory_order_relaxed);
}

/* Give the nr pages on top of a stack to their arenas. */
static void
stack_give(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr)
{
	uint64_t pfns[BATCH_MAX];
	unsigned left = stack_count(cache, order) - nr;
	const _Atomic uint64_t *slots = &cache->slot[mhp_cache_bottom(order) + left];

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_CACHE));
	MHP_ASSERT_DEBUG(nr <= BATCH_MAX);
	MHP_ASSERT_DEBUG(nr <= stack_count(cache, order));
	for (unsigned i = 0; i < nr; i++)
		pfns[i] = atomic_load_explicit(&slots[i], memory_order_relaxed);
	set_stack_count(cache, order, left);
	mhp__zone_give(m, cache, order, nr, pfns);
}

/* ---- this CPU's cache ---- */

static struct mhp_cache *
close_local(struct mhp *m, struct mhp__zone *zone)
{
	struct mhp_cache *cache =
		mhp_port_cache_close_local(mhp__zone_caches(m, zone), m->geo.nr_cpus);
	if (cache != NULL)
		mhp__rank_enter(MHP_RANK_CACHE);
	return cache;
}

static void
open_cache(struct mhp_cache *cache)
{
	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_CACHE));
	mhp_port_cache_open(cache);
	mhp__rank_leave(MHP_RANK_CACHE);
}

bool
mhp__cache_refill(struct mhp *m, struct mhp__zone *zone, unsigned order, uint64_t *ret_pfn)
{
	uint64_t pfns[BATCH_MAX];
	struct mhp_cache *cache = close_local(m, zone);

	MHP_ASSERT_DEBUG(order <= MHP_PAGEBLOCK_ORDER(m));
	if (cache == NULL)
		return mhp__zone_take(m, zone, order, 1, NULL, ret_pfn) != 0;
	if (stack_count(cache, order) != 0) { /* another thread on this CPU was faster */
		*ret_pfn = stack_pop(cache, order);
		open_cache(cache);
		return true;
	}
	unsigned nr = mhp__zone_take(m, zone, order, batch(order), cache, pfns);
	/* The lowest goes on top, so that what is allocated in a row lies in a row. */
	for (unsigned i = 0; i + 1 < nr; i++) {
		atomic_store_explicit(&cache->slot[mhp_cache_bottom(order) + i], pfns[nr - 1 - i],
				      memory_order_relaxed);
	}
	MHP_ASSERT_DEBUG(nr <= batch(order));
	if (nr != 0) {
		set_stack_count(cache, order, nr - 1);
		*ret_pfn = pfns[0];
	}
	open_cache(cache);
	return nr != 0;
}

static bool
is_isolated(const struct mhp *m, uint64_t pfn)
{
	const struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];

	return (atomic_load_explicit(&arena->isolated, memory_order_relaxed) &
		mhp__pageblock_bit(m, pfn)) != 0;
}

void
mhp__cache_spill(struct mhp *m, struct mhp__zone *zone, uint64_t pfn, unsigned order)
{
	struct mhp_cache *cache = close_local(m, zone);

	MHP_ASSERT_DEBUG(order <= MHP_PAGEBLOCK_ORDER(m));
	MHP_ASSERT_DEBUG(m->arenas[mhp__pfn_arena(m, pfn)].zone_id1 == mhp__zone_id(m, zone) + 1);
	if (cache == NULL) {
		mhp__zone_give(m, NULL, order, 1, &pfn);
		return;
	}
	/* Tested with the cache closed: a drain that follows the isolation waits for us. */
	if (is_isolated(m, pfn)) {
		mhp__zone_give(m, cache, order, 1, &pfn);
	} else {
		if (stack_count(cache, order) == mhp_cache_depth(order))
			stack_give(m, cache, order, batch(order));
		stack_push(cache, order, pfn);
	}
	open_cache(cache);
}

/* ---- all CPUs' caches ---- */

/* One bit for each CPU. */
struct cpus {
	uint64_t word[MHP_CPUS_MAX / 64U];
};

static inline bool
cpu_test(const struct cpus *cpus, unsigned cpu)
{
	MHP_ASSERT_DEBUG(cpu < MHP_CPUS_MAX);
	return (cpus->word[cpu / 64U] >> cpu % 64U & 1) != 0;
}

static inline void
cpu_set(struct cpus *cpus, unsigned cpu)
{
	MHP_ASSERT_DEBUG(!cpu_test(cpus, cpu)); /* each cache is closed once in a drain */
	cpus->word[cpu / 64U] |= UINT64_C(1) << cpu % 64U;
}

static void
empty_cache(struct mhp *m, struct mhp__zone *zone, struct mhp_cache *cache)
{
	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_CACHE));
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		for (unsigned nr; (nr = stack_count(cache, order)) != 0;)
			stack_give(m, cache, order, nr < BATCH_MAX ? nr : BATCH_MAX);
	}
	mhp__zone_collect(zone, cache);
	MHP_ASSERT_DEBUG(atomic_load(&cache->nr_given) == 0);
}

/* Close and empty those caches that can be closed now. Returns how many that were. */
static unsigned
close_some(struct mhp *m, struct mhp__zone *zone, struct cpus *done)
{
	struct mhp_cache *caches = mhp__zone_caches(m, zone);
	struct cpus closed = { { 0 } };
	unsigned nr_done = 0;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_CACHE));
	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++)
		if (!cpu_test(done, cpu) && mhp_port_cache_close(&caches[cpu]))
			cpu_set(&closed, cpu);
	if (m->ops->fence_cpus != NULL)
		m->ops->fence_cpus(m->port);
	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++) {
		/* Untaken: in the simulator a cache is closed in one step, and stays so. */
		if (!cpu_test(&closed, cpu) || !mhp_port_cache_confirm(&caches[cpu]))
			continue;
		empty_cache(m, zone, &caches[cpu]);
		cpu_set(done, cpu);
		nr_done++;
	}
	return nr_done;
}

/* One drain of a zone at a time: with two, a cache that one of them has lost to a local close
 * would look like its own again when the other closes it. */
static void
drain_lock(struct mhp_cache *caches)
{
	uint32_t nobody = 0;

	for (unsigned spins = 0; !atomic_compare_exchange_strong(&caches[0].draining, &nobody,
								 mhp__holder()); spins++) {
		nobody = 0;
		mhp_port_relax(spins);
	}
}

/* Close all caches of a zone, and empty them. No push or pop waits for them meanwhile: pages go
 * past them, to and from the bitmaps. */
static void
close_all(struct mhp *m, struct mhp__zone *zone)
{
	struct cpus done = { { 0 } };
	unsigned nr_done = 0;

	drain_lock(mhp__zone_caches(m, zone));
	mhp__rank_enter(MHP_RANK_CACHE);
	/* Bound: a CPU that has closed its own cache opens it after one batch. */
	for (unsigned spins = 0;; spins++) {
		nr_done += close_some(m, zone, &done);
		if (nr_done == m->geo.nr_cpus)
			break;
		mhp_port_relax(spins);
	}
	MHP_ASSERT_DEBUG(mhp__cache_nr_frames(m, zone) == 0);
}

static void
open_all(struct mhp *m, struct mhp__zone *zone)
{
	struct mhp_cache *caches = mhp__zone_caches(m, zone);

	MHP_ASSERT_DEBUG(atomic_load(&caches[0].draining) == mhp__holder());
	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++)
		mhp_port_cache_open(&caches[cpu]);
	mhp__rank_leave(MHP_RANK_CACHE);
	atomic_store_explicit(&caches[0].draining, 0, memory_order_release);
}

void
mhp__cache_drain(struct mhp *m, struct mhp__zone *zone)
{
	close_all(m, zone);
	open_all(m, zone);
}

bool
mhp__cache_take_last(struct mhp *m, struct mhp__zone *zone, unsigned order, uint64_t *ret_pfn)
{
	close_all(m, zone);
	unsigned nr = mhp__zone_take(m, zone, order, 1, NULL, ret_pfn);
	open_all(m, zone);
	return nr != 0;
}

uint64_t
mhp__cache_nr_frames(const struct mhp *m, const struct mhp__zone *zone)
{
	const struct mhp_cache *caches = mhp__zone_caches(m, zone);
	uint64_t nr = 0;

	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++)
		for (unsigned order = 0; order < MHP_ORDERS; order++)
			nr += (uint64_t)stack_count(&caches[cpu], order) << order;
	return nr;
}
