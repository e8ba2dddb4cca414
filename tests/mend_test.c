/* SPDX-License-Identifier: MIT */
/*
 * mend_test.c - what threads that were killed have left in the allocator (R37, R55).
 *
 * Nobody is killed here: locks are marked as left by somebody who may be, what they guard is made
 * as wrong as a kill can make it, and the verifier says whether it is right again afterwards.
 * tests/linux/cut_test.c does kill.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "pages/arena.h"
#include "pages/zone.h"
#include "test.h"

#define NR_BLOCKS 4U
#define NR_PAGES 300U

static struct {
	struct test_pool pool;
	struct mhp__zone *zone;
	uint16_t owner;
	uint64_t pfn[NR_PAGES];
} bed;

static void
open_bed(void)
{
	struct test_pool_opts opts = { .shape = "small" };
	struct mhp_add_opts add = { .flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY,
				    .zone = MHP_ZONE_NORMAL };
	test_pool_open(&bed.pool, &opts);
	CHECK_OK(mhp_owner_register(bed.pool.m, "mend", NULL, NULL, &bed.owner));
	CHECK_OK(mhp_add(bed.pool.m, (struct mhp_blocks){ 0, NR_BLOCKS }, &add, NULL));
	for (unsigned i = 0; i < NR_PAGES; i++)
		CHECK_OK(mhp_page_alloc(bed.pool.m, (struct mhp_page_req){ .owner = bed.owner },
					&bed.pfn[i]));
	for (unsigned i = 1; i < NR_PAGES; i += 2) {
		CHECK_OK(mhp_page_free(bed.pool.m, bed.pfn[i]));
		bed.pfn[i] = MHP_PFN_NONE;
	}
	mhp_drain_caches(bed.pool.m);
	bed.zone = mhp__zone(bed.pool.m, 0, MHP_ZONE_NORMAL);
	test_pool_check(&bed.pool);
}

static void
close_bed(void)
{
	test_pool_check(&bed.pool);
	for (unsigned i = 0; i < NR_PAGES; i++)
		if (bed.pfn[i] != MHP_PFN_NONE)
			CHECK_OK(mhp_page_free(bed.pool.m, bed.pfn[i]));
	test_pool_empty_and_close(&bed.pool);
}

static struct mhp__arena *
arena_in_use(void)
{
	return &bed.pool.m->arenas[bed.pfn[0] >> bed.pool.m->arena_order];
}

TEST(mend__an_arena_was_locked__its_slot_is_as_its_bitmaps_say)
{
	open_bed();
	struct mhp__arena *arena = arena_in_use();
	CHECK(arena->mixed != 0);
	for (unsigned wrong = 0; wrong < 4; wrong++) {
		test_at("%u", wrong);
		atomic_store(&arena->lock.held, MHP_HELD_BY_MORTAL);
		if (wrong == 1) {
			arena->holes = 0;
		} else if (wrong == 2) { /* it had given 7 frames, and counted none */
			arena->nr_free -= 7;
			mhp__zone_count(bed.zone, NULL, -7);
		} else if (wrong == 3) {
			arena->full ^= arena->mixed;
		}
		mhp_threads_lost(bed.pool.m);
		test_pool_check(&bed.pool);
	}
	close_bed();
}

TEST(mend__an_arena_has_changed__it_is_on_its_list)
{
	open_bed();
	struct mhp__arena *arena = arena_in_use();
	uint64_t pfn[64];
	unsigned nr;
	/* All that a thread does before it lets go of the lock, but for the lists. */
	atomic_store(&arena->lock.held, MHP_HELD_BY_MORTAL);
	mhp__rank_enter(MHP_RANK_ARENA);
	while ((nr = mhp__arena_take(bed.pool.m, arena, 0, UINT64_MAX, 64, pfn)) != 0)
		mhp__zone_count(bed.zone, NULL, -(int64_t)nr);
	mhp__rank_leave(MHP_RANK_ARENA);
	CHECK(arena->list != mhp__arena_list(bed.pool.m, arena));
	mhp_threads_lost(bed.pool.m);
	CHECK_EQ(arena->list, mhp__arena_list(bed.pool.m, arena));
	CHECK_OK(mhp_check(bed.pool.m, false, NULL, NULL));
	test_pool_discard(&bed.pool);
}

TEST(mend__a_zone_was_locked__its_lists_are_linked_anew)
{
	open_bed();
	struct mhp *m = bed.pool.m;
	atomic_store(&bed.zone->lock.held, MHP_HELD_BY_MORTAL);
	atomic_store(&bed.zone->lists, 0);
	for (unsigned list = 0; list < MHP_LISTS; list++)
		bed.zone->first[list] = list;
	for (uint32_t i = 0; i < m->nr_arenas; i++)
		if (m->arenas[i].list != MHP_LIST_NONE)
			m->arenas[i].next = m->arenas[i].prev = i % 2;
	mhp_threads_lost(m);
	close_bed();
}

/* Free those that do not lie in the arena. */
static void
free_but_of(struct mhp *m, uint64_t *pfns, unsigned nr, uint32_t full)
{
	for (unsigned i = 0; i < nr; i++)
		if (pfns[i] != MHP_PFN_NONE && pfns[i] >> m->arena_order != full) {
			CHECK_OK(mhp_page_free(m, pfns[i]));
			pfns[i] = MHP_PFN_NONE;
		}
}

