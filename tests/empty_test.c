/* SPDX-License-Identifier: MIT */
/*
 * empty_test.c - blocks whose pages move to a node that is named, and which stay.
 *
 * The data belongs to a mover that checks every page. Node 0 has blocks 0 to 3, node 1 has 4 to 6
 * and is empty at first.
 */
#include "ledger.h"
#include "mover.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)
#define NEAR 4U

struct bed {
	struct test_pool pool;
	struct test_mover mover;
	unsigned events[MHP_EV_KINDS];
	uint64_t to_nodes[MHP_EV_KINDS]; /* of the last one */
};

static void
count_event(void *ctx, const struct mhp_event *event)
{
	struct bed *bed = ctx;
	bed->events[event->kind]++;
	bed->to_nodes[event->kind] = event->to_nodes;
}

static void
open_bed(struct bed *bed)
{
	struct test_pool_opts opts = { .shape = "tiny8", .trace = count_event, .trace_ctx = bed };
	struct mhp_add_opts add = { .flags = SELF | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE };
	*bed = (struct bed){ .events = { 0 } };
	test_pool_open(&bed->pool, &opts);
	test_mover_open(&bed->mover, &bed->pool, 32768);
	CHECK_OK(mhp_add(bed->pool.m, (struct mhp_blocks){ 0, NEAR }, &add, NULL));
	add.node = 1;
	CHECK_OK(mhp_add(bed->pool.m, (struct mhp_blocks){ NEAR, 3 }, &add, NULL));
}

static void
close_bed(struct bed *bed)
{
	test_pool_check(&bed->pool);
	test_mover_check(&bed->mover);
	test_mover_close(&bed->mover);
	test_pool_empty_and_close(&bed->pool);
}

static uint64_t
usable(struct bed *bed)
{
	return bed->pool.block_pages - test_block(&bed->pool, 0).nr_vmemmap_pages;
}

/* Frames of the mover in count blocks from first on. */
static uint64_t
data_in(struct bed *bed, uint32_t first, uint32_t count)
{
	uint64_t pfn, start = first * bed->pool.block_pages;
	return test_mover_in(&bed->mover, start, start + count * bed->pool.block_pages, &pfn);
}

/* R63: the data goes to the node that was named and nowhere else; the blocks stay online. */
TEST(empty__to_a_node__data_is_there_and_blocks_stay)
{
	struct bed bed;
	struct mhp_blocks all = { 0, NEAR };
	struct mhp_offline_opts opts = { .to_nodes = UINT64_C(1) << 1 };
	open_bed(&bed);
	CHECK(test_mover_fill(&bed.mover, usable(&bed) * 2, 2, 0));
	uint64_t data = bed.mover.nr_frames;
	CHECK_OK(mhp_empty(bed.pool.m, &all, 1, &opts, NULL));
	CHECK_EQ(data_in(&bed, 0, NEAR), 0U);
	CHECK_EQ(data_in(&bed, NEAR, 3), data);
	CHECK_EQ(bed.events[MHP_EV_MOVE], 1U);
	CHECK_EQ(bed.to_nodes[MHP_EV_MOVE], opts.to_nodes);
	CHECK_EQ(bed.events[MHP_EV_OFFLINE_START], 0U);
	for (uint32_t block = 0; block < NEAR; block++)
		CHECK_EQ(test_block(&bed.pool, block).state, MHP_ONLINE);
	CHECK(test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE);
	CHECK_EQ(data_in(&bed, 0, NEAR), 1U);
	close_bed(&bed);
}

/* R63: without room on that node nothing moves, however much room other nodes have; the dry run
 * says so before. */
TEST(empty__node_has_no_room__nothing_moved)
{
	struct bed bed;
	struct mhp_blocks one = { NEAR, 3 };
	struct mhp_offline_opts opts = { .to_nodes = UINT64_C(1) << 1, .dry_run = true };
	struct mhp_why why;
	open_bed(&bed);
	CHECK(test_mover_fill(&bed.mover, usable(&bed), 1, 1));
	uint64_t data = data_in(&bed, NEAR, 3);
	CHECK_RET(mhp_empty(bed.pool.m, &one, 1, &opts, &why), MHP_ENOMEM);
	CHECK_EQ(why.cause, MHP_CAUSE_ROOM);
	opts.dry_run = false;
	CHECK_RET(mhp_empty(bed.pool.m, &one, 1, &opts, &why), MHP_ENOMEM);
	CHECK_EQ(why.cause, MHP_CAUSE_ROOM);
	CHECK_EQ(data_in(&bed, NEAR, 3), data);
	CHECK_EQ(bed.mover.nr_frames_moved, 0U);
	CHECK_EQ(bed.events[MHP_EV_MOVE_FAILED], 1U);
	CHECK_EQ(bed.to_nodes[MHP_EV_MOVE_FAILED], opts.to_nodes);
	opts.to_nodes = 1;
	CHECK_OK(mhp_empty(bed.pool.m, &one, 1, &opts, NULL));
	CHECK_EQ(data_in(&bed, 0, NEAR), data);
	close_bed(&bed);
}

