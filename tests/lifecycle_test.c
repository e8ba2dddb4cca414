/* SPDX-License-Identifier: MIT */
/*
 * lifecycle_test.c - every fallible call of a port fails once, at every index of a lifecycle.
 *
 * The script below is a lifecycle of blocks: they come, are used, leave with data in them, come
 * back. Each step is one call of the engine. Before a step may succeed, each fallible port call
 * that it makes is made to fail, alone and with all that follow; afterwards everything that can be
 * seen must be as before: digest, counters, blocks, metadata, contents. Each failure is one run.
 * Then the same again with an immediate retry after each failure, which must succeed.
 *
 * A failure at one step that leaves something behind is also found at the end of the lifecycle,
 * where nothing may be left at all.
 */
#include <time.h>

#include "ledger.h"
#include "mover.h"

#define BLOCKS 8U              /* that the script plays with; */
#define HOSTS 4U               /* behind them, those that hold metadata of others */
#define FRAMES_MAX 160U        /* of data: every run looks at all of it */
#define KERNEL_PAGES 2U        /* pages that cannot move, in block 0 */

struct life {
	struct test_pool pool;
	struct test_mover mover;
	enum mhp_placement place;
	uint32_t add_flags;    /* MHP_MEMMAP_*, MHP_ADD_ZEROED */
	unsigned turn;         /* 0: fail each index, else fail this one and try again */
	uint64_t round;        /* makes the data differ */
	uint16_t kernel;       /* an owner that cannot move its pages */
	uint64_t kernel_pfn[KERNEL_PAGES];
	unsigned nr_kernel;
	uint64_t nr_steps, nr_runs, nr_fired;
};

struct step {
	const char *what;
	int (*run)(struct life *life, const struct step *step);
	uint32_t first, count;
	uint32_t arg;          /* a zone, flags or per cent: as run says */
};

/* ---- all that can be seen ---- */

/* The last page of a block: the one that goes bad. */
static uint64_t
bad_pfn(const struct life *life, uint32_t block)
{
	return (block + 1) * life->pool.block_pages - 1;
}

/* Frames that are still out of use for an error that was mended: until their block is offline. */
static uint64_t
forgotten_frames(struct life *life)
{
	uint64_t nr = 0;
	for (uint32_t block = 0; block < BLOCKS; block++) {
		uint64_t pfn = bad_pfn(life, block);
		nr += mhp_frame_peek(life->pool.m, pfn).owner == MHP_OWNER_BAD &&
		      !mhp_bad_test(life->pool.m, pfn);
	}
	return nr;
}

/* The ledger, exact to the page: what is in use is what we know of. */
static void
take_ledger(struct life *life, struct test_ledger *ledger)
{
	test_ledger_take(&life->pool, ledger);
	CHECK_EQ(ledger->in_use, life->mover.nr_frames + life->nr_kernel + ledger->on_node +
					 forgotten_frames(life));
}

/* ---- steps: each is one call of the engine ---- */

static struct mhp_add_opts
add_opts(const struct life *life, uint32_t block, uint32_t flags)
{
	bool boot = life->place == MHP_PLACE_EXTERNAL && block == 0;
	return (struct mhp_add_opts){
		.flags = life->add_flags | flags | (boot ? MHP_ADD_BOOT : 0U),
		.node = block < BLOCKS / 2 ? 0 : 1,
		.metadata_node = 1,
		.zone = MHP_ZONE_MOVABLE,
		.backing = 7,
	};
}

static int
add(struct life *life, const struct step *step)
{
	struct mhp_add_opts opts = add_opts(life, step->first, step->arg);
	struct mhp_add_answer answer;
	int error = mhp_add(life->pool.m, (struct mhp_blocks){ step->first, step->count },
			    &opts, &answer);
	if (error == 0) {
		CHECK_EQ(answer.placement, life->place);
		CHECK_EQ(answer.blocks.count, step->count);
	}
	return error;
}

static int
online(struct life *life, const struct step *step)
{
	struct mhp_blocks blocks = { step->first, step->count };
	struct mhp_why why = { 0 };
	int error = test_online(life->pool.m, blocks, step->arg, &why);
	CHECK_EQ(why.cause, error != 0 ? MHP_CAUSE_RAM : MHP_CAUSE_NONE);
	return error;
}

/* count blocks, arg apart. */
static int
offline(struct life *life, const struct step *step)
{
	struct mhp_blocks sets[BLOCKS];
	for (uint32_t i = 0; i < step->count; i++)
		sets[i] = (struct mhp_blocks){ step->first + i * step->arg, 1 };
	return mhp_offline(life->pool.m, sets, step->count, NULL, NULL);
}

