/* SPDX-License-Identifier: MIT */
/*
 * threads_test.c - many threads in the engine at once: what ThreadSanitizer is to look at.
 *
 * Eight threads allocate and free pages of all orders, each freeing what others allocated, two
 * change blocks, one walks over whatever it finds, one drains, compacts, checks and finds memory
 * errors. Pages lie in slots that any thread may take: a slot is free, busy (some thread has it),
 * live, or held still by the engine. A page's contents say whose it is, so that a page that was
 * lost, given out twice or moved badly is found when it is freed. Memory that is unplugged is
 * really unmapped, so that a stale look at it faults (R32).
 *
 * What threads do depends on how they are scheduled; what must hold does not.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "test.h"

#define ALLOCATORS 8U
#define PLUGGERS 2U
#define SLOTS 2048U
#ifdef __SANITIZE_THREAD__
#define PLUG_OPS 800U
#else
#define PLUG_OPS 2000U
#endif

enum slot_state { SLOT_FREE, SLOT_BUSY, SLOT_LIVE, SLOT_HELD };

struct slot {
	_Atomic uint32_t state;
	uint8_t order;             /* who has the slot, or holds it, may look at the rest */
	uint64_t pfn;
	uint64_t stamp;
};

static struct {
	struct test_pool pool;
	struct mhp *m;
	uint16_t mover, stayer;
	struct slot slots[SLOTS];
	_Atomic uint64_t seed;
	_Atomic uint32_t nr_pluggers; /* that are not done */
	_Atomic uint64_t nr_ops, nr_online, nr_offline, nr_removed;
	uint64_t nr_plug_ops;
} run;

static uint64_t
next_seed(void)
{
	return test_seed() * 1000 + atomic_fetch_add(&run.seed, 1);
}

static uint64_t
below(uint64_t *random, uint64_t n)
{
	return test_random(random) % n;
}

/* ---- contents ---- */

static uint64_t *
last_word(uint64_t pfn)
{
	return (uint64_t *)mhp_pfn_to_virt(run.m, pfn + 1) - 1;
}

static void
fill(const struct slot *slot)
{
	for (uint64_t i = 0; i < UINT64_C(1) << slot->order; i++) {
		*(uint64_t *)mhp_pfn_to_virt(run.m, slot->pfn + i) = slot->stamp + i;
		*last_word(slot->pfn + i) = ~(slot->stamp + i);
	}
}

static void
check_contents(const struct slot *slot)
{
	for (uint64_t i = 0; i < UINT64_C(1) << slot->order; i++) {
		CHECK_EQ(*(uint64_t *)mhp_pfn_to_virt(run.m, slot->pfn + i), slot->stamp + i);
		CHECK_EQ(*last_word(slot->pfn + i), ~(slot->stamp + i));
	}
}

/* ---- the owner ---- */

static bool
change(struct slot *slot, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong_explicit(&slot->state, &from, to,
						       memory_order_acquire, memory_order_relaxed);
}

static void
set(struct slot *slot, uint32_t to)
{
	atomic_store_explicit(&slot->state, to, memory_order_release);
}

static int
hold(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct slot *slot = &run.slots[cookie];

	(void)ctx;
	CHECK_CMP(cookie, <, SLOTS);
	if (!change(slot, SLOT_LIVE, SLOT_HELD))
		return MHP_EAGAIN; /* it is just coming or going */
	if (slot->pfn == pfn && slot->order == order)
		return 0;
	set(slot, SLOT_LIVE);
	return MHP_EAGAIN;
}

static struct slot *
held_slot(uint64_t pfn)
{
	struct mhp_frame frame = mhp_frame_peek(run.m, pfn);

	CHECK_EQ(frame.state, MHP_FRAME_USED);
	CHECK_EQ(frame.owner, run.mover);
	CHECK_CMP(frame.cookie, <, SLOTS);
	struct slot *slot = &run.slots[frame.cookie];
	CHECK_EQ(atomic_load(&slot->state), SLOT_HELD);
	CHECK_EQ(slot->pfn, pfn);
	CHECK_EQ(slot->order, frame.order);
	return slot;
}

