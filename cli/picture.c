/* SPDX-License-Identifier: MIT */
/*
 * picture.c - from an answer of the pool to cells, rows and glyphs.
 *
 * It knows what a cell is and where it goes, and nothing of terminals or files: map.c, svg.c and
 * top.c draw. Cells come in the order of their addresses.
 */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "picture.h"

static enum cell_kind
kind_of(const struct cell *cell, uint32_t movable)
{
	if (cell->changing != 0)
		return CELL_CHANGING;
	if (cell->online == 0)
		return CELL_OFFLINE;
	return 2 * movable >= cell->online ? CELL_MOVABLE : CELL_KERNEL;
}

static void
read_cell(struct picture *picture, struct json_object *from)
{
	struct cell *cell = &picture->cell[picture->nr_cells++];
	cell->first = (uint32_t)cli_number(from, "first");
	cell->online = (uint32_t)cli_number(from, "online");
	cell->offline = (uint32_t)cli_number(from, "offline");
	cell->changing = (uint32_t)cli_number(from, "changing");
	cell->used_bytes = cli_number(from, "used_bytes");
	cell->node = (unsigned)cli_number(from, "node");
	cell->kind = kind_of(cell, (uint32_t)cli_number(from, "movable"));
	picture->nr_blocks += cell->online + cell->offline + cell->changing;
	picture->used_bytes += cell->used_bytes;
	picture->many_nodes |= cell->node != picture->cell[0].node;
}

bool
picture_open(struct picture *picture, struct json_object *answer)
{
	struct json_object *cells = cli_array(answer, "cells");
	size_t nr = cli_length(cells);
	*picture = (struct picture){ .block_bytes = cli_number(answer, "block_size_bytes"),
				     .cell_blocks = (uint32_t)cli_number(answer, "cell_blocks") };
	if (picture->cell_blocks == 0)
		picture->cell_blocks = 1;
	picture->cell = calloc(nr + 1, sizeof(picture->cell[0]));
	if (picture->cell == NULL)
		return false;
	for (size_t i = 0; i < nr; i++)
		read_cell(picture, cli_at(cells, i));
	return true;
}

void
picture_close(struct picture *picture)
{
	free(picture->cell);
	picture->cell = NULL;
}

double
picture_share(const struct picture *picture, const struct cell *cell)
{
	uint32_t blocks = cell->online + cell->changing;
	if (blocks == 0)
		return 0;
	double share = (double)cell->used_bytes / ((double)blocks * (double)picture->block_bytes);
	return share > 1 ? 1 : share;
}

unsigned
picture_level(const struct picture *picture, const struct cell *cell)
{
	unsigned level = 1 + (unsigned)(picture_share(picture, cell) * (CELL_LEVELS - 1));
	if (cell->used_bytes == 0)
		return 0;
	return level < CELL_LEVELS ? level : CELL_LEVELS - 1;
}

static uint32_t
row_of(const struct picture *picture, const struct cell *cell, unsigned width)
{
	return cell->first / picture->cell_blocks / width;
}

unsigned
picture_column(const struct picture *picture, const struct cell *cell, unsigned width)
{
	return cell->first / picture->cell_blocks % width;
}

unsigned
picture_row_end(const struct picture *picture, unsigned at, unsigned width)
{
	const struct cell *first = &picture->cell[at];
	while (at < picture->nr_cells && picture->cell[at].node == first->node &&
	       row_of(picture, &picture->cell[at], width) == row_of(picture, first, width))
		at++;
	return at;
}

bool
picture_gap(const struct picture *picture, unsigned at, unsigned width)
{
	return at != 0 && row_of(picture, &picture->cell[at - 1], width) + 1 <
				  row_of(picture, &picture->cell[at], width);
}

const char *
picture_glyph(enum cell_kind kind, unsigned level, bool utf8)
{
	static const char *const blocks[CELL_LEVELS] = { "·", "░", "▒", "▓", "█" };
	static const char *const letters[CELL_LEVELS] = { ".", ":", "+", "*", "#" };
	if (kind == CELL_OFFLINE)
		return "-";
	if (kind == CELL_CHANGING)
		return ">";
	return utf8 ? blocks[level] : letters[level];
}

void
picture_name(const struct picture *picture, const struct cell *cell, char *text, size_t size)
{
	if (picture->cell_blocks == 1)
		snprintf(text, size, "block %u", cell->first);
	else
		snprintf(text, size, "blocks %u-%u", cell->first,
			 cell->first + picture->cell_blocks - 1);
}

bool
picture_utf8(void)
{
	setlocale(LC_CTYPE, "");
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}