static int
rehearse(struct life *life, const struct step *step)
{
	struct mhp_offline_opts opts = { .dry_run = true };
	return mhp_block_offline(life->pool.m, step->first, &opts, NULL);
}

/* count blocks, arg apart. */
static int
take_out(struct life *life, const struct step *step)
{
	struct mhp_blocks sets[BLOCKS];
	for (uint32_t i = 0; i < step->count; i++)
		sets[i] = (struct mhp_blocks){ step->first + i * step->arg, 1 };
	return mhp_remove(life->pool.m, sets, step->count, NULL, NULL);
}

static int
scrub_out(struct life *life, const struct step *step)
{
	struct mhp_offline_opts opts = { .scrub = true };
	struct mhp_blocks blocks = { step->first, step->count };
	return mhp_remove(life->pool.m, &blocks, 1, &opts, NULL);
}

/* Use arg per cent of what the movable zones manage, as far as more data shows more. */
static int
fill(struct life *life, const struct step *step)
{
	uint64_t managed = 0;
	for (unsigned node = 0; node < TEST_LEDGER_NODES; node++) {
		struct mhp_zone_info zone;
		CHECK_OK(mhp_zone_get(life->pool.m, node, MHP_ZONE_MOVABLE, &zone));
		managed += zone.managed;
	}
	uint64_t nr_frames = managed * step->arg / 100;
	if (nr_frames > FRAMES_MAX)
		nr_frames = FRAMES_MAX;
	CHECK(test_mover_fill(&life->mover, nr_frames, 1, step->first));
	return 0;
}

static int
thin_out(struct life *life, const struct step *step)
{
	test_mover_thin_out(&life->mover, step->arg);
	return 0;
}

static int
kernel_alloc(struct life *life, const struct step *step)
{
	struct mhp_page_req req = { .owner = life->kernel, .node = 0, .cookie = step->arg };
	int error = mhp_page_alloc(life->pool.m, req, &life->kernel_pfn[life->nr_kernel]);
	life->nr_kernel += error == 0;
	return error;
}

static int
kernel_free(struct life *life, const struct step *step)
{
	(void)step;
	return mhp_page_free(life->pool.m, life->kernel_pfn[--life->nr_kernel]);
}

static int
set_auto_online(struct life *life, const struct step *step)
{
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	policy.auto_online = step->arg;
	return mhp_set_policy(life->pool.m, &policy);
}

static int
set_switch(struct life *life, const struct step *step)
{
	return mhp_set_memmap_on_memory(life->pool.m, step->arg);
}

static int
go_bad(struct life *life, const struct step *step)
{
	return mhp_bad_add(life->pool.m, bad_pfn(life, step->first));
}

static int
mend(struct life *life, const struct step *step)
{
	return mhp_bad_remove(life->pool.m, bad_pfn(life, step->first));
}

static int
compact(struct life *life, const struct step *step)
{
	struct mhp_compact_result result;
	return mhp_compact(life->pool.m, step->first, step->arg, 0, &result);
}

static struct mhp_step
plan_step(struct life *life, enum mhp_step_kind kind, uint32_t first, uint32_t count)
{
	return (struct mhp_step){ .kind = kind,
				  .blocks = { first, count },
				  .add = add_opts(life, first, 0),
				  .zone = MHP_ZONE_MOVABLE };
}

/* Block `first` goes, block `arg` comes; between them, `first` + 1 goes offline. */
static int
plan_swap(struct life *life, const struct step *step)
{
	struct mhp_step steps[] = {
		plan_step(life, MHP_STEP_REMOVE, step->first, 1),
		plan_step(life, MHP_STEP_OFFLINE, step->first + 1, 1),
		plan_step(life, MHP_STEP_ADD, step->arg, 1),
		plan_step(life, MHP_STEP_ONLINE, step->arg, 1),
	};
	struct mhp_plan_answer answer;
	int error = mhp_plan_commit(life->pool.m, steps, 4, NULL, &answer);
	if (error == 0)
		CHECK_EQ(answer.failed_step, 4U);
	else
		CHECK(answer.failed_step == 2 || answer.failed_step == 3);
	return error;
}

/* `count` blocks from `first` come, in one add and one online step for each. */
static int
plan_come(struct life *life, const struct step *step)
{
	struct mhp_step steps[1 + BLOCKS] = { plan_step(life, MHP_STEP_ADD, step->first,
							step->count) };
	for (uint32_t i = 0; i < step->count; i++)
		steps[1 + i] = plan_step(life, MHP_STEP_ONLINE, step->first + i, 1);
	return mhp_plan_commit(life->pool.m, steps, 1 + step->count, NULL, NULL);
}

