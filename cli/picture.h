/* SPDX-License-Identifier: MIT */
/*
 * picture.h - the blocks of a pool as cells of a picture, for map and top.
 *
 * A cell stands for one block, or for so many that the picture has room for all. Its kind is a
 * colour, its level how much of it is used. Rows are cut where the node changes, and rows without
 * a cell are left out.
 */
#ifndef MHP_CLI_PICTURE_H
#define MHP_CLI_PICTURE_H

#include <stdio.h>

#include "cli.h"

enum cell_kind {
	CELL_MOVABLE,                  /* online, in a movable zone; most of it */
	CELL_KERNEL,                   /* online, in a kernel zone */
	CELL_OFFLINE,
	CELL_CHANGING,                 /* on its way into or out of use */
	CELL_KINDS,
};

#define CELL_LEVELS 5U                 /* 0: empty; 1 to 4: quarters in use */

struct cell {
	uint32_t first;                /* block */
	uint32_t online, offline, changing;
	uint64_t used_bytes;
	enum cell_kind kind;
	unsigned node;
};

struct picture {
	uint64_t block_bytes;
	uint32_t cell_blocks;          /* blocks for each cell */
	uint32_t nr_blocks;            /* that are there */
	uint64_t used_bytes;
	bool many_nodes;
	unsigned nr_cells;
	struct cell *cell;
};

/* From the answer to the request map. False: no memory. */
bool picture_open(struct picture *picture, struct json_object *answer);
void picture_close(struct picture *picture);
/* The share of a cell that is used, 0 to 1. */
double picture_share(const struct picture *picture, const struct cell *cell);
/* 0 when nothing of it is used; at least 1 otherwise. */
unsigned picture_level(const struct picture *picture, const struct cell *cell);
/* The cells of the row that begins with cell `at`, `width` of them: the first that is not in it. */
unsigned picture_row_end(const struct picture *picture, unsigned at, unsigned width);
/* Its place in the row. */
unsigned picture_column(const struct picture *picture, const struct cell *cell, unsigned width);
/* Is there something missing between the row that begins here and the one before? */
bool picture_gap(const struct picture *picture, unsigned at, unsigned width);
/* How a cell looks: block elements in a UTF-8 locale, else ASCII. */
const char *picture_glyph(enum cell_kind kind, unsigned level, bool utf8);
/* "block 3" or "blocks 256-511" into text. */
void picture_name(const struct picture *picture, const struct cell *cell, char *text, size_t size);
/* Does the terminal speak UTF-8? */
bool picture_utf8(void);

/* ---- svg.c ---- */

#define SVG_CELLS 2048U
/* Write the picture with its legend; whether that worked, the file knows. */
void svg_write(const struct picture *picture, FILE *file);

#endif
