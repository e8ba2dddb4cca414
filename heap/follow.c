/* SPDX-License-Identifier: MIT */
/*
 * follow.c - the pool shrinks and grows with the memory limit of its cgroup (R71).
 *
 * Ten times a second, a thread of the companion looks at the limits above the program, at what is
 * used below them, and at the pressure; it may also be told of pressure (pressure.c). From this
 * follows how much the program may take (bound.c). Blocks beyond that leave, the least used first.
 * So a malloc for which there is no room fails, and the program is not killed. Ordinary blocks
 * leave without a copy, so shrinking needs no memory; a block that would need some is refused by
 * the engine, with the figure. Blocks of devices cost the cgroup nothing: they stay, and come on
 * top of what the pool may have.
 *
 * The operator's --max always holds. What others read is atomic; only the thread writes it.
 */
#define _GNU_SOURCE
#include "follow.h"

#include <memplug/companion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "bound.h"
#include "decay.h"
#include "heap.h"
#include "limit.h"
#include "pressure.h"
#include "shrink.h"
#include "taken.h"

#define LOOK_MS 100
#define TOLD_LOOKS 20U                 /* looks for which "memory is short" counts */
#define PRESSED 1000U                  /* 10 %, in hundredths of a per cent, over ten seconds */
#define REST_MAX 64U                   /* looks without a try, after refusals */
#define ASK_LOOKS 50U                  /* looks between two calls of mhp__decay_now() */

static struct {
	_Atomic bool on;
	_Atomic int companion;         /* that has the thread; 0: none */
	_Atomic uint64_t asked_max;    /* by the operator */
	_Atomic uint64_t limit_bytes, used_bytes, safe_bytes;
	_Atomic uint32_t pressure;
	uint64_t limit_before;         /* of the thread alone, like the next */
	struct mhp__fall fall;
	uint64_t told_refused;         /* the limit at which it was told that malloc failed */
	unsigned told;                 /* looks left */
	unsigned asked;                /* looks until the allocator may be asked again */
	unsigned refused, rest;        /* looks to rest after a refusal, and how many are left */
	char self[32], status[32];     /* files of the program */
	char root[128];
} follow;

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * At least so much of the pool is charged to the cgroup: what the program has taken, of its
 * resident anonymous memory, which ordinary memory of a pool is. Asked for before and after the
 * cgroup is read, since the program goes on meanwhile: what it takes in between must not count as
 * charged and be room as well.
 */
static uint64_t
charged_bytes(void)
{
	return least(mhp__resident_bytes(follow.status), mhp__taken_bytes());
}

/* Bytes that the program has taken and that are not on a device. */
static uint64_t
ordinary_bytes(const struct mhp__plugged *plugged)
{
	uint64_t taken = mhp__taken_bytes();
	return taken - least(taken, plugged->device_used_bytes);
}

/* ---- the thread ---- */

/* An event where the limit is another one. */
static void
tell(struct mhp *m, uint64_t limit, uint64_t safe)
{
	if (atomic_exchange(&follow.limit_bytes, limit) != limit)
		(void)!mhp_follow_announce(m, limit, safe, NULL);
}

/* An event that says why blocks have left. */
static void
tell_left(struct mhp *m, unsigned nr, const struct mhp__room *room, uint64_t safe)
{
	char text[96];
	const char *why = "the limit is near";
	if (nr == 0)
		return;
	if (follow.told > 0)
		why = "memory is said to be short";
	else if (room->pressure >= PRESSED)
		why = "others wait for memory";
	snprintf(text, sizeof(text), "%u block%s left: %s", nr, nr != 1 ? "s have" : " has", why);
	(void)!mhp_follow_announce(m, room->limit_bytes, safe, text);
}

