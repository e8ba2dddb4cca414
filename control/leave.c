/* SPDX-License-Identifier: MIT */
/*
 * leave.c - requests about blocks that leave: offline, remove, why.
 *
 * Each is one call of the engine and so all or nothing. One that ran out of attempts, or met pages
 * that a forked child still sees, is tried again until its deadline: they become free when it ends.
 * One for which there is no room is tried again if room was made: the program gave back what it
 * keeps, or free frames were brought together. Requests take turns with the engine. Must not know:
 * who may cancel a request (running.c).
 */
#define _GNU_SOURCE
#include "leave.h"

#include <stdatomic.h>
#include <time.h>

#include "clock.h"
#include "running.h"

#define PAUSE_NS 20000000
#define TURN_PAUSE_NS 1000000

static _Atomic bool turn_taken;        /* a request is with the engine */

uint64_t
mhp__deadline_ms(const struct mhp__fields *fields)
{
	uint64_t ms = mhp__number(fields, MHP__F_DEADLINE_MS);
	return ms > 0 && ms < UINT32_MAX ? ms : MHP_DEADLINE_MS_DEFAULT;
}

void
mhp__leave_reset(void)
{
	mhp__running_reset();
	atomic_store(&turn_taken, false);
}

/* ---- leaving ---- */

static int
leave_once(const struct mhp__leave *leave, uint32_t deadline_ms, struct mhp_why *why)
{
	static int (*const calls[])(struct mhp *, const struct mhp_blocks *, unsigned,
				    const struct mhp_offline_opts *, struct mhp_why *) = {
		[MHP__LEAVE_REMOVE] = mhp_remove,
		[MHP__LEAVE_OFFLINE] = mhp_offline,
		[MHP__LEAVE_EMPTY] = mhp_empty,
	};
	struct mhp_offline_opts opts = { .deadline_ms = deadline_ms, .dry_run = leave->dry_run,
					 .to_nodes = leave->to_nodes, .as_of = leave->as_of };
	return calls[leave->kind](mhp__control.m, leave->runs, leave->nr, &opts, why);
}

static void
pause_ns(long ns)
{
	struct timespec pause = { 0, ns };
	nanosleep(&pause, NULL);
}

/* Nobody can stop a thread that waits for the engine's lock: wait before it, where that works. */
static int
take_turn(const struct mhp__running *running, uint64_t end, struct mhp_why *why)
{
	for (;;) {
		if (mhp__running_canceled(running)) {
			why->cause = MHP_CAUSE_CANCELED;
			return MHP_ECANCELED;
		}
		if (!atomic_exchange(&turn_taken, true)) {
			if (mhp_progress(mhp__control.m).blocks.count == 0)
				return 0;
			atomic_store(&turn_taken, false);
		}
		if (mhp__now_ms() >= end) {
			why->cause = MHP_CAUSE_DEADLINE;
			return MHP_EAGAIN;
		}
		pause_ns(TURN_PAUSE_NS);
	}
}

static uint64_t
free_bytes(void)
{
	struct mhp_stats stats;
	mhp_get_stats(mhp__control.m, &stats);
	return stats.free_pages << mhp_get_geometry(mhp__control.m)->page_shift;
}

/* Does the program give back something that it keeps without need? */
static bool
ask_program(void)
{
	uint64_t before = free_bytes();
	if (mhp__control.opts.give_back != NULL)
		mhp__control.opts.give_back();
	return free_bytes() > before;
}

/* Is as much free outside of the blocks as is in use in them, though it may be scattered? */
static bool
frames_suffice(const struct mhp__leave *leave)
{
	uint64_t needed = 0, used, free;
	for (unsigned i = 0; i < leave->nr; i++)
		if (mhp_range_usage(mhp__control.m, leave->runs[i], &used, &free) == 0)
			needed += used + free; /* theirs is in the sum of all */
	return needed <= free_bytes();
}

/* In a turn, like leaving. True as well where it was cancelled: the next turn finds that. */
static bool
pack(const struct mhp__leave *leave, struct mhp__running *running, uint64_t end)
{
	struct mhp_why why;
	if (take_turn(running, end, &why) != 0)
		return mhp__running_canceled(running);
	uint64_t now = mhp__now_ms(), won = 0;
	mhp__running_pack(running, true);
	if (now < end)
		won = mhp_pool_pack(mhp__control.pool, leave->to_nodes, (uint32_t)(end - now));
	mhp__running_pack(running, false);
	atomic_store(&turn_taken, false);
	return won != 0 || mhp__running_canceled(running);
}

/* The steps that may make room, each taken once: true, it helped. A rehearsal moves nothing. */
struct room_steps {
	bool asked, packed;
};

