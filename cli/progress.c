/* SPDX-License-Identifier: MIT */
/*
 * progress.c - wait for an answer; meanwhile show how far the pool is, and cancel on an interrupt.
 *
 * The line is on standard error, only on a terminal, only for what takes long, and is gone at the
 * end. The first interrupt asks the pool to cancel, again and again until it has heard: what waits
 * for its turn cannot be cancelled yet. The second one ends this command, and not the change.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define TICK_MS 150
#define BAR 24

bool cli_full_screen;

static volatile sig_atomic_t interrupted;

static void
on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static uint64_t
now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
set_timeout(int fd)
{
	struct timeval tick = { 0, TICK_MS * 1000 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
}

/* NULL: the pool has no time to say. */
static struct json_object *
ask_progress(const char *path)
{
	struct json_object *answer = NULL;
	char *text = NULL;
	size_t used = 0;
	int fd = mhp__connect(path);
	if (fd < 0)
		return NULL;
	set_timeout(fd);
	if (mhp__send_line(fd, "progress\n") == 0 && mhp__read_answer(fd, &text, &used) == 0)
		answer = json_tokener_parse(text);
	free(text);
	close(fd);
	return answer;
}

static void
show_moving(struct json_object *answer)
{
	char bar[BAR + 1];
	uint64_t page = cli_number(answer, "page_bytes"), first = cli_number(answer, "first");
	uint64_t moved = cli_number(answer, "moved_pages"), left = cli_number(answer, "left_pages");
	uint64_t count = cli_number(answer, "count"), all = moved + left != 0 ? moved + left : 1;
	double seconds = (double)cli_number(answer, "elapsed_ns") / 1e9;
	uint64_t rate = seconds > 0 ? (uint64_t)((double)(moved * page) / seconds) : 0;
	size_t full = (size_t)(moved * BAR / all);

	memset(bar, '.', BAR);
	memset(bar, '#', full);
	bar[BAR] = 0;
	fprintf(stderr, "\r[%s] %3u%%  block%s %u", bar, (unsigned)(moved * 100 / all),
		count > 1 ? "s" : "", (unsigned)first);
	if (count > 1)
		fprintf(stderr, "-%u", (unsigned)(first + count - 1));
	fprintf(stderr, ": %s moved, %s left, %s/s%s\033[K", cli_size(moved * page),
		cli_size(left * page), cli_size(rate), interrupted ? ", cancelling" : "");
}

static void
show(const char *path, uint64_t waited_ms)
{
	struct json_object *answer = ask_progress(path);
	if (answer != NULL && cli_number(answer, "count") != 0)
		show_moving(answer);
	else
		fprintf(stderr, "\rwaiting for the pool, %u s%s\033[K",
			(unsigned)(waited_ms / 1000), interrupted ? ", cancelling" : "");
	fflush(stderr);
	if (answer != NULL)
		json_object_put(answer);
}

int
cli_await(const char *path, int fd, char **text, size_t *used)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
	bool terminal = !cli_full_screen && isatty(STDERR_FILENO), shown = false;
	uint64_t start = now_ms();
	int err;

	if (!cli_full_screen) {
		sigaction(SIGINT, &action, NULL);
		sigaction(SIGTERM, &action, NULL);
	}
	set_timeout(fd);
	for (;;) {
		err = mhp__read_answer(fd, text, used);
		if (err != -EINTR && err != -EAGAIN)
			break;
		if (interrupted)
			mhp__send_cancel(path, -1);
		if (terminal && *used == 0 && now_ms() - start >= 2 * TICK_MS) {
			show(path, now_ms() - start);
			shown = true;
		}
	}
	if (shown)
		fprintf(stderr, "\r\033[K");
	return err;
}
