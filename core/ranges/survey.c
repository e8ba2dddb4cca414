/* SPDX-License-Identifier: MIT */
/*
 * survey.c - what is in use in the ranges of a call, and what of it is in the way.
 *
 * Three ask the same question: a change that must know how much room to take before anything moves,
 * the dry run, and the explanation after a failure. One piece of code answers all three, so their
 * answers agree (R30). A survey with a probe also asks each movable owner whether it would let go
 * of the page now; without one it takes the owner's word for it, since moving will ask anyway.
 *
 * The first page that is found in the way stays the one that the answer names. Must not know: where
 * pages will move to.
 */
#include "ranges/survey.h"

#include "base/mem.h"
#include "state/work.h"
#include "tables/owner.h"

/* ---- what to tell ---- */

static void
count_owner(struct mhp_why *why, const struct mhp__chunk *chunk)
{
	unsigned i = 0;

	MHP_ASSERT_DEBUG(why->nr_owners <= MHP_WHY_OWNERS);
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

void
mhp__name_page(struct mhp *m, struct mhp_why *why, const struct mhp__chunk *chunk)
{
	MHP_ASSERT_DEBUG(chunk->owner != MHP_OWNER_NONE || chunk->order == 0);
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

/* Nobody is asked and nothing is looked at any more, so the answer has what a survey had found by
 * then: the caller who set the bound wants to hear now. */
int
mhp__name_bound(struct mhp *m, const struct mhp__range_iter *ranges, int error, struct mhp_why *why)
{
	MHP_ASSERT_DEBUG(error != 0);
	if (why->pfn == MHP_PFN_NONE)
		name_first_block(m, why, ranges);
	why->cause = mhp__work_cause(error);
	return error;
}

int
mhp__name_room(struct mhp *m, const struct mhp__range_iter *ranges, unsigned order,
	       uint64_t nr_missing, struct mhp_why *why)
{
	MHP_ASSERT_DEBUG(order < MHP_ORDERS);
	MHP_ASSERT_DEBUG(nr_missing != 0);
	why->cause = MHP_CAUSE_ROOM;
	why->order = (uint8_t)order;
	why->room_missing = nr_missing << order;
	name_first_block(m, why, ranges);
	return MHP_ENOMEM;
}

/* ---- the survey ---- */

/* This page is in the way. */
static void
blame(struct mhp *m, struct mhp_why *why, enum mhp_cause cause, const struct mhp__chunk *chunk)
{
	MHP_ASSERT_DEBUG(cause != MHP_CAUSE_NONE);
	MHP_ASSERT_DEBUG(why->cause == MHP_CAUSE_NONE || why->pfn != MHP_PFN_NONE);
	if (why->cause == MHP_CAUSE_NONE) {
		why->cause = cause;
		mhp__name_page(m, why, chunk);
	}
	count_owner(why, chunk);
}

static bool
owner_lets_go(const struct mhp__owner *owner, const struct mhp__chunk *chunk)
{
	MHP_ASSERT_DEBUG(owner->ops != NULL);
	int err = owner->ops->isolate(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);

	if (err == 0)
		owner->ops->putback(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);
	return err == 0 || err == MHP_EAGAIN;
}

static void
survey_chunk(struct mhp *m, const struct mhp__chunk *chunk, struct mhp__survey *survey,
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

int
mhp__survey_range(struct mhp *m, const struct mhp__range *range, struct mhp__survey *survey,
		  struct mhp_why *why)
{
	const struct mhp__chunk *chunk;
	struct mhp__walk walk;
	int err = 0;

	MHP_ASSERT_DEBUG(range->nr_pages != 0);
	mhp__walk_begin(&walk, range->start_pfn, range->nr_pages);
	while (err == 0 && (chunk = mhp__walk_next(m, &walk)) != NULL) {
		if (mhp__walk_is_fresh(&walk))
			err = mhp__work_stop(m);
		if (err == 0)
			survey_chunk(m, chunk, survey, why);
	}
	return err;
}

int
mhp__survey_all(struct mhp *m, const struct mhp__range_iter *ranges, bool probe,
		struct mhp__survey *ret_survey, struct mhp_why *why)
{
	struct mhp__range range;
	uint32_t cursor = 0;
	int err = 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	memset(ret_survey, 0, sizeof(*ret_survey));
	ret_survey->probe = probe;
	ret_survey->excepts = ranges->excepts;
	while (err == 0 && ranges->next(m, ranges->set, &cursor, &range)) {
		err = mhp__work_stop_at(m, ret_survey->nr_ranges++);
		if (err == 0)
			err = mhp__survey_range(m, &range, ret_survey, why);
	}
	MHP_ASSERT_DEBUG(ret_survey->nr_movable <= why->nr_movable);
	return err;
}

int
mhp__survey_again(struct mhp *m, const struct mhp__range_iter *ranges, struct mhp_why *why)
{
	struct mhp__survey survey;

	mhp__why_clear(why);
	return mhp__survey_all(m, ranges, true, &survey, why);
}
