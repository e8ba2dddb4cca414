/* SPDX-License-Identifier: MIT */
/*
 * bitset.c - a set of small numbers with fast search, as a tree of 64-bit words.
 *
 * Level 0 holds the members, one bit each; a bit of level k + 1 is set exactly when the word below
 * it is not zero. A search goes up until a word has a candidate and comes down again: two words a
 * level at most, so its cost is bounded by the height. The top level is the first that is one
 * word: most instances need one level or two. It must not know what its members mean.
 */
#include "base/bitset.h"

static uint32_t
words_of(uint32_t nr_bits)
{
	return nr_bits / 64U + (nr_bits % 64U != 0);
}

size_t
mhp__bitset_words(uint32_t nr_bits)
{
	size_t words = 0;

	MHP_ASSERT_DEBUG(nr_bits != 0);
	do {
		nr_bits = words_of(nr_bits);
		words += nr_bits;
	} while (nr_bits > 1);
	return words;
}

void
mhp__bitset_init(struct mhp__bitset *set, uint64_t *words, uint32_t nr_bits)
{
	MHP_ASSERT_DEBUG(nr_bits != 0);
	set->nr_bits = nr_bits;
	set->nr_levels = 0;
	do {
		MHP_ASSERT(set->nr_levels < MHP_BITSET_LEVELS);
		set->level[set->nr_levels++] = words;
		nr_bits = words_of(nr_bits);
		words += nr_bits;
	} while (nr_bits > 1);
	MHP_ASSERT_DEBUG(nr_bits == 1); /* so every search ends at the top level */
}

void
mhp__bitset_put(struct mhp__bitset *set, uint32_t bit, bool member)
{
	MHP_ASSERT(bit < set->nr_bits);
	for (unsigned k = 0; k < set->nr_levels; k++) {
		uint64_t *word = &set->level[k][bit / 64U];
		uint64_t mask = UINT64_C(1) << bit % 64U;
		bool was_empty = *word == 0;

		*word = member ? *word | mask : *word & ~mask;
		if (was_empty == (*word == 0))
			return; /* the levels above say the same as before */
		bit /= 64U;
	}
}

/* The first (last) member below the bit `at` of level k, which is known to have one. */
static uint32_t
descend(const struct mhp__bitset *set, unsigned k, uint32_t at, bool last)
{
	while (k-- > 0) {
		uint64_t word = set->level[k][at];

		MHP_ASSERT_DEBUG(word != 0);
		at = at * 64U + (uint32_t)(last ? 63 - __builtin_clzll(word)
						: __builtin_ctzll(word));
	}
	MHP_ASSERT_DEBUG(at < set->nr_bits);
	return at;
}

uint32_t
mhp__bitset_next_word(const struct mhp__bitset *set, uint32_t bit)
{
	uint32_t nr_bits = words_of(set->nr_bits);

	MHP_ASSERT_DEBUG(bit < set->nr_bits);
	MHP_ASSERT_DEBUG(set->level[0][bit / 64U] >> bit % 64U == 0); /* looked at by the caller */
	bit = bit / 64U + 1U;
	for (unsigned k = 1; k < set->nr_levels && bit < nr_bits; k++) {
		uint64_t word = set->level[k][bit / 64U] & (UINT64_MAX << bit % 64U);

		if (word != 0) {
			uint32_t at = bit / 64U * 64U + (uint32_t)__builtin_ctzll(word);
			return descend(set, k, at, false);
		}
		bit = bit / 64U + 1U;
		nr_bits = words_of(nr_bits);
	}
	return set->nr_bits;
}

uint32_t
mhp__bitset_prev(const struct mhp__bitset *set, uint32_t bit)
{
	MHP_ASSERT(set->nr_bits > 0);
	if (bit >= set->nr_bits)
		bit = set->nr_bits - 1U;
	/* Bound: the top level is one word. */
	for (unsigned k = 0;; k++) {
		uint64_t word = set->level[k][bit / 64U] & (UINT64_MAX >> (63U - bit % 64U));

		if (word != 0) {
			uint32_t at = bit / 64U * 64U + 63U - (uint32_t)__builtin_clzll(word);
			return descend(set, k, at, true);
		}
		if (bit < 64U)
			return set->nr_bits;
		bit = bit / 64U - 1U;
	}
}

void
mhp__bitset_mend(struct mhp__bitset *set)
{
	uint32_t nr_bits = set->nr_bits;

	for (unsigned k = 0; k + 1U < set->nr_levels; k++) {
		uint32_t nr_words = words_of(nr_bits);

		for (uint32_t i = 0; i < nr_words; i++) {
			uint64_t *above = &set->level[k + 1U][i / 64U];
			uint64_t mask = UINT64_C(1) << i % 64U;
			*above = set->level[k][i] != 0 ? *above | mask : *above & ~mask;
		}
		nr_bits = nr_words;
	}
	MHP_ASSERT_DEBUG(mhp__bitset_sound(set));
}

bool
mhp__bitset_sound(const struct mhp__bitset *set)
{
	uint32_t nr_bits = set->nr_bits;

	for (unsigned k = 0; k < set->nr_levels; k++) {
		uint32_t nr_words = words_of(nr_bits);

		if (nr_bits % 64U != 0 && set->level[k][nr_words - 1U] >> nr_bits % 64U != 0)
			return false;
		for (uint32_t i = 0; i < nr_words && k + 1U < set->nr_levels; i++) {
			bool said = (set->level[k + 1U][i / 64U] >> i % 64U & 1U) != 0;
			if (said != (set->level[k][i] != 0))
				return false;
		}
		nr_bits = nr_words;
	}
	return true;
}
