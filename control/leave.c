/* SPDX-License-Identifier: MIT */
/*
 * leave.c - requests about blocks that leave: offline, remove, why, cancel.
 *
 * Each is one call of the engine and so all or nothing. One that ran out of attempts, or met pages
 * that a forked child still sees, is tried again until its deadline: they become free when it ends.
 * One for which there is no room is tried again if room was made: the program gave back what it
 * keeps, or free frames were brought together. running[] is guarded by its mutex; nothing that
 * takes a lock of the engine is called with it held. If a client is gone, the thread that accepts
 * cancels its request (R52).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"
#include "leave.h"

#define RUNNING_MAX 16U
#define PAUSE_NS 20000000
#define TURN_PAUSE_NS 1000000

/* Requests that are being carried out. */
static struct running {
	const struct mhp__leave *leave; /* NULL: free */
	int pid;                       /* of the client */
	bool canceled;
	bool packing;                  /* free frames are brought together for it */
} running[RUNNING_MAX];
static pthread_mutex_t running_lock;
static _Atomic bool turn_taken;        /* one of them is with the engine */

static int
client_pid(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

uint64_t
mhp__deadline_ms(const struct mhp__fields *fields)
{
	uint64_t ms = mhp__number(fields, MHP__F_DEADLINE_MS);
	return ms > 0 && ms < UINT32_MAX ? ms : MHP_DEADLINE_MS_DEFAULT;
}

/* ---- what runs, and cancelling it ---- */

/* NULL when there are too many: that one cannot be cancelled between two calls. */
static struct running *
note(const struct mhp__leave *leave)
{
	struct running *found = NULL;
	pthread_mutex_lock(&running_lock);
	for (unsigned i = 0; i < RUNNING_MAX && found == NULL; i++)
		if (running[i].leave == NULL)
			found = &running[i];
	if (found != NULL)
		*found = (struct running){ leave, client_pid(leave->client_fd), false, false };
	pthread_mutex_unlock(&running_lock);
	return found;
}

static void
forget(struct running *noted)
{
	pthread_mutex_lock(&running_lock);
	if (noted != NULL)
		noted->leave = NULL;
	pthread_mutex_unlock(&running_lock);
}

static bool
is_canceled(const struct running *noted)
{
	pthread_mutex_lock(&running_lock);
	bool canceled = noted != NULL && noted->canceled;
	pthread_mutex_unlock(&running_lock);
	return canceled;
}

static bool
names(const struct mhp__leave *leave, uint32_t block)
{
	for (unsigned i = 0; i < leave->nr; i++)
		if (block - leave->runs[i].first < leave->runs[i].count)
			return true;
	return false;
}

/* Is what the engine does just now for this one? Lock held. */
static bool
is_under_way(const struct running *one, const struct mhp_progress *now)
{
	if (now->blocks.count == 0)
		return false;
	return one->packing ? now->work == MHP_WORK_COMPACT : names(one->leave, now->blocks.first);
}

/*
 * Mark what is meant: what process pid asked for, or what includes a block. Returns how many, and
 * whether one of them is what the engine has under way, which includes that block; or, if none was
 * meant, whether that is nobody else's either: a client asks again until it is answered, and what
 * it asked for may have ended meanwhile.
 */
static unsigned
mark(int pid, const uint32_t *block, const struct mhp_progress *now, bool *ret_is_under_way)
{
	unsigned found = 0;
	bool ours = false, others = false;
	pthread_mutex_lock(&running_lock);
	for (unsigned i = 0; i < RUNNING_MAX; i++) {
		struct running *one = &running[i];
		if (one->leave == NULL)
			continue;
		if (block != NULL ? !names(one->leave, *block) : one->pid != pid) {
			others |= is_under_way(one, now);
			continue;
		}
		one->canceled = true;
		ours |= is_under_way(one, now);
		found++;
	}
	pthread_mutex_unlock(&running_lock);
	*ret_is_under_way = ours || (found == 0 && block == NULL && !others);
	return found;
}

void
mhp__request_cancel(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp_progress now = mhp_progress(mhp__control.m);
	bool any = !mhp__has(fields, MHP__F_BLOCK), stop = false;
	uint64_t number = mhp__number(fields, MHP__F_BLOCK);
	uint32_t block = (uint32_t)number;
	if (number > UINT32_MAX) {
		mhp__out_error(out, MHP_EINVAL, "%llu is no block", (unsigned long long)number);
		return;
	}
	unsigned found = mark(client_pid(out->fd), any ? NULL : &block, &now, &stop);
	if (stop && now.blocks.count != 0 &&
	    mhp_cancel(mhp__control.m, now.blocks.first) == 0)
		found++;
	if (found == 0)
		mhp__out_error(out, MHP_ENOENT, "nothing is being taken out of use");
	else
		mhp__out(out, "{}\n");
}

/* Mark what nobody waits for any more. True: that is under way, and *ret_block is one of its
 * blocks. */
static bool
mark_gone(uint32_t *ret_block)
{
	bool under_way = false;
	pthread_mutex_lock(&running_lock);
	struct mhp_progress now = mhp_progress(mhp__control.m);
	*ret_block = now.blocks.first;
	for (unsigned i = 0; i < RUNNING_MAX; i++) {
		struct running *one = &running[i];
		if (one->leave == NULL || !mhp__client_gone(one->leave->client_fd))
			continue;
		one->canceled = true;
		under_way |= is_under_way(one, &now);
	}
	pthread_mutex_unlock(&running_lock);
	return under_way;
}

void
mhp__leave_look(void)
{
	uint32_t block;
	if (mark_gone(&block))
		(void)!mhp_cancel(mhp__control.m, block);
}

/* The C library takes other mutexes without atomics while the program has one thread. */
void
mhp__leave_reset(void)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&running_lock, &attr);
	memset(running, 0, sizeof(running));
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
take_turn(const struct running *noted, uint64_t end, struct mhp_why *why)
{
	for (;;) {
		if (is_canceled(noted)) {
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

static void
set_packing(struct running *noted, bool packing)
{
	pthread_mutex_lock(&running_lock);
	if (noted != NULL)
		noted->packing = packing;
	pthread_mutex_unlock(&running_lock);
}

/* In a turn, like leaving. True as well where it was cancelled: the next turn finds that. */
static bool
pack(const struct mhp__leave *leave, struct running *noted, uint64_t end)
{
	struct mhp_why why;
	if (take_turn(noted, end, &why) != 0)
		return is_canceled(noted);
	uint64_t now = mhp__now_ms(), won = 0;
	set_packing(noted, true);
	if (now < end)
		won = mhp_pool_pack(mhp__control.pool, leave->to_nodes, (uint32_t)(end - now));
	set_packing(noted, false);
	atomic_store(&turn_taken, false);
	return won != 0 || is_canceled(noted);
}

/* The steps that may make room, each taken once: true, it helped. A rehearsal moves nothing. */
struct room_steps {
	bool asked, packed;
};

static bool
make_room(const struct mhp__leave *leave, struct running *noted, const struct mhp_why *why,
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
	return pack(leave, noted, end);
}

/* Is it worth another try? */
static bool
prepare_again(const struct mhp__leave *leave, struct running *noted, int err,
	      const struct mhp_why *why, uint64_t end, struct room_steps *steps)
{
	if (err != 0 && why->cause == MHP_CAUSE_ROOM)
		return make_room(leave, noted, why, end, steps);
	if (err != MHP_EAGAIN && err != MHP_EINTR && err != MHP_ETXTBSY)
		return false;
	pause_ns(PAUSE_NS);
	return true;
}

int
mhp__leave(const struct mhp__leave *leave, struct mhp_why *ret_why)
{
	uint64_t end = mhp__now_ms() + leave->deadline_ms;
	struct running *noted = note(leave);
	struct room_steps steps = { false, false };
	int err;
	do {
		*ret_why = (struct mhp_why){ .pfn = MHP_PFN_NONE };
		err = take_turn(noted, end, ret_why);
		if (err != 0)
			break;
		uint64_t now = mhp__now_ms();
		err = leave_once(leave, (uint32_t)(now < end ? end - now : 1), ret_why);
		atomic_store(&turn_taken, false);
	} while (mhp__now_ms() + 50 < end &&
		 prepare_again(leave, noted, err, ret_why, end, &steps));
	forget(noted);
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
