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
	unsigned long long at = cli_number(page, "program_address");
	printf("0x%014llx %6llu  %-8s  %s", address, block, state,
	       cli_true(page, "in_use") ? "still in use" : "out of use");
	if (at != 0)
		printf(" at 0x%llx of the program", at);
	putchar('\n');
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

static struct json_object *
order(struct cli *cli, const char *attribute, const char *value, int *ret_status)
{
	struct mhp__line line;
	mhp__line_begin(&line, "set");
	mhp__line_text(&line, MHP__F_ATTR, attribute);
	mhp__line_text(&line, MHP__F_VALUE, value);
	return cli_ask(cli, ret_status, &line, CLI_CHANGE(POISON_MS));
}

int
cli_look_for_poison(struct cli *cli)
{
	int status;
	json_object_put(order(cli, "look_for_poison", "1", &status));
	return status;
}

int
cli_poison(struct cli *cli)
{
	bool forget = false, look = false;
	int status;
	if (!CLI_OPTIONS(cli, 0, 1, { "--forget", NULL, &forget }, { "--look", NULL, &look }))
		return CLI_USAGE;
	if (look && (forget || cli->argc != 0))
		return cli_usage(cli, "--look takes nothing else");
	if (cli->argc == 0 && forget)
		return cli_usage(cli, "--forget needs an address");
	if (cli->argc == 0) {
		status = look ? cli_look_for_poison(cli) : CLI_DONE;
		return status == CLI_DONE ? list(cli) : status;
	}
	struct json_object *answer = order(cli, forget ? "unpoison_page" : "hard_offline_page",
					   cli->argv[0], &status);
	return cli_finish(cli, answer, status);
}
