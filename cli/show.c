/* SPDX-License-Identifier: MIT */
/*
 * show.c - commands that look: ps, list, why, get, check.
 *
 * With --json the answer of the pool is printed as it came. Tables join like blocks into ranges.
 */
#include <stdio.h>
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
	static struct cli_pool pools[256];
	unsigned nr = cli_pools(pools, 256);
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

static bool
alike(struct json_object *a, struct json_object *b)
{
	static const char *const words[] = { "state", "zone", "memmap", "backing" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(cli_string(a, words[i]), cli_string(b, words[i])) != 0)
			return false;
	return cli_number(a, "node") == cli_number(b, "node") &&
	       cli_number(a, "start") + cli_number(a, "size") == cli_number(b, "start");
}

static void
print_range(struct json_object *first, struct json_object *last, uint64_t used)
{
	uint64_t start = cli_number(first, "start");
	uint64_t end = cli_number(last, "start") + cli_number(last, "size");
	char blocks[32];
	if (first == last)
		snprintf(blocks, sizeof(blocks), "%u", (unsigned)cli_number(first, "index"));
	else
		snprintf(blocks, sizeof(blocks), "%u-%u", (unsigned)cli_number(first, "index"),
			 (unsigned)cli_number(last, "index"));
	printf("0x%012llx-0x%012llx %8s  %-8s %-8s %4u  %-12s %-9s %-10s %8s\n",
	       (unsigned long long)start, (unsigned long long)(end - 1), cli_size(end - start),
	       cli_string(first, "state"), cli_string(first, "zone"),
	       (unsigned)cli_number(first, "node"), blocks, cli_string(first, "memmap"),
	       cli_string(first, "backing"), cli_size(used));
}

int
cli_list(struct cli *cli)
{
	int status;
	struct json_object *blocks, *first = NULL, *last = NULL;
	bool all = cli_option(cli, "--all", NULL);
	uint64_t used = 0;
	struct json_object *answer = cli_ask(cli, &status, "list\n");
	if (answer == NULL)
		return status;
	if (cli->json)
		return print_json(answer);
	printf("%-29s %8s  %-8s %-8s %4s  %-12s %-9s %-10s %8s\n", "RANGE", "SIZE", "STATE", "ZONE",
	       "NODE", "BLOCKS", "MEMMAP", "BACKING", "USED");
	json_object_object_get_ex(answer, "blocks", &blocks);
	for (size_t i = 0; i < json_object_array_length(blocks); i++) {
		struct json_object *block = json_object_array_get_idx(blocks, i);
		if (first != NULL && (all || !alike(last, block))) {
			print_range(first, last, used);
			first = NULL;
		}
		if (first == NULL) {
			first = block;
			used = 0;
		}
		used += cli_number(block, "used_bytes");
		last = block;
	}
	if (first != NULL)
		print_range(first, last, used);
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
		const char *what = cli_string(why, "what");
		unsigned block = (unsigned)cli_number(why, "block");
		if (cli_number(why, "code") == 0)
			printf("block %u: nothing keeps it\n", block);
		else
			printf("block %u: %s%s%s\n", block, cli_string(why, "cause"),
			       *what ? ": " : "", what);
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
		if (cli->argc == 0)
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
