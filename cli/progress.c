/* SPDX-License-Identifier: MIT */
/*
 * progress.c - wait for an answer; meanwhile show how far the pool is, and cancel on an interrupt.
 *
 * The line is on standard error, only on a terminal, only for what takes long, and is gone at the
 * end. A pool that is silent is asked now and then how far it is: one that does not say even that
 * is not waited for. The first interrupt asks the pool to cancel, again and again until it has
 * heard, for some seconds; the second one, or the end of those, ends this command. By then the pool
 * drops a request that it has not begun, and puts blocks back that it was taking out of use.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define TICK_MS 150U
#define PROBE_MS 1000U                 /* silence before the pool is asked whether it is there */
#define SILENCE_MS 4000U               /* what it may take to answer that */
#define INTERRUPTED_MS 500U            /* the same, when somebody waits for our end */
#define GRACE_MS 5000U                 /* from an interrupt to the end */
#define BAR 24

static volatile sig_atomic_t interrupted; /* the signal */

static void
on_interrupt(int number)
{
	interrupted = number;
}

/* While a change is under way; the second one ends the process. */
static void
catch_interrupts(void)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
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

/* How far the pool is; NULL: it does not answer, or not with that. A signal ends the wait. */
static struct json_object *
ask_progress(const struct mhp__peer *peer)
{
	return cli_ask_word(peer, "progress", interrupted ? INTERRUPTED_MS : SILENCE_MS);
}

static void
show(struct json_object *answer, uint64_t waited_ms)
{
	if (cli_number(answer, "count") != 0)
		show_moving(answer);
	else
		fprintf(stderr, "\rwaiting for the pool, %u s%s\033[K",
			(unsigned)(waited_ms / 1000), interrupted ? ", cancelling" : "");
	fflush(stderr);
}

/* The end of this command, as the signal wanted it. */
static void
give_up(const struct mhp__peer *peer, bool shown)
{
	fprintf(stderr, "%smemplug: pool '%s' (%d) has not answered; it cancels what it was asked "
		"for when it does\n", shown ? "\r\033[K" : "", peer->name, peer->pid);
	signal(interrupted, SIG_DFL);
	raise(interrupted);
}

/* One wait: 0 or the error that ends it; -EAGAIN: on with it. */
static int
await_once(int fd, uint64_t end_ms, char **text, size_t *used)
{
	int err = mhp__await(fd, end_ms);
	return err == 0 ? mhp__read_answer(fd, text, used) : err;
}

/* A wait under way; times in milliseconds. */
struct waiting {
	const struct mhp__peer *peer;
	bool terminal;                 /* shows progress */
	bool shown;                    /* there is a line on the terminal */
	uint64_t start, heard, stop;   /* when it began, when the pool was last heard, the end */
};

/* The pool is silent: ask how far it is, and show that. One that does not say even that is given
 * up. */
static void
probe(struct waiting *waiting, uint64_t now)
{
	int signal_before = interrupted;
	struct json_object *progress = ask_progress(waiting->peer);
	if (progress != NULL && waiting->terminal) {
		show(progress, now - waiting->start);
		waiting->shown = true;
	}
	if (progress == NULL && interrupted == signal_before)
		waiting->stop = now;
	json_object_put(progress);
	if (!waiting->terminal)
		waiting->heard = mhp__now_ms();
}

/* Some time has passed without the whole answer; heard: a part of it came. */
static void
tick(struct waiting *waiting, bool heard)
{
	uint64_t now = mhp__now_ms();
	if (heard)
		waiting->heard = now;
	if (interrupted) {
		mhp__send_cancel(waiting->peer, -1);
		if (waiting->stop > now + GRACE_MS)
			waiting->stop = now + GRACE_MS;
	}
	if (now - waiting->heard >= (waiting->terminal ? 2 * TICK_MS : PROBE_MS))
		probe(waiting, now);
}

/* Until the answer is there, an error comes, or the wait ends. */
static int
await_answer(struct waiting *waiting, int fd, char **text, size_t *used)
{
	for (;;) {
		size_t before = *used;
		int err = await_once(fd, mhp__now_ms() + TICK_MS, text, used);
		if (err != -EINTR && err != -EAGAIN)
			return err;
		tick(waiting, *used != before);
		if (mhp__now_ms() < waiting->stop)
			continue;
		err = await_once(fd, 0, text, used); /* it may have come meanwhile */
		return err == -EAGAIN || err == -EINTR ? -ETIMEDOUT : err;
	}
}

int
cli_await(const struct mhp__peer *peer, int fd, struct cli_wait wait, char **text, size_t *used)
{
	uint64_t now = mhp__now_ms();
	struct waiting waiting = { .peer = peer, .start = now, .heard = now,
				   .terminal = wait.cancels && isatty(STDERR_FILENO),
				   .stop = now + wait.most_ms };

	if (wait.cancels)
		catch_interrupts();
	int err = await_answer(&waiting, fd, text, used);
	if (err == -ETIMEDOUT && interrupted)
		give_up(peer, waiting.shown);
	if (waiting.shown)
		fprintf(stderr, "\r\033[K");
	return err;
}
