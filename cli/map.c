/* SPDX-License-Identifier: MIT */
/*
 * map.c - memplug map: a picture of all blocks, in characters or as an SVG file.
 *
 * In characters it is as wide as the terminal allows and coloured there (unless NO_COLOR is set);
 * elsewhere it is plain text of a fixed width.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "picture.h"

#define GROUP 16U                      /* cells without a space between them */
#define LABEL 16U                      /* columns of an address and what follows it */

/* How to print. */
struct style {
	unsigned width;                /* cells of a row */
	unsigned rows;
	bool utf8, colour;
};

static const char *const colours[CELL_KINDS] = { "\033[32m", "\033[34m", "\033[2m", "\033[33m" };

static struct style
choose_style(void)
{
	struct style style = { .width = 64, .rows = 32, .utf8 = picture_utf8() };
	struct winsize size;
	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		return style;
	style.colour = getenv("NO_COLOR") == NULL;
	unsigned room = size.ws_col > LABEL + 12U ? size.ws_col - LABEL - 12U : 16U;
	for (style.width = 16; style.width < 256 && 2 * style.width * 17 / 16 <= room;)
		style.width *= 2;
	if (size.ws_row > 16)
		style.rows = size.ws_row - 8U;
	return style;
}

static void
print_cell(const struct style *style, enum cell_kind kind, unsigned level)
{
	const char *glyph = picture_glyph(kind, level, style->utf8);
	if (style->colour)
		printf("%s%s\033[0m", colours[kind], glyph);
	else
		fputs(glyph, stdout);
}

static void
print_row(const struct picture *picture, const struct style *style, unsigned at, unsigned end)
{
	unsigned column = 0;
	printf("0x%012llx  ", (unsigned long long)(picture->cell[at].first * picture->block_bytes));
	for (; at < end; at++) {
		const struct cell *cell = &picture->cell[at];
		for (; column < picture_column(picture, cell, style->width); column++)
			fputs(column % GROUP == GROUP - 1 ? "  " : " ", stdout);
		print_cell(style, cell->kind, picture_level(picture, cell));
		column++;
		if (column % GROUP == 0 && at + 1 < end)
			putchar(' ');
	}
	if (picture->many_nodes)
		printf("  node %u", picture->cell[end - 1].node);
	putchar('\n');
}

static void
print_legend(const struct picture *picture, const struct style *style)
{
	fputs("\na cell is ", stdout);
	if (picture->cell_blocks == 1)
		printf("one block of %s:  ", cli_size(picture->block_bytes));
	else
		printf("%u blocks, %s:  ", picture->cell_blocks,
		       cli_size(picture->cell_blocks * picture->block_bytes));
	print_cell(style, CELL_MOVABLE, 0);
	fputs(" empty  ", stdout);
	for (unsigned level = 1; level < CELL_LEVELS; level++)
		print_cell(style, CELL_MOVABLE, level);
	fputs(" used, by quarters\n", stdout);
	print_cell(style, CELL_OFFLINE, 0);
	fputs(" offline  ", stdout);
	print_cell(style, CELL_CHANGING, 0);
	fputs(" on its way", stdout);
	if (style->colour)
		printf("  %smovable\033[0m %skernel\033[0m zone", colours[CELL_MOVABLE],
		       colours[CELL_KERNEL]);
	putchar('\n');
}

static void
print_map(const struct picture *picture, const struct style *style)
{
	for (unsigned at = 0, end; at < picture->nr_cells; at = end) {
		end = picture_row_end(picture, at, style->width);
		if (picture_gap(picture, at, style->width))
			puts("...");
		print_row(picture, style, at, end);
	}
	print_legend(picture, style);
	printf("%u blocks, %s, %s used\n", picture->nr_blocks,
	       cli_size(picture->nr_blocks * picture->block_bytes), cli_size(picture->used_bytes));
}

static int
write_svg(const struct picture *picture, const char *path)
{
	FILE *file = fopen(path, "w");
	if (file != NULL)
		svg_write(picture, file);
	if (file == NULL || ferror(file) || fclose(file) != 0) {
		cli_say("cannot write %s: %s", path, strerror(errno));
		return CLI_REFUSED;
	}
	return CLI_DONE;
}

int
cli_map(struct cli *cli)
{
	const char *path = NULL;
	struct style style = choose_style();
	struct picture picture;
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 0, 0, { "--svg", &path, NULL }))
		return CLI_USAGE;
	unsigned nr_cells = path != NULL || cli->json ? SVG_CELLS : style.width * style.rows;
	mhp__line_begin(&line, "map");
	mhp__line_number(&line, MHP__F_CELLS, nr_cells);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_LOOK);
	if (answer == NULL)
		return status;
	if (cli->json)
		return cli_print_json(answer);
	if (!picture_open(&picture, answer))
		status = CLI_REFUSED;
	else if (path != NULL)
		status = write_svg(&picture, path);
	else
		print_map(&picture, &style);
	picture_close(&picture);
	json_object_put(answer);
	return status;
}
