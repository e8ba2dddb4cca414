/* SPDX-License-Identifier: MIT */
/*
 * request.c - from a line to the function that answers it.
 *
 * Any request is answered with exactly one JSON object. Nothing is done before the whole line was
 * understood: each request has a set of fields that it needs and one of those that it takes, and
 * any other is an error, so that a rehearsal that this pool does not know is never the real thing
 * (R67). A change is dropped when its client is gone before it begins. The blocks that it names are
 * those that were there when it came (R69): `as_of` says so unless the client did.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server.h"

#define B MHP__BIT
#define TURN_PAUSE_NS 1000000

/* Does it wait for the engine, which does one change at a time? */
enum waits {
	LOOKS,                         /* no */
	WAITS,                         /* yes, here */
	LEAVES,                        /* yes, where it can be cancelled (leave.c) */
};

static const struct {
	const char *word;
	mhp__request_fn *fn;
	enum waits waits;
	uint32_t needs, takes;         /* fields, beside REQUEST */
} requests[] = {
	{ "info", mhp__request_info, LOOKS, 0, 0 },
	{ "list", mhp__request_list, LOOKS, 0, B(ALL) },
	{ "ranges", mhp__request_ranges, LOOKS, 0, 0 },
	{ "map", mhp__request_map, LOOKS, B(CELLS), 0 },
	{ "add", mhp__request_add, WAITS, B(SIZE), B(BACKING) | B(MEMMAP) | B(ZONE) | B(OFFLINE) },
	{ "online", mhp__request_online, WAITS, B(BLOCKS), B(ZONE) | B(AS_OF) },
	{ "offline", mhp__request_offline, LEAVES, B(BLOCKS),
	  B(DEADLINE_MS) | B(DRY_RUN) | B(AS_OF) },
	{ "remove", mhp__request_remove, LEAVES, B(BLOCKS),
	  B(DEADLINE_MS) | B(DRY_RUN) | B(AS_OF) },
	{ "poison", mhp__request_poison, LOOKS, 0, 0 },
	{ "nodes", mhp__request_nodes, LOOKS, 0, 0 },
	{ "move", mhp__request_move, LEAVES, B(BLOCKS) | B(TO),
	  B(DEADLINE_MS) | B(DRY_RUN) | B(AS_OF) },
	{ "evacuate", mhp__request_evacuate, LEAVES, B(NODE), B(TO) | B(DEADLINE_MS) | B(DRY_RUN) },
	{ "why", mhp__request_why, WAITS, B(BLOCKS), B(AS_OF) },
	{ "resize", mhp__request_resize, LEAVES, B(SIZE), B(DEADLINE_MS) | B(DRY_RUN) },
	{ "progress", mhp__request_progress, LOOKS, 0, 0 },
	{ "cancel", mhp__request_cancel, LOOKS, 0, B(BLOCK) },
	{ "get", mhp__request_get, LOOKS, 0, B(ATTR) | B(AS_OF) },
	{ "set", mhp__request_set, LEAVES, B(ATTR) | B(VALUE), B(AS_OF) },
	{ "read", mhp__request_read, LOOKS, B(ATTR), B(AS_OF) },
	{ "write", mhp__request_write, LEAVES, B(ATTR) | B(VALUE), B(AS_OF) },
	{ "attrs", mhp__request_attrs, LOOKS, 0, 0 },
	{ "check", mhp__request_check, WAITS, 0, 0 },
	{ "metrics", mhp__request_metrics, LOOKS, 0, 0 },
	{ "watch", mhp__request_watch, LOOKS, 0, 0 },
	{ "files", mhp__request_files, LOOKS, 0, 0 },
	{ "announce", mhp__request_announce, WAITS, B(BLOCK) | B(ACTION), B(AS_OF) },
	{ "monitor", mhp__request_monitor, LOOKS, 0, B(SINCE) | B(RANGES) },
};
#define NR_REQUESTS (sizeof(requests) / sizeof(requests[0]))

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

void
mhp__request_reset(void)
{
	atomic_store(&nr_waiting, 0);
}

/* Blocks leave: what comes now waits for that, here, where it sees its client go. */
static void
await_turn(const struct mhp__out *out)
{
	struct timespec pause = { 0, TURN_PAUSE_NS };
	while (mhp_progress(mhp__control.m).blocks.count != 0 &&
	       !mhp__client_gone(out->fd))
		nanosleep(&pause, NULL);
}

static void
carry_out(struct mhp__out *out, size_t request, const struct mhp__fields *fields)
{
	if (requests[request].waits == LOOKS) { /* and cancel, whose client does not stay */
		requests[request].fn(out, fields);
	} else if (mhp__wait_begin()) {
		if (requests[request].waits == WAITS)
			await_turn(out);
		if (!mhp__client_gone(out->fd))
			requests[request].fn(out, fields);
		mhp__wait_end();
	} else {
		mhp__out_error(out, MHP_ENOSPC, MHP__TOO_MANY_WAIT);
	}
}

/* The first field of a set that is not empty. */
static const char *
first_name(uint32_t set)
{
	return mhp__field_name((enum mhp__field)__builtin_ctz(set));
}

void
mhp__request(struct mhp__out *out, char *line)
{
	struct mhp__fields fields;
	const char *wrong = mhp__fields_decode(line, strlen(line), &fields);
	const char *word = mhp__text(&fields, MHP__F_REQUEST);
	uint32_t there = fields.there & ~B(REQUEST);
	size_t i = 0;
	if (wrong != NULL) {
		mhp__out_error(out, MHP_EINVAL, "this is no request: %s", wrong);
		return;
	}
	while (i < NR_REQUESTS && strcmp(requests[i].word, word) != 0)
		i++;
	if (i == NR_REQUESTS)
		mhp__out_error(out, MHP_EINVAL, "'%s' is no request", word);
	else if ((requests[i].needs & ~there) != 0)
		mhp__out_error(out, MHP_EINVAL, "%s needs the field '%s'", word,
			       first_name(requests[i].needs & ~there));
	else if ((there & ~(requests[i].needs | requests[i].takes)) != 0)
		mhp__out_error(out, MHP_EINVAL, "%s has no field '%s'", word,
			       first_name(there & ~(requests[i].needs | requests[i].takes)));
	else {
		if (!mhp__has(&fields, MHP__F_AS_OF))
			fields.value[MHP__F_AS_OF].number = mhp_generation(mhp__control.m);
		fields.there |= B(AS_OF);
		carry_out(out, i, &fields);
	}
}
