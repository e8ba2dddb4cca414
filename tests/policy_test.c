/* SPDX-License-Identifier: MIT */
/*
 * policy_test.c - which zone memory goes to, what is foreseen, and what comes online by itself.
 *
 * Blocks of one size with their metadata outside, so that amounts are counts of blocks and a ratio
 * of 300 % is three blocks to one. What mhp_policy_foresee() says is held against where the next
 * block really goes, in any state that a random walk finds.
 */
#include "state/instance.h"
#include "test.h"

static void
open_pool(struct test_pool *pool)
{
	test_pool_open(pool, &(struct test_pool_opts){ .shape = "small", .meta_bytes = 1U << 24 });
}

static void
set_policy(struct mhp *m, enum mhp_online_policy online_policy, uint32_t ratio, bool numa_aware,
	   bool strict)
{
	struct mhp_policy policy = MHP_POLICY_DEFAULT;

	policy.online_policy = online_policy;
	policy.auto_movable_ratio = ratio;
	policy.auto_movable_numa_aware = numa_aware;
	policy.strict = strict;
	CHECK_OK(mhp_set_policy(m, &policy));
}

static void
add(struct test_pool *pool, uint32_t block, unsigned node, uint32_t flags, unsigned zone)
{
	struct mhp_add_opts opts = { .node = (uint8_t)node, .zone = (uint8_t)zone,
				     .flags = flags };
	CHECK_OK(mhp_add(pool->m, (struct mhp_blocks){ block, 1 }, &opts, NULL));
}

static unsigned
zone_of(struct test_pool *pool, uint32_t block)
{
	struct mhp_block_info info;

	CHECK_OK(mhp_block_get(pool->m, block, &info));
	CHECK_EQ(info.state, MHP_ONLINE);
	return info.zone;
}

/* Bring a new block online, in the zone that the policy chooses, and say which. */
static unsigned
plug(struct test_pool *pool, uint32_t block, unsigned node)
{
	add(pool, block, node, MHP_ADD_ONLINE, MHP_ZONE_DEFAULT);
	return zone_of(pool, block);
}

/* Memory of the start: what the ratio goes by. */
static void
boot(struct test_pool *pool, uint32_t block, unsigned node)
{
	add(pool, block, node, MHP_ADD_BOOT | MHP_ADD_ONLINE, MHP_ZONE_NORMAL);
}

/* ---- contiguous zones ---- */

/* R23 */
TEST(policy__contiguous__normal_unless_movable_spans)
{
	struct test_pool pool;

	open_pool(&pool);
	CHECK_EQ(plug(&pool, 5, 0), MHP_ZONE_NORMAL);
	add(&pool, 7, 0, MHP_ADD_ONLINE, MHP_ZONE_MOVABLE);
	add(&pool, 10, 0, MHP_ADD_ONLINE, MHP_ZONE_MOVABLE);
	CHECK_EQ(plug(&pool, 8, 0), MHP_ZONE_MOVABLE);  /* between two of them */
	CHECK_EQ(plug(&pool, 9, 1), MHP_ZONE_NORMAL);   /* those are of another node */
	CHECK_EQ(plug(&pool, 11, 0), MHP_ZONE_NORMAL);  /* behind the last one; NORMAL spans all */
	CHECK_EQ(plug(&pool, 6, 0), MHP_ZONE_NORMAL);
	CHECK_EQ(plug(&pool, 12, 0), MHP_ZONE_NORMAL);
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

TEST(policy__contiguous__never_movable_amid_normal)
{
	struct mhp_blocks eight = { 8, 1 };
	struct test_pool pool;

	open_pool(&pool);
	add(&pool, 7, 0, MHP_ADD_ONLINE, MHP_ZONE_MOVABLE);
	add(&pool, 9, 0, MHP_ADD_ONLINE, MHP_ZONE_MOVABLE);
	add(&pool, 6, 0, MHP_ADD_ONLINE, MHP_ZONE_NORMAL);
	CHECK_EQ(plug(&pool, 8, 0), MHP_ZONE_MOVABLE);
	CHECK_OK(mhp_offline(pool.m, &eight, 1, NULL, NULL));
	add(&pool, 10, 0, MHP_ADD_ONLINE, MHP_ZONE_NORMAL);
	CHECK_OK(test_online(pool.m, eight, MHP_ZONE_DEFAULT, NULL));
	CHECK_EQ(zone_of(&pool, 8), MHP_ZONE_NORMAL); /* both span it */
	test_pool_empty_and_close(&pool);
}

/* ---- amounts ---- */

/* R23, R70: converts before the ratio is broken; what comes to NORMAL later allows no more. */
TEST(policy__auto_movable__only_memory_of_the_start_counts)
{
	struct test_pool pool;

	open_pool(&pool);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 100, false, false);
	for (uint32_t block = 0; block < 4; block++)
		boot(&pool, block, 0);
	for (uint32_t block = 4; block < 8; block++)
		CHECK_EQ(plug(&pool, block, 0), MHP_ZONE_MOVABLE);
	for (uint32_t block = 8; block < 15; block++)
		CHECK_EQ(plug(&pool, block, 0), MHP_ZONE_NORMAL);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, UINT32_MAX, false, false);
	CHECK_EQ(plug(&pool, 15, 0), MHP_ZONE_MOVABLE);
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* R70: without memory of the start, or with a ratio of 0, nothing goes to MOVABLE. */
TEST(policy__auto_movable__nothing_to_compare_with__normal)
{
	struct test_pool pool;

	open_pool(&pool);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 300, false, false);
	CHECK_EQ(plug(&pool, 0, 0), MHP_ZONE_NORMAL);
	CHECK_EQ(plug(&pool, 1, 0), MHP_ZONE_NORMAL);
	boot(&pool, 2, 0);
	CHECK_EQ(plug(&pool, 3, 0), MHP_ZONE_MOVABLE);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 0, false, false);
	CHECK_EQ(plug(&pool, 4, 0), MHP_ZONE_NORMAL);
	test_pool_empty_and_close(&pool);
}

