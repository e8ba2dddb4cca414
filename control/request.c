/* SPDX-License-Identifier: MIT */
/*
 * request.c - from a line of words to the function that answers it.
 *
 * Whatever a client sends, it gets exactly one JSON object; nothing is done before the whole line
 * was understood.
 */
#define _GNU_SOURCE
#include <string.h>

#include "server.h"

static const struct {
	const char *word;
	mhp__request_fn *fn;
} requests[] = {
	{ "info", mhp__request_info },
	{ "list", mhp__request_list },
	{ "add", mhp__request_add },
	{ "online", mhp__request_online },
	{ "offline", mhp__request_offline },
	{ "remove", mhp__request_remove },
	{ "why", mhp__request_why },
	{ "resize", mhp__request_resize },
	{ "progress", mhp__request_progress },
	{ "cancel", mhp__request_cancel },
	{ "get", mhp__request_get },
	{ "set", mhp__request_set },
	{ "check", mhp__request_check },
};

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
			requests[i].fn(out, nr - 1, words + 1);
			if (out->used == before)
				mhp__out_error(out, MHP_EINVAL, "the request is incomplete");
			return;
		}
	mhp__out_error(out, MHP_EINVAL, "'%s' is no request", nr > 0 ? words[0] : "");
}
