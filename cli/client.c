/* SPDX-License-Identifier: MIT */
/*
 * client.c - choose a pool by the options of the command, and ask it.
 *
 * How to talk to a pool is control/client.c's business; what is wrong is printed here. How to wait
 * is progress.c's, how to read an answer answer.c's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static bool is_blind;                  /* there may be others; that was said, and explains all */

unsigned
cli_pools(struct mhp__peer **ret_pools)
{
	static struct mhp__peer pools[CLI_POOLS_MAX];
	struct mhp__unseen unseen;
	unsigned nr = mhp__peers(pools, CLI_POOLS_MAX, &unseen);
	is_blind = unseen.distrusted != NULL || unseen.error != 0;
	if (unseen.distrusted != NULL)
		cli_say("%s is not trusted: it is not a folder that only this "
			"user can write to", unseen.distrusted);
	else if (unseen.error != 0)
		cli_say("cannot look for all pools: %s", strerror(unseen.error));
	for (unsigned i = 0; i < nr; i++)
		cli_clean(pools[i].name);
	*ret_pools = pools;
	return nr;
}

bool
cli_saw_all_pools(void)
{
	return !is_blind;
}

bool
cli_choose(const struct cli *cli, struct mhp__peer *ret_pool)
{
	struct mhp__peer *pools;
	unsigned nr = cli_pools(&pools), found = 0;
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
	if (found == 0 && is_blind)
		return false;
	if (found == 0 && cli->pool != NULL)
		cli_say("no pool '%s' is running; see memplug ps", cli->pool);
	else if (found == 0)
		cli_say("no pool is running; start a program with memplug run");
	else
		cli_say("%u pools are running; "
			"choose one with -p (see memplug ps)", found);
	return false;
}

struct json_object *
cli_ask_pool(const struct mhp__peer *pool, struct mhp__line *line, unsigned bound_ms)
{
	char *text = NULL;
	const char *whole = mhp__line_end(line);
	struct json_object *answer = NULL;
	if (whole != NULL && mhp__ask(pool, whole, mhp__now_ms() + bound_ms, &text) == 0)
		answer = cli_parse(text);
	free(text);
	if (answer != NULL && cli_has(answer, "error")) {
		json_object_put(answer);
		return NULL;
	}
	return answer;
}

struct json_object *
cli_ask_word(const struct mhp__peer *pool, const char *word, unsigned bound_ms)
{
	struct mhp__line line;
	mhp__line_begin(&line, word);
	return cli_ask_pool(pool, &line, bound_ms);
}

/* Why there is no answer. */
static void
print_failure(const struct mhp__peer *pool, int err)
{
	if (err == -ETIMEDOUT || err == -EAGAIN)
		cli_say("pool '%s' (%d) does not answer; is the program stopped? "
			"It will not do what it has not begun by now", pool->name, pool->pid);
	else if (err == -EMSGSIZE)
		cli_say("the answer of pool '%s' (%d) does not end",
			pool->name, pool->pid);
	else if (err == -EACCES)
		cli_say("another user has the socket of pool '%s' (%d)",
			pool->name, pool->pid);
	else if (err == -ENODEV)
		cli_say("the program ended before it answered");
	else
		cli_say("cannot ask pool '%s' (%d): %s", pool->name, pool->pid,
			strerror(-err));
}

/* The text of an answer, which the caller frees; NULL: there is none, and that was said. */
static char *
ask_text(const struct mhp__peer *pool, const char *line, struct cli_wait wait)
{
	char *text = NULL;
	size_t used = 0;
	int fd = mhp__connect(pool);
	int err = fd < 0 ? fd : mhp__send_line(fd, line);
	if (err == 0)
		err = cli_await(pool, fd, wait, &text, &used);
	if (fd >= 0)
		close(fd);
	if (err == 0)
		return text;
	print_failure(pool, err);
	free(text);
	return NULL;
}

/* Say what a refusal says. */
static void
print_refusal(const char *text)
{
	struct json_object *answer = cli_parse(text);
	const char *said = cli_string(answer, "text");
	cli_say("%s", *said != 0 ? said : "the pool refused");
	json_object_put(answer);
}

char *
cli_ask_text(const struct cli *cli, int *ret_status, struct mhp__line *line, struct cli_wait wait)
{
	static const char refused[] = "{\"error\":";
	const char *whole = mhp__line_end(line);
	struct mhp__peer pool;

	*ret_status = CLI_USAGE;
	if (whole == NULL) {
		cli_say("the arguments are too long: a request has up to %u "
			"bytes", MHP_PROTOCOL_LINE_MAX);
		return NULL;
	}
	*ret_status = CLI_NO_POOL;
	if (!cli_choose(cli, &pool))
		return NULL;
	*ret_status = CLI_REFUSED;
	char *text = ask_text(&pool, whole, wait);
	if (text == NULL)
		return NULL;
	if (strncmp(text, refused, sizeof(refused) - 1) == 0) {
		print_refusal(text);
		free(text);
		return NULL;
	}
	*ret_status = CLI_DONE;
	return text;
}

struct json_object *
cli_ask(const struct cli *cli, int *ret_status, struct mhp__line *line, struct cli_wait wait)
{
	char *text = cli_ask_text(cli, ret_status, line, wait);
	if (text == NULL)
		return NULL;
	struct json_object *answer = cli_parse(text);
	free(text);
	if (answer == NULL) {
		cli_say("the answer of the pool makes no sense; has the program "
			"ended in the middle of it?");
		*ret_status = CLI_REFUSED;
	}
	return answer;
}
