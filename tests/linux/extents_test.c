/* SPDX-License-Identifier: MIT */
/*
 * extents_test.c - the heap's extents against a plain map of pages, with a pool that often says no.
 *
 * Random extents come, grow and go, whole and in part; the pool behind them is a map as well, and
 * refuses what it may refuse. What an extent gets is committed, zero and nobody else's. Whatever
 * was refused: each address is in use or can be had, which is asked of some on the way, and of all
 * in the end (R57, R58).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gaps.h"
#include "heap.h"

#define PAGE UINT64_C(4096)
#define WINDOW (UINT64_C(2) << 20)
#define WINDOW_PAGES (WINDOW / PAGE)
#define WINDOWS 256U
#define PAGES (WINDOWS * WINDOW_PAGES)
#define BASE (UINT64_C(1) << 40)       /* nothing is there: only the books are looked at */
#define MOST_PAGES (4 * WINDOW_PAGES)  /* that are given back at once */
#define STEPS 400000

enum { UNUSED, COMMITTED = 1, DIRTY = 2, USED = 4 };
static unsigned char page_state[PAGES + 1]; /* the last one stays unused */
static uint64_t granule;
static bool refuses, is_full;
static uint64_t limit_pages;           /* 0: the pool has none, but refuses when it likes */
static uint64_t nr_committed, nr_decommitted, nr_decommits;
static int step;

struct mhp__heap mhp__heap = { .start = BASE, .end = BASE + WINDOWS * WINDOW };

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "extents_test: granule %llu: step %d: line %d: %s\n",      \
				(unsigned long long)granule, step, __LINE__, #cond);               \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* ---- the pool ---- */

static bool
refuse(void)
{
	return refuses && rand() % 4 == 0;
}

static uint64_t
page_of(uintptr_t start, uint64_t size)
{
	CHECK(start >= BASE && start + size <= BASE + PAGES * PAGE && (start | size) % PAGE == 0);
	return (start - BASE) / PAGE;
}

uint64_t
mhp_region_granule(const struct mhp_region *region)
{
	(void)region;
	return granule;
}

int
mhp_region_set_huge(struct mhp_region *region, enum mhp_huge how, void *from,
		    struct mhp_text *reterr)
{
	(void)region;
	(void)how;
	(void)from;
	(void)reterr;
	return 0;
}

int
mhp_region_commit(struct mhp_region *region, void *start, uint64_t size)
{
	uint64_t page = page_of((uintptr_t)start, size);
	(void)region;
	if (((uintptr_t)start | size) % granule != 0)
		return MHP_EINVAL;
	for (uint64_t i = 0; i < size / PAGE; i++)
		CHECK(page_state[page + i] == UNUSED);
	if (is_full || (limit_pages != 0 && nr_committed + size / PAGE > limit_pages))
		return MHP_ENOMEM;
	if (refuse())
		return rand() % 8 == 0 ? MHP_ENOSPC : MHP_ENOMEM;
	memset(page_state + page, COMMITTED, size / PAGE);
	nr_committed += size / PAGE;
	return 0;
}

int
mhp_region_decommit(struct mhp_region *region, void *start, uint64_t size)
{
	uint64_t page = page_of((uintptr_t)start, size);
	(void)region;
	CHECK(((uintptr_t)start | size) % granule == 0);
	if (refuse())
		return MHP_EAGAIN;
	for (uint64_t i = 0; i < size / PAGE; i++) {
		CHECK((page_state[page + i] & USED) == 0);
		nr_decommitted += page_state[page + i] != UNUSED;
		nr_committed -= page_state[page + i] != UNUSED;
	}
	nr_decommits++;
	memset(page_state + page, UNUSED, size / PAGE);
	return 0;
}

int
mhp_region_purge(struct mhp_region *region, void *start, uint64_t size)
{
	uint64_t page = page_of((uintptr_t)start, size);
	(void)region;
	if (refuse())
		return MHP_EBUSY;
	for (uint64_t i = 0; i < size / PAGE; i++) {
		CHECK(page_state[page + i] == (COMMITTED | DIRTY));
		page_state[page + i] = COMMITTED;
	}
	return 0;
}

int
mhp__heap_grow(uint64_t bytes)
{
	(void)bytes;
	if (is_full || limit_pages != 0)
		return MHP_ENOMEM;
	return rand() % 2 == 0 ? 0 : rand() % 4 == 0 ? MHP_EAGAIN : MHP_ENOMEM;
}

