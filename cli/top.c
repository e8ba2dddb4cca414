/* SPDX-License-Identifier: MIT */
/*
 * top.c - memplug top: a live picture of a pool, with ncurses.
 *
 * Every tick the pool is asked for everything that is shown; nothing is kept between ticks but what
 * rates need. The terminal is as before when it ends, also when the pool does.
 */
#define _GNU_SOURCE
#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "picture.h"

#define LABEL 16
#define GROUP 16U

struct screen {
	const struct mhp__peer *pool;
	double seconds;                /* between ticks */
	bool utf8;
	uint64_t moved_pages, tick_ns; /* of the tick before */
	int line;                      /* the next to write */
};

static struct json_object *
ask(const struct screen *screen, const char *line)
{
	struct json_object *answer = cli_ask_pool(screen->pool, line);
	if (answer != NULL && json_object_object_get_ex(answer, "error", NULL)) {
		json_object_put(answer);
		return NULL;
	}
	return answer;
}

static uint64_t
now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* get - answers with text. */
static uint64_t
attribute(struct json_object *attributes, const char *name)
{
	return strtoull(cli_string(attributes, name), NULL, 10);
}

static void
draw_title(struct screen *screen)
{
	char clock[16];
	time_t now = time(NULL);
	struct tm tm;
	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	attron(A_REVERSE);
	mvhline(0, 0, ' ', COLS);
	mvprintw(0, 1, "memplug  %s  pid %d", screen->pool->name, screen->pool->pid);
	mvprintw(0, COLS > 24 ? COLS - 18 : 0, "%s  q quits", clock);
	attroff(A_REVERSE);
	screen->line = 2;
}

static void
draw_bar(int line, int column, int width, double share, int colour)
{
	int full = (int)(share * width + 0.5);
	mvaddch(line, column, '[');
	attron(COLOR_PAIR(colour));
	for (int i = 0; i < width; i++)
		addch(i < full ? '#' : ' ');
	attroff(COLOR_PAIR(colour));
	addch(']');
}

static void
draw_sizes(struct screen *screen, struct json_object *info, const struct picture *picture)
{
	uint64_t size = picture->nr_blocks * picture->block_bytes;
	uint64_t max = cli_number(info, "max_bytes");
	double share = size != 0 ? (double)picture->used_bytes / (double)size : 0;
	mvaddstr(screen->line, 1, "used");
	draw_bar(screen->line, 6, 40, share, 1 + CELL_MOVABLE);
	printw(" %s of %s in %u blocks", cli_size(picture->used_bytes), cli_size(size),
	       picture->nr_blocks);
	if (max != 0)
		printw(", grows to %s", cli_size(max));
	screen->line++;
}

static void
draw_counters(struct screen *screen, struct json_object *attributes)
{
	uint64_t moved = attribute(attributes, "moved_pages"), now = now_ns();
	double seconds = (double)(now - screen->tick_ns) / 1e9;
	bool first = screen->tick_ns == 0 || moved < screen->moved_pages;
	double rate = first ? 0 : (double)(moved - screen->moved_pages) * 4096 / seconds;
	mvprintw(screen->line++, 1, "moved %s, %s/s   longest wait of a writer %.1f ms",
		 cli_size(moved * 4096), cli_size((uint64_t)rate),
		 (double)attribute(attributes, "stall_max_ns") / 1e6);
	mvprintw(screen->line++, 1, "forks %llu, kept for children %s   mappings %llu of %llu",
		 (unsigned long long)attribute(attributes, "forks"),
		 cli_size(attribute(attributes, "quarantined_pages") * 4096),
		 (unsigned long long)attribute(attributes, "mappings"),
		 (unsigned long long)attribute(attributes, "mappings_max"));
	screen->moved_pages = moved;
	screen->tick_ns = now;
}

static void
draw_progress(struct screen *screen, struct json_object *progress)
{
	uint64_t moved = cli_number(progress, "moved_pages");
	uint64_t left = cli_number(progress, "left_pages"), all = moved + left;
	uint64_t first = cli_number(progress, "first"), count = cli_number(progress, "count");
	if (count != 0) {
		mvaddstr(screen->line, 1, "out ");
		draw_bar(screen->line, 6, 40, all != 0 ? (double)moved / (double)all : 0,
			 1 + CELL_CHANGING);
		printw(" blocks %llu-%llu, %s left", (unsigned long long)first,
		       (unsigned long long)(first + count - 1),
		       cli_size(left * cli_number(progress, "page_bytes")));
	}
	screen->line += 2;
}

static void
draw_cell(const struct screen *screen, enum cell_kind kind, unsigned level)
{
	attron(COLOR_PAIR(1 + kind));
	addstr(picture_glyph(kind, level, screen->utf8));
	attroff(COLOR_PAIR(1 + kind));
}

static void
draw_row(const struct screen *screen, const struct picture *picture, unsigned at, unsigned end,
	 unsigned width)
{
	mvprintw(screen->line, 1, "%012llx",
		 (unsigned long long)(picture->cell[at].first * picture->block_bytes));
	for (; at < end; at++) {
		const struct cell *cell = &picture->cell[at];
		unsigned column = picture_column(picture, cell, width);
		move(screen->line, (int)(LABEL + column + column / GROUP));
		draw_cell(screen, cell->kind, picture_level(picture, cell));
	}
	if (picture->many_nodes)
		printw("  node %u", picture->cell[end - 1].node);
}

