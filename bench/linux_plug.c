/* SPDX-License-Identifier: MIT */
/*
 * linux_plug.c - what plugging and onlining very much memory costs a process: time and memory.
 *
 * The memory is sparse, so nothing but the engine's and the port's own work is in it. Each round
 * is a new pool; what a pool came to hold is the growth of the resident set.
 */
#define _GNU_SOURCE
#include "linux.h"

#include <stdio.h>

#define ROUNDS 5U

static double
resident_mib(void)
{
	return (double)bench_resident_bytes() / (1 << 20);
}

static void
row(const char *title, uint64_t bytes)
{
	double wall[ROUNDS], cpu[ROUNDS], held[ROUNDS], leave[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		double before = resident_mib();
		uint64_t start = bench_now_ns(), start_cpu = bench_process_ns();
		struct mhp_pool *pool = bench_pool(bytes);
		bench_add(pool, bytes, MHP_BACKING_RAM);
		wall[i] = (double)(bench_now_ns() - start) / 1e6;
		cpu[i] = (double)(bench_process_ns() - start_cpu) / 1e6;
		held[i] = resident_mib() - before;
		start = bench_now_ns();
		bench_end(pool);
		leave[i] = (double)(bench_now_ns() - start) / 1e6;
	}
	printf("%-34s %8.1f %10.1f %10.1f %10.1f\n", title, bench_share(wall, ROUNDS, .5),
	       bench_share(cpu, ROUNDS, .5), bench_share(leave, ROUNDS, .5),
	       bench_share(held, ROUNDS, .5));
}

void
bench_plug(void)
{
	printf("\nplug and online, ram: ms, ms of CPU time, ms to remove all, RSS MiB; median of "
	       "%u\n", ROUNDS);
	row("128 MiB", BENCH_BLOCK);
	row("1 TiB", UINT64_C(1) << 40);
	row("64 TiB", UINT64_C(64) << 40);
}
