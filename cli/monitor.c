/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - memplug monitor: events as they happen, a line each.
 *
 * With --json the lines of the pool are passed on as they come, which is what `memplug replay`
 * reads; else they become sentences. Missed events are a line of their own, never left out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* The contents of the first line: sizes, and the time of day at a time of the pool's clock. */
struct pool {
	uint64_t block_bytes, page_bytes;
	uint64_t time_ns, real_ns;
};

static void
print_pool(struct pool *pool, struct json_object *line)
{
	pool->block_bytes = cli_number(line, "block_size_bytes");
	pool->page_bytes = UINT64_C(1)
			   << (cli_number(cli_member(line, "geometry"), "page_shift") & 63);
	pool->time_ns = cli_number(line, "time_ns");
	pool->real_ns = cli_number(line, "real_ns");
	printf("pool %s (%u): %u blocks of %s, next event %" PRIu64 "\n", cli_string(line, "name"),
	       (unsigned)cli_number(line, "pid"), (unsigned)cli_number(line, "blocks_present"),
	       cli_size(pool->block_bytes), cli_number(line, "next"));
}

static void
print_time(FILE *out, const struct pool *pool, struct json_object *line)
{
	uint64_t real_ns = cli_number(line, "time_ns") - pool->time_ns + pool->real_ns;
	time_t seconds = (time_t)(real_ns / 1000000000);
	struct tm tm;
	char text[16];
	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	fprintf(out, "%s.%03u  #%-5" PRIu64, text, (unsigned)(real_ns / 1000000 % 1000),
	       cli_number(line, "seq"));
}

static void
print_blocks(FILE *out, const struct pool *pool, struct json_object *line)
{
	unsigned first = (unsigned)cli_number(line, "block");
	unsigned count = (unsigned)cli_number(line, "count");
	if (count == 1)
		fprintf(out, " block %u", first);
	else if (count != 0)
		fprintf(out, " blocks %u-%u", first, first + count - 1);
	if (count != 0)
		fprintf(out, " (%s)", cli_size(count * pool->block_bytes));
}

static void
print_why(FILE *out, struct json_object *line)
{
	const char *why = cli_string(line, "why"), *what = cli_string(line, "what");
	const char *owner = cli_string(line, "owner");
	if (*why != 0)
		fprintf(out, ": block %u: %s", (unsigned)cli_number(line, "cause_block"), why);
	if (*what != 0)
		fprintf(out, ": %s", what);
	else if (*owner != 0)
		fprintf(out, ": %s", owner);
	fprintf(out, " (error %d)", (int)(int64_t)cli_number(line, "error"));
}

static void
print_times(FILE *out, struct json_object *line)
{
	struct json_object *phases = cli_member(line, "phases");
	const char *before = " (";
	if (cli_number(line, "took_ns") == 0)
		return;
	fprintf(out, ", took %s", cli_duration(cli_number(line, "took_ns")));
	if (phases == NULL)
		return;
	json_object_object_foreach(phases, name, ns) {
		(void)ns;
		fprintf(out, "%s%s %s", before, name, cli_duration(cli_number(phases, name)));
		before = ", ";
	}
	fprintf(out, ")");
}

static void
print_follow(FILE *out, const struct pool *pool, struct json_object *line)
{
	uint64_t limit_pages = cli_number(line, "limit_pages");
	if (limit_pages >= UINT64_MAX / pool->page_bytes)
		fprintf(out, " there is no limit any more;");
	else
		fprintf(out, " the limit is %s;", cli_size(limit_pages * pool->page_bytes));
	fprintf(out, " safe to lower to %s",
		cli_size(cli_number(line, "pages") * pool->page_bytes));
	if (*cli_string(line, "reason") != 0)
		fprintf(out, "; %s", cli_string(line, "reason"));
}

static void
print_limit(FILE *out, const struct pool *pool, struct json_object *line)
{
	if (cli_has(line, "reason"))
		fprintf(out, " the program got no more memory: %s", cli_string(line, "reason"));
	else
		fprintf(out, " the program wanted more than the %s that it may have",
		       cli_size(cli_number(line, "pages") * pool->page_bytes));
}

/* A node that it was told to go to. */
static void
print_target(FILE *out, struct json_object *line)
{
	struct json_object *nodes = cli_array(line, "to_nodes");
	if (cli_length(nodes) == 1)
		fprintf(out, " to node %" PRIu64, cli_number_at(nodes, 0));
}