static void
move_run(const struct mhp_move *move)
{
	for (uint64_t done = 0; done < move->nr_pages;) {
		struct slot *slot = held_slot(move->src_pfn + done);
		uint64_t nr_pages = UINT64_C(1) << slot->order;
		memcpy(mhp_pfn_to_virt(run.m, move->dst_pfn + done),
		       mhp_pfn_to_virt(run.m, slot->pfn), nr_pages * run.pool.page_bytes);
		slot->pfn = move->dst_pfn + done;
		set(slot, SLOT_LIVE); /* from here on anybody may free it */
		done += nr_pages;
	}
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	uint64_t *random = ctx;

	for (*ret_done = 0; *ret_done < nr_moves; ++*ret_done) {
		if (below(random, 200) == 0)
			return MHP_EIO;
		move_run(&moves[*ret_done]);
	}
	return 0;
}

static void
put_back(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx;
	(void)order;
	CHECK_EQ(run.slots[cookie].pfn, pfn);
	set(&run.slots[cookie], SLOT_LIVE);
}

static void
describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	(void)ctx;
	snprintf(text, size, "slot %" PRIu64 " at %" PRIu64, cookie, pfn);
}

static const struct mhp_movable_ops ops = { hold, migrate, put_back, describe };

/* ---- allocators ---- */

static unsigned
any_order(uint64_t *random)
{
	unsigned order_max = run.pool.config.geometry.pageblock_order;

	return below(random, 3) != 0 ? 0 : (unsigned)below(random, order_max + 1);
}

static void
fill_slot(uint64_t *random, struct slot *slot)
{
	struct mhp_page_req req = { .owner = run.mover };
	int error;

	req.cookie = (uint64_t)(slot - run.slots);
	req.order = (uint8_t)any_order(random);
	error = mhp_page_alloc(run.m, req, &slot->pfn);
	if (error != 0) {
		CHECK_EQ(error, MHP_ENOMEM);
		set(slot, SLOT_FREE);
		return;
	}
	slot->order = req.order;
	slot->stamp = test_random(random);
	fill(slot);
	set(slot, SLOT_LIVE);
}

static void
free_slot(struct slot *slot)
{
	check_contents(slot);
	CHECK_OK(mhp_page_free(run.m, slot->pfn));
	set(slot, SLOT_FREE);
}

/* A page that cannot move: gone soon, and taken apart meanwhile. */
static void
use_fixed_page(uint64_t *random)
{
	struct mhp_page_req req = { .owner = run.stayer };
	uint64_t pfn;

	req.order = (uint8_t)below(random, 3);
	if (mhp_page_alloc(run.m, req, &pfn) != 0)
		return;
	CHECK_OK(mhp_page_set_cookie(run.m, pfn, test_random(random) & MHP_COOKIE_MAX));
	CHECK_OK(mhp_page_split(run.m, pfn, 0, NULL));
	for (uint64_t i = 0; i < UINT64_C(1) << req.order; i++)
		CHECK_OK(mhp_page_free(run.m, pfn + i));
}

static void
use_contig(uint64_t *random)
{
	struct mhp_page_req req = { .owner = run.stayer };
	uint64_t pfn, nr_pages = 1 + below(random, 100);

	if (mhp_pages_alloc_contig(run.m, req, nr_pages, &pfn) == 0)
		CHECK_OK(mhp_pages_free_contig(run.m, pfn, nr_pages));
}

static void
use_memory(uint64_t *random)
{
	struct slot *slot = &run.slots[below(random, SLOTS)];

	mhp_sim_cpu = (unsigned)below(random, run.pool.config.geometry.nr_cpus);
	if (below(random, 100) == 0)
		use_fixed_page(random);
	else if (below(random, 500) == 0)
		use_contig(random);
	else if (change(slot, SLOT_FREE, SLOT_BUSY))
		fill_slot(random, slot);
	else if (change(slot, SLOT_LIVE, SLOT_BUSY))
		free_slot(slot);
}

static void *
allocator(void *ctx)
{
	uint64_t random = next_seed();

	(void)ctx;
	while (atomic_load(&run.nr_pluggers) != 0) {
		for (unsigned i = 0; i < 64; i++)
			use_memory(&random);
		atomic_fetch_add(&run.nr_ops, 64);
		sched_yield();
	}
	return NULL;
}

/* ---- pluggers ---- */

static void
expect(int error, int e1, int e2, int e3, int e4)
{
	if (error != 0 && error != e1 && error != e2 && error != e3 && error != e4)
		FAIL("a call returned %d (%s)", error, test_error_name(error));
}

