/* SPDX-License-Identifier: MIT */
/*
 * input_test.c - whatever callers, owners and listeners say, the engine answers and stays whole.
 *
 * Every public call is made with arguments drawn from values that are wrong in all the usual ways,
 * mixed with right ones so that there is something to spoil. Owners and listeners answer nonsense
 * too. After each call: an error is a negative error, and unless something moved, the digest is
 * what it was; every few calls the verifier looks. Nothing may abort, crash or be left over.
 */
#include <stdlib.h>

#include "ledger.h"

#define BLOCKS 8U

struct world {
	struct test_pool pool;
	uint64_t random;
	uint16_t owners[3];        /* cannot move, can move, moves badly */
	uint64_t nr_ok;
};

/* ---- values ---- */

static uint64_t
next(struct world *world)
{
	return test_random(&world->random);
}

static uint64_t
below(struct world *world, uint64_t end)
{
	return next(world) % end;
}

static bool
one_in(struct world *world, uint64_t nr)
{
	return below(world, nr) == 0;
}

/* Mostly below end, else one of the numbers that break things. */
static uint64_t
number(struct world *world, uint64_t end)
{
	static const uint64_t odd[] = { 0, 1, 2, 7, 8, 9, 63, 64, 65, 255, 256, 4095, 65535,
					INT32_MAX, UINT64_C(1) << 31, UINT32_MAX,
					UINT64_C(1) << 32, UINT64_C(1) << 62, INT64_MAX,
					UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX };
	if (!one_in(world, 8))
		return below(world, end);
	if (one_in(world, 4))
		return end - 1 + below(world, 3);
	return one_in(world, 8) ? next(world) : odd[below(world, sizeof(odd) / sizeof(odd[0]))];
}

static uint64_t
some_pfn(struct world *world)
{
	return number(world, BLOCKS * world->pool.block_pages);
}

static struct mhp_span
some_span(struct world *world)
{
	uint64_t unit = one_in(world, 16) ? 1 + below(world, 4096) : world->pool.block_bytes;
	return (struct mhp_span){ { number(world, BLOCKS) * unit }, number(world, 4) * unit };
}

static struct mhp_blocks
some_blocks(struct world *world)
{
	return (struct mhp_blocks){ (uint32_t)number(world, BLOCKS), (uint32_t)number(world, 3) };
}

static struct mhp_add_opts
some_add(struct world *world)
{
	struct mhp_add_opts opts = { .flags = (uint32_t)number(world, 256),
				     .node = (uint8_t)number(world, 2),
				     .metadata_node = (uint8_t)number(world, 2),
				     .zone = (uint8_t)number(world, 3),
				     .backing = (uint16_t)next(world) };
	/* Memory of the simulator is what it was: not to be called zeroed. */
	opts.flags &= ~(uint32_t)MHP_ADD_ZEROED;
	if (one_in(world, 2))
		opts.flags &= MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE;
	return opts;
}

static struct mhp_offline_opts
some_offline(struct world *world)
{
	return (struct mhp_offline_opts){ .deadline_ms = (uint32_t)number(world, 100),
					  .attempts_max = (uint32_t)below(world, 4),
					  .dry_run = one_in(world, 4),
					  .scrub = one_in(world, 4) };
}

static struct mhp_page_req
some_req(struct world *world)
{
	struct mhp_page_req req = { .cookie = next(world),
				    .owner = (uint16_t)number(world, 12),
				    .order = (uint8_t)number(world, 3),
				    .node = one_in(world, 2) ? 0 : (uint8_t)number(world, 2),
				    .flags = (uint8_t)number(world, 4) };
	if (!one_in(world, 4))
		req.owner = world->owners[below(world, 3)];
	if (one_in(world, 16))
		req.zero[below(world, 3)] = 1;
	return req;
}

static struct mhp_step
some_step(struct world *world)
{
	return (struct mhp_step){ .kind = (enum mhp_step_kind)(uint32_t)number(world, 4),
				  .blocks = some_blocks(world),
				  .add = some_add(world),
				  .zone = (uint8_t)number(world, 3) };
}

/* ---- others who talk nonsense ---- */

static int
odd_answer(struct world *world)
{
	static const int answers[] = { MHP_EBUSY, MHP_EAGAIN, -9999, INT_MIN, 5, INT_MAX };
	return one_in(world, 2) ? 0 : answers[below(world, 6)];
}

