/* SPDX-License-Identifier: MIT */
/*
 * leaving.c - the steps of a set of blocks that leaves, in the order that leave.c and plan.c keep.
 *
 * A caller marks blocks, prepares (everything that can fail, for all of them), commits (what
 * cannot) and clears the marks. The range layer empties the usable parts of all marked blocks
 * together. A block that holds the metadata of other blocks is committed after they were removed.
 *
 * The marks are two sets of the instance, and not a list of the caller's, because a call may name
 * any number of runs, the range layer walks them several times, and there is no memory for a copy.
 * Both are empty between calls. Must not know: what is in the way of a page.
 */
#include "base/mem.h"
#include "blocks/block.h"
#include "pages/arena.h"
#include "pages/walk.h"
#include "physical/physical.h"
#include "state/hotplug.h"
#include "state/trace.h"

static void
unmark(struct mhp *m, struct mhp_blocks blocks)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	for (uint32_t i = 0; i < blocks.count; i++) {
		/* In this order, so that removing is always a part of leaving. */
		if (mhp__bitset_test(&m->removing, blocks.first + i))
			mhp__bitset_put(&m->removing, blocks.first + i, false);
		mhp__bitset_put(&m->leaving, blocks.first + i, false);
	}
}

void
mhp__leaving_clear(struct mhp *m)
{
	for (uint32_t b = 0; mhp__bitset_seek(&m->leaving, &b); b++)
		unmark(m, (struct mhp_blocks){ b, 1 });
	MHP_ASSERT_DEBUG(mhp__bitset_next(&m->removing, 0) == m->geo.nr_blocks);
}

/* A mark says that the call names the block twice. */
static int
may_leave(const struct mhp *m, uint32_t block, bool remove, uint64_t as_of, struct mhp_why *why)
{
	enum mhp_block_state state = m->blocks[block].state;

	if (mhp__bitset_test(&m->leaving, block))
		return mhp__why_state(why, block, MHP_EINVAL);
	if (state == MHP_ABSENT)
		return mhp__why_state(why, block, MHP_ENOENT);
	if (!mhp__block_is_meant(m, block, as_of))
		return mhp__why_state(why, block, MHP_ENODEV);
	MHP_ASSERT(state == MHP_ONLINE || state == MHP_OFFLINE); /* nothing else is under way */
	if (state == MHP_OFFLINE && !remove)
		return mhp__why_state(why, block, MHP_EBUSY);
	return 0;
}

int
mhp__leaving_add(struct mhp *m, struct mhp_blocks blocks, bool remove, uint64_t as_of,
		 struct mhp_why *why)
{
	int err = mhp__blocks_check(m, blocks);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	if (err != 0)
		return err;
	for (uint32_t i = 0; i < blocks.count; i++) {
		err = mhp__work_stop_at(m, i);
		if (err != 0)
			mhp__why_bound(why, blocks.first + i, err);
		else
			err = may_leave(m, blocks.first + i, remove, as_of, why);
		if (err != 0) {
			unmark(m, (struct mhp_blocks){ blocks.first, i });
			return err;
		}
		mhp__bitset_put(&m->leaving, blocks.first + i, true);
		if (remove)
			mhp__bitset_put(&m->removing, blocks.first + i, true);
	}
	return 0;
}

/* Yields the usable parts of marked blocks that are ONLINE or GOING_OFFLINE. */
static bool
next_leaving_range(struct mhp *m, void *set, uint32_t *cursor, struct mhp__range *ret_range)
{
	MHP_ASSERT_DEBUG(*cursor <= m->geo.nr_blocks);
	(void)set;
	for (; mhp__bitset_seek(&m->leaving, cursor); ++*cursor) {
		if (m->blocks[*cursor].state == MHP_OFFLINE)
			continue;
		*ret_range = mhp__block_usable(m, (*cursor)++);
		MHP_ASSERT_DEBUG(mhp__zone_exists(ret_range->zone)); /* it is online, so in one */
		return true;
	}
	return false;
}

/* Metadata of a block that this call removes: it is gone before its host goes. */
static bool
goes_with_its_block(const struct mhp *m, unsigned owner, uint64_t cookie)
{
	MHP_ASSERT_DEBUG(owner != MHP_OWNER_MEMMAP || cookie < m->geo.nr_blocks); /* INV 21 */
	return owner == MHP_OWNER_MEMMAP && mhp__bitset_test(&m->removing, (uint32_t)cookie);
}

static const struct mhp__range_iter leaving_ranges = { .next = next_leaving_range,
						       .excepts = goes_with_its_block };

