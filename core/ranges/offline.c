/* SPDX-License-Identifier: MIT */
/*
 * offline.c - get ranges empty, or say what is in the way.
 *
 * prepare isolates all ranges, asks the listeners (who may still free something), surveys what is
 * in use, takes room for all of it, and moves it, pass after pass, until nothing is left or a
 * bound is reached. Isolation is monotonic: a free frame stays free. So ranges that have nothing in
 * use then, or a pass that saw nothing, are the proof of being empty, and nobody looks again.
 * Every walk polls the bounds, so that a cancel or the deadline ends it wherever it is.
 *
 * The survey is also the dry run, and the explanation after a failure: one piece of code gives the
 * same answer to all three (R30).
 */
#include "base/mem.h"
#include "pages/alloc.h"
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
#define PAUSE_SLICE_NS UINT64_C(250000) /* how long somebody may wait who wants it to end */

/* ---- the survey ---- */

struct survey {
	uint64_t nr_of_order[MHP_ORDERS]; /* movable pages */
	uint64_t nr_movable;              /* frames, of all ranges */
	bool probe;                       /* ask owners whether they would let go */
	mhp__except_fn *excepts;
};

static void
count_owner(struct mhp_why *why, const struct mhp__chunk *chunk)
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
name_page(struct mhp *m, struct mhp_why *why, const struct mhp__chunk *chunk)
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
blame(struct mhp *m, struct mhp_why *why, enum mhp_cause cause, const struct mhp__chunk *chunk)
{
	MHP_ASSERT_DEBUG(cause != MHP_CAUSE_NONE);
	if (why->cause == MHP_CAUSE_NONE) {
		why->cause = cause;
		name_page(m, why, chunk);
	}
	count_owner(why, chunk);
}

static bool
owner_lets_go(const struct mhp__owner *owner, const struct mhp__chunk *chunk)
{
	int err = owner->ops->isolate(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);

	if (err == 0)
		owner->ops->putback(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);
	return err == 0 || err == MHP_EAGAIN;
}

static void
survey_chunk(struct mhp *m, const struct mhp__chunk *chunk, struct survey *survey,
	     struct mhp_why *why)
{
	uint64_t nr_pages = UINT64_C(1) << chunk->order;
	const struct mhp__owner *owner = &m->owners[chunk->owner];

	MHP_ASSERT_DEBUG(chunk->owner < MHP_OWNERS_MAX);
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

/* Return: 0, or what mhp__work_stop() says. */
static int
survey_range(struct mhp *m, const struct mhp__range *range, struct survey *survey,
	     struct mhp_why *why)
{
	const struct mhp__chunk *chunk;
	struct mhp__walk walk;
	int err = 0;

	mhp__walk_begin(&walk, range->start_pfn, range->nr_pages);
	while (err == 0 && (chunk = mhp__walk_next(m, &walk)) != NULL) {
		if (mhp__walk_is_fresh(&walk))
			err = mhp__work_stop(m);
		if (err == 0)
			survey_chunk(m, chunk, survey, why);
	}
	return err;
}

/* Name every blocker; the cause and the first page too, unless why has one already. Return: 0, or
 * what mhp__work_stop() says. */
static int
survey_all(struct mhp *m, const struct mhp__range_iter *ranges, struct survey *survey,
	   struct mhp_why *why)
{
	struct mhp__range range;
	uint32_t cursor = 0, nr = 0;
	int err = 0;