/* Where nothing could leave, the next try comes after twice as many looks: each is two events. */
static void
hold_bound(struct mhp *m, const struct mhp__plugged *plugged, uint64_t bound,
	   const struct mhp__room *room, uint64_t safe)
{
	bool holds = plugged->ordinary_bytes <= bound;
	if (holds || room->limit_bytes != follow.limit_before)
		follow.refused = follow.rest = 0;
	if (holds)
		return;
	if (follow.rest > 0) {
		follow.rest--;
		return;
	}
	atomic_store(&mhp__heap.shrinks, true);
	unsigned nr = mhp__shrink(m, plugged, bound);
	atomic_store(&mhp__heap.shrinks, false);
	follow.refused = nr != 0 ? 0 : 2 * follow.refused + 1;
	follow.rest = follow.refused < REST_MAX ? follow.refused : REST_MAX;
	follow.refused = follow.rest;
	tell_left(m, nr, room, safe);
}

/* An event where malloc has failed, one for each limit. */
static bool
tell_refused(struct mhp *m, const struct mhp__room *room, uint64_t safe)
{
	bool refused = mhp__taken_was_refused();
	if (refused && follow.told_refused != room->limit_bytes) {
		follow.told_refused = room->limit_bytes;
		(void)!mhp_follow_announce(m, room->limit_bytes, safe,
					   "malloc was refused: the limit is near");
	}
	return refused;
}

static bool
is_pressed(const struct mhp__room *room)
{
	return room->pressure >= PRESSED || follow.told > 0;
}

/* Where memory is short, what the allocator merely keeps goes back, too. */
static void
give_back(const struct mhp__room *room, bool refused)
{
	if (follow.asked > 0) {
		follow.asked--;
	} else if (refused || is_pressed(room) ||
		   room->room_bytes <= mhp__follow_margin(room->limit_bytes)) {
		mhp__decay_now();
		follow.asked = ASK_LOOKS;
	}
}

/* UINT64_MAX is no bound. */
static uint64_t
on_top(uint64_t bound, uint64_t bytes)
{
	return bound == UINT64_MAX ? bound : bound + bytes;
}

/* Does new memory come from devices, as long as they have some? */
static bool
devices_come_first(const struct mhp__plugged *plugged)
{
	struct mhp_spread spread;
	mhp_pool_get_spread(mhp__heap.pool, &spread);
	if (spread.mode != MHP_SPREAD_PREFER && spread.mode != MHP_SPREAD_BIND)
		return false;
	for (unsigned node = 0; node < MHP_POOL_NODES; node++)
		if (spread.weight[node] != 0 && (plugged->ordinary_nodes >> node & 1U) != 0)
			return false;
	return true;
}

/* Memory of devices costs the cgroup nothing, and comes on top: of the pool all of it, of what may
 * be taken what is in use there, or will be before ordinary memory is. */
static void
set_bounds(const struct mhp__follow_bounds *bounds, const struct mhp__plugged *plugged)
{
	uint64_t most = on_top(bounds->pool_bytes, plugged->device_bytes);
	uint64_t there = devices_come_first(plugged) ? plugged->device_bytes
						     : plugged->device_used_bytes;
	mhp_heap_set_max(least(most, atomic_load(&follow.asked_max)));
	mhp__taken_bound(on_top(bounds->taken_bytes, there), on_top(bounds->large_bytes, there));
}

static void
look(struct mhp *m)
{
	struct mhp__room room;
	struct mhp__plugged plugged;
	struct mhp__follow_bounds bounds;
	uint64_t charged = charged_bytes();
	mhp__cgroup_room(follow.self, follow.root, &room);
	mhp__plugged_get(&plugged);
	uint64_t taken = ordinary_bytes(&plugged);
	mhp__follow_fall(&follow.fall, follow.limit_before, room.limit_bytes);
	struct mhp__follow_facts facts = {
		.block_bytes = mhp__plugged_block(m), .used_bytes = plugged.ordinary_used_bytes,
		.taken_bytes = taken, .limit_bytes = room.limit_bytes,
		.charged_bytes = least(taken, least(charged, charged_bytes())),
		.room_bytes = room.room_bytes,
		.fall_bytes = follow.fall.bytes,
		.pressed = is_pressed(&room),
	};
	mhp__follow_bounds(&facts, &bounds);
	uint64_t safe = room.used_bytes + mhp__follow_margin(room.used_bytes);
	atomic_store(&follow.used_bytes, room.used_bytes);
	atomic_store(&follow.safe_bytes, safe);
	atomic_store(&follow.pressure, room.pressure);
	set_bounds(&bounds, &plugged);
	tell(m, room.limit_bytes, safe);
	hold_bound(m, &plugged, bounds.pool_bytes, &room, safe);
	give_back(&room, tell_refused(m, &room, safe));
	follow.limit_before = room.limit_bytes;
}

