/* SPDX-License-Identifier: MIT */
/*
 * memplug.c - the memplug command: options, and which function a command is.
 *
 * Options before the command are the command's own; what follows belongs to it. For run, whatever
 * follows PROGRAM belongs to the program, --json included.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* Those with a help, and the ones before them without, are one line of the overview, which fits a
 * terminal of 24 lines. */
static const struct {
	const char *name;
	int (*fn)(struct cli *cli);
	const char *help;
} commands[] = {
	{ "run", cli_run, "start a program on memory that can grow and shrink" },
	{ "ps", cli_ps, NULL },
	{ "status", cli_status, "the pools that run; is all well with one?" },
	{ "list", cli_list, NULL },
	{ "map", cli_map, NULL },
	{ "top", cli_top, "the memory of a pool: as text, as a picture, live" },
	{ "add", cli_add, NULL },
	{ "remove", cli_remove, "plug memory in; take blocks out" },
	{ "online", cli_online, NULL },
	{ "offline", cli_offline, "put blocks into use; take them out of use" },
	{ "resize", cli_resize, "add or remove blocks until the pool has a size" },
	{ "why", cli_why, "what keeps blocks from leaving" },
	{ "nodes", cli_nodes, NULL },
	{ "move", cli_move, NULL },
	{ "evacuate", cli_evacuate, "RAM and devices of a pool; move pages to one; empty one" },
	{ "watch", cli_watch, "take devices in as they appear, and give them back" },
	{ "get", cli_get, NULL },
	{ "set", cli_set, "read an attribute, or all; change one" },
	{ "poison", cli_poison, "pages with memory errors: list, take out of use, forget" },
	{ "mount", cli_mount, "the pool as files like the kernel's, for lsmem, chmem" },
	{ "check", cli_check, "run the verifier in the live process" },
	{ "monitor", cli_monitor, NULL },
	{ "metrics", cli_metrics, "events as they happen; counters as OpenMetrics text" },
	{ "sim", cli_sim, NULL },
	{ "replay", cli_replay, "rehearse on simulated memory; run a recording again" },
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))
#define NAMES_WIDTH 23

static int
help(FILE *to, int status)
{
	int width = 0;
	fprintf(to, "usage: memplug [-p PID|NAME] [--json] COMMAND ...\n\n");
	for (size_t i = 0; i < NR_COMMANDS; i++) {
		width += fprintf(to, "%s%s", width == 0 ? "  " : ", ", commands[i].name);
		if (commands[i].help == NULL)
			continue;
		fprintf(to, "%*s%s\n", NAMES_WIDTH + 2 - width, "", commands[i].help);
		width = 0;
	}
	fprintf(to, "\nmemplug help COMMAND says more; there the default of an option follows a\n"
		    "semicolon. Exit status: 0 done, 1 refused or failed, 2 usage, 3 no such\n"
		    "pool.\n");
	return status;
}

/* memplug help [COMMAND] */
static int
help_about(const char *name)
{
	if (name == NULL)
		return help(stdout, CLI_DONE);
	if (cli_help(name))
		return CLI_DONE;
	cli_say("'%s' is no command; memplug help lists them", name);
	return CLI_USAGE;
}

static bool
wants_help(const struct cli *cli, const char *name)
{
	if (strcmp(name, "run") == 0) /* what follows the program is the program's */
		return cli->argc > 0 && strcmp(cli->argv[0], "--help") == 0;
	for (int i = 0; i < cli->argc && strcmp(cli->argv[i], "--") != 0; i++)
		if (strcmp(cli->argv[i], "--help") == 0)
			return true;
	return false;
}

/* The output must have arrived: a listing on a full disk is no listing. */
static int
close_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	cli_say("cannot write: %s", strerror(errno));
	return status != CLI_DONE ? status : CLI_REFUSED;
}

static int
carry_out(struct cli *cli)
{
	if (strcmp(cli->name, "help") == 0)
		return help_about(cli->argc > 0 ? cli->argv[0] : NULL);
	if (wants_help(cli, cli->name))
		return help_about(cli->name);
	for (size_t k = 0; k < NR_COMMANDS; k++)
		if (strcmp(commands[k].name, cli->name) == 0)
			return commands[k].fn(cli);
	return help_about(cli->name);
}

int
main(int argc, char **argv)
{
	struct cli cli = { 0 };
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0)
			cli.json = true;
		else if (strcmp(argv[i], "-p") == 0 && i + 1 < argc)
			cli.pool = argv[++i];
		else if (strcmp(argv[i], "--version") == 0)
			return close_output(puts("memplug " MEMPLUG_VERSION) >= 0 ? CLI_DONE
										  : CLI_REFUSED);
		else if (strcmp(argv[i], "--help") == 0)
			return close_output(help(stdout, CLI_DONE));
		else
			return help(stderr, CLI_USAGE);
	}
	if (i == argc)
		return help(stderr, CLI_USAGE);
	cli.name = argv[i];
	cli.argc = argc - i - 1;
	cli.argv = argv + i + 1;
	return close_output(carry_out(&cli));
}
