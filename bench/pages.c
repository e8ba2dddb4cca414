/* SPDX-License-Identifier: MIT */
/*
 * pages.c - what a page costs: ns of CPU time and instructions for one alloc + free pair.
 *
 * repeat: the same page again and again. bulk: N taken, then given back in the same order. random:
 * given back in a shuffled order. T2: the same in two threads on two CPUs at once; xfree: one
 * thread takes, the other gives back. No page is touched.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 9U
#define NR_PAGES_MAX (1U << 16)

enum pattern { REPEAT, BULK, RANDOM };

struct work {
	const struct contender *contender;
	unsigned order, nr_pages, cpu;
	enum pattern pattern;
	uintptr_t *pages;
	const uint32_t *shuffle;
	pthread_barrier_t *barrier;
	uint64_t ns, nr_pairs;
};

static uintptr_t page_store[2][NR_PAGES_MAX];
static uint32_t shuffled[NR_PAGES_MAX], shuffled_half[NR_PAGES_MAX / 2];

static void
make_shuffle(uint32_t *shuffle, unsigned nr)
{
	uint64_t state = 42;

	for (uint32_t i = 0; i < nr; i++)
		shuffle[i] = i;
	for (uint32_t i = nr; i-- > 1;) {
		uint32_t with, kept = shuffle[i];
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		with = (uint32_t)((state >> 33) % (i + 1));
		shuffle[i] = shuffle[with];
		shuffle[with] = kept;
	}
}

static void
take_all(struct work *work)
{
	for (unsigned i = 0; i < work->nr_pages; i++) {
		work->pages[i] = work->contender->take(work->order);
		if (work->pages[i] == 0)
			bench_die(work->contender->name);
	}
}

static void
give_all(struct work *work)
{
	for (unsigned i = 0; i < work->nr_pages; i++)
		work->contender->give(work->pages[work->pattern == RANDOM ? work->shuffle[i] : i]);
}

static void
run_once(struct work *work)
{
	if (work->pattern != REPEAT) {
		take_all(work);
		give_all(work);
		return;
	}
	for (unsigned i = 0; i < work->nr_pages; i++)
		work->contender->give(work->contender->take(work->order));
}

static void *
run(void *ctx)
{
	struct work *work = ctx;
	uint64_t start;

	bench_pin(work->cpu);
	if (work->barrier != NULL)
		pthread_barrier_wait(work->barrier);
	start = bench_thread_ns();
	for (unsigned i = 0; i < 4; i++)
		run_once(work);
	work->ns = bench_thread_ns() - start;
	work->nr_pairs = 4U * work->nr_pages;
	return NULL;
}

static double
one_thread(struct work work)
{
	pthread_t thread;

	pthread_create(&thread, NULL, run, &work);
	pthread_join(thread, NULL);
	return (double)work.ns / (double)work.nr_pairs;
}

static double
two_threads(struct work work)
{
	struct work each[2] = { work, work };
	pthread_barrier_t barrier;
	pthread_t thread[2];

	pthread_barrier_init(&barrier, NULL, 2);
	for (unsigned i = 0; i < 2; i++) {
		each[i].nr_pages /= 2;
		each[i].pages = page_store[i];
		each[i].shuffle = shuffled_half;
		each[i].cpu = i;
		each[i].barrier = &barrier;
		pthread_create(&thread[i], NULL, run, &each[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&barrier);
	return (double)(each[0].ns + each[1].ns) / (double)(each[0].nr_pairs + each[1].nr_pairs);
}

/* ---- one takes, the other gives ---- */

struct handover {
	struct work *work;
	pthread_barrier_t barrier;
	uint64_t giver_ns;
};

static void *
giver(void *ctx)
{
	struct handover *handover = ctx;

	bench_pin(1);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t start;
		pthread_barrier_wait(&handover->barrier);
		start = bench_thread_ns();
		give_all(handover->work);
		handover->giver_ns += bench_thread_ns() - start;
		pthread_barrier_wait(&handover->barrier);
	}
	return NULL;
}

static double
cross_free(struct work work)
{
	struct handover handover = { .work = &work };
	pthread_t thread;
	uint64_t ns = 0;

	pthread_barrier_init(&handover.barrier, NULL, 2);
	pthread_create(&thread, NULL, giver, &handover);
	bench_pin(0);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t start = bench_thread_ns();
		take_all(&work);
		ns += bench_thread_ns() - start;
		pthread_barrier_wait(&handover.barrier);
		pthread_barrier_wait(&handover.barrier);
	}
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&handover.barrier);
	return (double)(ns + handover.giver_ns) / (4.0 * work.nr_pages);
}

/* ---- the table ---- */

struct column {
	const char *name;
	double (*measure)(struct work work);
	enum pattern pattern;
};

static const struct column columns[] = {
	{ "repeat", one_thread, REPEAT },    { "bulk", one_thread, BULK },
	{ "random", one_thread, RANDOM },    { "T2 repeat", two_threads, REPEAT },
	{ "T2 random", two_threads, RANDOM }, { "xfree", cross_free, RANDOM },
};
#define NR_COLUMNS (sizeof(columns) / sizeof(columns[0]))

static void
measure_order(unsigned order, unsigned nr_pages)
{
	double samples[8][NR_COLUMNS][ROUNDS];

	make_shuffle(shuffled, nr_pages);
	make_shuffle(shuffled_half, nr_pages / 2);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned c = 0; c < NR_COLUMNS; c++)
			for (unsigned i = 0; i < nr_contenders; i++) {
				struct work work = { .contender = &contenders[i], .order = order,
						     .nr_pages = nr_pages, .shuffle = shuffled,
						     .pattern = columns[c].pattern,
						     .pages = page_store[0] };
				samples[i][c][round] = columns[c].measure(work);
			}
	printf("\norder %u, %u pages: ns of CPU time for one alloc + free pair, median of %u\n"
	       "%-10s", order, nr_pages, ROUNDS, "");
	for (unsigned c = 0; c < NR_COLUMNS; c++)
		printf("%11s", columns[c].name);
	printf("%14s\n", "instructions");
	for (unsigned i = 0; i < nr_contenders; i++) {
		double instructions = bench_instructions(&contenders[i], order, 64);
		printf("%-10s", contenders[i].name);
		for (unsigned c = 0; c < NR_COLUMNS; c++)
			printf("%11.1f", bench_median(samples[i][c], ROUNDS));
		if (instructions > 0)
			printf("%14.0f\n", instructions);
		else
			printf("%14s\n", "-");
	}
}

void
bench_pages(void)
{
	bench_engine_start(16);
	measure_order(0, NR_PAGES_MAX);
	measure_order(9, 512);
	printf("\ninstructions: of one repeated pair, single-stepped with restartable sequences off"
	       " (memplug: its path with a lock)\n");
}
