/* SPDX-License-Identifier: MIT */
/*
 * block.c - the state machine of memory blocks.
 *
 *     ABSENT -> OFFLINE -> GOING_ONLINE -> ONLINE -> GOING_OFFLINE -> OFFLINE -> ABSENT
 *
 * This layer owns the reserve: usable() is the one place where it offsets the start and shortens
 * the length of what goes to the range layer, on the way in and on the way out (R15). Several
 * blocks change together in two halves: what can fail is done for all of them before what cannot.
 */
#include "blocks/block.h"

#include "base/mem.h"
#include "physical/physical.h"
#include "state/locked.h"
#include "state/runs.h"
#include "state/trace.h"
#include "tables/bad.h"
#include "tables/policy.h"

/* The part of a block that may be used: all of it but the reserve at its start. */
static struct mhp__range
part_of(const struct mhp *m, uint32_t block, uint32_t nr_vmemmap_pages, unsigned node)
{
	struct mhp__range range;

	range.start_pfn = mhp__block_start(m, block) + nr_vmemmap_pages;
	range.nr_pages = mhp__block_pages(m) - nr_vmemmap_pages;
	range.node = (uint8_t)node;
	range.zone = 0;
	return range;
}

static struct mhp__range
usable(const struct mhp *m, uint32_t block)
{
	const struct mhp_block *slot = &m->blocks[block];
	struct mhp__range range = part_of(m, block, slot->altmap.capacity, slot->node);

	range.zone = slot->zone;
	return range;
}

static void
set_state(struct mhp *m, uint32_t block, enum mhp_block_state state)
{
	struct mhp_block *slot = &m->blocks[block];

	slot->state = (uint8_t)state;
	if (state == MHP_OFFLINE)
		slot->zone = 0;
	mhp__block_seal(slot);
	mhp__runs_update(m, (struct mhp_blocks){ block, 1 });
}

static int
in_range(const struct mhp *m, struct mhp_blocks blocks)
{
	if (blocks.count == 0 || blocks.first >= m->geo.nr_blocks ||
	    blocks.count > m->geo.nr_blocks - blocks.first)
		return MHP_EINVAL;
	return 0;
}

static int
blame_state(struct mhp_why *why, uint32_t block, int error)
{
	why->cause = MHP_CAUSE_STATE;
	why->block = block;
	return error;
}

static void
clear_why(struct mhp_why *why)
{
	memset(why, 0, sizeof(*why));
	why->pfn = MHP_PFN_NONE;
}

static struct mhp_event
block_event(enum mhp_event_kind kind, struct mhp_blocks blocks, int error,
	    const struct mhp_why *why)
{
	struct mhp_event event;

	memset(&event, 0, sizeof(event));
	event.kind = kind;
	event.block = blocks.first;
	event.nr_blocks = blocks.count;
	event.error = error;
	event.pfn = MHP_PFN_NONE;
	event.zone = event.asked_zone = MHP_ZONE_DEFAULT;
	if (why != NULL) {
		event.cause = why->cause;
		event.cause_block = why->block;
		event.pfn = why->pfn;
		event.order = why->order;
		event.owner = why->owner;
		event.listener = why->listener;
		event.text = why->text;
	}
	return event;
}

/* ---- coming online ---- */

int
mhp__online_check(struct mhp *m, struct mhp_blocks blocks, struct mhp_why *why)
{
	int err = in_range(m, blocks);

	if (err != 0)
		return err;
	for (uint32_t i = 0; i < blocks.count; i++) {
		uint32_t block = blocks.first + i;
		if (m->blocks[block].state == MHP_ABSENT)
			return blame_state(why, block, MHP_ENOENT);
		if (m->blocks[block].state != MHP_OFFLINE)
			return blame_state(why, block, MHP_EBUSY);
	}
	return 0;
}

/* Ask the policy, and count the range as planned. */
static int
choose_zone(struct mhp *m, uint32_t block, struct mhp__range *range, unsigned zone,
	    struct mhp__planned_pages *planned, struct mhp_why *why)
{
	int err = mhp__policy_zone(m, zone, range->node, range->start_pfn, range->nr_pages,
				   planned, &range->zone);

	if (err != 0) {
		why->cause = MHP_CAUSE_POLICY;
		why->block = block;
	} else if (range->zone == MHP_ZONE_MOVABLE) {
		planned->movable[range->node] += range->nr_pages;
	} else {
		planned->normal[range->node] += range->nr_pages;
	}
	return err;
}

