/* SPDX-License-Identifier: MIT */
/*
 * memplug.c - the memplug command: options, and which function a command is.
 *
 * Options before the command are the command's own; what follows belongs to it. For run, whatever
 * follows PROGRAM belongs to the program, --json included.
 */
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
	{ "list", cli_list, "the memory of a pool" },
	{ "add", cli_add, "plug memory in" },
	{ "online", cli_online, "put blocks into use" },
	{ "offline", cli_offline, "take blocks out of use" },
	{ "remove", cli_remove, "take blocks out and give their memory back" },
	{ "resize", cli_resize, "add or remove blocks until the pool has a size" },
	{ "why", cli_why, "what keeps blocks from leaving" },
	{ "get", cli_get, "read an attribute, or all" },
	{ "set", cli_set, "change an attribute" },
	{ "check", cli_check, "run the verifier in the live process" },
};

static int
help(FILE *to, int status)
{
	fprintf(to, "usage: memplug [-p PID|NAME] [--json] COMMAND ...\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	return status;
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
		else
			return help(strcmp(argv[i], "--help") == 0 ? stdout : stderr,
				    strcmp(argv[i], "--help") == 0 ? CLI_DONE : CLI_USAGE);
	}
	if (i == argc)
		return help(stderr, CLI_USAGE);
	const char *name = argv[i];
	cli.argc = argc - i - 1;
	cli.argv = argv + i + 1;
	if (strcmp(name, "run") != 0) {
		cli.json |= cli_option(&cli, "--json", NULL);
		cli_option(&cli, "-p", &cli.pool);
	}
	for (size_t k = 0; k < sizeof(commands) / sizeof(commands[0]); k++)
		if (strcmp(commands[k].name, name) == 0)
			return commands[k].fn(&cli);
	return help(stderr, CLI_USAGE);
}