/* ---- the lifecycle; blocks 0 to 3 are on node 0, 4 to 7 on node 1 ---- */

#define NORMAL MHP_ZONE_NORMAL
#define MOVABLE MHP_ZONE_MOVABLE

static const struct step script[] = {
	{ "add 0", add, 0, 1, 0 },
	{ "online 0", online, 0, 1, NORMAL },
	{ "allocate what cannot move", kernel_alloc, 0, 0, 1 },
	{ "allocate more of it", kernel_alloc, 0, 0, 2 },
	{ "add 1", add, 1, 1, 0 },
	{ "online 1", online, 1, 1, MOVABLE },
	{ "fill", fill, 0, 0, 30 },
	{ "add 2-3", add, 2, 2, 0 },
	{ "online 2-3", online, 2, 2, MOVABLE },
	{ "fill", fill, 0, 0, 35 },
	{ "rehearse offline 1", rehearse, 1, 1, 0 },
	{ "offline 1", offline, 1, 1, 1 },
	{ "online 1 again", online, 1, 1, MOVABLE },
	{ "offline 2", offline, 2, 1, 1 },
	{ "remove 2", take_out, 2, 1, 1 },
	{ "add 2 again", add, 2, 1, 0 },
	{ "online 2 again", online, 2, 1, MOVABLE },
	{ "add and online 4-6", add, 4, 3, MHP_ADD_ONLINE },
	{ "fill node 1", fill, 1, 0, 35 },
	{ "offline 4, 6", offline, 4, 2, 2 },
	{ "online 6", online, 6, 1, MOVABLE },
	{ "online 4", online, 4, 1, MOVABLE },
	{ "offline 3", offline, 3, 1, 1 },
	{ "online 3 as kernel memory", online, 3, 1, NORMAL },
	{ "add 7", add, 7, 1, MHP_ADD_OFFLINE },
	{ "remove 7 unused", take_out, 7, 1, 1 },
	{ "plan: 7 comes, 1 goes, 2 offline", plan_swap, 1, 1, 7 },
	{ "online 2", online, 2, 1, MOVABLE },
	{ "plan: 1 comes, 4 goes, 5 offline", plan_swap, 4, 1, 1 },
	{ "online 5", online, 5, 1, MOVABLE },
	{ "fill", fill, 0, 0, 30 },
	{ "auto-online movable", set_auto_online, 0, 0, MHP_AUTO_ONLINE_MOVABLE },
	{ "add 4, auto-online", add, 4, 1, 0 },
	{ "remove 6 and 7", take_out, 6, 2, 1 },
	{ "add 6-7, auto-online", add, 6, 2, 0 },
	{ "auto-online off", set_auto_online, 0, 0, MHP_AUTO_OFFLINE },
	{ "a page of 2 goes bad", go_bad, 2, 1, 0 },
	{ "offline 2", offline, 2, 1, 1 },
	{ "online 2 around it", online, 2, 1, MOVABLE },
	{ "a page of 3 goes bad", go_bad, 3, 1, 0 },
	{ "remove 3", take_out, 3, 1, 1 },
	{ "add 3 with its bad page", add, 3, 1, 0 },
	{ "online 3 around it", online, 3, 1, MOVABLE },
	{ "mended", mend, 2, 1, 0 },
	{ "offline 2", offline, 2, 1, 1 },
	{ "online 2 whole", online, 2, 1, MOVABLE },
	{ "thin out", thin_out, 0, 0, 30 },
	{ "compact node 0", compact, 0, 0, MOVABLE },
	{ "compact node 1", compact, 1, 0, MOVABLE },
	{ "memmap_on_memory off", set_switch, 0, 0, MHP_MEMMAP_OFF },
	{ "remove 1, 3, 5", take_out, 1, 3, 2 },
	{ "memmap_on_memory on", set_switch, 0, 0, MHP_MEMMAP_ON },
	{ "add 1 and online", add, 1, 1, MHP_ADD_ONLINE },
	{ "add 3, test it", add, 3, 1, MHP_ADD_TEST },
	{ "online 3", online, 3, 1, MOVABLE },
	{ "add 5", add, 5, 1, 0 },
	{ "online 5", online, 5, 1, MOVABLE },
	{ "scrub 1", scrub_out, 1, 1, 0 },
	{ "plan: 1 comes", plan_come, 1, 1, 0 },
	{ "fill", fill, 0, 0, 20 },
	{ "offline 1, 3, 5", offline, 1, 3, 2 },
	{ "online 1", online, 1, 1, MOVABLE },
	{ "online 3", online, 3, 1, MOVABLE },
	{ "online 5", online, 5, 1, MOVABLE },
	{ "thin out", thin_out, 0, 0, 60 },
	{ "remove 4-7", take_out, 4, 4, 1 },
	{ "plan: 4-7 come", plan_come, 4, 4, 0 },
	{ "remove 1-3", take_out, 1, 3, 1 },
	{ "add and online 1-3", add, 1, 3, MHP_ADD_ONLINE },
	{ "free what cannot move", kernel_free, 0, 0, 0 },
	{ "free the rest of it", kernel_free, 0, 0, 0 },
	{ "offline 0", offline, 0, 1, 1 },
	{ "online 0 as movable", online, 0, 1, MOVABLE },
	{ "thin out", thin_out, 0, 0, 100 },
	{ "a page that went bad is mended", mend, 3, 1, 0 },
	{ "remove all", take_out, 0, 8, 1 },
};

