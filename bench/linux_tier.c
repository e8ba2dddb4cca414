/* SPDX-License-Identifier: MIT */
/*
 * linux_tier.c - how many accesses find their page near when a quarter of the memory is near.
 *
 * A thread reads and writes 1 GiB by Zipf's law with exponent 0.99, once with the hot pages side by
 * side and once scattered. 256 MiB of `ram` are near, a file stands in for a far device. Beside
 * what tiering reaches stand oracles that know how often each window of 2 MiB, or each piece of
 * 64 KiB, is used and may choose as many as are near, what memory that is spread over both by
 * turns gets, and a model of what the windows get that such looks found used most recently (LRU by
 * sampling). The share is reckoned from where the pieces are, by what the kernel says, and how
 * often each is used.
 */
#define _GNU_SOURCE
#include "linux.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOWS 512U
#define PAGES (WINDOWS * 512U)
#define PIECE 16U                      /* pages: tiering tells no smaller pieces apart */
#define PIECES (PAGES / PIECE)
#define NEAR_BLOCKS 2U
#define FAR_BLOCKS 7U
#define SECONDS 60U
#define SHARED (UINT64_C(1) << 61)     /* in pagemap */

struct trace {
	char *base;
	uint32_t *page;                /* by rank */
	double *sum;                   /* weights of ranks up to this one */
	uint64_t nr_ranks;
	double weight[PIECES];         /* share of the accesses */
	atomic_bool stop;
	_Atomic uint64_t accesses;
};

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	return *seed ^= *seed << 17;
}

/* 1/n^0.99 is n^0.01/n; ln is what its own series adds up to. */
static void
weigh(struct trace *trace, uint64_t nr)
{
	double ln = 0;
	trace->nr_ranks = nr;
	trace->sum = malloc(nr * sizeof(*trace->sum));
	if (trace->sum == NULL)
		bench_die("malloc");
	for (uint64_t n = 1; n <= nr; n++) {
		if (n > 1)
			ln += 1.0 / (double)n + 0.5 / ((double)n * (double)(n - 1));
		double weight = (1 + ln / 100 + ln * ln / 20000) / (double)n;
		trace->sum[n - 1] = (n > 1 ? trace->sum[n - 2] : 0) + weight;
	}
}

/* Ranks are windows, each page of them alike; or ranks are pages, anywhere. */
static void
lay_out(struct trace *trace, bool scattered, uint64_t seed)
{
	uint64_t nr = scattered ? PAGES : WINDOWS;
	weigh(trace, nr);
	trace->page = malloc(nr * sizeof(*trace->page));
	if (trace->page == NULL)
		bench_die("malloc");
	for (uint64_t i = 0; i < nr; i++)
		trace->page[i] = (uint32_t)(i * (PAGES / nr));
	for (uint64_t i = nr - 1; i > 0; i--) {
		uint64_t other = next_random(&seed) % (i + 1);
		uint32_t held = trace->page[i];
		trace->page[i] = trace->page[other];
		trace->page[other] = held;
	}
	for (uint64_t i = 0; i < nr; i++)
		for (uint64_t page = trace->page[i]; page < trace->page[i] + PAGES / nr; page++)
			trace->weight[page / PIECE] +=
				(trace->sum[i] - (i > 0 ? trace->sum[i - 1] : 0)) /
				trace->sum[nr - 1] / (double)(PAGES / nr);
}

