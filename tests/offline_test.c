/* SPDX-License-Identifier: MIT */
/*
 * offline_test.c - taking blocks out of use: data moves, bounds hold, refusals are explained.
 *
 * The data belongs to a mover that checks every page and every call. What an offline may not do
 * is watched as closely as what it must: no page moves before there is room for all, none goes
 * to a block that leaves too, none into or out of a reserve, and on failure everything is in use as
 * before. The clock is the simulator's, so bounds are exact.
 */
#include <limits.h>
#include <pthread.h>
#include <sched.h>

#include "ledger.h"
#include "mover.h"
#include "memmap/memmap.h"
#include "pages/zone.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)
#define MS UINT64_C(1000000)

struct bed {
	struct test_pool pool;
	struct test_mover mover;
	uint16_t kernel;
};

static void
add(struct bed *bed, uint32_t first, uint32_t count, uint8_t node, uint8_t zone)
{
	struct mhp_add_opts opts = { .flags = SELF | MHP_ADD_ONLINE, .node = node, .zone = zone };
	CHECK_OK(mhp_add(bed->pool.m, (struct mhp_blocks){ first, count }, &opts, NULL));
}

/* A pool with blocks [0, nr) online and MOVABLE on node 0. */
static void
open_bed(struct bed *bed, const char *shape, uint32_t nr)
{
	struct test_pool_opts opts = { .shape = shape };
	test_pool_open(&bed->pool, &opts);
	test_mover_open(&bed->mover, &bed->pool, 32768);
	CHECK_OK(mhp_owner_register(bed->pool.m, "kernel", NULL, NULL, &bed->kernel));
	add(bed, 0, nr, 0, MHP_ZONE_MOVABLE);
}

static void
close_bed(struct bed *bed)
{
	test_mover_close(&bed->mover);
	test_pool_empty_and_close(&bed->pool);
}

static uint64_t
usable(struct bed *bed)
{
	return bed->pool.block_pages - test_block(&bed->pool, 0).nr_vmemmap_pages;
}

/* Frames of the mover in a block. */
static uint64_t
data_in(struct bed *bed, uint32_t block)
{
	uint64_t first, start = block * bed->pool.block_pages;
	return test_mover_in(&bed->mover, start, start + bed->pool.block_pages, &first);
}

/* The slot of the first page of the mover in a block. */
static uint32_t
first_in(struct bed *bed, uint32_t block)
{
	uint64_t first, start = block * bed->pool.block_pages;
	CHECK_CMP(test_mover_in(&bed->mover, start, start + bed->pool.block_pages, &first), >, 0U);
	return test_mover_at(&bed->mover, first);
}

/* The block with the most data. */
static uint32_t
fullest(struct bed *bed)
{
	uint32_t best = 0;
	for (uint32_t i = 1; i < bed->pool.config.geometry.nr_blocks; i++)
		if (data_in(bed, i) > data_in(bed, best))
			best = i;
	return best;
}

/* Use every other page of all: so that no two moves join into one run. */
static void
fill_with_gaps(struct bed *bed)
{
	while (test_mover_alloc(&bed->mover, 0, 0) != TEST_MOVER_NONE)
		;
	for (uint32_t slot = 0; slot < bed->mover.nr_slots; slot++)
		if (bed->mover.pages[slot].live && bed->mover.pages[slot].pfn % 2 != 0)
			test_mover_free(&bed->mover, slot);
}

/* ---- data moves ---- */

/* No page of the mover lies in a reserve. */
static void
check_reserves(struct bed *bed)
{
	for (uint32_t i = 0; i < bed->pool.config.geometry.nr_blocks; i++) {
		uint64_t first, start = i * bed->pool.block_pages;
		uint64_t reserve = test_block(&bed->pool, i).nr_vmemmap_pages;
		CHECK_EQ(test_mover_in(&bed->mover, start, start + reserve, &first), 0U);
	}
}

/* R18 R29: a block in use becomes empty, its data is intact elsewhere, reserves are left alone. */
TEST(offline__block_with_data__data_moves)
{
	static const char *const shapes[] = { "tiny1", "tiny2", "tiny8", "small" };
	for (unsigned i = 0; i < 4; i++)
		for (unsigned order_max = 0; order_max <= 2; order_max++) {
			struct bed bed;
			test_at("shape %s, orders to %u", shapes[i], order_max);
			open_bed(&bed, shapes[i], 4);
			CHECK(test_mover_fill(&bed.mover, usable(&bed) * 3 / 2, order_max, 0));
			for (uint32_t block = 0; block < 4; block++) {
				CHECK_OK(mhp_block_offline(bed.pool.m, block, NULL, NULL));
				CHECK_EQ(data_in(&bed, block), 0U);
				CHECK_EQ(test_block(&bed.pool, block).state, MHP_OFFLINE);
				test_pool_check(&bed.pool);
				test_mover_check(&bed.mover);
				check_reserves(&bed);
				struct mhp_blocks again = { block, 1 };
				CHECK_OK(test_online(bed.pool.m, again, MHP_ZONE_MOVABLE, NULL));
			}
			CHECK_CMP(bed.mover.nr_frames_moved, >, 0U);
			close_bed(&bed);
		}
}

/* R29: data of one block of a set never moves into another one of it. */
TEST(offline__several_blocks__data_leaves_all_of_them)
{
	struct bed bed;
	open_bed(&bed, "tiny8", 5);
	fill_with_gaps(&bed);
	test_mover_thin_out(&bed.mover, 40);
	uint64_t nr = data_in(&bed, 0) + data_in(&bed, 2) + data_in(&bed, 3);
	struct mhp_blocks sets[] = { { 2, 2 }, { 0, 1 } };
	CHECK_OK(mhp_offline(bed.pool.m, sets, 2, NULL, NULL));
	CHECK_EQ(bed.mover.nr_frames_moved, nr); /* each page moved once */
	CHECK_EQ(data_in(&bed, 0) + data_in(&bed, 2) + data_in(&bed, 3), 0U);
	test_pool_check(&bed.pool);
	test_mover_check(&bed.mover);
	close_bed(&bed);
}

/* R29: pages that an owner lets go of only later; one pass is not enough. */
TEST(offline__owner_needs_time__tries_again)
{
	static const int errors[] = { MHP_EAGAIN, MHP_EBUSY };
	for (unsigned i = 0; i < 2; i++) {
		struct bed bed;
		test_at("isolate says %s", test_error_name(errors[i]));
		open_bed(&bed, "tiny2", 3);
		CHECK(test_mover_fill(&bed.mover, usable(&bed), 0, 0));
		bed.mover.isolate_error = errors[i];
		bed.mover.isolate_times = 30; /* of different pages, in several passes */
		CHECK_OK(mhp_block_offline(bed.pool.m, fullest(&bed), NULL, NULL));
		test_mover_check(&bed.mover);
		test_pool_check(&bed.pool);
		close_bed(&bed);
	}
}

/* R29: an owner that fails in the middle of a batch: what was done counts, the rest is put back. */
TEST(offline__migrate_fails_part_way__the_rest_is_put_back)
{
	for (unsigned runs = 0; runs < 16; runs++) {
		struct bed bed;
		test_at("migrate fails after %u runs", runs);
		open_bed(&bed, "tiny8", 3);
		fill_with_gaps(&bed);
		bed.mover.migrate_error = MHP_EIO;
		bed.mover.migrate_times = 3;
		bed.mover.migrate_runs = runs;
		uint32_t block = fullest(&bed);
		CHECK_OK(mhp_block_offline(bed.pool.m, block, NULL, NULL));
		CHECK_EQ(data_in(&bed, block), 0U);
		CHECK_CMP(bed.mover.nr_putback, >, 0U);
		test_mover_check(&bed.mover);
		test_pool_check(&bed.pool);
		close_bed(&bed);
	}
}

