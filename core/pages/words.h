/* SPDX-License-Identifier: MIT */
/*
 * words.h - the words of an arena's bitmap, for the files that read or write it.
 *
 * One bit a frame, 1 = taken; a small pageblock has one word of its own, part used.
 */
#ifndef MHP_CORE_WORDS_H
#define MHP_CORE_WORDS_H

#include "memmap/memmap.h"
#include "state/instance.h"

/* log2 of the frames that a bitmap word stands for: a small pageblock has one word, part used. */
static inline unsigned
mhp__word_shift(const struct mhp *m)
{
	return MHP_PAGEBLOCK_ORDER(m) < 6U ? MHP_PAGEBLOCK_ORDER(m) : 6U;
}

static inline uint64_t
mhp__word_mask(const struct mhp *m)
{
	return UINT64_MAX >> (64U - (1U << mhp__word_shift(m)));
}

static inline unsigned
mhp__words_per_pageblock(const struct mhp *m)
{
	return 1U << (MHP_PAGEBLOCK_ORDER(m) - mhp__word_shift(m));
}

/* The bitmap words of the arena, pageblock after pageblock. */
static inline uint64_t *
mhp__arena_words(const struct mhp *m, const struct mhp__arena *arena)
{
	return mhp__pfn_bitmap(m, mhp__arena_start(m, arena));
}

/* The value of word `index` when every frame there that is the allocator's is free. */
static inline uint64_t
mhp__free_word(const struct mhp *m, const struct mhp__arena *arena, unsigned index)
{
	uint32_t first = (uint32_t)index << mhp__word_shift(m);

	MHP_ASSERT_DEBUG(first < mhp__arena_pages(m));
	if (MHP_LIKELY(arena->nr_unmanaged <= first))
		return 0;
	if (arena->nr_unmanaged - first >= 1U << mhp__word_shift(m))
		return mhp__word_mask(m);
	return (UINT64_C(1) << (arena->nr_unmanaged - first)) - 1;
}

/* Derive full and mixed of a mixed pageblock from its words. */
static inline void
mhp__pageblock_classify(const struct mhp *m, struct mhp__arena *arena, unsigned pageblock)
{
	uint64_t bit = UINT64_C(1) << pageblock, used = 0, free = 0;
	unsigned nr = mhp__words_per_pageblock(m), index = pageblock * nr;
	const uint64_t *words = mhp__arena_words(m, arena) + index;

	MHP_ASSERT_DEBUG((arena->mixed & bit) != 0); /* its bitmap is the truth */
	for (unsigned i = 0; i < nr; i++) {
		used |= words[i] ^ mhp__free_word(m, arena, index + i);
		free |= words[i] ^ mhp__word_mask(m);
	}
	arena->full = free == 0 ? arena->full | bit : arena->full & ~bit;
	if (used == 0)
		arena->mixed &= ~bit;
}

/* Assert what INV 6 and 7 say of the slot of an arena that is online, as far as that can be told
 * without its bitmaps. Its lock is held. */
static inline void
mhp__arena_assert(const struct mhp *m, const struct mhp__arena *arena)
{
	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(arena->zone_id1 != 0);
	MHP_ASSERT_DEBUG(arena->nr_free <= mhp__arena_pages(m) - arena->nr_unmanaged);
	MHP_ASSERT_DEBUG(((arena->full | arena->mixed) & ~mhp__arena_mask(m)) == 0);
	MHP_ASSERT_DEBUG((arena->mixed & atomic_load(&arena->virgin)) == 0);
	MHP_ASSERT_DEBUG(arena->holes <= MHP_PAGEBLOCK_ORDER(m));
}

/* The pageblocks that nothing is taken from. */
static inline uint64_t
mhp__isolated(const struct mhp__arena *arena)
{
	return atomic_load_explicit(&arena->isolated, memory_order_relaxed);
}

#endif