/* R63: a removal obeys the same bound: all of a node leaves for another one, or nothing does. */
TEST(empty__removal_to_a_node__all_or_nothing)
{
	struct bed bed;
	struct mhp_offline_opts opts = { .to_nodes = UINT64_C(1) << 1 };
	struct mhp_blocks node0;
	struct mhp_why why;
	open_bed(&bed);
	node0 = (struct mhp_blocks){ 0, NEAR };
	CHECK(test_mover_fill(&bed.mover, usable(&bed) * 4, 0, 0));
	CHECK_RET(mhp_remove(bed.pool.m, &node0, 1, &opts, &why), MHP_ENOMEM);
	CHECK_EQ(bed.mover.nr_frames_moved, 0U);
	test_mover_thin_out(&bed.mover, 50);
	CHECK_EQ(bed.to_nodes[MHP_EV_OFFLINE_FAILED], opts.to_nodes);
	CHECK_OK(mhp_remove(bed.pool.m, &node0, 1, &opts, NULL));
	CHECK_EQ(bed.to_nodes[MHP_EV_OFFLINE], opts.to_nodes);
	CHECK_EQ(bed.to_nodes[MHP_EV_REMOVE], 0U);
	CHECK_EQ(test_block(&bed.pool, 0).state, MHP_ABSENT);
	CHECK_EQ(data_in(&bed, NEAR, 3), bed.mover.nr_frames);
	close_bed(&bed);
}

/* R63: what is pinned keeps the rest from being an error only for itself: it is named, all is in
 * use afterwards. */
TEST(empty__pinned_page__busy_and_named)
{
	struct bed bed;
	struct mhp_blocks all = { 0, NEAR };
	struct mhp_offline_opts opts = { .to_nodes = UINT64_C(1) << 1 };
	struct mhp_why why;
	open_bed(&bed);
	CHECK(test_mover_fill(&bed.mover, usable(&bed), 0, 0));
	bed.mover.pages[0].pinned = true;
	CHECK_RET(mhp_empty(bed.pool.m, &all, 1, &opts, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_REFUSED);
	CHECK_EQ(why.pfn, bed.mover.pages[0].pfn);
	bed.mover.pages[0].pinned = false;
	close_bed(&bed);
}

/* R63: blocks that have nothing in use are empty at once. */
TEST(empty__nothing_in_use__at_once)
{
	struct bed bed;
	struct mhp_blocks all = { 0, NEAR };
	open_bed(&bed);
	CHECK_OK(mhp_empty(bed.pool.m, &all, 1, NULL, NULL));
	CHECK_EQ(bed.events[MHP_EV_MOVE], 1U);
	CHECK_EQ(bed.to_nodes[MHP_EV_MOVE], 0U);
	CHECK_EQ(test_block(&bed.pool, 0).state, MHP_ONLINE);
	close_bed(&bed);
}

/* ---- owners that answer oddly ---- */

struct odd {
	int isolate, migrate;
	int more;                      /* done, beyond what it was given; below 0: nothing */
};

static int
odd_isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)pfn, (void)order, (void)cookie;
	return ((struct odd *)ctx)->isolate;
}

static int
odd_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	const struct odd *odd = ctx;
	(void)moves;
	*ret_done = odd->more < 0 ? 0 : nr_moves + (unsigned)odd->more;
	return odd->migrate;
}

static void
odd_putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

/* R17 R34: an owner that says 1, or that nothing went wrong and yet moved nothing, has refused; an
 * owner that claims more moves than it was given has done those. */
TEST(empty__owner_answers_oddly__taken_at_its_meaning)
{
	static const struct mhp_movable_ops ops = { odd_isolate, odd_migrate, odd_putback, NULL };
	static const struct {
		struct odd odd;
		int want;
		enum mhp_cause cause;
	} answers[] = {
		{ { .isolate = 1 }, MHP_EBUSY, MHP_CAUSE_REFUSED },
		{ { .more = -1 }, MHP_EBUSY, MHP_CAUSE_MIGRATE },
		{ { .more = -1, .migrate = 1 }, MHP_EBUSY, MHP_CAUSE_MIGRATE },
		{ { .more = 5 }, 0, MHP_CAUSE_NONE },
	};
	struct odd odd;
	struct bed bed;
	struct mhp_page_req req = { .order = 0 };
	uint64_t pfn;
	open_bed(&bed);
	CHECK_OK(mhp_owner_register(bed.pool.m, "odd", &ops, &odd, &req.owner));
	CHECK_OK(mhp_page_alloc(bed.pool.m, req, &pfn));
	uint32_t block = (uint32_t)(pfn / bed.pool.block_pages);
	for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct mhp_why why = { .cause = MHP_CAUSE_NONE };
		test_at("answer %u", i);
		odd = answers[i].odd;
		CHECK_RET(mhp_block_offline(bed.pool.m, block, NULL, &why), answers[i].want);
		CHECK_EQ(why.cause, answers[i].cause);
	}
	for (pfn = 0; mhp_frame_peek(bed.pool.m, pfn).owner != req.owner; pfn++)
		CHECK_CMP(pfn, <, 7 * bed.pool.block_pages);
	CHECK_OK(mhp_page_free(bed.pool.m, pfn));
	CHECK_OK(mhp_owner_unregister(bed.pool.m, req.owner));
	close_bed(&bed);
}
