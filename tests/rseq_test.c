/* SPDX-License-Identifier: MIT */
/*
 * rseq_test.c - the hot half of the Linux port, first alone, then under the core.
 *
 * Restartable sequences go wrong in ways that show only when a thread is stopped in the middle of
 * one, so the cases with threads run more of them than there are CPUs, and somebody closes caches
 * from elsewhere all the time. Every page has an entry in a table that says whether somebody has
 * it; a page that two have, or nobody, ends the case. Runs without rseq, too (another kernel,
 * valgrind, GLIBC_TUNABLES=glibc.pthread.rseq=0): then the caches take a lock.
 */
#define _GNU_SOURCE

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pages/attach.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "state/hotplug.h"
#include "test.h"

_Thread_local bool mhp_port_mortal; /* none of ours is; the port itself is not linked */

#define NR_CPUS_MAX 1024
#define THREADS 5

static void
fence(void *port)
{
	(void)port;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) != 0)
		FAIL("membarrier");
}

static void
fence_open(void)
{
	CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0), 0);
}

/* Caches for all CPUs that there may be. */
static unsigned
nr_cpus(void)
{
	long nr = sysconf(_SC_NPROCESSORS_CONF);
	return nr > 0 && nr <= NR_CPUS_MAX ? (unsigned)nr : NR_CPUS_MAX;
}

static struct mhp_cache *
caches_new(void)
{
	struct mhp_cache *caches = aligned_alloc(64, nr_cpus() * sizeof(*caches));
	CHECK(caches != NULL);
	memset((void *)caches, 0, nr_cpus() * sizeof(*caches));
	return caches;
}

/* Stay on one CPU; returns which. */
static unsigned
stay(void)
{
	cpu_set_t set;
	unsigned cpu = (unsigned)sched_getcpu();
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
	CHECK_EQ(mhp_port_cpu(), cpu);
	return cpu;
}

static void
stray(cpu_set_t *all)
{
	CHECK_EQ(sched_setaffinity(0, sizeof(*all), all), 0);
}

/* As the core does it where the port has no rseq: close, then by hand. */
static bool
push(struct mhp_cache *caches, unsigned order, uint64_t pfn)
{
	static const _Atomic uint64_t none;
	if (mhp_port_cache_push(caches, nr_cpus(), order, pfn, &none, 1))
		return true;
	return !mhp_port_has_rseq() &&
	       mhp_cache_locked_push(caches, nr_cpus(), order, pfn, &none, 1);
}

static bool
pop(struct mhp_cache *caches, unsigned order, uint64_t *ret_pfn)
{
	if (mhp_port_cache_pop(caches, nr_cpus(), order, ret_pfn))
		return true;
	return !mhp_port_has_rseq() &&
	       mhp_cache_locked_pop(caches, nr_cpus(), order, ret_pfn);
}

TEST(rseq__each_order__a_stack_of_its_own_depth)
{
	struct mhp_cache *caches = caches_new();
	cpu_set_t all;
	uint64_t pfn;
	CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
	unsigned cpu = stay();
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		for (unsigned i = 0; i < mhp_cache_depth(order); i++)
			CHECK(push(caches, order, order * 1000 + i));
		CHECK(!push(caches, order, 7));
		CHECK_EQ(caches[cpu].count[order], mhp_cache_depth(order));
	}
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		for (unsigned i = mhp_cache_depth(order); i-- > 0;) {
			CHECK(pop(caches, order, &pfn));
			CHECK_EQ(pfn, order * 1000 + i);
		}
		CHECK(!pop(caches, order, &pfn));
		CHECK_EQ(caches[cpu].count[order], 0);
	}
	stray(&all);
	free(caches);
}

TEST(rseq__closed_isolated_or_no_such_cpu__not_touched)
{
	struct mhp_cache *caches = caches_new();
	_Atomic uint64_t isolated = 4;
	cpu_set_t all;
	uint64_t pfn;
	CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
	unsigned cpu = stay();
	CHECK(push(caches, 0, 1));
	CHECK(!mhp_port_cache_push(caches, nr_cpus(), 0, 2, &isolated, 4));
	CHECK(!mhp_port_cache_push(caches, nr_cpus(), 3, 2, &isolated, 6));
	CHECK_EQ(caches[cpu].count[0], 1);
	/* Closed from here, and from elsewhere. */
	for (unsigned remote = 0; remote < 2; remote++) {
		struct mhp_cache *cache = &caches[cpu];
		if (remote)
			CHECK(mhp_port_cache_close(cache));
		else
			CHECK(mhp_port_cache_close_local(caches, nr_cpus()) == cache);
		CHECK(mhp_port_cache_close_local(caches, nr_cpus()) == NULL);
		CHECK(!mhp_port_cache_close(cache));
		CHECK(!pop(caches, 0, &pfn));
		CHECK(!push(caches, 0, 2));
		if (remote)
			CHECK(mhp_port_cache_confirm(cache));
		mhp_port_cache_open(cache);
	}
	/* A local close that was under way writes over a remote one: that is what confirm sees. */
	if (mhp_port_has_rseq()) {
		CHECK(mhp_port_cache_close(&caches[cpu]));
		atomic_store(&caches[cpu].closed, 1);
		CHECK(!mhp_port_cache_confirm(&caches[cpu]));
		mhp_port_cache_open(&caches[cpu]);
	}
	CHECK(pop(caches, 0, &pfn));
	CHECK_EQ(pfn, 1);
	if (mhp_port_has_rseq()) { /* with fewer caches than CPUs, this one has none */
		CHECK(!mhp_port_cache_push(caches, cpu, 0, 2, &isolated, 1));
		CHECK(!mhp_port_cache_pop(caches, cpu, 0, &pfn));
		CHECK(mhp_port_cache_close_local(caches, cpu) == NULL);
	}
	stray(&all);
	free(caches);
}

