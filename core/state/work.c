/* SPDX-License-Identifier: MIT */
/*
 * work.c - the change under way, as itself and as others see it.
 *
 * A change is named by a number that counts up. A cancel reads the number first, then asks whether
 * the change is about the block in question, and then writes the number: a cancel that comes late
 * names a change that is over, and stops none. Interrupts are a count and not a request to one
 * change: as long as it is not 0 no change runs for long, so a thread that waits for the hotplug
 * lock gets it even if others queue for it, too.
 *
 * Must not know: what is done to blocks, or why.
 */
#include "state/work.h"

#include "state/instance.h"

#define MS UINT64_C(1000000)
/* Polls before an add gives way. A loop over blocks polls once in 64, so this is some 500 blocks:
 * what takes less is over before a fork would notice. */
#define GRACE_POLLS 8U
/* So many loops in a row may begin without reading the clock. */
#define UNCLOCKED_MAX 8U

uint64_t
mhp__work_clock(struct mhp *m)
{
	uint64_t now = m->ops->now_ns(m->port);

	if (atomic_load_explicit(&m->work.kind, memory_order_relaxed) != MHP_WORK_NONE) {
		m->work.now_ns = now;
		m->work.nr_unclocked = 0;
	}
	return now;
}

uint64_t
mhp__work_now(const struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->work.kind) != MHP_WORK_NONE);
	return m->work.now_ns;
}

void
mhp__work_begin(struct mhp *m, enum mhp_work kind, uint32_t deadline_ms)
{
	struct mhp__work *work = &m->work;
	uint64_t now = m->ops->now_ns(m->port);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(m->work.now_ns == 0);
	MHP_ASSERT_DEBUG(m->work.nr_polls == 0); /* the last one ended */
	MHP_ASSERT(kind != MHP_WORK_NONE);
	MHP_ASSERT(atomic_load(&work->kind) == MHP_WORK_NONE);
	work->deadline_ns =
		now + (deadline_ms != 0 ? deadline_ms : MHP_DEADLINE_MS_DEFAULT) * MS;
	MHP_ASSERT_DEBUG((atomic_load(&work->seq) & 1U) == 0);
	atomic_fetch_add(&work->seq, 1);
	work->now_ns = now;
	atomic_store(&work->start_ns, now);
	mhp__log(&work->log.generation, atomic_load(&m->generation));
	atomic_store(&work->kind, (uint32_t)kind);
}

void
mhp__work_about(struct mhp *m, struct mhp_blocks blocks)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->work.kind) != MHP_WORK_NONE);
	MHP_ASSERT_DEBUG(blocks.count <= m->geo.nr_blocks - blocks.first);
	atomic_store(&m->work.first, blocks.first);
	atomic_store(&m->work.count, blocks.count);
}

void
mhp__work_end(struct mhp *m)
{
	struct mhp__work *work = &m->work;

	MHP_ASSERT(atomic_load(&work->kind) != MHP_WORK_NONE);
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(work->doing_ns == 0); /* each doing was done */
	MHP_ASSERT_DEBUG((atomic_load(&work->seq) & 1U) != 0);
	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 0);
	MHP_ASSERT_DEBUG(mhp__bitset_next(&m->leaving, 0) == m->geo.nr_blocks); /* INV 5 */
	MHP_ASSERT_DEBUG(mhp__bitset_next(&m->removing, 0) == m->geo.nr_blocks);
	mhp__log(&work->log.committing, 1); /* after a kill from here on nothing is rolled back */
	atomic_store(&work->kind, MHP_WORK_NONE);
	mhp__work_forget(m);
}

static void
forget_log(struct mhp__log *log)
{
	mhp__log(&log->scrub, 0);
	mhp__log(&log->generation, 0);
	mhp__log(&log->owner, 0);
	mhp__log(&log->giving_end, 0);
	mhp__log(&log->giving_pfn, 0);
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		mhp__log(&log->room_end[order], 0);
		mhp__log(&log->room_pfn[order], 0);
	}
	mhp__log(&log->stage, MHP_STAGE_NONE);
	mhp__log(&log->first, 0);
	mhp__log(&log->count, 0);
	mhp__log(&log->nr_told, 0);
	mhp__log(&log->telling_pfn1, 0);
	mhp__log(&log->nr_listeners, 0);
	mhp__log(&log->arena1, 0);
	mhp__log(&log->zone, 0);
	mhp__log(&log->nr_uncounted, 0);
	mhp__log(&log->committing, 0);
}

void
mhp__work_forget(struct mhp *m)
{
	struct mhp__work *work = &m->work;

	MHP_ASSERT(atomic_load(&work->kind) == MHP_WORK_NONE);
	atomic_store(&work->first, 0);
	atomic_store(&work->count, 0);
	atomic_store(&work->moved, 0);
	atomic_store(&work->left, 0);
	atomic_store(&work->start_ns, 0);
	atomic_store(&work->cancel, 0);
	if ((atomic_load(&work->seq) & 1U) != 0)
		atomic_fetch_add(&work->seq, 1); /* even: no change has this number */
	work->to_nodes = 0;
	work->leaving_ns = work->deadline_ns = work->undo_ns = work->doing_ns = work->now_ns = 0;
	work->stopped = 0;
	work->nr_polls = work->nr_unclocked = 0;
	forget_log(&work->log);
}

void
mhp__work_resume(struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->work.kind) != MHP_WORK_NONE);
	m->work.deadline_ns = UINT64_MAX;
	m->work.undo_ns = m->work.doing_ns = 0;
	m->work.stopped = 0;
	atomic_store(&m->work.cancel, 0);
	(void)mhp__work_clock(m);
}

static bool
is_interrupted(const struct mhp__work *work)
{
	return atomic_load_explicit(&work->interrupts, memory_order_relaxed) != 0;
}

