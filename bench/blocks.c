/* SPDX-License-Identifier: MIT */
/*
 * blocks.c - what a block costs: add, online, offline (empty) and remove, from 1 block to 64 TiB.
 *
 * Blocks of 128 MiB on simulated memory: the core's own work, without a port's mapping. Each row is
 * one call for all blocks of the row; the last column is what the instance came to hold.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>

#define ROUNDS 5U

struct cost {
	double add, online, offline, remove;
	uint64_t resident;
};

static void
must(int err, const char *what)
{
	if (err != 0)
		bench_die(what);
}

static void
measure(uint32_t nr_blocks, struct cost *cost)
{
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_ADD_ZEROED |
			 MHP_ADD_OFFLINE,
	};
	struct mhp_online_opts movable = { .zone = MHP_ZONE_MOVABLE };
	struct mhp_blocks blocks = { 0, nr_blocks };
	uint64_t resident = bench_resident_bytes(), at[5];
	struct bench_pool pool;

	bench_pool_open(&pool, nr_blocks);
	at[0] = bench_thread_ns();
	must(mhp_add(pool.m, blocks, &opts, NULL), "mhp_add");
	at[1] = bench_thread_ns();
	must(mhp_online(pool.m, &blocks, 1, &movable, NULL), "mhp_online");
	at[2] = bench_thread_ns();
	cost->resident = bench_resident_bytes() - resident;
	must(mhp_offline(pool.m, &blocks, 1, NULL, NULL), "mhp_offline");
	at[3] = bench_thread_ns();
	must(mhp_remove(pool.m, &blocks, 1, NULL, NULL), "mhp_remove");
	at[4] = bench_thread_ns();
	bench_pool_close(&pool);
	cost->add = (double)(at[1] - at[0]) / nr_blocks;
	cost->online = (double)(at[2] - at[1]) / nr_blocks;
	cost->offline = (double)(at[3] - at[2]) / nr_blocks;
	cost->remove = (double)(at[4] - at[3]) / nr_blocks;
}

static void
row(uint32_t nr_blocks)
{
	double add[ROUNDS], online[ROUNDS], offline[ROUNDS], remove[ROUNDS];
	struct cost cost = { 0, 0, 0, 0, 0 };

	for (unsigned i = 0; i < ROUNDS; i++) {
		measure(nr_blocks, &cost);
		add[i] = cost.add;
		online[i] = cost.online;
		offline[i] = cost.offline;
		remove[i] = cost.remove;
	}
	printf("%8u %10.3f%10.0f%10.0f%10.0f%10.0f%12.1f\n", nr_blocks, nr_blocks / 8192.0,
	       bench_median(add, ROUNDS), bench_median(online, ROUNDS),
	       bench_median(offline, ROUNDS), bench_median(remove, ROUNDS),
	       (double)cost.resident / 1048576);
}

void
bench_blocks_all(void)
{
	static const uint32_t nr_blocks[] = { 1, 16, 256, 8192, 65536, 524288 };

	printf("blocks of 128 MiB, fresh instances: ns of CPU time per block, median of %u\n",
	       ROUNDS);
	printf("%8s %10s%10s%10s%10s%10s%12s\n", "blocks", "TiB", "add", "online", "offline",
	       "remove", "RSS MiB");
	for (unsigned i = 0; i < sizeof(nr_blocks) / sizeof(nr_blocks[0]); i++)
		row(nr_blocks[i]);
}
