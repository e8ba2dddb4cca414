/* SPDX-License-Identifier: MIT */
/*
 * empty.c - move everything out of ranges that are isolated.
 *
 * First room is taken for all that is in use, so that nothing moves unless all of it can; then what
 * is in use moves, pass after pass, until a pass finds nothing or a bound is reached. Isolation is
 * monotonic: a free frame stays free. So a pass that saw nothing is the proof of being empty, and
 * there is no second look. Every walk polls the bounds, so that a cancel or the deadline ends it
 * wherever it is.
 *
 * Must not know: what the ranges are emptied for, and what happens to them afterwards.
 */
#include "base/mem.h"
#include "pages/alloc.h"
#include "ranges/migrate.h"
#include "ranges/survey.h"
#include "state/trace.h"

#define PAUSE_NS_MIN UINT64_C(50000)
#define PAUSE_NS_MAX UINT64_C(20000000)
#define PAUSE_SLICE_NS UINT64_C(250000) /* how long a cancel may wait for the end of a pause */

/* ---- room for everything ---- */

/* How many pages there are in one of the ranges. If it is the only one, the survey of all says so;
 * walking over it again would be a tenth of all that its offline costs the engine. */
static int
count_pages(struct mhp *m, const struct mhp__range *range, const struct mhp__survey *all,
	    struct mhp__survey *ret_survey)
{
	struct mhp_why ignored;

	MHP_ASSERT_DEBUG(all->nr_ranges != 0);
	if (all->nr_ranges == 1) {
		*ret_survey = *all;
		return 0;
	}
	memset(&ignored, 0, sizeof(ignored));
	memset(ret_survey, 0, sizeof(*ret_survey));
	return mhp__survey_range(m, range, ret_survey, &ignored);
}

/* Take room for the pages of orders [low, end) of each range in turn, so that pages which follow
 * each other at home do so at the target. *ret_missing: the number of pages without room. Return:
 * 0, or what mhp__work_stop() says. */
