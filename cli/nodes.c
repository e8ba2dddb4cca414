/* SPDX-License-Identifier: MIT */
/*
 * nodes.c - commands about the nodes of a pool: nodes, move, evacuate.
 *
 * Silent when done, but for how much has moved; a rehearsal says how much there is to move.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

static void
print_node(struct json_object *node)
{
	printf("%4u %-6s %4u %6u %8s %8s %8s %8s %8s  %s\n",
	       (unsigned)cli_number(node, "node"),
	       cli_string(node, "kind"), (unsigned)cli_number(node, "rank"),
	       (unsigned)cli_number(node, "blocks"), cli_size(cli_number(node, "size_bytes")),
	       cli_size(cli_number(node, "used_bytes")), cli_size(cli_number(node, "free_bytes")),
	       cli_size(cli_number(node, "hot_bytes")), cli_size(cli_number(node, "cold_bytes")),
	       cli_string(node, "place"));
}

int
cli_nodes(struct cli *cli)
{
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 0, 0, { NULL, NULL, NULL }))
		return CLI_USAGE;
	mhp__line_begin(&line, "nodes");
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_LOOK);
	if (answer == NULL)
		return status;
	if (cli->json)
		return cli_print_json(answer);
	printf("%4s %-6s %4s %6s %8s %8s %8s %8s %8s  %s\n", "NODE", "KIND", "RANK",
	       "BLOCKS", "SIZE", "USED", "FREE", "HOT", "COLD", "PLACE");
	struct json_object *nodes = cli_array(answer, "nodes");
	for (size_t i = 0; i < cli_length(nodes); i++)
		print_node(cli_at(nodes, i));
	printf("placement: %s, tiering: %s\n", cli_string(answer, "placement"),
	       cli_string(answer, "tiering"));
	json_object_put(answer);
	return CLI_DONE;
}

static bool
put_node(const struct cli *cli, struct mhp__line *line, enum mhp__field field, const char *words)
{
	char *end;
	errno = 0;
	unsigned long node = strtoul(words, &end, 10);
	if (end == words || *end != 0 || errno != 0 || *words < '0' || *words > '9') {
		cli_usage(cli, "'%s' is no node: memplug nodes lists them", words);
		return false;
	}
	mhp__line_number(line, field, node);
	return true;
}

static void
print_outcome(struct json_object *answer, bool dry_run)
{
	if (!dry_run) {
		printf("moved %s\n", cli_size(cli_number(answer, "moved_bytes")));
		return;
	}
	uint64_t ms = cli_number(answer, "estimated_ms");
	printf("would move %s", cli_size(cli_number(answer, "bytes")));
	if (ms != 0)
		printf(" in about %s%s", cli_duration(ms * 1000000),
		       cli_true(answer, "measured") ? "" : " (a guess: nothing was copied yet)");
	putchar('\n');
}

/* move and evacuate: the first word is blocks or a node. */
static int
carry_out(struct cli *cli, bool whole_node)
{
	const char *deadline = NULL, *to = NULL;
	struct mhp__line line;
	bool dry_run = false;
	uint32_t deadline_ms;
	int status;
	if (!CLI_OPTIONS(cli, 1, 1, { "--deadline", &deadline, NULL }, { "--to", &to, NULL },
			 { "--dry-run", NULL, &dry_run }) ||
	    !cli_deadline(cli, deadline, &deadline_ms))
		return CLI_USAGE;
	if (to == NULL && !whole_node)
		return cli_usage(cli, "--to NODE is missing: where shall the pages go?");
	mhp__line_begin(&line, cli->name);
	if (!whole_node)
		mhp__line_text(&line, MHP__F_BLOCKS, cli->argv[0]);
	else if (!put_node(cli, &line, MHP__F_NODE, cli->argv[0]))
		return CLI_USAGE;
	if (to != NULL && !put_node(cli, &line, MHP__F_TO, to))
		return CLI_USAGE;
	mhp__line_number(&line, MHP__F_DEADLINE_MS, deadline_ms);
	mhp__line_flag(&line, MHP__F_DRY_RUN, dry_run);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_CHANGE(deadline_ms));
	if (answer == NULL)
		return status;
	if (cli->json)
		return cli_print_json(answer);
	print_outcome(answer, dry_run);
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_move(struct cli *cli)
{
	return carry_out(cli, false);
}

int
cli_evacuate(struct cli *cli)
{
	return carry_out(cli, true);
}
