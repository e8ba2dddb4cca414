/* SPDX-License-Identifier: MIT */
/*
 * online.c - blocks come online.
 *
 * Several blocks come as one: everything that can fail (the policy's choice of a zone, the range
 * layer's preparation, with the listeners' veto) is done for all of them before anything is
 * committed, and the commit cannot fail. A failure takes the prepared blocks back in reverse order.
 * A block is GOING_ONLINE between the two, so that a call which names it twice is noticed.
 *
 * The range layer gets the usable part of a block, without its reserve, and never hears why it
 * starts there. Must not know: how pages come into use, what a policy weighs.
 */
#include "blocks/block.h"
#include "state/hotplug.h"
#include "state/runs.h"
#include "state/trace.h"
#include "tables/notify.h"
#include "tables/policy.h"

int
mhp__online_check(const struct mhp *m, struct mhp_blocks blocks, uint64_t as_of,
		  struct mhp_why *why)
{
	int err = mhp__blocks_check(m, blocks);

	if (err != 0)
		return err;
	/* In this order: a block that is gone, one that is another block than was meant, and only
	 * then its state, which says nothing to a caller who meant another block. */
	for (uint32_t i = 0; i < blocks.count; i++) {
		uint32_t block = blocks.first + i;
		if (m->blocks[block].state == MHP_ABSENT)
			return mhp__why_state(why, block, MHP_ENOENT);
		if (!mhp__block_is_meant(m, block, as_of))
			return mhp__why_state(why, block, MHP_ENODEV);
		if (m->blocks[block].state == MHP_GOING_ONLINE) /* it is named twice */
			return mhp__why_state(why, block, MHP_EINVAL);
		if (m->blocks[block].state != MHP_OFFLINE)
			return mhp__why_state(why, block, MHP_EBUSY);
	}
	return 0;
}

/* Ask the policy for the zone; it counts the block as planned. */
static int
choose_zone(struct mhp *m, uint32_t block, struct mhp__range *range, unsigned zone,
	    const struct mhp__coming *coming, struct mhp__planned_pages *planned,
	    struct mhp_why *why)
{
	struct mhp__candidate candidate = {
		.start_pfn = range->start_pfn, .nr_pages = range->nr_pages, .node = range->node,
		.boot = coming != NULL ? coming->boot
				       : (m->blocks[block].flags & MHP_BLOCK_BOOT) != 0,
		.block = block,
	};
	int err;

	MHP_ASSERT_DEBUG(range->node < m->geo.nr_nodes);
	MHP_ASSERT_DEBUG(range->nr_pages != 0);
	if (coming != NULL)
		candidate.coming = coming->group;
	err = mhp__policy_zone(m, zone, &candidate, planned, &range->zone);
	if (err != 0) {
		why->cause = MHP_CAUSE_POLICY;
		why->block = block;
	}
	return err;
}

/* For a plan's dry run: the same choice, for a block that may not be there yet. */
int
mhp__online_foresee(struct mhp *m, uint32_t block, const struct mhp__coming *coming, unsigned zone,
		    struct mhp__planned_pages *planned, struct mhp_why *why)
{
	struct mhp__range range;

	if (coming != NULL)
		range = mhp__block_part(m, block, coming->nr_vmemmap_pages, coming->node);
	else
		range = mhp__block_usable(m, block);
	return choose_zone(m, block, &range, zone, coming, planned, why);
}

static int
online_prepare_one(struct mhp *m, uint32_t block, unsigned zone, struct mhp__planned_pages *planned,
		   struct mhp_why *why)
{
	struct mhp__block *slot = &m->blocks[block];
	struct mhp__range range = mhp__block_usable(m, block);
	int err = choose_zone(m, block, &range, zone, NULL, planned, why);

	MHP_ASSERT_DEBUG(slot->state == MHP_OFFLINE);
	MHP_ASSERT_DEBUG(slot->zone == MHP_ZONE_DEFAULT);
	if (err != 0)
		return err;
	/* Before the listeners are asked: they may look at the block. */
	mhp__telling(m, range.start_pfn);
	mhp__block_set_state(m, block, MHP_GOING_ONLINE, range.zone);
	err = mhp__online_pages_prepare(m, &range, why);
	if (err != 0) {
		why->block = block;
		mhp__block_set_state(m, block, MHP_OFFLINE, MHP_ZONE_DEFAULT);
	}
	mhp__telling(m, MHP_PFN_NONE);
	return err;
}