static uint64_t
rank_at(const struct trace *trace, double at)
{
	uint64_t low = 0, high = trace->nr_ranks - 1;
	while (low < high) {
		uint64_t middle = (low + high) / 2;
		if (trace->sum[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *
use(void *arg)
{
	struct trace *trace = arg;
	uint64_t seed = 88172645463325252, spread = PAGES / trace->nr_ranks, done = 0;
	while (!atomic_load_explicit(&trace->stop, memory_order_relaxed)) {
		uint64_t dice = next_random(&seed);
		double at = (double)(dice >> 11) / 9007199254740992.0 *
			    trace->sum[trace->nr_ranks - 1];
		uint64_t page = trace->page[rank_at(trace, at)] + next_random(&seed) % spread;
		_Atomic uint64_t *word = (_Atomic uint64_t *)(trace->base + page * BENCH_PAGE);
		if (dice % 8 == 0)
			atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
		else
			(void)atomic_load_explicit(word, memory_order_relaxed);
		if (++done % 1024 == 0)
			atomic_fetch_add(&trace->accesses, 1024);
	}
	return NULL;
}

/* The pieces that are in ordinary memory: how many, and the share of accesses that they get. */
static double
near_share(const struct trace *trace, unsigned *ret_near)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	double share = 0;
	*ret_near = 0;
	for (unsigned piece = 0; piece < PIECES; piece++) {
		uint64_t entry = SHARED;
		const char *at = trace->base + piece * PIECE * BENCH_PAGE;
		(void)*(const volatile char *)at;
		if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)at / BENCH_PAGE *
							     sizeof(entry))) != sizeof(entry))
			bench_die("pagemap");
		if ((entry & SHARED) != 0)
			continue;
		share += trace->weight[piece];
		++*ret_near;
	}
	close(fd);
	return share;
}

static int
heavier(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? 1 : left > right ? -1 : 0;
}

/* What one gets who knows all weights and has room for nr pieces near, moving `together` of them at
 * a time. */
static double
oracle_share(const struct trace *trace, unsigned nr, unsigned together)
{
	static double weight[PIECES];
	double share = 0;
	memset(weight, 0, sizeof(weight));
	for (unsigned i = 0; i < PIECES; i++)
		weight[i / together] += trace->weight[i];
	qsort(weight, PIECES / together, sizeof(weight[0]), heavier);
	for (unsigned i = 0; i < nr / together; i++)
		share += weight[i];
	return share;
}

/*
 * What nr windows near get that were found used most recently, when half of all are looked at in
 * each of some turns, for as long as these accesses take; those that were found alike stay.
 */
static double
lru_share(const struct trace *trace, unsigned nr)
{
	enum { TURNS = 90, ACCESSES = 20000 };
	unsigned seen[WINDOWS] = { 0 };
	uint64_t seed = 99;
	double share = 0, weight[WINDOWS] = { 0 };
	for (unsigned i = 0; i < PIECES; i++)
		weight[i / (PIECES / WINDOWS)] += trace->weight[i];
	for (unsigned turn = 1; turn <= TURNS; turn++)
		for (unsigned i = 0; i < ACCESSES; i++) {
			double at = (double)(next_random(&seed) >> 11) / 9007199254740992.0;
			at *= trace->sum[trace->nr_ranks - 1];
			uint64_t page = trace->page[rank_at(trace, at)];
			if (page / 512 / (WINDOWS / 2) == turn % 2)
				seen[page / 512] = turn;
		}
	for (unsigned turn = TURNS, left = nr; left > 0; turn--)
		for (unsigned i = 0; i < WINDOWS && left > 0; i++)
			if (seen[i * 4 % WINDOWS + i * 4 / WINDOWS] == turn) {
				share += weight[i * 4 % WINDOWS + i * 4 / WINDOWS];
				left--;
			}
	return share;
}

/* A file in memory stands in for the device. */
static void
add_far(struct mhp_pool *pool)
{
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE,
	};
	struct mhp_backing backing = { .kind = MHP_BACKING_FILE };
	struct mhp_text text = { "" };
	snprintf(backing.path, sizeof(backing.path), "/dev/shm/bench-tier.XXXXXX");
	int fd = mkstemp(backing.path);
	if (fd < 0 || ftruncate(fd, (off_t)(FAR_BLOCKS * BENCH_BLOCK)) != 0)
		bench_die("a file in /dev/shm");
	int err = mhp_pool_add(pool, &backing, FAR_BLOCKS * BENCH_BLOCK, &opts, NULL, &text);
	unlink(backing.path);
	close(fd);
	bench_must(err, "mhp_pool_add", &text);
}