/* R17: an owner that says that it has moved more than it was asked to. */
TEST(offline__owner_claims_more_than_it_was_asked__what_it_was_asked_counts)
{
	static const unsigned claims[] = { 1, UINT_MAX / 2 };
	for (unsigned i = 0; i < 2; i++) {
		struct bed bed;
		open_bed(&bed, "tiny8", 3);
		fill_with_gaps(&bed);
		bed.mover.claims = claims[i];
		uint32_t block = fullest(&bed);
		uint64_t nr = data_in(&bed, block);
		CHECK_OK(mhp_block_offline(bed.pool.m, block, NULL, NULL));
		CHECK_EQ(bed.mover.nr_frames_moved, nr);
		test_mover_check(&bed.mover);
		test_pool_check(&bed.pool);
		close_bed(&bed);
	}
}

/* ---- room ---- */

/* R29: one page short of room: nothing moves, nothing has changed. */
TEST(offline__no_room__nothing_moves)
{
	struct bed bed;
	struct test_ledger before;
	struct mhp_offline_opts rehearsal = { .dry_run = true };
	struct mhp_why why, foreseen;
	open_bed(&bed, "tiny8", 3);
	uint64_t nr = 2 * usable(&bed) + 1;
	CHECK(test_mover_fill(&bed.mover, nr, 0, 0));
	test_ledger_take(&bed.pool, &before);
	for (uint32_t block = 0; block < 3; block++) {
		test_at("block %u", block);
		CHECK_RET(mhp_block_offline(bed.pool.m, block, NULL, &why), MHP_ENOMEM);
		CHECK_EQ(why.cause, MHP_CAUSE_ROOM);
		CHECK_EQ(why.order, 0);
		CHECK_EQ(why.room_missing, 1U);
		CHECK_RET(mhp_block_offline(bed.pool.m, block, &rehearsal, &foreseen), MHP_ENOMEM);
		CHECK_EQ(foreseen.cause, MHP_CAUSE_ROOM);
		CHECK_EQ(foreseen.room_missing, 1U);
		test_ledger_check(&bed.pool, &before);
	}
	CHECK_EQ(bed.mover.nr_migrated, 0U);
	CHECK_EQ(bed.mover.nr_isolated, bed.mover.nr_putback); /* asked, not moved */
	test_mover_free(&bed.mover, 0);
	CHECK_OK(mhp_block_offline(bed.pool.m, fullest(&bed), NULL, NULL));
	test_mover_check(&bed.mover);
	close_bed(&bed);
}

/* ---- owners that break their word ---- */

static void
free_what_is_held(void *ctx)
{
	struct bed *bed = ctx;
	for (uint32_t slot = 0; slot < bed->mover.nr_slots; slot++) {
		struct test_mover_page *page = &bed->mover.pages[slot];
		if (!page->live || !page->held || page->pfn % 4 != 0)
			continue;
		page->held = false;
		test_mover_free(&bed->mover, slot);
	}
}

/* R17 R29: pages that their owner frees while it holds them, and a migration that fails: their
 * targets go back to where they came from. */
TEST(offline__owner_frees_what_it_holds_and_fails__no_frame_is_lost)
{
	struct bed bed;
	struct mhp_why why;
	struct mhp_offline_opts opts = { .attempts_max = 1 };
	open_bed(&bed, "small", 3);
	fill_with_gaps(&bed);
	uint32_t block = fullest(&bed);
	bed.mover.on_migrate = free_what_is_held;
	bed.mover.on_migrate_ctx = &bed;
	bed.mover.migrate_error = MHP_EIO;
	bed.mover.migrate_times = UINT64_MAX;
	uint64_t frames = bed.mover.nr_frames;
	CHECK_RET(mhp_block_offline(bed.pool.m, block, &opts, &why), MHP_EIO);
	CHECK_EQ(why.cause, MHP_CAUSE_MIGRATE);
	CHECK_CMP(bed.mover.nr_frames, <, frames); /* it did */
	bed.mover.on_migrate = NULL;
	struct mhp_zone_info zone = test_zone(&bed.pool, 0, MHP_ZONE_MOVABLE);
	CHECK_EQ(zone.free, zone.managed - bed.mover.nr_frames);
	bed.mover.migrate_times = 0;
	CHECK_OK(mhp_block_offline(bed.pool.m, block, NULL, NULL));
	test_mover_check(&bed.mover);
	close_bed(&bed);
}

/* ---- bounds ---- */

static uint64_t
clock_ns(struct bed *bed)
{
	return mhp_sim_ops.now_ns(bed->pool.sim);
}

/* R29: the deadline ends it, whatever the owner does, and not much later. */
TEST(offline__deadline__ends_it)
{
	for (uint32_t ms = 1; ms <= 1000; ms *= 10) {
		struct bed bed;
		struct mhp_offline_opts opts = { .deadline_ms = ms, .attempts_max = UINT32_MAX };
		struct mhp_why why;
		test_at("deadline %u ms", ms);
		open_bed(&bed, "tiny2", 3);
		CHECK(test_mover_fill(&bed.mover, usable(&bed), 0, 0));
		uint32_t block = fullest(&bed);
		uint32_t slot = first_in(&bed, block);
		bed.mover.pages[slot].pinned = true;
		uint64_t start = clock_ns(&bed);
		CHECK_RET(mhp_block_offline(bed.pool.m, block, &opts, &why), MHP_EAGAIN);
		uint64_t took = clock_ns(&bed) - start;
		CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
		CHECK_EQ(why.pfn, bed.mover.pages[slot].pfn);
		CHECK_CMP(took + MS / 4, >=, ms * MS); /* some of it is kept for undoing */
		CHECK_CMP(took, <=, ms * MS + 25 * MS); /* one pause more */
		CHECK_EQ(test_block(&bed.pool, block).state, MHP_ONLINE);
		test_pool_check(&bed.pool);
		test_mover_check(&bed.mover);
		bed.mover.pages[slot].pinned = false;
		CHECK_OK(mhp_block_offline(bed.pool.m, block, &opts, NULL));
		close_bed(&bed);
	}
}

