/* SPDX-License-Identifier: MIT */
/*
 * plan_test.c - several changes as one: preview, commit, and the way back from every failure.
 *
 * The heart is a comparison over random plans: what the preview says is what the commit says, down
 * to the step that fails; a plan that fails leaves the ledger as it was, one that succeeds
 * leaves every block as its steps say. Particular cases stand before it.
 */
#include "ledger.h"
#include "mover.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)
#define BLOCKS 8U
#define STEPS_MAX 4U

static void
add_online(struct test_pool *pool, uint32_t first, uint32_t count, uint8_t zone)
{
	struct mhp_add_opts opts = { .flags = SELF | MHP_ADD_ONLINE, .zone = zone };
	CHECK_OK(mhp_add(pool->m, (struct mhp_blocks){ first, count }, &opts, NULL));
}

static struct mhp_step
step_of(enum mhp_step_kind kind, uint32_t first, uint32_t count)
{
	return (struct mhp_step){ .kind = kind,
				  .blocks = { first, count },
				  .add = { .flags = SELF },
				  .zone = MHP_ZONE_MOVABLE };
}

static void
check_states(struct test_pool *pool, const enum mhp_block_state want[BLOCKS])
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		if (test_block(pool, i).state != want[i])
			FAIL("block %u is in state %d, not %d", i, test_block(pool, i).state,
			     want[i]);
}

/* R31: all kinds of steps in one plan; preview and commit agree, every block is where it goes. */
TEST(plan__all_kinds_of_steps__done_as_one)
{
	static const enum mhp_block_state before[BLOCKS] = { MHP_ONLINE, MHP_ONLINE, MHP_ONLINE,
							     MHP_ONLINE, MHP_OFFLINE };
	static const enum mhp_block_state after[BLOCKS] = { MHP_ONLINE, MHP_ABSENT, MHP_OFFLINE,
							    MHP_ONLINE, MHP_ONLINE, MHP_ABSENT,
							    MHP_ONLINE, MHP_OFFLINE };
	struct mhp_plan_answer answer;
	struct test_pool pool;
	struct test_mover mover;
	test_pool_open(&pool, NULL);
	test_mover_open(&mover, &pool, 4096);
	add_online(&pool, 0, 4, MHP_ZONE_MOVABLE);
	struct mhp_add_opts self = { .flags = SELF };
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 4, 1 }, &self, NULL));
	CHECK(test_mover_fill(&mover, pool.block_pages, 1, 0));
	struct mhp_step steps[] = {
		step_of(MHP_STEP_REMOVE, 1, 1), step_of(MHP_STEP_OFFLINE, 2, 1),
		step_of(MHP_STEP_ADD, 6, 2),    step_of(MHP_STEP_ONLINE, 4, 1),
		step_of(MHP_STEP_ONLINE, 6, 1),
	};
	CHECK_OK(mhp_plan_preview(pool.m, steps, 5, &answer));
	CHECK_EQ(answer.failed_step, 5U);
	check_states(&pool, before);
	CHECK_OK(mhp_plan_commit(pool.m, steps, 5, NULL, &answer));
	CHECK_EQ(answer.failed_step, 5U);
	check_states(&pool, after);
	test_pool_check(&pool);
	test_mover_check(&mover);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* R17 R31: plans that make no sense; the step that does not is named. */
