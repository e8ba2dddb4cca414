/* SPDX-License-Identifier: MIT */
/*
 * offline.c - get ranges empty, or say what is in the way.
 *
 * prepare isolates all ranges, asks the listeners (who may still free something), surveys what is
 * in use, takes room for all of it, and moves it, pass after pass, until nothing is left or a
 * bound is reached. Isolation is monotonic: a free frame stays free. So ranges that have nothing in
 * use then, or a pass that saw nothing, are the proof of being empty, and nobody looks again.
 * Whoever walks polls the bounds, so that a cancel or the deadline ends it wherever it is.
 *
 * The survey is also the dry run, and the explanation after a failure: one piece of code gives the
 * same answer to all three (R30).
 */
#include "base/mem.h"
#include "pages/attach.h"
#include "pages/cache.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "ranges/migrate.h"
#include "ranges/ranges.h"
#include "state/trace.h"
#include "tables/bad.h"
#include "tables/notify.h"
#include "tables/owner.h"

#define PAUSE_NS_MIN UINT64_C(50000)
#define PAUSE_NS_MAX UINT64_C(20000000)

/* ---- the survey ---- */

struct survey {
	uint64_t nr_of_order[MHP_ORDERS]; /* movable pages */
	uint64_t nr_movable;              /* frames, of all ranges */
	bool probe;                       /* ask owners whether they would let go */
	struct mhp__mover *mover;         /* whose bounds hold; NULL: nobody's */
	mhp__except_fn *excepts;
};

static void
count_owner(struct mhp_why *why, const struct mhp_chunk *chunk)
{
	unsigned i = 0;

	while (i < why->nr_owners && why->owners[i].owner != chunk->owner)
		i++;
	if (i == MHP_WHY_OWNERS) {
		why->more_owners = true;
		return;
	}
	if (i == why->nr_owners) {
		why->nr_owners++;
		why->owners[i].owner = chunk->owner;
		why->owners[i].first_pfn = chunk->pfn;
	}
	why->owners[i].nr_pages += UINT64_C(1) << chunk->order;
}

static void
name_page(struct mhp *m, struct mhp_why *why, const struct mhp_chunk *chunk)
{
	why->pfn = chunk->pfn;
	why->order = chunk->order;
	why->owner = chunk->owner;
	why->block = mhp__pfn_block(m, chunk->pfn);
	mhp__owner_describe(m, chunk->owner, chunk->pfn, chunk->cookie, why->text);
}

static void
name_first_block(struct mhp *m, struct mhp_why *why, const struct mhp__range_iter *ranges)
{
	struct mhp__range range;
	uint32_t cursor = 0;
	bool found = ranges->next(m, ranges->set, &cursor, &range);

	MHP_ASSERT(found); /* a call is about one at least */
	why->block = mhp__pfn_block(m, range.start_pfn);
}

/* This page is in the way. */
static void
blame(struct mhp *m, struct mhp_why *why, enum mhp_cause cause, const struct mhp_chunk *chunk)
{
	if (why->cause == MHP_CAUSE_NONE) {
		why->cause = cause;
		name_page(m, why, chunk);
	}
	count_owner(why, chunk);
}

static bool
owner_lets_go(const struct mhp_owner *owner, const struct mhp_chunk *chunk)
{
	int err = owner->ops->isolate(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);

	if (err == 0)
		owner->ops->putback(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);
	return err == 0 || err == MHP_EAGAIN;
}

static void
survey_chunk(struct mhp *m, const struct mhp_chunk *chunk, struct survey *survey,
	     struct mhp_why *why)
{
	uint64_t nr_pages = UINT64_C(1) << chunk->order;
	const struct mhp_owner *owner = &m->owners[chunk->owner];

