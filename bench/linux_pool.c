/* SPDX-License-Identifier: MIT */
/*
 * linux_pool.c - what the parts of the Linux port's benchmark share: pools, reserved huge pages.
 *
 * Whatever goes wrong ends the run: half a figure is worse than none. Huge pages that were reserved
 * for a run are given back when it ends.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "linux.h"

#define HUGE_PAGES_PATH "/sys/kernel/mm/hugepages/hugepages-2048kB/"

void
bench_must(int err, const char *what, const struct mhp_text *text)
{
	if (err == 0)
		return;
	fprintf(stderr, "bench-linux: %s: error %d %s\n", what, err,
		text != NULL ? text->text : "");
	exit(1);
}

/* ---- pools ---- */

struct mhp_pool *
bench_pool(uint64_t max_bytes)
{
	struct mhp_pool_opts opts = { .max_bytes = max_bytes };
	struct mhp_text text = { "" };
	struct mhp_pool *pool;

	bench_must(mhp_pool_create(&opts, &pool, &text), "mhp_pool_create", &text);
	return pool;
}

void
bench_add(struct mhp_pool *pool, uint64_t bytes, enum mhp_backing_kind kind)
{
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_ADD_ONLINE,
		.zone = MHP_ZONE_MOVABLE,
	};
	struct mhp_backing backing = { .kind = kind };
	struct mhp_text text = { "" };

	bench_must(mhp_pool_add(pool, &backing, bytes, &opts, NULL, &text), "mhp_pool_add", &text);
}

void
bench_offline(struct mhp_pool *pool, uint32_t block)
{
	bench_must(mhp_block_offline(mhp_pool_engine(pool), block, NULL, NULL), "mhp_offline",
		   NULL);
}

void
bench_online(struct mhp_pool *pool, uint32_t block)
{
	struct mhp_online_opts movable = { .zone = MHP_ZONE_MOVABLE };

	bench_must(mhp_block_online(mhp_pool_engine(pool), block, &movable, NULL),
		   "mhp_block_online", NULL);
}

void
bench_end(struct mhp_pool *pool)
{
	struct mhp *m = mhp_pool_engine(pool);
	struct mhp_blocks all = { 0, mhp_get_geometry(m)->nr_blocks };

	bench_must(mhp_remove(m, &all, 1, NULL, NULL), "mhp_remove", NULL);
	bench_must(mhp_pool_destroy(pool), "mhp_pool_destroy", NULL);
}

bool
bench_can_move(struct mhp_pool *pool, const char *part)
{
	struct mhp_text text = { "" };

	if (mhp_pool_can_move(pool, &text))
		return true;
	printf("%s: left out: %s\n", part, text.text);
	return false;
}

/* ---- huge pages ---- */

static uint64_t
read_number(const char *name)
{
	char path[128];
	unsigned long value = 0;

	snprintf(path, sizeof(path), HUGE_PAGES_PATH "%s", name);
	FILE *file = fopen(path, "r");
	if (file == NULL || fscanf(file, "%lu", &value) != 1)
		value = 0;
	if (file != NULL)
		fclose(file);
	return value;
}

static void
write_reserved(uint64_t nr)
{
	FILE *file = fopen(HUGE_PAGES_PATH "nr_hugepages", "w");

	if (file == NULL)
		return;
	fprintf(file, "%lu", (unsigned long)nr);
	fclose(file);
}

static uint64_t reserved_before;
static bool reserved;

static void
restore(void)
{
	write_reserved(reserved_before);
}

bool
bench_reserve_huge(uint64_t nr)
{
	uint64_t free = read_number("free_hugepages");

	if (free >= nr)
		return true;
	if (!reserved) {
		reserved_before = read_number("nr_hugepages");
		reserved = true;
		atexit(restore);
	}
	write_reserved(read_number("nr_hugepages") + nr - free);
	return read_number("free_hugepages") >= nr;
}