int
mhp__online_foresee(struct mhp *m, uint32_t block, const struct mhp__coming *coming, unsigned zone,
		    struct mhp__planned_pages *planned, struct mhp_why *why)
{
	struct mhp__range range;

	if (coming != NULL)
		range = part_of(m, block, coming->nr_vmemmap_pages, coming->node);
	else
		range = usable(m, block);
	return choose_zone(m, block, &range, zone, planned, why);
}

static int
online_prepare_one(struct mhp *m, uint32_t block, unsigned zone,
		   struct mhp__planned_pages *planned, struct mhp_why *why)
{
	struct mhp_block *slot = &m->blocks[block];
	struct mhp__range range = usable(m, block);
	int err = choose_zone(m, block, &range, zone, planned, why);

	if (err != 0)
		return err;
	slot->zone = range.zone;
	set_state(m, block, MHP_GOING_ONLINE);
	err = mhp__online_pages_prepare(m, &range, why);
	if (err != 0) {
		why->block = block;
		set_state(m, block, MHP_OFFLINE);
	}
	return err;
}

void
mhp__online_abort(struct mhp *m, struct mhp_blocks blocks)
{
	while (blocks.count-- > 0) {
		uint32_t block = blocks.first + blocks.count;
		struct mhp__range range = usable(m, block);
		mhp__online_pages_abort(m, &range);
		set_state(m, block, MHP_OFFLINE);
	}
}

static int
online_prepare_all(struct mhp *m, struct mhp_blocks blocks, unsigned zone,
		   struct mhp__planned_pages *planned, struct mhp_why *why)
{
	int err = mhp__online_check(m, blocks, why);

	if (err != 0)
		return err;
	for (uint32_t i = 0; i < blocks.count; i++) {
		err = online_prepare_one(m, blocks.first + i, zone, planned, why);
		if (err != 0) {
			mhp__online_abort(m, (struct mhp_blocks){ blocks.first, i });
			return err;
		}
	}
	return 0;
}

int
mhp__online_prepare(struct mhp *m, struct mhp_blocks blocks, unsigned zone, uint64_t started_ns,
		    struct mhp__planned_pages *planned, struct mhp_why *why)
{
	struct mhp_event event;
	int err;

	err = online_prepare_all(m, blocks, zone, planned, why);
	mhp__phase(m, MHP_PHASE_NOTIFY);
	if (err == 0)
		return 0;
	event = block_event(MHP_EV_ONLINE_FAILED, blocks, err, why);
	event.asked_zone = (uint8_t)zone;
	if (why->cause == MHP_CAUSE_POLICY && planned->together)
		event.asked_zone = MHP_ZONE_TOGETHER;
	mhp__trace(m, event, started_ns);
	return err;
}

/* The blocks from b on that go to the same zone. */
static uint32_t
zone_run_end(const struct mhp *m, uint32_t b, uint32_t end)
{
	const struct mhp_block *first = &m->blocks[b];

	while (b < end && m->blocks[b].zone == first->zone && m->blocks[b].node == first->node)
		b++;
	return b;
}

static void
commit_online_run(struct mhp *m, uint32_t b, uint32_t end, unsigned asked_zone, uint64_t started_ns)
{
	struct mhp_blocks run = { b, end - b };
	struct mhp_event event = block_event(MHP_EV_ONLINE, run, 0, NULL);

	event.asked_zone = (uint8_t)asked_zone;
	event.node = m->blocks[b].node;
	event.zone = m->blocks[b].zone;
	for (; b < end; b++) {
		struct mhp__range range = usable(m, b);
		set_state(m, b, MHP_ONLINE);
		m->blocks_online++;
		mhp__online_pages_commit(m, &range,
					 (m->blocks[b].flags & MHP_BLOCK_ZEROED) != 0);
		event.pages += range.nr_pages;
	}
	mhp__phase(m, MHP_PHASE_COMMIT);
	mhp__trace(m, event, started_ns);
}

/* An event for each run of blocks that go to one zone. */
void
mhp__online_commit(struct mhp *m, struct mhp_blocks blocks, unsigned zone, uint64_t started_ns)
{
	uint32_t end = blocks.first + blocks.count, run_end;

	if (zone == MHP_ZONE_DEFAULT && zone_run_end(m, blocks.first, end) != end)
		zone = MHP_ZONE_TOGETHER;
	for (uint32_t b = blocks.first; b < end; b = run_end) {
		run_end = zone_run_end(m, b, end);
		commit_online_run(m, b, run_end, zone, started_ns);
	}
}

