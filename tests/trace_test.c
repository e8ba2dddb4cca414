/* SPDX-License-Identifier: MIT */
/*
 * trace_test.c - events: what each says, where the time went, and that nothing depends on either.
 *
 * A recorder keeps every event with the text that it points to. What a replay needs (replay/) is
 * in the event itself: what was asked for, what came of it, and what was in the way.
 */
#include "mover.h"
#include "pool.h"
#include "test.h"

#define SELF MHP_MEMMAP_ON_MEMORY
#define KEPT 64U

struct recorder {
	struct mhp_event event[KEPT];
	char text[KEPT][MHP_WHY_TEXT];
	unsigned nr;
};

static void
record(void *ctx, const struct mhp_event *event)
{
	struct recorder *to = ctx;
	unsigned at = to->nr++ % KEPT;
	to->event[at] = *event;
	to->text[at][0] = 0;
	if (event->text != NULL)
		snprintf(to->text[at], sizeof(to->text[at]), "%s", event->text);
}

/* Like tiny2, but metadata may lie outside. */
static void
open_pool(struct test_pool *pool, struct recorder *recorder)
{
	*recorder = (struct recorder){ 0 };
	test_pool_open(pool, &(struct test_pool_opts){ .trace = record, .trace_ctx = recorder,
						       .meta_bytes = UINT64_C(1) << 20 });
}

static int
add(struct test_pool *pool, uint32_t first, uint32_t count, uint32_t flags, unsigned node)
{
	struct mhp_add_opts opts = { .flags = flags, .node = (uint8_t)node, .backing = 7 };
	return mhp_add(pool->m, (struct mhp_blocks){ first, count }, &opts, NULL);
}

static const struct mhp_event *
last(const struct recorder *recorder)
{
	CHECK_NE(recorder->nr, 0);
	return &recorder->event[(recorder->nr - 1) % KEPT];
}

static uint64_t
phases_sum(const struct mhp_event *event)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < MHP_PHASES; i++)
		sum += event->phase_ns[i];
	return sum;
}

static void
check_phases(const struct mhp_event *event, unsigned mask)
{
	for (unsigned i = 0; i < MHP_PHASES; i++) {
		test_at("%s, phase %s", mhp_event_name(event->kind),
			mhp_phase_name((enum mhp_phase)i));
		CHECK_EQ(event->phase_ns[i] != 0, mask >> i & 1);
	}
	CHECK_CMP(phases_sum(event), <=, event->took_ns);
}

#define PHASE(name) (1U << MHP_PHASE_##name)

/* R50: an operation's time is the sum of its phases, and what did not happen has none. */
TEST(trace__each_operation__says_where_its_time_went)
{
	struct recorder told;
	struct test_pool pool;
	struct test_mover mover;
	struct mhp_offline_opts scrub = { .scrub = true };
	struct mhp_blocks blocks;

	open_pool(&pool, &told);
	test_mover_open(&mover, &pool, 16);
	CHECK_OK(add(&pool, 0, 2, SELF | MHP_ADD_TEST, 0));
	check_phases(last(&told), PHASE(MAP) | PHASE(CONTENT) | PHASE(MEMMAP));
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 0, 2 }, MHP_ZONE_MOVABLE, NULL));
	check_phases(last(&told), PHASE(NOTIFY) | PHASE(COMMIT));
	for (unsigned i = 0; i < 4; i++)
		CHECK_NE(test_mover_alloc(&mover, 0, 0), TEST_MOVER_NONE);
	CHECK_OK(mhp_block_offline(pool.m, 0, NULL, NULL));
	check_phases(last(&told), PHASE(NOTIFY) | PHASE(ISOLATE) | PHASE(SURVEY) | PHASE(ROOM) |
					  PHASE(MOVE) | PHASE(COMMIT));
	blocks = (struct mhp_blocks){ 0, 1 };
	CHECK_OK(mhp_remove(pool.m, &blocks, 1, &scrub, NULL));
	check_phases(last(&told), PHASE(MAP) | PHASE(CONTENT) | PHASE(MEMMAP));
	test_pool_check(&pool);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* R50: with several runs in one call, each has an event, and the first one the times. */