	survey->excepts = ranges->excepts;
	while (err == 0 && ranges->next(m, ranges->set, &cursor, &range)) {
		err = mhp__work_stop_at(m, nr++);
		if (err == 0)
			err = survey_range(m, &range, survey, why);
	}
	return err;
}

/* A bound was met. Say what is known by now: why has what a survey has found. Nobody is asked,
 * nothing is looked at any more: whoever set the bound wants to hear now. */
static int
stop_now(struct mhp *m, const struct mhp__range_iter *ranges, int error, struct mhp_why *why)
{
	MHP_ASSERT_DEBUG(error != 0);
	if (why->pfn == MHP_PFN_NONE)
		name_first_block(m, why, ranges);
	why->cause = mhp__work_cause(error);
	return error;
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

/* Add what is free in a zone outside of the ranges, until it is enough. Return: 0, or what
 * mhp__work_stop() says. */
static int
count_room(struct mhp *m, const struct mhp__zone *zone, const struct mhp__range_iter *ranges,
	   const uint64_t needed[MHP_ORDERS], uint64_t room[MHP_ORDERS])
{
	uint32_t arena = mhp__pfn_arena(m, zone->start_pfn), cursor = 0;
	uint32_t end = mhp__pfn_arena(m, zone->end_pfn);
	struct mhp__range range;
	bool more = ranges->next(m, ranges->set, &cursor, &range);
	int err = 0;

	/* Bound: each turn comes to the next arena or to the next range. */
	for (uint32_t turn = 0; arena < end && find_missing(needed, room) != MHP_ORDERS; turn++) {
		err = mhp__work_stop_at(m, turn);
		if (err != 0)
			return err;
		if (more && arena >= mhp__pfn_arena(m, range.start_pfn + range.nr_pages))
			more = ranges->next(m, ranges->set, &cursor, &range);
		else if (more && arena >= mhp__pfn_arena(m, range.start_pfn))
			arena = mhp__pfn_arena(m, range.start_pfn + range.nr_pages);
		else
			mhp__room_count(m, zone, arena++, room);
	}
	return 0;
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
mhp__offline_pages_foresee(struct mhp *m, const struct mhp__range_iter *ranges, uint64_t to_nodes,
			   struct mhp_why *reterr_why)
{
	uint64_t needed[MHP_ORDERS], room[MHP_ORDERS];
	struct survey survey;
	unsigned order;
	int err;

	memset(&survey, 0, sizeof(survey));
	memset(room, 0, sizeof(room));
	survey.probe = true;
	err = survey_all(m, ranges, &survey, reterr_why);
	if (err != 0)
		return stop_now(m, ranges, err, reterr_why);
	if (reterr_why->cause != MHP_CAUSE_NONE)
		return MHP_EBUSY;
	count_needed(&survey, needed);
	mhp_drain_caches(m);
	for (unsigned id = 0; id < m->nr_zones && err == 0; id++)
		if (mhp__nodes_have((struct mhp__nodes){ .set = to_nodes }, m->zones[id].node))
			err = count_room(m, &m->zones[id], ranges, needed, room);
	if (err != 0)
		return stop_now(m, ranges, err, reterr_why);
	order = find_missing(needed, room);
	if (order == MHP_ORDERS)
		return 0;
	return blame_room(m, ranges, order, needed[order] - room[order], reterr_why);
}

/* ---- isolation and listeners ---- */

/* An offline under way, and what a failure has to undo. */
struct offline {
	struct mhp *m;
	const struct mhp__range_iter *ranges;
	uint64_t nr_isolated;          /* ranges, from the first on */
	uint64_t nr_told;              /* of them listeners were told GOING */
	bool used;                     /* something is in use in them */
};

/* Caches hold nothing of ranges that nothing is in use in: their frames are taken. */
static void
drain_zones(struct offline *offline)
{
	const struct mhp__zone *drained = NULL;
	struct mhp *m = offline->m;
	struct mhp__range range;
	uint32_t cursor = 0;

	while (offline->used && offline->ranges->next(m, offline->ranges->set, &cursor, &range)) {
		struct mhp__zone *zone = mhp__zone(m, range.node, range.zone);
		if (zone != drained)
			mhp__cache_drain(m, zone);
		drained = zone;
	}
}

/* Return: 0, or what mhp__work_stop() says. */
static int
isolate_all(struct offline *offline)
{
	struct mhp *m = offline->m;
	struct mhp__range range;
	uint32_t cursor = 0;
	int err = 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	while (err == 0 && offline->ranges->next(m, offline->ranges->set, &cursor, &range)) {
		mhp__pages_isolate(m, range.start_pfn, range.nr_pages);
		offline->used |= !mhp__pages_are_free(m, range.start_pfn, range.nr_pages);
		err = mhp__work_stop_at(m, (uint32_t)offline->nr_isolated++);
	}
	if (err == 0)
		drain_zones(offline);
	return err;
}

static void
open_isolated(struct offline *offline)
{
	struct mhp *m = offline->m;
	struct mhp__range range;
	uint32_t cursor = 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	while (offline->nr_isolated > 0 &&
	       offline->ranges->next(m, offline->ranges->set, &cursor, &range)) {
		mhp__pages_open(m, range.start_pfn, range.nr_pages);
		offline->nr_isolated--;
	}
}

static void
tell_cancel(struct offline *offline)
{
	struct mhp *m = offline->m;
	struct mhp__range range;
	uint32_t cursor = 0;

	while (offline->nr_told > 0 &&
	       offline->ranges->next(m, offline->ranges->set, &cursor, &range)) {
		struct mhp_notice notice = mhp__range_notice(&range, MHP_CANCEL_OFFLINE_NOTICE);
		mhp__notify(m, &notice);
		offline->nr_told--;
	}
}

static int
ask_listeners(struct offline *offline, struct mhp_why *why)
{
	struct mhp *m = offline->m;
	struct mhp__range range;
	uint32_t cursor = 0;

	while (offline->ranges->next(m, offline->ranges->set, &cursor, &range)) {
		struct mhp_notice notice = mhp__range_notice(&range, MHP_GOING_OFFLINE_NOTICE);
		int err = mhp__work_stop_at(m, (uint32_t)offline->nr_told);
		if (err != 0)
			return stop_now(m, offline->ranges, err, why);
		err = mhp__notify_going(m, &notice, MHP_CANCEL_OFFLINE_NOTICE, why);
		if (err != 0) {
			why->block = mhp__pfn_block(m, range.start_pfn);
			return err;
		}
		offline->nr_told++;
	}
	return 0;
}

/* ---- room for everything ---- */

/* Take room for the pages of orders [low, end) of each range in turn, so that what follows each
 * other at home does so at the target. *ret_missing: how many pages found none. Return: 0, or what
 * mhp__work_stop() says. */
static int
take_orders(struct mhp__mover *mover, const struct mhp__range_iter *ranges, unsigned low,
	    unsigned end, uint64_t *ret_missing)
{
	struct mhp__range range;
	struct survey survey;
	struct mhp_why ignored;
	uint64_t missing;
	uint32_t cursor = 0, nr = 0;
	int err = 0;

	*ret_missing = 0;
	memset(&ignored, 0, sizeof(ignored));
	while (err == 0 && ranges->next(mover->m, ranges->set, &cursor, &range)) {
		memset(&survey, 0, sizeof(survey));
		err = survey_range(mover->m, &range, &survey, &ignored);
		for (unsigned order = end; order-- > low && err == 0;) {
			(void)mhp__room_fill(mover->m, &mover->room, range.node, order,
					     survey.nr_of_order[order], &missing);
			*ret_missing += missing;
		}
		if (err == 0)
			err = *ret_missing != 0 ? mhp__work_stop(mover->m) :
						  mhp__work_stop_at(mover->m, nr++);
	}
	return err;
}

/* Take room for everything, so that nothing moves unless all can. Return: 0, MHP_ENOMEM, or what
 * mhp__work_stop() says. */
static int
take_all_room(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	uint64_t missing;
	int err = take_orders(mover, ranges, 0, MHP_ORDERS, &missing);

	if (err != 0 || missing == 0)
		return err;
	/* Caches may hold it; or small pages of one range broke up what large ones of the next
	 * need. */
	mhp__room_empty(mover->m, &mover->room);
	mhp_drain_caches(mover->m);
	for (unsigned order = MHP_ORDERS; order-- > 0;) {
		err = take_orders(mover, ranges, order, order + 1, &missing);
		if (err != 0)
			return err;
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
	int err;

	memset(why, 0, sizeof(*why));
	memset(&survey, 0, sizeof(survey));
	why->pfn = MHP_PFN_NONE;
	survey.probe = true;
	err = survey_all(mover->m, ranges, &survey, why);
	if (err != 0)
		return stop_now(mover->m, ranges, err, why);
	if (why->cause != MHP_CAUSE_NONE)
		return MHP_EBUSY;
	*why = first; /* those that were in the way have let go by now */
	return why->cause == MHP_CAUSE_ROOM ? MHP_ENOMEM : MHP_EBUSY;
}

static int
take_room(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	struct survey survey;
	int err;

	memset(&survey, 0, sizeof(survey));
	err = survey_all(mover->m, ranges, &survey, why);
	if (err != 0)
		return stop_now(mover->m, ranges, err, why);
	mhp__phase(mover->m, MHP_PHASE_SURVEY);
	mover->total = survey.nr_movable;
	mhp__work_progress(mover->m, 0, mover->total);
	if (why->cause != MHP_CAUSE_NONE)
		return refuse(mover, ranges, why);
	if (mover->total == 0)
		return 0;
	mhp__work_undoable(mover->m, true);
	err = take_all_room(mover, ranges, why);
	mhp__work_undoable(mover->m, false);
	if (err == MHP_ENOMEM)
		return refuse(mover, ranges, why);
	return err != 0 ? stop_now(mover->m, ranges, err, why) : 0;
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
	mhp__work_progress(mover->m, mover->moved, left);
	return left;
}

/* A bound was met: the first page that stayed in the last pass is the one to name. */
static int
stop_while_moving(struct mhp__mover *mover, const struct mhp__range_iter *ranges, int error,
		  struct mhp_why *why)
{
	if (why->pfn == MHP_PFN_NONE && mover->error.cause != MHP_CAUSE_NONE)
		name_page(mover->m, why, &mover->error.chunk);
	return stop_now(mover->m, ranges, error, why);
}

/* Let pages on their way arrive. A pause is cut short by whoever wants the work to end. */
static void
wait_a_while(struct mhp *m, uint64_t ns)
{
	while (ns > 0 && mhp__work_stop(m) == 0) {
		uint64_t slice = ns < PAUSE_SLICE_NS ? ns : PAUSE_SLICE_NS;
		m->ops->pause(m->port, slice);
		ns -= slice;
	}
}

/* Nothing moves any more: name the first page that stayed, and everybody who would not let go. */
static int
give_up(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	struct survey survey;
	int err;

	memset(why, 0, sizeof(*why));
	memset(&survey, 0, sizeof(survey));
	why->pfn = MHP_PFN_NONE;
	survey.probe = true;
	err = survey_all(mover->m, ranges, &survey, why);
	if (err != 0)
		return stop_while_moving(mover, ranges, err, why);
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
		uint64_t moved = mover->moved, left = pass_all(mover, ranges);
		int err = left == 0 ? 0 : mhp__work_stop(mover->m);
		if (left == 0)
			return 0;
		if (err != 0) {
			why->nr_movable = mhp__mover_left(mover);
			return stop_while_moving(mover, ranges, err, why);
		}
		attempts = mover->moved != moved ? 0 : attempts + 1;
		if (attempts >= max)
			return give_up(mover, ranges, why);
		wait_a_while(mover->m, pause_ns);
		pause_ns = pause_ns * 2 < PAUSE_NS_MAX ? pause_ns * 2 : PAUSE_NS_MAX;
	}
}

static int
empty_all(struct mhp *m, const struct mhp__range_iter *ranges, const struct mhp_offline_opts *opts,
	  struct mhp_why *why)
{
	struct mhp__mover mover;
	int err;

	memset(&mover, 0, sizeof(mover));
	mover.m = m;
	mover.may_fill = true;
	mover.excepts = ranges->excepts;
	mhp__room_init(&mover.room);
	mover.room.nodes = opts->to_nodes;
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
	struct offline offline = { .m = m, .ranges = ranges };
	int err;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m) && reterr_why->cause == MHP_CAUSE_NONE);
	mhp__work_undoable(m, true);
	err = isolate_all(&offline);
	mhp__work_undoable(m, false);
	mhp__phase(m, MHP_PHASE_ISOLATE);
	err = err != 0 ? stop_now(m, ranges, err, reterr_why) : ask_listeners(&offline, reterr_why);
	mhp__phase(m, MHP_PHASE_NOTIFY);
	if (err == 0 && offline.used)
		err = empty_all(m, ranges, opts, reterr_why);
	if (err != 0) {
		tell_cancel(&offline);
		open_isolated(&offline);
	}
	return err;
}

int
mhp__empty_pages(struct mhp *m, const struct mhp__range_iter *ranges,
		 const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	struct offline offline = { .m = m, .ranges = ranges };
	int err;

	mhp__work_undoable(m, true);
	err = isolate_all(&offline);
	mhp__work_undoable(m, false);
	mhp__phase(m, MHP_PHASE_ISOLATE);
	if (err != 0)
		err = stop_now(m, ranges, err, reterr_why);
	else if (offline.used)
		err = empty_all(m, ranges, opts, reterr_why);
	open_isolated(&offline);
	return err;
}

void
mhp__offline_pages_abort(struct mhp *m, const struct mhp__range_iter *ranges)
{
	struct offline offline = {
		.m = m, .ranges = ranges, .nr_isolated = UINT64_MAX, .nr_told = UINT64_MAX
	};

	tell_cancel(&offline);
	open_isolated(&offline);
}