static int
online_locked(struct mhp *m, struct mhp_blocks blocks, unsigned zone, struct mhp_why *why)
{
	uint64_t started_ns = m->ops->now_ns(m->port);
	struct mhp__planned_pages planned;
	int err;

	memset(&planned, 0, sizeof(planned));
	mhp__phase_begin(m);
	err = mhp__online_prepare(m, blocks, zone, started_ns, &planned, why);
	if (err == 0)
		mhp__online_commit(m, blocks, zone, started_ns);
	return err;
}

int
mhp_online(struct mhp *m, struct mhp_blocks blocks, unsigned zone, struct mhp_why *reterr_why)
{
	struct mhp_why why;
	int err = mhp__hotplug_lock(m);

	clear_why(&why);
	if (err == 0) {
		err = online_locked(m, blocks, zone, &why);
		mhp__hotplug_unlock(m);
	}
	if (err != 0 && reterr_why != NULL)
		*reterr_why = why;
	return err;
}

/* ---- sets of blocks that leave ---- */

static uint32_t
next_leaving(const struct mhp *m, uint32_t block)
{
	return mhp__bitset_next(&m->leaving, block);
}

static void
unmark(struct mhp *m, struct mhp_blocks blocks)
{
	for (uint32_t i = 0; i < blocks.count; i++) {
		mhp__bitset_put(&m->leaving, blocks.first + i, false);
		mhp__bitset_put(&m->removing, blocks.first + i, false);
	}
}

void
mhp__leaving_clear(struct mhp *m)
{
	for (uint32_t b = next_leaving(m, 0); b < m->geo.nr_blocks; b = next_leaving(m, b + 1))
		unmark(m, (struct mhp_blocks){ b, 1 });
}

static int
may_leave(const struct mhp *m, uint32_t block, bool remove, struct mhp_why *why)
{
	enum mhp_block_state state = m->blocks[block].state;

	if (mhp__bitset_test(&m->leaving, block))
		return blame_state(why, block, MHP_EINVAL);
	if (state == MHP_ABSENT)
		return blame_state(why, block, MHP_ENOENT);
	MHP_ASSERT(state == MHP_ONLINE || state == MHP_OFFLINE); /* nothing else is under way */
	if (state == MHP_OFFLINE && !remove)
		return blame_state(why, block, MHP_EBUSY);
	return 0;
}