TEST(trace__blocks_that_differ__an_event_each)
{
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	struct mhp_blocks blocks;
	struct recorder told;
	struct test_pool pool;
	unsigned before;

	open_pool(&pool, &told);
	policy.online_policy = MHP_POLICY_AUTO_MOVABLE;
	CHECK_OK(mhp_set_policy(pool.m, &policy));
	CHECK_OK(add(&pool, 7, 1, MHP_ADD_BOOT, 0));
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 7, 1 }, MHP_ZONE_NORMAL, NULL));
	for (uint32_t block = 0; block < 4; block++)
		CHECK_OK(add(&pool, block, 1, SELF, block % 2));
	before = told.nr;
	/* Only the first node has memory of the start, which allows Movable. */
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 0, 4 }, MHP_ZONE_DEFAULT, NULL));
	CHECK_EQ(told.nr - before, 4);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(told.event[before + i].kind, MHP_EV_ONLINE);
		CHECK_EQ(told.event[before + i].block, i);
		CHECK_EQ(told.event[before + i].nr_blocks, 1);
		CHECK_EQ(told.event[before + i].zone,
			 i % 2 == 0 ? MHP_ZONE_MOVABLE : MHP_ZONE_NORMAL);
		CHECK_EQ(told.event[before + i].asked_zone, MHP_ZONE_TOGETHER);
		CHECK_EQ(told.event[before + i].state, MHP_ONLINE);
	}
	CHECK_NE(told.event[before].phase_ns[MHP_PHASE_NOTIFY], 0);
	CHECK_EQ(told.event[before + 1].phase_ns[MHP_PHASE_NOTIFY], 0);
	blocks = (struct mhp_blocks){ 0, 4 };
	before = told.nr;
	CHECK_OK(mhp_remove(pool.m, &blocks, 1, NULL, NULL));
	/* The start, four runs that go offline, and four that go. */
	CHECK_EQ(told.nr - before, 9);
	CHECK_EQ(told.event[before].kind, MHP_EV_OFFLINE_START);
	CHECK_EQ(told.event[before + 5].nr_blocks, 1);
	CHECK_EQ(told.event[before + 6].node, 1);
	test_pool_empty_and_close(&pool);
}

/* R50: what was asked of an add, and what it got. */
TEST(trace__add__says_what_was_asked_and_what_it_got)
{
	struct recorder told;
	struct test_pool pool;

	open_pool(&pool, &told);
	CHECK_OK(add(&pool, 2, 3, SELF | MHP_ADD_OFFLINE, 1));
	CHECK_EQ(last(&told)->kind, MHP_EV_ADD);
	CHECK_EQ(last(&told)->flags, SELF | MHP_ADD_OFFLINE);
	CHECK_EQ(last(&told)->backing, 7);
	CHECK_EQ(last(&told)->block, 2);
	CHECK_EQ(last(&told)->nr_blocks, 3);
	CHECK_EQ(last(&told)->node, 1);
	CHECK_EQ(last(&told)->state, MHP_OFFLINE);
	CHECK_EQ(last(&told)->placement, MHP_PLACE_SELF);
	CHECK_EQ(last(&told)->metadata_node, 1);
	CHECK_CMP(last(&told)->nr_vmemmap_pages, >, 0);
	CHECK_OK(mhp_set_memmap_on_memory(pool.m, MHP_MEMMAP_OFF));
	CHECK_EQ(last(&told)->kind, MHP_EV_POLICY);
	CHECK_OK(add(&pool, 6, 1, SELF, 0));
	CHECK_EQ(last(&told)->placement, MHP_PLACE_EXTERNAL);
	CHECK_EQ(last(&told)->reason, MHP_MEMMAP_SWITCHED_OFF);
	CHECK_EQ(last(&told)->nr_vmemmap_pages, 0);
	CHECK_RET(add(&pool, 7, 1, SELF | MHP_MEMMAP_REQUIRE, 0), MHP_EPERM);
	CHECK_EQ(last(&told)->kind, MHP_EV_ADD_FAILED);
	CHECK_EQ(last(&told)->error, MHP_EPERM);
	CHECK_EQ(last(&told)->state, MHP_ABSENT);
	test_pool_empty_and_close(&pool);
}

