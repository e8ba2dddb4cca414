/* SPDX-License-Identifier: MIT */
/*
 * survey.h - what is in use in the ranges of a call, and what of it is in the way.
 *
 * Hotplug lock held, a work under way. why is clear at first, or has what an earlier survey of the
 * same call found.
 */
#ifndef MHP_CORE_SURVEY_H
#define MHP_CORE_SURVEY_H

#include "pages/walk.h"
#include "ranges/ranges.h"

struct mhp__survey {
	uint64_t nr_of_order[MHP_ORDERS]; /* movable pages */
	uint64_t nr_movable;              /* frames, of all ranges */
	uint32_t nr_ranges;
	bool probe;                       /* ask owners whether they would let go */
	mhp__except_fn *excepts;
};

/* Count what is in use in all ranges and name every blocker in why; the cause and the first page
 * too, unless why has one already. Return: 0, or what mhp__work_stop() says. */
MHP_MUST_CHECK int mhp__survey_all(struct mhp *m, const struct mhp__range_iter *ranges, bool probe,
				   struct mhp__survey *ret_survey, struct mhp_why *why);
/* Add what is in use in one range to a survey. Return: the same. */
MHP_MUST_CHECK int mhp__survey_range(struct mhp *m, const struct mhp__range *range,
				     struct mhp__survey *survey, struct mhp_why *why);
/* Nothing will move: survey once more, with a probe, and start the answer afresh. Return: as
 * mhp__survey_all(). */
MHP_MUST_CHECK int mhp__survey_again(struct mhp *m, const struct mhp__range_iter *ranges,
				     struct mhp_why *why);

/* ---- what to tell ---- */

/* This page is the one to name. */
void mhp__name_page(struct mhp *m, struct mhp_why *why, const struct mhp__chunk *chunk);
/* A bound was met (error): why gets that as its cause. Returns error. */
int mhp__name_bound(struct mhp *m, const struct mhp__range_iter *ranges, int error,
		    struct mhp_why *why);
/* nr_missing pages of an order have nowhere to go. Returns MHP_ENOMEM. */
int mhp__name_room(struct mhp *m, const struct mhp__range_iter *ranges, unsigned order,
		   uint64_t nr_missing, struct mhp_why *why);

#endif