static bool
make_room(const struct mhp__leave *leave, struct mhp__running *running, const struct mhp_why *why,
	  uint64_t end, struct room_steps *steps)
{
	if (!steps->asked) {
		steps->asked = true;
		if (ask_program())
			return true;
	}
	if (steps->packed || why->order == 0 || leave->dry_run || !frames_suffice(leave))
		return false;
	steps->packed = true;
	return pack(leave, running, end);
}

/* Is it worth another try? */
static bool
prepare_again(const struct mhp__leave *leave, struct mhp__running *running, int err,
	      const struct mhp_why *why, uint64_t end, struct room_steps *steps)
{
	if (err != 0 && why->cause == MHP_CAUSE_ROOM)
		return make_room(leave, running, why, end, steps);
	if (err != MHP_EAGAIN && err != MHP_EINTR && err != MHP_ETXTBSY)
		return false;
	pause_ns(PAUSE_NS);
	return true;
}

int
mhp__leave(const struct mhp__leave *leave, struct mhp_why *ret_why)
{
	uint64_t end = mhp__now_ms() + leave->deadline_ms;
	struct mhp__running *running =
		mhp__running_begin(leave->runs, leave->nr, leave->client_fd);
	struct room_steps steps = { false, false };
	int err;
	do {
		*ret_why = (struct mhp_why){ .pfn = MHP_PFN_NONE };
		err = take_turn(running, end, ret_why);
		if (err != 0)
			break;
		uint64_t now = mhp__now_ms();
		err = leave_once(leave, (uint32_t)(now < end ? end - now : 1), ret_why);
		atomic_store(&turn_taken, false);
	} while (mhp__now_ms() + 50 < end &&
		 prepare_again(leave, running, err, ret_why, end, &steps));
	mhp__running_end(running);
	return err;
}

static void
request_leave(struct mhp__out *out, const struct mhp__fields *fields, enum mhp__leave_kind kind)
{
	const char *verb = kind == MHP__LEAVE_REMOVE ? "remove" : "take offline";
	struct mhp__sets sets;
	struct mhp_why why;
	if (!mhp__sets_open(fields, verb, out, &sets))
		return;
	struct mhp__leave leave = {
		.kind = kind, .runs = sets.run, .nr = sets.nr,
		.dry_run = mhp__flag(fields, MHP__F_DRY_RUN),
		.as_of = mhp__number(fields, MHP__F_AS_OF),
		.deadline_ms = mhp__deadline_ms(fields), .client_fd = out->fd,
	};
	int err = mhp__leave(&leave, &why);
	if (err != 0)
		mhp__out_refusal(out, err, verb, &why);
	else
		mhp__out(out, "{}\n");
	mhp__sets_close(&sets);
}

void
mhp__request_offline(struct mhp__out *out, const struct mhp__fields *fields)
{
	request_leave(out, fields, MHP__LEAVE_OFFLINE);
}

void
mhp__request_remove(struct mhp__out *out, const struct mhp__fields *fields)
{
	request_leave(out, fields, MHP__LEAVE_REMOVE);
}

/* ---- why ---- */

/* Everything that keeps them from leaving, together. */
static void
out_rehearsal(struct mhp__out *out, const struct mhp_blocks *runs, unsigned nr)
{
	struct mhp_offline_opts dry = { .dry_run = true };
	struct mhp_why why = { .pfn = MHP_PFN_NONE };
	char text[MHP__REASON_BYTES] = "nothing keeps it";
	int err = mhp_remove(mhp__control.m, runs, nr, &dry, &why);
	if (nr == 1 && runs->count == 1)
		why.block = runs->first;
	if (err != 0)
		mhp__reason_text(err, &why, text, sizeof(text));
	mhp__out(out, "{\"code\":%d,", err);
	mhp__out_string(out, "", "text", text);
	mhp__out(out, ",");
	mhp__out_why(out, &why);
	mhp__out(out, "}");
}

void
mhp__request_why(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp__sets sets;
	const char *comma = "";
	if (!mhp__sets_open(fields, "say why", out, &sets))
		return;
	mhp__out(out, "{\"blocks\":[");
	for (unsigned i = 0; i < sets.nr; i++)
		for (uint32_t k = 0; k < sets.run[i].count && !out->broken; k++) {
			struct mhp_blocks one = { sets.run[i].first + k, 1 };
			mhp__out(out, "%s", comma);
			out_rehearsal(out, &one, 1);
			comma = ",";
		}
	mhp__out(out, "],\"together\":");
	out_rehearsal(out, sets.run, sets.nr);
	mhp__out(out, "}\n");
	mhp__sets_close(&sets);
}
