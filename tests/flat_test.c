/* SPDX-License-Identifier: MIT */
/*
 * flat_test.c - what one call costs does not depend on how much memory there is.
 *
 * Cost is counted, never timed: a child does the call between two traps, and its instructions are
 * single-stepped (ptrace); or the resident memory of the process is looked at. Each case is run in
 * a small zone and in one of thousands of blocks, and both must cost the same, but for the levels
 * of a tree here and there.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger.h"

#define STEPS_MAX 2000000U
#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)

/* ---- counting ---- */

/* Steps of a stopped child until it raises SIGTRAP itself. */
static uint64_t
steps_to_trap(pid_t child)
{
	uint64_t steps = 0;
	int status;

	for (; steps < STEPS_MAX; steps++) {
		siginfo_t info;
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 ||
		    waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
			return 0;
		if (ptrace(PTRACE_GETSIGINFO, child, NULL, &info) == 0 && info.si_code <= 0)
			break; /* raised, not stepped */
	}
	return steps;
}

/* Instructions of fn(ctx), with those of raise(). The child's changes stay in the child. */
static uint64_t
steps_of(void (*fn)(void *ctx), void *ctx)
{
	uint64_t steps = 0;
	int status;

	if (TEST_TSAN)
		test_skip("needs plain-build"); /* what TSan does beside each access varies */
	pid_t child = fork();
	CHECK_CMP(child, >=, 0);
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(1);
		raise(SIGTRAP);
		fn(ctx);
		raise(SIGTRAP);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	if (!WIFSTOPPED(status))
		test_skip("needs ptrace");
	steps = steps_to_trap(child);
	kill(child, SIGKILL);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_CMP(steps, >, 0U);
	CHECK_CMP(steps, <, STEPS_MAX);
	return steps;
}

static uint64_t
resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	CHECK(file != NULL && fscanf(file, "%*u %llu", &pages) == 1);
	fclose(file);
	return pages * 4096;
}

/* ---- zones ---- */

struct zone {
	struct test_pool pool;
	struct mhp *m;
	uint16_t owner;
	unsigned order;                /* of the request */
	int want;                      /* its result */
};

/* Blocks of 2 MiB, pageblocks of 64 pages. */
static void
open_zone(struct zone *zone, uint32_t nr_blocks)
{
	struct mhp_geometry geo = { 12, 6, 9, 9, 1, 2, nr_blocks, 0 };
	struct test_pool_opts opts = { .geometry = &geo, .plain = true, .no_fault = true,
				       .fill = MHP_SIM_KEEP };
	struct mhp_add_opts add = { .flags = SELF | MHP_ADD_ONLINE, .zone = MHP_ZONE_NORMAL };

	test_pool_open(&zone->pool, &opts);
	zone->m = zone->pool.m;
	CHECK_OK(mhp_owner_register(zone->m, "data", NULL, NULL, &zone->owner));
	CHECK_OK(mhp_add(zone->m, (struct mhp_blocks){ 0, nr_blocks }, &add, NULL));
}

static int
take(struct zone *zone, unsigned order, uint64_t *ret_pfn)
{
	struct mhp_page_req req = { .owner = zone->owner, .order = (uint8_t)order };
	return mhp_page_alloc(zone->m, req, ret_pfn);
}

/* Take all of it, and give back those frames in a thousand that lie below `keep`. */
static void
thin_out(struct zone *zone, bool (*keep)(uint64_t pfn))
{
	uint64_t pfn, end = (uint64_t)zone->pool.config.geometry.nr_blocks << 9;

	while (take(zone, 0, &pfn) == 0)
		;
	for (pfn = 0; pfn < end; pfn++)
		if (!keep(pfn) && mhp_frame_peek(zone->m, pfn).state == MHP_FRAME_USED)
			CHECK_OK(mhp_page_free(zone->m, pfn));
	mhp_drain_caches(zone->m);
}

static void
close_zone(struct zone *zone)
{
	test_pool_discard(&zone->pool);
}

static void
take_one(void *ctx)
{
	struct zone *zone = ctx;
	uint64_t pfn;

	if (take(zone, zone->order, &pfn) != zone->want)
		_exit(1);
}

/* ---- the cases ---- */

static bool
is_even(uint64_t pfn)
{
	return pfn % 2 == 0;
}

/* A run of eight frames in the second half of each pageblock; the rest is in use. */
static bool
is_off_the_hole(uint64_t pfn)
{
	return pfn % 64 < 40 || pfn % 64 >= 48;
}

static uint64_t
cost_of(uint32_t nr_blocks, bool (*keep)(uint64_t pfn), unsigned order, int want)
{
	struct zone zone = { .order = order, .want = want };

	open_zone(&zone, nr_blocks);
	thin_out(&zone, keep);
	uint64_t steps = steps_of(take_one, &zone);
	close_zone(&zone);
	return steps;
}