#define NR_STEPS (sizeof(script) / sizeof(script[0]))
_Static_assert(NR_STEPS >= 64, "a lifecycle has at least 64 steps");

/* ---- one step, failing ---- */

static const int errors[] = { MHP_ENOMEM, MHP_EIO, MHP_EBUSY, MHP_ENOSPC, MHP_EAGAIN };

/* Auto-online goes on after a failure by contract. */
static bool
may_go_on(const struct life *life)
{
	struct mhp_policy policy;
	mhp_get_policy(life->pool.m, &policy);
	return policy.auto_online != MHP_AUTO_OFFLINE;
}

/* Run a step with the nth fallible call failing. Return: was there one to fail? */
static bool
run_failing(struct life *life, const struct step *step, uint64_t nth, bool persistent,
	    const struct test_ledger *before)
{
	struct mhp_fault *fault = life->pool.fault;
	int error = errors[life->nr_runs % (sizeof(errors) / sizeof(errors[0]))];
	bool goes_on = may_go_on(life);
	mhp_fault_arm(fault, nth, persistent, error);
	mhp_fault_begin(fault, goes_on);
	int have = step->run(life, step);
	mhp_fault_end(fault);
	bool fired = mhp_fault_fired(fault) != 0;
	mhp_fault_arm(fault, 0, false, 0);
	if (!fired) {
		CHECK_OK(have);
		return false;
	}
	life->nr_runs++;
	if (have == 0) {
		/* Added, and perhaps not online: only auto-online may do that. Take it back. */
		CHECK(goes_on);
		struct mhp_blocks blocks = { step->first, step->count };
		CHECK_OK(mhp_remove(life->pool.m, &blocks, 1, NULL, NULL));
	} else {
		CHECK_RET(have, error);
	}
	test_ledger_check(&life->pool, before);
	test_mover_check(&life->mover);
	return true;
}

/* Fail each index, once and persistently, until the step succeeds. */
static void
run_all_indices(struct life *life, const struct step *step, const struct test_ledger *before)
{
	for (uint64_t nth = 1;; nth++)
		for (int persistent = 1; persistent >= 0; persistent--) {
			test_at("%s, call %" PRIu64 " fails%s", step->what, nth,
				persistent ? " and all after it" : "");
			if (!run_failing(life, step, nth, persistent != 0, before))
				return;
		}
}

/* Fail one index, then try again at once. */
static void
run_and_retry(struct life *life, const struct step *step, const struct test_ledger *before)
{
	test_at("%s, call %u fails, then a retry", step->what, life->turn);
	if (!run_failing(life, step, life->turn, life->turn % 2 != 0, before))
		return;
	life->nr_fired++;
	test_at("%s, the retry after call %u failed", step->what, life->turn);
	CHECK_OK(step->run(life, step));
}

static void
run_step(struct life *life, const struct step *step)
{
	struct test_ledger before;
	take_ledger(life, &before);
	if (life->turn == 0)
		run_all_indices(life, step, &before);
	else
		run_and_retry(life, step, &before);
	life->nr_steps++;
	test_at("after %s", step->what);
	test_pool_check(&life->pool);
	take_ledger(life, &before);
	test_mover_check(&life->mover);
}

/* ---- whole lifecycles ---- */

