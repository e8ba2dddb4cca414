/* SPDX-License-Identifier: MIT */
/*
 * gaps_test.c - the heap's sets of free addresses against a plain map of pages (R57).
 *
 * Random gives and takes; after each, what the set says of a random page is compared with the map,
 * and the searches with a scan of it. Another owner's set changes meanwhile, by another thread.
 * In the end that owner's store is filled.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gaps.h"

#define PAGES 512U
#define PAGE UINT64_C(4096)
#define BASE (UINT64_C(1) << 30)
#define STEPS 200000

static struct mhp__gaps gaps;
static unsigned char there[PAGES + 1]; /* the last one never is */
static int step;
static atomic_bool done;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "gaps_test: step %d: line %d: %s\n", step, __LINE__,       \
				#cond);                                                            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* Pages from page on that are alike, up to nr. */
static unsigned
run(unsigned page, unsigned nr)
{
	unsigned length = 0;
	while (length < nr && page + length < PAGES && there[page + length] == there[page])
		length++;
	return length;
}

static void
change(void)
{
	unsigned page = (unsigned)rand() % PAGES, nr = 1 + (unsigned)rand() % 40;
	unsigned alike = run(page, nr);
	uintptr_t start = BASE + page * PAGE;
	if (there[page]) {
		CHECK(mhp__gaps_take(&gaps, start, nr * PAGE) == (alike == nr));
		if (alike < nr)
			return;
	} else {
		nr = alike;
		CHECK(mhp__gaps_give(&gaps, start, nr * PAGE));
	}
	memset(there + page, !there[page], nr);
}

static void
compare_at(unsigned page)
{
	unsigned want = there[page] ? run(page, PAGES) : 0;
	CHECK(mhp__gaps_at(&gaps, BASE + page * PAGE) == want * PAGE);
	unsigned before = 0, next = page + run(page, PAGES);
	while (before < page && there[page - before - 1])
		before++;
	CHECK(mhp__gaps_before(&gaps, BASE + page * PAGE) == before * PAGE);
	if (there[page])
		next += next < PAGES ? run(next, PAGES) : 0;
	CHECK(mhp__gaps_next(&gaps, BASE + page * PAGE) ==
	      (next < PAGES ? BASE + next * PAGE : UINTPTR_MAX));
}

static void
compare_searches(void)
{
	unsigned size = 1 + (unsigned)rand() % 40, largest = 0, lowest = PAGES, nr = 0;
	uintptr_t start;
	for (unsigned page = 0; page < PAGES; page += run(page, PAGES)) {
		if (!there[page])
			continue;
		unsigned length = run(page, PAGES);
		nr++;
		if (length > largest)
			largest = length;
		if (length >= size && lowest == PAGES)
			lowest = page;
	}
	CHECK(mhp__gaps_nr(&gaps) == nr);
	CHECK(mhp__gaps_lowest(&gaps, size * PAGE, PAGE) ==
	      (lowest == PAGES ? 0 : BASE + lowest * PAGE));
	CHECK(mhp__gaps_largest(&gaps, &start) == largest * PAGE);
	if (largest != 0)
		CHECK(mhp__gaps_at(&gaps, start) == largest * PAGE);
	start = mhp__gaps_lowest(&gaps, size * PAGE, 16 * PAGE);
	CHECK(start % (16 * PAGE) == 0);
	if (start != 0)
		CHECK(mhp__gaps_at(&gaps, start) >= size * PAGE);
	else
		CHECK(largest < size + 15);
}

/* R57: who maps memory does not wait for who allocates, and the other way round. */
static void *
change_others(void *arg)
{
	enum { RANGES = 100 };
	struct mhp__gaps others = { .owner = MHP__GAPS_OF_MAPS };
	while (!atomic_load(&done)) {
		for (uintptr_t i = 1; i <= RANGES; i++)
			CHECK(mhp__gaps_give(&others, 2 * i * PAGE, PAGE));
		CHECK(mhp__gaps_nr(&others) == RANGES);
		for (uintptr_t i = 1; i <= RANGES; i++)
			CHECK(mhp__gaps_take(&others, 2 * i * PAGE, PAGE));
	}
	return arg;
}

/* R57: a store that is full refuses what needs more of it, and nothing else. The other owner's is
 * not full. */
static void
fill_store(void)
{
	enum { RANGES = 1 << 18 };
	struct mhp__gaps maps = { .owner = MHP__GAPS_OF_MAPS };
	struct mhp__gaps heap = { .owner = MHP__GAPS_OF_HEAP };
	uintptr_t nr = 0;
	while (nr <= RANGES && mhp__gaps_give(&maps, 4 * nr * PAGE + PAGE, 3 * PAGE))
		nr++;
	CHECK(nr == RANGES && mhp__gaps_nr(&maps) == RANGES);
	CHECK(mhp__gaps_full(&maps) && !mhp__gaps_full(&heap));
	CHECK(!mhp__gaps_take(&maps, 2 * PAGE, PAGE)); /* one range would become two */
	CHECK(mhp__gaps_at(&maps, PAGE) == 3 * PAGE);
	CHECK(mhp__gaps_give(&heap, PAGE, PAGE) && mhp__gaps_take(&heap, PAGE, PAGE));
	CHECK(mhp__gaps_give(&maps, 4 * PAGE, PAGE)); /* two ranges become one */
	CHECK(mhp__gaps_at(&maps, PAGE) == 7 * PAGE && mhp__gaps_take(&maps, 2 * PAGE, PAGE));
	CHECK(mhp__gaps_at(&maps, PAGE) == PAGE && mhp__gaps_at(&maps, 3 * PAGE) == 5 * PAGE);
	CHECK(!mhp__gaps_give(&maps, 4 * nr * PAGE + PAGE, PAGE));
}

int
main(void)
{
	pthread_t thread;
	srand(1);
	CHECK(mhp__gaps_init());
	CHECK(pthread_create(&thread, NULL, change_others, NULL) == 0);
	for (step = 0; step < STEPS; step++) {
		change();
		compare_at((unsigned)rand() % PAGES);
		if (step % 16 == 0)
			compare_searches();
	}
	atomic_store(&done, true);
	CHECK(pthread_join(thread, NULL) == 0);
	fill_store();
	return 0;
}
