/* SPDX-License-Identifier: MIT */
/*
 * top.c - memplug top: a live picture of a pool, with ncurses.
 *
 * Every tick the pool is asked for everything that is shown; nothing is kept between ticks but what
 * rates need. The terminal is as before when it ends, also when the pool does.
 */
#define _GNU_SOURCE
#include <curses.h>
#include <errno.h>
#include <stdarg.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "picture.h"

#define LABEL 16
#define GROUP 16U
#define ASK_MS 1000U                   /* for each of what is asked in a tick */
#define ROOMY_LINES 16                 /* with fewer lines, only what matters most is shown */
#define ROOMY_COLUMNS 80

struct screen {
	const struct mhp__peer *pool;
	bool utf8;
	uint64_t moved_pages, tick_ns; /* of the tick before */
	int line;                      /* the next to write */
};

/* The answers that one tick shows. */
struct tick {
	struct json_object *map, *info, *attributes, *progress, *ranges;
};

static uint64_t
now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Write at a column, as much as the line has room for. */
static void __attribute__((format(printf, 3, 4)))
put(int line, int column, const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (line >= 0 && line < LINES && column < COLS)
		mvaddnstr(line, column, text, COLS - column);
}

/* The last line that is neither the legend's nor the edge's. */
static int
last_line(void)
{
	return LINES - 3;
}

static bool
is_roomy(void)
{
	return LINES >= ROOMY_LINES;
}

/* The attributes are text. */
static uint64_t
attribute(const struct tick *tick, const char *name)
{
	return strtoull(cli_string(tick->attributes, name), NULL, 10);
}

static void
draw_title(struct screen *screen, bool answers)
{
	char clock[16], right[48];
	time_t now = time(NULL);
	struct tm tm;
	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(right, sizeof(right), " %s  q quits", answers ? clock : "not answering");
	attron(A_REVERSE);
	mvhline(0, 0, ' ', COLS);
	put(0, 1, "memplug  %s  pid %d", screen->pool->name, screen->pool->pid);
	int column = COLS - (int)strlen(right) - 1;
	put(0, column > 0 ? column : 0, "%s", right);
	attroff(A_REVERSE);
	screen->line = is_roomy() ? 2 : 1;
}

/* As wide as leaves room for what is said beside it. */
static int
bar_width(void)
{
	int width = COLS - 46;
	return width > 40 ? 40 : width < 8 ? 8 : width;
}

static void
draw_bar(int line, int column, double share, int colour)
{
	int width = bar_width(), full = (int)(share * width + 0.5);
	put(line, column, "[");
	attron(COLOR_PAIR(colour));
	for (int i = 0; i < width && i < full; i++)
		put(line, column + 1 + i, "#");
	attroff(COLOR_PAIR(colour));
	put(line, column + 1 + width, "]");
}

static void
draw_sizes(struct screen *screen, const struct tick *tick, const struct picture *picture)
{
	char grows[48] = "";
	uint64_t size = picture->nr_blocks * picture->block_bytes;
	uint64_t max = cli_number(tick->info, "max_bytes");
	double share = size != 0 ? (double)picture->used_bytes / (double)size : 0;
	if (max != 0)
		snprintf(grows, sizeof(grows), ", grows to %s", cli_size(max));
	put(screen->line, 1, "used");
	draw_bar(screen->line, 6, share > 1 ? 1 : share, 1 + CELL_MOVABLE);
	put(screen->line++, 9 + bar_width(), "%s of %s%s", cli_size(picture->used_bytes),
	    cli_size(size), grows);
}

static void
draw_counters(struct screen *screen, const struct tick *tick)
{
	uint64_t moved = attribute(tick, "moved_pages"), now = now_ns();
	double seconds = (double)(now - screen->tick_ns) / 1e9;
	bool first = screen->tick_ns == 0 || moved < screen->moved_pages;
	double rate = first ? 0 : (double)(moved - screen->moved_pages) * 4096 / seconds;
	put(screen->line++, 1, "moved %s, %s/s   resident %s", cli_size(moved * 4096),
	    cli_size((uint64_t)rate), cli_size(cli_resident(screen->pool)));
	put(screen->line++, 1,
	    "longest wait of a writer %.1f ms   forks %llu   on devices %s   mappings %llu",
	    (double)attribute(tick, "stall_max_ns") / 1e6,
	    (unsigned long long)attribute(tick, "forks"),
	    cli_size(attribute(tick, "settled_bytes")),
	    (unsigned long long)attribute(tick, "mappings"));
	screen->moved_pages = moved;
	screen->tick_ns = now;
}

