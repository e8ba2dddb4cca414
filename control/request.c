/* SPDX-License-Identifier: MIT */
/*
 * request.c - from a line of words to the function that answers it.
 *
 * Whatever a client sends, it gets exactly one JSON object; nothing is done before the whole line
 * was understood.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <string.h>

#include "server.h"

static const struct {
	const char *word;
	mhp__request_fn *fn;
	bool waits;                    /* for the engine, which does one change at a time */
} requests[] = {
	{ "info", mhp__request_info, false },
	{ "list", mhp__request_list, false },
	{ "ranges", mhp__request_ranges, false },
	{ "map", mhp__request_map, false },
	{ "add", mhp__request_add, true },
	{ "online", mhp__request_online, true },
	{ "offline", mhp__request_offline, true },
	{ "remove", mhp__request_remove, true },
	{ "why", mhp__request_why, true },
	{ "resize", mhp__request_resize, true },
	{ "progress", mhp__request_progress, false },
	{ "cancel", mhp__request_cancel, false },
	{ "get", mhp__request_get, false },
	{ "set", mhp__request_set, true },
	{ "read", mhp__request_read, false },
	{ "attrs", mhp__request_attrs, false },
	{ "check", mhp__request_check, true },
	{ "metrics", mhp__request_metrics, false },
	{ "announce", mhp__request_announce, true },
	{ "monitor", mhp__request_monitor, false },
};

static _Atomic unsigned nr_waiting;

bool
mhp__wait_begin(void)
{
	if (atomic_fetch_add(&nr_waiting, 1) < MHP__THREADS - MHP__THREADS_SPARE)
		return true;
	mhp__wait_end();
	return false;
}

void
mhp__wait_end(void)
{
	atomic_fetch_sub(&nr_waiting, 1);
}

static void
carry_out(struct mhp__out *out, size_t request, unsigned nr_words, char **words)
{
	if (!requests[request].waits) {
		requests[request].fn(out, nr_words, words);
	} else if (mhp__wait_begin()) {
		requests[request].fn(out, nr_words, words);
		mhp__wait_end();
	} else {
		mhp__out_error(out, MHP_ENOSPC, MHP__TOO_MANY_WAIT);
	}
}

void
mhp__request(struct mhp__out *out, char *line)
{
	char *words[MHP_PROTOCOL_WORDS_MAX], *rest = NULL;
	unsigned nr = 0;
	for (char *word = strtok_r(line, " \n", &rest); word != NULL && nr < MHP_PROTOCOL_WORDS_MAX;
	     word = strtok_r(NULL, " \n", &rest))
		words[nr++] = word;
	size_t before = out->used;
	for (size_t i = 0; nr > 0 && i < sizeof(requests) / sizeof(requests[0]); i++)
		if (strcmp(requests[i].word, words[0]) == 0) {
			carry_out(out, i, nr - 1, words + 1);
			if (out->used == before)
				mhp__out_error(out, MHP_EINVAL, "the request is incomplete");
			return;
		}
	mhp__out_error(out, MHP_EINVAL, "'%s' is no request", nr > 0 ? words[0] : "");
}
