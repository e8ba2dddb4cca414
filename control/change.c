/* SPDX-License-Identifier: MIT */
/*
 * change.c - requests that change blocks: add, online, offline, remove, resize, and why.
 *
 * Each is one call of the engine and so all or nothing. An offline that ran out of attempts is
 * tried again until its deadline: pages that a forked child still sees become free when it ends.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server.h"

static uint64_t
now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *
error_text(int code)
{
	switch (code) {
	case MHP_EPERM: return "the policy forbids it";
	case MHP_ENOENT: return "there is no such block";
	case MHP_ENXIO: return "that is beyond the pool's address range";
	case MHP_EAGAIN: return "it took too long; nothing has changed";
	case MHP_ENOMEM: return "there is not enough room in the other blocks";
	case MHP_EBUSY: return "a block is in use, or not in the state that this needs";
	case MHP_EEXIST: return "that memory is there already";
	case MHP_EINVAL: return "that makes no sense here";
	case MHP_ECANCELED: return "cancelled; nothing has changed";
	default: return "the engine refused";
	}
}

static unsigned
zone_parse(const char *words)
{
	if (strcmp(words, "movable") == 0)
		return MHP_ZONE_MOVABLE;
	return strcmp(words, "kernel") == 0 ? MHP_ZONE_NORMAL : MHP_ZONE_DEFAULT;
}

/* The members of an object that say why; no braces. */
static void
out_why(struct mhp__out *out, const struct mhp_why *why)
{
	mhp__out(out, "\"block\":%u,\"pfn\":%lld,\"order\":%u,\"nr_movable\":%llu,"
		 "\"nr_unmovable\":%llu,\"nr_bad\":%llu,\"room_missing\":%llu", why->block,
		 why->pfn == MHP_PFN_NONE ? -1LL : (long long)why->pfn, why->order,
		 (unsigned long long)why->nr_movable, (unsigned long long)why->nr_unmovable,
		 (unsigned long long)why->nr_bad, (unsigned long long)why->room_missing);
	mhp__out_string(out, ",", "cause", mhp_cause_text(why->cause));
	mhp__out_string(out, ",", "what", why->text);
	mhp__out(out, ",\"owners\":[");
	for (unsigned i = 0; i < why->nr_owners && i < MHP_WHY_OWNERS; i++) {
		mhp__out_string(out, i == 0 ? "{" : ",{", "owner",
				mhp_owner_name(mhp__control.m, why->owners[i].owner));
		mhp__out(out, ",\"nr_pages\":%llu,\"first_pfn\":%llu}",
			 (unsigned long long)why->owners[i].nr_pages,
			 (unsigned long long)why->owners[i].first_pfn);
	}
	mhp__out(out, "]");
}

static void
out_refusal(struct mhp__out *out, int code, const char *verb, const struct mhp_why *why)
{
	char text[400];
	struct mhp_text permission = { "" };
	if (why->cause == MHP_CAUSE_NONE)
		snprintf(text, sizeof(text), "cannot %s: %s", verb, error_text(code));
	else
		snprintf(text, sizeof(text), "cannot %s: block %u: %s%s%s", verb, why->block,
			 mhp_cause_text(why->cause), why->text[0] != 0 ? ": " : "", why->text);
	if (why->nr_movable + why->nr_unmovable != 0 &&
	    !mhp_pool_can_move(mhp__control.pool, &permission))
		snprintf(text, sizeof(text), "cannot %s: %s", verb, permission.text);
	mhp__out(out, "{\"error\":%d,", code);
	mhp__out_string(out, "", "text", text);
	mhp__out(out, ",");
	out_why(out, why);
	mhp__out(out, "}\n");
}

static struct mhp_span
span_of(struct mhp_blocks run)
{
	uint64_t bytes = mhp__block_bytes();
	return (struct mhp_span){ { run.first * bytes }, run.count * bytes };
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
			       text.text[0] != 0 ? text.text : error_text(err));
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
		steps[i] = (struct mhp_step){ .kind = MHP_STEP_ONLINE, .span = span_of(sets.run[i]),
					      .zone = (uint8_t)zone_parse(words[1]) };
	int err = mhp_plan_commit(mhp__control.m, steps, sets.nr, NULL, &answer);
	if (err != 0)
		out_refusal(out, err, "bring online", &answer.why);
	else
		mhp__out(out, "{}\n");
}

/* Offline or remove; *why is set on failure. */
static int
leave(const struct mhp__sets *sets, bool remove, const struct mhp_offline_opts *opts,
      struct mhp_why *why)
{
	struct mhp_span spans[MHP__SETS_MAX];
	for (unsigned i = 0; i < sets->nr; i++)
		spans[i] = span_of(sets->run[i]);
	return remove ? mhp_remove(mhp__control.m, spans, sets->nr, opts, why)
		      : mhp_offline(mhp__control.m, sets->run, sets->nr, opts, why);
}