	if (chunk->owner == MHP_OWNER_NONE)
		return; /* cached, or on its way: not an obstacle yet */
	if (chunk->owner == MHP_OWNER_BAD) {
		why->nr_bad += nr_pages;
	} else if (!mhp__owner_movable(m, chunk->owner)) {
		if (survey->excepts != NULL && survey->excepts(m, chunk->owner, chunk->cookie))
			return;
		why->nr_unmovable += nr_pages;
		blame(m, why, MHP_CAUSE_UNMOVABLE, chunk);
	} else {
		why->nr_movable += nr_pages;
		survey->nr_movable += nr_pages;
		survey->nr_of_order[chunk->order]++;
		if (survey->probe && !owner_lets_go(owner, chunk))
			blame(m, why, MHP_CAUSE_REFUSED, chunk);
	}
}

/* False: it must stop. */
static bool
survey_range(struct mhp *m, const struct mhp__range *range, struct survey *survey,
	     struct mhp_why *why)
{
	const struct mhp_chunk *chunk;
	struct mhp__walk walk;

	mhp__walk_begin(&walk, range->start_pfn, range->nr_pages);
	while ((chunk = mhp__walk_next(m, &walk)) != NULL) {
		if (mhp__walk_is_fresh(&walk) && survey->mover != NULL &&
		    survey->mover->stop(survey->mover))
			return false;
		survey_chunk(m, chunk, survey, why);
	}
	return true;
}

/* Name every blocker; the cause and the first page too, unless why has one already. False: it must
 * stop. */
static bool
survey_all(struct mhp *m, const struct mhp__range_iter *ranges, struct survey *survey,
	   struct mhp_why *why)
{
	struct mhp__range range;
	uint32_t cursor = 0;

	survey->excepts = ranges->excepts;
	while (ranges->next(m, ranges->set, &cursor, &range))
		if (!survey_range(m, &range, survey, why))
			return false;
	return true;
}

/* ---- is there room? ----
 *
 * Pages are naturally aligned, so they pack without loss when the largest are placed first. Whether
 * all fit is then a matter of counting: with larger ones counted as so many small ones, there must
 * be as many free pages of each order as are to be placed.
 */

static void
count_needed(const struct survey *survey, uint64_t ret_needed[MHP_ORDERS])
{
	uint64_t larger = 0;

	for (unsigned order = MHP_ORDERS; order-- > 0;) {
		larger = 2 * larger + survey->nr_of_order[order];
		ret_needed[order] = larger;
	}
}

/* The largest order that there is too little of, or MHP_ORDERS. */
static unsigned
find_missing(const uint64_t needed[MHP_ORDERS], const uint64_t room[MHP_ORDERS])
{
	for (unsigned order = MHP_ORDERS; order-- > 0;)
		if (needed[order] > room[order])
			return order;
	return MHP_ORDERS;
}

/* Add what is free in a zone outside of the ranges, until it is enough. */
static void
count_room(struct mhp *m, const struct mhp_zone *zone, const struct mhp__range_iter *ranges,
	   const uint64_t needed[MHP_ORDERS], uint64_t room[MHP_ORDERS])
{
	uint32_t arena = mhp__pfn_arena(m, zone->start_pfn), cursor = 0;
	uint32_t end = mhp__pfn_arena(m, zone->end_pfn);
	struct mhp__range range;
	bool more = ranges->next(m, ranges->set, &cursor, &range);

	/* Bound: each turn comes to the next arena or to the next range. */
	while (arena < end && find_missing(needed, room) != MHP_ORDERS) {
		if (more && arena >= mhp__pfn_arena(m, range.start_pfn + range.nr_pages))
			more = ranges->next(m, ranges->set, &cursor, &range);
		else if (more && arena >= mhp__pfn_arena(m, range.start_pfn))
			arena = mhp__pfn_arena(m, range.start_pfn + range.nr_pages);
		else
			mhp__room_count(m, zone, arena++, room);
	}
}

static int
blame_room(struct mhp *m, const struct mhp__range_iter *ranges, unsigned order, uint64_t nr_missing,
	   struct mhp_why *why)
{
	why->cause = MHP_CAUSE_ROOM;
	why->order = (uint8_t)order;
	why->room_missing = nr_missing << order;
	name_first_block(m, why, ranges);
	return MHP_ENOMEM;
}

