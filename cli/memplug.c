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

static const struct {
	const char *name;
	int (*fn)(struct cli *cli);
	const char *help;
} commands[] = {
	{ "run", cli_run, "start a program on memory that can grow and shrink" },
	{ "ps", cli_ps, "the pools that run" },
	{ "status", cli_status, "is all well with a pool?" },
	{ "list", cli_list, "the memory of a pool" },
	{ "map", cli_map, "a picture of all blocks" },
	{ "top", cli_top, "a live picture" },
	{ "add", cli_add, "plug memory in" },
	{ "online", cli_online, "put blocks into use" },
	{ "offline", cli_offline, "take blocks out of use" },
	{ "remove", cli_remove, "take blocks out and give their memory back" },
	{ "resize", cli_resize, "add or remove blocks until the pool has a size" },
	{ "nodes", cli_nodes, "the nodes of a pool: RAM and devices" },
	{ "move", cli_move, "move the pages of blocks to a node" },
	{ "evacuate", cli_evacuate, "empty a node and give its memory back" },
	{ "watch", cli_watch, "take devices in as they appear, and give them back when asked" },
	{ "why", cli_why, "what keeps blocks from leaving" },
	{ "get", cli_get, "read an attribute, or all" },
	{ "set", cli_set, "change an attribute" },
	{ "poison", cli_poison, "pages with memory errors: list, take out of use, forget" },
	{ "mount", cli_mount, "the pool as a tree like the kernel's, for lsmem and chmem" },
	{ "check", cli_check, "run the verifier in the live process" },
	{ "monitor", cli_monitor, "events as they happen" },
	{ "metrics", cli_metrics, "counters, gauges and histograms as OpenMetrics text" },
	{ "sim", cli_sim, "rehearse on simulated memory, at any scale" },
	{ "replay", cli_replay, "run a recording of monitor --json again, and compare" },
};

static int
help(FILE *to, int status)
{
	fprintf(to, "usage: memplug [-p PID|NAME] [--json] COMMAND ...\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(to, "\nmemplug help COMMAND says more. Exit status: 0 done, 1 refused or failed,\n"
		    "2 usage, 3 no such pool.\n");
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
	fprintf(stderr, "memplug: '%s' is no command; memplug help lists them\n", name);
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

/* What was printed must have arrived: a listing on a full disk is no listing. */
static int
close_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "memplug: cannot write: %s\n", strerror(errno));
	return status != CLI_DONE ? status : CLI_REFUSED;
}

static int
carry_out(struct cli *cli)
{
	if (strcmp(cli->name, "help") == 0)
		return help_about(cli->argc > 0 ? cli->argv[0] : NULL);
	if (wants_help(cli, cli->name))
		return help_about(cli->name);
	for (size_t k = 0; k < sizeof(commands) / sizeof(commands[0]); k++)
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