static void
draw_progress(struct screen *screen, const struct tick *tick)
{
	uint64_t moved = cli_number(tick->progress, "moved_pages");
	uint64_t left = cli_number(tick->progress, "left_pages"), all = moved + left;
	uint64_t first = cli_number(tick->progress, "first");
	uint64_t count = cli_number(tick->progress, "count");
	if (count != 0) {
		put(screen->line, 1, "out");
		draw_bar(screen->line, 6, all != 0 ? (double)moved / (double)all : 0,
			 1 + CELL_CHANGING);
		put(screen->line, 9 + bar_width(), "%llu-%llu, %s left", (unsigned long long)first,
		    (unsigned long long)(first + count - 1),
		    cli_size(left * cli_number(tick->progress, "page_bytes")));
	}
	if (count != 0 || is_roomy())
		screen->line++;
	screen->line += is_roomy();
}

static void
draw_cell(const struct screen *screen, enum cell_kind kind, unsigned level)
{
	attron(COLOR_PAIR(1 + kind));
	addstr(picture_glyph(kind, level, screen->utf8));
	attroff(COLOR_PAIR(1 + kind));
}

static void
draw_row(struct screen *screen, const struct picture *picture, unsigned at, unsigned end,
	 unsigned width)
{
	put(screen->line, 1, "%012llx", (unsigned long long)(picture->cell[at].first *
							     picture->block_bytes));
	for (; at < end; at++) {
		const struct cell *cell = &picture->cell[at];
		unsigned column = picture_column(picture, cell, width);
		move(screen->line, (int)(LABEL + column + column / GROUP));
		draw_cell(screen, cell->kind, picture_level(picture, cell));
	}
	if (picture->many_nodes)
		put(screen->line, (int)(LABEL + width + width / GROUP + 1), "node %u",
		    picture->cell[end - 1].node);
}

static void
draw_map(struct screen *screen, const struct picture *picture, unsigned width)
{
	for (unsigned at = 0, end; at < picture->nr_cells && screen->line <= last_line();
	     at = end) {
		end = picture_row_end(picture, at, width);
		if (picture_gap(picture, at, width))
			put(screen->line++, 1, "...");
		if (screen->line <= last_line())
			draw_row(screen, picture, at, end, width);
		screen->line++;
	}
}

/* The ranges, in the lines that the map leaves. */
static void
draw_ranges(struct screen *screen, const struct tick *tick)
{
	struct json_object *ranges = cli_array(tick->ranges, "ranges");
	screen->line += is_roomy();
	for (size_t i = 0; i < cli_length(ranges) && screen->line <= last_line(); i++) {
		struct json_object *range = cli_at(ranges, i);
		uint64_t first = cli_number(range, "first"), count = cli_number(range, "count");
		char blocks[48];
		snprintf(blocks, sizeof(blocks), "%llu-%llu", (unsigned long long)first,
			 (unsigned long long)(first + count - 1));
		put(screen->line, 1, "%-13s %7s %7s used %-8s", blocks,
		    cli_size(cli_number(range, "size")), cli_size(cli_number(range, "used_bytes")),
		    cli_string(range, "state"));
		if (COLS >= ROOMY_COLUMNS)
			put(screen->line, 46, "%-8s node %-2u %-10s", cli_string(range, "zone"),
			    (unsigned)cli_number(range, "node"), cli_string(range, "backing"));
		screen->line++;
	}
}

/* Glyphs of levels first to last and what they mean, where there is room for both. */
static void
draw_meaning(const struct screen *screen, enum cell_kind kind, unsigned first, unsigned last,
	     const char *text)
{
	int line, column;
	getyx(stdscr, line, column);
	(void)line;
	if (column + 3 + (int)(last - first) + (int)strlen(text) > COLS)
		return;
	for (unsigned level = first; level <= last; level++)
		draw_cell(screen, kind, level);
	printw(" %s  ", text);
}