/* R50: a refusal names the page, its owner and what it is; also when it is a step of a plan. */
TEST(trace__refusals__say_why)
{
	struct recorder told;
	struct test_pool pool;
	struct test_mover mover;
	struct mhp_page_req req = { .cookie = 0 };
	struct mhp_step steps[2];
	uint64_t pfn;
	uint16_t owner;

	open_pool(&pool, &told);
	test_mover_open(&mover, &pool, 4);
	CHECK_OK(mhp_owner_register(pool.m, "fixed", NULL, NULL, &owner));
	CHECK_OK(add(&pool, 0, 2, SELF, 0));
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 0, 1 }, MHP_ZONE_NORMAL, NULL));
	req.owner = owner;
	CHECK_OK(mhp_page_alloc(pool.m, req, &pfn));
	CHECK_RET(mhp_block_offline(pool.m, 0, NULL, NULL), MHP_EBUSY);
	CHECK_EQ(last(&told)->kind, MHP_EV_OFFLINE_FAILED);
	CHECK_EQ(last(&told)->cause, MHP_CAUSE_UNMOVABLE);
	CHECK_EQ(last(&told)->cause_block, 0);
	CHECK_EQ(last(&told)->pfn, pfn);
	CHECK_EQ(last(&told)->owner, owner);
	CHECK_EQ(last(&told)->state, MHP_ONLINE);
	CHECK(strcmp(told.text[(told.nr - 1) % KEPT], "fixed") == 0);
	CHECK_OK(mhp_page_free(pool.m, pfn));

	steps[0] = (struct mhp_step){ .kind = MHP_STEP_ONLINE, .blocks = { 1, 1 } };
	steps[1] = (struct mhp_step){ .kind = MHP_STEP_ONLINE, .blocks = { 5, 1 } };
	CHECK_RET(mhp_plan_commit(pool.m, steps, 2, NULL, NULL), MHP_ENOENT);
	CHECK_EQ(last(&told)->kind, MHP_EV_ONLINE_FAILED);
	CHECK_EQ(last(&told)->cause, MHP_CAUSE_STATE);
	CHECK_EQ(last(&told)->cause_block, 5);
	test_pool_check(&pool);
	test_mover_close(&mover);
	CHECK_OK(mhp_owner_unregister(pool.m, owner));
	test_pool_empty_and_close(&pool);
}

/* R50, R33: bad pages come and go; others may ask for an event. */
TEST(trace__pages_and_announcements__told)
{
	struct recorder told;
	struct test_pool pool;
	uint64_t before;

	open_pool(&pool, &told);
	CHECK_OK(add(&pool, 1, 1, SELF, 0));
	CHECK_OK(mhp_bad_add(pool.m, 3));
	CHECK_EQ(last(&told)->kind, MHP_EV_BAD_PAGE);
	CHECK_OK(mhp_bad_remove(pool.m, 3));
	CHECK_EQ(last(&told)->kind, MHP_EV_GOOD_PAGE);
	CHECK_EQ(last(&told)->pfn, 3);
	before = last(&told)->seq;
	CHECK_RET(mhp_bad_remove(pool.m, 3), MHP_ENOENT);
	CHECK_RET(mhp_block_announce(pool.m, 0, 1), MHP_ENOENT);
	CHECK_RET(mhp_block_announce(pool.m, UINT32_MAX, 1), MHP_ENXIO);
	CHECK_EQ(last(&told)->seq, before);
	CHECK_OK(mhp_block_announce(pool.m, 1, 5));
	CHECK_EQ(last(&told)->kind, MHP_EV_ANNOUNCE);
	CHECK_EQ(last(&told)->flags, 5);
	CHECK_EQ(last(&told)->seq, before + 1);
	CHECK_OK(mhp_limit_announce(pool.m, 64 << 20, NULL));
	CHECK_EQ(last(&told)->kind, MHP_EV_LIMIT);
	CHECK_EQ(last(&told)->pages << mhp_get_geometry(pool.m)->page_shift, 64 << 20);
	CHECK_OK(mhp_follow_announce(pool.m, 64 << 20, 32 << 20, NULL));
	CHECK_EQ(last(&told)->kind, MHP_EV_FOLLOW);
	CHECK_EQ(last(&told)->pages * 2, last(&told)->pfn);
	test_pool_empty_and_close(&pool);
}

