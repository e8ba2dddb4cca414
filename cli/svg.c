/* SPDX-License-Identifier: MIT */
/*
 * svg.c - the picture of a pool as an SVG file: squares in rows of 64, each saying on hover what it
 * is, and a legend.
 *
 * Colour says zone and state, strength how much is used. Nothing in it refers to anything outside
 * of the file; styles are classes, so that it can be restyled.
 */
#include <stdio.h>

#include "picture.h"

#define WIDTH 64U                      /* cells of a row */
#define PITCH 14U                      /* from a cell to the next */
#define SIDE 12U
#define LEFT 130U
#define TOP 64U
#define LEGEND 96U

static const char *const classes[CELL_KINDS] = { "movable", "kernel", "offline", "changing" };
static const char *const names[CELL_KINDS] = {
	"online, movable", "online, kernel", "offline", "on its way in or out",
};

static unsigned
count_rows(const struct picture *picture)
{
	unsigned rows = 0;
	for (unsigned at = 0; at < picture->nr_cells; at = picture_row_end(picture, at, WIDTH))
		rows += 1U + picture_gap(picture, at, WIDTH);
	return rows;
}

static void
write_head(const struct picture *picture, FILE *file)
{
	unsigned width = LEFT + WIDTH * PITCH + 90;
	unsigned height = TOP + count_rows(picture) * PITCH + LEGEND;
	fprintf(file,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"viewBox=\"0 0 %u %u\" font-family=\"monospace\" font-size=\"11\">\n"
		"<style>\n"
		".paper{fill:#ffffff} text{fill:#24292f} .faint{fill:#6e7781}\n"
		".bed{fill:#eaeef2} .movable{fill:#1a7f37} .kernel{fill:#0969da}\n"
		".offline{fill:none;stroke:#8c959f;stroke-dasharray:2 2}\n"
		".changing{fill:#d4760a}\n"
		"@media (prefers-color-scheme:dark){.paper{fill:#0d1117} text{fill:#e6edf3}\n"
		".faint{fill:#8b949e} .bed{fill:#21262d} .movable{fill:#3fb950}\n"
		".kernel{fill:#58a6ff} .offline{stroke:#6e7681}}\n"
		"</style>\n<rect class=\"paper\" width=\"100%%\" height=\"100%%\"/>\n",
		width, height, width, height);
	fprintf(file,
		"<text x=\"16\" y=\"28\" font-size=\"16\">%u blocks of %s: %s, %s used</text>\n",
		picture->nr_blocks, cli_size(picture->block_bytes),
		cli_size(picture->nr_blocks * picture->block_bytes),
		cli_size(picture->used_bytes));
	fprintf(file, "<text class=\"faint\" x=\"16\" y=\"46\">a square is %u block%s, %s</text>\n",
		picture->cell_blocks, picture->cell_blocks == 1 ? "" : "s",
		cli_size(picture->cell_blocks * picture->block_bytes));
}

/* A square whose strength says how much is used; what is empty is still to be seen. */
static void
write_square(FILE *file, enum cell_kind kind, double share, unsigned x, unsigned y)
{
	const char *at = "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"2\"";
	if (kind != CELL_OFFLINE) {
		fprintf(file, at, "bed", x, y, SIDE, SIDE);
		fputs("/>", file);
	}
	fprintf(file, at, classes[kind], x, y, SIDE, SIDE);
	if (kind != CELL_OFFLINE)
		fprintf(file, " fill-opacity=\"%.2f\"",
			kind == CELL_CHANGING ? 1 : 0.12 + 0.88 * share);
	fputs("/>", file);
}

static void
write_cell(const struct picture *picture, const struct cell *cell, FILE *file, unsigned y)
{
	char name[48];
	unsigned x = LEFT + picture_column(picture, cell, WIDTH) * PITCH;
	picture_name(picture, cell, name, sizeof(name));
	fprintf(file, "<g><title>%s: ", name);
	if (picture->cell_blocks == 1)
		fprintf(file, "%s", names[cell->kind]);
	else
		fprintf(file, "%u online, %u offline, %u on their way", cell->online, cell->offline,
			cell->changing);
	fprintf(file, ", node %u, %s used</title>", cell->node, cli_size(cell->used_bytes));
	write_square(file, cell->kind, picture_share(picture, cell), x, y);
	fputs("</g>\n", file);
}

static unsigned
write_rows(const struct picture *picture, FILE *file)
{
	unsigned y = TOP;
	for (unsigned at = 0, end; at < picture->nr_cells; at = end, y += PITCH) {
		end = picture_row_end(picture, at, WIDTH);
		if (picture_gap(picture, at, WIDTH)) {
			fprintf(file, "<text class=\"faint\" x=\"%u\" y=\"%u\">...</text>\n", LEFT,
				y + 8);
			y += PITCH;
		}
		fprintf(file, "<text class=\"faint\" x=\"16\" y=\"%u\">0x%012llx</text>\n", y + 10,
			(unsigned long long)(picture->cell[at].first * picture->block_bytes));
		if (picture->many_nodes)
			fprintf(file, "<text class=\"faint\" x=\"%u\" y=\"%u\">node %u</text>\n",
				LEFT + WIDTH * PITCH + 8, y + 10, picture->cell[at].node);
		for (; at < end; at++)
			write_cell(picture, &picture->cell[at], file, y);
	}
	return y;
}

static void
write_legend(FILE *file, unsigned y)
{
	static const enum cell_kind shaded[] = { CELL_MOVABLE, CELL_KERNEL };
	static const enum cell_kind plain[] = { CELL_OFFLINE, CELL_CHANGING };
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned step = 0; step <= 8; step++)
			write_square(file, shaded[k], step / 8.0, LEFT + step * PITCH, y + k * 20);
		fprintf(file, "<text x=\"%u\" y=\"%u\">%s: empty to full</text>\n",
			LEFT + 10 * PITCH, y + k * 20 + 10, names[shaded[k]]);
		write_square(file, plain[k], 0, LEFT + 32 * PITCH, y + k * 20);
		fprintf(file, "<text x=\"%u\" y=\"%u\">%s</text>\n", LEFT + 34 * PITCH,
			y + k * 20 + 10, names[plain[k]]);
	}
}

void
svg_write(const struct picture *picture, FILE *file)
{
	write_head(picture, file);
	write_legend(file, write_rows(picture, file) + 24);
	fputs("</svg>\n", file);
}
