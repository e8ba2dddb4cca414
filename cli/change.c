/* SPDX-License-Identifier: MIT */
/*
 * change.c - commands that change a pool: add, online, offline, remove, resize, set.
 *
 * They check words only as far as the protocol needs; the pool says what it cannot do. Silent when
 * done, but for add, which says what was added.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static int
finish(const struct cli *cli, struct json_object *answer, int status)
{
	if (answer == NULL)
		return status;
	if (cli->json)
		puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
	json_object_put(answer);
	return CLI_DONE;
}

static bool
one_of(const char *word, const char *a, const char *b, const char *c)
{
	return strcmp(word, a) == 0 || strcmp(word, b) == 0 || (c != NULL && strcmp(word, c) == 0);
}

int
cli_add(struct cli *cli)
{
	const char *backing = "-", *memmap = "auto", *zone = "default";
	int status;
	cli_option(cli, "--backing", &backing);
	cli_option(cli, "--memmap", &memmap);
	bool zone_said = cli_option(cli, "--zone", &zone);
	bool offline = cli_option(cli, "--offline", NULL);
	if (cli->argc != 1 || !one_of(memmap, "self", "external", "auto") ||
	    (zone_said && !one_of(zone, "movable", "kernel", NULL)) || strchr(backing, ' ') != NULL)
		return cli_usage("add SIZE [--backing KIND] [--memmap self|external|auto] "
				 "[--zone movable|kernel] [--offline]");
	if (!zone_said) /* what comes without a word about it is meant to be able to go */
		zone = "movable";
	struct json_object *answer = cli_ask(cli, &status, "add %s %s %s %s %s\n", cli->argv[0],
					     backing, memmap, zone, offline ? "offline" : "online");
	if (answer != NULL && !cli->json) {
		uint64_t first = cli_number(answer, "first"), count = cli_number(answer, "count");
		printf("blocks %llu-%llu\n", (unsigned long long)first,
		       (unsigned long long)(first + count - 1));
	}
	return finish(cli, answer, status);
}

int
cli_online(struct cli *cli)
{
	const char *zone = "movable";
	int status;
	cli_option(cli, "--zone", &zone);
	if (cli->argc != 1 || !one_of(zone, "movable", "kernel", NULL))
		return cli_usage("online BLOCKS [--zone movable|kernel]");
	struct json_object *answer = cli_ask(cli, &status, "online %s %s\n", cli->argv[0], zone);
	return finish(cli, answer, status);
}

static int
leave(struct cli *cli, const char *verb, const char *usage)
{
	const char *deadline = "30";
	char *end;
	int status;
	cli_option(cli, "--deadline", &deadline);
	bool dry = cli_option(cli, "--dry-run", NULL);
	if (cli->argc != 1 || strtod(deadline, &end) <= 0 || *end != 0)
		return cli_usage(usage);
	struct json_object *answer = cli_ask(cli, &status, "%s %s %s%s\n", verb, cli->argv[0],
					     deadline, dry ? " dry" : "");
	return finish(cli, answer, status);
}

int
cli_offline(struct cli *cli)
{
	return leave(cli, "offline", "offline BLOCKS [--deadline SECONDS] [--dry-run]");
}

int
cli_remove(struct cli *cli)
{
	return leave(cli, "remove", "remove BLOCKS [--deadline SECONDS] [--dry-run]");
}

int
cli_resize(struct cli *cli)
{
	const char *deadline = "30";
	int status;
	cli_option(cli, "--deadline", &deadline);
	if (cli->argc != 1)
		return cli_usage("resize SIZE [--deadline SECONDS]");
	struct json_object *answer = cli_ask(cli, &status, "resize %s %s\n", cli->argv[0],
					     deadline);
	return finish(cli, answer, status);
}

int
cli_set(struct cli *cli)
{
	char value[MHP_PROTOCOL_LINE_MAX / 2];
	int status;
	if (cli->argc != 2 ||
	    !mhp__word_encode(cli->argv[1], strlen(cli->argv[1]), value, sizeof(value)))
		return cli_usage("set ATTR VALUE");
	struct json_object *answer = cli_ask(cli, &status, "set %s %s\n", cli->argv[0], value);
	return finish(cli, answer, status);
}
