/* SPDX-License-Identifier: MIT */
/*
 * arena.c - one arena: take frames from its bitmaps and give them back.
 *
 * Owns the fields full, mixed, virgin, holes and nr_free of a slot and the bitmap words of its
 * pageblocks; the caller holds the arena's lock, which makes every function here plain code.
 * slots.h names the four conditions of a pageblock. A bitmap is read only where mixed is 1, so a
 * pageblock that turns mixed has its words written first, and mhp__pageblock_classify() turns it
 * back after the change that frees its last frame. Frames below nr_unmanaged count as taken in the
 * words, so no search ever finds them. A thread that is killed in between leaves at worst frames
 * that nobody has; mend.c recomputes the other fields.
 *
 * `holes` is exact whenever the lock is free (INV 7), so a search by it never fails. It changes
 * seldom. Giving a frame back can raise it only if the aligned run around that frame is free, of
 * the first order that has no hole yet. Taking can only lower it, and the first pageblock that
 * still has such a hole ends the search.
 *
 * nr_free counts all frames that are free here, isolated ones included: those can be given back,
 * but not taken. Must not know: caches, zones, what a page is used for.
 */
#include "pages/arena.h"

#include "base/bits.h"
#include "memmap/memmap.h"
#include "pages/scan.h"
#include "pages/words.h"

/* The pageblock that nr_unmanaged ends in the middle of, as a bit; 0 when it ends at a border. */
static uint64_t
part_managed(const struct mhp *m, const struct mhp__arena *arena)
{
	unsigned order = MHP_PAGEBLOCK_ORDER(m);
	if ((arena->nr_unmanaged & ((1U << order) - 1)) == 0)
		return 0;
	return UINT64_C(1) << (arena->nr_unmanaged >> order);
}

uint64_t
mhp__arena_huge(const struct mhp *m, const struct mhp__arena *arena)
{
	uint64_t used = arena->full | arena->mixed | part_managed(m, arena);
	return mhp__arena_mask(m) & ~used & ~mhp__isolated(arena);
}

uint64_t
mhp__arena_partial(const struct mhp *m, const struct mhp__arena *arena)
{
	return (arena->mixed | part_managed(m, arena)) & ~arena->full & ~mhp__isolated(arena);
}

unsigned
mhp__arena_list(const struct mhp *m, const struct mhp__arena *arena)
{
	if (mhp__arena_huge(m, arena) == 0)
		return MHP_LIST_HOLES + arena->holes;
	if (arena->nr_free == mhp__arena_pages(m) - arena->nr_unmanaged)
		return MHP_LIST_EMPTY;
	return MHP_LIST_WHOLE + arena->holes;
}

/* ---- holes ---- */

/* Bits at which a run of 1 << order frames may start. */
static const uint64_t aligned_starts[7] = {
	UINT64_MAX,
	UINT64_C(0x5555555555555555),
	UINT64_C(0x1111111111111111),
	UINT64_C(0x0101010101010101),
	UINT64_C(0x0001000100010001),
	UINT64_C(0x0000000100000001),
	UINT64_C(1),
};

/* How many orders have an aligned run of set bits, so 0 when no bit is set. */
static unsigned
orders_in(uint64_t bits)
{
	unsigned order = 0;

	while (bits != 0 && order < 6) { /* Untaken: no caller has all bits set, but by damage. */
		bits &= bits >> (1U << order);
		bits &= aligned_starts[++order];
	}
	return bits != 0 ? order + 1 : order; /* Untaken: the same. */
}

/* Orders of the free pages in a pageblock that is not wholly free. */
static unsigned
pageblock_holes(const struct mhp *m, const struct mhp__arena *arena, unsigned pageblock)
{
	unsigned nr = mhp__words_per_pageblock(m), most = 0;
	const uint64_t *words = mhp__arena_words(m, arena) + pageblock * nr;
	uint64_t whole = 0;            /* words that are free */

	MHP_ASSERT_DEBUG((arena->full >> pageblock & 1) == 0);
	/* Only frames before the first usable one are not free: the rest reaches to the end, so its
	 * largest page is as large as fits there. */
	if ((arena->mixed >> pageblock & 1) == 0)
		return 64U - (unsigned)__builtin_clzll(
				     mhp__pageblock_nr_managed(m, arena, pageblock));
	for (unsigned i = 0; i < nr; i++) {
		uint64_t free = mhp__word_mask(m) & ~words[i];
		unsigned orders = free == mhp__word_mask(m) ? mhp__word_shift(m) + 1U :
							      orders_in(free);
		whole |= (uint64_t)(free == mhp__word_mask(m)) << i;
		most = orders > most ? orders : most;
	}
	return whole != 0 ? mhp__word_shift(m) + orders_in(whole) : most;
}

