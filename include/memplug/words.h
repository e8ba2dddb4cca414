/* SPDX-License-Identifier: MIT */
/*
 * words.h - numbers, sizes, times and lists of blocks as people write them and tools print them.
 *
 * The only parser of each, for the command, the control socket and the environment. The functions
 * are pure: they call nothing, keep nothing, and read nothing after the end of the string.
 *
 * Context, unless a function says otherwise: any, also a signal handler.
 */
#ifndef MEMPLUG_WORDS_H
#define MEMPLUG_WORDS_H

#include <memplug/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Read a whole number: decimal, or hexadecimal after 0x. No sign, no blanks, and no leading zero:
 * 015 is 15 to some and 13 to others.
 *
 * @max: the largest number that is taken.
 * Return: 0, or MHP_EINVAL (no such number) or MHP_EOVERFLOW (larger than @max).
 */
MHP_MUST_CHECK int mhp_number_parse(const char *text, uint64_t max, uint64_t *ret_number);

/** Read seconds with up to three decimals: 30, 1.5. MHP_EINVAL: none, or not 1 ms to 10^6 s. */
MHP_MUST_CHECK int mhp_seconds_parse(const char *text, uint32_t *ret_ms);

/** A size as it was written; a rounded one (2.8G) stands for every size that is printed so. */
struct mhp_size {
	uint64_t bytes;            /* what the text says, to the byte */
	uint64_t first, last;      /* what it can mean; both are bytes unless it has decimals */
};

/**
 * Read a size: 512M, 1.5G, 2GiB, 134217728. Units are K, M, G, T and P, powers of 1024, in either
 * case; a number without one is bytes, and must then be 0 or at least 4096, as "1" means 1G to
 * some.
 *
 * Return: 0, MHP_EINVAL (no size), MHP_EOVERFLOW (does not fit 64 bits).
 */
MHP_MUST_CHECK int mhp_size_parse(const char *text, struct mhp_size *ret_size);

/**
 * The multiple of @unit that @size means.
 *
 * @unit: bytes, not 0.
 * @ret_below, @ret_above: both the one that is meant; else the nearest two around it.
 * Return: true when it is clear what is meant: there is one such multiple, or @size is it.
 */
bool mhp_size_fit(const struct mhp_size *size, uint64_t unit, uint64_t *ret_below,
		  uint64_t *ret_above);

#define MHP_SIZE_TEXT 16U          /* bytes that hold any size as text */

/** Write a size: 134217728 is "128M", 2952790016 is "2.8G"; one decimal where it is not whole. */
void mhp_size_text(uint64_t bytes, char text[MHP_SIZE_TEXT]);

/**
 * Read the next run of a list of blocks: 3  3-7  3,5-6  0x80000000-0x8fffffff.
 *
 * Numbers are indices, first and last block; after 0x they are addresses, of the first and the
 * last byte of whole blocks. Any length.
 *
 * @at:        where to go on; moved on.
 * @nr_blocks: of the address range; what is not below it is refused.
 * Return: 1 (a run), 0 (the list has ended), or MHP_EINVAL (this is no list of blocks), and then
 * nothing of the list may be used.
 */
MHP_MUST_CHECK int mhp_blocks_next(const char **at, uint64_t block_bytes, uint32_t nr_blocks,
				   struct mhp_blocks *ret_run);

#ifdef __cplusplus
}
#endif
#endif