int
mhp__leaving_add(struct mhp *m, struct mhp_blocks blocks, bool remove, struct mhp_why *why)
{
	int err = in_range(m, blocks);

	if (err != 0)
		return err;
	for (uint32_t i = 0; i < blocks.count; i++) {
		err = may_leave(m, blocks.first + i, remove, why);
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
	uint32_t block = next_leaving(m, *cursor);

	(void)set;
	while (block < m->geo.nr_blocks && m->blocks[block].state == MHP_OFFLINE)
		block = next_leaving(m, block + 1);
	if (block >= m->geo.nr_blocks)
		return false;
	*ret_range = usable(m, block);
	*cursor = block + 1;
	return true;
}

static const struct mhp__range_iter leaving_ranges = { next_leaving_range, NULL };

static void
set_leaving_states(struct mhp *m, enum mhp_block_state from, enum mhp_block_state to)
{
	for (uint32_t b = next_leaving(m, 0); b < m->geo.nr_blocks; b = next_leaving(m, b + 1))
		if (m->blocks[b].state == from)
			set_state(m, b, to);
}

int
mhp__leaving_foresee(struct mhp *m, struct mhp_why *why)
{
	return mhp__offline_pages_foresee(m, &leaving_ranges, why);
}

/* The first run of marked blocks, for events and progress. */
static struct mhp_blocks
first_leaving(const struct mhp *m)
{
	struct mhp_blocks blocks = { next_leaving(m, 0), 0 };

	while (blocks.first + blocks.count < m->geo.nr_blocks &&
	       mhp__bitset_test(&m->leaving, blocks.first + blocks.count))
		blocks.count++;
	return blocks;
}

static void
progress_begin(struct mhp *m, struct mhp_blocks blocks, uint64_t started_ns)
{
	atomic_store(&m->cancel, 0);
	atomic_store(&m->progress_moved, 0);
	atomic_store(&m->progress_left, 0);
	atomic_store(&m->progress_start_ns, started_ns);
	atomic_store(&m->progress_first, blocks.first);
	atomic_store(&m->progress_count, blocks.count);
}

static void
progress_end(struct mhp *m)
{
	atomic_store(&m->progress_count, 0);
	atomic_store(&m->progress_first, 0);
	atomic_store(&m->progress_moved, 0);
	atomic_store(&m->progress_left, 0);
	atomic_store(&m->progress_start_ns, 0);
	atomic_store(&m->cancel, 0);
}

/* Are there marked blocks that have to be emptied first? */
static bool
anything_online(struct mhp *m)
{
	struct mhp__range range;
	uint32_t cursor = 0;

	return leaving_ranges.next(m, leaving_ranges.set, &cursor, &range);
}

int
mhp__leaving_prepare(struct mhp *m, const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	uint64_t started_ns = m->ops->now_ns(m->port);
	struct mhp_blocks blocks = first_leaving(m);
	int err;

	if (!anything_online(m))
		return 0;
	mhp__trace(m, block_event(MHP_EV_OFFLINE_START, blocks, 0, NULL), 0);
	progress_begin(m, blocks, started_ns);
	mhp__phase_begin(m);
	set_leaving_states(m, MHP_ONLINE, MHP_GOING_OFFLINE);
	mhp__still_begin(m);
	err = mhp__offline_pages_prepare(m, &leaving_ranges, opts, why);
	mhp__still_end(m);
	if (err == 0)
		return 0;
	set_leaving_states(m, MHP_GOING_OFFLINE, MHP_ONLINE);
	progress_end(m);
	mhp__trace(m, block_event(MHP_EV_OFFLINE_FAILED, blocks, err, why), started_ns);
	return err;
}

/* Take the blocks from b on that are alike and empty; returns how many. */
static uint32_t
commit_run(struct mhp *m, uint32_t b, uint64_t *moved)
{
	struct mhp_event event = block_event(MHP_EV_OFFLINE, (struct mhp_blocks){ b, 0 }, 0, NULL);

	event.node = m->blocks[b].node;
	event.zone = m->blocks[b].zone;
	while (b < m->geo.nr_blocks && mhp__bitset_test(&m->leaving, b) &&
	       m->blocks[b].state == MHP_GOING_OFFLINE && m->blocks[b].node == event.node &&
	       m->blocks[b].zone == event.zone) {
		struct mhp__range range = usable(m, b);
		if (!mhp__offline_pages_commit(m, &range))
			break;
		set_state(m, b, MHP_OFFLINE);
		m->blocks_online--;
		event.nr_blocks++;
		b++;
	}
	if (event.nr_blocks == 0)
		return 0;
	event.pages = *moved;
	*moved = 0;
	mhp__phase(m, MHP_PHASE_COMMIT);
	mhp__trace(m, event, atomic_load(&m->progress_start_ns));
	return event.nr_blocks;
}

/* Take all that are empty. Return: is there another one? An event for each run of blocks; the first
 * one tells how many pages all of them moved. */
static bool
commit_empty(struct mhp *m, uint64_t *moved)
{
	uint32_t b = next_leaving(m, 0), nr;
	bool more = false;

	while (b < m->geo.nr_blocks) {
		nr = 0;
		if (m->blocks[b].state == MHP_GOING_OFFLINE) {
			nr = commit_run(m, b, moved);
			more |= nr == 0;
		}
		b = next_leaving(m, b + (nr != 0 ? nr : 1));
	}
	return more;
}

static bool
is_removable(const struct mhp *m, uint32_t b, unsigned node)
{
	return b < m->geo.nr_blocks && mhp__bitset_test(&m->removing, b) &&
	       m->blocks[b].state == MHP_OFFLINE && m->blocks[b].node == node;
}

/* Remove what is offline of the blocks that are to be removed; an event is about one node. */
static void
remove_offline(struct mhp *m, bool scrub)
{
	uint32_t b = mhp__bitset_next(&m->removing, 0);

	while (b < m->geo.nr_blocks) {
		struct mhp_blocks run = { b, 0 };
		while (is_removable(m, b, m->blocks[run.first].node))
			b++;
		run.count = b - run.first;
		unmark(m, run);
		if (run.count != 0)
			mhp__remove_blocks(m, run, scrub);
		b = mhp__bitset_next(&m->removing, run.count != 0 ? b : b + 1);
	}
}

void
mhp__leaving_commit(struct mhp *m, bool scrub)
{
	uint64_t moved = atomic_load(&m->progress_moved);
	bool more;

	/* Bound: a block that holds metadata of others was there before them, so each turn removes
	 * some that another one waits for. */
	do {
		more = commit_empty(m, &moved);
		if (!more)
			progress_end(m);
		remove_offline(m, scrub);
	} while (more);
}

/* ---- offline ---- */

struct mhp_progress
mhp_offline_progress(const struct mhp *m)
{
	uint64_t start_ns = atomic_load(&m->progress_start_ns);
	struct mhp_progress progress;

	memset(&progress, 0, sizeof(progress));
	progress.blocks.count = atomic_load(&m->progress_count);
	progress.blocks.first = atomic_load(&m->progress_first);
	progress.moved_pages = atomic_load(&m->progress_moved);
	progress.left_pages = atomic_load(&m->progress_left);
	progress.elapsed_ns = m->ops->now_ns(m->port) - start_ns;
	/* It ended, or another one began, while we looked: nothing of this belongs together. */
	if (progress.blocks.count == 0 || atomic_load(&m->progress_start_ns) != start_ns)
		memset(&progress, 0, sizeof(progress));
	return progress;
}

/* Is the block part of the offline under way? Its first run is known; blocks behind it are those
 * whose last pageblock is isolated, which nobody else keeps so meanwhile. */
static bool
is_leaving(const struct mhp *m, uint32_t block)
{
	uint32_t first = atomic_load(&m->progress_first);
	uint32_t count = atomic_load(&m->progress_count);
	const struct mhp_arena *arena;

	if (count == 0 || block >= m->geo.nr_blocks)
		return false;
	if (block >= first && block - first < count)
		return true;
	arena = &m->arenas[mhp__pfn_arena(m, mhp__block_start(m, block + 1) - 1)];
	return atomic_load(&arena->isolated) >> (mhp__arena_pageblocks(m) - 1) != 0;
}

int
mhp_offline_cancel(struct mhp *m, uint32_t block)
{
	/* Read first: if that offline ends meanwhile, the next one does not mistake this for its
	 * own. */
	uint32_t token = mhp__cancel_token(m);

	if (!is_leaving(m, block))
		return MHP_ENOENT;
	atomic_store(&m->cancel, token);
	return 0;
}

static int
offline_locked(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
	       const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	int err = nr_sets == 0 ? MHP_EINVAL : 0;

	for (unsigned i = 0; i < nr_sets && err == 0; i++)
		err = mhp__leaving_add(m, sets[i], false, why);
	if (err == 0)
		err = opts->dry_run ? mhp__leaving_foresee(m, why) :
				      mhp__leaving_prepare(m, opts, why);
	if (err == 0 && !opts->dry_run)
		mhp__leaving_commit(m, false);
	mhp__leaving_clear(m);
	return err;
}

static const struct mhp_offline_opts default_opts;

int
mhp_offline(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
	    const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	struct mhp_why why;
	int err = mhp__hotplug_lock(m);

	clear_why(&why);
	if (err == 0) {
		err = offline_locked(m, sets, nr_sets, opts != NULL ? opts : &default_opts, &why);
		mhp__hotplug_unlock(m);
	}
	if (err != 0 && reterr_why != NULL)
		*reterr_why = why;
	return err;
}

int
mhp_block_offline(struct mhp *m, uint32_t block, const struct mhp_offline_opts *opts,
		  struct mhp_why *reterr_why)
{
	struct mhp_blocks blocks = { block, 1 };

	return mhp_offline(m, &blocks, 1, opts, reterr_why);
}

/* ---- add and remove, as the caller sees them ---- */

static unsigned
auto_zone(enum mhp_auto_online policy)
{
	if (policy == MHP_AUTO_ONLINE_KERNEL)
		return MHP_ZONE_NORMAL;
	return policy == MHP_AUTO_ONLINE_MOVABLE ? MHP_ZONE_MOVABLE : MHP_ZONE_DEFAULT;
}

/* Auto-online: try a bounded number of times; memory that stays offline is no failure of the
 * add. */
static int
auto_online(struct mhp *m, struct mhp_blocks blocks)
{
	uint32_t attempts = m->policy.auto_online_attempts;
	int err = 0;

	for (uint32_t i = 0; i < attempts; i++) {
		struct mhp_why why;
		if (i != 0) {
			m->auto_online_retries++;
			m->ops->pause(m->port, UINT64_C(1000000));
		}
		clear_why(&why);
		err = online_locked(m, blocks, auto_zone(m->policy.auto_online), &why);
		if (err == 0)
			break;
	}
	return err;
}

static int
add_locked(struct mhp *m, struct mhp_span span, const struct mhp_add_opts *opts,
	   struct mhp_add_answer *answer)
{
	struct mhp_why why;
	int err = mhp__add_memory(m, span, opts, answer);

	if (err != 0)
		return err;
	if ((opts->flags & MHP_ADD_ONLINE) != 0) {
		clear_why(&why);
		err = online_locked(m, answer->blocks, opts->zone, &why);
		if (err != 0)
			mhp__remove_blocks(m, answer->blocks, false);
	} else if ((opts->flags & MHP_ADD_OFFLINE) == 0 &&
		   m->policy.auto_online != MHP_AUTO_OFFLINE) {
		answer->online_error = auto_online(m, answer->blocks);
	}
	return err;
}

int
mhp_add(struct mhp *m, struct mhp_span span, const struct mhp_add_opts *opts,
	struct mhp_add_answer *ret_answer)
{
	static const struct mhp_add_opts none;
	struct mhp_add_answer answer;
	int err = mhp__hotplug_lock(m);

	memset(&answer, 0, sizeof(answer));
	if (err == 0) {
		err = add_locked(m, span, opts != NULL ? opts : &none, &answer);
		mhp__hotplug_unlock(m);
	}
	if (ret_answer != NULL)
		*ret_answer = answer;
	return err;
}

/* Mark the blocks of a span that are there; there must be one. */
static int
mark_present(struct mhp *m, struct mhp_span span, struct mhp_why *why)
{
	struct mhp_blocks blocks;
	int err = mhp__span_blocks(m, span, &blocks);
	uint32_t at, end;

	if (err != 0)
		return err;
	end = blocks.first + blocks.count;
	at = mhp__next_present(m, blocks.first, end);
	if (at == end)
		return blame_state(why, blocks.first, MHP_ENOENT);
	while (at < end && err == 0) {
		uint32_t run_end = mhp__run_end(m, at);
		run_end = run_end < end ? run_end : end;
		err = mhp__leaving_add(m, (struct mhp_blocks){ at, run_end - at }, true, why);
		at = mhp__next_present(m, run_end, end);
	}
	return err;
}

static int
remove_locked(struct mhp *m, const struct mhp_span *spans, unsigned nr_spans,
	      const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	int err = nr_spans == 0 ? MHP_EINVAL : 0;

	for (unsigned i = 0; i < nr_spans && err == 0; i++)
		err = mark_present(m, spans[i], why);
	if (err == 0)
		err = opts->dry_run ? mhp__leaving_foresee(m, why) :
				      mhp__leaving_prepare(m, opts, why);
	if (err == 0 && !opts->dry_run)
		mhp__leaving_commit(m, opts->scrub);
	mhp__leaving_clear(m);
	return err;
}

int
mhp_remove(struct mhp *m, const struct mhp_span *spans, unsigned nr_spans,
	   const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	struct mhp_why why;
	int err = mhp__hotplug_lock(m);

	clear_why(&why);
	if (err == 0) {
		err = remove_locked(m, spans, nr_spans, opts != NULL ? opts : &default_opts, &why);
		mhp__hotplug_unlock(m);
	}
	if (err != 0 && reterr_why != NULL)
		*reterr_why = why;
	return err;
}

/* ---- looking ---- */

static void
fill_metadata(const struct mhp *m, const struct mhp_block *slot, struct mhp_block_info *info)
{
	struct mhp_memmap_shape shape = mhp_memmap_shape(m);
	struct mhp_memmap_answer answer;
	uint64_t slice = mhp__block_pages(m) * sizeof(struct mhp_page);
	uint64_t large = (uint64_t)slot->nr_large_maps << m->caps.large_granule_shift;

	(void)mhp_supports_memmap_on_memory(&shape, &answer);
	info->placement = (enum mhp_placement)slot->placement;
	info->metadata_node = slot->meta_node;
	info->metadata_bytes = (uint64_t)slot->meta_pages << m->geo.page_shift;
	info->nr_vmemmap_pages = slot->altmap.capacity;
	info->altmap = slot->altmap;
	info->waste_bytes = answer.waste_bytes;
	info->nr_large_mappings = slot->nr_large_maps;
	if (MHP_VMEMMAP)
		info->nr_base_mappings = (uint32_t)((slice - large) >> m->caps.granule_shift);
}

static void
fill_info(struct mhp *m, uint32_t block, struct mhp_block_info *info)
{
	const struct mhp_block *slot = &m->blocks[block];
	struct mhp__range range;

	info->state = (enum mhp_block_state)slot->state;
	if (info->state == MHP_ABSENT)
		return;
	range = usable(m, block);
	info->node = slot->node;
	info->backing = slot->backing;
	info->boot = (slot->flags & MHP_BLOCK_BOOT) != 0;
	info->nr_bad_pages = mhp__bad_in(m, mhp__block_start(m, block),
					 mhp__block_start(m, block + 1));
	fill_metadata(m, slot, info);
	if (info->state == MHP_OFFLINE)
		return;
	info->zone = slot->zone;
	if (info->state == MHP_GOING_ONLINE)
		return;
	info->free_bytes = mhp__pages_nr_free(m, range.start_pfn, range.nr_pages)
			   << m->geo.page_shift;
	info->used_bytes = (range.nr_pages << m->geo.page_shift) - info->free_bytes;
}

int
mhp_block_get(struct mhp *m, uint32_t block, struct mhp_block_info *ret_info)
{
	enum mhp__look look;

	if (block >= m->geo.nr_blocks)
		return MHP_ENXIO;
	look = mhp__look_begin(m);
	memset(ret_info, 0, sizeof(*ret_info));
	ret_info->block = block;
	ret_info->span.start = mhp__pfn_phys(m, mhp__block_start(m, block));
	ret_info->span.size = mhp__block_pages(m) << m->geo.page_shift;
	ret_info->zone = MHP_ZONE_DEFAULT;
	fill_info(m, block, ret_info);
	mhp__look_end(m, look);
	return 0;
}

/* Are like blocks, which are in use, all that their zone has? */
static bool
are_whole_zone(const struct mhp *m, struct mhp_blocks blocks)
{
	const struct mhp_block *slot = &m->blocks[blocks.first];

	return mhp__run_end(m, blocks.first) - blocks.first >= blocks.count &&
	       mhp__zone(m, slot->node, slot->zone)->nr_blocks == blocks.count;
}

static bool
in_use(const struct mhp *m, uint32_t block)
{
	return m->blocks[block].state == MHP_ONLINE || m->blocks[block].state == MHP_GOING_OFFLINE;
}

/* Usable and free pages of the blocks that are in use. */
static void
count_pages(struct mhp *m, struct mhp_blocks blocks, uint64_t *ret_usable, uint64_t *ret_free)
{
	uint32_t end = blocks.first + blocks.count, block = blocks.first, run_end;
	const struct mhp_zone *zone;

	*ret_usable = *ret_free = 0;
	if (in_use(m, block) && are_whole_zone(m, blocks)) {
		zone = mhp__zone(m, m->blocks[block].node, m->blocks[block].zone);
		*ret_usable = zone->present;
		*ret_free = mhp__zone_nr_free(m, zone);
		return;
	}
	for (; block < end; block = run_end) {
		run_end = mhp__run_end(m, block);
		run_end = run_end < end ? run_end : end;
		for (uint32_t b = block; in_use(m, block) && b < run_end; b++) {
			struct mhp__range range = usable(m, b);
			*ret_usable += range.nr_pages;
			*ret_free += mhp__pages_nr_free(m, range.start_pfn, range.nr_pages);
		}
	}
}

int
mhp_range_usage(struct mhp *m, struct mhp_blocks blocks, uint64_t *ret_used_bytes,
		uint64_t *ret_free_bytes)
{
	uint64_t nr_usable, nr_free;
	enum mhp__look look;

	if (in_range(m, blocks) != 0)
		return MHP_EINVAL;
	look = mhp__look_begin(m);
	count_pages(m, blocks, &nr_usable, &nr_free);
	mhp__look_end(m, look);
	nr_free = nr_free < nr_usable ? nr_free : nr_usable; /* the zone counts without a lock */
	*ret_free_bytes = nr_free << m->geo.page_shift;
	*ret_used_bytes = (nr_usable - nr_free) << m->geo.page_shift;
	return 0;
}