/* ---- threads on caches alone ---- */

#define PAGES 64

struct ring {
	struct mhp_cache *caches;
	_Atomic uint8_t held[PAGES];
	_Atomic bool stop;
};

static void *
ring_worker(void *ctx)
{
	struct ring *ring = ctx;
	uint64_t pfn;
	while (!atomic_load_explicit(&ring->stop, memory_order_relaxed)) {
		if (!pop(ring->caches, 0, &pfn))
			continue;
		CHECK_CMP(pfn, <, PAGES);
		CHECK_EQ(atomic_exchange(&ring->held[pfn], 1), 0);
		atomic_store(&ring->held[pfn], 0);
		while (!push(ring->caches, 0, pfn))
			sched_yield(); /* closed */
	}
	return NULL;
}

/* Count what is in all caches, each closed meanwhile; spread it anew. */
static unsigned
ring_shuffle(struct ring *ring, unsigned to)
{
	uint64_t pages[PAGES];
	unsigned nr = 0, done = 0;
	while (done < nr_cpus()) {
		struct mhp_cache *cache = &ring->caches[done];
		if (!mhp_port_cache_close(cache))
			continue;
		fence(NULL);
		if (!mhp_port_cache_confirm(cache))
			continue;
		uint32_t count = atomic_load(&cache->count[0]);
		CHECK_CMP(nr + count, <=, PAGES);
		for (uint32_t i = 0; i < count; i++)
			pages[nr++] = atomic_load(&cache->slot[mhp_cache_bottom(0) + i]);
		atomic_store(&cache->count[0], 0);
		if (done != to)
			mhp_port_cache_open(cache);
		done++;
	}
	for (unsigned i = 0; i < nr; i++) {
		CHECK_EQ(atomic_load(&ring->held[pages[i]]), 0);
		atomic_store(&ring->caches[to].slot[mhp_cache_bottom(0) + i], pages[i]);
	}
	atomic_store(&ring->caches[to].count[0], nr);
	mhp_port_cache_open(&ring->caches[to]);
	return nr;
}

TEST(rseq__threads_and_remote_closes__no_page_lost_or_twice)
{
	static struct ring ring;
	pthread_t threads[THREADS];
	fence_open();
	ring = (struct ring){ .caches = caches_new() };
	for (unsigned i = 0; i < PAGES; i++)
		ring.caches[0].slot[mhp_cache_bottom(0) + i] = i;
	ring.caches[0].count[0] = PAGES;
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, ring_worker, &ring), 0);
	for (uint64_t round = 0; round < test_ops(20000); round++)
		(void)ring_shuffle(&ring, (unsigned)(round % nr_cpus()));
	atomic_store(&ring.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(ring_shuffle(&ring, 0), PAGES);
	free(ring.caches);
}

/* ---- under the core ---- */

#define HELD_MAX 300

struct crowd {
	struct mhp *m;
	uint16_t owner;
	_Atomic uint8_t *held;         /* one a frame */
	_Atomic uint64_t quiet;        /* round << 32 | pageblock that is isolated + 1; 0: none */
	_Atomic bool stop;
};

struct worker {
	struct crowd *crowd;
	uint64_t random;
	unsigned nr_held;
	uint64_t pfn[HELD_MAX];
	unsigned order[HELD_MAX];
};

static void
mark(struct crowd *crowd, uint64_t pfn, unsigned order, uint8_t held)
{
	for (uint64_t i = 0; i < UINT64_C(1) << order; i++)
		CHECK_EQ(atomic_exchange(&crowd->held[pfn + i], held), 1 - held);
}