/* Until the next look. The first to say that memory is short does not wait until the allocator may
 * be asked again: it counts for a shorter time than that. */
static void
hear(void)
{
	if (mhp__pressure_wait(LOOK_MS)) {
		follow.asked = follow.told > 0 ? follow.asked : 0;
		follow.told = TOLD_LOOKS;
	} else if (follow.told > 0) {
		follow.told--;
	}
}

static void
lift_bounds(void)
{
	const struct mhp__follow_bounds none = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	const struct mhp__plugged nothing = { 0 };
	set_bounds(&none, &nothing);
}

static void
follow_thread(void *arg)
{
	(void)arg;
	follow.limit_before = follow.told_refused = UINT64_MAX;
	atomic_store(&mhp__heap.shrinks, false); /* one that was killed may have left it */
	follow.fall = (struct mhp__fall){ 0 };
	follow.told = follow.asked = follow.refused = follow.rest = 0;
	mhp__pressure_open();
	while (atomic_load(&follow.on)) {
		look(mhp_pool_engine(mhp__heap.pool));
		hear();
	}
	mhp__pressure_close();
	atomic_store(&follow.companion, 0);
	lift_bounds();
}

static int
begin(void *arg)
{
	int none = 0;
	(void)arg;
	/* Untaken: two companions would have to begin at once. */
	if (!atomic_compare_exchange_strong(&follow.companion, &none, (int)getpid()))
		return 0;
	int err = mhp_companion_thread(follow_thread, NULL);
	if (err != 0)
		atomic_store(&follow.companion, 0);
	return err;
}

/* The thread of a companion that is gone, or of the process that we were forked from, is none. */
static int
begin_here(void)
{
	int companion = atomic_load(&follow.companion);
	if (companion != 0 && companion != mhp_companion_pid())
		atomic_compare_exchange_strong(&follow.companion, &companion, 0);
	snprintf(follow.self, sizeof(follow.self), "/proc/%d/cgroup", (int)getpid());
	snprintf(follow.status, sizeof(follow.status), "/proc/%d/status", (int)getpid());
	return mhp_companion_call(begin, NULL, NULL);
}

void
mhp__follow_start(bool on, const char *root)
{
	snprintf(follow.root, sizeof(follow.root), "%s", root);
	atomic_store(&follow.asked_max, mhp_heap_get_max());
	atomic_store(&follow.limit_bytes, UINT64_MAX);
	mhp__pressure_remember();
	if (on)
		(void)!mhp__follow_set(true);
}

void
mhp__follow_wake(void)
{
	int companion = mhp_companion_pid();
	if (atomic_load(&follow.on) && companion != 0 &&
	    companion != atomic_load(&follow.companion))
		(void)!begin_here();
}

/* ---- for control; in the companion ---- */

void
mhp__follow_set_max(uint64_t max_bytes)
{
	atomic_store(&follow.asked_max, max_bytes);
	if (!atomic_load(&follow.on))
		mhp_heap_set_max(max_bytes);
}

int
mhp__follow_set(bool on)
{
	if (atomic_exchange(&follow.on, on) == on)
		return 0;
	if (!on) {
		lift_bounds(); /* the thread may have been killed with its companion */
		return 0;
	}
	int err = mhp_companion_here() ? begin(NULL) : begin_here();
	if (err != 0)
		atomic_store(&follow.on, false);
	return err;
}

void
mhp__follow_get(struct mhp_followed *ret_followed)
{
	*ret_followed = (struct mhp_followed){
		.on = atomic_load(&follow.on),
		.limit_bytes = atomic_load(&follow.limit_bytes),
		.used_bytes = atomic_load(&follow.used_bytes),
		.safe_bytes = atomic_load(&follow.safe_bytes),
		.pressure = atomic_load(&follow.pressure),
	};
}