/* R70: memory of the start that went to MOVABLE meanwhile is MOVABLE. */
TEST(policy__auto_movable__memory_of_the_start__counts_where_it_is)
{
	struct mhp_blocks one = { 1, 1 };
	struct test_pool pool;

	open_pool(&pool);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 100, false, false);
	boot(&pool, 0, 0);
	boot(&pool, 1, 0);
	CHECK_OK(mhp_offline(pool.m, &one, 1, NULL, NULL));
	CHECK_OK(test_online(pool.m, one, MHP_ZONE_MOVABLE, NULL));
	CHECK_EQ(plug(&pool, 2, 0), MHP_ZONE_NORMAL);
	CHECK_OK(mhp_offline(pool.m, &one, 1, NULL, NULL));
	CHECK_OK(test_online(pool.m, one, MHP_ZONE_NORMAL, NULL));
	CHECK_EQ(plug(&pool, 3, 0), MHP_ZONE_MOVABLE);
	CHECK_EQ(plug(&pool, 4, 0), MHP_ZONE_MOVABLE);
	CHECK_EQ(plug(&pool, 5, 0), MHP_ZONE_NORMAL);
	test_pool_empty_and_close(&pool);
}

static unsigned
online_one(struct test_pool *pool, uint32_t block)
{
	struct mhp_blocks one = { block, 1 };

	CHECK_OK(test_online(pool->m, one, MHP_ZONE_DEFAULT, NULL));
	return zone_of(pool, block);
}

static uint8_t
foreseen_zone(struct test_pool *pool, uint32_t block)
{
	struct mhp_foresight foresight;

	CHECK_OK(mhp_policy_foresee(pool->m, 0, block * pool->block_pages, pool->block_pages,
				    &foresight));
	return foresight.zone;
}

