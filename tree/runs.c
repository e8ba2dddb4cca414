/* SPDX-License-Identifier: MIT */
/*
 * runs.c - which blocks are there, as runs: what a folder of blocks is listed from.
 *
 * The pool answers with its ranges, so 64 TiB of blocks are as cheap to ask for as one; what a
 * listing costs beyond that is its entries.
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
				  number(range, "node"), runs->nr_blocks };
	runs->nr_blocks += run->count;
	runs->nr++;
}

int
tree_runs_load(struct tree_call *call, int node, struct tree_runs *runs)
{
	struct json_object *ranges;
	bool answered;
	int err;
	*runs = (struct tree_runs){ 0 };
	struct mhp__line line;
	mhp__line_begin(&line, "ranges");
	struct json_object *answer = tree_ask(call, &line, &err, &answered);
	if (answer == NULL)
		return err;
	if (!json_object_object_get_ex(answer, "ranges", &ranges)) {
		json_object_put(answer);
		return -EPROTO;
	}
	size_t nr = json_object_array_length(ranges);
	runs->run = calloc(nr + 1, sizeof(runs->run[0]));
	for (size_t i = 0; runs->run != NULL && i < nr; i++) {
		struct json_object *range = json_object_array_get_idx(ranges, i);
		if (node < 0 || number(range, "node") == (uint32_t)node)
			append(runs, range);
	}
	json_object_put(answer);
	return runs->run != NULL ? 0 : -ENOMEM;
}

void
tree_runs_free(struct tree_runs *runs)
{
	free(runs->run);
	*runs = (struct tree_runs){ 0 };
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