static int
odd_isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)pfn, (void)order, (void)cookie;
	return odd_answer(ctx);
}

static int
odd_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)moves;
	*ret_done = one_in(ctx, 2) ? nr_moves : (unsigned)number(ctx, nr_moves + 1);
	return odd_answer(ctx);
}

static void
any_putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

/* Text without an end. */
static void
odd_describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	(void)ctx, (void)pfn, (void)cookie;
	memset(text, 'x', size);
}

static int
any_isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return 0;
}

static int
any_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx, (void)moves;
	*ret_done = nr_moves;
	return 0;
}

static const struct mhp_movable_ops any_ops = { any_isolate, any_migrate, any_putback, NULL };
static const struct mhp_movable_ops odd_ops = { odd_isolate, odd_migrate, any_putback,
						odd_describe };

/* Refuses now and then, and tries to change what is being changed. */
static int
odd_listener(void *ctx, const struct mhp_notice *notice)
{
	struct world *world = ctx;
	struct mhp_blocks blocks = { 0, 1 };
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	(void)notice;
	CHECK_RET(test_online(world->pool.m, blocks, MHP_ZONE_DEFAULT, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_set_policy(world->pool.m, &policy), MHP_EDEADLK);
	return one_in(world, 8) ? odd_answer(world) : 0;
}

/* ---- calls ---- */

static int
call_blocks(struct world *world)
{
	struct mhp *m = world->pool.m;
	struct mhp_offline_opts offline = some_offline(world);
	struct mhp_add_opts opts = some_add(world);
	struct mhp_blocks sets[2] = { some_blocks(world), some_blocks(world) };
	struct mhp_add_answer answer;
	struct mhp_why why;
	switch (below(world, 7)) {
	case 0:
		return mhp_add(m, sets[0], one_in(world, 8) ? NULL : &opts,
			       one_in(world, 2) ? NULL : &answer);
	case 1:
		return test_online(m, sets[0], (unsigned)number(world, 3),
				  one_in(world, 2) ? NULL : &why);
	case 2:
		return mhp_offline(m, sets, (unsigned)below(world, 3), &offline, &why);
	case 3:
		return mhp_block_offline(m, (uint32_t)number(world, BLOCKS), &offline, NULL);
	case 4:
		return mhp_remove(m, sets, (unsigned)below(world, 3), &offline, &why);
	case 5:
		return mhp_span_blocks(m, some_span(world), &sets[0]);
	default:
		return mhp_cancel(m, (uint32_t)number(world, BLOCKS));
	}
}

static int
call_pages(struct world *world)
{
	struct mhp *m = world->pool.m;
	struct mhp_page_req req = some_req(world);
	struct mhp_compact_result result;
	uint64_t pfn = some_pfn(world), got;
	switch (below(world, 8)) {
	case 0:
	case 1:
		return mhp_page_alloc(m, req, &got);
	case 2:
		return mhp_page_free(m, pfn);
	case 3:
		return mhp_pages_alloc_contig(m, req, number(world, 8), &got);
	case 4:
		return mhp_pages_free_contig(m, pfn, number(world, 8));
	case 5:
		return mhp_page_split(m, pfn, 0, NULL);
	case 6:
		return mhp_page_set_cookie(m, pfn, next(world));
	default:
		return mhp_compact(m, (unsigned)number(world, 2),
				   (enum mhp_zone_kind)(uint32_t)number(world, 3),
				   (uint32_t)number(world, 50), &result);
	}
}

static int
call_tables(struct world *world)
{
	struct mhp *m = world->pool.m;
	struct mhp_policy policy = {
		.online_policy = (enum mhp_online_policy)(uint32_t)number(world, 2),
		.auto_online = (enum mhp_auto_online)(uint32_t)number(world, 4),
		.auto_online_attempts = (uint32_t)below(world, 4),
		.auto_movable_ratio = (uint32_t)number(world, 400),
		.auto_movable_numa_aware = one_in(world, 2),
		.strict = one_in(world, 8),
	};
	struct mhp_movable_ops half = any_ops;
	uint16_t id = (uint16_t)number(world, 64);
	switch (below(world, 9)) {
	case 0:
		return mhp_set_policy(m, &policy);
	case 1:
		return mhp_set_memmap_on_memory(
			m, (enum mhp_memmap_switch)(uint32_t)number(world, 3));
	case 2:
		return mhp_bad_add(m, some_pfn(world));
	case 3:
		return mhp_bad_remove(m, some_pfn(world));
	case 4:
		half.migrate = one_in(world, 2) ? NULL : half.migrate;
		half.isolate = half.migrate != NULL ? NULL : half.isolate;
		return mhp_owner_register(m, one_in(world, 2) ? NULL : "",
					  one_in(world, 2) ? NULL : &half, NULL, &id);
	case 5:
		return mhp_owner_register(m, "thirty-two characters are too many", NULL, NULL,
					  &id);
	case 6:
		return mhp_listener_remove(m, id != 0 ? id : 1); /* 0 is ours */
	case 7:
		return mhp_owner_set_lost(m, id, one_in(world, 2) ? NULL : any_putback);
	default:
		return mhp_set_cpu_node(m, (unsigned)number(world, 2), (unsigned)number(world, 2));
	}
}

static int
call_plan(struct world *world)
{
	struct mhp_step steps[3] = { some_step(world), some_step(world), some_step(world) };
	struct mhp_offline_opts offline = some_offline(world);
	struct mhp_plan_answer answer;
	unsigned nr = (unsigned)below(world, 4);
	offline.dry_run = false;
	if (one_in(world, 2))
		return mhp_plan_preview(world->pool.m, steps, nr, &answer);
	return mhp_plan_commit(world->pool.m, steps, nr, one_in(world, 2) ? NULL : &offline,
			       one_in(world, 2) ? NULL : &answer);
}

/* Calls that only look; some cannot even fail. */
static int
call_looks(struct world *world)
{
	struct mhp *m = world->pool.m;
	struct mhp_block_info info;
	struct mhp_blocks range;
	struct mhp_zone_info zone;
	struct mhp_foresight foresight;
	uint64_t used_bytes, free_bytes;
	(void)mhp_frame_peek(m, some_pfn(world));
	(void)mhp_bad_test(m, some_pfn(world));
	(void)mhp_bad_count(m, some_pfn(world), some_pfn(world));
	(void)mhp_node_states(m, (unsigned)number(world, 2));
	CHECK(mhp_owner_name(m, (uint16_t)number(world, 64)) != NULL);
	CHECK(mhp_event_name((enum mhp_event_kind)(uint32_t)number(world, 12)) != NULL);
	CHECK(mhp_cause_text((enum mhp_cause)(uint32_t)number(world, 13)) != NULL);
	CHECK(mhp_memmap_reason_text((enum mhp_memmap_reason)(uint32_t)number(world, 8)) != NULL);
	switch (below(world, 6)) {
	case 5:
		range.first = (uint32_t)number(world, BLOCKS);
		range.count = (uint32_t)number(world, BLOCKS);
		return mhp_range_usage(m, range, &used_bytes, &free_bytes);
	case 0:
		return mhp_block_get(m, (uint32_t)number(world, BLOCKS), &info);
	case 1:
		return mhp_range_get(m, (uint32_t)number(world, BLOCKS), &range);
	case 2:
		return mhp_zone_get(m, (unsigned)number(world, 2),
				    (enum mhp_zone_kind)(uint32_t)number(world, 3), &zone);
	case 3:
		return mhp_policy_foresee(m, (unsigned)number(world, 2), some_pfn(world),
					  some_pfn(world), &foresight);
	default:
		mhp_drain_caches(m);
		return 0;
	}
}

/* ---- the run ---- */

static void
open_world(struct world *world, const char *shape)
{
	struct test_pool_opts opts = { .shape = shape, .meta_bytes = 1 << 20 };
	uint16_t id;
	test_pool_open(&world->pool, &opts);
	CHECK_OK(mhp_owner_register(world->pool.m, "stuck", NULL, NULL, &world->owners[0]));
	CHECK_OK(mhp_owner_register(world->pool.m, "moves", &any_ops, world, &world->owners[1]));
	CHECK_OK(mhp_owner_register(world->pool.m, "odd", &odd_ops, world, &world->owners[2]));
	CHECK_OK(mhp_listener_add(world->pool.m, odd_listener, world, 0, &id));
	CHECK_EQ(id, 0);
}

static void
try_remove(struct world *world, uint32_t block)
{
	struct mhp_blocks blocks = { block, 1 };
	if (test_block(&world->pool, block).state != MHP_ABSENT &&
	    mhp_remove(world->pool.m, &blocks, 1, NULL, NULL) == 0)
		world->nr_ok++;
}

/* Free every page and remove every block; hosts of metadata go in a round after their guests. */
static void
close_world(struct world *world)
{
	uint64_t max_pfn = BLOCKS * world->pool.block_pages;
	CHECK_OK(mhp_listener_remove(world->pool.m, 0));
	for (uint64_t pfn = 0; pfn < max_pfn; pfn++)
		(void)mhp_page_free(world->pool.m, pfn);
	for (uint32_t round = 0; round < BLOCKS; round++)
		for (uint32_t block = 0; block < BLOCKS; block++)
			try_remove(world, block);
	test_pool_close(&world->pool);
}

static uint64_t
pages_moved(struct world *world)
{
	struct mhp_stats stats;
	mhp_get_stats(world->pool.m, &stats);
	return stats.pages_moved;
}

static void
call_anything(struct world *world)
{
	static int (*const calls[])(struct world *world) = { call_blocks, call_pages, call_tables,
							     call_plan, call_looks };
	uint64_t before = mhp_digest(world->pool.m), moved = pages_moved(world);
	uint64_t which = below(world, 5);
	int error = calls[which](world);
	CHECK_CMP(error, <=, 0);
	world->nr_ok += error == 0;
	/* A bad page that is in use is remembered, and that is state. */
	if (error != 0 && moved == pages_moved(world) && !(which == 2 && error == MHP_EBUSY))
		CHECK_EQ(mhp_digest(world->pool.m), before);
}

/* R17: every public call, with everything that can be wrong. */
TEST(input__nonsense__is_answered_and_changes_nothing)
{
	static const char *const shapes[] = { "tiny1", "tiny2", "tiny8" };
	/* Where sections must be large, the verifier takes long. */
	bool slow = test_geometry("tiny1").block_order > 3;
	uint64_t nr = test_ops(slow ? 60000 : 300000), nr_ok = 0;
	for (unsigned i = 0; i < 3; i++) {
		struct world world = { .random = test_seed() + i };
		open_world(&world, shapes[i]);
		for (uint64_t left = nr / 3; left > 0; left--) {
			test_at("shape %s, %" PRIu64 " calls to go", shapes[i], left);
			call_anything(&world);
			if (left % 64 == 0)
				test_pool_check(&world.pool);
		}
		nr_ok += world.nr_ok;
		close_world(&world);
	}
	CHECK_CMP(nr_ok, >, nr / 10);
	test_say("%" PRIu64 " calls, %" PRIu64 " of them worked", nr, nr_ok);
}

/* ---- starting an instance ---- */

static struct mhp_geometry
some_geometry(uint64_t *random)
{
	uint64_t bits = test_random(random), more = test_random(random);
	struct mhp_geometry geo = { .page_shift = (uint8_t)(bits % 20),
				    .pageblock_order = (uint8_t)(bits >> 8) % 12,
				    .section_order = (uint8_t)(bits >> 16) % 20,
				    .block_order = (uint8_t)(bits >> 24) % 34,
				    .nr_nodes = (uint16_t)(bits >> 32) % 70,
				    .nr_cpus = (uint16_t)(bits >> 48),
				    .nr_blocks = (uint32_t)more >> (more >> 32) % 32,
				    .nr_bad_pages = (uint32_t)(more >> 40) % 64 };
	if (more >> 63 != 0)
		geo.nr_cpus %= 4;
	return geo;
}

/* R17: geometries of all kinds: a footprint, or an error; and what fits starts. */
TEST(input__geometries__start_or_are_refused)
{
	struct mhp_config config = { .geometry = test_geometry("tiny2") };
	uint64_t random = test_seed(), nr_started = 0;
	struct test_pool pool;
	test_pool_open(&pool, NULL);
	for (uint64_t left = test_ops(100000); left > 0; left--) {
		struct mhp *m;
		size_t bytes = SIZE_MAX;
		config = pool.config;
		config.geometry = some_geometry(&random);
		test_at("%" PRIu64 " to go", left);
		int error = mhp_footprint(&config.geometry, &bytes);
		if (error != 0) {
			CHECK_RET(error, MHP_EINVAL);
			CHECK_EQ(bytes, SIZE_MAX);
			continue;
		}
		if (bytes > 1 << 20)
			continue;
		void *memory = aligned_alloc(64, bytes);
		CHECK(memory != NULL);
		memset(memory, 0, bytes);
		error = mhp_init(memory, bytes, &config, &m);
		/* A granule may be too large for its blocks. */
		CHECK(error == 0 || (MHP_VMEMMAP && error == MHP_EINVAL));
		if (error == 0) {
			CHECK_EQ(mhp_check(m, true, NULL, NULL), 0);
			CHECK_OK(mhp_fini(m));
			nr_started++;
		}
		free(memory);
	}
	CHECK_CMP(nr_started, >, 0U);
	test_pool_close(&pool);
}

/* R17: memory too small or misaligned, functions missing: refused, memory untouched. */
TEST(input__init__refuses_what_is_not_whole)
{
	struct test_pool pool;
	struct mhp *m;
	size_t bytes = 0;
	test_pool_open(&pool, NULL);
	CHECK_OK(mhp_footprint(&pool.config.geometry, &bytes));
	unsigned char *memory = aligned_alloc(64, bytes + 64);
	CHECK(memory != NULL);
	memset(memory, 0, bytes + 64);
	CHECK_RET(mhp_init(memory, bytes - 1, &pool.config, &m), MHP_ENOSPC);
	CHECK_RET(mhp_init(memory, 0, &pool.config, &m), MHP_ENOSPC);
	CHECK_RET(mhp_init(memory + 8, bytes, &pool.config, &m), MHP_EINVAL);
	struct mhp_config config = pool.config;
	config.ops = NULL;
	CHECK_RET(mhp_init(memory, bytes, &config, &m), MHP_EINVAL);
	config = pool.config;
	config.geometry.page_shift = 0;
	CHECK_RET(mhp_init(memory, bytes, &config, &m), MHP_EINVAL);
	config = pool.config;
	config.caps.large_granule_shift = 41;
	CHECK_RET(mhp_init(memory, bytes, &config, &m), MHP_VMEMMAP ? MHP_EINVAL : 0);
	memset(memory, 0, bytes);
	config = pool.config;
	config.direct_map = NULL; /* identity-mapped */
	CHECK_OK(mhp_init(memory, bytes, &config, &m));
	CHECK_EQ((uintptr_t)mhp_pfn_to_virt(m, 3), 3U << config.geometry.page_shift);
	memset(memory, 0, bytes);
	config = pool.config;
	config.vmemmap = NULL;
	if (MHP_VMEMMAP)
		CHECK_RET(mhp_init(memory, bytes, &config, &m), MHP_EINVAL);
	for (unsigned i = 0; i < 11; i++) {
		struct mhp_port_ops ops = *pool.config.ops;
		config = pool.config;
		config.ops = &ops;
		test_at("function %u is missing", i);
		ops.map = i == 0 ? NULL : ops.map;
		ops.unmap = i == 1 ? NULL : ops.unmap;
		ops.meta_alloc = i == 2 ? NULL : ops.meta_alloc;
		ops.meta_free = i == 3 ? NULL : ops.meta_free;
		ops.lock = i == 4 ? NULL : ops.lock;
		ops.unlock = i == 5 ? NULL : ops.unlock;
		ops.self = i == 6 ? NULL : ops.self;
		ops.now_ns = i == 7 ? NULL : ops.now_ns;
		ops.pause = i == 8 ? NULL : ops.pause;
		ops.memmap_map = i == 9 ? NULL : ops.memmap_map;
		ops.memmap_unmap = i == 10 ? NULL : ops.memmap_unmap;
		if (i < 9 || MHP_VMEMMAP)
			CHECK_RET(mhp_init(memory, bytes, &config, &m), MHP_EINVAL);
	}
	for (size_t i = 0; i < bytes + 64; i++)
		CHECK_EQ(memory[i], 0);
	CHECK_OK(mhp_init(memory, bytes, &pool.config, &m));
	CHECK_EQ(mhp_get_geometry(m)->nr_blocks, pool.config.geometry.nr_blocks);
	CHECK_OK(mhp_fini(m));
	free(memory);
	test_pool_close(&pool);
}
