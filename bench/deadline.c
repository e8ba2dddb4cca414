/* SPDX-License-Identifier: MIT */
/*
 * deadline.c - how far a change goes beyond its deadline, from 1,000 blocks to 64,000.
 *
 * The port's clock is the CPU time of the thread here, so that a busy machine changes nothing: what
 * is measured is how long the engine goes without a look at its bounds, and how long it takes to
 * undo what it did. Half of the blocks are to leave, with 400,000 pages that can move in use; or
 * all of them are to come.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>

#define NR_PAGES 400000U
#define MS 1000000.0

static int
let_go(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return 0;
}

static int
move_nothing(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx, (void)moves;
	*ret_done = nr_moves;
	return 0;
}

static void
take_back(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static const struct mhp_movable_ops mover = { let_go, move_nothing, take_back, NULL };

static uint64_t
cpu_clock(void *port)
{
	(void)port;
	return bench_thread_ns();
}

static void
open_half_used(struct bench_pool *pool, uint32_t nr_blocks)
{
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE | MHP_ADD_ZEROED,
		.zone = MHP_ZONE_MOVABLE,
	};
	struct mhp_page_req req = { .cookie = 0 };
	uint64_t pfn;

	bench_pool_open(pool, nr_blocks);
	pool->ops.now_ns = cpu_clock;
	if (mhp_owner_register(pool->m, "bench", &mover, NULL, &req.owner) != 0 ||
	    mhp_add(pool->m, (struct mhp_blocks){ 0, nr_blocks }, &opts, NULL) != 0)
		bench_die("a pool for deadlines");
	for (unsigned i = 0; i < NR_PAGES; i++)
		if (mhp_page_alloc(pool->m, req, &pfn) != 0)
			bench_die("mhp_page_alloc");
}

enum { OFFLINE, DRY_RUN, SCRUB, COMPACT, ADD, KINDS };

static int
change(struct mhp *m, unsigned kind, uint32_t nr_blocks, uint32_t deadline_ms)
{
	struct mhp_offline_opts opts = {
		.deadline_ms = deadline_ms, .dry_run = kind == DRY_RUN, .scrub = kind == SCRUB
	};
	struct mhp_blocks blocks = { 0, nr_blocks / 2 };
	struct mhp_compact_result result;
	struct mhp_add_opts add = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE | MHP_ADD_ZEROED,
				    .zone = MHP_ZONE_MOVABLE, .deadline_ms = deadline_ms };

	if (kind == ADD)
		return mhp_add(m, (struct mhp_blocks){ 0, nr_blocks }, &add, NULL);
	if (kind == COMPACT)
		return mhp_compact(m, 0, MHP_ZONE_MOVABLE, deadline_ms, &result);
	if (kind == SCRUB)
		return mhp_remove(m, &blocks, 1, &opts, NULL);
	return mhp_offline(m, &blocks, 1, &opts, NULL);
}

/* The worst of several deadlines, in ms; those that are met do not count. */
static double
worst(struct mhp *m, unsigned kind, uint32_t nr_blocks)
{
	double over = 0;

	for (uint32_t ms = 1; ms <= 8; ms *= 2) {
		uint64_t start = bench_thread_ns();
		int err = change(m, kind, nr_blocks, ms);
		double took = (double)(bench_thread_ns() - start) / MS;
		if (err != MHP_EAGAIN)
			break;
		if (took - ms > over)
			over = took - ms;
	}
	return over;
}

void
bench_deadlines(void)
{
	static const uint32_t nr_blocks[] = { 1000, 8000, 64000 };

	printf("\nms of CPU time beyond a deadline of 1 to 8 ms, half of the blocks leaving\n");
	printf("%8s%10s%10s%10s%10s%10s\n", "blocks", "offline", "dry run", "scrub", "compact",
	       "add");
	for (unsigned i = 0; i < sizeof(nr_blocks) / sizeof(nr_blocks[0]); i++) {
		struct bench_pool pool;
		open_half_used(&pool, nr_blocks[i]);
		printf("%8u", nr_blocks[i]);
		for (unsigned kind = 0; kind < ADD; kind++)
			printf("%10.2f", worst(pool.m, kind, nr_blocks[i]));
		bench_pool_close(&pool);
		bench_pool_open(&pool, nr_blocks[i]);
		pool.ops.now_ns = cpu_clock;
		printf("%10.2f\n", worst(pool.m, ADD, nr_blocks[i]));
		bench_pool_close(&pool);
	}
}