static void
plug(uint64_t *random, uint32_t block)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE };
	struct mhp_blocks blocks = { block, 1 };

	opts.node = (uint8_t)(block % run.pool.config.geometry.nr_nodes);
	/* Any change may be canceled by a walker. */
	expect(mhp_add(run.m, blocks, &opts, NULL), MHP_EEXIST, MHP_EHWPOISON, MHP_ECANCELED, 0);
	int error = test_online(run.m, blocks,
			       MHP_ZONE_NORMAL + (unsigned)below(random, 2), NULL);
	expect(error, MHP_EBUSY, MHP_ENOENT, MHP_ECANCELED, 0);
	atomic_fetch_add(&run.nr_online, error == 0);
}

static void
unplug(uint64_t *random, uint32_t block)
{
	struct mhp_offline_opts opts = { .dry_run = below(random, 8) == 0 };
	struct mhp_blocks blocks = { block, 1 + (uint32_t)below(random, 2) };
	struct mhp_why why = { .cause = MHP_CAUSE_NONE };
	int error;

	if (below(random, 2) == 0) {
		error = mhp_block_offline(run.m, block, &opts, &why);
		atomic_fetch_add(&run.nr_offline, error == 0 && !opts.dry_run);
	} else {
		error = mhp_remove(run.m, &blocks, 1, &opts, &why);
		atomic_fetch_add(&run.nr_removed, error == 0 && !opts.dry_run);
	}
	/* Busy, out of patience, out of room; somebody else was faster; canceled; the owner's
	 * own. */
	if (error != MHP_EAGAIN && error != MHP_ECANCELED && error != MHP_ENXIO)
		expect(error, MHP_EBUSY, MHP_ENOMEM, MHP_ENOENT, MHP_EIO);
	if (error != 0 && error != MHP_ENXIO)
		CHECK_NE(why.cause, MHP_CAUSE_NONE);
}

static void *
plugger(void *ctx)
{
	uint64_t random = next_seed();
	uint32_t nr_blocks = run.pool.config.geometry.nr_blocks;

	(void)ctx;
	for (uint64_t i = 0; i < run.nr_plug_ops; i++) {
		/* Block 0 stays, so that there is somewhere to go. */
		uint32_t block = 1 + (uint32_t)below(&random, nr_blocks - 1);
		if (below(&random, 2) == 0)
			plug(&random, block);
		else
			unplug(&random, block);
		sched_yield();
	}
	atomic_fetch_sub(&run.nr_pluggers, 1);
	return NULL;
}

/* ---- those who look ---- */

static void
look_at(uint64_t *random)
{
	const struct mhp_geometry *geo = &run.pool.config.geometry;
	uint64_t max_pfn = (uint64_t)geo->nr_blocks << geo->block_order;
	struct mhp_frame frame = mhp_frame_peek(run.m, below(random, max_pfn + 10));

	CHECK_CMP((unsigned)frame.state, <=, MHP_FRAME_TAIL);
	if (frame.state != MHP_FRAME_USED)
		return;
	CHECK_CMP(frame.order, <=, geo->pageblock_order);
	CHECK(frame.owner == run.mover || frame.owner == run.stayer ||
	      frame.owner == MHP_OWNER_ROOM || frame.owner == MHP_OWNER_BAD);
	if (frame.owner == run.mover)
		CHECK_CMP(frame.cookie, <, SLOTS);
}

static void *
walker(void *ctx)
{
	uint64_t random = next_seed();

	(void)ctx;
	while (atomic_load(&run.nr_pluggers) != 0) {
		uint32_t block = (uint32_t)below(&random, run.pool.config.geometry.nr_blocks);
		struct mhp_block_info info;
		struct mhp_zone_info zone;
		for (unsigned i = 0; i < 200; i++)
			look_at(&random);
		CHECK_OK(mhp_block_get(run.m, block, &info));
		CHECK_CMP(info.free_bytes, <=, info.span.size);
		CHECK_OK(mhp_zone_get(run.m, block % 2, MHP_ZONE_MOVABLE, &zone));
		(void)mhp_progress(run.m);
		(void)mhp_node_states(run.m, block % 2);
		if (below(&random, 50) == 0)
			(void)mhp_cancel(run.m, block);
	}
	return NULL;
}

static void
report(void *ctx, const struct mhp_finding *finding)
{
	(void)ctx;
	FAIL("INV %u at %#" PRIx64 ", %s: have %#" PRIx64 ", want %#" PRIx64, finding->invariant,
	     finding->where, finding->what, finding->have, finding->want);
}

