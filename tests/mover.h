/* SPDX-License-Identifier: MIT */
/*
 * mover.h - an owner whose pages can move: what the data of a program looks like to the engine.
 *
 * It keeps a table of its pages (cookie -> pfn) and the way back (pfn -> slot), fills them with a
 * pattern, moves them when asked, and checks whatever the engine tells it against what it knows.
 * Refusing, failing and pinning can be arranged. A mover is used by one thread.
 */
#ifndef MEMPLUG_TEST_MOVER_H
#define MEMPLUG_TEST_MOVER_H

#include "test.h"

#define TEST_MOVER_NONE UINT32_MAX

struct test_mover_page {
	uint64_t pfn;
	uint64_t seed;             /* of its contents */
	uint8_t order;
	bool live;
	bool held;                 /* between isolate and migrate or putback */
	bool pinned;               /* isolate says MHP_EBUSY */
};

struct test_mover {
	struct test_pool *pool;
	struct mhp *m;
	uint16_t owner;
	bool no_contents;          /* pages are never touched: for sizes that do not exist */
	uint32_t nr_slots;
	uint32_t next;             /* slots below are live: search from here */
	uint32_t nr_live;
	uint64_t nr_frames;        /* of live pages */
	struct test_mover_page *pages;
	uint32_t *slot_of;         /* by pfn of the first frame: slot + 1 */
	uint64_t random;

	/* what it was asked, so far */
	uint64_t nr_isolated, nr_putback, nr_migrated, nr_frames_moved, nr_described;

	/* what goes wrong: isolate fails from its isolate_after-th call on, isolate_times times */
	int isolate_error;
	uint64_t isolate_after, isolate_times;
	/* migrate fails migrate_times times, each time after migrate_runs runs of its batch */
	int migrate_error;
	uint64_t migrate_times;
	unsigned migrate_runs;
	unsigned claims;           /* migrate says that it has done so many moves more */
	/* called at the start of each migrate and of each isolate */
	void (*on_migrate)(void *ctx);
	void *on_migrate_ctx;
	void (*on_isolate)(void *ctx);
	void *on_isolate_ctx;
};

/** Register the owner. @nr_slots: at most so many pages at a time. */
void test_mover_open(struct test_mover *mover, struct test_pool *pool, uint32_t nr_slots);

/** Free all pages, forget the owner. */
void test_mover_close(struct test_mover *mover);

/** Allocate a page and fill it. Return: its slot, or TEST_MOVER_NONE when there is no such page. */
uint32_t test_mover_alloc(struct test_mover *mover, unsigned order, unsigned node);

void test_mover_free(struct test_mover *mover, uint32_t slot);
void test_mover_free_all(struct test_mover *mover);

/** Free a random share of the pages, in per cent. */
void test_mover_thin_out(struct test_mover *mover, unsigned percent);

/** Allocate until it has that many frames, orders 0 to @order_max at random. Return: it worked. */
bool test_mover_fill(struct test_mover *mover, uint64_t nr_frames, unsigned order_max,
		     unsigned node);

/** Every page is where the table says, is as it was, and nobody holds it. Fails the case. */
void test_mover_check(struct test_mover *mover);

/** The slot of the page that starts at @pfn, or TEST_MOVER_NONE. */
uint32_t test_mover_at(const struct test_mover *mover, uint64_t pfn);

/** How many of its frames lie in [start_pfn, end_pfn), and where the first of them is. */
uint64_t test_mover_in(const struct test_mover *mover, uint64_t start_pfn, uint64_t end_pfn,
		       uint64_t *ret_first);

#endif
