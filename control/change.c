/* SPDX-License-Identifier: MIT */
/*
 * change.c - requests that bring blocks: add and online.
 *
 * Each is one call of the engine and so all or nothing.
 */
#define _GNU_SOURCE
#include <string.h>

#include "leave.h"

static unsigned
zone_parse(const char *words)
{
	if (strcmp(words, "movable") == 0)
		return MHP_ZONE_MOVABLE;
	return strcmp(words, "kernel") == 0 ? MHP_ZONE_NORMAL : MHP_ZONE_DEFAULT;
}

void
mhp__request_add(struct mhp__out *out, unsigned nr_words, char **words)
{
	struct mhp_add_answer answer = { 0 };
	struct mhp_text text = { "" };
	struct mhp_backing backing = mhp__control.opts.backing;
	struct mhp_add_opts opts = { 0 };
	uint64_t size = nr_words == 5 ? mhp__size_parse(words[0]) : 0;

	if (size == 0) {
		mhp__out_error(out, MHP_EINVAL, "a size is a number with K, M, G or T behind it");
		return;
	}
	if (strcmp(words[1], "-") != 0 && mhp_backing_parse(words[1], &backing, &text) != 0) {
		mhp__out_error(out, MHP_EINVAL, "%s", text.text);
		return;
	}
	if (strcmp(words[2], "external") != 0)
		opts.flags |= MHP_MEMMAP_ON_MEMORY;
	if (strcmp(words[2], "self") == 0)
		opts.flags |= MHP_MEMMAP_REQUIRE;
	opts.zone = (uint8_t)zone_parse(words[3]);
	opts.flags |= strcmp(words[4], "offline") == 0 ? MHP_ADD_OFFLINE : MHP_ADD_ONLINE;
	int err = mhp_pool_add(mhp__control.pool, &backing, size, &opts, &answer, &text);
	if (err != 0)
		mhp__out_error(out, err, "cannot add: %s",
			       text.text[0] != 0 ? text.text : mhp__error_text(err));
	else
		mhp__out(out, "{\"first\":%u,\"count\":%u,\"memmap\":\"%s\"}\n",
			 answer.blocks.first, answer.blocks.count,
			 answer.placement == MHP_PLACE_SELF ? "self" : "external");
}

void
mhp__request_online(struct mhp__out *out, unsigned nr_words, char **words)
{
	struct mhp__sets sets;
	struct mhp_step steps[MHP__SETS_MAX] = { 0 };
	struct mhp_plan_answer answer = { 0 };
	if (nr_words != 2) {
		mhp__out_error(out, MHP_EINVAL, "the request is incomplete");
		return;
	}
	if (!mhp__sets_parse(words[0], &sets, out))
		return;
	for (unsigned i = 0; i < sets.nr; i++)
		steps[i] = (struct mhp_step){
			.kind = MHP_STEP_ONLINE, .span = mhp__span_of(sets.run[i]),
			.zone = (uint8_t)zone_parse(words[1]),
		};
	int err = mhp_plan_commit(mhp__control.m, steps, sets.nr, NULL, &answer);
	if (err != 0)
		mhp__out_refusal(out, err, "bring online", &answer.why);
	else
		mhp__out(out, "{}\n");
}