void
mhp__online_abort(struct mhp *m, struct mhp_blocks blocks)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	while (blocks.count-- > 0) {
		uint32_t block = blocks.first + blocks.count;
		MHP_ASSERT_DEBUG(m->blocks[block].state == MHP_GOING_ONLINE);
		struct mhp__range range = mhp__block_usable(m, block);
		mhp__online_pages_abort(m, &range);
		mhp__block_set_state(m, block, MHP_OFFLINE, MHP_ZONE_DEFAULT);
	}
}

static int
online_prepare_all(struct mhp *m, struct mhp_blocks blocks, unsigned zone,
		   struct mhp__planned_pages *planned, struct mhp_why *why)
{
	uint32_t nr = 0;
	int err = 0;

	mhp__work_about(m, blocks);
	/* The time that taking it all back would need is kept free before the deadline. */
	mhp__work_undoable(m, true);
	while (nr < blocks.count && err == 0) {
		err = mhp__work_stop_at(m, nr);
		if (err != 0)
			mhp__why_bound(why, blocks.first + nr, err);
		else
			err = online_prepare_one(m, blocks.first + nr, zone, planned, why);
		nr += err == 0;
	}
	mhp__work_undoable(m, false);
	if (err != 0)
		mhp__online_abort(m, (struct mhp_blocks){ blocks.first, nr });
	return err;
}

int
mhp__online_prepare(struct mhp *m, struct mhp_blocks blocks, unsigned zone,
		    struct mhp__arrival *arrival, struct mhp_why *why)
{
	struct mhp_event event;
	int err = mhp__online_check(m, blocks, arrival->as_of, why);

	/* The caller meant other blocks, so no event tells of these. */
	if (err == MHP_ENODEV)
		return err;
	if (err == 0)
		err = online_prepare_all(m, blocks, zone, &arrival->planned, why);
	mhp__phase(m, MHP_PHASE_NOTIFY);
	if (err == 0)
		return 0;
	event = mhp__event_failed(MHP_EV_ONLINE_FAILED, blocks, err, why);
	event.asked_zone = (uint8_t)zone;
	/* A replay must know that the policy decided about several sets as one. */
	if (why->cause == MHP_CAUSE_POLICY && arrival->planned.together)
		event.asked_zone = MHP_ZONE_TOGETHER;
	mhp__trace(m, &event, arrival->started_ns);
	return err;
}

/* The blocks from b on that go to the same zone. */
static uint32_t
zone_run_end(const struct mhp *m, uint32_t b, uint32_t end)
{
	const struct mhp__block *first = &m->blocks[b];

	MHP_ASSERT_DEBUG(b < end);
	MHP_ASSERT_DEBUG(mhp__zone_exists(first->zone));
	while (b < end && m->blocks[b].zone == first->zone && m->blocks[b].node == first->node)
		b++;
	return b;
}

static void
commit_online_one(struct mhp *m, uint32_t b)
{
	struct mhp__range range = mhp__block_usable(m, b);

	MHP_ASSERT_DEBUG(m->blocks[b].state == MHP_GOING_ONLINE);
	mhp__block_set_state(m, b, MHP_ONLINE, range.zone);
	m->blocks_online++;
	MHP_ASSERT_DEBUG(m->blocks_online <= m->blocks_present);
	mhp__online_pages_commit(m, &range, (m->blocks[b].flags & MHP_BLOCK_ZEROED) != 0);
}

/* Blocks of one zone have come online. */
static void
trace_online(struct mhp *m, struct mhp_blocks run, unsigned asked_zone, uint64_t started_ns)
{
	struct mhp_event event = mhp__event(MHP_EV_ONLINE, run);

	event.asked_zone = (uint8_t)asked_zone;
	event.node = m->blocks[run.first].node;
	event.zone = m->blocks[run.first].zone;
	for (uint32_t i = 0; i < run.count; i++)
		event.pages += mhp__block_usable(m, run.first + i).nr_pages;
	mhp__phase(m, MHP_PHASE_COMMIT);
	mhp__trace(m, &event, started_ns);
}

static void
commit_online_run(struct mhp *m, struct mhp_blocks run, unsigned asked_zone, uint64_t started_ns)
{
	MHP_ASSERT_DEBUG(run.count != 0);
	mhp__log_stage(&m->work.log, MHP_STAGE_ONLINE, run);
	for (uint32_t i = 0; i < run.count; i++)
		commit_online_one(m, run.first + i);
	trace_online(m, run, asked_zone, started_ns);
	mhp__log_stage_end(&m->work.log);
}

