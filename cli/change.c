/* SPDX-License-Identifier: MIT */
/*
 * change.c - commands that change a pool: add, online, offline, remove, resize, set.
 *
 * They check words only as far as the protocol needs; the pool says what it cannot do. Silent when
 * done, but for add, which says what was added, and for rehearsals, which say what would happen.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

#define ADD_MS 600000U                 /* a large add of memory that must be zeroed takes long */

static bool
one_of(const char *word, const char *a, const char *b, const char *c)
{
	return strcmp(word, a) == 0 || strcmp(word, b) == 0 || (c != NULL && strcmp(word, c) == 0);
}

static bool
good_zone(const struct cli *cli, const char *zone)
{
	if (one_of(zone, "movable", "kernel", NULL))
		return true;
	cli_usage(cli, "--zone %s: a zone is movable or kernel", zone);
	return false;
}

int
cli_add(struct cli *cli)
{
	/* Memory that comes without a word about its zone is meant to be able to go again. */
	const char *backing = NULL, *memmap = "auto", *zone = "movable";
	bool offline = false;
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 1, 1, { "--backing", &backing, NULL }, { "--memmap", &memmap, NULL },
			 { "--zone", &zone, NULL }, { "--offline", NULL, &offline }) ||
	    !good_zone(cli, zone))
		return CLI_USAGE;
	if (!one_of(memmap, "self", "external", "auto"))
		return cli_usage(cli, "--memmap %s: it must be self, external or auto", memmap);
	mhp__line_begin(&line, "add");
	mhp__line_text(&line, MHP__F_SIZE, cli->argv[0]);
	if (backing != NULL)
		mhp__line_text(&line, MHP__F_BACKING, backing);
	mhp__line_text(&line, MHP__F_MEMMAP, memmap);
	mhp__line_text(&line, MHP__F_ZONE, zone);
	mhp__line_flag(&line, MHP__F_OFFLINE, offline);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_CHANGE(ADD_MS));
	if (answer != NULL && !cli->json) {
		uint64_t first = cli_number(answer, "first"), count = cli_number(answer, "count");
		printf("blocks %llu-%llu\n", (unsigned long long)first,
		       (unsigned long long)(first + count - 1));
	}
	return cli_finish(cli, answer, status);
}

int
cli_online(struct cli *cli)
{
	const char *zone = "movable";
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 1, 1, { "--zone", &zone, NULL }) || !good_zone(cli, zone))
		return CLI_USAGE;
	mhp__line_begin(&line, "online");
	mhp__line_text(&line, MHP__F_BLOCKS, cli->argv[0]);
	mhp__line_text(&line, MHP__F_ZONE, zone);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_CHANGE(ADD_MS));
	return cli_finish(cli, answer, status);
}

/* offline, remove, resize: the request with one field, a deadline, perhaps a rehearsal. */
static struct json_object *
leave(struct cli *cli, enum mhp__field field, bool *ret_dry_run, int *ret_status)
{
	const char *deadline = NULL;
	struct mhp__line line;
	uint32_t deadline_ms;
	*ret_dry_run = false;
	*ret_status = CLI_USAGE;
	if (!CLI_OPTIONS(cli, 1, 1, { "--deadline", &deadline, NULL },
			 { "--dry-run", NULL, ret_dry_run }) ||
	    !cli_deadline(cli, deadline, &deadline_ms))
		return NULL;
	mhp__line_begin(&line, cli->name);
	mhp__line_text(&line, field, cli->argv[0]);
	mhp__line_number(&line, MHP__F_DEADLINE_MS, deadline_ms);
	mhp__line_flag(&line, MHP__F_DRY_RUN, *ret_dry_run);
	return cli_ask(cli, ret_status, &line, CLI_CHANGE(deadline_ms));
}

int
cli_offline(struct cli *cli)
{
	bool dry_run;
	int status;
	struct json_object *answer = leave(cli, MHP__F_BLOCKS, &dry_run, &status);
	if (answer != NULL && dry_run && !cli->json)
		puts("it would work");
	return cli_finish(cli, answer, status);
}

int
cli_remove(struct cli *cli)
{
	return cli_offline(cli);
}

/* Print the result of a rehearsal. */
static void
print_resize(struct json_object *answer)
{
	struct json_object *remove = cli_array(answer, "remove");
	unsigned long long add = cli_number(answer, "add");
	if (add != 0)
		printf("would add %llu block%s\n", add, add != 1 ? "s" : "");
	else if (cli_length(remove) == 0)
		puts("would change nothing");
	for (size_t i = 0; i < cli_length(remove); i++) {
		struct json_object *run = cli_at(remove, i);
		unsigned long long first = cli_number(run, "first");
		unsigned long long count = cli_number(run, "count");
		printf("%s%llu", i == 0 ? "would remove " : ",", first);
		if (count > 1)
			printf("-%llu", first + count - 1);
	}
	if (cli_length(remove) != 0)
		putchar('\n');
}

int
cli_resize(struct cli *cli)
{
	bool dry_run;
	int status;
	struct json_object *answer = leave(cli, MHP__F_SIZE, &dry_run, &status);
	if (answer != NULL && dry_run && !cli->json)
		print_resize(answer);
	return cli_finish(cli, answer, status);
}

int
cli_set(struct cli *cli)
{
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 2, 2, { NULL, NULL, NULL }))
		return CLI_USAGE;
	mhp__line_begin(&line, "set");
	mhp__line_text(&line, MHP__F_ATTR, cli->argv[0]);
	mhp__line_text(&line, MHP__F_VALUE, cli->argv[1]);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_CHANGE(ADD_MS));
	return cli_finish(cli, answer, status);
}
