/* SPDX-License-Identifier: MIT */
/*
 * bits.h - counting the bits of a word. Header only.
 */
#ifndef MHP_CORE_BITS_H
#define MHP_CORE_BITS_H

#include <stdint.h>

/* By hand: without -mpopcnt the built-in one is a call to the compiler's library. */
static inline unsigned
mhp__count_bits(uint64_t word)
{
	word -= word >> 1 & UINT64_C(0x5555555555555555);
	word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
	word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (unsigned)(word * UINT64_C(0x0101010101010101) >> 56);
}

#endif