static void *
keeper(void *ctx)
{
	uint64_t random = next_seed();

	(void)ctx;
	while (atomic_load(&run.nr_pluggers) != 0) {
		uint64_t pfn = below(&random, UINT64_C(16) << run.pool.config.geometry.block_order);
		struct mhp_compact_result result;
		mhp_drain_caches(run.m);
		CHECK_OK(mhp_check(run.m, false, report, NULL));
		if (below(&random, 4) == 0)
			expect(mhp_compact(run.m, (unsigned)below(&random, 2),
					   below(&random, 2) == 0 ? MHP_ZONE_NORMAL
								  : MHP_ZONE_MOVABLE,
					   0, &result), MHP_EAGAIN, MHP_ECANCELED, 0, 0);
		expect(mhp_bad_add(run.m, pfn), MHP_EBUSY, MHP_EHWPOISON, MHP_ENOSPC,
		       MHP_ECANCELED);
		if (below(&random, 2) == 0)
			expect(mhp_bad_remove(run.m, pfn), MHP_ENOENT, 0, 0, 0);
	}
	return NULL;
}

/* ---- start and end ---- */

static void
start(uint64_t *migrate_random)
{
	struct mhp_geometry geo = test_geometry("small");
	struct mhp_add_opts first = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE,
				      .zone = MHP_ZONE_NORMAL };
	struct test_pool_opts opts = { .geometry = &geo, .no_fault = true,
				       .fill = MHP_SIM_GARBAGE, .garbage_bytes = 1 << 16 };

	geo.nr_cpus = 4;
	test_pool_open(&run.pool, &opts);
	run.m = run.pool.m;
	run.nr_plug_ops = test_ops(PLUG_OPS);
	atomic_store(&run.nr_pluggers, PLUGGERS);
	CHECK_OK(mhp_owner_register(run.m, "mover", &ops, migrate_random, &run.mover));
	CHECK_OK(mhp_owner_register(run.m, "stayer", NULL, NULL, &run.stayer));
	CHECK_OK(mhp_add(run.m, (struct mhp_blocks){ 0, 1 }, &first, NULL));
}

/* Everything is free again, and accounted for. */
static void
finish(void)
{
	struct mhp_zone_info zone;
	struct mhp_stats stats;

	test_pool_check(&run.pool);
	for (unsigned i = 0; i < SLOTS; i++)
		if (change(&run.slots[i], SLOT_LIVE, SLOT_BUSY))
			free_slot(&run.slots[i]);
	for (unsigned i = 0; i < SLOTS; i++)
		CHECK_EQ(atomic_load(&run.slots[i].state), SLOT_FREE);
	mhp_drain_caches(run.m);
	for (unsigned i = 0; i < 4; i++) {
		enum mhp_zone_kind kind = (enum mhp_zone_kind)(MHP_ZONE_NORMAL + i % 2);
		CHECK_OK(mhp_zone_get(run.m, i / 2, kind, &zone));
		CHECK_EQ(zone.cached, 0);
		CHECK_CMP(zone.free, <=, zone.managed);
	}
	test_pool_check(&run.pool);
	mhp_get_stats(run.m, &stats);
	test_say("%" PRIu64 " page operations, %" PRIu64 " onlines, %" PRIu64 " offlines, %" PRIu64
		 " removals, %" PRIu64 " pages moved",
		 atomic_load(&run.nr_ops), atomic_load(&run.nr_online),
		 atomic_load(&run.nr_offline), atomic_load(&run.nr_removed), stats.pages_moved);
	CHECK_NE(stats.pages_moved, 0);
	test_pool_empty_and_close(&run.pool);
}

/* R29 R32 */
TEST(threads__all_at_once__nothing_is_lost)
{
	static void *(*const bodies[])(void *) = {
		allocator, allocator, allocator, allocator, allocator, allocator, allocator,
		allocator, plugger, plugger, walker, keeper,
	};
	enum { NR = sizeof(bodies) / sizeof(bodies[0]) };
	uint64_t migrate_random = test_seed();
	pthread_t threads[NR];

	_Static_assert(NR == ALLOCATORS + PLUGGERS + 2, "as the comment says");
	start(&migrate_random);
	for (unsigned i = 0; i < NR; i++)
		if (pthread_create(&threads[i], NULL, bodies[i], NULL) != 0)
			FAIL("no thread");
	for (unsigned i = 0; i < NR; i++)
		pthread_join(threads[i], NULL);
	finish();
}
