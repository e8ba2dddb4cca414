/* SPDX-License-Identifier: MIT */
/*
 * errors_test.c - one cause has one error, whichever call meets it.
 *
 * A case is a cause, and makes every call that can meet it. A caller who has learned what an error
 * means from one header needs no second look at another. Nothing may have changed afterwards.
 */
#include "ledger.h"
#include "mover.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)

/* Blocks 0 to 3 are online on node 0, 4 is offline, 5 is absent; metadata of 4 is on node 0. */
struct bed {
	struct test_pool pool;
	struct mhp *m;
	uint16_t owner;
	uint32_t nr_blocks;
	uint64_t pfn, metadata_pfn;    /* a page of order 3, and one of the engine's */
	struct test_ledger before;
};

static struct mhp_page_req
request(const struct bed *bed)
{
	return (struct mhp_page_req){ .owner = bed->owner };
}

static uint64_t
find_metadata(struct bed *bed)
{
	uint64_t pfn = 0;

	while (mhp_frame_peek(bed->m, pfn).owner != MHP_OWNER_MEMMAP)
		CHECK_CMP(++pfn, <, 4 * bed->pool.block_pages);
	return pfn;
}

static void
open_bed(struct bed *bed)
{
	struct mhp_add_opts online = { .flags = SELF | MHP_ADD_ONLINE, .zone = MHP_ZONE_NORMAL };
	struct mhp_add_opts on_node = { .flags = MHP_MEMMAP_ON_NODE | MHP_ADD_OFFLINE };
	struct mhp_page_req req;

	test_pool_open(&bed->pool, &(struct test_pool_opts){ .shape = "small" });
	bed->m = bed->pool.m;
	bed->nr_blocks = bed->pool.config.geometry.nr_blocks;
	CHECK_OK(mhp_owner_register(bed->m, "errors", NULL, NULL, &bed->owner));
	CHECK_OK(mhp_add(bed->m, (struct mhp_blocks){ 0, 4 }, &online, NULL));
	CHECK_OK(mhp_add(bed->m, (struct mhp_blocks){ 4, 1 }, &on_node, NULL));
	bed->metadata_pfn = find_metadata(bed);
	req = request(bed);
	req.order = 3;
	CHECK_OK(mhp_page_alloc(bed->m, req, &bed->pfn));
	test_ledger_take(&bed->pool, &bed->before);
}

static void
close_bed(struct bed *bed)
{
	test_ledger_check(&bed->pool, &bed->before);
	CHECK_OK(mhp_page_free(bed->m, bed->pfn));
	test_pool_empty_and_close(&bed->pool);
}

/* ---- calls that name blocks ---- */

/* The calls that change blocks that must be there, of which the first is at fault. */
static void
check_changes(struct bed *bed, struct mhp_blocks blocks, uint64_t as_of, int error)
{
	struct mhp_offline_opts opts = { .as_of = as_of };
	struct mhp_offline_opts dry = { .as_of = as_of, .dry_run = true };
	struct mhp_online_opts online = { .as_of = as_of };

	CHECK_RET(mhp_online(bed->m, &blocks, 1, &online, NULL), error);
	CHECK_RET(mhp_offline(bed->m, &blocks, 1, &opts, NULL), error);
	CHECK_RET(mhp_offline(bed->m, &blocks, 1, &dry, NULL), error);
	CHECK_RET(mhp_empty(bed->m, &blocks, 1, &opts, NULL), error);
	CHECK_RET(mhp_remove(bed->m, &blocks, 1, &opts, NULL), error);
	CHECK_RET(mhp_remove(bed->m, &blocks, 1, &dry, NULL), error);
}

static void
check_plan(struct bed *bed, enum mhp_step_kind kind, struct mhp_blocks blocks, uint64_t as_of,
	   int error)
{
	struct mhp_step step = { .kind = kind, .blocks = blocks, .add = { .flags = SELF } };
	struct mhp_offline_opts opts = { .as_of = as_of };
	struct mhp_plan_answer answer;

	test_at("plan of kind %d", (int)kind);
	CHECK_RET(mhp_plan_commit(bed->m, &step, 1, &opts, &answer), error);
	if (as_of == 0)
		CHECK_RET(mhp_plan_preview(bed->m, &step, 1, &answer), error);
	CHECK_EQ(answer.failed_step, 0U);
}