unsigned
mhp__arena_holes(const struct mhp *m, const struct mhp__arena *arena, unsigned enough)
{
	unsigned most = 0;

	/* From the last: pages are taken from the first, so the last still have holes. */
	for (uint64_t left = mhp__arena_partial(m, arena); left != 0 && most < enough;) {
		unsigned pageblock = 63U - (unsigned)__builtin_clzll(left);
		unsigned orders = pageblock_holes(m, arena, pageblock);
		most = orders > most ? orders : most;
		left &= ~(UINT64_C(1) << pageblock);
	}
	return most;
}

/* Pageblocks were taken from, or have left the set of those with holes. */
static inline void
lower_holes(const struct mhp *m, struct mhp__arena *arena)
{
	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	arena->holes = (uint8_t)mhp__arena_holes(m, arena, arena->holes);
}

/* A pageblock has come to that set, or was given frames. */
static void
raise_holes(const struct mhp *m, struct mhp__arena *arena, unsigned pageblock)
{
	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	if ((mhp__arena_partial(m, arena) >> pageblock & 1) == 0)
		return;
	unsigned orders = pageblock_holes(m, arena, pageblock);
	if (orders > arena->holes)
		arena->holes = (uint8_t)orders;
}

/* Descriptors of a pageblock that was never used may hold anything; from here on they are zero. */
static inline void
clear_descriptors(struct mhp *m, struct mhp__arena *arena, unsigned pageblock)
{
	uint64_t bit = UINT64_C(1) << pageblock;
	uint64_t virgin = atomic_load_explicit(&arena->virgin, memory_order_relaxed);
	if (MHP_LIKELY((virgin & bit) == 0))
		return;
	MHP_ASSERT_DEBUG(((arena->full | arena->mixed) & bit) == 0); /* nobody has used it */
	uint64_t pfn = mhp__arena_start(m, arena) + ((uint64_t)pageblock << MHP_PAGEBLOCK_ORDER(m));
	mhp__pageblock_clear(m, pfn);
	atomic_store_explicit(&arena->virgin, virgin & ~bit, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst); /* before they are in use: see mend.c */
}

/* Turn a pageblock that is free, or taken whole, into one whose bitmap says so. */
static void
make_mixed(struct mhp *m, struct mhp__arena *arena, unsigned pageblock)
{
	uint64_t bit = UINT64_C(1) << pageblock;
	unsigned nr = mhp__words_per_pageblock(m), index = pageblock * nr;
	uint64_t *words = mhp__arena_words(m, arena) + index;

	MHP_ASSERT_DEBUG((arena->mixed & bit) == 0);
	clear_descriptors(m, arena, pageblock);
	for (unsigned i = 0; i < nr; i++)
		words[i] = arena->full & bit ? mhp__word_mask(m) :
					       mhp__free_word(m, arena, index + i);
	atomic_signal_fence(memory_order_seq_cst); /* not before its words: see mend.c */
	arena->mixed |= bit;
}

/* ---- take ---- */

/* Take from one word pages of an order that fits in it; base is the frame of its first bit. */
static inline unsigned
take_from_word(const struct mhp *m, uint64_t *word, unsigned order, uint64_t base, unsigned nr_max,
	       uint64_t *ret_pfns)
{
	uint64_t fit = ~*word & mhp__word_mask(m);
	uint64_t run = UINT64_MAX >> (64U - (1U << order));
	uint64_t taken = 0;
	unsigned nr = 0;

	MHP_ASSERT_DEBUG(order <= mhp__word_shift(m));
	for (unsigned i = 0; i < order; i++)
		fit &= fit >> (1U << i);
	for (fit &= aligned_starts[order]; fit != 0 && nr < nr_max; fit &= fit - 1) {
		unsigned at = (unsigned)__builtin_ctzll(fit);
		taken |= run << at;
		ret_pfns[nr++] = base + at;
	}
	MHP_ASSERT_DEBUG(mhp__count_bits(taken) == nr << order);
	*word |= taken;
	return nr;
}