/* R29: zero does not mean for ever, neither for the deadline nor for attempts. */
TEST(offline__defaults__are_bounds)
{
	struct bed bed;
	struct mhp_offline_opts patient = { .attempts_max = UINT32_MAX };
	struct mhp_why why;
	open_bed(&bed, "tiny2", 3);
	CHECK(test_mover_fill(&bed.mover, usable(&bed), 0, 0));
	uint32_t block = fullest(&bed), slot = first_in(&bed, block);
	bed.mover.pages[slot].pinned = true;
	uint64_t start = clock_ns(&bed);
	CHECK_RET(mhp_block_offline(bed.pool.m, block, &patient, &why), MHP_EAGAIN);
	CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
	CHECK_CMP(clock_ns(&bed) - start, >=, MHP_DEADLINE_MS_DEFAULT * MS);
	start = clock_ns(&bed);
	CHECK_RET(mhp_block_offline(bed.pool.m, block, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_REFUSED);
	CHECK_CMP(clock_ns(&bed) - start, <, MHP_DEADLINE_MS_DEFAULT * MS);
	close_bed(&bed);
}

/* R29: so many passes without progress; each pass asks for each page that is left once. */
TEST(offline__attempts__are_counted)
{
	for (uint32_t max = 1; max <= 20; max++) {
		struct bed bed;
		struct mhp_offline_opts opts = { .attempts_max = max };
		struct mhp_why why;
		test_at("%u attempts", max);
		open_bed(&bed, "tiny1", 2);
		CHECK(test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE);
		uint32_t block = fullest(&bed);
		bed.mover.isolate_error = MHP_EAGAIN;
		bed.mover.isolate_times = max;
		CHECK_RET(mhp_block_offline(bed.pool.m, block, &opts, &why), MHP_EAGAIN);
		CHECK_EQ(why.cause, MHP_CAUSE_IN_FLIGHT);
		/* One more isolate: the survey afterwards, which asks who would not let go. */
		CHECK_EQ(bed.mover.nr_isolated, max + 1);
		bed.mover.isolate_times = max - 1;
		CHECK_OK(mhp_block_offline(bed.pool.m, block, &opts, NULL));
		test_mover_check(&bed.mover);
		close_bed(&bed);
	}
}

/* ---- cancel and progress ---- */

struct canceler {
	struct bed *bed;
	uint32_t block;
	uint64_t at;               /* the at-th migrate */
	uint64_t calls;
	int answer;
	struct mhp_progress progress;
};

static void
cancel_at(void *ctx)
{
	struct canceler *canceler = ctx;
	if (++canceler->calls != canceler->at)
		return;
	canceler->answer = mhp_cancel(canceler->bed->pool.m, canceler->block);
	canceler->progress = mhp_progress(canceler->bed->pool.m);
}

static void *
cancel_in_thread(void *ctx)
{
	struct canceler *canceler = ctx;
	canceler->answer = mhp_cancel(canceler->bed->pool.m, canceler->block);
	canceler->progress = mhp_progress(canceler->bed->pool.m);
	return NULL;
}

static void
cancel_from_thread(void *ctx)
{
	struct canceler *canceler = ctx;
	pthread_t thread;
	if (++canceler->calls != canceler->at)
		return;
	CHECK(pthread_create(&thread, NULL, cancel_in_thread, canceler) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

/* Cancel at the first batch of many: hardly anything may move afterwards. */
static void
check_cancel(struct bed *bed, void (*cancel)(void *ctx))
{
	fill_with_gaps(bed);
	struct canceler canceler = { .bed = bed, .block = fullest(bed), .at = 1, .answer = 1 };
	struct mhp_why why;
	uint64_t nr = data_in(bed, canceler.block);
	CHECK_CMP(nr, >=, 64U);
	bed->mover.on_migrate = cancel;
	bed->mover.on_migrate_ctx = &canceler;
	CHECK_RET(mhp_block_offline(bed->pool.m, canceler.block, NULL, &why), MHP_ECANCELED);
	CHECK_EQ(canceler.answer, 0);
	CHECK_EQ(why.cause, MHP_CAUSE_CANCELED);
	CHECK_EQ(test_block(&bed->pool, canceler.block).state, MHP_ONLINE);
	CHECK_CMP(bed->mover.nr_frames_moved, <=, 32U); /* the batch under way, and one more */
	CHECK_EQ(canceler.progress.blocks.first, canceler.block);
	CHECK_EQ(canceler.progress.blocks.count, 1U);
	CHECK_EQ(canceler.progress.left_pages, nr);
	test_pool_check(&bed->pool);
	test_mover_check(&bed->mover);
	/* Once more, and nobody objects: the cancel is forgotten. */
	bed->mover.on_migrate = NULL;
	CHECK_OK(mhp_block_offline(bed->pool.m, canceler.block, NULL, NULL));
	test_mover_check(&bed->mover);
}

/* R29: cancel from the owner that is asked to move. */
TEST(offline__cancel_from_callback__stops_soon)
{
	struct bed bed;
	open_bed(&bed, "small", 3);
	check_cancel(&bed, cancel_at);
	close_bed(&bed);
}

/* R29: cancel from another thread. */
TEST(offline__cancel_from_thread__stops_soon)
{
	struct bed bed;
	open_bed(&bed, "small", 3);
	check_cancel(&bed, cancel_from_thread);
	close_bed(&bed);
}

/* R29: every block of the call can be named, and no other; none when nothing is under way. */
TEST(offline__cancel_by_any_block_of_the_call__stops)
{
	for (uint32_t block = 0; block < 8; block++) {
		struct bed bed;
		test_at("cancel block %u", block);
		open_bed(&bed, "small", 6);
		CHECK(test_mover_fill(&bed.mover, 3 * usable(&bed) / 2, 0, 0));
		test_mover_thin_out(&bed.mover, 50);
		struct canceler canceler = { .bed = &bed, .block = block, .at = 1, .answer = 1 };
		bool named = block == 0 || block == 1 || block == 3;
		struct mhp_blocks sets[] = { { 3, 1 }, { 0, 2 } };
		CHECK_RET(mhp_cancel(bed.pool.m, block), MHP_ENOENT);
		CHECK_EQ(mhp_progress(bed.pool.m).blocks.count, 0U);
		bed.mover.on_migrate = cancel_at;
		bed.mover.on_migrate_ctx = &canceler;
		int error = mhp_offline(bed.pool.m, sets, 2, NULL, NULL);
		CHECK_EQ(canceler.answer, named ? 0 : MHP_ENOENT);
		CHECK_RET(error, named ? MHP_ECANCELED : 0);
		CHECK_RET(mhp_cancel(bed.pool.m, block), MHP_ENOENT);
		test_pool_check(&bed.pool);
		test_mover_check(&bed.mover);
		close_bed(&bed);
	}
}

/* ---- wherever the bound is reached ---- */

/* A port whose clock cancels the offline under way, when it is read for the at-th time. */
static struct {
	const struct mhp_port_ops *next;
	struct bed *bed;
	uint64_t at, calls;
	uint64_t moved;            /* at that moment */
	int answer;
	uint64_t nr_fences;
	bool steal;                /* another offline seems to begin while the clock is read */
} ticking;

static uint64_t
ticking_now(void *port)
{
	if (ticking.bed != NULL && ++ticking.calls == ticking.at) {
		ticking.answer = mhp_cancel(ticking.bed->pool.m, 0);
		ticking.moved = ticking.bed->mover.nr_frames_moved;
	}
	if (ticking.steal)
		atomic_fetch_add(&ticking.bed->pool.m->work.seq, 2);
	return ticking.next->now_ns(port);
}

static void
ticking_fence(void *port)
{
	(void)port;
	ticking.nr_fences++;
}

/* This port has CPUs to fence, and takes whatever it has mapped for RAM. */
static void
open_ticking(struct bed *bed, struct mhp_port_ops *ops, struct mhp_geometry geometry)
{
	struct mhp_sim_opts opts = { .geometry = geometry,
				     .mode = MHP_SIM_UNMAP,
				     .vmemmap = MHP_VMEMMAP != 0,
				     .descriptor_bytes = MHP_PAGE_BYTES };
	struct test_pool *pool = &bed->pool;
	ticking.bed = NULL;
	ticking.next = test_pool_prepare(pool, &opts, ops);
	ops->now_ns = ticking_now;
	ops->fence_cpus = ticking_fence;
	ops->check_ram = NULL;
	test_pool_start(pool);
	test_mover_open(&bed->mover, pool, 16384);
	add(bed, 0, 3, 0, MHP_ZONE_MOVABLE);
}

/* Full: there is too little room for what two of three blocks hold. Return: it was canceled. */
static bool
cancel_at_tick(uint64_t at, bool full, bool *ret_moved)
{
	struct mhp_blocks both = { 0, 2 };
	struct mhp_port_ops ops;
	struct mhp_why why;
	struct bed bed;
	test_at("canceled at tick %" PRIu64 "%s", at, full ? ", no room" : "");
	open_ticking(&bed, &ops, test_geometry("small"));
	fill_with_gaps(&bed);
	test_mover_thin_out(&bed.mover, full ? 0 : 50);
	ticking.bed = &bed;
	ticking.at = at;
	ticking.calls = ticking.moved = ticking.nr_fences = 0;
	ticking.answer = 1;
	int error = mhp_offline(bed.pool.m, &both, 1, NULL, &why);
	ticking.bed = NULL;
	*ret_moved = bed.mover.nr_frames_moved != 0;
	CHECK(ticking.nr_fences > 0 || error == MHP_ECANCELED);
	if (ticking.answer != 0 || (full && error == MHP_ENOMEM))
		CHECK_RET(error, full ? MHP_ENOMEM : 0);
	else if (error != 0) {
		CHECK_RET(error, MHP_ECANCELED);
		CHECK_EQ(why.cause, MHP_CAUSE_CANCELED);
		CHECK_CMP(why.block, <, 2U);
		CHECK_CMP(bed.mover.nr_frames_moved - ticking.moved, <=, 32U);
		CHECK_EQ(test_block(&bed.pool, 0).state, MHP_ONLINE);
	}
	test_pool_check(&bed.pool);
	test_mover_check(&bed.mover);
	test_mover_close(&bed.mover);
	test_pool_empty_and_close(&bed.pool);
	return error == MHP_ECANCELED;
}

/* R29: canceled while it looks, takes room, or moves: it stops within a batch, and says so. */
TEST(offline__canceled_at_any_moment__stops_within_a_batch)
{
	unsigned nr_before = 0, nr_canceled = 0, nr_full = 0;
	bool canceled = true;
	/* Until it ends before that. */
	for (uint64_t at = 1; canceled || ticking.calls >= at; at++) {
		bool moved;
		canceled = cancel_at_tick(at, false, &moved);
		nr_canceled += canceled;
		nr_before += canceled && !moved;
	}
	CHECK_CMP(nr_before, >=, 8U); /* while it looks, and while it takes room */
	CHECK_CMP(nr_canceled, >=, nr_before + 8U);
	canceled = true;
	for (uint64_t at = 1; canceled || ticking.calls >= at; at++) {
		bool moved;
		canceled = cancel_at_tick(at, true, &moved);
		nr_full += canceled;
		CHECK(!moved);
	}
	CHECK_CMP(nr_full, >=, 16U); /* takes room again, and asks why not, too */
}

/* R29: room in pieces of two pages is many turns for one block, and the bound holds among them. */
TEST(offline__canceled_while_it_takes_small_pieces__stops_there)
{
	struct mhp_geometry geometry = test_geometry("small");
	struct mhp_blocks first = { 0, 1 };
	struct mhp_port_ops ops;
	struct mhp_why why;
	struct bed bed;
	unsigned nr_before = 0;
	int error = MHP_ECANCELED;
	geometry.pageblock_order = 1;
	for (uint64_t at = 1; error == MHP_ECANCELED || ticking.calls >= at; at++) {
		test_at("canceled at tick %" PRIu64, at);
		open_ticking(&bed, &ops, geometry);
		CHECK(test_mover_fill(&bed.mover, bed.pool.block_pages, 0, 0));
		ticking.bed = &bed;
		ticking.at = at;
		ticking.calls = ticking.moved = 0;
		error = mhp_offline(bed.pool.m, &first, 1, NULL, &why);
		ticking.bed = NULL;
		nr_before += error == MHP_ECANCELED && bed.mover.nr_frames_moved == 0;
		test_pool_check(&bed.pool);
		test_mover_check(&bed.mover);
		test_mover_close(&bed.mover);
		test_pool_empty_and_close(&bed.pool);
	}
	CHECK_OK(error);
	CHECK_CMP(nr_before, >=, 8U);
}

static void
look_while_it_moves(void *ctx)
{
	struct bed *bed = ctx;
	struct mhp *m = bed->pool.m;
	uint64_t used_bytes, free_bytes;
	CHECK_EQ(mhp_progress(m).blocks.count, 1U);
	ticking.bed = bed;
	ticking.steal = true;
	CHECK_EQ(mhp_progress(m).blocks.count, 0U);
	ticking.steal = false;
	ticking.bed = NULL;
	atomic_fetch_sub(&m->work.seq, 2);
	CHECK_RET(mhp_cancel(m, 0), MHP_ENOENT);
	CHECK_RET(mhp_cancel(m, bed->pool.config.geometry.nr_blocks), MHP_ENOENT);
	CHECK_OK(mhp_range_usage(m, (struct mhp_blocks){ 0, 3 }, &used_bytes, &free_bytes));
	CHECK_CMP(used_bytes, >, 0U);
}

/* R29 R49: looking while pages move, also as one offline ends and another begins. */
TEST(offline__looks_while_it_moves__are_answered)
{
	struct mhp_port_ops ops;
	struct bed bed;
	open_ticking(&bed, &ops, test_geometry("small"));
	fill_with_gaps(&bed);
	bed.mover.on_migrate = look_while_it_moves;
	bed.mover.on_migrate_ctx = &bed;
	CHECK_CMP(data_in(&bed, 1), >, 0U);
	CHECK_OK(mhp_block_offline(bed.pool.m, 1, NULL, NULL));
	CHECK_CMP(bed.mover.nr_migrated, >, 0U);
	test_mover_check(&bed.mover);
	test_mover_close(&bed.mover);
	test_pool_empty_and_close(&bed.pool);
}

struct sleeper {
	struct mhp_sim *sim;
	uint64_t ns;
};

static int
sleep_when_going(void *ctx, const struct mhp_notice *notice)
{
	struct sleeper *sleeper = ctx;
	if (notice->kind == MHP_GOING_OFFLINE_NOTICE)
		mhp_sim_advance(sleeper->sim, sleeper->ns);
	return 0;
}

/* R29: a deadline that passes at any moment; listeners' time counts, too. */
TEST(offline__deadline_at_any_moment__stops)
{
	struct mhp_offline_opts opts = { .deadline_ms = 1 };
	unsigned nr_late = 0, nr_before = 0;
	for (uint64_t ticks = 0; ticks < 100; ticks++) {
		struct mhp_why why;
		struct bed bed;
		uint16_t id;
		test_at("%" PRIu64 " ticks are left", ticks);
		open_bed(&bed, "small", 3);
		fill_with_gaps(&bed);
		uint32_t block = fullest(&bed);
		struct sleeper sleeper = { bed.pool.sim, MS - ticks * 1000 };
		CHECK_OK(mhp_listener_add(bed.pool.m, sleep_when_going, &sleeper, 0, &id));
		int error = mhp_block_offline(bed.pool.m, block, &opts, &why);
		CHECK_OK(mhp_listener_remove(bed.pool.m, id));
		if (error != 0) {
			CHECK_RET(error, MHP_EAGAIN);
			CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
			CHECK_EQ(why.block, block);
			CHECK_EQ(test_block(&bed.pool, block).state, MHP_ONLINE);
			nr_late++;
			nr_before += bed.mover.nr_frames_moved == 0;
			CHECK_EQ(why.nr_movable, nr_before == nr_late ? why.nr_movable :
								       data_in(&bed, block));
		}
		test_pool_check(&bed.pool);
		test_mover_check(&bed.mover);
		close_bed(&bed);
	}
	CHECK_CMP(nr_before, >=, 8U);
	CHECK_CMP(nr_late, >, nr_before);
	CHECK_CMP(nr_late, <, 100U);
}

static void
cancel_as_of_before(void *ctx)
{
	const struct canceler *canceler = ctx;
	atomic_store(&canceler->bed->pool.m->work.cancel, (uint32_t)canceler->at);
}

static void
keep_token(void *ctx)
{
	struct canceler *canceler = ctx;
	canceler->at = atomic_load(&canceler->bed->pool.m->work.seq);
}

/* R29: a cancel that comes when its offline is over does not hit the next one. */
TEST(offline__cancel_that_comes_too_late__hits_no_other)
{
	struct bed bed;
	open_bed(&bed, "small", 3);
	CHECK(test_mover_fill(&bed.mover, usable(&bed), 0, 0));
	struct canceler canceler = { .bed = &bed };
	struct mhp_blocks block = { fullest(&bed), 1 };
	bed.mover.on_migrate = keep_token;
	bed.mover.on_migrate_ctx = &canceler;
	CHECK_OK(mhp_offline(bed.pool.m, &block, 1, NULL, NULL));
	CHECK_NE(canceler.at, 0U);
	CHECK_OK(test_online(bed.pool.m, block, MHP_ZONE_MOVABLE, NULL));
	test_mover_thin_out(&bed.mover, 50); /* several batches: it is looked at after the first */
	bed.mover.on_migrate = cancel_as_of_before;
	block.first = fullest(&bed);
	CHECK_OK(mhp_offline(bed.pool.m, &block, 1, NULL, NULL));
	CHECK_EQ(atomic_load(&bed.pool.m->work.cancel), 0U);
	test_mover_check(&bed.mover);
	close_bed(&bed);
}

struct watcher {
	struct bed *bed;
	uint64_t total, calls, last_moved, last_elapsed;
};

static void
watch(void *ctx)
{
	struct watcher *watcher = ctx;
	struct mhp_progress now = mhp_progress(watcher->bed->pool.m);
	CHECK_EQ(now.blocks.count, 1U);
	CHECK_CMP(now.moved_pages, >=, watcher->last_moved);
	CHECK_CMP(now.moved_pages, <=, watcher->total);
	CHECK_CMP(now.left_pages, <=, watcher->total);
	CHECK_CMP(now.elapsed_ns, >=, watcher->last_elapsed);
	if (watcher->calls++ == 0)
		CHECK_EQ(now.left_pages, watcher->total);
	watcher->last_moved = now.moved_pages;
	watcher->last_elapsed = now.elapsed_ns;
}

/* R29: progress can be read while it runs, and is nothing before and after. */
TEST(offline__progress__can_be_read)
{
	struct bed bed;
	open_bed(&bed, "small", 3);
	fill_with_gaps(&bed);
	uint32_t block = fullest(&bed);
	struct watcher watcher = { .bed = &bed, .total = data_in(&bed, block) };
	bed.mover.on_migrate = watch;
	bed.mover.on_migrate_ctx = &watcher;
	CHECK_OK(mhp_block_offline(bed.pool.m, block, NULL, NULL));
	CHECK_CMP(watcher.calls, >, 4U);
	CHECK_CMP(watcher.last_moved, >, 0U);
	struct mhp_progress after = mhp_progress(bed.pool.m);
	CHECK_EQ(after.blocks.count, 0U);
	CHECK_EQ(after.moved_pages + after.left_pages + after.elapsed_ns, 0U);
	close_bed(&bed);
}

/* ---- why not ---- */

/* Block 0 may hold what cannot move. */
static void
make_normal(struct bed *bed)
{
	struct mhp_blocks block = { 0, 1 };
	CHECK_OK(mhp_block_offline(bed->pool.m, 0, NULL, NULL));
	CHECK_OK(test_online(bed->pool.m, block, MHP_ZONE_NORMAL, NULL));
}

static uint64_t
kernel_page(struct bed *bed, uint16_t owner, unsigned order)
{
	struct mhp_page_req req = { .owner = owner, .order = (uint8_t)order };
	uint64_t pfn;
	CHECK_OK(mhp_page_alloc(bed->pool.m, req, &pfn));
	return pfn;
}

/* Dry run and the real thing say the same of [first, first + count), and change nothing. */
static int
ask(struct bed *bed, uint32_t first, uint32_t count, struct mhp_why *ret_why)
{
	struct mhp_blocks blocks = { first, count };
	struct mhp_offline_opts rehearsal = { .dry_run = true };
	struct mhp_why really;
	struct test_ledger before;
	uint64_t moved = bed->mover.nr_frames_moved;
	memset(ret_why, 0, sizeof(*ret_why));
	memset(&really, 0, sizeof(really));
	test_ledger_take(&bed->pool, &before);
	int error = mhp_offline(bed->pool.m, &blocks, 1, &rehearsal, ret_why);
	test_ledger_check(&bed->pool, &before);
	CHECK_EQ(bed->mover.nr_frames_moved, moved);
	if (error == 0)
		return 0;
	CHECK_RET(mhp_offline(bed->pool.m, &blocks, 1, NULL, &really), error);
	CHECK_EQ(really.cause, ret_why->cause);
	CHECK_EQ(really.pfn, ret_why->pfn);
	CHECK_EQ(really.block, ret_why->block);
	CHECK_EQ(really.order, ret_why->order);
	CHECK_EQ(really.owner, ret_why->owner);
	CHECK_EQ(really.nr_unmovable, ret_why->nr_unmovable);
	CHECK_EQ(really.nr_bad, ret_why->nr_bad);
	CHECK_EQ(really.more_owners, ret_why->more_owners);
	CHECK_MEM(really.owners, ret_why->owners, sizeof(really.owners));
	CHECK_STR(really.text, ret_why->text);
	return error;
}

/* R30: the first page, its owner, every owner with its pages, and the owner's own words. */
TEST(offline__unmovable_pages__are_all_named)
{
	struct bed bed;
	struct mhp_why why;
	uint16_t owners[3];
	uint64_t pfns[3], nr[3] = { 3, 2, 4 }, first = MHP_PFN_NONE;
	open_bed(&bed, "small", 1);
	make_normal(&bed);
	CHECK_OK(ask(&bed, 0, 1, &why));
	for (unsigned i = 0; i < 3; i++) {
		char name[8] = { 'o', 'w', 'n', 'e', 'r', (char)('a' + i), 0 };
		CHECK_OK(mhp_owner_register(bed.pool.m, name, NULL, NULL, &owners[i]));
		pfns[i] = MHP_PFN_NONE;
		for (uint64_t k = 0; k < nr[i]; k++) {
			uint64_t pfn = kernel_page(&bed, owners[i], i);
			pfns[i] = pfn < pfns[i] ? pfn : pfns[i];
		}
		first = pfns[i] < first ? pfns[i] : first;
	}
	add(&bed, 1, 2, 0, MHP_ZONE_MOVABLE);
	CHECK_RET(ask(&bed, 0, 2, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_UNMOVABLE);
	CHECK_EQ(why.pfn, first);
	CHECK_EQ(why.block, 0U);
	CHECK_EQ(why.nr_unmovable, 3U + 2 * 2 + 4 * 4);
	CHECK_EQ(why.nr_owners, 3);
	CHECK(!why.more_owners);
	for (unsigned i = 0; i < 3; i++) {
		unsigned at = 0;
		while (at < 3 && why.owners[at].owner != owners[i])
			at++;
		CHECK_CMP(at, <, 3U);
		CHECK_EQ(why.owners[at].nr_pages, nr[i] << i);
		CHECK_EQ(why.owners[at].first_pfn, pfns[i]);
		if (at > 0)
			CHECK_CMP(why.owners[at].first_pfn, >, why.owners[at - 1].first_pfn);
	}
	CHECK_EQ(why.owner, why.owners[0].owner);
	CHECK_STR(why.text, mhp_owner_name(bed.pool.m, why.owner));
	CHECK_EQ(bed.mover.nr_isolated, 0U);
	for (uint64_t pfn = 0; pfn < bed.pool.block_pages; pfn++)
		if (mhp_frame_peek(bed.pool.m, pfn).state == MHP_FRAME_USED)
			CHECK_OK(mhp_page_free(bed.pool.m, pfn));
	CHECK_OK(ask(&bed, 0, 2, &why));
	close_bed(&bed);
}

/* R30: more owners than fit are not silently left out. */
TEST(offline__many_owners__says_that_there_are_more)
{
	struct bed bed;
	struct mhp_why why;
	open_bed(&bed, "small", 1);
	make_normal(&bed);
	for (unsigned i = 0; i < MHP_WHY_OWNERS + 2; i++) {
		uint16_t owner;
		CHECK_OK(mhp_owner_register(bed.pool.m, "one of many", NULL, NULL, &owner));
		(void)kernel_page(&bed, owner, 0);
		CHECK_RET(ask(&bed, 0, 1, &why), MHP_EBUSY);
		CHECK_EQ(why.nr_owners, i < MHP_WHY_OWNERS ? i + 1 : MHP_WHY_OWNERS);
		CHECK_EQ(why.more_owners, i >= MHP_WHY_OWNERS);
		CHECK_EQ(why.nr_unmovable, i + 1U);
	}
	test_mover_close(&bed.mover);
	test_pool_discard(&bed.pool);
}

/* R30: an owner that will not let go of a page is named by that page, in its own words. */
TEST(offline__pinned_page__is_named)
{
	struct bed bed;
	struct mhp_why why;
	char text[MHP_WHY_TEXT];
	open_bed(&bed, "tiny8", 3);
	CHECK(test_mover_fill(&bed.mover, usable(&bed), 1, 0));
	uint32_t block = fullest(&bed), slot = first_in(&bed, block);
	bed.mover.pages[slot].pinned = true;
	CHECK_RET(ask(&bed, block, 1, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_REFUSED);
	CHECK_EQ(why.pfn, bed.mover.pages[slot].pfn);
	CHECK_EQ(why.order, bed.mover.pages[slot].order);
	CHECK_EQ(why.owner, bed.mover.owner);
	CHECK_EQ(why.owners[0].nr_pages, UINT64_C(1) << why.order);
	snprintf(text, sizeof(text), "test page %u at pfn %" PRIu64, slot, why.pfn);
	CHECK_STR(why.text, text);
	test_mover_check(&bed.mover);
	bed.mover.pages[slot].pinned = false;
	CHECK_OK(ask(&bed, block, 1, &why));
	CHECK_OK(mhp_block_offline(bed.pool.m, block, NULL, NULL));
	close_bed(&bed);
}

/* R30: a page that cannot move and one that will not: both are named, by the rehearsal too. */
TEST(offline__unmovable_and_pinned__both_are_named)
{
	for (unsigned pinned_first = 0; pinned_first < 2; pinned_first++) {
		struct bed bed;
		struct mhp_why why;
		test_at("the pinned page comes %s", pinned_first != 0 ? "first" : "last");
		open_bed(&bed, "small", 1);
		make_normal(&bed);
		/* One before and one behind, in whatever order pages come. */
		uint32_t one = test_mover_alloc(&bed.mover, 0, 0);
		uint64_t pfn = kernel_page(&bed, bed.kernel, 0);
		uint32_t two = test_mover_alloc(&bed.mover, 0, 0);
		bool ascending = bed.mover.pages[one].pfn < pfn;
		CHECK_EQ(ascending, pfn < bed.mover.pages[two].pfn);
		uint32_t slot = ascending == (pinned_first != 0) ? one : two;
		bed.mover.pages[slot].pinned = true;
		add(&bed, 1, 1, 0, MHP_ZONE_MOVABLE);
		CHECK_RET(ask(&bed, 0, 1, &why), MHP_EBUSY);
		CHECK_EQ(why.cause, pinned_first != 0 ? MHP_CAUSE_REFUSED : MHP_CAUSE_UNMOVABLE);
		CHECK_EQ(why.nr_owners, 2);
		CHECK_EQ(why.nr_unmovable, 1U);
		CHECK_EQ(bed.mover.nr_frames_moved, 0U);
		CHECK_OK(mhp_page_free(bed.pool.m, pfn));
		bed.mover.pages[slot].pinned = false;
		close_bed(&bed);
	}
}

/* R30: an owner that tries and fails, again and again, is the cause, with its error. */
TEST(offline__migrate_always_fails__says_so)
{
	struct bed bed;
	struct mhp_why why;
	open_bed(&bed, "tiny8", 3);
	CHECK(test_mover_fill(&bed.mover, usable(&bed), 0, 0));
	uint32_t block = fullest(&bed);
	bed.mover.migrate_error = MHP_EIO;
	bed.mover.migrate_times = UINT64_MAX;
	CHECK_RET(mhp_block_offline(bed.pool.m, block, NULL, &why), MHP_EIO);
	CHECK_EQ(why.cause, MHP_CAUSE_MIGRATE);
	CHECK_EQ(why.owner, bed.mover.owner);
	CHECK_EQ(mhp_frame_peek(bed.pool.m, why.pfn).owner, bed.mover.owner);
	CHECK_EQ(test_block(&bed.pool, block).state, MHP_ONLINE);
	test_pool_check(&bed.pool);
	test_mover_check(&bed.mover);
	bed.mover.migrate_times = 0;
	close_bed(&bed);
}

static int
refuse_offline(void *ctx, const struct mhp_notice *notice)
{
	(void)ctx;
	return notice->kind == MHP_GOING_OFFLINE_NOTICE ? -4321 : 0;
}

/* R30: a listener that refuses is named, and its own error comes back. */
TEST(offline__listener_refuses__is_named)
{
	struct bed bed;
	struct test_ledger before;
	struct mhp_why why;
	uint16_t id;
	open_bed(&bed, "tiny2", 2);
	CHECK(test_mover_fill(&bed.mover, 3, 0, 0));
	CHECK_OK(mhp_listener_add(bed.pool.m, refuse_offline, NULL, 0, &id));
	test_ledger_take(&bed.pool, &before);
	CHECK_RET(mhp_block_offline(bed.pool.m, 1, NULL, &why), -4321);
	CHECK_EQ(why.cause, MHP_CAUSE_LISTENER);
	CHECK_EQ(why.listener, id);
	CHECK_EQ(why.block, 1U);
	test_ledger_check(&bed.pool, &before);
	CHECK_OK(mhp_listener_remove(bed.pool.m, id));
	close_bed(&bed);
}

/* R30: causes have words, known or not. */
TEST(offline__cause_text__is_never_null)
{
	for (unsigned i = 0; i <= MHP_CAUSE_INTERRUPTED; i++)
		CHECK_CMP(strlen(mhp_cause_text(i)), >, 5U);
	CHECK_STR(mhp_cause_text(MHP_CAUSE_INTERRUPTED + 1), "?");
}

/* ---- what owners and pages may do meanwhile ---- */

static void
let_go(void *ctx)
{
	struct canceler *canceler = ctx;
	if (++canceler->calls == canceler->at)
		CHECK_OK(mhp_page_free(canceler->bed->pool.m, canceler->progress.moved_pages));
}

/* R30: what was in the way has gone before it could be asked about: it is named all the same. */
TEST(offline__blocker_goes_while_others_are_asked__is_named)
{
	struct bed bed;
	struct mhp_why why;
	struct mhp_blocks both = { 0, 2 }, one = { 1, 1 };
	open_bed(&bed, "small", 2);
	CHECK(test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE);
	while (data_in(&bed, 0) == 0)
		CHECK(test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE);
	CHECK_OK(mhp_offline(bed.pool.m, &one, 1, NULL, NULL));
	CHECK_OK(test_online(bed.pool.m, one, MHP_ZONE_NORMAL, NULL));
	uint64_t pfn = kernel_page(&bed, bed.kernel, 0);
	CHECK_CMP(pfn, >=, bed.pool.block_pages);
	add(&bed, 2, 1, 0, MHP_ZONE_MOVABLE);
	/* The owner of the first page, when it is asked, lets the blocker of the other block go. */
	struct canceler canceler = { .bed = &bed, .at = 1, .progress.moved_pages = pfn };
	bed.mover.on_isolate = let_go;
	bed.mover.on_isolate_ctx = &canceler;
	CHECK_RET(mhp_offline(bed.pool.m, &both, 1, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_UNMOVABLE);
	CHECK_EQ(why.pfn, pfn);
	CHECK_OK(mhp_offline(bed.pool.m, &both, 1, NULL, NULL));
	test_mover_check(&bed.mover);
	close_bed(&bed);
}

static void
cancel_when_asked(void *ctx)
{
	struct canceler *canceler = ctx;
	if (++canceler->calls == canceler->at)
		CHECK_OK(mhp_cancel(canceler->bed->pool.m, canceler->block));
}

/* R29: canceled while it gives up, and asks who would not let go. */
TEST(offline__canceled_while_it_asks_why_not__stops)
{
	struct bed bed;
	struct mhp_why why;
	struct mhp_blocks both = { 0, 2 };
	struct mhp_offline_opts once = { .attempts_max = 1 };
	open_bed(&bed, "small", 4);
	for (uint32_t block = 0; block < 2; block++)
		while (data_in(&bed, block) == 0)
			CHECK(test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE);
	uint64_t nr = bed.mover.nr_live;
	for (uint32_t slot = 0; slot < nr; slot++)
		bed.mover.pages[slot].pinned = true;
	uint64_t in_both = data_in(&bed, 0) + data_in(&bed, 1);
	struct canceler canceler = { .bed = &bed, .block = 0, .at = in_both + 1 };
	bed.mover.on_isolate = cancel_when_asked;
	bed.mover.on_isolate_ctx = &canceler;
	CHECK_RET(mhp_offline(bed.pool.m, &both, 1, &once, &why), MHP_ECANCELED);
	CHECK_EQ(why.cause, MHP_CAUSE_CANCELED);
	CHECK_EQ(canceler.calls >= canceler.at, true);
	for (uint32_t slot = 0; slot < nr; slot++)
		bed.mover.pages[slot].pinned = false;
	close_bed(&bed);
}

/* An owner of single frames that agrees to everything and keeps no books. */
struct raw {
	struct mhp *m;
	uint16_t owner;
	uint64_t drop_pfn;         /* freed in the middle of its move; MHP_PFN_NONE: none */
	uint64_t arriving_pfn;     /* becomes a page of arriving_owner in the first move */
	uint16_t arriving_owner;
	uint64_t split_pfn;        /* split when a page is first asked for */
	uint64_t next_pfn;         /* the only one that it lets go of; MHP_PFN_NONE: any */
	unsigned nr_moves;
	int64_t nr_held;           /* isolated, and neither moved nor put back */
};

static int
raw_isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct raw *raw = ctx;
	(void)pfn, (void)order, (void)cookie;
	if (raw->split_pfn != MHP_PFN_NONE)
		CHECK_OK(mhp_page_split(raw->m, raw->split_pfn, 0, NULL));
	raw->split_pfn = MHP_PFN_NONE;
	if (raw->next_pfn != MHP_PFN_NONE && raw->next_pfn != pfn)
		return MHP_EBUSY;
	raw->nr_held++;
	return 0;
}

static int
raw_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct raw *raw = ctx;
	for (unsigned i = 0; i < nr_moves; i++)
		raw->nr_held -= (int64_t)moves[i].nr_pages;
	if (raw->next_pfn != MHP_PFN_NONE)
		raw->next_pfn++;
	if (raw->drop_pfn != MHP_PFN_NONE)
		CHECK_OK(mhp_page_free(raw->m, raw->drop_pfn));
	raw->drop_pfn = MHP_PFN_NONE;
	if (raw->nr_moves++ == 0 && raw->arriving_pfn != MHP_PFN_NONE)
		mhp__page_begin(mhp__pfn_to_page(raw->m, raw->arriving_pfn), raw->arriving_owner, 0,
				1);
	*ret_done = nr_moves;
	return 0;
}

static void
raw_putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct raw *raw = ctx;
	(void)pfn, (void)order, (void)cookie;
	raw->nr_held--;
}

static const struct mhp_movable_ops raw_ops = { raw_isolate, raw_migrate, raw_putback, NULL };

static void
open_raw(struct raw *raw, struct bed *bed)
{
	*raw = (struct raw){ .m = bed->pool.m, .drop_pfn = MHP_PFN_NONE,
			     .arriving_pfn = MHP_PFN_NONE, .split_pfn = MHP_PFN_NONE,
			     .next_pfn = MHP_PFN_NONE };
	CHECK_OK(mhp_owner_register(raw->m, "raw", &raw_ops, raw, &raw->owner));
}

/* Free the pages of an owner in [start_pfn, end_pfn), at most nr_max. Return: how many. */
static uint64_t
free_raw(struct bed *bed, uint16_t owner, uint32_t first, uint32_t count, uint64_t nr_max)
{
	uint64_t start = first * bed->pool.block_pages, nr = 0;
	for (uint64_t pfn = start; pfn < start + count * bed->pool.block_pages; pfn++) {
		struct mhp_frame frame = mhp_frame_peek(bed->pool.m, pfn);
		if (nr < nr_max && frame.state == MHP_FRAME_USED && frame.owner == owner) {
			CHECK_OK(mhp_page_free(bed->pool.m, pfn));
			nr++;
		}
	}
	return nr;
}

/* R29: an owner that frees what it holds: no frame is given back twice, or lost. */
TEST(offline__owner_frees_what_it_holds__nothing_is_lost)
{
	struct bed bed;
	struct raw raw;
	uint64_t pfn, first = MHP_PFN_NONE;
	open_bed(&bed, "small", 2);
	open_raw(&raw, &bed);
	struct mhp_page_req req = { .owner = raw.owner };
	for (unsigned i = 0; i < 9; i++) {
		CHECK_OK(mhp_page_alloc(raw.m, req, &pfn));
		first = pfn < first ? pfn : first;
	}
	raw.drop_pfn = first + 4;
	CHECK_OK(mhp_block_offline(raw.m, (uint32_t)(first / bed.pool.block_pages), NULL, NULL));
	CHECK_EQ(raw.drop_pfn, MHP_PFN_NONE);
	CHECK_EQ(free_raw(&bed, raw.owner, 0, 2, UINT64_MAX), 9U); /* the target is the owner's */
	test_pool_check(&bed.pool);
	close_bed(&bed);
}

/* Use all but one frame, of which block 0 has one that is on its way into use: then as many pages
 * in block 1 go as are used in block 0. Return: that frame. */
static uint64_t
one_on_its_way(struct bed *bed, struct raw *raw)
{
	struct mhp_page_req req = { .owner = raw->owner };
	struct mhp__zone *zone = mhp__zone(raw->m, 0, MHP_ZONE_MOVABLE);
	uint64_t pfn, last = bed->pool.block_pages - 1;
	while (mhp_page_alloc(raw->m, req, &pfn) == 0)
		;
	CHECK_OK(mhp_page_free(raw->m, last));
	mhp_drain_caches(raw->m);
	CHECK_EQ(mhp__zone_take(raw->m, zone, 0, 1, NULL, &pfn), 1U);
	CHECK_EQ(pfn, last);
	CHECK_EQ(free_raw(bed, raw->owner, 1, 1, usable(bed) - 1), usable(bed) - 1);
	raw->arriving_pfn = pfn;
	return pfn;
}

/* R29: each pass that moves something has all its attempts before it again: an owner that lets go
 * of one page at a time gets as many passes as it has pages. */
TEST(offline__one_page_a_pass__attempts_are_counted_anew)
{
	struct mhp_offline_opts opts = { .attempts_max = 2 };
	struct bed bed;
	struct raw raw;
	uint64_t pfn;
	open_bed(&bed, "small", 2);
	open_raw(&raw, &bed);
	struct mhp_page_req req = { .owner = raw.owner };
	for (unsigned i = 0; i < 9; i++) {
		CHECK_OK(mhp_page_alloc(raw.m, req, &pfn));
		raw.next_pfn = pfn < raw.next_pfn ? pfn : raw.next_pfn;
	}
	uint32_t block = (uint32_t)(raw.next_pfn / bed.pool.block_pages);
	CHECK_OK(mhp_block_offline(raw.m, block, &opts, NULL));
	CHECK_EQ(raw.nr_moves, 9U);
	CHECK_EQ(raw.nr_held, 0);
	CHECK_EQ(free_raw(&bed, raw.owner, 0, 2, UINT64_MAX), 9U);
	close_bed(&bed);
}

/* R29: a frame that was on its way when room was counted turns out to be a page: one that can
 * move, with room or without, and one that cannot. Without room it is put back: nobody holds it
 * afterwards. */
TEST(offline__page_arrives_late__moved_or_named)
{
	for (unsigned i = 0; i < 3; i++) {
		struct bed bed;
		struct raw raw;
		struct mhp_why why;
		test_at("case %u", i);
		open_bed(&bed, "small", 2);
		open_raw(&raw, &bed);
		uint64_t pfn = one_on_its_way(&bed, &raw);
		raw.arriving_owner = i == 2 ? bed.kernel : raw.owner;
		if (i == 0)
			CHECK_EQ(free_raw(&bed, raw.owner, 1, 1, 1), 1U);
		int error = mhp_block_offline(raw.m, 0, NULL, &why);
		CHECK_RET(error, i == 0 ? 0 : i == 1 ? MHP_ENOMEM : MHP_EBUSY);
		if (error != 0) {
			CHECK_EQ(why.cause, i == 1 ? MHP_CAUSE_ROOM : MHP_CAUSE_UNMOVABLE);
			CHECK_EQ(why.pfn, pfn);
			CHECK_OK(mhp_page_free(raw.m, pfn));
		}
		CHECK_EQ(raw.nr_held, 0);
		test_pool_check(&bed.pool);
		(void)free_raw(&bed, raw.owner, 0, 2, UINT64_MAX);
		close_bed(&bed);
	}
}

/* A page that is split while others of its pageblock move finds no room for its frames. */
TEST(offline__page_is_split_in_a_compaction__its_frames_stay)
{
	struct bed bed;
	struct raw raw;
	struct mhp_compact_result result;
	uint64_t pfn;
	open_bed(&bed, "small", 2);
	open_raw(&raw, &bed);
	struct mhp_page_req req = { .owner = raw.owner };
	while (mhp_page_alloc(raw.m, req, &pfn) == 0)
		;
	/* The last pageblock: 40 frames and a page of two; further down room for just those. */
	uint64_t source = 2 * bed.pool.block_pages - 64, target = source - 128;
	for (uint64_t i = 40; i < 64; i++)
		CHECK_OK(mhp_page_free(raw.m, source + i));
	req.order = 1;
	CHECK_OK(mhp_page_alloc(raw.m, req, &pfn));
	CHECK_CMP(pfn, >=, source + 40);
	for (uint64_t i = 0; i < 42; i++)
		CHECK_OK(mhp_page_free(raw.m, target + i));
	raw.split_pfn = pfn;
	CHECK_OK(mhp_compact(raw.m, 0, MHP_ZONE_MOVABLE, 0, &result));
	CHECK_EQ(result.nr_moved, 40U);
	CHECK_EQ(result.nr_huge, 0U);
	CHECK_EQ(mhp_frame_peek(raw.m, pfn + 1).state, MHP_FRAME_USED);
	test_pool_check(&bed.pool);
	CHECK_CMP(free_raw(&bed, raw.owner, 0, 2, UINT64_MAX), >, 42U);
	close_bed(&bed);
}

/* R30: pages of an owner that is gone, or never was: they cannot move, and are named as well as
 * can be. */
TEST(offline__owner_is_forgotten__its_pages_are_named)
{
	struct bed bed;
	struct mhp_why why;
	open_bed(&bed, "tiny2", 1);
	make_normal(&bed);
	add(&bed, 1, 1, 0, MHP_ZONE_MOVABLE);
	uint64_t pfn = kernel_page(&bed, bed.kernel, 0);
	CHECK_OK(mhp_owner_unregister(bed.pool.m, bed.kernel));
	CHECK_RET(mhp_block_offline(bed.pool.m, 0, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.pfn, pfn);
	CHECK_STR(why.text, "?");
	CHECK_OK(mhp_page_free(bed.pool.m, pfn));
	close_bed(&bed);
}

/* Somebody who looks at the middle of an offline, and looks again once the offline is done but for
 * waiting for him. */
struct looker {
	struct mhp *m;
	uint16_t owner;
	_Atomic bool there;
	struct mhp_block_info info;
	int again;
	pthread_t thread;
};

static void
look_twice(void *ctx, uint64_t last_seq)
{
	struct looker *looker = ctx;
	(void)last_seq;
	atomic_store(&looker->there, true);
	while (atomic_load(&looker->m->still) != 0)
		sched_yield();
	CHECK_OK(mhp_block_get(looker->m, 0, &looker->info));
	looker->again = mhp_between_events(looker->m, look_twice, looker);
}

static void *
look_in_thread(void *ctx)
{
	struct looker *looker = ctx;
	CHECK_OK(mhp_between_events(looker->m, look_twice, looker));
	return NULL;
}

static int
looked_at_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct looker *looker = ctx;
	(void)moves;
	CHECK(pthread_create(&looker->thread, NULL, look_in_thread, looker) == 0);
	while (!atomic_load(&looker->there))
		sched_yield();
	*ret_done = nr_moves;
	return 0;
}

static int
looked_at_isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return 0;
}

static const struct mhp_movable_ops looked_at_ops = { looked_at_isolate, looked_at_migrate,
						      raw_putback, NULL };

/* R50: between two events is one moment, however often one looks; the offline waits, and nobody
 * waits for it. */
TEST(offline__looked_at_from_between_events__both_go_on)
{
	struct bed bed;
	struct looker looker = { 0 };
	uint64_t pfn;
	open_bed(&bed, "small", 2);
	struct mhp *m = looker.m = bed.pool.m;
	CHECK_OK(mhp_owner_register(m, "looked at", &looked_at_ops, &looker, &looker.owner));
	struct mhp_page_req req = { .owner = looker.owner };
	CHECK_OK(mhp_page_alloc(m, req, &pfn));
	CHECK_OK(mhp_block_offline(m, mhp__pfn_block(m, pfn), NULL, NULL));
	CHECK(pthread_join(looker.thread, NULL) == 0);
	CHECK_EQ(looker.info.state, MHP_GOING_OFFLINE);
	CHECK_EQ(looker.again, MHP_EDEADLK);
	test_pool_check(&bed.pool);
	CHECK_EQ(free_raw(&bed, looker.owner, 0, 2, UINT64_MAX), 1U);
	close_bed(&bed);
}
