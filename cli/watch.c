/* SPDX-License-Identifier: MIT */
/*
 * watch.c - memplug watch: devices of a folder come into a pool, and leave it when they are asked
 * back.
 *
 * Which devices there are and what becomes of them is the library's (watch.h); here are the
 * requests to the pool, and what is printed: a line on standard output for each event, reasons of
 * refusals on standard error as always. From time to time the pool asks the kernel what went bad.
 */
#define _GNU_SOURCE
#include <memplug/watch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#define ADD_MS 600000U
#define TURN_MS 500L
#define POISON_TURNS 10U               /* so often the kernel is asked what went bad */

struct watch {
	struct cli *cli;
	uint32_t deadline_ms;
	uint64_t block_bytes;
};

static void
tell(void *ctx, enum mhp_watch_event event, const char *name, uint64_t size_bytes,
     const struct mhp_text *why)
{
	const struct watch *watch = ctx;
	(void)why; /* has been printed */
	if (watch->cli->json)
		printf("{\"event\":\"%s\",\"device\":\"%s\",\"size\":%llu}\n",
		       mhp_watch_word(event), name, (unsigned long long)size_bytes);
	else
		printf("%s %s\n", mhp_watch_word(event), name);
	fflush(stdout);
}

/* ---- what the pool has ---- */

static int
error_of(int status)
{
	return status == CLI_DONE ? 0 : status == CLI_NO_POOL ? MHP_ENODEV : MHP_EBUSY;
}

/* The node of the pool that is this device; -1: none. *ret_status: CLI_NO_POOL at its end. */
static long
find_node(const struct watch *watch, const char *backing, int *ret_status)
{
	struct mhp__line line;
	long found = -1;
	mhp__line_begin(&line, "nodes");
	struct json_object *answer = cli_ask(watch->cli, ret_status, &line, CLI_LOOK);
	struct json_object *nodes = cli_array(answer, "nodes");
	for (size_t i = 0; i < cli_length(nodes); i++)
		if (strcmp(cli_string(cli_at(nodes, i), "place"), backing) == 0)
			found = (long)cli_number(cli_at(nodes, i), "node");
	json_object_put(answer);
	return found;
}

static int
has(void *ctx, const char *backing)
{
	int status = CLI_DONE;
	long node = find_node(ctx, backing, &status);
	return node >= 0 ? 1 : error_of(status);
}

static int
add(void *ctx, const char *backing, uint64_t size_bytes, struct mhp_text *reterr)
{
	const struct watch *watch = ctx;
	char size[32];
	struct mhp__line line;
	int status;
	(void)reterr;
	snprintf(size, sizeof(size), "%llu", (unsigned long long)(size_bytes /
		 watch->block_bytes * watch->block_bytes));
	mhp__line_begin(&line, "add");
	mhp__line_text(&line, MHP__F_SIZE, size);
	mhp__line_text(&line, MHP__F_BACKING, backing);
	mhp__line_text(&line, MHP__F_ZONE, "movable");
	json_object_put(cli_ask(watch->cli, &status, &line, CLI_CHANGE(ADD_MS)));
	return error_of(status);
}

static int
release(void *ctx, const char *backing, struct mhp_text *reterr)
{
	const struct watch *watch = ctx;
	struct mhp__line line;
	int status;
	long node = find_node(watch, backing, &status);
	(void)reterr;
	if (status != CLI_DONE || node < 0)
		return error_of(status);
	mhp__line_begin(&line, "evacuate");
	mhp__line_number(&line, MHP__F_NODE, (uint64_t)node);
	mhp__line_number(&line, MHP__F_DEADLINE_MS, watch->deadline_ms);
	json_object_put(cli_ask(watch->cli, &status, &line, CLI_CHANGE(watch->deadline_ms)));
	return error_of(status);
}

static const struct mhp_watch_ops by_socket = { .has = has, .add = add, .release = release };

/* ---- turns ---- */

/* Bound: the life of the pool. */
static int
watch_on(struct watch *watch, struct mhp_watch *devices)
{
	struct timespec pause = { 0, TURN_MS * 1000000L };
	for (unsigned turns = 1;; turns++) {
		struct mhp_text why = { "" };
		struct mhp__peer pool;
		int err = mhp_watch_look(devices, &why);
		if (err == MHP_ENODEV)
			return CLI_DONE; /* the program has ended */
		if (err != 0)
			cli_say("%s", why.text);
		if (err == MHP_ENOENT)
			return CLI_REFUSED;
		if (turns % POISON_TURNS == 0 && cli_look_for_poison(watch->cli) == CLI_NO_POOL)
			return CLI_DONE;
		nanosleep(&pause, NULL);
		if (!cli_choose(watch->cli, &pool))
			return CLI_DONE;
	}
}

int
cli_watch(struct cli *cli)
{
	struct watch watch = { .cli = cli };
	struct mhp_watch_opts opts = { .ops = &by_socket, .ctx = &watch, .tell = tell,
				       .tell_ctx = &watch };
	const char *deadline = NULL, *policy = "say";
	struct mhp_watch *devices;
	struct mhp_text why = { "" };
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 1, 1, { "--deadline", &deadline, NULL },
			 { "--policy", &policy, NULL }, { "--requests", &opts.requests, NULL },
			 { "--devices", &opts.devices, NULL }) ||
	    !cli_deadline(cli, deadline, &watch.deadline_ms))
		return CLI_USAGE;
	opts.folder = cli->argv[0];
	opts.adds = strcmp(policy, "add") == 0;
	if (!opts.adds && strcmp(policy, "say") != 0)
		return cli_usage(cli, "--policy %s: it must be add or say", policy);
	if (mhp_watch_open(&opts, &devices, &why) != 0) {
		cli_say("%s", why.text);
		return CLI_REFUSED;
	}
	mhp__line_begin(&line, "info");
	struct json_object *info = cli_ask(cli, &status, &line, CLI_LOOK);
	watch.block_bytes = cli_number(info, "block_size_bytes");
	json_object_put(info);
	if (status == CLI_DONE)
		status = watch.block_bytes == 0 ? CLI_REFUSED : watch_on(&watch, devices);
	mhp_watch_close(devices);
	return status;
}