/* Memory that is added is needed at once, and usually there in microseconds. So an add gives way
 * only when it takes long: a program that grows must not be refused because another thread forks.
 * Long means so many polls, since time also passes while this thread does not run. */
static bool
gives_way(const struct mhp__work *work)
{
	uint32_t kind = atomic_load_explicit(&work->kind, memory_order_relaxed);

	return (kind != MHP_WORK_ADD && kind != MHP_WORK_ONLINE) || work->nr_polls > GRACE_POLLS;
}

static bool
is_canceled(const struct mhp__work *work)
{
	return atomic_load_explicit(&work->cancel, memory_order_relaxed) ==
	       atomic_load_explicit(&work->seq, memory_order_relaxed);
}

/* By the last reading of the clock. */
static bool
is_late(const struct mhp__work *work)
{
	uint64_t undo_ns = work->undo_ns;

	MHP_ASSERT_DEBUG(work->deadline_ns != 0);
	MHP_ASSERT_DEBUG(work->now_ns >= work->doing_ns);
	if (work->doing_ns != 0)
		undo_ns += work->now_ns - work->doing_ns;
	return work->now_ns + undo_ns >= work->deadline_ns;
}

static int
stop(struct mhp__work *work)
{
	MHP_ASSERT(atomic_load(&work->kind) != MHP_WORK_NONE);
	if (work->stopped != 0)
		return work->stopped;
	work->nr_polls++;
	if (is_interrupted(work) && gives_way(work))
		work->stopped = MHP_EINTR;
	else if (is_canceled(work))
		work->stopped = MHP_ECANCELED;
	else if (is_late(work))
		work->stopped = MHP_EAGAIN;
	return work->stopped;
}

int
mhp__work_stop(struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	(void)mhp__work_clock(m);
	return stop(&m->work);
}

int
mhp__work_stop_first(struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	if (++m->work.nr_unclocked > UNCLOCKED_MAX)
		return mhp__work_stop(m);
	return stop(&m->work);
}

enum mhp_cause
mhp__work_cause(int error)
{
	MHP_ASSERT(error == MHP_EINTR || error == MHP_ECANCELED || error == MHP_EAGAIN);
	if (error == MHP_EINTR)
		return MHP_CAUSE_INTERRUPTED;
	return error == MHP_ECANCELED ? MHP_CAUSE_CANCELED : MHP_CAUSE_DEADLINE;
}

void
mhp__work_progress(struct mhp *m, uint64_t moved, uint64_t left)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->work.kind) != MHP_WORK_NONE);
	atomic_store_explicit(&m->work.moved, moved, memory_order_relaxed);
	atomic_store_explicit(&m->work.left, left, memory_order_relaxed);
}

void
mhp__work_undoable(struct mhp *m, bool doing)
{
	struct mhp__work *work = &m->work;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	/* By the last readings: what lies between two polls is little, to do and to undo. */
	MHP_ASSERT(doing == (work->doing_ns == 0));
	if (!doing)
		work->undo_ns += work->now_ns - work->doing_ns;
	work->doing_ns = doing ? work->now_ns : 0;
}

/* ---- as others see it: any context ---- */

struct mhp_progress
mhp_progress(const struct mhp *m)
{
	const struct mhp__work *work = &m->work;
	uint32_t seq = atomic_load(&work->seq);
	struct mhp_progress progress = { .work = (enum mhp_work)atomic_load(&work->kind) };

	progress.blocks.first = atomic_load(&work->first);
	progress.blocks.count = atomic_load(&work->count);
	progress.moved_pages = atomic_load(&work->moved);
	progress.left_pages = atomic_load(&work->left);
	progress.elapsed_ns = m->ops->now_ns(m->port) - atomic_load(&work->start_ns);
	/* It ended, or another one began, while we looked: nothing of this belongs together. */
	if (progress.work == MHP_WORK_NONE || atomic_load(&work->seq) != seq)
		progress = (struct mhp_progress){ .work = MHP_WORK_NONE };
	return progress;
}

/* Is the block part of the change under way? The change names its first run of blocks. In later
 * runs, a block that leaves shows by its last pageblock: only an offline isolates that. */
static bool
is_part(const struct mhp *m, uint32_t block)
{
	uint32_t first = atomic_load(&m->work.first), count = atomic_load(&m->work.count);
	const struct mhp__arena *arena;
	unsigned last;

	if (atomic_load(&m->work.kind) == MHP_WORK_NONE)
		return false;
	if (block == MHP_BLOCK_ANY || (block >= first && block - first < count))
		return true;
	if (block >= m->geo.nr_blocks)
		return false;
	arena = &m->arenas[mhp__pfn_arena(m, mhp__block_start(m, block + 1) - 1)];
	last = (1U << (m->arena_order - MHP_PAGEBLOCK_ORDER(m))) - 1U;
	return atomic_load(&arena->isolated) >> last != 0;
}

int
mhp_cancel(struct mhp *m, uint32_t block)
{
	/* Read the number first: if that change ends meanwhile, this cannot hit the next one. */
	uint32_t seq = atomic_load(&m->work.seq);

	if (!is_part(m, block))
		return MHP_ENOENT;
	atomic_store(&m->work.cancel, seq);
	return 0;
}

void
mhp_interrupt_begin(struct mhp *m)
{
	atomic_fetch_add(&m->work.interrupts, 1);
}

void
mhp_interrupt_end(struct mhp *m)
{
	atomic_fetch_sub(&m->work.interrupts, 1);
}

bool
mhp_must_stop(const struct mhp *m)
{
	return atomic_load_explicit(&m->work.kind, memory_order_relaxed) != MHP_WORK_NONE &&
	       (is_interrupted(&m->work) || is_canceled(&m->work));
}
