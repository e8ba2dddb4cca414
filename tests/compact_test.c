/* SPDX-License-Identifier: MIT */
/*
 * compact_test.c - moving pages together: as many wholly free pageblocks as can be, nothing lost.
 *
 * The large case is the one of the aims: 2048 pageblocks filled with single frames, a random half,
 * three quarters, nine tenths of them freed. The frames do not exist, only their descriptors do.
 * The small cases have contents, pages of several orders, and pages that cannot or will not move.
 */
#include "ledger.h"
#include "mover.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)

/* How many wholly free pageblocks there are: take them all, and give them back. */
static uint64_t
free_pageblocks(struct test_pool *pool, uint16_t owner)
{
	struct mhp_page_req req = { .owner = owner };
	uint64_t pfn, last = MHP_COOKIE_MAX, nr = 0;
	req.order = pool->config.geometry.pageblock_order;
	/* Each remembers the one before it. */
	for (req.cookie = last; mhp_page_alloc(pool->m, req, &pfn) == 0; req.cookie = last = pfn)
		nr++;
	while (last != MHP_COOKIE_MAX) {
		uint64_t before = mhp_frame_peek(pool->m, last).cookie;
		CHECK_OK(mhp_page_free(pool->m, last));
		last = before;
	}
	return nr;
}

#if defined(MHP_POISON) && !MHP_POISON /* else every freed frame is written to */

/* Of 2048 pageblocks, full, a share freed: how many are free after compaction. */
static void
check_4_gib(unsigned percent, uint64_t want)
{
	struct test_pool_opts opts = { .shape = "dimm", .plain = true, .no_fault = true,
				       .meta_bytes = 64 << 20 };
	struct mhp_add_opts boot = { .flags = MHP_ADD_BOOT | MHP_ADD_ONLINE,
				     .zone = MHP_ZONE_MOVABLE };
	struct mhp_compact_result result;
	struct test_pool pool;
	struct test_mover mover;
	uint64_t nr = 2048 * 512;
	test_pool_open(&pool, &opts);
	test_mover_open(&mover, &pool, (uint32_t)nr);
	mover.no_contents = true;
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 32 }, &boot, NULL));
	CHECK(test_mover_fill(&mover, nr, 0, 0));
	CHECK_EQ(free_pageblocks(&pool, mover.owner), 0U);
	test_mover_thin_out(&mover, percent);
	uint64_t before = free_pageblocks(&pool, mover.owner);
	CHECK_OK(mhp_compact(pool.m, 0, MHP_ZONE_MOVABLE, 0, &result));
	uint64_t after = free_pageblocks(&pool, mover.owner);
	CHECK_EQ(after, want);
	CHECK_EQ(result.nr_huge, want - before);
	CHECK_EQ(result.nr_moved, mover.nr_frames_moved);
	test_mover_check(&mover);
	test_pool_check(&pool);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* AIMS: what is left over after random frees packs without loss. */
TEST(compact__random_half_freed__1024_of_2048_pageblocks_free)
{
	check_4_gib(50, 1024);
}

TEST(compact__random_three_quarters_freed__1536_of_2048_pageblocks_free)
{
	check_4_gib(75, 1536);
}

TEST(compact__random_nine_tenths_freed__1843_of_2048_pageblocks_free)
{
	check_4_gib(90, 1843);
}

#endif

/* ---- with contents ---- */

struct bed {
	struct test_pool pool;
	struct test_mover mover;
	uint16_t kernel;
};

static void
open_bed(struct bed *bed, uint32_t nr_blocks)
{
	struct test_pool_opts opts = { .shape = "small" };
	struct mhp_add_opts self = { .flags = SELF | MHP_ADD_ONLINE, .zone = MHP_ZONE_NORMAL };
	test_pool_open(&bed->pool, &opts);
	test_mover_open(&bed->mover, &bed->pool, 16384);
	CHECK_OK(mhp_owner_register(bed->pool.m, "kernel", NULL, NULL, &bed->kernel));
	CHECK_OK(mhp_add(bed->pool.m, (struct mhp_blocks){ 0, nr_blocks }, &self, NULL));
}

