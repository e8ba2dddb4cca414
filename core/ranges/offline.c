/* SPDX-License-Identifier: MIT */
/*
 * offline.c - ranges go out of use, as far as that can fail; ranges that stay are emptied.
 *
 * prepare isolates all ranges, asks the listeners, who may still free something, and has everything
 * that is in use moved out (empty.c). Ranges that have nothing in use once they are isolated skip
 * the drain of the caches, the survey and the passes: isolation is monotonic, so they stay empty.
 * On failure the steps are undone in reverse, and each range is told and opened again exactly if it
 * was told and isolated.
 */
#include "base/mem.h"
#include "pages/attach.h"
#include "pages/cache.h"
#include "pages/walk.h"
#include "ranges/survey.h"
#include "state/trace.h"
#include "tables/notify.h"

/* An offline under way, and what a failure has to undo: of so many ranges, from the first on. */
struct offline {
	struct mhp *m;
	const struct mhp__range_iter *ranges;
	uint64_t nr_isolated;
	uint64_t nr_told;
	bool used;                     /* something is in use in them */
};

/* Frames in caches count as taken, so where nothing is taken, caches hold nothing of the ranges. */
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

static int
isolate_and_drain(struct offline *offline)
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

/* Opening again takes as long as isolating did, and is within the deadline, too. Return: 0, or what
 * mhp__work_stop() says. */
static int
isolate_all(struct offline *offline, struct mhp_why *why)
{
	struct mhp *m = offline->m;
	int err;

	mhp__work_undoable(m, true);
	err = isolate_and_drain(offline);
	mhp__work_undoable(m, false);
	mhp__phase(m, MHP_PHASE_ISOLATE);
	return err != 0 ? mhp__name_bound(m, offline->ranges, err, why) : 0;
}

/* Ranges always come in the same order, so a number of ranges means the first so many. */
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

/* Tell CANCEL of the first nr ranges. After a kill in here all of them are told again. */
static void
tell_cancel(struct mhp *m, const struct mhp__range_iter *ranges, uint64_t nr)
{
	struct mhp__range range;
	uint32_t cursor = 0;

	for (uint64_t i = 0; i < nr && ranges->next(m, ranges->set, &cursor, &range); i++) {
		struct mhp_notice notice = mhp__range_notice(&range, MHP_CANCEL_OFFLINE_NOTICE);
		mhp__notify(m, &notice);
	}
	mhp__log(&m->work.log.nr_told, 0);
}

/* Tell CANCEL of the range after those, to the listeners that know of it. */
static void
tell_cancel_half(struct mhp *m, const struct mhp__range_iter *ranges)
{
	uint64_t nr_told = atomic_load(&m->work.log.nr_told);
	struct mhp__range range;
	uint32_t cursor = 0;

	while (ranges->next(m, ranges->set, &cursor, &range)) {
		struct mhp_notice notice = mhp__range_notice(&range, MHP_CANCEL_OFFLINE_NOTICE);
		if (nr_told-- != 0)
			continue;
		if (atomic_load(&m->work.log.telling_pfn1) == range.start_pfn + 1)
			mhp__notify_first(m, &notice, mhp__nr_told(m, range.start_pfn));
		return;
	}
}

void
mhp__offline_pages_cancel(struct mhp *m, const struct mhp__range_iter *ranges)
{
	tell_cancel_half(m, ranges);
	mhp__telling(m, MHP_PFN_NONE);
	tell_cancel(m, ranges, atomic_load(&m->work.log.nr_told));
}

/* All ranges are isolated by now, so whatever a listener frees stays free, and nothing that it
 * allocates can come from them. */
static int
ask_listeners(struct offline *offline, struct mhp_why *why)
{
	struct mhp *m = offline->m;
	struct mhp__range range;
	uint32_t cursor = 0;
	int err = 0;

	MHP_ASSERT_DEBUG(offline->nr_told == 0);
	while (err == 0 && offline->ranges->next(m, offline->ranges->set, &cursor, &range)) {
		struct mhp_notice notice = mhp__range_notice(&range, MHP_GOING_OFFLINE_NOTICE);
		err = mhp__work_stop_at(m, (uint32_t)offline->nr_told);
		if (err != 0)
			return mhp__name_bound(m, offline->ranges, err, why);
		mhp__telling(m, range.start_pfn);
		err = mhp__notify_going(m, &notice, MHP_CANCEL_OFFLINE_NOTICE, why);
		if (err != 0)
			why->block = mhp__pfn_block(m, range.start_pfn);
		else
			mhp__log(&m->work.log.nr_told, ++offline->nr_told);
	}
	mhp__telling(m, MHP_PFN_NONE);
	return err;
}

int
mhp__offline_pages_prepare(struct mhp *m, const struct mhp__range_iter *ranges,
			   const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	struct offline offline = { .m = m, .ranges = ranges };
	int err;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(reterr_why->cause == MHP_CAUSE_NONE);
	err = isolate_all(&offline, reterr_why);
	if (err == 0)
		err = ask_listeners(&offline, reterr_why);
	mhp__phase(m, MHP_PHASE_NOTIFY);
	if (err == 0 && offline.used)
		err = mhp__ranges_empty(m, ranges, opts, reterr_why);
	if (err != 0) {
		tell_cancel(m, ranges, offline.nr_told);
		open_isolated(&offline);
		MHP_ASSERT_DEBUG(offline.nr_isolated == 0);
	}
	return err;
}

int
mhp__empty_pages(struct mhp *m, const struct mhp__range_iter *ranges,
		 const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	struct offline offline = { .m = m, .ranges = ranges };
	int err = isolate_all(&offline, reterr_why);

	if (err == 0 && offline.used)
		err = mhp__ranges_empty(m, ranges, opts, reterr_why);
	open_isolated(&offline);
	MHP_ASSERT_DEBUG(offline.nr_isolated == 0);
	return err;
}

/* After a prepare that succeeded: all ranges were told, and all are isolated. */
void
mhp__offline_pages_abort(struct mhp *m, const struct mhp__range_iter *ranges)
{
	struct offline offline = { .m = m, .ranges = ranges, .nr_isolated = UINT64_MAX };

	tell_cancel(m, ranges, UINT64_MAX);
	open_isolated(&offline);
}