static int
take_orders(struct mhp__mover *mover, const struct mhp__range_iter *ranges,
	    const struct mhp__survey *all, unsigned low, unsigned end, uint64_t *ret_missing)
{
	struct mhp__range range;
	struct mhp__survey survey;
	uint64_t missing;
	uint32_t cursor = 0, nr = 0;
	int err = 0;

	MHP_ASSERT_DEBUG(low < end);
	MHP_ASSERT_DEBUG(end <= MHP_ORDERS);
	*ret_missing = 0;
	while (err == 0 && ranges->next(mover->m, ranges->set, &cursor, &range)) {
		err = count_pages(mover->m, &range, all, &survey);
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
take_all_room(struct mhp__mover *mover, const struct mhp__range_iter *ranges,
	      const struct mhp__survey *all, struct mhp_why *why)
{
	uint64_t missing;
	int err = take_orders(mover, ranges, all, 0, MHP_ORDERS, &missing);

	if (err != 0 || missing == 0)
		return err;
	/* Perhaps caches hold it, or small pages of one range broke up what large ones of the next
	 * need: so once more without caches, the largest order of all ranges first. */
	mhp__room_empty(mover->m, &mover->room);
	mhp_drain_caches(mover->m);
	for (unsigned order = MHP_ORDERS; order-- > 0;) {
		err = take_orders(mover, ranges, all, order, order + 1, &missing);
		if (err != 0)
			return err;
		if (missing != 0)
			return mhp__name_room(mover->m, ranges, order, missing, why);
	}
	return 0;
}

/* Nothing will move. Give the answer of a dry run: owners that would not let go come before a lack
 * of room. */
static int
refuse(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	MHP_ASSERT_DEBUG(why->cause != MHP_CAUSE_NONE);
	MHP_ASSERT_DEBUG(mover->moved == 0);
	struct mhp_why first = *why;
	int err = mhp__survey_again(mover->m, ranges, why);

	if (err != 0)
		return mhp__name_bound(mover->m, ranges, err, why);
	if (why->cause != MHP_CAUSE_NONE)
		return MHP_EBUSY;
	*why = first; /* what was in the way has let go by now */
	return why->cause == MHP_CAUSE_ROOM ? MHP_ENOMEM : MHP_EBUSY;
}

static int
take_room(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	struct mhp__survey survey;
	int err = mhp__survey_all(mover->m, ranges, false, &survey, why);

	if (err != 0)
		return mhp__name_bound(mover->m, ranges, err, why);
	mhp__phase(mover->m, MHP_PHASE_SURVEY);
	MHP_ASSERT_DEBUG(mover->total == 0);
	MHP_ASSERT_DEBUG(mover->moved == 0);
	mover->total = survey.nr_movable;
	mhp__work_progress(mover->m, 0, mover->total);
	if (why->cause != MHP_CAUSE_NONE)
		return refuse(mover, ranges, why);
	if (mover->total == 0)
		return 0;
	mhp__work_undoable(mover->m, true);
	err = take_all_room(mover, ranges, &survey, why);
	mhp__work_undoable(mover->m, false);
	if (err == MHP_ENOMEM)
		return refuse(mover, ranges, why);
	return err != 0 ? mhp__name_bound(mover->m, ranges, err, why) : 0;
}

/* ---- emptying ---- */

static uint64_t
pass_all(struct mhp__mover *mover, const struct mhp__range_iter *ranges)
{
	struct mhp__range range;
	uint32_t cursor = 0;
	uint64_t left = 0, moved = mover->moved;

	mover->error.cause = MHP_CAUSE_NONE;
	while (ranges->next(mover->m, ranges->set, &cursor, &range)) {
		mover->node = range.node;
		left += mhp__move_pass(mover, range.start_pfn, range.nr_pages);
	}
	MHP_ASSERT_DEBUG(mover->moved >= moved); /* what has moved stays moved */
	MHP_ASSERT_DEBUG((left == 0) == (mover->error.cause == MHP_CAUSE_NONE));
	mhp__work_progress(mover->m, mover->moved, left);
	return left;
}

/* A bound was met: name the first page that stayed in the last pass. */
static int
stop_while_moving(struct mhp__mover *mover, const struct mhp__range_iter *ranges, int error,
		  struct mhp_why *why)
{
	MHP_ASSERT_DEBUG(mover->error.cause != MHP_CAUSE_NONE);
	if (why->pfn == MHP_PFN_NONE)
		mhp__name_page(mover->m, why, &mover->error.chunk);
	return mhp__name_bound(mover->m, ranges, error, why);
}

/* Let pages on their way arrive. A cancel, an interrupt or the deadline cuts the pause short. */
static void
wait_a_while(struct mhp *m, uint64_t ns)
{
	MHP_ASSERT_DEBUG(ns <= PAUSE_NS_MAX);
	while (ns > 0 && mhp__work_stop(m) == 0) {
		uint64_t slice = ns < PAUSE_SLICE_NS ? ns : PAUSE_SLICE_NS;
		m->ops->pause(m->port, slice);
		ns -= slice;
	}
}

/* Nothing moves any more: name the first page that stayed, and all owners that would not let go. */
static int
give_up(struct mhp__mover *mover, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	int err = mhp__survey_again(mover->m, ranges, why);

	if (err != 0)
		return stop_while_moving(mover, ranges, err, why);
	if (why->pfn == MHP_PFN_NONE)
		mhp__name_page(mover->m, why, &mover->error.chunk);
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

int
mhp__ranges_empty(struct mhp *m, const struct mhp__range_iter *ranges,
		  const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	struct mhp__mover mover;
	int err;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
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
	MHP_ASSERT_DEBUG(err == 0 || why->cause != MHP_CAUSE_NONE); /* a failure has a cause */
	mhp__phase(m, MHP_PHASE_MOVE);
	m->pages_moved += mover.moved;
	return err;
}