static void
close_bed(struct bed *bed)
{
	test_mover_check(&bed->mover);
	test_mover_close(&bed->mover);
	test_pool_empty_and_close(&bed->pool);
}

/* Pageblocks that at least are needed for what is in use, where single frames fill every gap. */
static uint64_t
best_possible(struct bed *bed, uint64_t nr_whole)
{
	uint64_t pageblock = UINT64_C(1) << bed->pool.config.geometry.pageblock_order;
	struct mhp_zone_info zone = test_zone(&bed->pool, 0, MHP_ZONE_NORMAL);
	uint64_t in_partial = zone.managed - nr_whole * pageblock;
	uint64_t in_use = zone.managed - zone.free;
	uint64_t rest = in_use > in_partial ? in_use - in_partial : 0;
	return nr_whole - (rest + pageblock - 1) / pageblock;
}

/* Single frames pack as well as can be, whatever is freed; and their contents move along. */
TEST(compact__single_frames__pack_without_loss)
{
	for (unsigned percent = 0; percent <= 100; percent += 5) {
		struct bed bed;
		struct mhp_compact_result result;
		test_at("%u %% freed", percent);
		open_bed(&bed, 3);
		uint64_t nr_whole = free_pageblocks(&bed.pool, bed.kernel);
		while (test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE)
			;
		test_mover_thin_out(&bed.mover, percent);
		CHECK_OK(mhp_compact(bed.pool.m, 0, MHP_ZONE_NORMAL, 0, &result));
		/* The pageblocks that a reserve reaches into may be emptied instead of others. */
		uint64_t best = best_possible(&bed, nr_whole);
		uint64_t have = free_pageblocks(&bed.pool, bed.kernel);
		CHECK_CMP(have, <=, best);
		CHECK_CMP(have + 3, >=, best);
		test_pool_check(&bed.pool);
		/* Once more: nothing is left to do. */
		CHECK_OK(mhp_compact(bed.pool.m, 0, MHP_ZONE_NORMAL, 0, &result));
		CHECK_EQ(result.nr_huge, 0U);
		CHECK_EQ(free_pageblocks(&bed.pool, bed.kernel), have);
		close_bed(&bed);
	}
}

/* Pages of all orders move as what they are; no pageblock is lost. */
TEST(compact__all_orders__gains_and_keeps_contents)
{
	struct bed bed;
	struct mhp_compact_result result;
	open_bed(&bed, 8);
	CHECK(test_mover_fill(&bed.mover, 3 * bed.pool.block_pages, 4, 0));
	test_mover_thin_out(&bed.mover, 70);
	uint64_t before = free_pageblocks(&bed.pool, bed.kernel);
	CHECK_OK(mhp_compact(bed.pool.m, 0, MHP_ZONE_NORMAL, 0, &result));
	CHECK_CMP(result.nr_huge, >, 0U);
	CHECK_EQ(free_pageblocks(&bed.pool, bed.kernel), before + result.nr_huge);
	test_pool_check(&bed.pool);
	close_bed(&bed);
}

/* Pages that cannot move, or will not, stay where they are, and nothing moves to no avail. */
TEST(compact__unmovable_and_pinned__stay)
{
	struct bed bed;
	struct mhp_compact_result result;
	uint64_t pfn, kept[64], nr_kept = 0;
	open_bed(&bed, 4);
	/* A kernel page in every hundred frames, and a pinned one. */
	struct mhp_page_req req = { .owner = bed.kernel };
	for (unsigned i = 0;; i++) {
		if (i % 100 == 50 && nr_kept < 64 && mhp_page_alloc(bed.pool.m, req, &pfn) == 0)
			kept[nr_kept++] = pfn;
		uint32_t slot = test_mover_alloc(&bed.mover, 0, 0);
		if (slot == TEST_MOVER_NONE)
			break;
		bed.mover.pages[slot].pinned = i % 100 == 0;
	}
	test_mover_thin_out(&bed.mover, 50);
	uint64_t before = free_pageblocks(&bed.pool, bed.kernel);
	CHECK_OK(mhp_compact(bed.pool.m, 0, MHP_ZONE_NORMAL, 0, &result));
	CHECK_EQ(free_pageblocks(&bed.pool, bed.kernel), before + result.nr_huge);
	test_mover_check(&bed.mover);
	test_pool_check(&bed.pool);
	for (uint64_t i = 0; i < nr_kept; i++) {
		CHECK_EQ(mhp_frame_peek(bed.pool.m, kept[i]).owner, bed.kernel);
		CHECK_OK(mhp_page_free(bed.pool.m, kept[i]));
	}
	for (uint32_t slot = 0; slot < bed.mover.nr_slots; slot++)
		bed.mover.pages[slot].pinned = false;
	close_bed(&bed);
}