/* The dry run. */
int
mhp__offline_pages_foresee(struct mhp *m, const struct mhp__range_iter *ranges,
			   struct mhp_why *reterr_why)
{
	uint64_t needed[MHP_ORDERS], room[MHP_ORDERS];
	struct survey survey;
	unsigned order;

	memset(&survey, 0, sizeof(survey));
	memset(room, 0, sizeof(room));
	survey.probe = true;
	(void)survey_all(m, ranges, &survey, reterr_why); /* nobody's bounds: to the end */
	if (reterr_why->cause != MHP_CAUSE_NONE)
		return MHP_EBUSY;
	count_needed(&survey, needed);
	mhp_drain_caches(m);
	for (unsigned id = 0; id < m->nr_zones; id++)
		count_room(m, &m->zones[id], ranges, needed, room);
	order = find_missing(needed, room);
	if (order == MHP_ORDERS)
		return 0;
	return blame_room(m, ranges, order, needed[order] - room[order], reterr_why);
}

/* ---- isolation and listeners ---- */

/* Is anything in use? Where nothing is, caches hold nothing either: their frames are taken. */
static bool
isolate_all(struct mhp *m, const struct mhp__range_iter *ranges)
{
	const struct mhp_zone *drained = NULL;
	struct mhp__range range;
	uint32_t cursor = 0;
	bool used = false;

	while (ranges->next(m, ranges->set, &cursor, &range)) {
		mhp__pages_isolate(m, range.start_pfn, range.nr_pages);
		used |= !mhp__pages_are_free(m, range.start_pfn, range.nr_pages);
	}
	cursor = 0;
	while (used && ranges->next(m, ranges->set, &cursor, &range)) {
		struct mhp_zone *zone = mhp__zone(m, range.node, range.zone);
		if (zone != drained)
			mhp__cache_drain(m, zone);
		drained = zone;
	}
	return used;
}

static void
open_all(struct mhp *m, const struct mhp__range_iter *ranges)
{
	struct mhp__range range;
	uint32_t cursor = 0;

	while (ranges->next(m, ranges->set, &cursor, &range))
		mhp__pages_open(m, range.start_pfn, range.nr_pages);
}

/* Tell CANCEL for the first nr ranges. */
static void
tell_cancel(struct mhp *m, const struct mhp__range_iter *ranges, uint64_t nr)
{
	struct mhp__range range;
	uint32_t cursor = 0;

	while (nr-- > 0 && ranges->next(m, ranges->set, &cursor, &range)) {
		struct mhp_notice notice = mhp__range_notice(&range, MHP_CANCEL_OFFLINE_NOTICE);
		mhp__notify(m, &notice);
	}
}

static int
ask_listeners(struct mhp *m, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	struct mhp__range range;
	uint32_t cursor = 0;
	uint64_t nr_told = 0;

	while (ranges->next(m, ranges->set, &cursor, &range)) {
		struct mhp_notice notice = mhp__range_notice(&range, MHP_GOING_OFFLINE_NOTICE);
		int err = mhp__notify_going(m, &notice, MHP_CANCEL_OFFLINE_NOTICE, why);
		if (err != 0) {
			tell_cancel(m, ranges, nr_told);
			why->block = mhp__pfn_block(m, range.start_pfn);
			return err;
		}
		nr_told++;
	}
	return 0;
}

/* ---- the bounds ---- */

static bool
canceled(struct mhp *m)
{
	return atomic_load_explicit(&m->cancel, memory_order_relaxed) == mhp__cancel_token(m);
}

static bool
must_stop(struct mhp__mover *mover)
{
	struct mhp *m = mover->m;

	atomic_store_explicit(&m->progress_moved, mover->moved, memory_order_relaxed);
	atomic_store_explicit(&m->progress_left,
			      mover->total > mover->moved ? mover->total - mover->moved : 0,
			      memory_order_relaxed);
	return canceled(m) || m->ops->now_ns(m->port) >= mover->deadline_ns;
}

/* Say what is known by now: why has what a survey has found. Nobody is asked, nothing is looked at
 * any more: whoever set the bound wants to hear now. */