static void
open_life(struct life *life, const char *shape, enum mhp_placement place, enum mhp_sim_fill memory)
{
	struct mhp_geometry geo = test_geometry(shape);
	struct test_pool_opts opts = { .geometry = &geo, .fill = memory };
	geo.nr_blocks = BLOCKS + HOSTS;
	/* What lies behind the metadata need not be garbage too. */
	opts.garbage_bytes = UINT64_C(32) << geo.page_shift;
	opts.meta_bytes = place == MHP_PLACE_SELF ? 0 : UINT64_C(64) << 20;
	test_pool_open(&life->pool, &opts);
	test_mover_open(&life->mover, &life->pool, 1024);
	life->mover.random += life->round;
	CHECK_OK(mhp_owner_register(life->pool.m, "kernel", NULL, NULL, &life->kernel));
	life->place = place;
	life->add_flags = place == MHP_PLACE_SELF ? MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE :
			  place == MHP_PLACE_NODE ? MHP_MEMMAP_ON_NODE : 0U;
	if (memory == MHP_SIM_ZERO)
		life->add_flags |= MHP_ADD_ZEROED;
	life->nr_kernel = 0;
	if (place == MHP_PLACE_NODE) {
		struct mhp_add_opts boot = { .flags = MHP_ADD_BOOT | MHP_ADD_ONLINE, .node = 1 };
		CHECK_OK(mhp_add(life->pool.m, (struct mhp_blocks){ BLOCKS, HOSTS }, &boot,
				 NULL));
	}
}

static void
close_life(struct life *life)
{
	test_at("at the end");
	test_mover_close(&life->mover);
	test_pool_empty_and_close(&life->pool);
}

/* Return: did anything fail? */
static bool
live(struct life *life, const char *shape, enum mhp_placement place, enum mhp_sim_fill memory,
     unsigned turn)
{
	open_life(life, shape, place, memory);
	life->turn = turn;
	life->nr_fired = 0;
	for (size_t i = 0; i < NR_STEPS; i++)
		run_step(life, &script[i]);
	close_life(life);
	return life->nr_fired != 0;
}

/* The index to retry after that one. Blocks that take a millisecond each skip some. */
static unsigned
next_turn(unsigned turn, const char *shape)
{
	return test_geometry(shape).block_order > 9 ? turn + turn / 2 + 1 : turn + 1;
}

/* Rounds until there were enough runs; at least one. */
static void
live_all(const char *shape, enum mhp_placement place, enum mhp_sim_fill memory)
{
	struct life life = { 0 };
	struct timespec start, end;
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		unsigned turn = 0;
		(void)live(&life, shape, place, memory, turn);
		do
			turn = next_turn(turn, shape);
		while (live(&life, shape, place, memory, turn));
		life.round++;
	} while (life.nr_runs < test_ops(1000));
	clock_gettime(CLOCK_MONOTONIC, &end);
	double seconds = (double)(end.tv_sec - start.tv_sec) +
			 (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	test_say("%" PRIu64 " runs with a failing port call in %" PRIu64 " steps, %.0f a minute",
		 life.nr_runs, life.nr_steps, (double)life.nr_runs / seconds * 60);
}

/* R20 R26 R28: whatever port call fails, everything is as before; blocks of 1, 2 and 8 sections. */

TEST(lifecycle__self_1_section__failures_leave_no_trace)
{
	live_all("tiny1", MHP_PLACE_SELF, MHP_SIM_ZERO);
}

TEST(lifecycle__self_2_sections__failures_leave_no_trace)
{
	live_all("tiny2", MHP_PLACE_SELF, MHP_SIM_GARBAGE);
}

/* With fat descriptors the first sections are nothing but reserve. */
TEST(lifecycle__self_8_sections__failures_leave_no_trace)
{
	live_all("tiny8", MHP_PLACE_SELF, MHP_SIM_ZERO);
	live_all("tiny8", MHP_PLACE_SELF, MHP_SIM_GARBAGE);
}

TEST(lifecycle__external_1_section__failures_leave_no_trace)
{
	live_all("tiny1", MHP_PLACE_EXTERNAL, MHP_SIM_GARBAGE);
}

TEST(lifecycle__external_2_sections__failures_leave_no_trace)
{
	live_all("tiny2", MHP_PLACE_EXTERNAL, MHP_SIM_ZERO);
}

TEST(lifecycle__external_8_sections__failures_leave_no_trace)
{
	live_all("tiny8", MHP_PLACE_EXTERNAL, MHP_SIM_KEEP);
}

TEST(lifecycle__node_1_section__failures_leave_no_trace)
{
	live_all("tiny1", MHP_PLACE_NODE, MHP_SIM_ZERO);
}

TEST(lifecycle__node_2_sections__failures_leave_no_trace)
{
	live_all("tiny2", MHP_PLACE_NODE, MHP_SIM_KEEP);
}

TEST(lifecycle__node_8_sections__failures_leave_no_trace)
{
	live_all("tiny8", MHP_PLACE_NODE, MHP_SIM_GARBAGE);
}
