/* SPDX-License-Identifier: MIT */
/*
 * blocks.c - words for blocks and sizes: 3  3-7  3,5-6  0x80000000-0x8fffffff  512M.
 *
 * Numbers that begin with 0x are addresses, first and last byte; others are block indices, first
 * and last block. Ranges are inclusive, as lsmem and chmem write them.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

uint64_t
mhp__block_bytes(void)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mhp__control.m);
	return UINT64_C(1) << (geo->block_order + geo->page_shift);
}

uint64_t
mhp__size_parse(const char *words)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t value = strtoull(words, &end, 0);
	if (end == words || *words == '-')
		return 0;
	const char *unit = *end != 0 ? strchr(units, *end) : NULL;
	if (*end != 0 && (unit == NULL || end[1] != 0))
		return 0;
	unsigned shift = unit != NULL ? 10U * (unsigned)(unit - units + 1) : 0;
	return value > UINT64_MAX >> shift ? 0 : value << shift;
}

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

/* One number of a range; addresses become block indices. */
static bool
parse_number(char **at, bool is_end, uint64_t *ret_block)
{
	bool address = (*at)[0] == '0' && ((*at)[1] == 'x' || (*at)[1] == 'X');
	char *start = *at;
	uint64_t value = strtoull(start, at, 0), bytes = mhp__block_bytes();
	if (*at == start || *start == '-')
		return false;
	if (address && (is_end ? (value + 1) % bytes != 0 : value % bytes != 0))
		return false;
	*ret_block = address ? value / bytes : value;
	return true;
}

bool
mhp__sets_parse(const char *words, struct mhp__sets *ret_sets, struct mhp__out *out)
{
	uint32_t nr_blocks = mhp_get_geometry(mhp__control.m)->nr_blocks;
	char *at = (char *)(uintptr_t)words;
	ret_sets->nr = 0;
	for (;;) {
		uint64_t first, last;
		if (!parse_number(&at, false, &first))
			break;
		last = first;
		if (*at == '-') {
			at++;
			if (!parse_number(&at, true, &last))
				break;
		}
		if (last < first || last >= nr_blocks || ret_sets->nr == MHP__SETS_MAX)
			break;
		ret_sets->run[ret_sets->nr++] = (struct mhp_blocks){
			(uint32_t)first, (uint32_t)(last - first + 1) };
		if (*at == 0)
			return true;
		if (*at++ != ',')
			break;
	}
	mhp__out_error(out, MHP_EINVAL, "'%s' names no blocks: write 3, 3-7, 3,5-6 or "
		       "0xFIRST-0xLAST with addresses of whole blocks, below block %u", words,
		       nr_blocks);
	return false;
}

const char *
mhp__state_name(enum mhp_block_state state)
{
	static const char *const names[] = {
		"absent", "offline", "going-online", "online", "going-offline",
	};
	return (unsigned)state < 5 ? names[state] : "?";
}