void
mhp__heap_grow_in_child(void)
{
}

/* ---- what a program does ---- */

/* Pages from page on that are, or are not, in use. */
static uint64_t
run(uint64_t page, uint64_t max)
{
	uint64_t nr = 0;
	while (nr < max && page + nr < PAGES &&
	       (page_state[page + nr] & USED) == (page_state[page] & USED))
		nr++;
	return nr;
}

static void
use(uintptr_t start, uint64_t size)
{
	uint64_t page = page_of(start, size);
	for (uint64_t i = 0; i < size / PAGE; i++)
		CHECK(page_state[page + i] == COMMITTED);
	memset(page_state + page, COMMITTED | DIRTY | USED, size / PAGE);
}

static void
allocate(void)
{
	uint64_t most = rand() % 2 ? 20 : rand() % 32 ? 2000 : 6000;
	uint64_t size = (1 + (uint64_t)rand() % most) * PAGE;
	uint64_t alignment = PAGE << (rand() % 4 != 0 ? 0 : rand() % 11);
	uintptr_t start;
	int err = mhp__extents_alloc(0, size, alignment, &start);
	CHECK(err == 0 || refuses || err == MHP_ENOMEM);
	if (err != 0)
		return;
	CHECK(start % alignment == 0);
	use(start, size);
}

/* Give back what of [page, page + nr) is in use, if that can be done now. */
static bool
give_back(uint64_t page, uint64_t nr)
{
	/* The program does not touch it any more; it may be decommitted while it is given back. */
	unsigned char before[MOST_PAGES];
	CHECK(nr <= sizeof(before));
	memcpy(before, page_state + page, nr);
	memset(page_state + page, COMMITTED | DIRTY, nr);
	if (mhp__extents_free(BASE + page * PAGE, nr * PAGE))
		return true;
	CHECK(refuses);
	for (uint64_t i = 0; i < nr; i++)
		page_state[page + i] = before[i];
	return false;
}

static void
release(void)
{
	uint64_t page = (uint64_t)rand() % PAGES, max = 1 + (uint64_t)rand() % MOST_PAGES;
	if ((page_state[page] & USED) == 0)
		return;
	while (rand() % 16 != 0 && page > 0 && (page_state[page - 1] & USED) != 0)
		page--;
	(void)give_back(page, run(page, max));
}

/* An extent behind another one. A page alone is there, unless it is in use, or within a page of the
 * pool that nobody has begun. */
static void
extend(uint64_t page, uint64_t nr)
{
	uint64_t free = (page_state[page] & USED) == 0 ? run(page, nr) : 0;
	uintptr_t start;
	bool within = page_state[page] == UNUSED && page % (granule / PAGE) != 0;
	int err = mhp__extents_alloc(BASE + page * PAGE, nr * PAGE, PAGE, &start);
	CHECK(err == 0 || refuses || free < nr || nr > 1 || within);
	if (err != 0)
		return;
	CHECK(free == nr && start == BASE + page * PAGE);
	use(start, nr * PAGE);
}

static void
extend_some(void)
{
	uint64_t page = (uint64_t)rand() % PAGES;
	page += (page_state[page] & USED) != 0 ? run(page, PAGES) : 0;
	if (page < PAGES)
		extend(page, 1 + (uint64_t)rand() % 100);
}

/* R59: the pool is short of memory. Its pages that nobody uses go back, unless it refuses. */
static void
trim(void)
{
	(void)mhp__extents_trim(UINTPTR_MAX);
	for (uint64_t page = 0; !refuses && granule == PAGE && page < PAGES; page++)
		CHECK(page_state[page] == UNUSED || (page_state[page] & USED) != 0);
}

/* No address is lost, and none is there twice. */
static void
take_everything(void)
{
	refuses = false;
	for (uint64_t page = 0; page < PAGES; page++) {
		uintptr_t start = BASE + page * PAGE;
		if ((page_state[page] & USED) != 0)
			continue;
		CHECK(mhp__extents_alloc(start, PAGE, PAGE, &start) == 0);
		use(start, PAGE);
	}
}

/* R61: extents of a little more than half a window, as a memcached's are, lie in whole windows: a
 * device of large pages takes no other. */