static struct mhp_region *
make_region(struct mhp_pool *pool, struct trace *trace)
{
	struct mhp_spread turns = { .mode = MHP_SPREAD_INTERLEAVE, .weight = { 1, 3 } };
	struct mhp_spread local = { .mode = MHP_SPREAD_LOCAL };
	struct mhp_text text = { "" };
	struct mhp_region *region;
	bench_must(mhp_pool_set_spread(pool, &turns, &text), "interleave", &text);
	bench_must(mhp_region_create(pool, "bench", WINDOWS * BENCH_HUGE, &region, NULL), "region",
		   NULL);
	trace->base = mhp_region_base(region);
	bench_must(mhp_region_commit(region, trace->base, WINDOWS * BENCH_HUGE), "commit", NULL);
	/* Full windows would get huge pages of the file, of which tiering sees little. */
	for (uint64_t page = 0; page < PAGES; page += 2)
		trace->base[page * BENCH_PAGE] = 1;
	bench_must(mhp_pool_set_spread(pool, &local, &text), "local", &text);
	struct mhp_pool_stats stats;
	do { /* bound: the settler looks 20 times a second */
		usleep(100000);
		mhp_pool_get_stats(pool, &stats);
	} while (stats.settled_bytes < WINDOWS * BENCH_HUGE / 2);
	for (uint64_t page = 1; page < PAGES; page += 2)
		trace->base[page * BENCH_PAGE] = 1;
	return region;
}

static void
report(struct mhp_pool *pool, const struct trace *trace, unsigned second)
{
	struct mhp_tiering_stats stats;
	unsigned near;
	double share = near_share(trace, &near);
	double windows = oracle_share(trace, near, PIECES / WINDOWS);
	double pieces = oracle_share(trace, near, 1);
	mhp_pool_get_tiering_stats(pool, &stats);
	printf("  %3u s  near %.3f  oracle %.3f with windows of 2M, of it %.3f; %.3f with pieces "
	       "of 64K, of it %.3f   moved %5llu MiB  %5.2f GiB/s of CPU "
	       "time  looking %.1f %%  moving %.1f %% of a CPU  refused %llu\n",
	       second, share, windows, share / windows, pieces, share / pieces,
	       (unsigned long long)(stats.moved_pages >> 8),
	       stats.move_cpu_ns == 0 ? 0 : (double)(stats.moved_pages << 12) / 1.073741824 /
					    (double)stats.move_cpu_ns,
	       (double)stats.look_cpu_ns / 1e7 / (second != 0 ? second : 1),
	       (double)stats.move_cpu_ns / 1e7 / (second != 0 ? second : 1),
	       (unsigned long long)stats.refused);
}

static void
measure(bool scattered, unsigned seconds)
{
	static struct trace trace;
	struct mhp_pool *pool = bench_pool(64 * BENCH_BLOCK);
	struct mhp_tiering on = { .on = true }, off = { .on = false };
	struct mhp_text text = { "" };
	pthread_t thread;
	if (!bench_can_move(pool, "tier")) {
		bench_end(pool);
		return;
	}
	memset(&trace, 0, sizeof(trace));
	bench_add(pool, NEAR_BLOCKS * BENCH_BLOCK, MHP_BACKING_RAM);
	add_far(pool);
	struct mhp_region *region = make_region(pool, &trace);
	lay_out(&trace, scattered, 42);
	printf(" hot pages %s; second 0 is memory by turns, without tiering\n",
	       scattered ? "scattered" : "together");
	pthread_create(&thread, NULL, use, &trace);
	report(pool, &trace, 0);
	bench_must(mhp_pool_set_tiering(pool, &on, &text), "tiering", &text);
	for (unsigned second = 1; second <= seconds; second++) {
		sleep(1);
		if (second % 10 == 0 || second == 5)
			report(pool, &trace, second);
	}
	unsigned near;
	(void)near_share(&trace, &near);
	printf("  LRU by sampling windows (a model) %.3f; %.1f million accesses a second\n",
	       lru_share(&trace, near / (PIECES / WINDOWS)),
	       (double)trace.accesses / 1e6 / seconds);
	bench_must(mhp_pool_set_tiering(pool, &off, &text), "tiering off", &text);
	atomic_store(&trace.stop, true);
	pthread_join(thread, NULL);
	free(trace.page);
	free(trace.sum);
	mhp_region_destroy(region);
	bench_end(pool);
}

void
bench_tier(void)
{
	printf("\na quarter of 1 GiB is near: share of accesses by Zipf 0.99 that find their page "
	       "near\n");
	measure(false, SECONDS);
	measure(true, SECONDS);
}
