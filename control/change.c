/* SPDX-License-Identifier: MIT */
/*
 * change.c - requests that bring blocks: add and online.
 *
 * Each is one call of the engine and so all or nothing. A refusal says why in one sentence: the
 * port's where memory could not be had, the engine's where blocks could not come online.
 * Must not know: how memory is found, which zone a policy chooses.
 */
#define _GNU_SOURCE
#include <string.h>

#include "leave.h"

static bool
memmap_flags(const struct mhp__fields *fields, struct mhp__out *out, uint32_t *flags)
{
	static const char *const names[] = { "auto", "self", "external" };
	static const uint32_t meant[] = {
		MHP_MEMMAP_ON_MEMORY, MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE, 0,
	};
	const char *word = mhp__has(fields, MHP__F_MEMMAP) ? mhp__text(fields, MHP__F_MEMMAP)
							   : names[0];
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(word, names[i]) == 0) {
			*flags |= meant[i];
			return true;
		}
	mhp__out_error(out, MHP_EINVAL, "'%s' is no place for descriptors: the places are self, "
		       "external and auto", word);
	return false;
}

void
mhp__request_add(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp_add_answer answer = { 0 };
	struct mhp_text text = { "" };
	struct mhp_backing backing = mhp__control.opts.backing;
	struct mhp_add_opts opts = {
		.flags = mhp__flag(fields, MHP__F_OFFLINE) ? MHP_ADD_OFFLINE : MHP_ADD_ONLINE,
	};
	uint64_t size;

	if (!mhp__size_field(fields, false, out, &size) ||
	    !mhp__zone_field(fields, out, &opts.zone) || !memmap_flags(fields, out, &opts.flags))
		return;
	if (mhp__has(fields, MHP__F_BACKING) &&
	    mhp_backing_parse(mhp__text(fields, MHP__F_BACKING), &backing, &text) != 0) {
		mhp__out_error(out, MHP_EINVAL, "%s", text.text);
		return;
	}
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
mhp__request_online(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp_online_opts opts = { .as_of = mhp__number(fields, MHP__F_AS_OF) };
	struct mhp__sets sets;
	struct mhp_why why;
	if (!mhp__zone_field(fields, out, &opts.zone) ||
	    !mhp__sets_open(fields, "bring online", out, &sets))
		return;
	int err = mhp_online(mhp__control.m, sets.run, sets.nr, &opts, &why);
	if (err != 0)
		mhp__out_refusal(out, err, "bring online", &why);
	else
		mhp__out(out, "{}\n");
	mhp__sets_close(&sets);
}