/* R17 */
TEST(errors__beyond_the_last_block__enxio)
{
	struct bed bed;
	struct mhp_block_info info;
	struct mhp_blocks range;
	struct mhp_foresight foresight;
	uint64_t used, nr_free, pfn;

	open_bed(&bed);
	struct mhp_blocks beyond = { bed.nr_blocks, 1 };
	uint64_t max_pfn = bed.nr_blocks * bed.pool.block_pages;
	check_changes(&bed, beyond, 0, MHP_ENXIO);
	for (int kind = MHP_STEP_ADD; kind <= MHP_STEP_REMOVE; kind++)
		check_plan(&bed, (enum mhp_step_kind)kind, beyond, 0, MHP_ENXIO);
	CHECK_RET(mhp_add(bed.m, beyond, NULL, NULL), MHP_ENXIO);
	struct mhp_span span = { { bed.nr_blocks * bed.pool.block_bytes }, bed.pool.block_bytes };
	CHECK_RET(mhp_span_blocks(bed.m, span, &range), MHP_ENXIO);
	CHECK_RET(mhp_block_online(bed.m, beyond.first, NULL, NULL), MHP_ENXIO);
	CHECK_RET(mhp_block_offline(bed.m, beyond.first, NULL, NULL), MHP_ENXIO);
	CHECK_RET(mhp_block_get(bed.m, beyond.first, &info), MHP_ENXIO);
	CHECK_RET(mhp_range_get(bed.m, beyond.first, &range), MHP_ENXIO);
	CHECK_RET(mhp_range_usage(bed.m, beyond, &used, &nr_free), MHP_ENXIO);
	CHECK_RET(mhp_bad_add(bed.m, max_pfn), MHP_ENXIO);
	CHECK_RET(mhp_bad_remove(bed.m, max_pfn), MHP_ENXIO);
	CHECK_RET(mhp_policy_foresee(bed.m, 0, max_pfn, 1, &foresight), MHP_ENXIO);
	CHECK_RET(mhp_pages_alloc_within(bed.m, request(&bed), 1, 0, max_pfn + 1, &pfn), MHP_ENXIO);
	close_bed(&bed);
}

