/* SPDX-License-Identifier: MIT */
/*
 * foresee.c - the dry run: what an offline of the ranges would say, without moving anything.
 *
 * It surveys what is in use, asking owners, and then counts whether there is room for it. Pages are
 * naturally aligned, so they pack without loss when the largest are placed first. Whether all fit
 * is then a matter of counting: with larger ones counted as so many small ones, there must be as
 * many free pages of each order as are to be placed.
 *
 * Listeners are not asked: a question to them is a promise that something will happen.
 */
#include "base/mem.h"
#include "pages/alloc.h"
#include "ranges/migrate.h"
#include "ranges/survey.h"

static void
count_needed(const struct mhp__survey *survey, uint64_t ret_needed[MHP_ORDERS])
{
	uint64_t larger = 0;

	for (unsigned order = MHP_ORDERS; order-- > 0;) {
		larger = 2 * larger + survey->nr_of_order[order];
		ret_needed[order] = larger;
	}
	MHP_ASSERT_DEBUG(larger == survey->nr_movable); /* all of them, as single frames */
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

/* Add the free pages of a zone outside of the ranges, until there are enough. Return: 0, or what
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

	MHP_ASSERT_DEBUG(arena <= end);
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

int
mhp__offline_pages_foresee(struct mhp *m, const struct mhp__range_iter *ranges, uint64_t to_nodes,
			   struct mhp_why *reterr_why)
{
	uint64_t needed[MHP_ORDERS], room[MHP_ORDERS];
	struct mhp__survey survey;
	unsigned order;
	int err = mhp__survey_all(m, ranges, true, &survey, reterr_why);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	if (err != 0)
		return mhp__name_bound(m, ranges, err, reterr_why);
	if (reterr_why->cause != MHP_CAUSE_NONE)
		return MHP_EBUSY;
	count_needed(&survey, needed);
	memset(room, 0, sizeof(room));
	mhp_drain_caches(m);
	for (unsigned id = 0; id < m->nr_zones && err == 0; id++)
		if (mhp__nodes_have((struct mhp__nodes){ .set = to_nodes }, m->zones[id].node))
			err = count_room(m, &m->zones[id], ranges, needed, room);
	if (err != 0)
		return mhp__name_bound(m, ranges, err, reterr_why);
	order = find_missing(needed, room);
	if (order == MHP_ORDERS)
		return 0;
	return mhp__name_room(m, ranges, order, needed[order] - room[order], reterr_why);
}
