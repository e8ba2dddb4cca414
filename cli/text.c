/* SPDX-License-Identifier: MIT */
/*
 * text.c - sizes for people, members of answers, options among words.
 *
 * Missing members read as 0 or "", so that an older server does no harm.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

const char *
cli_size(uint64_t bytes)
{
	static char buffers[8][24];
	static unsigned next;
	static const char units[] = "BKMGTP";
	char *text = buffers[next++ % 8];
	unsigned unit = 0;
	double value = (double)bytes;
	while (value >= 1024 && unit < 5) {
		value /= 1024;
		unit++;
	}
	bool whole = (double)(uint64_t)value >= value || value >= 100;
	snprintf(text, sizeof(buffers[0]), whole ? "%.0f%c" : "%.1f%c", value, units[unit]);
	return text;
}

uint64_t
cli_number(struct json_object *object, const char *name)
{
	struct json_object *member;
	return json_object_object_get_ex(object, name, &member)
		? (uint64_t)json_object_get_int64(member) : 0;
}

const char *
cli_string(struct json_object *object, const char *name)
{
	struct json_object *member;
	bool there = json_object_object_get_ex(object, name, &member);
	return there ? json_object_get_string(member) : "";
}

int
cli_usage(const char *text)
{
	fprintf(stderr, "usage: memplug %s\n", text);
	return CLI_USAGE;
}

bool
cli_option(struct cli *cli, const char *name, const char **value)
{
	int words = value != NULL ? 2 : 1;
	for (int i = 0; i + words <= cli->argc; i++) {
		if (strcmp(cli->argv[i], name) != 0)
			continue;
		if (value != NULL)
			*value = cli->argv[i + 1];
		for (int k = i; k + words < cli->argc; k++)
			cli->argv[k] = cli->argv[k + words];
		cli->argc -= words;
		return true;
	}
	return false;
}
