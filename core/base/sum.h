/* SPDX-License-Identifier: MIT */
/*
 * sum.h - checksums of slots, constants and tables, and the hash of the digest.
 *
 * A step is a bijection of the sum for every word, and of the word for every sum: so one word that
 * differs always shows in the result, whatever follows it. From a sum of 0, zeros give 0, so that
 * all-zero memory carries its own checksum. Not against malice. Header only.
 */
#ifndef MHP_CORE_SUM_H
#define MHP_CORE_SUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* 1 if an odd number of bits is set. Compilers call their own library on machines that have no
 * instruction for it, and a kernel does not have that library; so fold by hand there. */
static inline unsigned
mhp__parity(uint64_t word)
{
#ifdef __x86_64__
	return (unsigned)__builtin_parityll(word);
#else
	word ^= word >> 32;
	word ^= word >> 16;
	word ^= word >> 8;
	word ^= word >> 4;
	return 0x6996U >> (word & 15) & 1U; /* the parities of 0 to 15 */
#endif
}

static inline uint32_t
mhp__sum_word(uint32_t sum, uint32_t word)
{
	sum = (sum ^ word) * UINT32_C(0x9e3779b1); /* odd, near 2^32 over the golden ratio */
	return sum ^ sum >> 15;
}

static inline uint32_t
mhp__sum_u64(uint32_t sum, uint64_t value)
{
	return mhp__sum_word(mhp__sum_word(sum, (uint32_t)value), (uint32_t)(value >> 32));
}

static inline uint32_t
mhp__sum_ptr(uint32_t sum, const void *ptr)
{
	return mhp__sum_u64(sum, (uint64_t)(uintptr_t)ptr);
}

static inline uint32_t
mhp__sum_bytes(uint32_t sum, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	for (; size >= sizeof(uint32_t); size -= sizeof(uint32_t), at += sizeof(uint32_t)) {
		uint32_t word;
		memcpy(&word, at, sizeof(word));
		sum = mhp__sum_word(sum, word);
	}
	for (; size != 0; size--)
		sum = mhp__sum_word(sum, *at++);
	return sum;
}

/* The same idea with 64 bits, for mhp_digest(). */
static inline uint64_t
mhp__hash_u64(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

#endif
