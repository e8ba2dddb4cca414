/* SPDX-License-Identifier: MIT */
/*
 * show.c - commands that look at a pool: list, why, get, check.
 *
 * With --json the answer of the pool is printed as it came, but for what a terminal would obey.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define LIST_COLUMNS 108              /* of a line of list with addresses */

/* As it came, unread: it may have half a million blocks. */
static int
print_answer(const struct cli *cli, struct mhp__line *line)
{
	int status;
	char *text = cli_ask_text(cli, &status, line, CLI_LOOK);
	if (text == NULL)
		return status;
	text[strcspn(text, "\n")] = 0;
	puts(cli_clean(text));
	free(text);
	return status;
}

/* Is this a terminal without room for addresses? They are the one column that others imply. */
static bool
is_narrow(void)
{
	unsigned columns = cli_columns(stdout);
	return columns != 0 && columns < LIST_COLUMNS;
}

/* Print the entry that begins at block `first`, of a listing of blocks or of ranges: the members
 * are the same. */
static void
print_range(struct json_object *range, unsigned first, unsigned count, bool narrow)
{
	uint64_t start = cli_number(range, "start"), size = cli_number(range, "size");
	char blocks[32];
	if (count == 1)
		snprintf(blocks, sizeof(blocks), "%u", first);
	else
		snprintf(blocks, sizeof(blocks), "%u-%u", first, first + count - 1);
	if (!narrow)
		printf("0x%012llx-0x%012llx ", (unsigned long long)start,
		       (unsigned long long)(start + size - 1));
	printf("%8s  %-8s %-8s %4u  %-14s %-9s %-10s %8s\n", cli_size(size),
	       cli_string(range, "state"), cli_string(range, "zone"),
	       (unsigned)cli_number(range, "node"), blocks, cli_string(range, "memmap"),
	       cli_string(range, "backing"), cli_size(cli_number(range, "used_bytes")));
}

static void
print_outside(struct json_object *outside)
{
	printf("\n%8s %8s  %s\n", "SIZE", "RESIDENT", "OUTSIDE OF THE POOL");
	for (size_t i = 0; i < cli_length(outside); i++) {
		struct json_object *one = cli_at(outside, i);
		printf("%8s %8s  %s\n", cli_size(cli_number(one, "size_bytes")),
		       cli_size(cli_number(one, "resident_bytes")), cli_string(one, "why"));
	}
}

int
cli_list(struct cli *cli)
{
	bool all = false;
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 0, 0, { "--all", NULL, &all }))
		return CLI_USAGE;
	mhp__line_begin(&line, cli->json || all ? "list" : "ranges");
	mhp__line_flag(&line, MHP__F_ALL, all);
	if (cli->json)
		return print_answer(cli, &line);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_LOOK);
	if (answer == NULL)
		return status;
	bool narrow = is_narrow();
	if (!narrow)
		printf("%-29s ", "RANGE");
	printf("%8s  %-8s %-8s %4s  %-14s %-9s %-10s %8s\n", "SIZE", "STATE", "ZONE", "NODE",
	       "BLOCKS", "MEMMAP", "BACKING", "USED");
	struct json_object *ranges = cli_array(answer, all ? "blocks" : "ranges");
	for (size_t i = 0; i < cli_length(ranges); i++) {
		struct json_object *range = cli_at(ranges, i);
		if (all)
			print_range(range, (unsigned)cli_number(range, "index"), 1, narrow);
		else
			print_range(range, (unsigned)cli_number(range, "first"),
				    (unsigned)cli_number(range, "count"), narrow);
	}
	if (all)
		print_outside(cli_array(answer, "outside"));
	json_object_put(answer);
	return CLI_DONE;
}

/* "0 3-5" and "0,3-5" are one list. */
static void
put_blocks(struct mhp__line *line, const struct cli *cli)
{
	char list[MHP_PROTOCOL_LINE_MAX];
	size_t used = 0;
	for (int i = 0; i < cli->argc && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
					 i == 0 ? "" : ",", cli->argv[i]);
	mhp__line_text(line, MHP__F_BLOCKS, list);
}

static void
print_why(struct json_object *why, bool alone)
{
	char text[CLI_SENTENCE], which[32] = "together";
	if (alone)
		snprintf(which, sizeof(which), "block %u", (unsigned)cli_number(why, "block"));
	snprintf(text, sizeof(text), "%s: %s", which, cli_string(why, "text"));
	cli_sentence(stdout, text);
}

int
cli_why(struct cli *cli)
{
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 1, 4096, { NULL, NULL, NULL }))
		return CLI_USAGE;
	mhp__line_begin(&line, "why");
	put_blocks(&line, cli);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_LONG);
	if (answer == NULL)
		return status;
	if (cli->json)
		return cli_print_json(answer);
	struct json_object *blocks = cli_array(answer, "blocks");
	for (size_t i = 0; i < cli_length(blocks); i++)
		print_why(cli_at(blocks, i), true);
	if (cli_length(blocks) > 1)
		print_why(cli_member(answer, "together"), false);
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_get(struct cli *cli)
{
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 0, 1, { NULL, NULL, NULL }))
		return CLI_USAGE;
	mhp__line_begin(&line, "get");
	if (cli->argc != 0)
		mhp__line_text(&line, MHP__F_ATTR, cli->argv[0]);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_LOOK);
	if (answer == NULL)
		return status;
	if (cli->json)
		return cli_print_json(answer);
	json_object_object_foreach(answer, name, value) {
		(void)value;
		if (json_object_object_length(answer) > 1)
			printf("%s=", name);
		puts(cli_string(answer, name));
	}
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_check(struct cli *cli)
{
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 0, 0, { NULL, NULL, NULL }))
		return CLI_USAGE;
	mhp__line_begin(&line, "check");
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_LONG);
	if (answer == NULL)
		return status;
	status = cli_number(answer, "count") == 0 ? CLI_DONE : CLI_REFUSED;
	if (cli->json) {
		cli_print_json(answer);
		return status;
	}
	struct json_object *findings = cli_array(answer, "findings");
	for (size_t i = 0; i < cli_length(findings); i++) {
		struct json_object *one = cli_at(findings, i);
		cli_say("invariant %u: %s at %llu: %llu, not %llu",
			(unsigned)cli_number(one, "invariant"), cli_string(one, "what"),
			(unsigned long long)cli_number(one, "where"),
			(unsigned long long)cli_number(one, "have"),
			(unsigned long long)cli_number(one, "want"));
	}
	if (status == CLI_DONE)
		puts("every invariant holds");
	json_object_put(answer);
	return status;
}
