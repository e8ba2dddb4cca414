/* SPDX-License-Identifier: MIT */
/*
 * change.c - requests that bring blocks: add and online.
 *
 * Each is one call of the engine and so all or nothing.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

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
	mhp__out_error(out, MHP_EINVAL, "'%s' is no place for descriptors: there are self, "
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

/* Steps of a plan that brings blocks online; NULL: no memory. */
static struct mhp_step *
open_steps(const struct mhp__sets *sets, uint8_t zone)
{
	struct mhp_step *steps = mmap(NULL, sets->nr * sizeof(*steps), PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (steps == MAP_FAILED)
		return NULL;
	for (unsigned i = 0; i < sets->nr; i++)
		steps[i] = (struct mhp_step){
			.kind = MHP_STEP_ONLINE, .span = sets->span[i], .zone = zone };
	return steps;
}

static void
bring_online(struct mhp__out *out, const struct mhp__sets *sets, uint8_t zone)
{
	struct mhp_plan_answer answer = { 0 };
	struct mhp_step *steps = open_steps(sets, zone);
	if (steps == NULL) {
		mhp__out_error(out, MHP_ENOMEM, "the process has no memory left for the list");
		return;
	}
	int err = mhp_plan_commit(mhp__control.m, steps, sets->nr, NULL, &answer);
	munmap(steps, sets->nr * sizeof(*steps));
	if (err != 0)
		mhp__out_refusal(out, err, "bring online", &answer.why);
	else
		mhp__out(out, "{}\n");
}

void
mhp__request_online(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp__sets sets;
	uint8_t zone;
	if (!mhp__zone_field(fields, out, &zone) ||
	    !mhp__sets_open(fields, "bring online", out, &sets))
		return;
	bring_online(out, &sets, zone);
	mhp__sets_close(&sets);
}