/* R70: what one add has brought goes to MOVABLE only if all that is left of it fits. */
TEST(policy__auto_movable__a_group_goes_alike)
{
	struct mhp_add_opts opts = { .flags = MHP_ADD_OFFLINE };
	struct test_pool pool;

	open_pool(&pool);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 100, false, false);
	for (uint32_t block = 0; block < 4; block++)
		boot(&pool, block, 0);
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 4, 5 }, &opts, NULL));
	CHECK_EQ(foreseen_zone(&pool, 6), MHP_ZONE_NORMAL);
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 9, 3 }, &opts, NULL));
	CHECK_EQ(foreseen_zone(&pool, 10), MHP_ZONE_MOVABLE);
	CHECK_EQ(online_one(&pool, 6), MHP_ZONE_NORMAL);  /* five blocks are too many */
	CHECK_EQ(online_one(&pool, 10), MHP_ZONE_MOVABLE); /* three are not */
	CHECK_EQ(online_one(&pool, 9), MHP_ZONE_MOVABLE);
	CHECK_EQ(plug(&pool, 12, 0), MHP_ZONE_MOVABLE);
	CHECK_EQ(plug(&pool, 13, 0), MHP_ZONE_MOVABLE);   /* the last one that fits */
	CHECK_EQ(foreseen_zone(&pool, 11), MHP_ZONE_NORMAL);
	CHECK_EQ(online_one(&pool, 11), MHP_ZONE_NORMAL);
	CHECK_OK(mhp_remove(pool.m, &(struct mhp_blocks){ 12, 2 }, 1, NULL,
			    NULL));
	CHECK_EQ(online_one(&pool, 4), MHP_ZONE_NORMAL);  /* as the first of its group */
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* R70: a group is what is left of an add, whatever came into its gaps. */
TEST(policy__auto_movable__a_group_with_a_gap__is_one)
{
	struct mhp_add_opts opts = { .flags = MHP_ADD_OFFLINE };
	struct mhp_blocks gap;
	struct test_pool pool;

	open_pool(&pool);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 100, false, false);
	for (uint32_t block = 0; block < 3; block++)
		boot(&pool, block, 0);
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 6, 6 }, &opts, NULL));
	CHECK_EQ(foreseen_zone(&pool, 6), MHP_ZONE_NORMAL);
	gap = (struct mhp_blocks){ 7, 3 };
	CHECK_OK(mhp_remove(pool.m, &gap, 1, NULL, NULL));
	CHECK_EQ(foreseen_zone(&pool, 6), MHP_ZONE_MOVABLE);
	add(&pool, 8, 0, MHP_ADD_OFFLINE, 0);             /* another one */
	CHECK_EQ(online_one(&pool, 11), MHP_ZONE_MOVABLE);
	CHECK_EQ(foreseen_zone(&pool, 8), MHP_ZONE_MOVABLE);
	CHECK_EQ(online_one(&pool, 8), MHP_ZONE_MOVABLE);
	CHECK_EQ(online_one(&pool, 6), MHP_ZONE_NORMAL);  /* it and block 10 do not fit any more */
	CHECK_EQ(online_one(&pool, 10), MHP_ZONE_NORMAL);
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* R23: what one call brings online counts for its own later blocks. */
TEST(policy__auto_movable__counts_what_the_call_has_decided)
{
	struct mhp_add_opts opts = { .flags = MHP_ADD_ONLINE, .zone = MHP_ZONE_DEFAULT };
	struct mhp_blocks singles = { 1, 5 };
	struct test_pool pool;

	open_pool(&pool);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 300, true, false);
	boot(&pool, 0, 0);
	for (uint32_t block = 1; block < 6; block++)
		add(&pool, block, 0, MHP_ADD_OFFLINE, 0);
	CHECK_OK(test_online(pool.m, singles, MHP_ZONE_DEFAULT, NULL));
	for (uint32_t block = 1; block < 6; block++)
		CHECK_EQ(zone_of(&pool, block), block <= 3 ? MHP_ZONE_MOVABLE : MHP_ZONE_NORMAL);
	CHECK_OK(mhp_offline(pool.m, &singles, 1, NULL, NULL));
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 6, 3 }, &opts, NULL));
	for (uint32_t block = 6; block < 9; block++)
		CHECK_EQ(zone_of(&pool, block), MHP_ZONE_MOVABLE);
	test_pool_empty_and_close(&pool);
}