/* The first run of marked blocks, for events and progress. */
static struct mhp_blocks
first_leaving(const struct mhp *m)
{
	struct mhp_blocks blocks = { mhp__bitset_next(&m->leaving, 0), 0 };

	while (blocks.first + blocks.count < m->geo.nr_blocks &&
	       mhp__bitset_test(&m->leaving, blocks.first + blocks.count))
		blocks.count++;
	return blocks;
}

/* The states change first, so that everybody who looks at a block sees that it is leaving. */
static int
begin_leaving(struct mhp *m, struct mhp_why *why)
{
	uint32_t turn = 0;

	MHP_ASSERT_DEBUG(m->work.doing_ns != 0);
	for (uint32_t b = 0; mhp__bitset_seek(&m->leaving, &b); b++) {
		int err = mhp__work_stop_at(m, turn++);
		if (err != 0)
			return mhp__why_bound(why, b, err);
		if (m->blocks[b].state == MHP_ONLINE)
			mhp__block_set_state(m, b, MHP_GOING_OFFLINE, m->blocks[b].zone);
	}
	return 0;
}

static void
abort_leaving(struct mhp *m)
{
	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 0); /* readers see the states change */
	for (uint32_t b = 0; mhp__bitset_seek(&m->leaving, &b); b++)
		if (m->blocks[b].state == MHP_GOING_OFFLINE)
			mhp__block_set_state(m, b, MHP_ONLINE, m->blocks[b].zone);
}

/* A dry run changes nothing, so readers do not wait for it. */
int
mhp__leaving_foresee(struct mhp *m, uint64_t to_nodes, struct mhp_why *why)
{
	int err;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	mhp__work_about(m, first_leaving(m));
	mhp__still_begin(m);
	err = mhp__offline_pages_foresee(m, &leaving_ranges, to_nodes, why);
	mhp__still_end(m);
	return err;
}

/* Are there marked blocks that have to be emptied first? */
static bool
anything_online(struct mhp *m)
{
	struct mhp__range range;
	uint32_t cursor = 0;

	return leaving_ranges.next(m, leaving_ranges.set, &cursor, &range);
}

/* Zero the free frames of a range that is empty but for metadata which goes with its block, and is
 * zeroed then. */
static int
scrub_around_metadata(struct mhp *m, const struct mhp__range *range)
{
	uint64_t pfn = range->start_pfn, end = pfn + range->nr_pages;
	const struct mhp__chunk *chunk;
	struct mhp__walk walk;
	int err = 0;

	mhp__walk_begin(&walk, pfn, range->nr_pages);
	while (err == 0 && (chunk = mhp__walk_next(m, &walk)) != NULL) {
		MHP_ASSERT_DEBUG(chunk->pfn >= pfn);
		MHP_ASSERT_DEBUG(chunk->owner < MHP_OWNER_FIRST);
		err = mhp__scrub(m, pfn, chunk->pfn - pfn);
		pfn = chunk->pfn + (UINT64_C(1) << chunk->order);
	}
	return err != 0 ? err : mhp__scrub(m, pfn, end - pfn);
}

/* Zero the blocks that are removed, as far as nothing is in use there. */
static int
scrub_empty(struct mhp *m, struct mhp_why *why)
{
	int err = 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	for (uint32_t b = 0; err == 0 && mhp__bitset_seek(&m->removing, &b); b++) {
		struct mhp__range range = mhp__block_usable(m, b);
		err = m->blocks[b].state == MHP_OFFLINE
			      ? mhp__scrub(m, range.start_pfn, range.nr_pages)
			      : scrub_around_metadata(m, &range);
		if (err != 0)
			mhp__why_bound(why, b, err);
	}
	mhp__phase(m, MHP_PHASE_CONTENT);
	return err;
}

/* scrub_empty() where no block is online. */
static int
scrub_offline(struct mhp *m, struct mhp_why *why)
{
	int err;

	MHP_ASSERT_DEBUG(!anything_online(m));
	mhp__still_begin(m);
	err = scrub_empty(m, why);
	mhp__still_end(m);
	return err;
}

