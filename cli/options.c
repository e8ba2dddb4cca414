/* SPDX-License-Identifier: MIT */
/*
 * options.c - the options and arguments of a command, taken out of its words.
 *
 * An option is known or refused by its name; nothing that looks like one is ever taken for an
 * argument. Options stand anywhere before --; their values are the next word or follow a =. An
 * empty word, as of a variable of the shell that is not set, is none of what a command takes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

int
cli_usage(const struct cli *cli, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cli_say("%s: %s", cli->name, cli_clean(text));
	fprintf(stderr, "usage: memplug %s\n", cli_help_usage(cli->name));
	return CLI_USAGE;
}

/* Is this word that option? *ret_value: what follows a =, or NULL. */
static bool
is_option(const char *word, const char *name, const char **ret_value)
{
	size_t length = strlen(name);
	*ret_value = NULL;
	if (strncmp(word, name, length) != 0)
		return false;
	if (word[length] == '=' && name[1] == '-')
		*ret_value = word + length + 1;
	return word[length] == 0 || *ret_value != NULL;
}

/* Take the option at word i; how many words that were, or 0 and it was said what is wrong. */
static int
take_option(struct cli *cli, int i, const struct cli_option *option, const char *value)
{
	bool inside = value != NULL;
	if (option->value == NULL && inside) {
		cli_usage(cli, "%s has no value", option->name);
		return 0;
	}
	if (option->value != NULL && !inside) {
		if (i + 1 == cli->argc) {
			cli_usage(cli, "%s needs a value", option->name);
			return 0;
		}
		value = cli->argv[i + 1];
	}
	if (option->value != NULL && *value == 0) {
		cli_usage(cli, "%s has an empty word ('') for a value", option->name);
		return 0;
	}
	if (option->value != NULL)
		*option->value = value;
	if (option->flag != NULL)
		*option->flag = true;
	return option->value != NULL && !inside ? 2 : 1;
}

static const struct cli_option *
find_option(const char *word, const struct cli_option *options, unsigned nr_options,
	    const char **ret_value)
{
	for (unsigned i = 0; i < nr_options; i++)
		if (options[i].name != NULL && is_option(word, options[i].name, ret_value))
			return &options[i];
	return NULL;
}

/* Take all options out of the words; what is left are the arguments. */
static bool
take_options(struct cli *cli, const struct cli_option *options, unsigned nr_options)
{
	const struct cli_option common[] = { { "--json", NULL, &cli->json },
					     { "-p", &cli->pool, NULL } };
	int nr = 0, i = 0;
	for (int taken; i < cli->argc; i += taken) {
		const char *word = cli->argv[i], *value;
		taken = 1;
		if (strcmp(word, "--") == 0) {
			i++;
			break;
		}
		if (word[0] != '-' || word[1] == 0) {
			cli->argv[nr++] = cli->argv[i];
			continue;
		}
		const struct cli_option *option = find_option(word, options, nr_options, &value);
		if (option == NULL)
			option = find_option(word, common, 2, &value);
		if (option == NULL) {
			cli_usage(cli, "there is no option %s", word);
			return false;
		}
		taken = take_option(cli, i, option, value);
		if (taken == 0)
			return false;
	}
	while (i < cli->argc)
		cli->argv[nr++] = cli->argv[i++];
	cli->argc = nr;
	return true;
}

static bool
check_arguments(const struct cli *cli, int least, int most)
{
	for (int i = 0; i < cli->argc; i++) {
		if (cli->argv[i][0] != 0)
			continue;
		cli_usage(cli, "word %d is empty ('')", i + 1);
		return false;
	}
	if (cli->argc >= least && cli->argc <= most)
		return true;
	if (cli->argc < least)
		cli_usage(cli, "an argument is missing");
	else
		cli_usage(cli, "'%s' is one word too many", cli->argv[most]);
	return false;
}

bool
cli_options(struct cli *cli, const struct cli_option *options, unsigned nr_options, int least,
	    int most)
{
	return take_options(cli, options, nr_options) && check_arguments(cli, least, most);
}

bool
cli_deadline(const struct cli *cli, const char *words, uint32_t *ret_ms)
{
	*ret_ms = 30000;
	if (words == NULL || mhp_seconds_parse(words, ret_ms) == 0)
		return true;
	cli_usage(cli, "--deadline %s: a deadline is a number of seconds, like 30 or 0.5", words);
	return false;
}