static void
worker_step(struct worker *worker)
{
	struct crowd *crowd = worker->crowd;
	uint64_t random = test_random(&worker->random), pfn, quiet;
	unsigned at = (unsigned)(random >> 32) % (worker->nr_held + 1), order = random >> 8 & 63;
	if (worker->nr_held == HELD_MAX || (at < worker->nr_held && random % 2 != 0)) {
		at = at < worker->nr_held ? at : 0;
		mark(crowd, worker->pfn[at], worker->order[at], 0);
		CHECK_OK(mhp_page_free(crowd->m, worker->pfn[at]));
		worker->pfn[at] = worker->pfn[--worker->nr_held];
		worker->order[at] = worker->order[worker->nr_held];
		return;
	}
	order = order < 54 ? 0 : order - 54;
	quiet = atomic_load(&crowd->quiet);
	struct mhp_page_req req = { .owner = crowd->owner,
				    .order = (uint8_t)order };
	if (mhp_page_alloc(crowd->m, req, &pfn) != 0)
		return;
	if (pfn >> MHP_PORT_PAGEBLOCK_ORDER == (uint32_t)quiet - 1)
		CHECK_NE(atomic_load(&crowd->quiet), quiet); /* isolated before we asked */
	mark(crowd, pfn, order, 1);
	worker->pfn[worker->nr_held] = pfn;
	worker->order[worker->nr_held++] = order;
}

static void *
worker_run(void *ctx)
{
	struct worker *worker = ctx;
	while (!atomic_load_explicit(&worker->crowd->stop, memory_order_relaxed))
		worker_step(worker);
	while (worker->nr_held > 0) {
		unsigned last = --worker->nr_held;
		mark(worker->crowd, worker->pfn[last], worker->order[last], 0);
		CHECK_OK(mhp_page_free(worker->crowd->m, worker->pfn[last]));
	}
	return NULL;
}

/* Isolate a pageblock for a while: its free frames only ever become more. */
static void
quiet_round(struct crowd *crowd, uint64_t round, uint64_t pageblock)
{
	uint64_t pfn = pageblock << MHP_PORT_PAGEBLOCK_ORDER, before = 0, now;
	uint64_t nr_pages = UINT64_C(1) << MHP_PORT_PAGEBLOCK_ORDER;
	CHECK_OK(mhp__hotplug_lock(crowd->m));
	mhp__pages_isolate(crowd->m, pfn, nr_pages);
	mhp_drain_caches(crowd->m); /* until then caches may hand out what they hold */
	atomic_store(&crowd->quiet, round << 32 | (pageblock + 1));
	for (unsigned look = 0; look < 20; look++, before = now) {
		now = mhp__pages_nr_free(crowd->m, pfn, nr_pages);
		CHECK_CMP(now, >=, before);
		if (look % 8 == 7)
			mhp_drain_caches(crowd->m);
	}
	atomic_store(&crowd->quiet, 0);
	mhp__pages_open(crowd->m, pfn, nr_pages);
	mhp__hotplug_unlock(crowd->m);
}

TEST(rseq__threads_isolating_and_draining__no_frame_twice_none_isolated) /* R29 */
{
	static struct worker workers[THREADS];
	static struct mhp_port_ops ops;
	struct mhp_sim_opts sim_opts = { .geometry = { 12, 9, 15, 15, 1, 1, 2, 0 } };
	struct mhp_config config;
	struct mhp_sim *sim;
	struct crowd crowd = { 0 };
	pthread_t threads[THREADS];
	size_t bytes;
	uint64_t random = test_seed();
	fence_open();
	sim_opts.geometry.nr_cpus = (uint16_t)nr_cpus();
	CHECK_OK(mhp_sim_create(&sim_opts, &sim));
	mhp_sim_config(sim, &config);
	ops = *config.ops;
	ops.fence_cpus = fence;
	config.ops = &ops;
	CHECK_OK(mhp_footprint(&config.geometry, &bytes));
	CHECK_OK(mhp_init(mhp_sim_instance_memory(sim, bytes), bytes, &config, &crowd.m));
	struct mhp_add_opts add = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE };
	struct mhp_blocks all = { 0, 2 };
	CHECK_OK(mhp_add(crowd.m, all, &add, NULL));
	CHECK_OK(mhp_owner_register(crowd.m, "crowd", NULL, NULL, &crowd.owner));
	crowd.held = calloc(2U << 15, 1);
	CHECK(crowd.held != NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .crowd = &crowd, .random = random + i };
		CHECK_EQ(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
	}
	for (uint64_t round = 1; round <= test_ops(20000); round++) {
		uint64_t pageblock = test_random(&random) % 128;
		if (pageblock % 64 != 0) /* those hold the reserves */
			quiet_round(&crowd, round, pageblock);
	}
	atomic_store(&crowd.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	struct mhp_zone_info info;
	CHECK_OK(mhp_zone_get(crowd.m, 0, MHP_ZONE_NORMAL, &info));
	CHECK_EQ(info.free, info.managed);
	CHECK_EQ(mhp_check(crowd.m, true, NULL, NULL), 0);
	CHECK_OK(mhp_remove(crowd.m, &all, 1, NULL, NULL));
	CHECK_OK(mhp_fini(crowd.m));
	free((void *)crowd.held);
	mhp_sim_destroy(sim);
}
