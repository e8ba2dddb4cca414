/* SPDX-License-Identifier: MIT */
/*
 * map.c - request map: a picture of all blocks in a bounded number of cells.
 *
 * A cell is a power of two of blocks, as few as let the blocks that are there fit into the cells
 * that the client has room for; cells without blocks are left out. It says how many of its blocks
 * are in which state, and how much of them is used. The cost follows the number of ranges and
 * cells, but where memory is in use: there it is a cache line for each block.
 */
#define _GNU_SOURCE
#include "server.h"

#define CELLS_MAX 16384U

struct cell {
	uint32_t first;                /* block */
	uint32_t nr_of[5];             /* blocks, by enum mhp_block_state */
	uint32_t nr_movable;           /* of those that are in use */
	uint8_t node;                  /* of its first block that is there */
	uint64_t used_bytes;
};

static uint32_t
count_cells(unsigned shift)
{
	struct mhp_block_info info;
	struct mhp_blocks run;
	uint32_t cursor = 0, nr = 0, next = 0; /* the first cell not counted yet */
	while (mhp__next_run(&cursor, &run, &info)) {
		uint32_t first = run.first >> shift, last = (run.first + run.count - 1) >> shift;
		first = first < next ? next : first;
		nr += last + 1 - first;
		next = last + 1;
	}
	return nr;
}

static void
out_cell(struct mhp__out *out, const struct cell *cell, const char **comma)
{
	mhp__out(out, "%s{\"first\":%u,\"online\":%u,\"offline\":%u,\"changing\":%u,"
		 "\"movable\":%u,\"node\":%u,\"used_bytes\":%llu}", *comma, cell->first,
		 cell->nr_of[MHP_ONLINE], cell->nr_of[MHP_OFFLINE],
		 cell->nr_of[MHP_GOING_ONLINE] + cell->nr_of[MHP_GOING_OFFLINE], cell->nr_movable,
		 cell->node, (unsigned long long)cell->used_bytes);
	*comma = ",";
}

/* Cut a run at the borders of cells; a cell is written when the next one begins. */
static void
add_run(struct mhp__out *out, struct mhp_blocks run, const struct mhp_block_info *info,
	unsigned shift, struct cell *cell, const char **comma)
{
	uint64_t used_bytes = 0, free_bytes, run_used = 0;
	uint32_t end = run.first + run.count, next;
	bool in_use = info->state == MHP_ONLINE || info->state == MHP_GOING_OFFLINE;
	(void)!mhp_range_usage(mhp__control.m, run, &run_used, &free_bytes);
	for (uint32_t block = run.first; block < end && !out->broken; block = next) {
		uint32_t first = block >> shift << shift;
		next = end - first > UINT32_C(1) << shift ? first + (UINT32_C(1) << shift) : end;
		if (cell->first != first) {
			if (cell->first != UINT32_MAX)
				out_cell(out, cell, comma);
			*cell = (struct cell){ .first = first, .node = info->node };
		}
		struct mhp_blocks part = { block, next - block };
		if (run_used != 0)
			(void)!mhp_range_usage(mhp__control.m, part, &used_bytes, &free_bytes);
		cell->nr_of[info->state] += part.count;
		cell->used_bytes += used_bytes;
		if (in_use && info->zone == MHP_ZONE_MOVABLE)
			cell->nr_movable += part.count;
	}
}

void
mhp__request_map(struct mhp__out *out, const struct mhp__fields *fields)
{
	uint64_t max = mhp__number(fields, MHP__F_CELLS);
	struct cell cell = { .first = UINT32_MAX };
	struct mhp_block_info info;
	struct mhp_blocks run;
	uint32_t cursor = 0;
	unsigned shift = 0;
	const char *comma = "";

	if (max == 0 || max > CELLS_MAX) {
		mhp__out_error(out, MHP_EINVAL, "a map has 1 to %u cells", CELLS_MAX);
		return;
	}
	while (shift < 31 && count_cells(shift) > max)
		shift++;
	mhp__out(out, "{\"block_size_bytes\":%llu,\"cell_blocks\":%u,\"cells\":[",
		 (unsigned long long)mhp__block_bytes(), 1U << shift);
	while (mhp__next_run(&cursor, &run, &info) && !out->broken)
		add_run(out, run, &info, shift, &cell, &comma);
	if (cell.first != UINT32_MAX)
		out_cell(out, &cell, &comma);
	mhp__out(out, "]}\n");
}
