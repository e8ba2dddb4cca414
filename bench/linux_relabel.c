/* SPDX-License-Identifier: MIT */
/*
 * linux_relabel.c - how long it takes a full block of `ram` to leave.
 *
 * Nothing is copied and nothing is mapped, so the time is the engine's and that of writing a table:
 * it goes by the number of pieces that the block is in. Beside it stands what copying as much
 * memory costs, which is what leaving cost when pages had to move.
 */
#define _GNU_SOURCE
#include "linux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 9U
/* The rest of a block is its reserve. */
#define FILLED (BENCH_BLOCK - 2 * BENCH_HUGE)

/* Every second piece first, so that no two neighbours are in one. */
static char *
fill(struct mhp_region *region, uint64_t unit)
{
	char *base = mhp_region_base(region);

	for (uint64_t odd = 0; odd < 2; odd++)
		for (uint64_t at = odd * unit; at + unit <= FILLED; at += 2 * unit)
			bench_must(mhp_region_commit(region, base + at, unit), "commit", NULL);
	memset(base, 1, FILLED);
	return base;
}

static double
copy_ms(const char *from)
{
	char *to = malloc(FILLED);
	double best = 1e9;

	if (to == NULL)
		bench_die("malloc");
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t start = bench_thread_ns();
		memcpy(to, from, FILLED);
		__asm__ volatile("" : : "r"(to) : "memory"); /* it is wanted */
		double ms = (double)(bench_thread_ns() - start) / 1e6;
		best = ms < best ? ms : best;
	}
	free(to);
	return best;
}

static void
measure(uint64_t unit)
{
	struct mhp_pool *pool = bench_pool(8 * BENCH_BLOCK);
	struct mhp_region *region;
	struct mhp_pool_stats stats;
	double samples[ROUNDS];

	bench_add(pool, BENCH_BLOCK, MHP_BACKING_RAM);
	bench_must(mhp_region_create(pool, "bench", 2 * BENCH_BLOCK, &region, NULL), "region",
		   NULL);
	char *base = fill(region, unit);
	bench_add(pool, BENCH_BLOCK, MHP_BACKING_RAM);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t start = bench_thread_ns();
		bench_offline(pool, round % 2);
		samples[round] = (double)(bench_thread_ns() - start) / 1e6;
		bench_online(pool, round % 2);
	}
	mhp_pool_get_stats(pool, &stats);
	printf("  pieces of %4llu KiB  %7.3f ms   copying it %7.1f ms   bytes copied %llu\n",
	       (unsigned long long)(unit >> 10), bench_share(samples, ROUNDS, 0.5), copy_ms(base),
	       (unsigned long long)stats.moved_pages * 4096);
	mhp_region_destroy(region);
	bench_end(pool);
}

void
bench_relabel(void)
{
	printf("\na full block of ram leaves, 124 MiB of data: ms of CPU time, median of %u\n",
	       ROUNDS);
	measure(BENCH_PAGE);
	measure(64 << 10);
	measure(BENCH_HUGE);
}
