/* SPDX-License-Identifier: MIT */
/*
 * blocks.c - the fields of requests that mean blocks, sizes and zones.
 *
 * Words are read by words.c; here they meet the pool: its block size, its range, and which blocks
 * are still those that the request was about. Errors in them are answered here. A list of blocks is
 * as long as its line: it is kept in memory from mmap, because there is no malloc here.
 */
#define _GNU_SOURCE
#include <memplug/words.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "server.h"

uint64_t
mhp__block_bytes(void)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mhp__control.m);
	return UINT64_C(1) << (geo->block_order + geo->page_shift);
}

const char *
mhp__state_name(enum mhp_block_state state)
{
	static const char *const names[] = {
		"absent", "offline", "going-online", "online", "going-offline",
	};
	return (unsigned)state < 5 ? names[state] : "?";
}

/* ---- sizes ---- */

void
mhp__size_text(uint64_t bytes, char text[MHP__SIZE_TEXT])
{
	static const char units[] = "KMGT";
	unsigned unit = 0;
	uint64_t value = (bytes + 1023) >> 10;
	while (unit < 3 && (value >= 10240 || (value != 0 && value % 1024 == 0))) {
		value = (value + 1023) >> 10;
		unit++;
	}
	snprintf(text, MHP__SIZE_TEXT, "%llu%c", (unsigned long long)value, units[unit]);
}

/* The same for what is whole at some unit, to the byte. */
static void
exact_text(uint64_t bytes, char text[MHP__SIZE_TEXT])
{
	static const char units[] = "KMGT";
	unsigned unit = 0;
	uint64_t value = bytes >> 10;
	while (unit < 3 && value != 0 && value % 1024 == 0) {
		value >>= 10;
		unit++;
	}
	snprintf(text, MHP__SIZE_TEXT, "%llu%c", (unsigned long long)value, units[unit]);
}

bool
mhp__size_field(const struct mhp__fields *fields, bool round_up, struct mhp__out *out,
		uint64_t *ret_bytes)
{
	const char *words = mhp__text(fields, MHP__F_SIZE);
	char below_text[MHP__SIZE_TEXT], above_text[MHP__SIZE_TEXT], block_text[MHP_SIZE_TEXT];
	uint64_t below, above, bytes = mhp__block_bytes();
	struct mhp_size size;
	int err = mhp_size_parse(words, &size);
	if (err == MHP_EOVERFLOW) {
		mhp__out_error(out, err, "'%s' is more than any pool can have", words);
		return false;
	}
	if (err != 0 || size.bytes == 0) {
		mhp__out_error(out, MHP_EINVAL, "'%s' is no size: a size is a number followed by "
			       "K, M, G or T, like 512M or 1.5G", words);
		return false;
	}
	if (mhp_size_fit(&size, bytes, &below, &above) || round_up) {
		*ret_bytes = above;
		return true;
	}
	mhp_size_text(bytes, block_text);
	exact_text(below, below_text);
	exact_text(above, above_text);
	mhp__out_error(out, MHP_EINVAL, "%s is not a multiple of the block size, %s: the nearest "
		       "%s %s%s%s", words, block_text, below != 0 ? "are" : "is",
		       below != 0 ? below_text : "", below != 0 ? " and " : "", above_text);
	return false;
}

/* ---- runs ---- */

bool
mhp__next_run(uint32_t *cursor, struct mhp_blocks *ret_run, struct mhp_block_info *ret_info)
{
	while (mhp_range_get(mhp__control.m, *cursor, ret_run) == 0) {
		*cursor = ret_run->first + ret_run->count;
		/* Untaken: a run lies within the addresses, where each block can be looked up. */
		if (mhp_block_get(mhp__control.m, ret_run->first, ret_info) != 0)
			continue;
		if (ret_info->state != MHP_ABSENT)
			return true;
	}
	return false;
}

/* ---- zones ---- */

