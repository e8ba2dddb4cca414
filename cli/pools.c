/* SPDX-License-Identifier: MIT */
/*
 * pools.c - memplug ps and memplug status: what runs, and whether all is well with it.
 *
 * All pools are asked at once and have the same few seconds to answer in, so that any number of
 * stopped ones holds nobody up; those are shown as not answering. Facts that the system has about a
 * program, such as its resident memory, are read from /proc, if the process there belongs to the
 * pool's user.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pwd.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define NAME_WIDTH 16
#define NODES_WIDTH 5
#define NODES_TEXT 64                  /* bytes that hold the numbers of all nodes */
#define BATCH 128U                     /* connections at a time */

/* ---- what the system knows ---- */

/* Bytes, of the line NAME: ... kB in /proc/PID/status; 0: not known. */
static uint64_t
process_bytes(const struct mhp__peer *pool, const char *name)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	size_t length = strlen(name);
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/status", pool->pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	bool ours = fstat(fileno(file), &st) == 0 && (st.st_uid == pool->uid || st.st_uid == 0);
	while (ours && kib == 0 && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			kib = strtoull(line + length + 1, NULL, 10);
	fclose(file);
	return kib * 1024;
}

static const char *
user_name(unsigned uid)
{
	static char number[16];
	const struct passwd *user = getpwuid(uid);
	snprintf(number, sizeof(number), "%u", uid);
	return user != NULL ? user->pw_name : number;
}

uint64_t
cli_resident(const struct mhp__peer *pool)
{
	return process_bytes(pool, "VmRSS");
}

/* ---- ps ---- */

/* Ask some at once. Their answers, or NULL. */
static void
ask_batch(const struct mhp__peer *pools, unsigned nr, struct json_object **answers)
{
	struct mhp__line line;
	int fd[BATCH];
	uint64_t end_ms = mhp__now_ms() + CLI_LOOK_MS;
	mhp__line_begin(&line, "info");
	const char *whole = mhp__line_end(&line);
	for (unsigned i = 0; i < nr; i++) {
		fd[i] = mhp__connect(&pools[i]);
		if (fd[i] >= 0 && mhp__send_line(fd[i], whole) != 0) {
			close(fd[i]);
			fd[i] = -1;
		}
	}
	for (unsigned i = 0; i < nr; i++) {
		char *text = NULL;
		size_t used = 0;
		int err = fd[i] < 0 ? fd[i] : -EAGAIN;
		while (err == -EAGAIN && mhp__await(fd[i], end_ms) == 0)
			err = mhp__read_answer(fd[i], &text, &used);
		answers[i] = err == 0 ? cli_parse(text) : NULL;
		free(text);
		if (fd[i] >= 0)
			close(fd[i]);
	}
}

/* Add what the command knows to what the pool says of itself, or say it in the pool's place. */
static struct json_object *
complete(const struct mhp__peer *pool, struct json_object *info)
{
	bool answers = info != NULL && !cli_has(info, "error");
	if (!answers) {
		json_object_put(info);
		info = json_object_new_object();
	}
	json_object_object_add(info, "name", json_object_new_string(pool->name));
	json_object_object_add(info, "pid", json_object_new_int(pool->pid));
	json_object_object_add(info, "uid", json_object_new_int64(pool->uid));
	json_object_object_add(info, "answers", json_object_new_boolean(answers));
	json_object_object_add(info, "resident_bytes", json_object_new_int64(
				       (int64_t)cli_resident(pool)));
	return info;
}

/* The numbers of a pool's nodes: "0", "0,3-5". The text ends in two dots where it is cut. */
static void
nodes_text(struct json_object *nodes, size_t width, char text[NODES_TEXT])
{
	size_t nr = cli_length(nodes), used = 0;
	text[0] = 0;
	for (size_t i = 0, last; i < nr && used < NODES_TEXT; i = last + 1) {
		uint64_t first = cli_number(cli_at(nodes, i), "node");
		for (last = i; last + 1 < nr; last++)
			if (cli_number(cli_at(nodes, last + 1), "node") != first + (last + 1 - i))
				break;
		used += (size_t)snprintf(text + used, NODES_TEXT - used,
					 last == i ? "%s%u" : "%s%u-%u", i == 0 ? "" : ",",
					 (unsigned)first, (unsigned)(first + (last - i)));
	}
	if (strlen(text) > width)
		memcpy(text + width - 2, "..", 3);
}

static void
print_pool(struct json_object *info)
{
	uint64_t blocks = cli_number(info, "blocks");
	char nodes[NODES_TEXT];
	/* In a pipe it is whole, for those who read it; on a terminal the columns stand. */
	bool narrow = isatty(STDOUT_FILENO);
	printf("%7d %-*.*s %-8.8s ", (int)cli_number(info, "pid"), NAME_WIDTH,
	       narrow ? NAME_WIDTH : INT_MAX, cli_string(info, "name"),
	       user_name((unsigned)cli_number(info, "uid")));
	if (!cli_true(info, "answers")) {
		printf("not answering\n");
		return;
	}
	nodes_text(cli_array(info, "nodes"), narrow ? NODES_WIDTH : NODES_TEXT, nodes);
	printf("%6u %7s %7s %8s %7s %s\n", (unsigned)blocks,
	       cli_size(blocks * cli_number(info, "block_size_bytes")),
	       cli_size(cli_number(info, "used_bytes")),
	       cli_size(cli_number(info, "resident_bytes")),
	       cli_size(cli_number(info, "max_bytes")), nodes);
}

