/* SPDX-License-Identifier: MIT */
/*
 * show.c - commands that look: ps, list, why, get, check.
 *
 * With --json the answer of the pool is printed as it came.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int
print_json(struct json_object *answer)
{
	puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_ps(struct cli *cli)
{
	static struct mhp__peer pools[256];
	unsigned nr = mhp__peers(pools, 256);
	struct json_object *all = json_object_new_array();
	for (unsigned i = 0; i < nr; i++) {
		struct json_object *info = cli_ask_pool(&pools[i], "info\n");
		if (info != NULL && !json_object_object_get_ex(info, "error", NULL))
			json_object_array_add(all, info);
		else if (info != NULL)
			json_object_put(info);
	}
	if (cli->json) {
		struct json_object *answer = json_object_new_object();
		json_object_object_add(answer, "pools", all);
		return print_json(answer);
	}
	printf("%8s  %-16s %8s %8s %8s %8s\n", "PID", "NAME", "BLOCKS", "SIZE", "USED", "MAX");
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *info = json_object_array_get_idx(all, i);
		uint64_t blocks = cli_number(info, "blocks");
		printf("%8d  %-16s %8u %8s %8s %8s\n", (int)cli_number(info, "pid"),
		       cli_string(info, "name"), (unsigned)blocks,
		       cli_size(blocks * cli_number(info, "block_size_bytes")),
		       cli_size(cli_number(info, "committed_bytes")),
		       cli_size(cli_number(info, "max_bytes")));
	}
	json_object_put(all);
	return CLI_DONE;
}

/* As it came, unread: it may have half a million blocks. */
static int
print_answer(const struct cli *cli, const char *line)
{
	int status;
	char *text = cli_ask_text(cli, &status, line);
	if (text != NULL)
		fputs(text, stdout);
	free(text);
	return status;
}

/* What begins at block `first`, of a listing of blocks or of ranges: the members are the same. */
static void
print_range(struct json_object *range, unsigned first, unsigned count)
{
	uint64_t start = cli_number(range, "start"), size = cli_number(range, "size");
	char blocks[32];
	if (count == 1)
		snprintf(blocks, sizeof(blocks), "%u", first);
	else
		snprintf(blocks, sizeof(blocks), "%u-%u", first, first + count - 1);
	printf("0x%012llx-0x%012llx %8s  %-8s %-8s %4u  %-14s %-9s %-10s %8s\n",
	       (unsigned long long)start, (unsigned long long)(start + size - 1), cli_size(size),
	       cli_string(range, "state"), cli_string(range, "zone"),
	       (unsigned)cli_number(range, "node"), blocks, cli_string(range, "memmap"),
	       cli_string(range, "backing"), cli_size(cli_number(range, "used_bytes")));
}

int
cli_list(struct cli *cli)
{
	int status;
	struct json_object *ranges;
	bool all = cli_option(cli, "--all", NULL);
	if (cli->argc != 0)
		return cli_usage("list [--all] [--json]");
	if (cli->json)
		return print_answer(cli, "list\n");
	struct json_object *answer = cli_ask(cli, &status, all ? "list\n" : "ranges\n");
	if (answer == NULL)
		return status;
	printf("%-29s %8s  %-8s %-8s %4s  %-14s %-9s %-10s %8s\n", "RANGE", "SIZE", "STATE", "ZONE",
	       "NODE", "BLOCKS", "MEMMAP", "BACKING", "USED");
	json_object_object_get_ex(answer, all ? "blocks" : "ranges", &ranges);
	for (size_t i = 0; i < json_object_array_length(ranges); i++) {
		struct json_object *range = json_object_array_get_idx(ranges, i);
		if (all)
			print_range(range, (unsigned)cli_number(range, "index"), 1);
		else
			print_range(range, (unsigned)cli_number(range, "first"),
				    (unsigned)cli_number(range, "count"));
	}
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_why(struct cli *cli)
{
	int status;
	struct json_object *blocks;
	if (cli->argc != 1)
		return cli_usage("why BLOCKS");
	struct json_object *answer = cli_ask(cli, &status, "why %s\n", cli->argv[0]);
	if (answer == NULL)
		return status;
	if (cli->json)
		return print_json(answer);
	json_object_object_get_ex(answer, "blocks", &blocks);
	for (size_t i = 0; i < json_object_array_length(blocks); i++) {
		struct json_object *why = json_object_array_get_idx(blocks, i);
		printf("block %u: %s\n", (unsigned)cli_number(why, "block"),
		       cli_string(why, "text"));
	}
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_get(struct cli *cli)
{
	int status;
	if (cli->argc > 1)
		return cli_usage("get [ATTR]");
	const char *name_asked = cli->argc != 0 ? cli->argv[0] : "-";
	struct json_object *answer = cli_ask(cli, &status, "get %s\n", name_asked);
	if (answer == NULL)
		return status;
	if (cli->json)
		return print_json(answer);
	json_object_object_foreach(answer, name, value) {
		if (json_object_object_length(answer) > 1)
			printf("%s=", name);
		puts(json_object_get_string(value));
	}
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_check(struct cli *cli)
{
	int status;
	struct json_object *findings;
	struct json_object *answer = cli_ask(cli, &status, "check\n");
	if (answer == NULL)
		return status;
	status = cli_number(answer, "count") == 0 ? CLI_DONE : CLI_REFUSED;
	if (cli->json) {
		print_json(answer);
		return status;
	}
	json_object_object_get_ex(answer, "findings", &findings);
	for (size_t i = 0; i < json_object_array_length(findings); i++) {
		struct json_object *one = json_object_array_get_idx(findings, i);
		fprintf(stderr, "memplug: invariant %u: %s at %llu: %llu, not %llu\n",
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