/* An event for each run of blocks that go to one zone. */
void
mhp__online_commit(struct mhp *m, struct mhp_blocks blocks, unsigned zone, uint64_t started_ns)
{
	uint32_t end = blocks.first + blocks.count, run_end;

	/* The policy split a request, so a replay must make it as one, too. */
	if (zone == MHP_ZONE_DEFAULT && zone_run_end(m, blocks.first, end) != end)
		zone = MHP_ZONE_TOGETHER;
	for (uint32_t b = blocks.first; b < end; b = run_end) {
		run_end = zone_run_end(m, b, end);
		commit_online_run(m, (struct mhp_blocks){ b, run_end - b }, zone, started_ns);
	}
}

int
mhp__online_locked(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets, unsigned zone,
		   uint64_t as_of, struct mhp_why *why)
{
	struct mhp__arrival arrival;
	int err = nr_sets == 0 ? MHP_EINVAL : 0;
	unsigned nr = 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(why->cause == MHP_CAUSE_NONE);
	arrival.started_ns = mhp__work_now(m);
	arrival.as_of = as_of;
	mhp__planned_none(&arrival.planned, nr_sets > 1);
	mhp__phase_begin(m);
	while (nr < nr_sets && err == 0) {
		err = mhp__online_prepare(m, sets[nr], zone, &arrival, why);
		nr += err == 0;
	}
	if (err != 0) {
		while (nr-- > 0)
			mhp__online_abort(m, sets[nr]);
		return err;
	}
	if (zone == MHP_ZONE_DEFAULT && arrival.planned.together)
		zone = MHP_ZONE_TOGETHER;
	mhp__log_commit(&m->work.log, false);
	for (unsigned i = 0; i < nr_sets; i++)
		mhp__online_commit(m, sets[i], zone, arrival.started_ns);
	return 0;
}

/* ---- recovery ---- */

void
mhp__online_roll_back(struct mhp *m)
{
	for (uint32_t b = 0; mhp__seek_present(m, &b); b++)
		if (m->blocks[b].state == MHP_GOING_ONLINE)
			mhp__online_abort(m, (struct mhp_blocks){ b, 1 });
	mhp__telling(m, MHP_PFN_NONE);
}

/* End the run that was under way. The last of its blocks that are ONLINE may be so only in part. */
static void
finish_run(struct mhp *m, struct mhp_blocks run)
{
	uint32_t nr = 0;

	while (nr < run.count && m->blocks[run.first + nr].state == MHP_ONLINE)
		nr++;
	if (nr != 0) {
		uint32_t last = run.first + nr - 1;
		struct mhp__range range = mhp__block_usable(m, last);
		mhp__online_pages_redo(m, &range,
					(m->blocks[last].flags & MHP_BLOCK_ZEROED) != 0);
	}
	for (; nr < run.count; nr++)
		commit_online_one(m, run.first + nr);
	trace_online(m, run, MHP_ZONE_DEFAULT, 0);
	mhp__log_stage_end(&m->work.log);
}

void
mhp__online_roll_forward(struct mhp *m)
{
	if (atomic_load(&m->work.log.stage) == MHP_STAGE_ONLINE)
		finish_run(m, mhp__log_blocks(&m->work.log));
	for (uint32_t b = 0; mhp__seek_present(m, &b); b++)
		if (m->blocks[b].state == MHP_GOING_ONLINE)
			commit_online_run(m, (struct mhp_blocks){ b, 1 }, MHP_ZONE_DEFAULT, 0);
}

/* ---- the calls ---- */

int
mhp_online(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
	   const struct mhp_online_opts *opts, struct mhp_why *reterr_why)
{
	static const struct mhp_online_opts none;
	struct mhp_why why;
	int err = mhp__hotplug_lock(m);

	mhp__why_clear(&why);
	opts = opts != NULL ? opts : &none;
	if (err == 0) {
		mhp__work_begin(m, MHP_WORK_ONLINE, opts->deadline_ms);
		err = mhp__online_locked(m, sets, nr_sets, opts->zone, opts->as_of, &why);
		mhp__work_end(m);
		mhp__hotplug_unlock(m);
	}
	if (err != 0 && reterr_why != NULL)
		*reterr_why = why;
	return err;
}

int
mhp_block_online(struct mhp *m, uint32_t block, const struct mhp_online_opts *opts,
		 struct mhp_why *reterr_why)
{
	struct mhp_blocks blocks = { block, 1 };

	return mhp_online(m, &blocks, 1, opts, reterr_why);
}