static void
draw_map(struct screen *screen, const struct picture *picture, unsigned width)
{
	for (unsigned at = 0, end; at < picture->nr_cells && screen->line < LINES - 3; at = end) {
		end = picture_row_end(picture, at, width);
		if (picture_gap(picture, at, width))
			mvaddstr(screen->line++, 1, "...");
		if (screen->line < LINES - 3)
			draw_row(screen, picture, at, end, width);
		screen->line++;
	}
}

/* The ranges, in the lines that the map leaves. */
static void
draw_ranges(struct screen *screen, struct json_object *answer)
{
	struct json_object *ranges = NULL;
	json_object_object_get_ex(answer, "ranges", &ranges);
	size_t nr = ranges != NULL ? json_object_array_length(ranges) : 0;
	screen->line++;
	for (size_t i = 0; i < nr && screen->line < LINES - 3; i++) {
		struct json_object *range = json_object_array_get_idx(ranges, i);
		uint64_t first = cli_number(range, "first"), count = cli_number(range, "count");
		mvprintw(screen->line++, 1, "%7llu-%-7llu %8s  %-13s %-8s node %-2u %-9s %8s used",
			 (unsigned long long)first, (unsigned long long)(first + count - 1),
			 cli_size(cli_number(range, "size")), cli_string(range, "state"),
			 cli_string(range, "zone"), (unsigned)cli_number(range, "node"),
			 cli_string(range, "backing"), cli_size(cli_number(range, "used_bytes")));
	}
}

static void
draw_legend(const struct screen *screen, const struct picture *picture)
{
	mvprintw(LINES - 2, 1, "a cell is %u block%s, %s:  ", picture->cell_blocks,
		 picture->cell_blocks == 1 ? "" : "s",
		 cli_size(picture->cell_blocks * picture->block_bytes));
	draw_cell(screen, CELL_MOVABLE, 0);
	addstr(" empty  ");
	for (unsigned level = 1; level < CELL_LEVELS; level++)
		draw_cell(screen, CELL_MOVABLE, level);
	addstr(" used  ");
	draw_cell(screen, CELL_KERNEL, CELL_LEVELS - 1);
	addstr(" kernel zone  ");
	draw_cell(screen, CELL_OFFLINE, 0);
	addstr(" offline  ");
	draw_cell(screen, CELL_CHANGING, 0);
	addstr(" on its way");
}

/* False: the pool is gone. */
static bool
draw(struct screen *screen)
{
	char line[32];
	struct picture picture;
	unsigned width = 16, rows = LINES > 12 ? (unsigned)LINES - 11 : 1;
	while (2 * width * 17 / 16 + LABEL + 8 <= (unsigned)COLS && width < 256)
		width *= 2;
	snprintf(line, sizeof(line), "map %u\n", width * rows);
	struct json_object *map = ask(screen, line), *info = ask(screen, "info\n");
	struct json_object *attributes = ask(screen, "get -\n");
	struct json_object *progress = ask(screen, "progress\n");
	struct json_object *ranges = ask(screen, "ranges\n");
	bool alive = map != NULL && info != NULL && attributes != NULL && progress != NULL &&
		     picture_open(&picture, map);
	if (alive) {
		erase();
		draw_title(screen);
		draw_sizes(screen, info, &picture);
		draw_counters(screen, attributes);
		draw_progress(screen, progress);
		draw_map(screen, &picture, width);
		draw_ranges(screen, ranges);
		draw_legend(screen, &picture);
		picture_close(&picture);
		refresh();
	}
	json_object_put(map);
	json_object_put(info);
	json_object_put(attributes);
	json_object_put(progress);
	json_object_put(ranges);
	return alive;
}

static void
start_screen(void)
{
	static const short colours[CELL_KINDS] = { COLOR_GREEN, COLOR_BLUE, COLOR_WHITE,
						   COLOR_YELLOW };
	initscr();
	raw(); /* the interrupt key is a key like q */
	noecho();
	curs_set(0);
	if (has_colors() && getenv("NO_COLOR") == NULL) {
		start_color();
		use_default_colors();
		for (short i = 0; i < CELL_KINDS; i++)
			init_pair((short)(i + 1), colours[i], -1);
	}
}

int
cli_top(struct cli *cli)
{
	struct mhp__peer pool;
	struct screen screen = { .pool = &pool, .seconds = 1, .utf8 = picture_utf8() };
	const char *words = NULL;
	char *end = NULL;
	if (cli_option(cli, "--interval", &words))
		screen.seconds = strtod(words, &end);
	if (cli->argc != 0 || (end != NULL && *end != 0) || screen.seconds < 0.05 ||
	    screen.seconds > 3600)
		return cli_usage("top [--interval SECONDS]");
	if (!cli_choose(cli, &pool))
		return CLI_NO_POOL;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fprintf(stderr, "memplug: top needs a terminal; memplug map prints a picture\n");
		return CLI_REFUSED;
	}
	cli_full_screen = true;
	start_screen();
	timeout((int)(screen.seconds * 1000));
	int key = ERR;
	bool alive = true;
	while (alive && key != 'q' && key != 'Q' && key != 3) {
		alive = draw(&screen);
		key = alive ? getch() : ERR;
	}
	endwin();
	if (!alive)
		fprintf(stderr, "memplug: the program has ended\n");
	return CLI_DONE;
}