int
cli_ps(struct cli *cli)
{
	struct json_object *answers[BATCH], *all = json_object_new_array();
	struct mhp__peer *pools;
	if (!CLI_OPTIONS(cli, 0, 0, { NULL, NULL, NULL }))
		return CLI_USAGE;
	unsigned nr = cli_pools(&pools), batch;
	for (unsigned i = 0; i < nr; i += batch) {
		batch = nr - i < BATCH ? nr - i : BATCH;
		ask_batch(pools + i, batch, answers);
		for (unsigned k = 0; k < batch; k++)
			json_object_array_add(all, complete(&pools[i + k], answers[k]));
	}
	if (cli->json) {
		struct json_object *answer = json_object_new_object();
		json_object_object_add(answer, "pools", all);
		cli_print_json(answer);
		return cli_saw_all_pools() ? CLI_DONE : CLI_REFUSED;
	}
	printf("%7s %-16s %-8s %6s %7s %7s %8s %7s %s\n", "PID", "NAME", "USER", "BLOCKS", "SIZE",
	       "USED", "RESIDENT", "MAX", "NODES");
	for (size_t i = 0; i < cli_length(all); i++)
		print_pool(cli_at(all, i));
	json_object_put(all);
	return cli_saw_all_pools() ? CLI_DONE : CLI_REFUSED;
}

/* ---- status ---- */

/* Everything that status is made of. */
struct state {
	struct json_object *info, *progress;
	uint64_t size, used, max, resident, heap;
	unsigned nr_worries;
};

static void
worry(struct state *state, const char *text)
{
	printf("%s%s\n", state->nr_worries++ == 0 ? "but      " : "         ", text);
}

/* The share of the program's own memory that is in the pool, in percent. */
static unsigned
share_percent(const struct state *state)
{
	uint64_t all = state->heap > state->used ? state->heap : state->used;
	return all == 0 ? 0 : (unsigned)(state->used * 100 / all);
}

static void
print_memory(const struct state *state)
{
	uint64_t block = cli_number(state->info, "block_size_bytes");
	uint64_t blocks = cli_number(state->info, "blocks");
	printf("memory   %s in %u blocks of %s, %u of them online", cli_size(state->size),
	       (unsigned)blocks, cli_size(block),
	       (unsigned)cli_number(state->info, "blocks_online"));
	if (state->max != 0)
		printf("; grows by itself up to %s", cli_size(state->max));
	printf("\nused     %s of it (%u%%)\n", cli_size(state->used),
	       state->size == 0 ? 0 : (unsigned)(state->used * 100 / state->size));
	if (state->resident != 0)
		printf("resident %s of the program; %u%% of its own memory is in the pool\n",
		       cli_size(state->resident), share_percent(state));
}

static void
print_followed(const struct state *state)
{
	uint64_t limit = cli_number(state->info, "limit_bytes");
	uint64_t safe = cli_number(state->info, "safe_bytes");
	if (safe != 0)
		printf("limit    %s of its cgroup; safe to lower to %s\n",
		       limit != 0 ? cli_size(limit) : "none", cli_size(safe));
}

static void
print_leaving(const struct state *state)
{
	uint64_t first = cli_number(state->progress, "first");
	uint64_t count = cli_number(state->progress, "count");
	uint64_t page = cli_number(state->progress, "page_bytes");
	if (count == 0)
		puts("leaving  nothing");
	else
		printf("leaving  blocks %llu-%llu: %s left\n", (unsigned long long)first,
		       (unsigned long long)(first + count - 1),
		       cli_size(cli_number(state->progress, "left_pages") * page));
}

static void
print_worries(struct state *state)
{
	if (state->max != 0 && state->size >= state->max)
		worry(state, "the pool is as large as it may get: memplug set max_bytes SIZE");
	if (cli_number(state->info, "bad_pages") != 0)
		worry(state, "there are pages with memory errors: memplug poison lists them");
	if (state->heap > state->used && share_percent(state) < 50)
		worry(state, "most of the program's memory is not in the pool");
	if (state->nr_worries == 0)
		puts("all is well");
}

int
cli_status(struct cli *cli)
{
	struct mhp__peer pool;
	if (!CLI_OPTIONS(cli, 0, 0, { NULL, NULL, NULL }))
		return CLI_USAGE;
	if (!cli_choose(cli, &pool))
		return CLI_NO_POOL;
	struct json_object *info =
		complete(&pool, cli_ask_word(&pool, "info", CLI_LOOK_MS));
	struct state state = {
		.info = info, .size = cli_number(info, "blocks") *
				      cli_number(info, "block_size_bytes"),
		.used = cli_number(info, "used_bytes"), .max = cli_number(info, "max_bytes"),
		.resident = cli_number(info, "resident_bytes"),
		.heap = process_bytes(&pool, "RssAnon") + process_bytes(&pool, "RssShmem"),
	};
	bool answers = cli_true(info, "answers");
	if (cli->json) {
		json_object_object_add(info, "in_pool_percent",
				       json_object_new_int((int)share_percent(&state)));
		cli_print_json(info);
		return answers ? CLI_DONE : CLI_REFUSED;
	}
	printf("pool     %s, process %d of %s\n", cli_string(info, "name"), pool.pid,
	       user_name(pool.uid));
	if (answers) {
		state.progress = cli_ask_word(&pool, "progress", CLI_LOOK_MS);
		print_memory(&state);
		print_followed(&state);
		print_leaving(&state);
		print_worries(&state);
	} else {
		worry(&state, "it does not answer; is the program stopped?");
	}
	json_object_put(state.progress);
	json_object_put(info);
	return state.nr_worries == 0 ? CLI_DONE : CLI_REFUSED;
}