static int
leave_until(const struct mhp__sets *sets, bool remove, uint64_t deadline_ms, struct mhp_why *why)
{
	uint64_t end = now_ms() + deadline_ms;
	for (;;) {
		uint64_t now = now_ms();
		uint64_t left = now < end ? end - now : 1;
		struct mhp_offline_opts opts = { .deadline_ms = (uint32_t)left };
		int err = leave(sets, remove, &opts, why);
		if (err != MHP_EAGAIN || now_ms() + 50 >= end)
			return err;
		struct timespec pause = { 0, 20000000 };
		nanosleep(&pause, NULL);
	}
}

static uint64_t
deadline(const char *words)
{
	double seconds = strtod(words, NULL);
	return seconds > 0 && seconds < 1e6 ? (uint64_t)(seconds * 1000) : MHP_OFFLINE_DEADLINE_MS;
}

static void
request_leave(struct mhp__out *out, unsigned nr_words, char **words, bool remove)
{
	struct mhp__sets sets;
	struct mhp_why why = { 0 };
	struct mhp_offline_opts dry = { .dry_run = true };
	if (nr_words < 2) {
		mhp__out_error(out, MHP_EINVAL, "the request is incomplete");
		return;
	}
	if (!mhp__sets_parse(words[0], &sets, out))
		return;
	int err = nr_words == 3 ? leave(&sets, remove, &dry, &why)
				: leave_until(&sets, remove, deadline(words[1]), &why);
	if (err != 0)
		out_refusal(out, err, remove ? "remove" : "take offline", &why);
	else
		mhp__out(out, "{}\n");
}

void
mhp__request_offline(struct mhp__out *out, unsigned nr_words, char **words)
{
	request_leave(out, nr_words, words, false);
}

void
mhp__request_remove(struct mhp__out *out, unsigned nr_words, char **words)
{
	request_leave(out, nr_words, words, true);
}

void
mhp__request_why(struct mhp__out *out, unsigned nr_words, char **words)
{
	struct mhp__sets sets;
	struct mhp_offline_opts dry = { .dry_run = true };
	const char *comma = "";
	if (nr_words != 1 || !mhp__sets_parse(words[0], &sets, out))
		return;
	mhp__out(out, "{\"blocks\":[");
	for (unsigned i = 0; i < sets.nr; i++)
		for (uint32_t k = 0; k < sets.run[i].count && !out->broken; k++) {
			struct mhp_blocks one = { sets.run[i].first + k, 1 };
			struct mhp_why why = { .block = one.first, .pfn = MHP_PFN_NONE };
			int err = mhp_offline(mhp__control.m, &one, 1, &dry, &why);
			why.block = one.first;
			mhp__out(out, "%s{\"code\":%d,", comma, err);
			out_why(out, &why);
			mhp__out(out, "}");
			comma = ",";
		}
	mhp__out(out, "]}\n");
}

/* Remove blocks from the end until the pool has at most `want` of them; first refusal in *why. */
static int
shrink(uint32_t want, uint64_t deadline_ms, struct mhp_why *why)
{
	struct mhp_stats stats;
	struct mhp_block_info info;
	uint64_t end = now_ms() + deadline_ms;
	uint32_t block = mhp_get_geometry(mhp__control.m)->nr_blocks;
	int err = 0;
	mhp_get_stats(mhp__control.m, &stats);
	uint32_t left = stats.blocks_present;
	while (block-- > 0 && left > want) {
		if (mhp_block_get(mhp__control.m, block, &info) != 0 || info.state == MHP_ABSENT)
			continue;
		struct mhp__sets one = { .run = { { block, 1 } }, .nr = 1 };
		uint64_t now = now_ms();
		err = leave_until(&one, true, now < end ? end - now : 1, why);
		if (err == MHP_ENOMEM || err == MHP_ECANCELED)
			return err;
		left -= err == 0;
	}
	return left > want ? err : 0;
}

void
mhp__request_resize(struct mhp__out *out, unsigned nr_words, char **words)
{
	uint64_t bytes = mhp__block_bytes(), size = nr_words == 2 ? mhp__size_parse(words[0]) : 0;
	uint64_t want = (size + bytes - 1) / bytes;
	struct mhp_why why = { 0 };
	struct mhp_text text = { "" };
	struct mhp_stats stats;
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE };
	int err = 0;

	if (size == 0 || want > mhp_get_geometry(mhp__control.m)->nr_blocks) {
		mhp__out_error(out, MHP_EINVAL, "that is no size for this pool");
		return;
	}
	mhp_get_stats(mhp__control.m, &stats);
	if (want > stats.blocks_present) {
		err = mhp_pool_add(mhp__control.pool, &mhp__control.opts.backing,
				   (want - stats.blocks_present) * bytes, &opts, NULL, &text);
		if (err != 0)
			mhp__out_error(out, err, "cannot resize: %s", text.text);
	} else if (want < stats.blocks_present) {
		err = shrink((uint32_t)want, deadline(words[1]), &why);
		if (err != 0)
			out_refusal(out, err, "resize", &why);
	}
	mhp_get_stats(mhp__control.m, &stats);
	if (err == 0)
		mhp__out(out, "{\"blocks\":%u}\n", stats.blocks_present);
}
