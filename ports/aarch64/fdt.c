/* SPDX-License-Identifier: MIT */
/*
 * fdt.c - walks a flattened device tree once, looking at two properties.
 *
 * The tree is the machine's, but it is checked like any input: nothing is read past its structure
 * block. Addresses and sizes have two cells each, as on every machine that this port runs on.
 */
#include "fdt.h"

#include <stddef.h>

#include "string.h"

#define FDT_MAGIC 0xd00dfeedU

enum { BEGIN_NODE = 1, END_NODE = 2, PROPERTY = 3, NOP = 4, DEPTH_OF_INTEREST = 2 };

struct fdt_header {
	uint32_t magic, total_bytes, structure, strings, reserve_map, version, last_compatible;
	uint32_t boot_cpu, strings_bytes, structure_bytes;
};

static uint32_t
u32_at(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return __builtin_bswap32(value);
}

static uint64_t
u64_at(const uint8_t *at)
{
	return (uint64_t)u32_at(at) << 32 | u32_at(at + 4);
}

static bool
starts_with(const char *text, const char *word)
{
	size_t length = strlen(word);

	return memcmp(text, word, length) == 0 && (text[length] == '\0' || text[length] == '@');
}

bool
fdt_read(const void *tree, void (*memory)(uint64_t start, uint64_t size),
	 const char **ret_command_line)
{
	const struct fdt_header *header = tree;
	const uint8_t *base = tree;

	*ret_command_line = NULL;
	if (__builtin_bswap32(header->magic) != FDT_MAGIC)
		return false;
	const uint8_t *at = base + __builtin_bswap32(header->structure);
	const uint8_t *end = at + __builtin_bswap32(header->structure_bytes);
	const char *strings = (const char *)base + __builtin_bswap32(header->strings);
	const char *node = "";
	unsigned depth = 0;
	while (at + 12 <= end) {
		uint32_t token = u32_at(at);
		at += 4;
		if (token == BEGIN_NODE) {
			depth++;
			node = (const char *)at;
			at += (strlen(node) + 4) & ~(size_t)3;
		} else if (token == END_NODE) {
			depth--;
		} else if (token == PROPERTY) {
			uint32_t length = u32_at(at);
			const char *name = strings + u32_at(at + 4);
			at += 8;
			if (depth == DEPTH_OF_INTEREST && starts_with(node, "memory") &&
			    text_equal(name, "reg"))
				for (uint32_t i = 0; i + 16 <= length; i += 16)
					memory(u64_at(at + i), u64_at(at + i + 8));
			if (depth == DEPTH_OF_INTEREST && text_equal(node, "chosen") &&
			    text_equal(name, "bootargs"))
				*ret_command_line = (const char *)at;
			at += (length + 3) & ~3U;
		} else if (token != NOP) {
			break;
		}
	}
	return true;
}