static void
slabs_fill_windows(void)
{
	enum { SLABS = 32 };
	uint64_t size = (1 << 20) + PAGE, nr = 0;
	uintptr_t start[SLABS];
	for (int i = 0; i < SLABS; i++) {
		CHECK(mhp__extents_alloc(0, size, PAGE, &start[i]) == 0);
		use(start[i], size);
	}
	for (uint64_t page = 0; page < PAGES; page++) {
		bool whole = page_state[page / WINDOW_PAGES * WINDOW_PAGES] != UNUSED;
		CHECK((page_state[page] != UNUSED) == whole);
		nr += whole;
	}
	CHECK(nr * PAGE == SLABS / 2 * WINDOW + WINDOW);
	for (int i = 0; i < SLABS; i++)
		CHECK(give_back(page_of(start[i], size), size / PAGE));
}

/* All that is in use is given back. */
static void
release_all(void)
{
	for (uint64_t page = 0, nr; page < PAGES; page += nr) {
		nr = run(page, MOST_PAGES);
		if ((page_state[page] & USED) != 0)
			CHECK(give_back(page, nr));
	}
}

/* Small extents come in between, and find room of their own. */
static void
allocate_small(uintptr_t small[], int nr)
{
	for (int i = 0; i < nr; i++) {
		CHECK(mhp__extents_alloc(0, 3 * PAGE, PAGE, &small[i]) == 0);
		use(small[i], 3 * PAGE);
	}
}

/* An array of 16 MiB and more grows where it is, whatever pages the pool deals in; the rest of its
 * last window is for others once nothing else is left. */
static void
arrays_stay(void)
{
	enum { TIMES = 4, SMALL = 100 };
	uint64_t size = 8 * WINDOW + PAGE, more = size / 4 & -PAGE;
	uintptr_t start, next, last = 0, small[TIMES][SMALL];
	CHECK(mhp__extents_alloc(0, size, PAGE, &start) == 0);
	use(start, size);
	for (int i = 0; i < TIMES; i++, size += more) {
		allocate_small(small[i], SMALL);
		CHECK(mhp__extents_alloc(start + size, more, PAGE, &next) == 0);
		use(next, more);
	}
	is_full = true;
	uintptr_t end = (start + size + WINDOW - 1) & -WINDOW;
	for (next = 0; mhp__extents_alloc(0, PAGE, PAGE, &next) == 0; last = next)
		use(next, PAGE);
	is_full = false;
	CHECK(granule == PAGE || last == end - PAGE);
	release_all();
}

/* An array grows where it is until it outgrows its window, or, in a pool that deals in windows, is
 * as long as those that have room: then it is refused, so that it moves to where it has room, once.
 */
static void
arrays_move_to_room(void)
{
	bool in_windows = granule == WINDOW;
	uint64_t size = in_windows ? 6 * WINDOW : WINDOW - PAGE;
	uint64_t more = in_windows ? 2 * WINDOW : WINDOW / 4;
	uintptr_t start, next;
	CHECK(mhp__extents_alloc(0, size, PAGE, &start) == 0);
	use(start, size);
	CHECK(mhp__extents_alloc(start + size, PAGE, PAGE, &next) == 0);
	use(next, PAGE);
	size += PAGE;
	CHECK(mhp__extents_alloc(start + size, more, PAGE, &next) == MHP_ENOMEM);
	CHECK(mhp__extents_alloc(0, size + more, PAGE, &next) == 0);
	use(next, size + more);
	start = next + size + more;
	CHECK(mhp__extents_alloc(start, 2 * more, PAGE, &next) == 0);
	use(next, 2 * more);
	release_all();
}

/* Small extents until the pool is full, every other of which goes again. Bytes of that. */
static uint64_t
fill_with_holes(uintptr_t *small, uint64_t small_bytes, unsigned most)
{
	unsigned nr = 0;
	while (nr < most && mhp__extents_alloc(0, small_bytes, PAGE, &small[nr]) == 0)
		use(small[nr++], small_bytes);
	CHECK(nr > 2 && nr < most);
	small[nr] = 0;
	for (unsigned i = 0; i < nr; i++)
		if (i % 2 != 0) {
			CHECK(give_back(page_of(small[i], small_bytes), small_bytes / PAGE));
			small[i] = 0;
		}
	return nr / 2 * small_bytes;
}

/* R57: an extent that a full pool has to give back memory for costs as many calls as that takes,
 * however much is ready elsewhere. All of it can be had. */