/* An owner that fails in the middle: what moved has moved, the rest is where it was. */
TEST(compact__owner_fails__nothing_is_lost)
{
	for (unsigned runs = 0; runs < 4; runs++) {
		struct bed bed;
		struct mhp_compact_result result;
		test_at("migrate fails after %u runs", runs);
		open_bed(&bed, 4);
		CHECK(test_mover_fill(&bed.mover, 2 * bed.pool.block_pages, 1, 0));
		test_mover_thin_out(&bed.mover, 60);
		bed.mover.migrate_error = MHP_EIO;
		bed.mover.migrate_times = 5;
		bed.mover.migrate_runs = runs;
		CHECK_OK(mhp_compact(bed.pool.m, 0, MHP_ZONE_NORMAL, 0, &result));
		test_pool_check(&bed.pool);
		close_bed(&bed);
	}
}

/* 200 blocks of one arena each, full of pages of this order. */
static void
open_full(struct test_pool *pool, struct test_mover *mover, unsigned order)
{
	struct mhp_geometry geo = { 12, 2, 3, 3, 1, 2, 200, 0 };
	struct test_pool_opts opts = { .geometry = &geo, .plain = true, .meta_bytes = 16 << 20 };
	struct mhp_add_opts boot = { .flags = MHP_ADD_BOOT | MHP_ADD_ONLINE,
				     .zone = MHP_ZONE_MOVABLE };
	test_pool_open(pool, &opts);
	test_mover_open(mover, pool, 200 * 8 + 1);
	CHECK_OK(mhp_add(pool->m, (struct mhp_blocks){ 0, 200 }, &boot, NULL));
	while (test_mover_alloc(mover, order, 0) != TEST_MOVER_NONE)
		;
}