static void
draw_legend(const struct screen *screen, const struct picture *picture)
{
	put(LINES - 2, 1, "a cell: %u block%s, %s  ", picture->cell_blocks,
	    picture->cell_blocks == 1 ? "" : "s",
	    cli_size(picture->cell_blocks * picture->block_bytes));
	draw_meaning(screen, CELL_MOVABLE, 0, 0, "empty");
	draw_meaning(screen, CELL_MOVABLE, 1, CELL_LEVELS - 1, "used");
	draw_meaning(screen, CELL_OFFLINE, 0, 0, "offline");
	draw_meaning(screen, CELL_CHANGING, 0, 0, "leaving");
	draw_meaning(screen, CELL_KERNEL, CELL_LEVELS - 1, CELL_LEVELS - 1, "kernel");
}

/* Ask everything; false: the pool did not answer it all. */
static bool
ask(const struct screen *screen, unsigned nr_cells, struct tick *tick)
{
	struct mhp__line line;
	*tick = (struct tick){ 0 };
	mhp__line_begin(&line, "map");
	mhp__line_number(&line, MHP__F_CELLS, nr_cells);
	tick->map = cli_ask_pool(screen->pool, &line, ASK_MS);
	if (tick->map != NULL)
		tick->info = cli_ask_word(screen->pool, "info", ASK_MS);
	if (tick->info != NULL)
		tick->attributes = cli_ask_word(screen->pool, "get", ASK_MS);
	if (tick->attributes != NULL)
		tick->progress = cli_ask_word(screen->pool, "progress", ASK_MS);
	if (tick->progress != NULL)
		tick->ranges = cli_ask_word(screen->pool, "ranges", ASK_MS);
	return tick->ranges != NULL;
}

static void
forget(struct tick *tick)
{
	json_object_put(tick->map);
	json_object_put(tick->info);
	json_object_put(tick->attributes);
	json_object_put(tick->progress);
	json_object_put(tick->ranges);
}

static void
draw_tick(struct screen *screen, const struct tick *tick, unsigned width)
{
	struct picture picture;
	if (!picture_open(&picture, tick->map))
		return;
	erase();
	draw_title(screen, true);
	draw_sizes(screen, tick, &picture);
	if (is_roomy())
		draw_counters(screen, tick);
	draw_progress(screen, tick);
	draw_map(screen, &picture, width);
	draw_ranges(screen, tick);
	draw_legend(screen, &picture);
	picture_close(&picture);
}

/* A pool that does not answer keeps its last picture. */
static void
draw(struct screen *screen)
{
	unsigned width = 8, rows = LINES > 12 ? (unsigned)LINES - 11 : 2;
	struct tick tick;
	while (2 * width * 17 / 16 + LABEL + 8 <= (unsigned)COLS && width < 256)
		width *= 2;
	if (ask(screen, width * rows, &tick))
		draw_tick(screen, &tick, width);
	else
		draw_title(screen, false);
	forget(&tick);
	refresh();
}

/* Does its process run? One that ended has no socket any more. */
static bool
is_there(const struct screen *screen)
{
	int fd = mhp__connect(screen->pool);
	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -EAGAIN;
}

/* Does nobody look any more? Reading from such a terminal waits for nothing. */
static bool
is_seen(void)
{
	struct pollfd terminal = { .fd = STDIN_FILENO };
	return poll(&terminal, 1, 0) == 0;
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
	struct screen screen = { .pool = &pool, .utf8 = picture_utf8() };
	const char *words = NULL;
	uint32_t ms = 1000;
	if (!CLI_OPTIONS(cli, 0, 0, { "--interval", &words, NULL }))
		return CLI_USAGE;
	if (words != NULL && (mhp_seconds_parse(words, &ms) != 0 || ms < 50 || ms > 3600000))
		return cli_usage(cli, "--interval %s: it must be a number of seconds, 0.05 to 3600",
				 words);
	if (!cli_choose(cli, &pool))
		return CLI_NO_POOL;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		cli_say("top needs a terminal; memplug map prints a picture");
		return CLI_REFUSED;
	}
	start_screen();
	timeout((int)ms);
	int key = ERR;
	bool there = true;
	while (there && is_seen() && key != 'q' && key != 'Q' && key != 3) {
		draw(&screen);
		there = is_there(&screen);
		key = there ? getch() : ERR;
	}
	endwin();
	if (!there)
		cli_say("the program has ended");
	return CLI_DONE;
}