/* R23, R70: per node; one without memory of the start takes nothing. */
TEST(policy__numa_aware__node_by_node)
{
	struct test_pool pool;

	open_pool(&pool);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 100, true, false);
	for (uint32_t block = 0; block < 4; block++)
		boot(&pool, block, 0);
	CHECK_EQ(plug(&pool, 4, 1), MHP_ZONE_NORMAL);
	boot(&pool, 5, 1);
	CHECK_EQ(plug(&pool, 6, 1), MHP_ZONE_MOVABLE);
	CHECK_EQ(plug(&pool, 7, 1), MHP_ZONE_NORMAL);  /* enough on the whole, but not there */
	CHECK_EQ(plug(&pool, 8, 0), MHP_ZONE_MOVABLE);
	set_policy(pool.m, MHP_POLICY_AUTO_MOVABLE, 100, false, false);
	CHECK_EQ(plug(&pool, 9, 1), MHP_ZONE_MOVABLE);
	test_pool_empty_and_close(&pool);
}

/* R23: refuses before the ratio is broken; R17: nothing has changed. */
TEST(policy__strict__refuses_what_breaks_the_ratio)
{
	struct mhp_add_opts opts = { .flags = MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE };
	struct mhp_blocks one = { 2, 1 };
	struct test_pool pool;
	struct mhp_why why;
	uint64_t digest;

	open_pool(&pool);
	set_policy(pool.m, MHP_POLICY_CONTIG_ZONES, 100, true, true);
	digest = mhp_digest(pool.m);
	CHECK_RET(mhp_add(pool.m, (struct mhp_blocks){ 0, 1 }, &opts, NULL), MHP_EPERM);
	CHECK_EQ(mhp_digest(pool.m), digest);
	boot(&pool, 0, 0);
	add(&pool, 1, 0, MHP_ADD_ONLINE, MHP_ZONE_MOVABLE);
	add(&pool, 2, 0, MHP_ADD_OFFLINE, 0);
	digest = mhp_digest(pool.m);
	CHECK_RET(test_online(pool.m, one, MHP_ZONE_MOVABLE, &why), MHP_EPERM);
	CHECK_EQ(why.cause, MHP_CAUSE_POLICY);
	CHECK_EQ(why.block, 2);
	CHECK_EQ(mhp_digest(pool.m), digest);
	CHECK_RET(test_online(pool.m, one, 7, NULL), MHP_EINVAL);
	set_policy(pool.m, MHP_POLICY_CONTIG_ZONES, 100, true, false);
	CHECK_OK(test_online(pool.m, one, MHP_ZONE_MOVABLE, NULL));
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* ---- foresight ---- */

TEST(foresee__amounts_and_errors)
{
	struct mhp_foresight foresight;
	struct test_pool pool;
	uint64_t pages, end;

	open_pool(&pool);
	pages = pool.block_pages;
	end = pages * pool.config.geometry.nr_blocks;
	CHECK_OK(mhp_policy_foresee(pool.m, 0, 0, pages, &foresight));
	CHECK_EQ(foresight.ratio_after, UINT32_MAX);
	CHECK_EQ(foresight.movable_fits, false);
	boot(&pool, 0, 0);
	boot(&pool, 1, 1);
	add(&pool, 2, 0, MHP_ADD_ONLINE, MHP_ZONE_MOVABLE);
	add(&pool, 8, 0, MHP_ADD_ONLINE, MHP_ZONE_NORMAL); /* came later */
	CHECK_OK(mhp_policy_foresee(pool.m, 0, 3 * pages, 2 * pages, &foresight));
	CHECK_EQ(foresight.zone, MHP_ZONE_NORMAL);
	CHECK_EQ(foresight.normal_pages, 2 * pages);
	CHECK_EQ(foresight.movable_pages, pages);
	CHECK_EQ(foresight.ratio_after, 150);
	CHECK_EQ(foresight.movable_fits, true);
	CHECK_RET(mhp_policy_foresee(pool.m, 2, 0, pages, &foresight), MHP_ENODEV);
	CHECK_RET(mhp_policy_foresee(pool.m, 0, 0, 0, &foresight), MHP_EINVAL);
	CHECK_RET(mhp_policy_foresee(pool.m, 0, end, 1, &foresight), MHP_ENXIO);
	CHECK_RET(mhp_policy_foresee(pool.m, 0, end - 1, 2, &foresight), MHP_ENXIO);
	CHECK_RET(mhp_policy_foresee(pool.m, 0, 1, UINT64_MAX, &foresight), MHP_ENXIO);
	test_pool_empty_and_close(&pool);
}

static void
foresee_and_plug(struct test_pool *pool, uint32_t block, unsigned node)
{
	struct mhp_foresight foresight;
	uint64_t pages = pool->block_pages;

	CHECK_OK(mhp_policy_foresee(pool->m, node, block * pages, pages, &foresight));
	CHECK_EQ(plug(pool, block, node), foresight.zone);
}

/* R23: says what it foresees. */
TEST(foresee__random_walk__comes_true)
{
	uint64_t random = test_seed();
	struct test_pool pool;

	open_pool(&pool);
	for (uint64_t i = 0; i < test_ops(3000); i++) {
		uint32_t block = (uint32_t)(test_random(&random) % 16);
		struct mhp_blocks blocks = { block, 1 };
		struct mhp_block_info info;

		test_at("step %" PRIu64, i);
		if (i % 10 == 0)
			set_policy(pool.m, (enum mhp_online_policy)(test_random(&random) % 2),
				   (uint32_t)(test_random(&random) % 400),
				   test_random(&random) % 2 != 0, false);
		CHECK_OK(mhp_block_get(pool.m, block, &info));
		if (info.state != MHP_ABSENT)
			CHECK_OK(mhp_remove(pool.m, &blocks, 1, NULL, NULL));
		else if (test_random(&random) % 3 == 0)
			add(&pool, block, test_random(&random) % 2, MHP_ADD_ONLINE,
			    test_random(&random) % 2);
		else
			foresee_and_plug(&pool, block, test_random(&random) % 2);
	}
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* ---- knobs ---- */

static void
count_policy_events(void *ctx, const struct mhp_event *event)
{
	*(unsigned *)ctx += event->kind == MHP_EV_POLICY;
}

/* R17, R51 */
TEST(policy__knobs__checked_and_traced)
{
	struct mhp_policy policy = MHP_POLICY_DEFAULT, have;
	unsigned nr_events = 0;
	struct test_pool pool;

	test_pool_open(&pool, &(struct test_pool_opts){ .trace = count_policy_events,
							.trace_ctx = &nr_events });
	mhp_get_policy(pool.m, &have);
	CHECK_EQ(have.auto_movable_ratio, 301);
	CHECK_EQ(have.auto_online_attempts, 3);
	CHECK_EQ(have.auto_online, MHP_AUTO_OFFLINE);
	CHECK_EQ(have.online_policy, MHP_POLICY_CONTIG_ZONES);
	CHECK(have.auto_movable_numa_aware && !have.strict);
	policy.online_policy = (enum mhp_online_policy)2;
	CHECK_RET(mhp_set_policy(pool.m, &policy), MHP_EINVAL);
	policy.online_policy = MHP_POLICY_AUTO_MOVABLE;
	policy.auto_online = (enum mhp_auto_online)4;
	CHECK_RET(mhp_set_policy(pool.m, &policy), MHP_EINVAL);
	CHECK_RET(mhp_set_policy(pool.m, NULL), MHP_EINVAL);
	policy.auto_online = MHP_AUTO_ONLINE;
	policy.auto_online_attempts = MHP_AUTO_ONLINE_ATTEMPTS_MAX + 1;
	CHECK_RET(mhp_set_policy(pool.m, &policy), MHP_EINVAL);
	mhp_get_policy(pool.m, &have);
	CHECK_EQ(have.online_policy, MHP_POLICY_CONTIG_ZONES);
	CHECK_EQ(nr_events, 0);
	policy.auto_online = MHP_AUTO_ONLINE;
	policy.auto_online_attempts = 0; /* the default */
	CHECK_OK(mhp_set_policy(pool.m, &policy));
	mhp_get_policy(pool.m, &have);
	CHECK_EQ(have.auto_online_attempts, 3);
	CHECK_EQ(have.online_policy, MHP_POLICY_AUTO_MOVABLE);
	CHECK_EQ(nr_events, 1);
	test_pool_check(&pool);
	test_pool_close(&pool);
}

/* ---- coming online by itself ---- */

static int
refuse_some(void *ctx, const struct mhp_notice *notice)
{
	unsigned *left = ctx;

	if (notice->kind != MHP_GOING_ONLINE_NOTICE || *left == 0)
		return 0;
	--*left;
	return MHP_EBUSY;
}

static void
set_auto(struct mhp *m, enum mhp_auto_online auto_online, uint32_t attempts)
{
	struct mhp_policy policy = MHP_POLICY_DEFAULT;

	policy.auto_online = auto_online;
	policy.auto_online_attempts = attempts;
	CHECK_OK(mhp_set_policy(m, &policy));
}

/* R22 */
TEST(auto_online__policy__decides_zone)
{
	struct mhp_add_opts opts = { .flags = 0 };
	struct mhp_block_info info;
	struct test_pool pool;

	open_pool(&pool);
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 1 }, &opts, NULL));
	CHECK_OK(mhp_block_get(pool.m, 0, &info));
	CHECK_EQ(info.state, MHP_OFFLINE);
	set_auto(pool.m, MHP_AUTO_ONLINE, 0);
	CHECK_EQ((add(&pool, 1, 0, 0, 0), zone_of(&pool, 1)), MHP_ZONE_NORMAL);
	set_auto(pool.m, MHP_AUTO_ONLINE_MOVABLE, 0);
	CHECK_EQ((add(&pool, 2, 0, 0, 0), zone_of(&pool, 2)), MHP_ZONE_MOVABLE);
	set_auto(pool.m, MHP_AUTO_ONLINE_KERNEL, 0);
	CHECK_EQ((add(&pool, 3, 0, 0, 0), zone_of(&pool, 3)), MHP_ZONE_NORMAL);
	add(&pool, 4, 0, MHP_ADD_OFFLINE, 0);
	CHECK_OK(mhp_block_get(pool.m, 4, &info));
	CHECK_EQ(info.state, MHP_OFFLINE);
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* R22: bounded retry; memory that stays offline is no failure of the add. */
TEST(auto_online__refused__retried_then_left_offline)
{
	struct mhp_add_opts opts = { .flags = 0 };
	struct mhp_add_answer answer;
	struct mhp_stats stats;
	struct test_pool pool;
	unsigned refusals = 4;
	uint16_t id;

	open_pool(&pool);
	CHECK_OK(mhp_listener_add(pool.m, refuse_some, &refusals, 0, &id));
	set_auto(pool.m, MHP_AUTO_ONLINE, 5);
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 1 }, &opts, &answer));
	CHECK_EQ(answer.online_error, 0);
	CHECK_EQ(zone_of(&pool, 0), MHP_ZONE_NORMAL);
	mhp_get_stats(pool.m, &stats);
	CHECK_EQ(stats.auto_online_retries, 4);
	refusals = 9;
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 1, 1 }, &opts, &answer));
	CHECK_EQ(answer.online_error, MHP_EBUSY);
	CHECK_EQ(refusals, 4);
	mhp_get_stats(pool.m, &stats);
	CHECK_EQ(stats.blocks_online, 1);
	CHECK_EQ(stats.blocks_present, 2);
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

