/* SPDX-License-Identifier: MIT */
/*
 * client.c - choose a pool by the options of the command, ask it, and read its JSON.
 *
 * How to talk to a pool is control/client.c's business; what is wrong is printed here. How
 * to wait is progress.c's.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define POOLS_MAX 256U

/* The text of an answer, which the caller frees; NULL when the pool is gone. */
static char *
ask_text(const struct mhp__peer *pool, const char *line)
{
	char *text = NULL;
	size_t used = 0;
	int fd = mhp__connect(pool->path);

	if (fd < 0)
		return NULL;
	int err = mhp__send_line(fd, line);
	if (err == 0)
		err = cli_await(pool->path, fd, &text, &used);
	close(fd);
	if (err == 0)
		return text;
	free(text);
	return NULL;
}

struct json_object *
cli_ask_pool(const struct mhp__peer *pool, const char *line)
{
	char *text = ask_text(pool, line);
	struct json_object *answer = text != NULL ? json_tokener_parse(text) : NULL;
	free(text);
	return answer;
}

bool
cli_choose(const struct cli *cli, struct mhp__peer *ret_pool)
{
	static struct mhp__peer pools[POOLS_MAX];
	unsigned nr = mhp__peers(pools, POOLS_MAX), found = 0;
	for (unsigned i = 0; i < nr; i++) {
		char number[16];
		snprintf(number, sizeof(number), "%d", pools[i].pid);
		if (cli->pool != NULL && strcmp(cli->pool, number) != 0 &&
		    strcmp(cli->pool, pools[i].name) != 0)
			continue;
		*ret_pool = pools[i];
		found++;
	}
	if (found == 1)
		return true;
	if (found == 0 && cli->pool != NULL)
		fprintf(stderr, "memplug: no pool '%s' runs; see memplug ps\n", cli->pool);
	else if (found == 0)
		fprintf(stderr, "memplug: no pool runs; start a program with memplug run\n");
	else
		fprintf(stderr, "memplug: %u pools run; say which one with -p (see memplug ps)\n",
			found);
	return false;
}

/* Say what a refusal says. */
static void
print_refusal(const char *text)
{
	struct json_object *answer = json_tokener_parse(text);
	fprintf(stderr, "memplug: %s\n", answer != NULL ? cli_string(answer, "text") : text);
	json_object_put(answer);
}

char *
cli_ask_text(const struct cli *cli, int *ret_status, const char *line)
{
	static const char refused[] = "{\"error\":";
	struct mhp__peer pool;

	*ret_status = CLI_NO_POOL;
	if (!cli_choose(cli, &pool))
		return NULL;
	*ret_status = CLI_REFUSED;
	char *text = ask_text(&pool, line);
	if (text == NULL) {
		fprintf(stderr, "memplug: the program ended before it answered\n");
		return NULL;
	}
	if (strncmp(text, refused, sizeof(refused) - 1) == 0) {
		print_refusal(text);
		free(text);
		return NULL;
	}
	*ret_status = CLI_DONE;
	return text;
}

struct json_object *
cli_ask(const struct cli *cli, int *ret_status, const char *format, ...)
{
	char line[MHP_PROTOCOL_LINE_MAX];
	va_list args;

	va_start(args, format);
	int length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	*ret_status = CLI_USAGE;
	if (length >= (int)sizeof(line)) {
		fprintf(stderr, "memplug: the words are too long\n");
		return NULL;
	}
	char *text = cli_ask_text(cli, ret_status, line);
	if (text == NULL)
		return NULL;
	struct json_object *answer = json_tokener_parse(text);
	free(text);
	if (answer == NULL) {
		fprintf(stderr, "memplug: the program ended in the middle of its answer\n");
		*ret_status = CLI_REFUSED;
	}
	return answer;
}
