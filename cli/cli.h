/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what the files of the command share: options, the connection, sizes for people.
 *
 * Exit status: 0 done, 1 refused or failed with the reason on standard error, 2 usage, 3 no such
 * pool. The command sees the protocol and nothing else of memplug.
 */
#ifndef MHP_CLI_H
#define MHP_CLI_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "../control/client.h"

enum {
	CLI_DONE = 0,
	CLI_REFUSED = 1,
	CLI_USAGE = 2,
	CLI_NO_POOL = 3,
};

struct cli {
	const char *pool;              /* -p: number or name; NULL: the only one */
	bool json;
	int argc;                      /* words behind the command */
	char **argv;
};

/* ---- client.c ---- */

/* The pool of the options; false: there is none, or not one only, and that was printed. */
bool cli_choose(const struct cli *cli, struct mhp__peer *ret_pool);
/* Ask one pool; NULL when it is gone. The caller puts the object. */
struct json_object *cli_ask_pool(const struct mhp__peer *pool, const char *line);
/* Ask the pool of the options; prints what is wrong. *ret_status is set when NULL is returned. The
 * caller frees the text. */
char *cli_ask_text(const struct cli *cli, int *ret_status, const char *line);
/* The same, and its JSON is read. */
struct json_object *cli_ask(const struct cli *cli, int *ret_status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- progress.c ---- */

/* mhp__read_answer(), to the end, with progress on a terminal; an interrupt cancels what runs. */
int cli_await(const char *path, int fd, char **text, size_t *used);
/* Somebody draws on the terminal: no progress there, and interrupts are theirs. */
extern bool cli_full_screen;

/* ---- text.c ---- */

/* 134217728 -> "128M"; one of a few static buffers. */
const char *cli_size(uint64_t bytes);
uint64_t cli_number(struct json_object *object, const char *name);
const char *cli_string(struct json_object *object, const char *name);
int cli_usage(const char *text);
/* Take option `name` out of the words; with a value, *value is set. */
bool cli_option(struct cli *cli, const char *name, const char **value);

/* ---- help.c ---- */

/* Print what there is to say about a command; false: nothing. */
bool cli_help(const char *name);

/* ---- commands ---- */

int cli_run(struct cli *cli);
int cli_ps(struct cli *cli);
int cli_list(struct cli *cli);
int cli_map(struct cli *cli);
int cli_top(struct cli *cli);
int cli_add(struct cli *cli);
int cli_online(struct cli *cli);
int cli_offline(struct cli *cli);
int cli_remove(struct cli *cli);
int cli_resize(struct cli *cli);
int cli_why(struct cli *cli);
int cli_get(struct cli *cli);
int cli_set(struct cli *cli);
int cli_check(struct cli *cli);
int cli_mount(struct cli *cli);
int cli_monitor(struct cli *cli);
int cli_metrics(struct cli *cli);
int cli_replay(struct cli *cli);

#endif
