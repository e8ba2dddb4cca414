/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - memplug monitor: events as they happen, a line each.
 *
 * With --json the lines of the pool are passed on as they come, which is what `memplug replay`
 * reads; else they become sentences. What was missed is a line of its own, never left out.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* What the first line says: sizes, and the time of day at a time of the pool's clock. */
struct pool {
	uint64_t block_bytes;
	uint64_t time_ns, real_ns;
};

static void
print_pool(struct pool *pool, struct json_object *line)
{
	pool->block_bytes = cli_number(line, "block_size_bytes");
	pool->time_ns = cli_number(line, "time_ns");
	pool->real_ns = cli_number(line, "real_ns");
	printf("pool %s (%u): %u blocks of %s, next event %" PRIu64 "\n", cli_string(line, "name"),
	       (unsigned)cli_number(line, "pid"), (unsigned)cli_number(line, "blocks_present"),
	       cli_size(pool->block_bytes), cli_number(line, "next"));
}

static void
print_time(const struct pool *pool, struct json_object *line)
{
	uint64_t real_ns = cli_number(line, "time_ns") - pool->time_ns + pool->real_ns;
	time_t seconds = (time_t)(real_ns / 1000000000);
	struct tm tm;
	char text[16];
	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%03u  #%-5" PRIu64, text, (unsigned)(real_ns / 1000000 % 1000),
	       cli_number(line, "seq"));
}

/* 1234567 -> "1.2 ms" */
static void
print_duration(uint64_t ns)
{
	if (ns < 1000000)
		printf("%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		printf("%.1f ms", (double)ns / 1e6);
	else
		printf("%.2f s", (double)ns / 1e9);
}

static void
print_blocks(const struct pool *pool, struct json_object *line)
{
	unsigned first = (unsigned)cli_number(line, "block");
	unsigned count = (unsigned)cli_number(line, "count");
	if (count == 1)
		printf(" block %u", first);
	else if (count != 0)
		printf(" blocks %u-%u", first, first + count - 1);
	if (count != 0)
		printf(" (%s)", cli_size(count * pool->block_bytes));
}

static void
print_why(struct json_object *line)
{
	const char *why = cli_string(line, "why"), *what = cli_string(line, "what");
	const char *owner = cli_string(line, "owner");
	if (*why != 0)
		printf(": block %u: %s", (unsigned)cli_number(line, "cause_block"), why);
	if (*what != 0)
		printf(": %s", what);
	else if (*owner != 0)
		printf(": %s", owner);
	printf(" (error %d)", (int)(int64_t)cli_number(line, "error"));
}

static void
print_times(struct json_object *line)
{
	struct json_object *phases;
	const char *before = " (";
	if (cli_number(line, "took_ns") == 0)
		return;
	printf(", took ");
	print_duration(cli_number(line, "took_ns"));
	if (!json_object_object_get_ex(line, "phases", &phases))
		return;
	json_object_object_foreach(phases, name, ns) {
		printf("%s%s ", before, name);
		print_duration((uint64_t)json_object_get_int64(ns));
		before = ", ";
	}
	printf(")");
}

static void
print_event(const struct pool *pool, struct json_object *line)
{
	const char *event = cli_string(line, "event"), *action = cli_string(line, "action");
	struct json_object *policy;
	print_time(pool, line);
	printf(" %-14s", event);
	print_blocks(pool, line);
	if (*cli_string(line, "zone") != 0)
		printf(" %s", cli_string(line, "zone"));
	if (strcmp(event, "add") == 0)
		printf(", memmap %s (%s)", cli_string(line, "memmap"),
		       cli_string(line, "memmap_why"));
	if (strcmp(event, "offline") == 0 || strcmp(event, "compact") == 0)
		printf(", %" PRIu64 " pages moved", cli_number(line, "pages"));
	if (strcmp(event, "announce") == 0)
		printf(", %s", action);
	if (strstr(event, "page") != NULL)
		printf(", page %" PRIu64, cli_number(line, "pfn"));
	if ((int)(int64_t)cli_number(line, "error") != 0)
		print_why(line);
	if (json_object_object_get_ex(line, "policy", &policy)) {
		json_object_object_foreach(policy, name, value)
			printf(" %s=%s", name, json_object_get_string(value));
	}
	print_times(line);
	printf("\n");
}

/* False: the pool refused, and why is printed. */
static bool
print_line(struct pool *pool, const char *text)
{
	struct json_object *line = json_tokener_parse(text);
	bool refused = json_object_object_get_ex(line, "text", NULL);
	if (line == NULL)
		return true; /* cut short: the pool is gone, and the next read says so */
	if (refused)
		fprintf(stderr, "memplug: %s\n", cli_string(line, "text"));
	else if (json_object_object_get_ex(line, "memplug", NULL))
		print_pool(pool, line);
	else if (json_object_object_get_ex(line, "missed", NULL))
		printf("-- missed %" PRIu64 " events, numbers %" PRIu64 " to %" PRIu64
		       ": they were not read in time\n", cli_number(line, "missed"),
		       cli_number(line, "from"), cli_number(line, "to"));
	else
		print_event(pool, line);
	json_object_put(line);
	return !refused;
}

static int
follow(const struct cli *cli, FILE *from)
{
	struct pool pool = { 0 };
	char *text = NULL;
	size_t room = 0;
	bool good = true;
	while (good && getline(&text, &room, from) > 0) {
		if (cli->json && strncmp(text, "{\"error\"", 8) != 0)
			fputs(text, stdout);
		else
			good = print_line(&pool, text);
		if (fflush(stdout) != 0)
			break; /* nobody reads us any more */
	}
	free(text);
	if (good)
		fprintf(stderr, "memplug: the program has ended\n");
	return good ? CLI_DONE : CLI_REFUSED;
}

int
cli_monitor(struct cli *cli)
{
	struct mhp__peer peer;
	const char *since = "-";
	char line[64];
	cli_option(cli, "--since", &since);
	if (cli->argc != 0 || strlen(since) > 20 || strspn(since, "-0123456789") != strlen(since))
		return cli_usage("monitor [--since NUMBER] [--json]");
	if (!cli_choose(cli, &peer))
		return CLI_NO_POOL;
	int fd = mhp__connect(peer.path);
	snprintf(line, sizeof(line), "monitor %s%s\n", since, cli->json ? " ranges" : "");
	FILE *from = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (from == NULL || mhp__send_line(fd, line) != 0) {
		fprintf(stderr, "memplug: the program ended before it answered\n");
		return CLI_REFUSED;
	}
	int status = follow(cli, from);
	fclose(from);
	return status;
}