/* An arena without a free page is on no list, and is put on none. */
TEST(mend__a_zone_was_locked_that_has_a_full_arena__it_is_on_no_list)
{
	static uint64_t more[NR_BLOCKS * 1024U];
	unsigned nr = 0;
	open_bed();
	struct mhp *m = bed.pool.m;
	struct mhp_page_req req = { .owner = bed.owner };
	while (nr < sizeof(more) / sizeof(more[0]) && mhp_page_alloc(m, req, &more[nr]) == 0)
		nr++;
	uint32_t full = (uint32_t)(more[0] >> m->arena_order);
	free_but_of(m, more, nr, full);
	mhp_drain_caches(m);
	CHECK_EQ(m->arenas[full].list, MHP_LIST_NONE);
	atomic_store(&bed.zone->lock.held, MHP_HELD_BY_MORTAL);
	atomic_store(&bed.zone->lists, 0);
	mhp_threads_lost(m);
	CHECK_EQ(m->arenas[full].list, MHP_LIST_NONE);
	test_pool_check(&bed.pool);
	free_but_of(m, more, nr, UINT32_MAX);
	close_bed();
}

static unsigned nr_fences;

static void
fence(void *port)
{
	(void)port;
	nr_fences++;
}

/* It has closed some caches, or all of them; this port has to fence the CPUs first, or not. */
TEST(mend__a_drain_was_under_way__caches_are_open)
{
	for (unsigned i = 0; i < 4; i++) {
		open_bed();
		struct mhp *m = bed.pool.m;
		const struct mhp_port_ops *ops = m->ops;
		struct mhp_port_ops fenced = *ops;
		struct mhp_cache *caches = mhp__zone_caches(m, bed.zone);
		test_at("%u", i);
		fenced.fence_cpus = fence;
		nr_fences = 0;
		for (unsigned cpu = i % 2; cpu < m->geo.nr_cpus; cpu++)
			atomic_store(&caches[cpu].closed, 2);
		atomic_store(&caches[0].draining, MHP_HELD_BY_MORTAL);
		m->ops = i / 2 != 0 ? &fenced : ops;
		mhp_threads_lost(m);
		m->ops = ops;
		CHECK_EQ(nr_fences, i / 2);
		for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++)
			CHECK_EQ(atomic_load(&caches[cpu].closed), 0);
		mhp_drain_caches(m);
		close_bed();
	}
}

/* What others hold is theirs. */
TEST(mend__others_hold_locks__are_left_alone)
{
	open_bed();
	struct mhp_cache *caches = mhp__zone_caches(bed.pool.m, bed.zone);
	atomic_store(&bed.zone->lock.held, MHP_HELD);
	atomic_store(&arena_in_use()->lock.held, MHP_HELD);
	atomic_store(&caches[0].draining, MHP_HELD);
	atomic_store(&caches[0].closed, 2);
	atomic_store(&bed.pool.m->readers[0], 1);
	mhp_threads_lost(bed.pool.m);
	CHECK_EQ(atomic_exchange(&bed.zone->lock.held, 0), MHP_HELD);
	CHECK_EQ(atomic_exchange(&arena_in_use()->lock.held, 0), MHP_HELD);
	CHECK_EQ(atomic_exchange(&caches[0].draining, 0), MHP_HELD);
	CHECK_EQ(atomic_exchange(&caches[0].closed, 0), 2);
	CHECK_EQ(atomic_exchange(&bed.pool.m->readers[0], 0), 1);
	close_bed();
}

/* Else the next change would wait for them for ever. */
TEST(mend__readers_were_killed__a_change_does_not_wait_for_them)
{
	struct mhp_why why;
	open_bed();
	struct mhp *m = bed.pool.m;
	atomic_store(&m->readers[1], 3);
	atomic_store(&m->nest.held, MHP_HELD_BY_MORTAL);
	atomic_store(&m->between, 77);
	mhp_threads_lost(m);
	CHECK_OK(mhp_block_offline(m, NR_BLOCKS - 1, NULL, &why));
	close_bed();
}

/* R38: those who read or waited in the parent have no thread in the child. */
TEST(mend__a_child_of_a_fork__does_not_wait_for_readers_of_its_parent)
{
	struct mhp_why why;
	open_bed();
	struct mhp *m = bed.pool.m;
	atomic_store(&m->readers[0], 2);
	atomic_store(&m->readers[1], 3);
	atomic_store(&m->nest.held, MHP_HELD);
	atomic_store(&m->between, 77);
	atomic_store(&m->work.interrupts, 1);
	mhp_forked(m);
	CHECK_OK(mhp_block_offline(m, NR_BLOCKS - 1, NULL, &why));
	close_bed();
}

static void *
allocate(void *done)
{
	CHECK_OK(mhp_page_alloc(bed.pool.m, (struct mhp_page_req){ .owner = bed.owner },
				&bed.pfn[1]));
	atomic_store((_Atomic bool *)done, true);
	return NULL;
}

TEST(mend__somebody_waits__goes_on)
{
	_Atomic bool done = false;
	pthread_t thread;
	open_bed();
	struct mhp__arena *arena = arena_in_use();
	atomic_store(&arena->lock.held, MHP_HELD_BY_MORTAL);
	for (uint32_t i = 0; i < bed.pool.m->nr_arenas; i++)
		if (bed.pool.m->arenas[i].zone_id1 != 0)
			atomic_store(&bed.pool.m->arenas[i].lock.held, MHP_HELD_BY_MORTAL);
	CHECK_EQ(pthread_create(&thread, NULL, allocate, &done), 0);
	for (unsigned i = 0; i < 1000; i++)
		sched_yield();
	CHECK(!atomic_load(&done));
	mhp_threads_lost(bed.pool.m);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	close_bed();
}