/* Take one page that is several whole words. Returns 0 when one of them has a taken frame. */
static unsigned
take_words(uint64_t *words, unsigned nr_words, uint64_t base, uint64_t *ret_pfn)
{
	uint64_t used = 0;

	MHP_ASSERT_DEBUG((base & (nr_words * UINT64_C(64) - 1)) == 0);
	for (unsigned i = 0; i < nr_words; i++)
		used |= words[i];
	if (used != 0)
		return 0;
	for (unsigned i = 0; i < nr_words; i++)
		words[i] = UINT64_MAX;
	*ret_pfn = base;
	return 1;
}

/* Take pages below the pageblock's order from one pageblock that is free or mixed. */
static unsigned
take_small(struct mhp *m, struct mhp__arena *arena, unsigned pageblock, unsigned order,
	   unsigned nr_max, uint64_t *ret_pfns)
{
	unsigned shift = mhp__word_shift(m), per = mhp__words_per_pageblock(m), nr = 0;
	unsigned step = order > shift ? 1U << (order - shift) : 1U;
	uint64_t base = mhp__arena_start(m, arena) +
			((uint64_t)pageblock << MHP_PAGEBLOCK_ORDER(m));

	MHP_ASSERT_DEBUG(order < MHP_PAGEBLOCK_ORDER(m));
	MHP_ASSERT_DEBUG((mhp__isolated(arena) >> pageblock & 1) == 0);
	if ((arena->mixed >> pageblock & 1) == 0)
		make_mixed(m, arena, pageblock);
	uint64_t *words = mhp__arena_words(m, arena) + pageblock * per;
	for (unsigned i = 0; i < per && nr < nr_max; i += step) {
		uint64_t at = base + ((uint64_t)i << shift);
		if (order <= 6)
			nr += take_from_word(m, &words[i], order, at, nr_max - nr, ret_pfns + nr);
		else
			nr += take_words(&words[i], step, at, ret_pfns + nr);
	}
	mhp__pageblock_classify(m, arena, pageblock);
	return nr;
}

static unsigned
take_pageblocks(struct mhp *m, struct mhp__arena *arena, uint64_t mask, unsigned nr_max,
		uint64_t *ret_pfns)
{
	unsigned nr = 0;

	MHP_ASSERT_DEBUG((mask & (arena->full | arena->mixed)) == 0);
	for (; mask != 0 && nr < nr_max; mask &= mask - 1) {
		unsigned pageblock = (unsigned)__builtin_ctzll(mask);
		clear_descriptors(m, arena, pageblock);
		arena->full |= UINT64_C(1) << pageblock;
		ret_pfns[nr++] = mhp__arena_start(m, arena) +
				 ((uint64_t)pageblock << MHP_PAGEBLOCK_ORDER(m));
	}
	return nr;
}

unsigned
mhp__arena_take(struct mhp *m, struct mhp__arena *arena, unsigned order, uint64_t mask,
		unsigned nr_max, uint64_t *ret_pfns)
{
	uint64_t huge = mhp__arena_huge(m, arena) & mask, partial;
	unsigned nr = 0;

	mhp__arena_assert(m, arena);
	if (order == MHP_PAGEBLOCK_ORDER(m)) {
		nr = take_pageblocks(m, arena, huge, nr_max, ret_pfns);
		arena->nr_free -= (uint32_t)nr << order;
		return nr;
	}
	partial = order < arena->holes ? mhp__arena_partial(m, arena) & mask : 0;
	/* Bound: each turn uses up one pageblock of the two sets. */
	for (uint64_t left; (left = partial != 0 ? partial : huge) != 0 && nr < nr_max;) {
		unsigned pageblock = (unsigned)__builtin_ctzll(left);
		nr += take_small(m, arena, pageblock, order, nr_max - nr, ret_pfns + nr);
		if (partial == 0) /* it was free, and is in use now */
			raise_holes(m, arena, pageblock);
		partial &= ~(UINT64_C(1) << pageblock);
		huge &= ~(UINT64_C(1) << pageblock);
	}
	lower_holes(m, arena);
	arena->nr_free -= (uint32_t)nr << order;
	MHP_ASSERT_DEBUG(nr <= nr_max);
	mhp__arena_assert(m, arena);
	return nr;
}

