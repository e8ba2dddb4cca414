/* SPDX-License-Identifier: MIT */
/*
 * poison.c - memplug poison: pages with memory errors, and orders about one of them.
 *
 * An order is an attribute of the pool; which pages are known is a request of its own.
 */
#include <stdio.h>

#include "cli.h"

#define POISON_MS 60000U               /* the data of a page moves away first */

static void
print_page(struct json_object *page)
{
	unsigned long long address = cli_number(page, "address"), block = cli_number(page, "block");
	const char *state = cli_string(page, "state");
	printf("0x%014llx %6llu  %-8s  %s\n", address, block, state,
	       cli_true(page, "in_use") ? "still in use" : "out of use");
}

static int
list(struct cli *cli)
{
	struct mhp__line line;
	int status;
	mhp__line_begin(&line, "poison");
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_LOOK);
	if (answer == NULL)
		return status;
	if (cli->json)
		return cli_print_json(answer);
	struct json_object *pages = cli_array(answer, "pages");
	if (cli_length(pages) != 0)
		puts("ADDRESS           BLOCK  STATE     PAGE");
	for (size_t i = 0; i < cli_length(pages); i++)
		print_page(cli_at(pages, i));
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_poison(struct cli *cli)
{
	struct mhp__line line;
	bool forget = false;
	int status;
	if (!CLI_OPTIONS(cli, 0, 1, { "--forget", NULL, &forget }))
		return CLI_USAGE;
	if (cli->argc == 0)
		return forget ? cli_usage(cli, "--forget needs an address") : list(cli);
	mhp__line_begin(&line, "set");
	mhp__line_text(&line, MHP__F_ATTR, forget ? "unpoison_page" : "hard_offline_page");
	mhp__line_text(&line, MHP__F_VALUE, cli->argv[0]);
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_CHANGE(POISON_MS));
	if (answer == NULL)
		return status;
	if (cli->json)
		return cli_print_json(answer);
	json_object_put(answer);
	return CLI_DONE;
}