static int
stop_now(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	bool cancel = canceled(mover->m);

	if (why->pfn == MHP_PFN_NONE && mover->error.cause != MHP_CAUSE_NONE)
		name_page(mover->m, why, &mover->error.chunk);
	else if (why->pfn == MHP_PFN_NONE)
		name_first_block(mover->m, why, ranges);
	why->cause = cancel ? MHP_CAUSE_CANCELED : MHP_CAUSE_DEADLINE;
	return cancel ? MHP_ECANCELED : MHP_EAGAIN;
}

/* ---- room for everything ---- */

/* Take room for the pages of orders [low, end) of each range in turn, so that what follows each
 * other at home does so at the target. *ret_missing: how many pages found none. False: it must
 * stop. */
static bool
take_orders(struct mhp__mover *mover, const struct mhp__range_iter *ranges, unsigned low,
	    unsigned end, uint64_t *ret_missing)
{
	struct mhp__range range;
	struct survey survey;
	struct mhp_why ignored;
	uint64_t missing;
	uint32_t cursor = 0;

	*ret_missing = 0;
	memset(&ignored, 0, sizeof(ignored));
	while (ranges->next(mover->m, ranges->set, &cursor, &range)) {
		memset(&survey, 0, sizeof(survey));
		survey.mover = mover;
		if (!survey_range(mover->m, &range, &survey, &ignored))
			return false;
		for (unsigned order = end; order-- > low;) {
			(void)mhp__room_fill(mover->m, &mover->room, range.node, order,
					     survey.nr_of_order[order], &missing);
			*ret_missing += missing;
		}
	}
	return true;
}

/* Take room for everything, so that nothing moves unless all can. Return: 0, MHP_ENOMEM, or
 * MHP_EAGAIN (it must stop). */
static int
take_all_room(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	uint64_t missing;

	if (!take_orders(mover, ranges, 0, MHP_ORDERS, &missing))
		return MHP_EAGAIN;
	if (missing == 0)
		return 0;
	/* Caches may hold it; or small pages of one range broke up what large ones of the next
	 * need. */
	mhp__room_empty(mover->m, &mover->room);
	mhp_drain_caches(mover->m);
	for (unsigned order = MHP_ORDERS; order-- > 0;) {
		if (!take_orders(mover, ranges, order, order + 1, &missing))
			return MHP_EAGAIN;
		if (missing != 0)
			return blame_room(mover->m, ranges, order, missing, why);
	}
	return 0;
}

/* Nothing will move. Say what a dry run says: owners that would not let go come before room. */
static int
refuse(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	struct mhp_why first = *why;
	struct survey survey;

	memset(why, 0, sizeof(*why));
	memset(&survey, 0, sizeof(survey));
	why->pfn = MHP_PFN_NONE;
	survey.probe = true;
	survey.mover = mover;
	if (!survey_all(mover->m, ranges, &survey, why))
		return stop_now(mover, ranges, why);
	if (why->cause != MHP_CAUSE_NONE)
		return MHP_EBUSY;
	*why = first; /* those that were in the way have let go by now */
	return why->cause == MHP_CAUSE_ROOM ? MHP_ENOMEM : MHP_EBUSY;
}

static int
take_room(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	struct survey survey;
	int err = 0;

	memset(&survey, 0, sizeof(survey));
	survey.mover = mover;
	if (!survey_all(mover->m, ranges, &survey, why))
		return stop_now(mover, ranges, why);
	mhp__phase(mover->m, MHP_PHASE_SURVEY);
	mover->total = survey.nr_movable;
	atomic_store_explicit(&mover->m->progress_left, mover->total, memory_order_relaxed);
	if (why->cause != MHP_CAUSE_NONE)
		return refuse(mover, ranges, why);
	if (mover->total != 0)
		err = take_all_room(mover, ranges, why);
	if (err == MHP_EAGAIN)
		return stop_now(mover, ranges, why);
	return err != 0 ? refuse(mover, ranges, why) : 0;
}

/* ---- emptying ---- */