static void
full_pool_gives_back_what_is_needed(void)
{
	enum { LIMIT = 48, SMALL_PAGES = 16, LARGE_PAGES = 25, MOST = WINDOWS * 32,
	       BATCH_PAGES = 2 * WINDOW_PAGES, CALLS = BATCH_PAGES / SMALL_PAGES + 2 };
	static uintptr_t small[MOST], large[MOST];
	uint64_t freed, got = 0, nr = 0;
	limit_pages = LIMIT * WINDOW_PAGES;
	freed = fill_with_holes(small, SMALL_PAGES * PAGE, MOST);
	for (;; nr++) {
		uint64_t calls = nr_decommits, pages = nr_decommitted;
		if (mhp__extents_alloc(0, LARGE_PAGES * PAGE, PAGE, &large[nr]) != 0)
			break;
		use(large[nr], LARGE_PAGES * PAGE);
		got += LARGE_PAGES * PAGE;
		CHECK(nr_decommits - calls <= CALLS && nr_decommitted - pages <= BATCH_PAGES);
	}
	CHECK(freed > 8 * WINDOW && got + LARGE_PAGES * PAGE > freed);
	for (uint64_t i = 0; i < nr; i++)
		CHECK(give_back(page_of(large[i], LARGE_PAGES * PAGE), LARGE_PAGES));
	for (unsigned i = 0; i < MOST; i++)
		CHECK(small[i] == 0 || give_back(page_of(small[i], SMALL_PAGES * PAGE),
						 SMALL_PAGES));
	limit_pages = 0;
}

/* Pieces of a few pages, and what is between them stays in use. */
static void
release_pieces(int nr)
{
	while (nr-- > 0) {
		uint64_t page = (uint64_t)rand() % PAGES;
		if ((page_state[page] & USED) != 0)
			(void)give_back(page, run(page, 1 + (uint64_t)rand() % 8));
	}
}

static struct mhp__gaps filler = { .owner = MHP__GAPS_OF_HEAP };

static void
fill_books(void)
{
	static uintptr_t next = PAGE;
	for (; mhp__gaps_give(&filler, next, PAGE); next += 2 * PAGE)
		;
}

/* A window that nobody uses any more stays ready as long as the books cannot say otherwise, also
 * where the pool is short of memory. */
static void
window_is_left(void)
{
	const uint64_t page = WINDOWS / 2 * WINDOW_PAGES, rest = WINDOW_PAGES - 1;
	uintptr_t start;
	CHECK(give_back(page, rest));
	fill_books();
	CHECK(give_back(page + rest, 1) && mhp__extents_trim(UINTPTR_MAX) == 0);
	CHECK(mhp__gaps_give(&filler, 2 * PAGE, PAGE)); /* of two ranges one: there is room */
	CHECK(mhp__extents_alloc(BASE + page * PAGE, PAGE, PAGE, &start) == 0);
	use(start, PAGE);
}

/* R57: where the books have no room any more, addresses are lost, and nothing but those: nothing is
 * given out twice, and extents of what the books have come and go. All is in use before. */
static void
books_are_full(void)
{
	enum { TURNS = 20000, PIECES = 20000 };
	window_is_left();
	release_pieces(PIECES);
	fill_books();
	for (step = 0; step < TURNS; step++) {
		refuses = step % 8 != 0; /* what was lost is refused, too */
		unsigned what = (unsigned)rand() % 8;
		if (what < 2)
			allocate();
		else if (what < 7)
			release_pieces(1);
		else if (refuses)
			extend_some();
		else
			(void)mhp__extents_trim(16 * PAGE);
	}
}

static int
all_steps(uint64_t page_bytes)
{
	granule = page_bytes;
	srand(1);
	CHECK(mhp__extents_init(true));
	slabs_fill_windows();
	arrays_stay();
	arrays_move_to_room();
	if (granule == PAGE)
		full_pool_gives_back_what_is_needed();
	for (step = 0; step < STEPS; step++) {
		refuses = step / 500 % 2 == 0;
		unsigned what = (unsigned)rand() % 8;
		if (what < 4)
			allocate();
		else if (what < 7)
			release();
		else if (step % 64 != 0)
			extend_some();
		else
			trim();
	}
	take_everything();
	books_are_full();
	return 0;
}

int
main(int argc, char **argv)
{
	return all_steps(argc > 1 ? strtoull(argv[1], NULL, 10) : PAGE);
}