/* However many full arenas lie between a frame and the gap that it fits in: it gets there. */
TEST(compact__gap_above_many_full_arenas__is_filled)
{
	struct mhp_compact_result result;
	struct test_pool pool;
	struct test_mover mover;
	open_full(&pool, &mover, 0);
	/* Half of two pageblocks, with what is full before and between them. */
	for (uint64_t pfn = 0; pfn < 2; pfn++) {
		test_mover_free(&mover, test_mover_at(&mover, 100 * 8 + pfn));
		test_mover_free(&mover, test_mover_at(&mover, 190 * 8 + pfn));
	}
	CHECK_OK(mhp_compact(pool.m, 0, MHP_ZONE_MOVABLE, 0, &result));
	CHECK_EQ(result.nr_huge, 1U);
	CHECK_EQ(result.nr_moved, 2U);
	CHECK(mhp_frame_peek(pool.m, 100 * 8).state == MHP_FRAME_USED);
	CHECK(mhp_frame_peek(pool.m, 190 * 8).state == MHP_FRAME_FREE);
	test_mover_check(&mover);
	test_pool_check(&pool);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* Pages of higher orders, too, find a gap behind any number of full arenas. */
TEST(compact__gap_for_a_larger_page_far_away__is_filled)
{
	struct mhp_compact_result result;
	struct test_pool pool;
	struct test_mover mover;
	open_full(&pool, &mover, 1);
	test_mover_free(&mover, test_mover_at(&mover, 100 * 8));
	test_mover_free(&mover, test_mover_at(&mover, 190 * 8));
	CHECK_OK(mhp_compact(pool.m, 0, MHP_ZONE_MOVABLE, 0, &result));
	CHECK_EQ(result.nr_moved, 2U);
	CHECK_EQ(result.nr_huge, 1U);
	CHECK(mhp_frame_peek(pool.m, 100 * 8).state == MHP_FRAME_USED);
	CHECK(mhp_frame_peek(pool.m, 190 * 8 + 2).state == MHP_FRAME_FREE);
	test_mover_check(&mover);
	test_pool_check(&pool);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* ---- bounds ---- */

static void
take_time(void *ctx)
{
	mhp_sim_advance(ctx, 100000);
}

/* The deadline ends it, and what was done is told. */
TEST(compact__deadline__ends_it)
{
	struct bed bed;
	struct mhp_compact_result result, rest;
	open_bed(&bed, 16);
	while (test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE)
		;
	test_mover_thin_out(&bed.mover, 70);
	bed.mover.on_migrate = take_time;
	bed.mover.on_migrate_ctx = bed.pool.sim;
	uint64_t before = free_pageblocks(&bed.pool, bed.kernel);
	CHECK_RET(mhp_compact(bed.pool.m, 0, MHP_ZONE_NORMAL, 1, &result), MHP_EAGAIN);
	CHECK_EQ(free_pageblocks(&bed.pool, bed.kernel), before + result.nr_huge);
	test_pool_check(&bed.pool);
	test_mover_check(&bed.mover);
	CHECK_OK(mhp_compact(bed.pool.m, 0, MHP_ZONE_NORMAL, 0, &rest));
	CHECK_CMP(rest.nr_moved, >, 0U);
	close_bed(&bed);
}

/* R17: no such zone; an empty one. */
TEST(compact__no_such_zone__typed_error)
{
	struct bed bed;
	struct mhp_compact_result result;
	open_bed(&bed, 1);
	CHECK_RET(mhp_compact(bed.pool.m, 2, MHP_ZONE_NORMAL, 0, &result), MHP_ENODEV);
	CHECK_RET(mhp_compact(bed.pool.m, 0, MHP_ZONE_DEFAULT, 0, &result), MHP_EINVAL);
	CHECK_OK(mhp_compact(bed.pool.m, 1, MHP_ZONE_MOVABLE, 0, &result));
	CHECK_EQ(result.nr_moved + result.nr_huge, 0U);
	close_bed(&bed);
}

static void
take_two_ms(void *ctx)
{
	mhp_sim_advance(ctx, UINT64_C(2000000));
}

/* R29: a zone of 129 arenas with a gap, in use at both ends: its last page moves to the other end,
 * and with an owner that takes longer than the deadline, the compaction ends before the next
 * arena. */
TEST(compact__many_arenas_and_a_gap__crossed_unless_the_deadline_passes)
{
	struct mhp_geometry geo = { 12, 6, 9, 9, 1, 2, 129, 0 };
	struct mhp_add_opts self = { .flags = SELF | MHP_ADD_ONLINE, .zone = MHP_ZONE_NORMAL };
	for (int late = 0; late < 2; late++) {
		struct test_pool_opts opts = { .geometry = &geo };
		struct mhp_compact_result result;
		struct test_pool pool;
		struct test_mover mover;
		test_at("late %d", late);
		test_pool_open(&pool, &opts);
		test_mover_open(&mover, &pool, 2048);
		CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 1 }, &self, NULL));
		CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 128, 1 }, &self, NULL));
		while (test_mover_alloc(&mover, 0, 0) != TEST_MOVER_NONE)
			;
		for (uint32_t slot = 0; slot < mover.nr_slots; slot++) {
			uint64_t behind = mover.pages[slot].pfn + 1;
			if (mover.pages[slot].live && behind != pool.block_pages &&
			    behind != geo.nr_blocks * pool.block_pages)
				test_mover_free(&mover, slot);
		}
		mover.on_isolate = late ? take_two_ms : NULL;
		mover.on_isolate_ctx = pool.sim;
		CHECK_RET(mhp_compact(pool.m, 0, MHP_ZONE_NORMAL, 1, &result),
			  late ? MHP_EAGAIN : 0);
		/* In time, the lower page moves to the start of its block, too. */
		CHECK_EQ(result.nr_moved, late ? 1U : 2U);
		CHECK_EQ(result.nr_huge, late ? 1U : 2U);
		test_mover_check(&mover);
		test_mover_close(&mover);
		test_pool_empty_and_close(&pool);
	}
}