struct slow_refusal {
	struct mhp_sim *sim;
	unsigned nr;
};

static int
refuse_slowly(void *ctx, const struct mhp_notice *notice)
{
	struct slow_refusal *slow = ctx;

	if (notice->kind != MHP_GOING_ONLINE_NOTICE)
		return 0;
	slow->nr++;
	mhp_sim_advance(slow->sim, UINT64_C(3600000000000));
	return MHP_EPERM;
}

/* R29: the attempts to come online by itself end with the deadline of the add, which stays. */
TEST(auto_online__deadline_passes__no_other_attempt)
{
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY };
	struct mhp_add_answer answer;
	struct mhp_block_info info;
	struct slow_refusal slow;
	struct test_pool pool;
	uint16_t listener;

	open_pool(&pool);
	slow = (struct slow_refusal){ .sim = pool.sim };
	policy.auto_online = MHP_AUTO_ONLINE;
	CHECK_OK(mhp_set_policy(pool.m, &policy));
	CHECK_OK(mhp_listener_add(pool.m, refuse_slowly, &slow, 0, &listener));
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 1 }, &opts, &answer));
	CHECK_RET(answer.online_error, MHP_EPERM);
	CHECK_EQ(slow.nr, 1);
	CHECK_OK(mhp_block_get(pool.m, 0, &info));
	CHECK_EQ(info.state, MHP_OFFLINE);
	CHECK_OK(mhp_listener_remove(pool.m, listener));
	test_pool_empty_and_close(&pool);
}