static uint64_t
pass_all(struct mhp__mover *mover, const struct mhp__range_iter *ranges)
{
	struct mhp__range range;
	uint32_t cursor = 0;
	uint64_t left = 0;

	mover->error.cause = MHP_CAUSE_NONE;
	while (ranges->next(mover->m, ranges->set, &cursor, &range)) {
		mover->node = range.node;
		left += mhp__move_pass(mover, range.start_pfn, range.nr_pages);
	}
	atomic_store_explicit(&mover->m->progress_moved, mover->moved, memory_order_relaxed);
	atomic_store_explicit(&mover->m->progress_left, left, memory_order_relaxed);
	return left;
}

/* Nothing moves any more: name the first page that stayed, and everybody who would not let go. */
static int
give_up(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	struct survey survey;

	memset(why, 0, sizeof(*why));
	memset(&survey, 0, sizeof(survey));
	why->pfn = MHP_PFN_NONE;
	survey.probe = true;
	survey.mover = mover;
	if (!survey_all(mover->m, ranges, &survey, why))
		return stop_now(mover, ranges, why);
	if (why->pfn == MHP_PFN_NONE)
		name_page(mover->m, why, &mover->error.chunk);
	why->cause = mover->error.cause;
	return mover->error.err;
}

static int
move_all(struct mhp__mover *mover, const struct mhp__range_iter *ranges,
	 const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	uint32_t max = opts->attempts_max != 0 ? opts->attempts_max : MHP_OFFLINE_ATTEMPTS;
	uint64_t pause_ns = PAUSE_NS_MIN;
	uint32_t attempts = 0;

	/* Bound: max passes without progress, or the deadline. */
	for (;;) {
		uint64_t moved = mover->moved;
		if (pass_all(mover, ranges) == 0)
			return 0;
		if (must_stop(mover)) {
			why->nr_movable = atomic_load_explicit(&mover->m->progress_left,
							       memory_order_relaxed);
			return stop_now(mover, ranges, why);
		}
		attempts = mover->moved != moved ? 0 : attempts + 1;
		if (attempts >= max)
			return give_up(mover, ranges, why);
		mover->m->ops->pause(mover->m->port, pause_ns);
		pause_ns = pause_ns * 2 < PAUSE_NS_MAX ? pause_ns * 2 : PAUSE_NS_MAX;
	}
}

static int
empty_all(struct mhp *m, const struct mhp__range_iter *ranges, const struct mhp_offline_opts *opts,
	  struct mhp_why *why)
{
	uint32_t deadline_ms = opts->deadline_ms != 0 ? opts->deadline_ms : MHP_OFFLINE_DEADLINE_MS;
	struct mhp__mover mover;
	int err;

	memset(&mover, 0, sizeof(mover));
	mover.m = m;
	mover.may_fill = true;
	mover.stop = must_stop;
	mover.excepts = ranges->excepts;
	mover.deadline_ns = atomic_load_explicit(&m->progress_start_ns, memory_order_relaxed) +
			    deadline_ms * UINT64_C(1000000);
	mhp__room_init(&mover.room);
	err = take_room(&mover, ranges, why);
	mhp__phase(m, MHP_PHASE_ROOM);
	if (err == 0)
		err = move_all(&mover, ranges, opts, why);
	mhp__room_empty(m, &mover.room);
	mhp__phase(m, MHP_PHASE_MOVE);
	m->pages_moved += mover.moved;
	return err;
}

int
mhp__offline_pages_prepare(struct mhp *m, const struct mhp__range_iter *ranges,
			   const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	bool used = isolate_all(m, ranges);
	int err;

	mhp__phase(m, MHP_PHASE_ISOLATE);
	err = ask_listeners(m, ranges, reterr_why);
	mhp__phase(m, MHP_PHASE_NOTIFY);
	if (err == 0 && used) {
		err = empty_all(m, ranges, opts, reterr_why);
		if (err != 0)
			tell_cancel(m, ranges, UINT64_MAX);
	}
	if (err != 0)
		open_all(m, ranges);
	return err;
}
