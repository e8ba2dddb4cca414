/* SPDX-License-Identifier: MIT */
/*
 * runs.c - which blocks are there, as runs: what a folder of blocks is listed from.
 *
 * The pool answers with its ranges, so asking for 64 TiB of blocks is as cheap as asking for one;
 * beyond that a listing costs its entries. Runs are sorted by block and carry their rank, which is
 * the number of blocks before them, so that bisection finds a block and the n-th entry of a folder.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "tree.h"

static uint32_t
number(struct json_object *object, const char *name)
{
	struct json_object *value;
	return json_object_object_get_ex(object, name, &value)
		? (uint32_t)json_object_get_int64(value) : 0;
}

static void
append(struct tree_runs *runs, struct json_object *range)
{
	struct tree_run *run = &runs->run[runs->nr];
	*run = (struct tree_run){ number(range, "first"), number(range, "count"),
				  number(range, "node"), number(range, "generation"),
				  runs->nr_blocks };
	runs->nr_blocks += run->count;
	runs->nr++;
}

int
tree_runs_read(struct json_object *ranges, int node, struct tree_runs *runs)
{
	size_t nr = json_object_array_length(ranges);
	*runs = (struct tree_runs){ .run = calloc(nr + 1, sizeof(runs->run[0])) };
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	for (size_t i = 0; runs->run != NULL && i < nr; i++) {
		struct json_object *range = json_object_array_get_idx(ranges, i);
		if (node < 0 || number(range, "node") == (uint32_t)node)
			append(runs, range);
	}
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	return runs->run != NULL ? 0 : -ENOMEM;
}

int
tree_runs_all(uint32_t nr_blocks, struct tree_runs *runs)
{
	*runs = (struct tree_runs){ .nr = 1, .nr_blocks = nr_blocks,
				    .run = calloc(1, sizeof(runs->run[0])) };
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	if (runs->run == NULL)
		return -ENOMEM;
	runs->run[0] = (struct tree_run){ .count = nr_blocks };
	return 0;
}

/* Those of a node, from what is known already. */
static int
copy(const struct tree_runs *all, int node, struct tree_runs *runs)
{
	*runs = (struct tree_runs){ .run = calloc(all->nr + 1, sizeof(runs->run[0])) };
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	for (unsigned i = 0; runs->run != NULL && i < all->nr; i++) {
		if (node >= 0 && all->run[i].node != (uint32_t)node)
			continue;
		runs->run[runs->nr] = all->run[i];
		runs->run[runs->nr++].rank = runs->nr_blocks;
		runs->nr_blocks += all->run[i].count;
	}
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	return runs->run != NULL ? 0 : -ENOMEM;
}

int
tree_runs_load(struct tree_call *call, int node, struct tree_runs *runs)
{
	struct tree_picture *picture = tree_picture_get(call);
	struct json_object *ranges;
	bool answered;
	int err;
	*runs = (struct tree_runs){ 0 };
	if (picture != NULL) {
		err = copy(tree_picture_runs(picture), node, runs);
		tree_picture_put(picture);
		return err;
	}
	struct mhp__line line;
	mhp__line_begin(&line, "ranges");
	struct json_object *answer = tree_ask(call, &line, &err, &answered);
	if (answer == NULL)
		return err;
	err = json_object_object_get_ex(answer, "ranges", &ranges)
		? tree_runs_read(ranges, node, runs) : -EPROTO;
	json_object_put(answer);
	return err;
}

void
tree_runs_free(struct tree_runs *runs)
{
	free(runs->run);
	*runs = (struct tree_runs){ 0 };
}

const struct tree_run *
tree_runs_find(const struct tree_runs *runs, uint32_t block)
{
	unsigned low = 0, high = runs->nr;
	while (high - low > 1) { /* run[low].first <= block < run[high].first, or it is in none */
		unsigned middle = low + (high - low) / 2;
		if (runs->run[middle].first <= block)
			low = middle;
		else
			high = middle;
	}
	const struct tree_run *run = &runs->run[low];
	return runs->nr != 0 && block >= run->first && block - run->first < run->count ? run : NULL;
}

const struct tree_run *
tree_runs_at(const struct tree_runs *runs, uint64_t rank, uint32_t *ret_block)
{
	unsigned low = 0, high = runs->nr;
	if (rank >= runs->nr_blocks)
		return NULL;
	while (high - low > 1) { /* run[low].rank <= rank < run[high].rank */
		unsigned middle = low + (high - low) / 2;
		if (runs->run[middle].rank <= rank)
			low = middle;
		else
			high = middle;
	}
	*ret_block = runs->run[low].first + (uint32_t)(rank - runs->run[low].rank);
	return &runs->run[low];
}