bool
mhp__arena_take_frame(struct mhp *m, struct mhp__arena *arena, uint64_t pfn)
{
	uint32_t frame = (uint32_t)(pfn & m->arena_mask);
	unsigned pageblock = frame >> MHP_PAGEBLOCK_ORDER(m);

	mhp__arena_assert(m, arena);
	if (mhp__arena_taken(m, arena, pfn))
		return false;
	if ((arena->mixed >> pageblock & 1) == 0)
		make_mixed(m, arena, pageblock);
	uint32_t bit = frame & ((1U << mhp__word_shift(m)) - 1);
	mhp__arena_words(m, arena)[frame >> mhp__word_shift(m)] |= UINT64_C(1) << bit;
	arena->nr_free--;
	mhp__pageblock_classify(m, arena, pageblock);
	arena->holes = (uint8_t)mhp__arena_holes(m, arena, MHP_ORDERS); /* it may have been free */
	MHP_ASSERT_DEBUG(mhp__arena_taken(m, arena, pfn));
	return true;
}

/* ---- give ---- */

/* The aligned run that a frame must complete to raise `holes`, as bits and as a mask of places. It
 * is a word at most: longer runs are for pageblock_holes() to find in any case. */
struct window {
	uint64_t run;
	unsigned starts;
};

static inline struct window
window_of(const struct mhp *m, const struct mhp__arena *arena)
{
	unsigned shift = mhp__word_shift(m), order = arena->holes < shift ? arena->holes : shift;

	return (struct window){ UINT64_MAX >> (64U - (1U << order)),
				(1U << shift) - (1U << order) };
}

/* Frames of a pageblock have come free, perhaps all of it, or a larger hole: take note of both. */
static __attribute__((noinline)) struct window
frames_came(struct mhp *m, struct mhp__arena *arena, unsigned pageblock)
{
	mhp__pageblock_classify(m, arena, pageblock);
	raise_holes(m, arena, pageblock);
	if ((arena->mixed >> pageblock & 1) == 0) /* its holes have become one free pageblock */
		lower_holes(m, arena);
	return window_of(m, arena);
}

/* Give one page below the pageblock's order. */
static inline __attribute__((always_inline)) void
give_small(struct mhp *m, struct mhp__arena *arena, uint64_t *words, uint32_t frame, unsigned order,
	   struct window *window)
{
	unsigned pageblock = frame >> MHP_PAGEBLOCK_ORDER(m), shift = mhp__word_shift(m);
	unsigned nr_words = order > shift ? 1U << (order - shift) : 1U;
	uint64_t run = order >= 6 ? UINT64_MAX : (UINT64_C(1) << (1U << order)) - 1;
	uint64_t bits = run << (frame & ((1U << shift) - 1)), left = 0;
	uint64_t around = window->run << (frame & window->starts);

	if (MHP_UNLIKELY((arena->mixed >> pageblock & 1) == 0))
		make_mixed(m, arena, pageblock);
	words += frame >> shift;
	for (unsigned i = 0; i < nr_words; i++) {
		MHP_ASSERT((words[i] & bits) == bits);
		words[i] &= ~bits;
		left |= words[i];
	}
	arena->full &= ~(UINT64_C(1) << pageblock);
	if (MHP_UNLIKELY((left & around) == (mhp__free_word(m, arena, frame >> shift) & around)))
		*window = frames_came(m, arena, pageblock);
}

static void
give_pageblock(struct mhp *m, struct mhp__arena *arena, uint32_t frame)
{
	uint64_t bit = UINT64_C(1) << (frame >> MHP_PAGEBLOCK_ORDER(m));

	MHP_ASSERT_DEBUG(frame >= arena->nr_unmanaged);
	MHP_ASSERT((arena->full & bit) != 0);
	arena->full &= ~bit;
	arena->mixed &= ~bit;
}