TEST(plan__malformed__typed_error_and_nothing_changed)
{
	struct mhp_plan_answer answer;
	struct test_ledger before;
	struct test_pool pool;
	test_pool_open(&pool, NULL);
	add_online(&pool, 0, 2, MHP_ZONE_MOVABLE);
	struct mhp_step empty = step_of(MHP_STEP_REMOVE, 0, 1);
	empty.blocks.count = 0;
	struct mhp_step odd = step_of((enum mhp_step_kind)77, 0, 1);
	struct mhp_step flags = step_of(MHP_STEP_ADD, 3, 1);
	flags.add.flags = 1U << 30;
	struct mhp_step zone = step_of(MHP_STEP_ONLINE, 4, 1);
	zone.zone = 9;
	struct mhp_step off = step_of(MHP_STEP_OFFLINE, 0, 1);
	struct mhp_step gone = step_of(MHP_STEP_REMOVE, 0, 2);
	struct mhp_step come = step_of(MHP_STEP_ADD, 4, 1);
	struct mhp_step again = step_of(MHP_STEP_ADD, 4, 1);
	struct mhp_step there = step_of(MHP_STEP_ADD, 1, 1);
	struct mhp_step none = step_of(MHP_STEP_ONLINE, 5, 1);
	struct mhp_step far = step_of(MHP_STEP_OFFLINE, 8, 1);
	const struct {
		struct mhp_step steps[2];
		unsigned nr, failed_step;
		int error;
	} cases[] = {
		{ { off }, 0, 0, MHP_EINVAL },
		{ { off, empty }, 2, 1, MHP_EINVAL },
		{ { odd }, 1, 0, MHP_EINVAL },
		{ { off, flags }, 2, 1, MHP_EINVAL },
		{ { come, zone }, 2, 1, MHP_EINVAL },
		{ { off, gone }, 2, 1, MHP_EINVAL },
		{ { off, off }, 2, 1, MHP_EINVAL },
		{ { come, again }, 2, 1, MHP_EINVAL },
		{ { off, there }, 2, 1, MHP_EEXIST },
		{ { come, none }, 2, 1, MHP_ENOENT },
		{ { come, far }, 2, 1, MHP_ENXIO },
	};
	test_ledger_take(&pool, &before);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		test_at("case %zu", i);
		CHECK_RET(mhp_plan_preview(pool.m, cases[i].steps, cases[i].nr, &answer),
			  cases[i].error);
		CHECK_EQ(answer.failed_step, cases[i].failed_step);
		test_ledger_check(&pool, &before);
		CHECK_RET(mhp_plan_commit(pool.m, cases[i].steps, cases[i].nr, NULL, &answer),
			  cases[i].error);
		CHECK_EQ(answer.failed_step, cases[i].failed_step);
		test_ledger_check(&pool, &before);
	}
	test_pool_empty_and_close(&pool);
}

