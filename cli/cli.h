/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what the files of the command share: options, the connection, what pools answer.
 *
 * Exit status: 0 done, 1 refused or failed with the reason on standard error, 2 usage, 3 no such
 * pool. The command sees the protocol and nothing else of memplug. A pool may be somebody else's,
 * stopped, or made to harm whoever looks at it: what it says is read by answer.c alone.
 */
#ifndef MHP_CLI_H
#define MHP_CLI_H

#include <json-c/json.h>
#include <memplug/words.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../control/client.h"
#include "../control/fields.h"

enum {
	CLI_DONE = 0,
	CLI_REFUSED = 1,
	CLI_USAGE = 2,
	CLI_NO_POOL = 3,
};

struct cli {
	const char *name;              /* of the command */
	const char *pool;              /* -p: number or name; NULL: the only one */
	bool json;
	int argc;                      /* words after the command */
	char **argv;
};

/* ---- options.c ---- */

/* An option of a command: with a value, or without. */
struct cli_option {
	const char *name;              /* --name */
	const char **value;            /* --name VALUE or --name=VALUE; NULL: it has none */
	bool *flag;                    /* set where it is there; may be NULL if it has a value */
};

/*
 * Take the options, and --json and -p, out of the words, up to --; what is left are arguments, of
 * which there may be `least` to `most`. False: they are not like that, which was said.
 */
bool cli_options(struct cli *cli, const struct cli_option *options, unsigned nr_options, int least,
		 int most);
#define CLI_OPTIONS(cli, least, most, ...)                                                         \
	cli_options(cli, (const struct cli_option[]){ __VA_ARGS__ },                               \
		    sizeof((const struct cli_option[]){ __VA_ARGS__ }) /                           \
			    sizeof(struct cli_option), least, most)
/* Say what is wrong with a word, and how the command is used; CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* --deadline: seconds, or the usual 30; false: that was said. */
bool cli_deadline(const struct cli *cli, const char *words, uint32_t *ret_ms);

/* ---- answer.c: what others wrote ---- */

/* Replace in place what a terminal would obey: all control characters, and what is no UTF-8. The
 * one way for text of others to a terminal. Returns it. */
char *cli_clean(char *text);
/* Read an answer: its texts are cleaned, its names plain, its size within bounds. NULL: it is not
 * like that. The caller puts it. */
struct json_object *cli_parse(const char *text);
/* Members by type; what is missing, or of another type, is 0, "", false or NULL: an older server
 * does no harm, a hostile one neither. */
uint64_t cli_number(struct json_object *object, const char *name);
const char *cli_string(struct json_object *object, const char *name);
bool cli_true(struct json_object *object, const char *name);
bool cli_has(struct json_object *object, const char *name);
struct json_object *cli_member(struct json_object *object, const char *name);
/* An array of objects, or of numbers. */
struct json_object *cli_array(struct json_object *object, const char *name);
size_t cli_length(struct json_object *array);
struct json_object *cli_at(struct json_object *array, size_t i);
uint64_t cli_number_at(struct json_object *array, size_t i);
/* Print an answer as JSON, and put it. CLI_DONE. */
int cli_print_json(struct json_object *answer);
/* The end of a command that is silent when done: with --json the answer is printed. NULL: it failed
 * with this status. */
int cli_finish(const struct cli *cli, struct json_object *answer, int status);

/* ---- client.c ---- */

#define CLI_POOLS_MAX 1024U

/* All pools, with clean names, in a static array; says why there may be others. */
unsigned cli_pools(struct mhp__peer **ret_pools);
/* False: there may be others. */
bool cli_saw_all_pools(void);
/* The pool of the options; false: there is none, or not one only, and that was printed. */
bool cli_choose(const struct cli *cli, struct mhp__peer *ret_pool);
/* Ask one pool that answers at once, if at all, within so many milliseconds; NULL: it does not. */
struct json_object *cli_ask_pool(const struct mhp__peer *pool, struct mhp__line *line,
				 unsigned bound_ms);
/* The same for a request without fields. */
struct json_object *cli_ask_word(const struct mhp__peer *pool, const char *word,
				 unsigned bound_ms);
/* How long pools that shall answer at once may take. */
#define CLI_LOOK_MS 3000U

/* How long an answer may take, and whether an interrupt asks the pool to cancel. */
struct cli_wait {
	uint64_t most_ms;
	bool cancels;
};
#define CLI_LOOK ((struct cli_wait){ 60000, false })
#define CLI_LONG ((struct cli_wait){ 600000, false })
#define CLI_CHANGE(deadline_ms) ((struct cli_wait){ (deadline_ms) + UINT64_C(60000), true })

/* Ask the pool of the options; prints what is wrong. *ret_status is set when NULL is returned. The
 * caller frees the text. */
char *cli_ask_text(const struct cli *cli, int *ret_status, struct mhp__line *line,
		   struct cli_wait wait);
/* The same, and its JSON is read. */
struct json_object *cli_ask(const struct cli *cli, int *ret_status, struct mhp__line *line,
			    struct cli_wait wait);

/* ---- progress.c ---- */

/*
 * Read the answer to its end, with progress on a terminal. It ends with -ETIMEDOUT when the pool
 * answers nothing at all for some seconds, or when the time is over; and with the process, when a
 * signal wants that and the pool does not answer it.
 */
int cli_await(const struct mhp__peer *peer, int fd, struct cli_wait wait, char **text,
	      size_t *used);

/* ---- pools.c ---- */

/* The resident memory of a pool's process; 0: not known. */
uint64_t cli_resident(const struct mhp__peer *pool);

/* ---- library.c ---- */

/* A path of the library that is preloaded, as the loader can take it; false: there is none, and
 * that was said. */
bool cli_library(char *path, size_t size);

/* ---- text.c ---- */

/* 134217728 -> "128M"; one of a few static buffers. */
const char *cli_size(uint64_t bytes);
/* 1234567 -> "1.2 ms" */
const char *cli_duration(uint64_t ns);
/* Of a terminal; 0: it is none. */
unsigned cli_columns(FILE *file);
/* A line, or several on a terminal, of which all but the first are indented. */
#define CLI_INDENT 2U
void cli_sentence(FILE *file, const char *text);
/* To standard error, after "memplug: ". */
#define CLI_SENTENCE 8192U
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- help.c ---- */

/* Print what there is to say about a command; false: nothing. */
bool cli_help(const char *name);
/* How it is used; "" where there is no such command. */
const char *cli_help_usage(const char *name);

/* ---- commands ---- */

int cli_run(struct cli *cli);
int cli_ps(struct cli *cli);
int cli_status(struct cli *cli);
int cli_sim(struct cli *cli);
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
int cli_nodes(struct cli *cli);
int cli_move(struct cli *cli);
int cli_evacuate(struct cli *cli);
int cli_watch(struct cli *cli);
int cli_poison(struct cli *cli);
/* Have the pool ask the kernel which memory of devices went bad. A status. */
int cli_look_for_poison(struct cli *cli);

#endif
