/* SPDX-License-Identifier: MIT */
/*
 * scan.c - reading an arena: what is taken, what is free.
 *
 * slots.h names the four conditions of a pageblock. Two bits of the slot tell most of them, and a
 * bitmap is only read where mixed says that it counts; so a walk over an arena of free or wholly
 * taken pageblocks touches one cache line. Frames below nr_unmanaged are taken.
 *
 * Must not know: how an arena changes, what a page is used for.
 */
#include "pages/scan.h"

#include "base/bits.h"
#include "pages/words.h"

bool
mhp__arena_taken(const struct mhp *m, const struct mhp__arena *arena, uint64_t pfn)
{
	uint32_t frame = (uint32_t)(pfn & m->arena_mask);
	unsigned pageblock = frame >> MHP_PAGEBLOCK_ORDER(m);

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(&m->arenas[mhp__pfn_arena(m, pfn)] == arena);
	if (frame < arena->nr_unmanaged)
		return true;
	if ((arena->mixed >> pageblock & 1) == 0)
		return (arena->full >> pageblock & 1) != 0;
	unsigned bit = frame & ((1U << mhp__word_shift(m)) - 1);
	return (mhp__arena_words(m, arena)[frame >> mhp__word_shift(m)] >> bit & 1) != 0;
}

unsigned
mhp__pageblock_nr_managed(const struct mhp *m, const struct mhp__arena *arena, unsigned pageblock)
{
	uint32_t nr = 1U << MHP_PAGEBLOCK_ORDER(m);
	uint32_t first = (uint32_t)pageblock << MHP_PAGEBLOCK_ORDER(m);

	MHP_ASSERT_DEBUG(pageblock < mhp__arena_pageblocks(m));
	if (arena->nr_unmanaged <= first)
		return nr;
	return arena->nr_unmanaged - first >= nr ? 0 : nr - (arena->nr_unmanaged - first);
}

unsigned
mhp__pageblock_nr_free(const struct mhp *m, const struct mhp__arena *arena, unsigned pageblock)
{
	unsigned nr_words = mhp__words_per_pageblock(m), nr_free = 0;

	if ((arena->mixed >> pageblock & 1) == 0) {
		if (arena->full >> pageblock & 1)
			return 0;
		return mhp__pageblock_nr_managed(m, arena, pageblock);
	}
	const uint64_t *words = mhp__arena_words(m, arena) + pageblock * nr_words;
	for (unsigned i = 0; i < nr_words; i++)
		nr_free += mhp__count_bits(~words[i] & mhp__word_mask(m));
	MHP_ASSERT_DEBUG(nr_free <= mhp__pageblock_nr_managed(m, arena, pageblock));
	return nr_free;
}

uint32_t
mhp__arena_next_taken(const struct mhp *m, const struct mhp__arena *arena, uint32_t frame,
		      uint32_t *ret_end)
{
	uint32_t end = (uint32_t)mhp__arena_pages(m), per = 1U << mhp__word_shift(m);
	uint64_t used = arena->full | arena->mixed, word;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(frame <= end);
	if (frame < arena->nr_unmanaged)
		frame = arena->nr_unmanaged;
	/* Bound: each turn moves on by a word, or to a pageblock that is in use. */
	while (frame < end) {
		unsigned pageblock = frame >> MHP_PAGEBLOCK_ORDER(m);
		if (used >> pageblock == 0)
			break;
		if ((used >> pageblock & 1) == 0) {
			pageblock += (unsigned)__builtin_ctzll(used >> pageblock);
			frame = pageblock << MHP_PAGEBLOCK_ORDER(m);
		}
		*ret_end = (pageblock + 1) << MHP_PAGEBLOCK_ORDER(m);
		if ((arena->mixed >> pageblock & 1) == 0)
			return frame; /* taken whole */
		word = mhp__arena_words(m, arena)[frame >> mhp__word_shift(m)] >>
		       (frame & (per - 1));
		if (word != 0) {
			frame += (uint32_t)__builtin_ctzll(word);
			word = ~(word >> __builtin_ctzll(word));
			*ret_end = word != 0 ? frame + (uint32_t)__builtin_ctzll(word) : frame + 64;
			return frame;
		}
		frame = (frame | (per - 1)) + 1;
	}
	return end;
}

uint32_t
mhp__arena_run(const struct mhp *m, const struct mhp__arena *arena, uint32_t frame, bool *ret_free)
{
	unsigned pageblock = frame >> MHP_PAGEBLOCK_ORDER(m), shift = mhp__word_shift(m);
	uint32_t next = (pageblock + 1) << MHP_PAGEBLOCK_ORDER(m), per = 1U << shift;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(frame < mhp__arena_pages(m));
	*ret_free = false;
	if (frame < arena->nr_unmanaged)
		return arena->nr_unmanaged - frame;
	if (mhp__isolated(arena) >> pageblock & 1)
		return next - frame;
	*ret_free = ((arena->mixed | ~arena->full) >> pageblock & 1) != 0;
	if ((arena->mixed >> pageblock & 1) == 0)
		return next - frame;
	unsigned bit = frame & (per - 1);
	uint64_t word = mhp__arena_words(m, arena)[frame >> shift] >> bit;
	*ret_free = (word & 1) == 0;
	uint64_t other = *ret_free ? word : ~word; /* frames that end the run */
	uint32_t run = other != 0 ? (uint32_t)__builtin_ctzll(other) : 64;
	return run < per - bit ? run : per - bit;
}