/* The blocks that are online become GOING_OFFLINE and empty. */
static int
empty_leaving(struct mhp *m, const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	int err;

	MHP_ASSERT_DEBUG(anything_online(m));
	/* States are set with readers shut out; from then on nothing that they see changes until
	 * the commit, so they are let in while pages move. */
	mhp__work_undoable(m, true);
	err = begin_leaving(m, why);
	mhp__work_undoable(m, false);
	if (err != 0)
		return err;
	mhp__still_begin(m);
	err = mhp__offline_pages_prepare(m, &leaving_ranges, opts, why);
	/* Before the commit, as it takes long and so may be stopped; isolated frames stay zero. */
	if (err == 0 && opts->scrub) {
		err = scrub_empty(m, why);
		if (err != 0)
			mhp__offline_pages_abort(m, &leaving_ranges);
	}
	mhp__still_end(m);
	return err;
}

/* Is any block GOING_OFFLINE? */
static bool
anything_going(const struct mhp *m)
{
	for (uint32_t b = 0; mhp__bitset_seek(&m->leaving, &b); b++)
		if (m->blocks[b].state == MHP_GOING_OFFLINE)
			return true;
	return false;
}

/* Trace an event about blocks that leave, or are emptied. */
static void
trace_leaving(struct mhp *m, struct mhp_event *event, uint64_t started_ns)
{
	MHP_ASSERT_DEBUG(event->to_nodes == 0);
	event->to_nodes = m->work.to_nodes;
	mhp__trace(m, event, started_ns);
}

int
mhp__leaving_prepare(struct mhp *m, const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	uint64_t started_ns = mhp__work_now(m);
	struct mhp_blocks blocks = first_leaving(m);
	struct mhp_event event;
	int err;

	MHP_ASSERT_DEBUG(why->cause == MHP_CAUSE_NONE);
	mhp__work_about(m, blocks);
	m->work.to_nodes = opts->to_nodes;
	if (!anything_online(m))
		return opts->scrub ? scrub_offline(m, why) : 0;
	m->work.leaving_ns = started_ns;
	event = mhp__event(MHP_EV_OFFLINE_START, blocks);
	trace_leaving(m, &event, 0);
	mhp__phase_begin(m);
	err = empty_leaving(m, opts, why);
	if (err == 0)
		return 0;
	abort_leaving(m);
	event = mhp__event_failed(MHP_EV_OFFLINE_FAILED, blocks, err, why);
	trace_leaving(m, &event, started_ns);
	return err;
}

int
mhp__leaving_empty(struct mhp *m, const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	uint64_t started_ns = mhp__work_now(m);
	struct mhp_blocks blocks = first_leaving(m);
	struct mhp_event event;
	int err;

	MHP_ASSERT_DEBUG(why->cause == MHP_CAUSE_NONE);
	MHP_ASSERT_DEBUG(blocks.count != 0);
	mhp__work_about(m, blocks);
	m->work.to_nodes = opts->to_nodes;
	mhp__phase_begin(m);
	mhp__still_begin(m);
	err = mhp__empty_pages(m, &leaving_ranges, opts, why);
	mhp__still_end(m);
	event = err != 0 ? mhp__event_failed(MHP_EV_MOVE_FAILED, blocks, err, why)
			 : mhp__event(MHP_EV_MOVE, blocks);
	event.node = m->blocks[blocks.first].node;
	event.pages = err != 0 ? 0 : atomic_load(&m->work.moved);
	trace_leaving(m, &event, started_ns);
	return err;
}

/* Commit the empty blocks from b on that are alike. Returns how many. */
static uint32_t
commit_run(struct mhp *m, uint32_t b, uint64_t *moved)
{
	struct mhp_event event =
		mhp__event(MHP_EV_OFFLINE, (struct mhp_blocks){ b, 0 });

	MHP_ASSERT_DEBUG(m->blocks[b].state == MHP_GOING_OFFLINE);
	event.node = m->blocks[b].node;
	event.zone = m->blocks[b].zone;
	while (b < m->geo.nr_blocks && mhp__bitset_test(&m->leaving, b) &&
	       m->blocks[b].state == MHP_GOING_OFFLINE && m->blocks[b].node == event.node &&
	       m->blocks[b].zone == event.zone) {
		struct mhp__range range = mhp__block_usable(m, b);
		mhp__log_stage(&m->work.log, MHP_STAGE_OFFLINE,
			     (struct mhp_blocks){ event.block, event.nr_blocks + 1 });
		if (!mhp__offline_pages_commit(m, &range))
			break;
		mhp__block_set_state(m, b, MHP_OFFLINE, MHP_ZONE_DEFAULT);
		MHP_ASSERT_DEBUG(m->blocks_online != 0);
		m->blocks_online--;
		event.nr_blocks++;
		b++;
	}
	if (event.nr_blocks == 0)
		return 0;
	event.pages = *moved;
	*moved = 0;
	mhp__phase(m, MHP_PHASE_COMMIT);
	trace_leaving(m, &event, m->work.leaving_ns);
	mhp__log_stage_end(&m->work.log);
	return event.nr_blocks;
}