static void
print_event(FILE *out, const struct pool *pool, struct json_object *line)
{
	const char *event = cli_string(line, "event"), *action = cli_string(line, "action");
	struct json_object *policy = cli_member(line, "policy");
	print_time(out, pool, line);
	fprintf(out, " %-14s", event);
	print_blocks(out, pool, line);
	if (*cli_string(line, "zone") != 0)
		fprintf(out, " %s", cli_string(line, "zone"));
	if (strcmp(event, "add") == 0)
		fprintf(out, ", memmap %s (%s)", cli_string(line, "memmap"),
		       cli_string(line, "memmap_why"));
	print_target(out, line);
	if (strcmp(event, "offline") == 0 || strcmp(event, "compact") == 0 ||
	    strcmp(event, "move") == 0)
		fprintf(out, ", %" PRIu64 " pages moved", cli_number(line, "pages"));
	if (strcmp(event, "limit") == 0)
		print_limit(out, pool, line);
	if (strcmp(event, "tier") == 0)
		fprintf(out, " %s to node %u, %s",
			cli_size(cli_number(line, "pages") * pool->page_bytes),
			(unsigned)cli_number(line, "node"), cli_string(line, "reason"));
	if (strcmp(event, "follow") == 0)
		print_follow(out, pool, line);
	if (strcmp(event, "announce") == 0)
		fprintf(out, ", %s", action);
	if (strstr(event, "page") != NULL)
		fprintf(out, ", page %" PRIu64, cli_number(line, "pfn"));
	if ((int)(int64_t)cli_number(line, "error") != 0)
		print_why(out, line);
	if (policy != NULL) {
		json_object_object_foreach(policy, name, value)
			fprintf(out, " %s=%s", name, json_object_get_string(value));
	}
	print_times(out, line);
}

static void
print_event_line(const struct pool *pool, struct json_object *line)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (out == NULL)
		return;
	print_event(out, pool, line);
	if (fclose(out) == 0)
		cli_sentence(stdout, text);
	free(text);
}

/* False: the pool refused, and why is printed. */
static bool
print_line(struct pool *pool, const char *text)
{
	struct json_object *line = cli_parse(text);
	bool refused = cli_has(line, "error") && cli_has(line, "text");
	if (line == NULL)
		return true; /* cut short: the pool is gone, and the next read says so */
	if (refused)
		cli_say("%s", cli_string(line, "text"));
	else if (cli_has(line, "memplug"))
		print_pool(pool, line);
	else if (cli_has(line, "missed"))
		printf("-- missed %" PRIu64 " events, numbers %" PRIu64 " to %" PRIu64
		       ": they were not read in time\n", cli_number(line, "missed"),
		       cli_number(line, "from"), cli_number(line, "to"));
	else
		print_event_line(pool, line);
	json_object_put(line);
	return !refused;
}

/* All whole lines of the text, which then begins with the rest. False: we are to end. */
static bool
print_lines(const struct cli *cli, struct pool *pool, char *text, size_t *used)
{
	char *at = text, *end;
	bool good = true;
	while (good && (end = memchr(at, '\n', *used - (size_t)(at - text))) != NULL) {
		*end = 0;
		if (cli->json && strncmp(at, "{\"error\"", 8) != 0)
			good = puts(cli_clean(at)) >= 0;
		else
			good = print_line(pool, at);
		at = end + 1;
	}
	*used -= (size_t)(at - text);
	memmove(text, at, *used + 1);
	return fflush(stdout) == 0 && good;
}

/* Until the pool ends, or somebody ends us; only the first line has to come soon. */
static int
follow(const struct cli *cli, const struct mhp__peer *peer, int fd)
{
	struct pool pool = { 0 };
	char *text = NULL;
	size_t used = 0;
	bool good = true, first = true;
	int err = -EAGAIN;
	while (good && (err == -EAGAIN || err == -EINTR)) {
		err = mhp__await(fd, first ? mhp__now_ms() + CLI_LOOK_MS : UINT64_MAX);
		if (err == -EAGAIN && first)
			break;
		if (err == 0)
			err = mhp__read_answer(fd, &text, &used);
		first &= used == 0;
		if (used != 0)
			good = print_lines(cli, &pool, text, &used);
	}
	free(text);
	if (err == -EAGAIN && first)
		cli_say("pool '%s' (%d) does not answer", peer->name, peer->pid);
	else if (good)
		cli_say("the program has ended");
	return good && !first ? CLI_DONE : CLI_REFUSED;
}

int
cli_monitor(struct cli *cli)
{
	const char *since = NULL;
	struct mhp__peer peer;
	struct mhp__line line;
	uint64_t number;
	if (!CLI_OPTIONS(cli, 0, 0, { "--since", &since, NULL }))
		return CLI_USAGE;
	mhp__line_begin(&line, "monitor");
	if (since != NULL && mhp_number_parse(since, UINT64_MAX, &number) != 0)
		return cli_usage(cli, "--since %s: that is no number of an event", since);
	if (since != NULL)
		mhp__line_number(&line, MHP__F_SINCE, number);
	mhp__line_flag(&line, MHP__F_RANGES, cli->json);
	if (!cli_choose(cli, &peer))
		return CLI_NO_POOL;
	int fd = mhp__connect(&peer);
	if (fd < 0 || mhp__send_line(fd, mhp__line_end(&line)) != 0) {
		cli_say("pool '%s' (%d) does not answer", peer.name, peer.pid);
		return CLI_REFUSED;
	}
	int status = follow(cli, &peer, fd);
	close(fd);
	return status;
}