/* R17 */
TEST(errors__nothing_named__einval)
{
	struct bed bed;
	struct mhp_foresight foresight;
	struct mhp_blocks none = { 0, 0 }, blocks;
	uint64_t used, nr_free, pfn;

	open_bed(&bed);
	check_changes(&bed, none, 0, MHP_EINVAL);
	for (int kind = MHP_STEP_ADD; kind <= MHP_STEP_REMOVE; kind++)
		check_plan(&bed, (enum mhp_step_kind)kind, none, 0, MHP_EINVAL);
	CHECK_RET(mhp_add(bed.m, none, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_span_blocks(bed.m, (struct mhp_span){ { 0 }, 0 }, &blocks), MHP_EINVAL);
	CHECK_RET(mhp_online(bed.m, NULL, 0, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_offline(bed.m, NULL, 0, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_empty(bed.m, NULL, 0, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_remove(bed.m, NULL, 0, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_range_usage(bed.m, none, &used, &nr_free), MHP_EINVAL);
	CHECK_RET(mhp_policy_foresee(bed.m, 0, 0, 0, &foresight), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc(bed.m, request(&bed), 0, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc_contig(bed.m, request(&bed), 0, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc_within(bed.m, request(&bed), 0, 0, 8, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_free_contig(bed.m, bed.pfn, 0), MHP_EINVAL);
	close_bed(&bed);
}

/* R17: part of a block; a range that wraps. */
TEST(errors__malformed_range__einval_or_eoverflow)
{
	struct mhp_blocks blocks;
	struct bed bed;

	open_bed(&bed);
	uint64_t block = bed.pool.block_bytes;
	struct mhp_span part = { { 0 }, block + 1 }, shifted = { { 1 }, block };
	struct mhp_span wraps = { { UINT64_MAX - block + 1 }, 2 * block };
	const struct { struct mhp_span span; int error; } cases[] = {
		{ part, MHP_EINVAL }, { shifted, MHP_EINVAL }, { wraps, MHP_EOVERFLOW },
	};
	for (unsigned i = 0; i < 3; i++) {
		test_at("case %u", i);
		CHECK_RET(mhp_span_blocks(bed.m, cases[i].span, &blocks), cases[i].error);
	}
	close_bed(&bed);
}

/* R17 R69: absent; younger than the caller's look; named twice. */
TEST(errors__not_the_block_that_is_meant__enoent_enodev_einval)
{
	struct bed bed;

	open_bed(&bed);
	struct mhp_blocks absent = { 5, 1 };
	struct mhp_blocks younger = { 4, 1 };
	check_changes(&bed, absent, 0, MHP_ENOENT);
	check_changes(&bed, younger, 1, MHP_ENODEV);
	for (int kind = MHP_STEP_ONLINE; kind <= MHP_STEP_REMOVE; kind++) {
		check_plan(&bed, (enum mhp_step_kind)kind, absent, 0, MHP_ENOENT);
		check_plan(&bed, (enum mhp_step_kind)kind, younger, 1, MHP_ENODEV);
	}
	/* What the plan adds itself is meant. */
	struct mhp_step steps[] = { { .kind = MHP_STEP_ADD, .blocks = absent,
				      .add = { .flags = SELF } },
				    { .kind = MHP_STEP_ONLINE, .blocks = absent } };
	CHECK_OK(mhp_plan_commit(bed.m, steps, 2, &(struct mhp_offline_opts){ .as_of = 1 }, NULL));
	CHECK_OK(mhp_remove(bed.m, &absent, 1, NULL, NULL));
	struct mhp_blocks twice[] = { { 4, 1 }, { 4, 1 } }, online[] = { { 0, 2 }, { 1, 1 } };
	CHECK_RET(mhp_online(bed.m, twice, 2, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_offline(bed.m, online, 2, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_empty(bed.m, online, 2, NULL, NULL), MHP_EINVAL);
	CHECK_RET(mhp_remove(bed.m, online, 2, NULL, NULL), MHP_EINVAL);
	close_bed(&bed);
}

/* ---- calls that name nodes and zones ---- */

/* R17 */
TEST(errors__no_such_node__enodev)
{
	struct mhp_add_opts add = { .node = 2 };
	struct mhp_add_opts on_node = { .flags = MHP_MEMMAP_ON_NODE, .metadata_node = 2 };
	struct mhp_compact_result result;
	struct mhp_foresight foresight;
	struct mhp_zone_info zone;
	struct bed bed;
	uint64_t pfn;

	open_bed(&bed);
	struct mhp_page_req req = request(&bed);
	req.node = 2;
	req.flags = MHP_PAGE_NODE;
	CHECK_RET(mhp_add(bed.m, (struct mhp_blocks){ 5, 1 }, &add, NULL), MHP_ENODEV);
	CHECK_RET(mhp_add(bed.m, (struct mhp_blocks){ 5, 1 }, &on_node, NULL), MHP_ENODEV);
	CHECK_RET(mhp_zone_get(bed.m, 2, MHP_ZONE_NORMAL, &zone), MHP_ENODEV);
	CHECK_RET(mhp_compact(bed.m, 2, MHP_ZONE_NORMAL, 0, &result), MHP_ENODEV);
	CHECK_RET(mhp_set_cpu_node(bed.m, 0, 2), MHP_ENODEV);
	CHECK_RET(mhp_policy_foresee(bed.m, 2, 0, 1, &foresight), MHP_ENODEV);
	CHECK_RET(mhp_page_alloc(bed.m, req, &pfn), MHP_ENODEV);
	CHECK_RET(mhp_pages_alloc(bed.m, req, 1, &pfn), MHP_ENODEV);
	CHECK_RET(mhp_pages_alloc_contig(bed.m, req, 1, &pfn), MHP_ENODEV);
	CHECK_RET(mhp_pages_alloc_within(bed.m, req, 1, 0, 8, &pfn), MHP_ENODEV);
	close_bed(&bed);
}

/* R17 */
TEST(errors__no_such_zone__einval)
{
	unsigned zone = MHP_ZONE_MOVABLE + 1;
	struct mhp_add_opts add = { .flags = SELF | MHP_ADD_ONLINE, .zone = (uint8_t)zone };
	struct mhp_compact_result result;
	struct mhp_zone_info info;
	struct bed bed;

	open_bed(&bed);
	struct mhp_step step = { .kind = MHP_STEP_ONLINE, .blocks = { 4, 1 },
				 .zone = (uint8_t)zone };
	struct mhp_plan_answer answer;
	CHECK_RET(mhp_add(bed.m, (struct mhp_blocks){ 5, 1 }, &add, NULL), MHP_EINVAL);
	CHECK_RET(test_online(bed.m, (struct mhp_blocks){ 4, 1 }, zone, NULL), MHP_EINVAL);
	CHECK_RET(mhp_plan_commit(bed.m, &step, 1, NULL, &answer), MHP_EINVAL);
	CHECK_RET(mhp_plan_preview(bed.m, &step, 1, &answer), MHP_EINVAL);
	CHECK_RET(mhp_zone_get(bed.m, 0, (enum mhp_zone_kind)zone, &info), MHP_EINVAL);
	CHECK_RET(mhp_compact(bed.m, 0, (enum mhp_zone_kind)zone, 0, &result), MHP_EINVAL);
	close_bed(&bed);
}

/* ---- calls that name pages ---- */

/* R17: a cookie of more bits than there are. */
TEST(errors__cookie_too_large__eoverflow)
{
	uint64_t cookies[8] = { 0, 0, 0, 0, 0, 0, 0, MHP_COOKIE_MAX + 1 }, pfn;
	struct bed bed;

	open_bed(&bed);
	struct mhp_page_req req = request(&bed);
	req.cookie = MHP_COOKIE_MAX + 1;
	CHECK_RET(mhp_page_alloc(bed.m, req, &pfn), MHP_EOVERFLOW);
	CHECK_RET(mhp_pages_alloc(bed.m, req, 1, &pfn), MHP_EOVERFLOW);
	CHECK_RET(mhp_pages_alloc_contig(bed.m, req, 1, &pfn), MHP_EOVERFLOW);
	CHECK_RET(mhp_pages_alloc_within(bed.m, req, 1, 0, 8, &pfn), MHP_EOVERFLOW);
	CHECK_RET(mhp_page_set_cookie(bed.m, bed.pfn, req.cookie), MHP_EOVERFLOW);
	CHECK_RET(mhp_page_split(bed.m, bed.pfn, 0, cookies), MHP_EOVERFLOW);
	CHECK_EQ(mhp_frame_peek(bed.m, bed.pfn).order, 3U);
	close_bed(&bed);
}

static void
check_page_calls(struct bed *bed, uint64_t pfn, int error)
{
	CHECK_RET(mhp_page_free(bed->m, pfn), error);
	CHECK_RET(mhp_page_free_owned(bed->m, bed->owner, pfn), error);
	CHECK_RET(mhp_pages_free(bed->m, &pfn, 1), error);
	CHECK_RET(mhp_pages_free_contig(bed->m, pfn, 1), error);
	CHECK_RET(mhp_page_split(bed->m, pfn, 0, NULL), error);
	CHECK_RET(mhp_page_set_cookie(bed->m, pfn, 7), error);
}

/* R17: a tail, which a look calls one; a free frame; one of a reserve; of blocks that are
 * offline, absent, beyond the last; the engine's own. */
TEST(errors__not_a_page_of_the_callers__einval_or_ebusy)
{
	struct bed bed;

	open_bed(&bed);
	uint64_t block = bed.pool.block_pages;
	const struct { enum mhp_frame_state state; uint64_t pfn; int error; } cases[] = {
		{ MHP_FRAME_TAIL, bed.pfn + 1, MHP_EINVAL },
		{ MHP_FRAME_TAIL, bed.pfn + 7, MHP_EINVAL },
		{ MHP_FRAME_FREE, 4 * block - 1, MHP_EINVAL },
		{ MHP_FRAME_METADATA, 0, MHP_EINVAL },
		{ MHP_FRAME_ABSENT, 4 * block + 9, MHP_EINVAL },
		{ MHP_FRAME_ABSENT, 5 * block + 9, MHP_EINVAL },
		{ MHP_FRAME_ABSENT, bed.nr_blocks * block, MHP_EINVAL },
		{ MHP_FRAME_ABSENT, UINT64_MAX, MHP_EINVAL },
		{ MHP_FRAME_USED, bed.metadata_pfn, MHP_EBUSY },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		test_at("case %u", i);
		CHECK_EQ(mhp_frame_peek(bed.m, cases[i].pfn).state, cases[i].state);
		check_page_calls(&bed, cases[i].pfn, cases[i].error);
	}
	close_bed(&bed);
}

/* ---- calls from where they may not come ---- */

/* What a listener or an owner's function gets: everything about pages, nothing about blocks. */
static void
call_back(void *ctx)
{
	struct bed *bed = ctx;
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	struct mhp_compact_result result;
	struct mhp_page_req req = request(bed);
	struct mhp_block_info info;
	struct mhp_plan_answer answer;
	struct mhp_step step = { .kind = MHP_STEP_REMOVE, .blocks = { 4, 1 } };
	uint64_t pfn, pfns[4];
	uint16_t id;

	check_changes(bed, (struct mhp_blocks){ 4, 1 }, 0, MHP_EDEADLK);
	CHECK_RET(mhp_add(bed->m, (struct mhp_blocks){ 5, 1 }, NULL, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_plan_commit(bed->m, &step, 1, NULL, &answer), MHP_EDEADLK);
	CHECK_RET(mhp_plan_preview(bed->m, &step, 1, &answer), MHP_EDEADLK);
	CHECK_RET(mhp_compact(bed->m, 0, MHP_ZONE_NORMAL, 0, &result), MHP_EDEADLK);
	CHECK_RET(mhp_bad_add(bed->m, 1), MHP_EDEADLK);
	CHECK_RET(mhp_bad_remove(bed->m, 1), MHP_EDEADLK);
	CHECK_RET(mhp_set_policy(bed->m, &policy), MHP_EDEADLK);
	CHECK_RET(mhp_set_memmap_on_memory(bed->m, MHP_MEMMAP_ON), MHP_EDEADLK);
	CHECK_RET(mhp_owner_register(bed->m, "late", NULL, NULL, &id), MHP_EDEADLK);
	CHECK_RET(mhp_owner_set_lost(bed->m, bed->owner, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_owner_unregister(bed->m, bed->owner), MHP_EDEADLK);
	CHECK_RET(mhp_listener_remove(bed->m, 0), MHP_EDEADLK);
	CHECK_RET(mhp_listener_set_name(bed->m, 0, "late"), MHP_EDEADLK);
	CHECK_RET(mhp_fini(bed->m), MHP_EDEADLK);

	CHECK_OK(mhp_block_get(bed->m, 0, &info));
	CHECK_OK(mhp_page_alloc(bed->m, req, &pfn));
	CHECK_EQ(mhp_frame_peek(bed->m, pfn).state, MHP_FRAME_USED);
	CHECK_OK(mhp_page_set_cookie(bed->m, pfn, 3));
	CHECK_OK(mhp_page_free(bed->m, pfn));
	CHECK_EQ(mhp_pages_alloc(bed->m, req, 4, pfns), 4);
	CHECK_EQ(mhp_pages_free(bed->m, pfns, 4), 4);
	CHECK_OK(mhp_pages_alloc_contig(bed->m, req, 9, &pfn));
	CHECK_OK(mhp_pages_free_contig(bed->m, pfn, 9));
	mhp_drain_caches(bed->m);
}

static int
call_back_and_refuse(void *ctx, const struct mhp_notice *notice)
{
	call_back(ctx);
	return notice->kind == MHP_GOING_OFFLINE_NOTICE ? MHP_EBUSY : 0;
}

/* A block that has pages of the owner's, but neither of the two. */
static uint32_t
find_movable(const struct bed *bed, const struct test_mover *mover)
{
	uint64_t pages = bed->pool.block_pages, first;
	uint32_t block = 0;

	while (bed->pfn / pages == block || bed->metadata_pfn / pages == block ||
	       test_mover_in(mover, block * pages, (block + 1) * pages, &first) == 0)
		CHECK_CMP(++block, <, 4U);
	return block;
}

/* R24: the calls about pages may come from a listener and from an owner's functions; those that
 * take the hotplug lock are refused there. */
TEST(errors__called_back__edeadlk_for_changes_and_pages_work)
{
	struct test_mover mover;
	struct bed bed;
	uint16_t listener;

	open_bed(&bed);
	CHECK_OK(mhp_listener_add(bed.m, call_back_and_refuse, &bed, 0, &listener));
	CHECK_RET(mhp_block_offline(bed.m, 3, NULL, NULL), MHP_EBUSY);
	CHECK_OK(mhp_listener_remove(bed.m, listener));
	test_mover_open(&mover, &bed.pool, 4096);
	CHECK(test_mover_fill(&mover, 5 * bed.pool.block_pages / 2, 2, 0));
	mover.on_isolate = mover.on_migrate = call_back;
	mover.on_isolate_ctx = mover.on_migrate_ctx = &bed;
	struct mhp_blocks full = { find_movable(&bed, &mover), 1 };
	CHECK_OK(mhp_empty(bed.m, &full, 1, NULL, NULL));
	CHECK_CMP(mover.nr_isolated, >, 0U);
	CHECK_CMP(mover.nr_migrated, >, 0U);
	test_mover_check(&mover);
	test_mover_close(&mover);
	test_ledger_take(&bed.pool, &bed.before); /* it has counted what moved */
	close_bed(&bed);
}
