/* SPDX-License-Identifier: MIT */
/*
 * sim_from.c - a scenario for memplug sim, made from a folder of memory blocks.
 *
 * The folder is a machine's /sys/devices/system/memory, a copy of it, or the tree of a pool
 * (memplug mount), whose blocks also say how much of them is in use. Online blocks of the same kind
 * that follow each other are one add; offline ones are left out. A block's node is the one that its
 * folder has a link to. The user says what shall happen then.
 */
#define _GNU_SOURCE
#include "sim_from.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../replay/scenario.h"
#include "cli.h"

struct blocks {
	int folder;
	uint64_t block_bytes;
	size_t nr;
	uint64_t *number;              /* of those that are there */
	unsigned nr_nodes;
	uint64_t used_bytes[MHP__SCENARIO_NODES][2]; /* kernel: 1 */
	uint64_t nr_online;
};

/* The first line of a file; false: there is none. */
static bool
read_line(const struct blocks *blocks, const char *path, char *text, size_t size)
{
	int fd = openat(blocks->folder, path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, text, size - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	return got > 0;
}

static bool
read_of(const struct blocks *blocks, uint64_t number, const char *file, char *text, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "memory%" PRIu64 "/%s", number, file);
	return read_line(blocks, path, text, size);
}

static int
compare(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
	return one < two ? -1 : one > two;
}

/* The numbers of all blocks, sorted; false: no memory. */
static bool
find_blocks(struct blocks *blocks, DIR *folder)
{
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		char *end;
		if (strncmp(entry->d_name, "memory", 6) != 0 || entry->d_name[6] == 0)
			continue;
		unsigned long long number = strtoull(entry->d_name + 6, &end, 10);
		if (*end != 0)
			continue;
		if ((blocks->nr & (blocks->nr - 1)) == 0) {
			size_t room = blocks->nr != 0 ? 2 * blocks->nr : 1;
			void *more = realloc(blocks->number, room * sizeof(uint64_t));
			if (more == NULL)
				return false;
			blocks->number = more;
		}
		blocks->number[blocks->nr++] = number;
	}
	if (blocks->nr != 0) /* else there is no array */
		qsort(blocks->number, blocks->nr, sizeof(uint64_t), compare);
	return true;
}

static bool
is_online(const struct blocks *blocks, uint64_t number)
{
	char text[64];
	return read_of(blocks, number, "state", text, sizeof(text)) && strcmp(text, "online") == 0;
}

/* A kind of online block. */
struct kind {
	bool kernel;                   /* for more than what can move */
	unsigned node;
};

/* The node that memoryN has a link to; those beyond what a scenario knows are the last one. */
static unsigned
node_of(const struct blocks *blocks, uint64_t number)
{
	char path[32];
	struct stat st;
	unsigned node = 0;
	for (unsigned i = 0; i < MHP_NODES_MAX; i++) {
		snprintf(path, sizeof(path), "memory%" PRIu64 "/node%u", number, i);
		if (fstatat(blocks->folder, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			node = i;
	}
	return node < MHP__SCENARIO_NODES ? node : MHP__SCENARIO_NODES - 1;
}

/* Its use is counted. */
static struct kind
kind_of(struct blocks *blocks, uint64_t number)
{
	char text[64];
	struct kind kind = {
		.kernel = !read_of(blocks, number, "valid_zones", text, sizeof(text)) ||
			  strncmp(text, "Movable", 7) != 0,
		.node = node_of(blocks, number),
	};
	if (read_of(blocks, number, "used_bytes", text, sizeof(text)))
		blocks->used_bytes[kind.node][kind.kernel] += strtoull(text, NULL, 10);
	blocks->nr_online++;
	return kind;
}

void
sim_print_size(const char *step, uint64_t bytes, const char *rest)
{
	static const char *const units[] = { "", "K", "M", "G", "T" };
	unsigned unit = 0;
	for (; unit < 4 && bytes != 0 && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	printf("%s %" PRIu64 "%s%s\n", step, bytes, units[unit], rest);
}

/* " kernel node=1", as far as that has to be said. */
static const char *
words_of(const struct blocks *blocks, struct kind kind, char words[32])
{
	char node[16] = "";
	if (blocks->nr_nodes > 1)
		snprintf(node, sizeof(node), " node=%u", kind.node);
	snprintf(words, 32, "%s%s", kind.kernel ? " kernel" : "", node);
	return words;
}

static void
print_add(const struct blocks *blocks, uint64_t nr, struct kind kind)
{
	char words[32];
	if (nr != 0)
		sim_print_size("add", nr * blocks->block_bytes, words_of(blocks, kind, words));
}

static void
print_adds(struct blocks *blocks)
{
	uint64_t nr = 0;
	struct kind last = { 0 };
	for (size_t i = 0; i < blocks->nr; i++) {
		if (!is_online(blocks, blocks->number[i]))
			continue;
		struct kind kind = kind_of(blocks, blocks->number[i]);
		if (kind.kernel != last.kernel || kind.node != last.node) {
			print_add(blocks, nr, last);
			nr = 0;
		}
		last = kind;
		nr++;
	}
	print_add(blocks, nr, last);
}

static void
print_uses(const struct blocks *blocks)
{
	char words[32];
	for (unsigned node = 0; node < blocks->nr_nodes; node++)
		for (int kernel = 1; kernel >= 0; kernel--)
			if (blocks->used_bytes[node][kernel] != 0)
				sim_print_size("use", blocks->used_bytes[node][kernel],
					       words_of(blocks, (struct kind){ kernel != 0, node },
							words));
	puts("# What then? For example: use 50%, free 20%, remove 10%, add 4G");
}

/* As many as the highest node of a block needs. */
static void
print_nodes(struct blocks *blocks)
{
	blocks->nr_nodes = 1;
	for (size_t i = 0; i < blocks->nr; i++) {
		unsigned node = node_of(blocks, blocks->number[i]);
		blocks->nr_nodes = node >= blocks->nr_nodes ? node + 1 : blocks->nr_nodes;
	}
	if (blocks->nr_nodes > 1)
		printf("nodes %u\n", blocks->nr_nodes);
}

/* Twice what there is, at least. */
static uint64_t
host_bytes(const struct blocks *blocks)
{
	uint64_t bytes = blocks->block_bytes;
	while (bytes < 2 * blocks->nr * blocks->block_bytes)
		bytes *= 2;
	return bytes;
}

int
sim_from(const char *folder)
{
	DIR *opened = opendir(folder);
	struct blocks blocks = { .folder = opened != NULL ? dirfd(opened) : -1 };
	char text[64];
	if (opened == NULL) {
		cli_say("cannot open %s: %s", folder, strerror(errno));
		return CLI_REFUSED;
	}
	if (read_line(&blocks, "block_size_bytes", text, sizeof(text)))
		blocks.block_bytes = strtoull(text, NULL, 16);
	bool found = blocks.block_bytes != 0 && find_blocks(&blocks, opened) && blocks.nr != 0;
	if (found) {
		printf("# %zu blocks of %s\n", blocks.nr, folder);
		sim_print_size("host", host_bytes(&blocks), "");
		sim_print_size("block", blocks.block_bytes, "");
		print_nodes(&blocks);
		print_adds(&blocks);
		print_uses(&blocks);
	} else {
		cli_say("there are no memory blocks in %s", folder);
	}
	free(blocks.number);
	closedir(opened);
	return found ? CLI_DONE : CLI_REFUSED;
}