bool
mhp__zone_field(const struct mhp__fields *fields, struct mhp__out *out, uint8_t *ret_zone)
{
	static const char *const names[] = { "default", "kernel", "movable" };
	static const uint8_t zones[] = { MHP_ZONE_DEFAULT, MHP_ZONE_NORMAL, MHP_ZONE_MOVABLE };
	const char *word = mhp__text(fields, MHP__F_ZONE);
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(word, names[i]) == 0 || (*word == 0 && i == 0)) {
			*ret_zone = zones[i];
			return true;
		}
	mhp__out_error(out, MHP_EINVAL, "'%s' is no zone: the zones are movable and kernel", word);
	return false;
}

/* ---- blocks ---- */

/* The first block of a run that is not there; its end: all are. Cost: by ranges of like blocks. */
static uint32_t
find_absent(struct mhp_blocks run)
{
	uint32_t end = run.first + run.count, block = run.first;
	struct mhp_block_info info;
	struct mhp_blocks alike;
	while (block < end && mhp_block_get(mhp__control.m, block, &info) == 0 &&
	       info.state != MHP_ABSENT && mhp_range_get(mhp__control.m, block, &alike) == 0)
		block = alike.first + alike.count;
	return block < end ? block : end;
}

uint32_t
mhp__find_stale(struct mhp_blocks run, uint64_t as_of)
{
	uint32_t end = run.first + run.count, block = run.first;
	struct mhp_block_info info;
	if (as_of >= mhp_generation(mhp__control.m))
		return end; /* nothing has come since */
	while (block < end && mhp_block_get(mhp__control.m, block, &info) == 0 &&
	       info.generation <= as_of)
		block++;
	return block;
}

/* Are all of them there, and those that were there then? If not, that is answered. */
static bool
are_current(const struct mhp__sets *sets, uint64_t as_of, const char *verb, struct mhp__out *out)
{
	for (unsigned i = 0; i < sets->nr; i++) {
		struct mhp_blocks run = sets->run[i];
		uint32_t absent = find_absent(run), stale = mhp__find_stale(run, as_of);
		if (absent != run.first + run.count) {
			mhp__out_error(out, MHP_ENOENT, "cannot %s: block %u: it is not there",
				       verb, absent);
			return false;
		}
		if (stale != run.first + run.count) {
			mhp__out_error(out, MHP_ENODEV, "cannot %s: block %u: it is gone, and "
				       "another block has taken its place", verb, stale);
			return false;
		}
	}
	return true;
}

/* How many runs a list has; 0: it is none. */
static unsigned
count_runs(const char *words)
{
	uint32_t nr_blocks = mhp_get_geometry(mhp__control.m)->nr_blocks;
	struct mhp_blocks run;
	unsigned nr = 0;
	int more;
	while ((more = mhp_blocks_next(&words, mhp__block_bytes(), nr_blocks, &run)) == 1)
		nr++;
	return more == 0 ? nr : 0;
}

bool
mhp__sets_open(const struct mhp__fields *fields, const char *verb, struct mhp__out *out,
	       struct mhp__sets *ret_sets)
{
	const char *words = mhp__text(fields, MHP__F_BLOCKS);
	uint32_t nr_blocks = mhp_get_geometry(mhp__control.m)->nr_blocks;
	unsigned nr = count_runs(words);
	if (nr == 0) {
		mhp__out_error(out, MHP_EINVAL, "'%.300s' names no blocks: write 3, 3-7, 3,5-6 or "
			       "0xFIRST-0xLAST with addresses of whole blocks, below block %u",
			       words, nr_blocks);
		return false;
	}
	*ret_sets = (struct mhp__sets){ .size = nr * sizeof(struct mhp_blocks) };
	ret_sets->run = mmap(NULL, ret_sets->size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ret_sets->run == MAP_FAILED) {
		mhp__out_error(out, MHP_ENOMEM, "the process has no memory left for the list");
		return false;
	}
	for (; ret_sets->nr < nr; ret_sets->nr++)
		(void)!mhp_blocks_next(&words, mhp__block_bytes(), nr_blocks,
				       &ret_sets->run[ret_sets->nr]);
	if (are_current(ret_sets, mhp__number(fields, MHP__F_AS_OF), verb, out))
		return true;
	mhp__sets_close(ret_sets);
	return false;
}

void
mhp__sets_close(struct mhp__sets *sets)
{
	munmap(sets->run, sets->size);
}