/* From inside of a change: each call that wants the lock is refused, and tells of nothing. */
static int
announce_from_inside(void *ctx, const struct mhp_notice *notice)
{
	struct mhp *m = ctx;

	(void)notice;
	CHECK_RET(mhp_block_announce(m, 1, 1), MHP_EDEADLK);
	CHECK_RET(mhp_limit_announce(m, 4096, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_follow_announce(m, 4096, 4096, "one left"), MHP_EDEADLK);
	CHECK_RET(mhp_tier_announce(m, 0, 1, 0, "hot"), MHP_EDEADLK);
	CHECK_RET(mhp_listener_set_name(m, 0, "inside"), MHP_EDEADLK);
	CHECK_RET(mhp_fini(m), MHP_EDEADLK);
	return 0;
}

/* R50 R24 */
TEST(trace__announcements_from_a_listener__refused)
{
	struct recorder told;
	struct test_pool pool;
	uint16_t listener;

	open_pool(&pool, &told);
	CHECK_OK(add(&pool, 1, 1, SELF, 0));
	CHECK_OK(mhp_listener_add(pool.m, announce_from_inside, pool.m, 0, &listener));
	uint64_t before = last(&told)->seq;
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 1, 1 }, MHP_ZONE_NORMAL, NULL));
	CHECK_EQ(last(&told)->kind, MHP_EV_ONLINE);
	CHECK_EQ(last(&told)->seq, before + 1);
	CHECK_OK(mhp_listener_remove(pool.m, listener));
	CHECK_RET(mhp_listener_set_name(pool.m, listener, "gone"), MHP_ENOENT);
	CHECK_RET(mhp_tier_announce(pool.m, MHP_NODES_MAX, 1, 0, "hot"), MHP_EINVAL);
	CHECK_OK(mhp_tier_announce(pool.m, 0, 7, 0, "hot"));
	CHECK_EQ(last(&told)->kind, MHP_EV_TIER);
	CHECK_EQ(last(&told)->pages, 7);
	CHECK_OK(mhp_fini(NULL));
	test_pool_empty_and_close(&pool);
}

struct between {
	struct test_pool *pool;
	uint64_t last_seq;
	int again;
	struct mhp_block_info info;
};

static void
look_between(void *ctx, uint64_t last_seq)
{
	struct between *between = ctx;
	struct mhp_blocks run;
	between->last_seq = last_seq;
	CHECK_OK(mhp_range_get(between->pool->m, 1, &run));
	CHECK_OK(mhp_block_get(between->pool->m, 1, &between->info));
	between->again = mhp_between_events(between->pool->m, look_between, ctx);
}

/* R50: a picture that is of one moment, and whose number is known. */
TEST(trace__between_events__one_moment_with_a_number)
{
	struct recorder told;
	struct test_pool pool;
	struct between between = { .pool = &pool };

	open_pool(&pool, &told);
	CHECK_OK(add(&pool, 1, 1, SELF, 0));
	CHECK_OK(mhp_between_events(pool.m, look_between, &between));
	CHECK_EQ(between.last_seq, 1);
	CHECK_EQ(between.info.state, MHP_OFFLINE);
	CHECK_EQ(between.again, MHP_EDEADLK);
	CHECK_EQ(told.nr, 1);
	test_pool_empty_and_close(&pool);
}

/* R50: who listens changes nothing: the same calls, the same state. */
TEST(trace__with_and_without_a_listener__same_digest)
{
	uint64_t digest[2];
	for (unsigned i = 0; i < 2; i++) {
		struct recorder told = { 0 };
		struct test_pool pool;
		struct test_mover mover;
		test_pool_open(&pool, &(struct test_pool_opts){ .trace = i == 0 ? record : NULL,
								.trace_ctx = &told });
		test_mover_open(&mover, &pool, 16);
		CHECK_OK(add(&pool, 0, 3, SELF | MHP_ADD_ONLINE, 0));
		for (unsigned k = 0; k < 4; k++)
			CHECK_NE(test_mover_alloc(&mover, 0, 0), TEST_MOVER_NONE);
		CHECK_OK(mhp_block_offline(pool.m, 0, NULL, NULL));
		digest[i] = mhp_digest(pool.m);
		test_mover_close(&mover);
		test_pool_empty_and_close(&pool);
	}
	CHECK_EQ(digest[0], digest[1]);
}

/* Every kind, phase and cause has a name of its own. */
TEST(trace__names__all_different)
{
	for (unsigned i = 0; i < MHP_EV_KINDS; i++)
		for (unsigned k = 0; k < i; k++)
			CHECK(strcmp(mhp_event_name((enum mhp_event_kind)i),
				     mhp_event_name((enum mhp_event_kind)k)) != 0);
	for (unsigned i = 0; i < MHP_PHASES; i++)
		CHECK(strcmp(mhp_phase_name((enum mhp_phase)i), "?") != 0);
	for (unsigned i = 0; i <= MHP_CAUSE_POLICY; i++)
		CHECK(strcmp(mhp_cause_name((enum mhp_cause)i), "?") != 0);
	CHECK(strcmp(mhp_event_name(MHP_EV_KINDS), "?") == 0);
	CHECK(strcmp(mhp_phase_name(MHP_PHASES), "?") == 0);
	CHECK(strcmp(mhp_cause_name((enum mhp_cause)999), "?") == 0);
}
