/* SPDX-License-Identifier: MIT */
/*
 * block_test.c - the state machine of blocks, what it tells others, and what it adds up to.
 *
 * Everything that the range layer says of a block, in notices, checks for RAM and counters, is held
 * against the usable part: [start + reserve, end). Cycles and failures must leave every counter
 * as it was. Errors come with the state that they left behind.
 */
#include "ledger.h"
#include "mover.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)

static int
add(struct test_pool *pool, uint32_t first, uint32_t count, uint32_t flags,
    struct mhp_add_answer *ret_answer)
{
	struct mhp_add_opts opts = { .flags = flags, .zone = MHP_ZONE_DEFAULT };
	return mhp_add(pool->m, (struct mhp_blocks){ first, count }, &opts, ret_answer);
}

static int
online(struct test_pool *pool, uint32_t first, uint32_t count, unsigned zone,
       struct mhp_why *reterr_why)
{
	return test_online(pool->m, (struct mhp_blocks){ first, count }, zone, reterr_why);
}

static int
take_out(struct test_pool *pool, uint32_t first, uint32_t count)
{
	struct mhp_blocks blocks = { first, count };
	return mhp_remove(pool->m, &blocks, 1, NULL, NULL);
}

/* R69: a block that comes where one has gone is told from it, whatever else is the same. */
TEST(block__gone_and_added_again__is_of_another_generation)
{
	struct mhp_block_info info[3], again;
	struct test_pool pool;
	test_pool_open(&pool, NULL);
	CHECK_OK(add(&pool, 3, 2, SELF, NULL));
	CHECK_OK(add(&pool, 5, 1, SELF, NULL));
	for (uint32_t i = 0; i < 3; i++)
		CHECK_OK(mhp_block_get(pool.m, 3 + i, &info[i]));
	CHECK_EQ(info[0].generation, info[1].generation);
	CHECK_CMP(info[2].generation, >, info[0].generation);
	CHECK_EQ(mhp_generation(pool.m), info[2].generation);
	CHECK_OK(take_out(&pool, 3, 1));
	CHECK_OK(mhp_block_get(pool.m, 3, &again));
	CHECK_EQ(again.generation, 0);
	CHECK_OK(add(&pool, 3, 1, SELF, NULL));
	CHECK_OK(mhp_block_get(pool.m, 3, &again));
	CHECK_CMP(again.generation, >, info[2].generation);
	CHECK_OK(online(&pool, 3, 1, MHP_ZONE_NORMAL, NULL));
	CHECK_OK(mhp_block_get(pool.m, 3, &info[0]));
	CHECK_EQ(info[0].generation, again.generation);
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* R69: the number of a block is not the block: changes can say when their caller looked. */
TEST(block__another_came_in_its_place__as_of_refuses_every_change)
{
	struct test_pool pool;
	struct mhp_why why;
	test_pool_open(&pool, NULL);
	CHECK_OK(add(&pool, 3, 1, SELF, NULL));
	struct mhp *m = pool.m;
	struct mhp_blocks block = { 3, 1 };
	struct mhp_blocks blocks = { 3, 1 };
	struct mhp_step step = { .kind = MHP_STEP_REMOVE, .blocks = blocks };
	struct mhp_offline_opts leave = { .as_of = mhp_generation(m) };
	struct mhp_online_opts come = { .as_of = mhp_generation(m) };

	CHECK_OK(mhp_remove(m, &blocks, 1, &leave, NULL)); /* the one that is meant */
	CHECK_OK(add(&pool, 3, 1, SELF, NULL));
	CHECK_RET(mhp_online(m, &block, 1, &come, &why), MHP_ENODEV);
	CHECK_EQ(why.cause, MHP_CAUSE_STATE);
	CHECK_EQ(why.block, 3);
	CHECK_RET(mhp_remove(m, &blocks, 1, &leave, NULL), MHP_ENODEV);
	come.as_of = mhp_generation(m);
	CHECK_OK(mhp_online(m, &block, 1, &come, NULL));
	CHECK_RET(mhp_offline(m, &block, 1, &leave, NULL), MHP_ENODEV);
	CHECK_RET(mhp_empty(m, &block, 1, &leave, NULL), MHP_ENODEV);
	CHECK_RET(mhp_plan_commit(m, &step, 1, &leave, NULL), MHP_ENODEV);
	leave.dry_run = true;
	CHECK_RET(mhp_remove(m, &blocks, 1, &leave, &why), MHP_ENODEV);
	CHECK_EQ(why.block, 3);
	CHECK_EQ(test_block(&pool, 3).state, MHP_ONLINE);
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* ---- states ---- */

/* R17: each call in each state: it works, or says what is wrong and changes nothing. */
TEST(block__calls_in_wrong_states__typed_errors)
{
	static const struct {
		enum mhp_block_state state;
		int add, online, offline, take_out;
	} cases[] = {
		{ MHP_ABSENT, 0, MHP_ENOENT, MHP_ENOENT, MHP_ENOENT },
		{ MHP_OFFLINE, MHP_EEXIST, 0, MHP_EBUSY, 0 },
		{ MHP_ONLINE, MHP_EEXIST, MHP_EBUSY, 0, 0 },
	};
	for (unsigned i = 0; i < 3; i++)
		for (unsigned call = 0; call < 4; call++) {
			struct mhp_why why = { .block = UINT32_MAX };
			struct test_pool pool;
			struct test_ledger before;
			test_at("state %u, call %u", i, call);
			test_pool_open(&pool, NULL);
			if (cases[i].state != MHP_ABSENT)
				CHECK_OK(add(&pool, 3, 1, SELF, NULL));
			if (cases[i].state == MHP_ONLINE)
				CHECK_OK(online(&pool, 3, 1, MHP_ZONE_NORMAL, NULL));
			test_ledger_take(&pool, &before);
			int want = call == 0 ? cases[i].add :
				   call == 1 ? cases[i].online :
				   call == 2 ? cases[i].offline : cases[i].take_out;
			int have = call == 0 ? add(&pool, 3, 1, SELF, NULL) :
				   call == 1 ? online(&pool, 3, 1, MHP_ZONE_NORMAL, &why) :
				   call == 2 ? mhp_block_offline(pool.m, 3, NULL, &why) :
					       take_out(&pool, 3, 1);
			CHECK_RET(have, want);
			if (want != 0)
				test_ledger_check(&pool, &before);
			if (want != 0 && (call == 1 || call == 2)) {
				CHECK_EQ(why.cause, MHP_CAUSE_STATE);
				CHECK_EQ(why.block, 3U);
			}
			test_pool_empty_and_close(&pool);
		}
}

/* R17: adds that cannot be; the range that is in the way is named. */
TEST(block__malformed_add__typed_error_and_nothing_changed)
{
	struct test_pool_opts opts = { .meta_bytes = 1 << 20 };
	struct test_pool pool;
	struct test_ledger before;
	test_pool_open(&pool, &opts);
	uint64_t block = pool.block_bytes, page = pool.page_bytes;
	uint64_t end = pool.config.geometry.nr_blocks * block;
	const struct {
		uint64_t start, size;
		struct mhp_add_opts opts;
		int error;
		uint64_t conflict, conflict_size;
	} cases[] = {
		{ 0, 0, { 0 }, MHP_EINVAL, 0, 0 },
		{ 0, page, { 0 }, MHP_EINVAL, 0, 0 },
		{ 0, block + page, { 0 }, MHP_EINVAL, 0, 0 },
		{ page, block, { 0 }, MHP_EINVAL, 0, 0 },
		{ 1, block, { 0 }, MHP_EINVAL, 0, 0 },
		{ end, block, { 0 }, MHP_ENXIO, 0, 0 },
		{ end - block, 2 * block, { 0 }, MHP_ENXIO, 0, 0 },
		{ UINT64_MAX - block + 1, block, { 0 }, MHP_ENXIO, 0, 0 },
		{ UINT64_MAX - block + 1, 2 * block, { 0 }, MHP_EOVERFLOW, 0, 0 },
		{ block, UINT64_MAX - block + 1, { 0 }, MHP_ENXIO, 0, 0 },
		{ 0, block, { .flags = 1U << 31 }, MHP_EINVAL, 0, 0 },
		{ 0, block, { .flags = MHP_MEMMAP_REQUIRE }, MHP_EINVAL, 0, 0 },
		{ 0, block, { .flags = SELF | MHP_MEMMAP_ON_NODE }, MHP_EINVAL, 0, 0 },
		{ 0, block, { .flags = MHP_ADD_ONLINE | MHP_ADD_OFFLINE }, MHP_EINVAL, 0, 0 },
		{ 0, block, { .flags = MHP_ADD_ONLINE, .zone = 7 }, MHP_EINVAL, 0, 0 },
		{ 0, block, { .node = 2 }, MHP_ENODEV, 0, 0 },
		{ 0, block, { .node = MHP_NODE_ANY }, MHP_ENODEV, 0, 0 },
		{ 0, block, { .flags = MHP_MEMMAP_ON_NODE, .metadata_node = 9 }, MHP_ENODEV, 0, 0 },
		{ 0, block, { .flags = MHP_MEMMAP_ON_NODE }, MHP_ENOMEM, 0, 0 },
		{ 2 * block, block, { 0 }, MHP_EEXIST, 2 * block, block },
		{ 0, 8 * block, { 0 }, MHP_EEXIST, 2 * block, 2 * block },
		{ 3 * block, 2 * block, { 0 }, MHP_EEXIST, 3 * block, block },
		{ 4 * block, 4 * block, { .flags = SELF }, MHP_EEXIST, 6 * block, block },
	};
	CHECK_OK(add(&pool, 2, 1, SELF, NULL));
	CHECK_OK(add(&pool, 3, 1, 0, NULL));
	CHECK_OK(add(&pool, 6, 1, 0, NULL));
	test_ledger_take(&pool, &before);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mhp_span span = { { cases[i].start }, cases[i].size };
		struct mhp_add_answer answer = { .conflict.size = 0 };
		struct mhp_blocks blocks;
		test_at("case %zu", i);
		int error = mhp_span_blocks(pool.m, span, &blocks);
		if (error == 0)
			error = mhp_add(pool.m, blocks, &cases[i].opts, &answer);
		CHECK_RET(error, cases[i].error);
		CHECK_EQ(answer.conflict.start.addr, cases[i].conflict);
		CHECK_EQ(answer.conflict.size, cases[i].conflict_size);
		test_ledger_check(&pool, &before);
	}
	test_pool_empty_and_close(&pool);
}

/* R17: blocks out of range, no blocks, no such zone. */
TEST(block__malformed_online_and_offline__typed_error_and_nothing_changed)
{
	struct test_pool pool;
	struct test_ledger before;
	test_pool_open(&pool, NULL);
	CHECK_OK(add(&pool, 0, 2, SELF, NULL));
	test_ledger_take(&pool, &before);
	static const struct mhp_blocks bad[] = { { 0, 0 }, { 8, 1 }, { 7, 2 }, { UINT32_MAX, 2 },
						 { 1, UINT32_MAX } };
	for (unsigned i = 0; i < 5; i++) {
		test_at("blocks %u+%u", bad[i].first, bad[i].count);
		int error = bad[i].count == 0 ? MHP_EINVAL : MHP_ENXIO;
		uint64_t used_bytes, free_bytes;
		CHECK_RET(test_online(pool.m, bad[i], MHP_ZONE_NORMAL, NULL), error);
		CHECK_RET(mhp_offline(pool.m, &bad[i], 1, NULL, NULL), error);
		CHECK_RET(mhp_range_usage(pool.m, bad[i], &used_bytes, &free_bytes), error);
	}
	CHECK_RET(mhp_offline(pool.m, bad, 0, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_block_offline(pool.m, 8, NULL, NULL), MHP_ENXIO);
	CHECK_RET(online(&pool, 0, 1, MHP_ZONE_MOVABLE + 1, NULL), MHP_EINVAL);
	CHECK_RET(online(&pool, 0, 1, UINT32_MAX, NULL), MHP_EINVAL);
	CHECK_RET(online(&pool, 0, 3, MHP_ZONE_NORMAL, NULL), MHP_ENOENT);
	test_ledger_check(&pool, &before);
	CHECK_OK(online(&pool, 1, 1, MHP_ZONE_NORMAL, NULL));
	test_ledger_take(&pool, &before);
	CHECK_RET(online(&pool, 0, 2, MHP_ZONE_NORMAL, NULL), MHP_EBUSY);
	struct mhp_blocks twice[] = { { 1, 1 }, { 1, 1 } };
	CHECK_RET(mhp_offline(pool.m, twice, 2, NULL, NULL), MHP_EINVAL);
	struct mhp_blocks mixed[] = { { 1, 1 }, { 0, 1 } };
	CHECK_RET(mhp_offline(pool.m, mixed, 2, NULL, NULL), MHP_EBUSY);
	CHECK_RET(mhp_online(pool.m, mixed, 0, NULL, NULL), MHP_EINVAL);
	test_ledger_check(&pool, &before);
	CHECK_RET(mhp_fini(pool.m), MHP_EBUSY);
	test_pool_empty_and_close(&pool);
}

/* R17 R24: several runs come online as one, by options of zeros where the policy says; if one
 * cannot, none has. */
TEST(online__several_runs__all_or_none)
{
	static const struct mhp_blocks good[] = { { 4, 2 }, { 0, 2 }, { 2, 1 } };
	static const struct mhp_blocks cases[][2] = { { { 0, 2 }, { 3, 1 } },
						      { { 0, 2 }, { 1, 1 } } };
	static const struct mhp_online_opts zeros;
	struct test_ledger before;
	struct test_pool pool;
	test_pool_open(&pool, NULL);
	CHECK_OK(add(&pool, 0, 3, SELF, NULL));
	CHECK_OK(add(&pool, 4, 2, SELF, NULL));
	test_ledger_take(&pool, &before);
	for (unsigned i = 0; i < 2; i++) {
		struct mhp_why why = { .cause = MHP_CAUSE_NONE };
		test_at("case %u", i);
		CHECK_RET(mhp_online(pool.m, cases[i], 2, &zeros, &why),
			  i == 0 ? MHP_ENOENT : MHP_EINVAL);
		CHECK_EQ(why.cause, MHP_CAUSE_STATE);
		CHECK_EQ(why.block, cases[i][1].first);
		test_ledger_check(&pool, &before);
	}
	CHECK_OK(mhp_online(pool.m, good, 3, &zeros, NULL));
	for (uint32_t block = 0; block < 6; block++) {
		CHECK_EQ(test_block(&pool, block).state,
			 (block == 3 ? MHP_ABSENT : MHP_ONLINE));
		CHECK_EQ(test_block(&pool, block).zone,
			 (block == 3 ? MHP_ZONE_DEFAULT : MHP_ZONE_NORMAL));
	}
	test_pool_empty_and_close(&pool);
}

static int
take_a_tenth_of_a_ms(void *ctx, const struct mhp_notice *notice)
{
	(void)notice;
	mhp_sim_advance(ctx, 100000);
	return 0;
}

/* R29: coming online has a deadline of its own, and what was prepared before it is taken back. */
TEST(online__deadline__nothing_changed)
{
	static const struct mhp_online_opts opts = { .deadline_ms = 1 };
	struct mhp_geometry many = test_geometry("tiny2");
	struct test_pool_opts long_range = { .geometry = &many };
	struct mhp_blocks all = { 0, 200 };
	struct mhp_why why = { .cause = MHP_CAUSE_NONE };
	struct test_pool pool;
	uint16_t listener;
	many.nr_blocks = all.count;
	test_pool_open(&pool, &long_range);
	CHECK_OK(add(&pool, all.first, all.count, SELF, NULL));
	CHECK_OK(mhp_listener_add(pool.m, take_a_tenth_of_a_ms, pool.sim, 0, &listener));
	CHECK_RET(mhp_online(pool.m, &all, 1, &opts, &why), MHP_EAGAIN);
	CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
	CHECK_EQ(test_block(&pool, 0).state, MHP_OFFLINE);
	CHECK_EQ(test_block(&pool, all.count - 1).state, MHP_OFFLINE);
	CHECK_OK(mhp_online(pool.m, &all, 1, NULL, NULL));
	CHECK_OK(mhp_listener_remove(pool.m, listener));
	test_pool_empty_and_close(&pool);
}

/* ---- the usable range ---- */

struct heard {
	unsigned nr_of[MHP_NODE_LAST_NOTICE + 1];
	struct mhp_notice last;
	unsigned refuse;           /* so many GOING notices */
	int error;
};

static int
hear(void *ctx, const struct mhp_notice *notice)
{
	struct heard *heard = ctx;
	bool going = notice->kind == MHP_GOING_ONLINE_NOTICE ||
		     notice->kind == MHP_GOING_OFFLINE_NOTICE;
	heard->nr_of[notice->kind]++;
	heard->last = *notice;
	if (!going || heard->refuse == 0)
		return 0;
	heard->refuse--;
	return heard->error;
}

static void
check_notice(const struct heard *heard, const struct test_pool *pool, uint64_t reserve)
{
	CHECK_EQ(heard->last.start_pfn, 2 * pool->block_pages + reserve);
	CHECK_EQ(heard->last.nr_pages, pool->block_pages - reserve);
	CHECK_EQ(heard->last.zone, MHP_ZONE_MOVABLE);
	CHECK_EQ(heard->last.node, 0);
}

/* R15 R16: notices and accounting are about the usable range, on the way in and on the way out. */
TEST(block__usable_range__is_what_others_hear_of)
{
	static const char *const shapes[] = { "tiny1", "tiny2", "tiny8", "small" };
	for (unsigned i = 0; i < 8; i++) {
		struct test_pool_opts opts = { .shape = shapes[i % 4], .meta_bytes = 8 << 20 };
		struct test_pool pool;
		struct heard heard = { .refuse = 0 };
		uint16_t id;
		test_at("shape %s, %s", shapes[i % 4], i < 4 ? "self-hosted" : "external");
		test_pool_open(&pool, &opts);
		CHECK_OK(mhp_listener_add(pool.m, hear, &heard, 0, &id));
		CHECK_OK(add(&pool, 2, 1, i < 4 ? SELF : 0, NULL));
		uint64_t reserve = test_block(&pool, 2).nr_vmemmap_pages;
		CHECK_EQ(reserve != 0, i < 4);
		CHECK_OK(online(&pool, 2, 1, MHP_ZONE_MOVABLE, NULL));
		CHECK_EQ(heard.nr_of[MHP_GOING_ONLINE_NOTICE], 1U);
		CHECK_EQ(heard.nr_of[MHP_ONLINE_NOTICE], 1U);
		check_notice(&heard, &pool, reserve);
		struct mhp_zone_info zone = test_zone(&pool, 0, MHP_ZONE_MOVABLE);
		CHECK_EQ(zone.start_pfn, 2 * pool.block_pages + reserve);
		CHECK_EQ(zone.spanned, pool.block_pages - reserve);
		CHECK_EQ(zone.present, pool.block_pages - reserve);
		CHECK_EQ(zone.managed, pool.block_pages - reserve);
		CHECK_EQ(zone.free, pool.block_pages - reserve);
		CHECK_EQ(zone.nr_blocks, 1U);
		CHECK_EQ(mhp_node_states(pool.m, 0), MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_MOVABLE);
		CHECK_OK(mhp_block_offline(pool.m, 2, NULL, NULL));
		CHECK_EQ(heard.nr_of[MHP_GOING_OFFLINE_NOTICE], 1U);
		CHECK_EQ(heard.nr_of[MHP_OFFLINE_NOTICE], 1U);
		check_notice(&heard, &pool, reserve);
		CHECK_EQ(mhp_node_states(pool.m, 0), 0U);
		CHECK_EQ(test_zone(&pool, 0, MHP_ZONE_MOVABLE).present, 0U);
		CHECK_OK(mhp_listener_remove(pool.m, id));
		test_pool_empty_and_close(&pool);
	}
}

static void
check_hole(struct test_pool *pool, uint64_t page, int error)
{
	struct mhp_phys start = { 2 * pool->block_bytes + page * pool->page_bytes };
	struct mhp_why why = { 0 };
	struct test_ledger before;
	test_ledger_take(pool, &before);
	CHECK(mhp_sim_add_hole(pool->sim, start, pool->page_bytes));
	CHECK_RET(online(pool, 2, 1, MHP_ZONE_NORMAL, &why), error);
	mhp_sim_clear_holes(pool->sim);
	CHECK_EQ(why.cause, error != 0 ? MHP_CAUSE_RAM : MHP_CAUSE_NONE);
	if (error == 0)
		CHECK_OK(mhp_block_offline(pool->m, 2, NULL, NULL));
	else
		CHECK_EQ(why.block, 2U);
	test_ledger_check(pool, &before);
}

/* R16: the check for RAM is about the usable range, and says the same without a reserve. */
TEST(block__hole_in_ram__matters_where_it_is_usable)
{
	for (unsigned self = 0; self < 2; self++) {
		struct test_pool_opts opts = { .shape = "tiny8", .meta_bytes = 1 << 20 };
		struct test_pool pool;
		test_at("self-hosted %u", self);
		test_pool_open(&pool, &opts);
		CHECK_OK(add(&pool, 2, 1, self != 0 ? SELF : 0, NULL));
		uint64_t reserve = test_block(&pool, 2).nr_vmemmap_pages;
		if (reserve != 0) {
			check_hole(&pool, 0, 0);
			check_hole(&pool, reserve - 1, 0);
		}
		check_hole(&pool, reserve, MHP_EINVAL);
		check_hole(&pool, pool.block_pages / 2, MHP_EINVAL);
		check_hole(&pool, pool.block_pages - 1, MHP_EINVAL);
		check_hole(&pool, pool.block_pages, 0);
		test_pool_empty_and_close(&pool);
	}
}

/* R20: a block whose first sections are all reserve does not look absent to one who walks pages. */
TEST(block__sections_of_reserve__are_there_for_a_walker)
{
	struct test_pool_opts opts = { .shape = "tiny8" };
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	uint64_t section = pool.block_pages / 8, first = 2 * pool.block_pages;
	CHECK_EQ(mhp_frame_peek(pool.m, first).state, MHP_FRAME_ABSENT);
	CHECK_OK(add(&pool, 2, 1, SELF, NULL));
	CHECK_EQ(mhp_frame_peek(pool.m, first).state, MHP_FRAME_ABSENT); /* nobody uses it */
	CHECK_OK(online(&pool, 2, 1, MHP_ZONE_NORMAL, NULL));
	uint64_t reserve = test_block(&pool, 2).nr_vmemmap_pages;
	for (uint64_t i = 0; i < pool.block_pages; i++) {
		struct mhp_frame frame = mhp_frame_peek(pool.m, first + i);
		CHECK_EQ(frame.state, i < reserve ? MHP_FRAME_METADATA : MHP_FRAME_FREE);
	}
	if (MHP_PAGE_BYTES == 1024)
		CHECK_CMP(reserve, >=, 2 * section);
	CHECK_OK(take_out(&pool, 2, 1));
	CHECK_EQ(mhp_frame_peek(pool.m, first).state, MHP_FRAME_ABSENT);
	test_pool_close(&pool);
}

/* ---- accounting ---- */

/* R20: the resource and its metadata count from add to remove, pages from online to offline. */
TEST(block__counters__begin_and_end_where_they_should)
{
	struct test_pool_opts opts = { .meta_bytes = 1 << 20 };
	struct mhp_stats stats;
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	CHECK_OK(add(&pool, 0, 2, SELF, NULL));
	CHECK_OK(add(&pool, 2, 1, 0, NULL));
	mhp_get_stats(pool.m, &stats);
	CHECK_EQ(stats.blocks_present, 3U);
	CHECK_EQ(stats.blocks_online, 0U);
	uint64_t bytes = 2 * test_block(&pool, 0).metadata_bytes +
			 test_block(&pool, 2).metadata_bytes;
	CHECK_EQ(stats.metadata_bytes, bytes);
	CHECK_EQ(test_zone(&pool, 0, MHP_ZONE_NORMAL).present, 0U);
	CHECK_OK(online(&pool, 0, 3, MHP_ZONE_NORMAL, NULL));
	mhp_get_stats(pool.m, &stats);
	CHECK_EQ(stats.blocks_online, 3U);
	CHECK_EQ(stats.metadata_bytes, bytes);
	struct mhp_zone_info zone = test_zone(&pool, 0, MHP_ZONE_NORMAL);
	uint64_t reserve = test_block(&pool, 0).nr_vmemmap_pages;
	CHECK_EQ(zone.present, 3 * pool.block_pages - 2 * reserve);
	CHECK_EQ(zone.spanned, 3 * pool.block_pages - reserve);
	CHECK_OK(mhp_block_offline(pool.m, 0, NULL, NULL));
	zone = test_zone(&pool, 0, MHP_ZONE_NORMAL);
	CHECK_EQ(zone.start_pfn, pool.block_pages + reserve);
	CHECK_EQ(zone.spanned, 2 * pool.block_pages - reserve);
	CHECK_OK(take_out(&pool, 2, 1));
	zone = test_zone(&pool, 0, MHP_ZONE_NORMAL);
	CHECK_EQ(zone.spanned, pool.block_pages - reserve);
	mhp_get_stats(pool.m, &stats);
	CHECK_EQ(stats.blocks_present, 2U);
	CHECK_EQ(stats.metadata_bytes, 2 * test_block(&pool, 0).metadata_bytes);
	test_pool_empty_and_close(&pool);
}

/* One turn: some blocks of three kinds come, are used, go; a failure of each kind on the way. */
static void
cycle(struct test_pool *pool, struct test_mover *mover)
{
	struct mhp_blocks both[] = { { 2, 1 }, { 4, 1 } };
	CHECK_OK(add(pool, 2, 2, SELF, NULL));
	CHECK_OK(add(pool, 4, 1, 0, NULL));
	CHECK_OK(online(pool, 2, 3, MHP_ZONE_MOVABLE, NULL));
	CHECK(test_mover_fill(mover, pool->block_pages / 2, 1, 0));
	/* Data that lies in one of them is pinned at first. */
	uint64_t pfn, other;
	if (test_mover_in(mover, 2 * pool->block_pages, 3 * pool->block_pages, &pfn) == 0)
		(void)test_mover_in(mover, 4 * pool->block_pages, 5 * pool->block_pages, &pfn);
	uint32_t slot = test_mover_at(mover, pfn);
	if (slot != TEST_MOVER_NONE) {
		mover->pages[slot].pinned = true;
		CHECK_RET(mhp_offline(pool->m, both, 2, NULL, NULL), MHP_EBUSY);
		mover->pages[slot].pinned = false;
	}
	CHECK_OK(mhp_offline(pool->m, both, 2, NULL, NULL));
	CHECK_EQ(test_mover_in(mover, 2 * pool->block_pages, 3 * pool->block_pages, &other), 0U);
	CHECK_OK(online(pool, 2, 1, MHP_ZONE_NORMAL, NULL));
	CHECK_RET(add(pool, 4, 2, SELF, NULL), MHP_EEXIST);
	test_mover_check(mover);
	CHECK_OK(take_out(pool, 3, 2));
	test_mover_free_all(mover);
	CHECK_OK(take_out(pool, 2, 1));
}

/* R20: after any number of cycles every counter is as it was. */
TEST(block__cycles__leave_every_counter_as_it_was)
{
	struct test_pool_opts opts = { .meta_bytes = 1 << 20 };
	struct test_pool pool;
	struct test_mover mover;
	struct test_ledger before, now;
	test_pool_open(&pool, &opts);
	test_mover_open(&mover, &pool, 1024);
	CHECK_OK(add(&pool, 0, 2, SELF | MHP_ADD_ONLINE, NULL));
	CHECK_OK(add(&pool, 6, 1, MHP_ADD_OFFLINE, NULL));
	test_ledger_take(&pool, &before);
	for (uint64_t i = test_ops(300); i > 0; i--) {
		test_at("%" PRIu64 " cycles to go", i);
		cycle(&pool, &mover);
		test_pool_check(&pool);
		test_ledger_take(&pool, &now);
		before.stats.pages_moved = now.stats.pages_moved;
		test_ledger_check(&pool, &before);
	}
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* ---- adding and coming online in one ---- */

/* R22: a combined add that cannot come online adds nothing. */
TEST(block__add_and_online_refused__nothing_is_added)
{
	struct test_pool pool;
	struct test_ledger before;
	struct heard heard = { .error = MHP_EBUSY };
	uint16_t id;
	test_pool_open(&pool, NULL);
	CHECK_OK(mhp_listener_add(pool.m, hear, &heard, 0, &id));
	test_ledger_take(&pool, &before);
	/* The third of three: two had been told already. */
	CHECK_OK(add(&pool, 5, 1, SELF, NULL));
	CHECK_OK(take_out(&pool, 5, 1));
	for (unsigned nr = 1; nr <= 3; nr++) {
		struct mhp_phys hole = { nr * pool.block_bytes };
		test_at("block %u of 3 is no RAM", nr);
		CHECK(mhp_sim_add_hole(pool.sim, hole, pool.block_bytes));
		CHECK_RET(add(&pool, 1, 3, SELF | MHP_ADD_ONLINE, NULL), MHP_EINVAL);
		mhp_sim_clear_holes(pool.sim);
		test_ledger_check(&pool, &before);
		CHECK_EQ(heard.nr_of[MHP_GOING_ONLINE_NOTICE],
			 heard.nr_of[MHP_CANCEL_ONLINE_NOTICE]);
	}
	heard.refuse = 1;
	CHECK_RET(add(&pool, 1, 3, SELF | MHP_ADD_ONLINE, NULL), MHP_EBUSY);
	test_ledger_check(&pool, &before);
	CHECK_OK(add(&pool, 1, 3, SELF | MHP_ADD_ONLINE, NULL));
	CHECK_EQ(test_block(&pool, 3).state, MHP_ONLINE);
	CHECK_EQ(heard.nr_of[MHP_ONLINE_NOTICE], 3U);
	test_pool_empty_and_close(&pool);
}

static void
set_auto_online(struct test_pool *pool, enum mhp_auto_online value, uint32_t attempts)
{
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	policy.auto_online = value;
	policy.auto_online_attempts = attempts;
	CHECK_OK(mhp_set_policy(pool->m, &policy));
}

/* R22: the four settings of auto-online, and an add that overrules them. */
TEST(block__auto_online__follows_the_policy)
{
	static const struct {
		enum mhp_auto_online value;
		enum mhp_block_state state;
		uint8_t zone;
	} cases[] = {
		{ MHP_AUTO_OFFLINE, MHP_OFFLINE, MHP_ZONE_DEFAULT },
		{ MHP_AUTO_ONLINE, MHP_ONLINE, MHP_ZONE_NORMAL },
		{ MHP_AUTO_ONLINE_KERNEL, MHP_ONLINE, MHP_ZONE_NORMAL },
		{ MHP_AUTO_ONLINE_MOVABLE, MHP_ONLINE, MHP_ZONE_MOVABLE },
	};
	for (unsigned i = 0; i < 4; i++) {
		struct mhp_add_answer answer;
		struct test_pool pool;
		test_at("auto-online %u", i);
		test_pool_open(&pool, NULL);
		set_auto_online(&pool, cases[i].value, 0);
		CHECK_OK(add(&pool, 1, 2, SELF, &answer));
		CHECK_EQ(answer.online_error, 0);
		CHECK_EQ(test_block(&pool, 2).state, cases[i].state);
		CHECK_EQ(test_block(&pool, 2).zone, cases[i].zone);
		CHECK_OK(add(&pool, 4, 1, SELF | MHP_ADD_OFFLINE, NULL));
		CHECK_EQ(test_block(&pool, 4).state, MHP_OFFLINE);
		test_pool_empty_and_close(&pool);
	}
}

/* R22: auto-online tries a bounded number of times, says so, and leaves the memory offline. */
TEST(block__auto_online_refused__bounded_retry)
{
	struct mhp_add_answer answer;
	struct mhp_stats stats;
	struct test_pool pool;
	struct heard heard = { .error = MHP_EAGAIN };
	uint16_t id;
	test_pool_open(&pool, NULL);
	CHECK_OK(mhp_listener_add(pool.m, hear, &heard, 0, &id));
	set_auto_online(&pool, MHP_AUTO_ONLINE, 4);
	heard.refuse = 3;
	CHECK_OK(add(&pool, 0, 1, SELF, &answer));
	CHECK_EQ(answer.online_error, 0);
	CHECK_EQ(test_block(&pool, 0).state, MHP_ONLINE);
	mhp_get_stats(pool.m, &stats);
	CHECK_EQ(stats.auto_online_retries, 3U);
	heard.refuse = 100;
	CHECK_OK(add(&pool, 1, 1, SELF, &answer));
	CHECK_RET(answer.online_error, MHP_EAGAIN);
	CHECK_EQ(test_block(&pool, 1).state, MHP_OFFLINE);
	CHECK_EQ(heard.refuse, 96U);
	mhp_get_stats(pool.m, &stats);
	CHECK_EQ(stats.auto_online_retries, 6U);
	test_pool_check(&pool);
	heard.refuse = 0;
	CHECK_OK(online(&pool, 1, 1, MHP_ZONE_DEFAULT, NULL));
	test_pool_empty_and_close(&pool);
}

/* ---- looking ---- */

/* Ranges of like blocks cover everything, and each is as long as it can be. */
TEST(block__ranges__cover_all_blocks)
{
	struct test_pool_opts opts = { .meta_bytes = 1 << 20 };
	struct mhp_blocks range = { 0, 0 };
	struct mhp_block_info info;
	struct test_pool pool;
	static const uint32_t starts[] = { 0, 1, 3, 4, 5, 6 };
	unsigned nr = 0;
	test_pool_open(&pool, &opts);
	CHECK_OK(add(&pool, 1, 3, SELF, NULL));
	CHECK_OK(online(&pool, 3, 1, MHP_ZONE_MOVABLE, NULL));
	CHECK_OK(add(&pool, 5, 1, 0, NULL));
	for (uint32_t block = 0; mhp_range_get(pool.m, block, &range) == 0;
	     block = range.first + range.count) {
		CHECK_CMP(nr, <, 6U);
		CHECK_EQ(range.first, starts[nr]);
		nr++;
	}
	CHECK_EQ(nr, 6U);
	CHECK_EQ(range.first + range.count, 8U);
	CHECK_RET(mhp_range_get(pool.m, 8, &range), MHP_ENXIO);
	CHECK_RET(mhp_range_get(pool.m, UINT32_MAX, &range), MHP_ENXIO);
	CHECK_RET(mhp_block_get(pool.m, 8, &info), MHP_ENXIO);
	test_pool_empty_and_close(&pool);
}

/* R49: what there is of blocks that are no range, or none, or partly beyond the end. */
TEST(block__usage_of_odd_ranges__summed_or_refused)
{
	uint64_t used_bytes, free_bytes, more_bytes;
	struct test_pool pool;
	test_pool_open(&pool, NULL);
	CHECK_OK(add(&pool, 1, 5, SELF, NULL));
	CHECK_OK(online(&pool, 2, 2, MHP_ZONE_MOVABLE, NULL));
	CHECK_OK(mhp_range_usage(pool.m, (struct mhp_blocks){ 2, 2 }, &used_bytes, &free_bytes));
	CHECK_EQ(used_bytes, 0U);
	CHECK_CMP(free_bytes, >, 0U);
	CHECK_OK(mhp_range_usage(pool.m, (struct mhp_blocks){ 0, 8 }, &used_bytes, &more_bytes));
	CHECK_EQ(more_bytes, free_bytes);
	CHECK_OK(mhp_range_usage(pool.m, (struct mhp_blocks){ 3, 5 }, &used_bytes, &more_bytes));
	CHECK_EQ(2 * more_bytes, free_bytes);
	CHECK_OK(mhp_range_usage(pool.m, (struct mhp_blocks){ 4, 2 }, &used_bytes, &more_bytes));
	CHECK_EQ(used_bytes + more_bytes, 0U);
	CHECK_RET(mhp_range_usage(pool.m, (struct mhp_blocks){ 3, 0 }, &used_bytes, &more_bytes),
		  MHP_EINVAL);
	CHECK_RET(mhp_range_usage(pool.m, (struct mhp_blocks){ 7, 2 }, &used_bytes, &more_bytes),
		  MHP_ENXIO);
	test_pool_empty_and_close(&pool);
}

struct told {
	uint64_t nr, last_time;
	uint64_t nr_of[MHP_EV_KINDS];
	bool gap;
};

static void
tell(void *ctx, const struct mhp_event *event)
{
	struct told *told = ctx;
	told->gap |= event->seq != ++told->nr || event->time_ns < told->last_time;
	told->last_time = event->time_ns;
	told->nr_of[event->kind]++;
}

/* Events are numbered without gaps, and counted as they are told. */
TEST(block__events__have_no_gaps)
{
	struct told told = { 0 };
	struct test_pool_opts opts = { .trace = tell, .trace_ctx = &told };
	struct mhp_stats stats;
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	CHECK_OK(add(&pool, 0, 2, SELF | MHP_ADD_ONLINE, NULL));
	CHECK_RET(add(&pool, 1, 2, SELF, NULL), MHP_EEXIST);
	CHECK_RET(online(&pool, 0, 1, MHP_ZONE_NORMAL, NULL), MHP_EBUSY);
	CHECK_OK(mhp_block_offline(pool.m, 0, NULL, NULL));
	CHECK_OK(take_out(&pool, 0, 2));
	mhp_get_stats(pool.m, &stats);
	CHECK(!told.gap);
	CHECK_MEM(told.nr_of, stats.events, sizeof(stats.events));
	CHECK_EQ(told.nr_of[MHP_EV_ADD], 1U);
	CHECK_EQ(told.nr_of[MHP_EV_ADD_FAILED], 1U);
	CHECK_EQ(told.nr_of[MHP_EV_ONLINE], 1U);
	CHECK_EQ(told.nr_of[MHP_EV_ONLINE_FAILED], 1U);
	CHECK_EQ(told.nr_of[MHP_EV_OFFLINE_START], 2U);
	CHECK_EQ(told.nr_of[MHP_EV_OFFLINE], 2U);
	CHECK_CMP(told.nr_of[MHP_EV_REMOVE], >=, 1U);
	test_pool_close(&pool);
}