/* AIMS: every second frame is in use; orders 1 to 8 look at the lists and know. */
TEST(flat__no_hole_is_large_enough__same_work_in_any_zone)
{
	for (unsigned order = 1; order <= 6; order++) {
		test_at("order %u", order);
		CHECK_CMP(cost_of(1024, is_even, order, MHP_ENOMEM), <=,
			  cost_of(4, is_even, order, MHP_ENOMEM) + 64);
	}
}

/* And where there is one, they find it. */
TEST(flat__holes_are_large_enough__same_work_in_any_zone)
{
	for (unsigned order = 1; order <= 3; order++) {
		test_at("order %u", order);
		CHECK_CMP(cost_of(1024, is_off_the_hole, order, 0), <=,
			  cost_of(4, is_off_the_hole, order, 0) + 64);
	}
}

/* However many holes there are, and in however many arenas: none is broken up before they are
 * used. */
TEST(flat__holes_in_a_thousand_arenas__used_before_a_pageblock_is_broken_up)
{
	struct zone zone = { .order = 3 };
	uint64_t pfn, nr = 0;

	open_zone(&zone, 1024);
	thin_out(&zone, is_off_the_hole);
	for (uint64_t i = 1000 * 512 + 64; i < 1000 * 512 + 128; i++)
		if (mhp_frame_peek(zone.m, i).state == MHP_FRAME_USED)
			CHECK_OK(mhp_page_free(zone.m, i));
	mhp_drain_caches(zone.m); /* one free pageblock among 7,000 holes */
	while (take(&zone, 3, &pfn) == 0 && pfn / 64 != (1000 * 512 + 64) / 64)
		nr++;
	mhp_drain_caches(zone.m);
	/* What one batch of a cache took is still there. */
	CHECK_CMP(nr + 8, >=, UINT64_C(1024) * 8 - 2 - 1);
	close_zone(&zone);
}

static void
add_on_node(void *ctx)
{
	struct zone *zone = ctx;
	struct mhp_add_opts add = { .flags = MHP_MEMMAP_ON_NODE |
					     MHP_ADD_OFFLINE };
	uint32_t last = zone->pool.config.geometry.nr_blocks - 1;

	if (mhp_add(zone->m, (struct mhp_blocks){ last, 1 }, &add, NULL) != 0)
		_exit(1);
}

/* What it costs to add one block more whose metadata lies in the blocks before. */
static uint64_t
cost_on_node(uint32_t nr_blocks)
{
	struct mhp_add_opts add = { .flags = MHP_MEMMAP_ON_NODE |
					     MHP_ADD_OFFLINE };
	struct zone zone;

	open_zone(&zone, nr_blocks);
	struct mhp_blocks blocks = { nr_blocks / 2, nr_blocks - nr_blocks / 2 };
	CHECK_OK(mhp_remove(zone.m, &blocks, 1, NULL, NULL));
	blocks.count--;
	CHECK_OK(mhp_add(zone.m, blocks, &add, NULL));
	uint64_t steps = steps_of(add_on_node, &zone);
	close_zone(&zone);
	return steps;
}

/* AIMS: metadata on other blocks is placed behind that of the block before. */
TEST(flat__metadata_on_other_blocks__same_work_for_each_add)
{
	CHECK_CMP(cost_on_node(1024), <=, cost_on_node(8) + 512);
}

/* AIMS: a failed allocation, and the verifier, touch nothing of what is absent. */
TEST(flat__nothing_between_two_blocks__nothing_there_is_touched)
{
	struct mhp_geometry geo = test_geometry("tera");
	struct test_pool_opts opts = { .geometry = &geo, .plain = true, .no_fault = true,
				       .fill = MHP_SIM_KEEP };
	struct mhp_add_opts add = { .flags = SELF | MHP_ADD_ONLINE, .zone = MHP_ZONE_NORMAL };
	struct zone zone = { .order = 3 };
	uint64_t pfn;

	if (TEST_TSAN || TEST_ASAN)
		geo.nr_blocks = 1U << 13;
	test_pool_open(&zone.pool, &opts);
	zone.m = zone.pool.m;
	CHECK_OK(mhp_owner_register(zone.m, "data", NULL, NULL, &zone.owner));
	CHECK_OK(mhp_add(zone.m, (struct mhp_blocks){ 0, 1 }, &add, NULL));
	CHECK_OK(mhp_add(zone.m, (struct mhp_blocks){ geo.nr_blocks - 1, 1 }, &add, NULL));
	while (take(&zone, 0, &pfn) == 0)
		;
	uint64_t before = resident_bytes();
	CHECK_RET(take(&zone, 3, &pfn), MHP_ENOMEM);
	CHECK_OK(mhp_check(zone.m, false, NULL, NULL));
	CHECK_OK(mhp_check(zone.m, true, NULL, NULL));
	CHECK_CMP(resident_bytes() - before, <, UINT64_C(1) << 20);
	test_pool_discard(&zone.pool);
}