/* R31: what a plan adds is no room for what it moves; two plans in a row may do it. */
TEST(plan__added_memory__is_no_room)
{
	struct mhp_plan_answer answer;
	struct test_ledger before;
	struct test_pool pool;
	struct test_mover mover;
	test_pool_open(&pool, NULL);
	test_mover_open(&mover, &pool, 4096);
	add_online(&pool, 0, 1, MHP_ZONE_MOVABLE);
	while (test_mover_alloc(&mover, 0, 0) != TEST_MOVER_NONE)
		;
	struct mhp_step steps[] = { step_of(MHP_STEP_OFFLINE, 0, 1),
				    step_of(MHP_STEP_ADD, 1, 1),
				    step_of(MHP_STEP_ONLINE, 1, 1) };
	test_ledger_take(&pool, &before);
	CHECK_RET(mhp_plan_preview(pool.m, steps, 3, &answer), MHP_ENOMEM);
	CHECK_RET(mhp_plan_commit(pool.m, steps, 3, NULL, &answer), MHP_ENOMEM);
	CHECK_EQ(answer.failed_step, 0U);
	CHECK_EQ(answer.why.cause, MHP_CAUSE_ROOM);
	test_ledger_check(&pool, &before);
	CHECK_OK(mhp_plan_commit(pool.m, steps + 1, 2, NULL, NULL));
	CHECK_OK(mhp_plan_commit(pool.m, steps, 1, NULL, NULL));
	test_mover_check(&mover);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* R31: a commit that is a dry run is a preview: the same answer, and nothing has changed. */
TEST(plan__commit_as_dry_run__is_a_preview)
{
	struct mhp_offline_opts rehearsal = { .dry_run = true };
	struct mhp_plan_answer answer, foreseen;
	struct test_ledger before;
	struct test_pool pool;
	struct test_mover mover;
	uint64_t pfn;
	uint16_t kernel;
	test_pool_open(&pool, NULL);
	test_mover_open(&mover, &pool, 4096);
	CHECK_OK(mhp_owner_register(pool.m, "kernel", NULL, NULL, &kernel));
	add_online(&pool, 0, 1, MHP_ZONE_NORMAL);
	add_online(&pool, 1, 2, MHP_ZONE_MOVABLE);
	CHECK(test_mover_fill(&mover, pool.block_pages, 1, 0));
	struct mhp_step steps[] = { step_of(MHP_STEP_ADD, 4, 1),
				    step_of(MHP_STEP_ONLINE, 4, 1),
				    step_of(MHP_STEP_REMOVE, 0, 1) };
	test_ledger_take(&pool, &before);
	CHECK_OK(mhp_plan_commit(pool.m, steps, 3, &rehearsal, &answer));
	CHECK_EQ(answer.failed_step, 3U);
	test_ledger_check(&pool, &before);
	CHECK_EQ(mover.nr_frames_moved, 0U);
	struct mhp_page_req req = { .owner = kernel };
	CHECK_OK(mhp_page_alloc(pool.m, req, &pfn));
	test_ledger_take(&pool, &before);
	CHECK_RET(mhp_plan_commit(pool.m, steps, 3, &rehearsal, &answer), MHP_EBUSY);
	CHECK_RET(mhp_plan_preview(pool.m, steps, 3, &foreseen), MHP_EBUSY);
	CHECK_MEM(&answer, &foreseen, sizeof(answer));
	CHECK_EQ(answer.failed_step, 2U);
	CHECK_EQ(answer.why.pfn, pfn);
	test_ledger_check(&pool, &before);
	CHECK_OK(mhp_page_free(pool.m, pfn));
	test_mover_check(&mover);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

struct refuser {
	unsigned countdown;        /* refuse that GOING notice, 1 = the next; 0 = none */
	unsigned open;             /* GOING without DONE or CANCEL */
	unsigned nr_going;
};

static int
refuse(void *ctx, const struct mhp_notice *notice)
{
	struct refuser *refuser = ctx;
	switch (notice->kind) {
	case MHP_GOING_ONLINE_NOTICE:
	case MHP_GOING_OFFLINE_NOTICE:
		refuser->open++;
		refuser->nr_going++;
		return refuser->countdown != 0 && --refuser->countdown == 0 ? MHP_EBUSY : 0;
	case MHP_NODE_FIRST_NOTICE:
	case MHP_NODE_LAST_NOTICE:
		return 0;
	default:
		refuser->open--;
		return 0;
	}
}

static void
cancel_now(void *ctx)
{
	struct test_pool *pool = ctx;
	CHECK_OK(mhp_cancel(pool->m, 0));
}

/* Blocks 4 to 6 come, 0 and 1 leave: five GOING notices, then data that moves. */
static unsigned
big_plan(struct mhp_step *ret_steps)
{
	ret_steps[0] = step_of(MHP_STEP_REMOVE, 0, 1);
	ret_steps[1] = step_of(MHP_STEP_ADD, 4, 3);
	ret_steps[2] = step_of(MHP_STEP_ONLINE, 4, 3);
	ret_steps[3] = step_of(MHP_STEP_OFFLINE, 1, 1);
	return 4;
}

/* R24 R31: whoever says no, at whatever moment: all is as before, and every GOING has its end. */
TEST(plan__refused_at_any_moment__rolled_back)
{
	struct mhp_step steps[STEPS_MAX];
	struct mhp_plan_answer answer;
	struct refuser refuser = { 0 };
	struct test_ledger before;
	struct test_pool pool;
	struct test_mover mover;
	uint16_t id;
	test_pool_open(&pool, NULL);
	test_mover_open(&mover, &pool, 4096);
	add_online(&pool, 0, 4, MHP_ZONE_MOVABLE);
	CHECK(test_mover_fill(&mover, pool.block_pages, 0, 0));
	CHECK_OK(mhp_listener_add(pool.m, refuse, &refuser, 0, &id));
	unsigned nr = big_plan(steps);
	test_ledger_take(&pool, &before);
	for (unsigned at = 1; at <= 5; at++) {
		test_at("notice %u is refused", at);
		refuser.countdown = at;
		CHECK_RET(mhp_plan_commit(pool.m, steps, nr, NULL, &answer), MHP_EBUSY);
		CHECK_EQ(answer.why.cause, MHP_CAUSE_LISTENER);
		CHECK_EQ(answer.failed_step, at <= 3 ? 2U : at == 4 ? 0U : 3U);
		CHECK_EQ(refuser.countdown, 0U);
		CHECK_EQ(refuser.open, 0U);
		test_ledger_check(&pool, &before);
	}
	test_at("canceled when data moves");
	mover.on_migrate = cancel_now;
	mover.on_migrate_ctx = &pool;
	CHECK_RET(mhp_plan_commit(pool.m, steps, nr, NULL, &answer), MHP_ECANCELED);
	CHECK_EQ(test_block(&pool, 4).state, MHP_ABSENT);
	CHECK_EQ(test_block(&pool, 0).state, MHP_ONLINE);
	CHECK_EQ(refuser.open, 0U);
	test_pool_check(&pool);
	test_mover_check(&mover);
	mover.on_migrate = NULL;
	CHECK_OK(mhp_plan_commit(pool.m, steps, nr, NULL, NULL));
	CHECK_EQ(refuser.open, 0U);
	test_mover_check(&mover);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* ---- random plans ---- */

struct world {
	struct test_pool pool;
	struct test_mover mover;
	uint64_t random;
	uint16_t kernel;
	uint64_t kernel_pfn;       /* a page that cannot move, or MHP_PFN_NONE */
};

static uint32_t
pick(struct world *world, uint32_t end)
{
	return (uint32_t)(test_random(&world->random) % end);
}

/* Mostly what the block is ready for. */
static enum mhp_step_kind
random_kind(struct world *world, uint32_t block)
{
	static const enum mhp_step_kind fit[][2] = {
		[MHP_ABSENT] = { MHP_STEP_ADD, MHP_STEP_ADD },
		[MHP_OFFLINE] = { MHP_STEP_ONLINE, MHP_STEP_REMOVE },
		[MHP_ONLINE] = { MHP_STEP_OFFLINE, MHP_STEP_REMOVE },
	};
	if (pick(world, 8) == 0)
		return pick(world, 4);
	return fit[test_block(&world->pool, block).state][pick(world, 2)];
}

static struct mhp_step
random_step(struct world *world)
{
	static const uint32_t flags[] = { SELF, 0, MHP_MEMMAP_ON_MEMORY, MHP_MEMMAP_ON_NODE,
					  MHP_ADD_BOOT, SELF };
	uint32_t first = pick(world, BLOCKS), count = 1 + pick(world, 5) / 4;
	struct mhp_step step = step_of(random_kind(world, first), first, count);
	step.zone = pick(world, 8) == 0 ? MHP_ZONE_DEFAULT : (uint8_t)pick(world, 2);
	step.add.flags = flags[pick(world, 6)];
	step.add.node = (uint8_t)pick(world, 2);
	step.add.metadata_node = (uint8_t)pick(world, 2);
	if (pick(world, 100) == 0)
		step.blocks.count = 0;
	if (pick(world, 100) == 0)
		step.zone = 9;
	return step;
}

/* What the blocks are after a plan that succeeded. */
static void
expect(struct world *world, const struct mhp_step *steps, unsigned nr,
       enum mhp_block_state ret_states[BLOCKS])
{
	static const enum mhp_block_state after[] = { MHP_OFFLINE, MHP_ONLINE, MHP_OFFLINE,
						      MHP_ABSENT };
	for (uint32_t i = 0; i < BLOCKS; i++)
		ret_states[i] = test_block(&world->pool, i).state;
	/* Adds first: an ONLINE of what is added may stand before it. */
	for (unsigned kind = 0; kind < 4; kind++)
		for (unsigned i = 0; i < nr; i++) {
			struct mhp_blocks blocks = steps[i].blocks;
			for (uint32_t k = 0; steps[i].kind == kind && k < blocks.count; k++)
				ret_states[blocks.first + k] = after[kind];
		}
}

/* Use some memory, or let some go. */
static void
shuffle_data(struct world *world)
{
	unsigned percent = pick(world, 3) * 50;
	test_mover_thin_out(&world->mover, percent);
	for (uint32_t nr = pick(world, 12); nr > 0; nr--)
		(void)test_mover_alloc(&world->mover, pick(world, 5) / 4, pick(world, 2));
	if (world->kernel_pfn != MHP_PFN_NONE) {
		CHECK_OK(mhp_page_free(world->pool.m, world->kernel_pfn));
		world->kernel_pfn = MHP_PFN_NONE;
	} else if (pick(world, 3) == 0) {
		struct mhp_page_req req = { .owner = world->kernel };
		if (mhp_page_alloc(world->pool.m, req, &world->kernel_pfn) != 0)
			world->kernel_pfn = MHP_PFN_NONE;
	}
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	policy.strict = pick(world, 4) == 0;
	policy.auto_online = pick(world, 4); /* plans do not ask it */
	CHECK_OK(mhp_set_policy(world->pool.m, &policy));
}

/* Return: did it succeed? */
static bool
run_plan(struct world *world)
{
	struct mhp_step steps[STEPS_MAX];
	enum mhp_block_state states[BLOCKS];
	struct mhp_plan_answer foreseen, answer;
	struct test_ledger before;
	unsigned nr = 1 + pick(world, STEPS_MAX);
	for (unsigned i = 0; i < nr; i++)
		steps[i] = random_step(world);
	test_ledger_take(&world->pool, &before);
	int preview = mhp_plan_preview(world->pool.m, steps, nr, &foreseen);
	test_ledger_check(&world->pool, &before);
	if (preview == 0)
		expect(world, steps, nr, states);
	uint64_t moved = world->mover.nr_frames_moved;
	int error = mhp_plan_commit(world->pool.m, steps, nr, NULL, &answer);
	CHECK_RET(preview, error);
	CHECK_EQ(foreseen.failed_step, answer.failed_step);
	CHECK_EQ(foreseen.why.cause, answer.why.cause);
	if (error != 0) {
		CHECK_EQ(world->mover.nr_frames_moved, moved);
		test_ledger_check(&world->pool, &before);
	} else {
		CHECK_EQ(answer.failed_step, nr);
		check_states(&world->pool, states);
		test_pool_check(&world->pool);
	}
	test_mover_check(&world->mover);
	return error == 0;
}

static void
close_world(struct world *world)
{
	if (world->kernel_pfn != MHP_PFN_NONE)
		CHECK_OK(mhp_page_free(world->pool.m, world->kernel_pfn));
	test_mover_close(&world->mover);
	test_pool_empty_and_close(&world->pool);
}

/* R31: preview and commit say the same; failures change nothing, successes what the steps say. */
TEST(plan__random_plans__preview_is_right)
{
	static const char *const shapes[] = { "tiny1", "tiny2", "tiny8" };
	uint64_t nr_done = 0, nr = test_ops(20000);
	for (unsigned i = 0; i < 3; i++) {
		struct test_pool_opts opts = { .shape = shapes[i], .meta_bytes = 4 << 20 };
		struct world world = { .random = test_seed() + i, .kernel_pfn = MHP_PFN_NONE };
		test_pool_open(&world.pool, &opts);
		test_mover_open(&world.mover, &world.pool, 4096);
		CHECK_OK(mhp_owner_register(world.pool.m, "kernel", NULL, NULL, &world.kernel));
		for (uint64_t k = nr / 3; k > 0; k--) {
			test_at("shape %s, %" PRIu64 " plans to go", shapes[i], k);
			shuffle_data(&world);
			nr_done += run_plan(&world);
		}
		close_world(&world);
	}
	CHECK_CMP(nr_done, >, nr / 20);
	test_say("%" PRIu64 " plans, %" PRIu64 " of them succeeded", nr, nr_done);
}
