/* SPDX-License-Identifier: MIT */
/*
 * bitset.h - a set of small numbers in which the next member is found in O(log64 n).
 *
 * A tree of words: a bit of level k + 1 says that the word below it is not zero. Guarded by the
 * hotplug lock. All-zero memory is the empty set.
 */
#ifndef MHP_CORE_BITSET_H
#define MHP_CORE_BITSET_H

#include <memplug/types.h>

#include "base/assert.h"

#define MHP_BITSET_LEVELS 4U           /* at most: 64^4 = 2^24 members */

struct mhp__bitset {
	uint32_t nr_bits;
	uint32_t nr_levels;            /* in use; the last is one word */
	uint64_t *level[MHP_BITSET_LEVELS];
};

/* Words of a set of nr_bits, all levels. */
size_t mhp__bitset_words(uint32_t nr_bits);
void mhp__bitset_init(struct mhp__bitset *set, uint64_t *words, uint32_t nr_bits);
void mhp__bitset_put(struct mhp__bitset *set, uint32_t bit, bool member);
static inline bool
mhp__bitset_test(const struct mhp__bitset *set, uint32_t bit)
{
	MHP_ASSERT(bit < set->nr_bits);
	return (set->level[0][bit / 64U] >> bit % 64U & 1U) != 0;
}
/* The same, when the word of bit has none. */
uint32_t mhp__bitset_next_word(const struct mhp__bitset *set, uint32_t bit);
/* First member >= bit; nr_bits when there is none. */
static inline uint32_t
mhp__bitset_next(const struct mhp__bitset *set, uint32_t bit)
{
	uint64_t word;

	if (bit >= set->nr_bits)
		return set->nr_bits;
	word = set->level[0][bit / 64U] & (UINT64_MAX << bit % 64U);
	if (word != 0)
		return bit / 64U * 64U + (uint32_t)__builtin_ctzll(word);
	return mhp__bitset_next_word(set, bit);
}
/* For a loop over the members, for (uint32_t i = 0; mhp__bitset_seek(set, &i); i++): go to the
 * first member >= *bit. False: there is none. */
static inline bool
mhp__bitset_seek(const struct mhp__bitset *set, uint32_t *bit)
{
	*bit = mhp__bitset_next(set, *bit);
	return *bit < set->nr_bits;
}
/* Last member <= bit; nr_bits when there is none. */
uint32_t mhp__bitset_prev(const struct mhp__bitset *set, uint32_t bit);
/* Recompute the upper levels from the lowest: a thread may have been killed in a put. O(words). */
void mhp__bitset_mend(struct mhp__bitset *set);
/* Do the levels agree, and is nothing set beyond nr_bits? For the verifier; O(words). */
bool mhp__bitset_sound(const struct mhp__bitset *set);

#endif