void
mhp__arena_give_many(struct mhp *m, struct mhp__arena *arena, unsigned order, unsigned nr,
		     const uint64_t *pfns)
{
	uint64_t *words = mhp__arena_words(m, arena);
	uint64_t start = mhp__arena_start(m, arena);
	struct window window = window_of(m, arena);

	mhp__arena_assert(m, arena);
	if (order == 0) { /* the same loop again, without what only larger orders need */
		for (unsigned i = 0; i < nr; i++)
			give_small(m, arena, words, (uint32_t)(pfns[i] - start), 0, &window);
	} else if (order == MHP_PAGEBLOCK_ORDER(m)) {
		for (unsigned i = 0; i < nr; i++)
			give_pageblock(m, arena, (uint32_t)(pfns[i] - start));
	} else {
		for (unsigned i = 0; i < nr; i++)
			give_small(m, arena, words, (uint32_t)(pfns[i] - start), order,
				   &window);
	}
	arena->nr_free += (uint32_t)nr << order;
	mhp__arena_assert(m, arena);
}

/* ---- isolation ---- */

void
mhp__arena_isolate(struct mhp *m, struct mhp__arena *arena, uint64_t pageblocks, bool isolate)
{
	mhp__arena_assert(m, arena);
	MHP_ASSERT_DEBUG((pageblocks & ~mhp__arena_mask(m)) == 0);
	if (isolate)
		atomic_fetch_or_explicit(&arena->isolated, pageblocks, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&arena->isolated, ~pageblocks, memory_order_relaxed);
	arena->holes = (uint8_t)mhp__arena_holes(m, arena, MHP_ORDERS);
}

/* ---- ranges of frames ---- */

/* Take [frame, end), or give it, inside of one pageblock. */
static void
set_part(struct mhp *m, struct mhp__arena *arena, uint32_t frame, uint32_t end, bool take)
{
	unsigned pageblock = frame >> MHP_PAGEBLOCK_ORDER(m), shift = mhp__word_shift(m);
	uint64_t *words = mhp__arena_words(m, arena);
	uint32_t per = 1U << shift;

	MHP_ASSERT_DEBUG(frame >> MHP_PAGEBLOCK_ORDER(m) == (end - 1) >> MHP_PAGEBLOCK_ORDER(m));
	if ((arena->mixed >> pageblock & 1) == 0)
		make_mixed(m, arena, pageblock);
	while (frame < end) {
		uint32_t stop = (frame | (per - 1)) + 1 < end ? (frame | (per - 1)) + 1 : end;
		uint64_t run = UINT64_MAX >> (64U - (stop - frame)) << (frame & (per - 1));
		uint64_t *word = &words[frame >> shift];
		MHP_ASSERT((*word & run) == (take ? 0 : run));
		*word ^= run;
		frame = stop;
	}
	mhp__pageblock_classify(m, arena, pageblock);
}

/* Take [frame, end), which is free, or give it, which is taken. */
static void
set_range(struct mhp *m, struct mhp__arena *arena, uint32_t frame, uint32_t end, bool take)
{
	uint32_t per = 1U << MHP_PAGEBLOCK_ORDER(m), stop;

	MHP_ASSERT_DEBUG(frame >= arena->nr_unmanaged);
	for (; frame < end; frame = stop) {
		uint64_t bit = UINT64_C(1) << (frame >> MHP_PAGEBLOCK_ORDER(m));
		stop = (frame | (per - 1)) + 1 < end ? (frame | (per - 1)) + 1 : end;
		if (stop - frame < per || (arena->mixed & bit) != 0)
			set_part(m, arena, frame, stop, take);
		else if (take)
			(void)take_pageblocks(m, arena, bit, 1, &(uint64_t){ 0 });
		else
			give_pageblock(m, arena, frame);
	}
	arena->holes = (uint8_t)mhp__arena_holes(m, arena, MHP_ORDERS);
}

bool
mhp__arena_take_range(struct mhp *m, struct mhp__arena *arena, uint32_t frame, uint32_t end)
{
	bool free = true;

	mhp__arena_assert(m, arena);
	MHP_ASSERT_DEBUG(end <= mhp__arena_pages(m));
	for (uint32_t at = frame; at < end && free;)
		at += mhp__arena_run(m, arena, at, &free);
	if (!free)
		return false;
	set_range(m, arena, frame, end, true);
	arena->nr_free -= end - frame;
	mhp__arena_assert(m, arena);
	return true;
}

void
mhp__arena_give_range(struct mhp *m, struct mhp__arena *arena, uint32_t frame, uint32_t end)
{
	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(frame >= arena->nr_unmanaged);
	set_range(m, arena, frame, end, false);
	arena->nr_free += end - frame;
	mhp__arena_assert(m, arena);
}
