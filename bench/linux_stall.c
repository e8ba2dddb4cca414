/* SPDX-License-Identifier: MIT */
/*
 * linux_stall.c - how long a writer waits while a full block of 128 MiB leaves.
 *
 * A thread stores to random words of the region and times every store. A wait is a store that took
 * longer than 20 us; p99.9 is of the waits, which is a harder measure than that of all stores. In
 * the first row nothing moves: that is what the machine itself does to the thread. Writer and
 * mover run with real-time priority where that is allowed, so that other programs that want the
 * CPU do not count as waits; the writer rests now and then, as the kernel's own threads, which a
 * move needs, would not run at all otherwise.
 */
#define _GNU_SOURCE
#include "linux.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 8U
#define QUIET_MS 500
#define WAIT_NS 20000U
#define WAITS_MAX (1U << 18)
#define STORES_A_TURN 2000U
#define BYTES (BENCH_BLOCK - BENCH_HUGE)

struct writer {
	unsigned char *base;
	_Atomic bool go, stop;
	double *wait_us;
	size_t nr_waits;
};

static void
rest(long us)
{
	struct timespec time = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&time, NULL);
}

static bool
hurry(bool on)
{
	struct sched_param param = { .sched_priority = on };

	return pthread_setschedparam(pthread_self(), on ? SCHED_FIFO : SCHED_OTHER, &param) == 0;
}

static void
write_turn(struct writer *writer, uint64_t *seed)
{
	for (unsigned i = 0; i < STORES_A_TURN; i++) {
		*seed ^= *seed << 13;
		*seed ^= *seed >> 7;
		*seed ^= *seed << 17;
		void *at = writer->base + *seed % BYTES / 8 * 8;
		uint64_t start = bench_now_ns();
		atomic_store_explicit((_Atomic uint64_t *)at, *seed, memory_order_relaxed);
		uint64_t ns = bench_now_ns() - start;
		if (ns > WAIT_NS && writer->nr_waits < WAITS_MAX)
			writer->wait_us[writer->nr_waits++] = (double)ns / 1e3;
	}
}

static void *
write_loop(void *ctx)
{
	struct writer *writer = ctx;
	uint64_t seed = 88172645463325252U;

	hurry(true);
	while (!atomic_load(&writer->stop)) {
		if (atomic_load(&writer->go))
			write_turn(writer, &seed);
		rest(50);
	}
	return NULL;
}

static void
commit(struct mhp_region *region, uint64_t unit)
{
	unsigned char *base = mhp_region_base(region);

	for (unsigned odd = 0; odd < 2; odd++)
		for (uint64_t at = odd * unit; at + unit <= BYTES; at += 2 * unit)
			bench_must(mhp_region_commit(region, base + at, unit), "commit", NULL);
}

static void
report(const char *title, struct writer *writer, double seconds,
       const struct mhp_pool_stats *stats)
{
	double batches = (double)(stats->move_batches != 0 ? stats->move_batches : 1);

	printf("%-34s %8zu", title, writer->nr_waits);
	for (unsigned i = 0; i < 4; i++) {
		static const double shares[] = { .5, .99, .999, 1 };
		double us = bench_share(writer->wait_us, writer->nr_waits, shares[i]);
		printf(" %8.2f", us / 1e3);
	}
	printf(" %9.2f %9.2f %9.0f\n", (double)stats->stall_sum_ns / 1e6 / batches,
	       (double)stats->stall_max_ns / 1e6, seconds / ROUNDS * 1e3);
}

/* One block leaves, or a moment passes; seconds. */
static double
round_seconds(struct mhp_pool *pool, struct writer *writer, uint32_t leaving, bool leave)
{
	if (leave)
		bench_online(pool, 1 - leaving);
	hurry(true);
	atomic_store(&writer->go, true);
	uint64_t start = bench_now_ns();
	if (leave)
		bench_offline(pool, leaving);
	else
		rest(QUIET_MS * 1000);
	double seconds = (double)(bench_now_ns() - start) / 1e9;
	atomic_store(&writer->go, false);
	hurry(false);
	rest(200000); /* others want to live, too */
	return seconds;
}

/* unit 0: nothing moves. */
static void
measure(const char *title, bool huge, uint64_t unit)
{
	struct mhp_pool *pool = bench_pool(4 * BENCH_BLOCK);
	struct writer writer = { .wait_us = calloc(WAITS_MAX, sizeof(double)) };
	struct mhp_pool_stats stats;
	struct mhp_region *region;
	double seconds = 0;
	pthread_t thread;

	if (!bench_can_move(pool, title))
		return bench_end(pool);
	bench_add(pool, 2 * BENCH_BLOCK, huge ? MHP_BACKING_HUGETLB_2M : MHP_BACKING_MEMFD);
	bench_offline(pool, 1);
	bench_must(mhp_region_create(pool, "bench", BENCH_BLOCK, &region, NULL), "region", NULL);
	commit(region, unit != 0 ? unit : BENCH_HUGE);
	writer.base = mhp_region_base(region);
	memset(writer.base, 1, BYTES);
	if (writer.wait_us == NULL || pthread_create(&thread, NULL, write_loop, &writer) != 0)
		bench_die("a thread");
	for (uint32_t round = 0; round < ROUNDS; round++)
		seconds += round_seconds(pool, &writer, round % 2, unit != 0);
	atomic_store(&writer.stop, true);
	pthread_join(thread, NULL);
	mhp_pool_get_stats(pool, &stats);
	report(title, &writer, seconds, &stats);
	free(writer.wait_us);
	mhp_region_destroy(region);
	bench_end(pool);
}

void
bench_stall(void)
{
	bool fast = hurry(true);

	hurry(false);
	printf("\na writer while a full block leaves, %u times%s: waits longer than %u us, ms: "
	       "median, p99, p99.9, longest; ms a batch held writers up: mean, longest; ms to "
	       "leave\n", ROUNDS, fast ? ", with real-time priority" : "", WAIT_NS / 1000);
	measure("nothing leaves", false, 0);
	measure("memfd, scattered in 4 KiB", false, BENCH_PAGE);
	measure("memfd, scattered in 64 KiB", false, 64 << 10);
	measure("memfd, scattered in 2 MiB", false, BENCH_HUGE);
	if (bench_reserve_huge(3 * BENCH_BLOCK / BENCH_HUGE))
		measure("hugetlb, 2 MiB pages", true, BENCH_HUGE);
	else
		printf("hugetlb, 2 MiB pages: left out: no huge pages can be reserved\n");
}