/* Commit all blocks that are empty, with an event for each run of them; the first event tells how
 * many pages all of them moved. Return: is there a block that is not empty yet? */
static bool
commit_empty(struct mhp *m, uint64_t *moved)
{
	bool more = false;

	for (uint32_t b = 0, nr; mhp__bitset_seek(&m->leaving, &b); b += nr != 0 ? nr : 1) {
		nr = 0;
		if (m->blocks[b].state == MHP_GOING_OFFLINE) {
			nr = commit_run(m, b, moved);
			more |= nr == 0;
		}
	}
	return more;
}

static bool
is_removable(const struct mhp *m, uint32_t b, unsigned node)
{
	return b < m->geo.nr_blocks && mhp__bitset_test(&m->removing, b) &&
	       m->blocks[b].state == MHP_OFFLINE && m->blocks[b].node == node;
}

/* Remove the offline ones among the blocks that are to be removed; an event is about one node. */
static void
remove_offline(struct mhp *m, bool scrub)
{
	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 0);
	for (uint32_t b = 0; mhp__bitset_seek(&m->removing, &b); b++) {
		struct mhp_blocks run = { b, 0 };
		while (is_removable(m, run.first + run.count, m->blocks[b].node))
			run.count++;
		if (run.count == 0)
			continue;
		mhp__remove_blocks(m, run, scrub);
		unmark(m, run);
	}
}

void
mhp__leaving_commit(struct mhp *m, bool scrub)
{
	uint64_t moved = atomic_load(&m->work.moved);
	bool more;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	mhp__log_commit(&m->work.log, scrub);
	/* Bound: a block that holds metadata of others is older than they are, so each turn removes
	 * some that another block waits for. */
	do {
		more = commit_empty(m, &moved);
		remove_offline(m, scrub);
	} while (more);
	MHP_ASSERT_DEBUG(!anything_online(m));
}

/* ---- recovery ---- */

void
mhp__leaving_roll_back(struct mhp *m)
{
	struct mhp_blocks blocks = first_leaving(m);
	struct mhp_event event;
	struct mhp_why why;
	bool begun = anything_going(m);

	mhp__offline_pages_cancel(m, &leaving_ranges);
	abort_leaving(m);
	if (!begun)
		return;
	mhp__why_clear(&why);
	why.cause = MHP_CAUSE_CANCELED;
	why.block = blocks.first;
	event = mhp__event_failed(MHP_EV_OFFLINE_FAILED, blocks, MHP_EOWNERDEAD, &why);
	trace_leaving(m, &event, 0);
}

/* End the run that was under way, of which no event has told yet. The first of its blocks that is
 * still GOING_OFFLINE may be out of use in part. */
static void
finish_run(struct mhp *m, struct mhp_blocks run)
{
	struct mhp_event event = mhp__event(MHP_EV_OFFLINE, run);
	uint32_t b = run.first, end = run.first + run.count;

	event.node = m->blocks[b].node;
	event.zone = MHP_ZONE_DEFAULT;
	while (b < end && m->blocks[b].state == MHP_OFFLINE)
		b++;
	if (b < end) {
		struct mhp__range range = mhp__block_usable(m, b);
		event.zone = range.zone;
		if (mhp__offline_pages_begun(m, &range)) {
			mhp__offline_pages_redo(m, &range);
			mhp__block_set_state(m, b, MHP_OFFLINE, MHP_ZONE_DEFAULT);
			m->blocks_online--;
			b++;
		}
	}
	event.nr_blocks = b - run.first;
	if (event.nr_blocks != 0)
		trace_leaving(m, &event, 0);
	mhp__log_stage_end(&m->work.log);
}

/* For a kill between the removal of blocks and unmark(). */
static void
unmark_absent(struct mhp *m)
{
	for (uint32_t b = 0; mhp__bitset_seek(&m->leaving, &b); b++)
		if (m->blocks[b].state == MHP_ABSENT)
			unmark(m, (struct mhp_blocks){ b, 1 });
}

void
mhp__leaving_roll_forward(struct mhp *m)
{
	unmark_absent(m);
	if (atomic_load(&m->work.log.stage) == MHP_STAGE_OFFLINE)
		finish_run(m, mhp__log_blocks(&m->work.log));
	mhp__leaving_commit(m, atomic_load(&m->work.log.scrub) != 0);
}
