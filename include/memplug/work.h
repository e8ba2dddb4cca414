/* SPDX-License-Identifier: MIT */
/*
 * work.h - the change under way: watch it, cancel it, make it give way.
 *
 * One change runs at a time, under the hotplug lock: an add, coming online, an offline, a removal,
 * a plan, a dry run or preview, a compaction, a frame taken out of use. Each has a deadline, and
 * each ends soon, with everything as before, when it is cancelled or interrupted. "Soon" is the end
 * of the batch under way: at most 32 pages looked at, 64 blocks, one call of an owner, a listener
 * or the port, or one page of a test pattern or of zeros; then what was done is undone, which takes
 * no longer than doing it did. Past its commit a change is completed instead.
 *
 * Context, unless a function says otherwise: any: another thread, a listener, an owner's function,
 * a signal handler. None takes a lock.
 */
#ifndef MEMPLUG_WORK_H
#define MEMPLUG_WORK_H

#include <memplug/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;

/** What a deadline of 0 means, in milliseconds: for every call that has one. */
#define MHP_DEADLINE_MS_DEFAULT 30000U

/** Kinds of change. */
enum mhp_work {
	MHP_WORK_NONE,             /* nothing is under way */
	MHP_WORK_ADD,
	MHP_WORK_ONLINE,
	MHP_WORK_OFFLINE,
	MHP_WORK_REMOVE,
	MHP_WORK_PLAN,             /* mhp_plan_commit() */
	MHP_WORK_DRY_RUN,          /* of an offline, a removal or a plan: nothing will change */
	MHP_WORK_COMPACT,
	MHP_WORK_BAD_PAGE,         /* mhp_bad_add(): a page moves off its frame */
	MHP_WORK_MOVE,             /* mhp_empty() */
	MHP_WORK_KINDS,
};

/** The name of a kind ("dry-run"); never NULL. */
const char *mhp_work_name(enum mhp_work work);

/** How far the change under way is. */
struct mhp_progress {
	enum mhp_work work;
	struct mhp_blocks blocks;  /* its first run of blocks, or, as blocks come online, the run
				      that is prepared; count 0: nothing is under way */
	uint64_t moved_pages;      /* pages done: moved, tested, zeroed */
	uint64_t left_pages;       /* pages to do, as far as it is known */
	uint64_t elapsed_ns;
};

/** How far the change under way is; all zero when there is none. A snapshot. */
struct mhp_progress mhp_progress(const struct mhp *m);

/** For mhp_cancel(): whatever is under way. */
#define MHP_BLOCK_ANY UINT32_MAX

/**
 * Cancel the change under way, if it includes @block. A compaction includes all blocks that its
 * zone spans; blocks that come online in several runs are included while their run is prepared.
 *
 * Return: 0 (it will end soon with MHP_ECANCELED, unless it is past its commit), or MHP_ENOENT (no
 * change includes it).
 */
int mhp_cancel(struct mhp *m, uint32_t block);

/**
 * Make every change that is under way, or begins, end soon with MHP_EINTR, until
 * mhp_interrupt_end(). For a caller that needs the hotplug lock for itself (to fork, to stop the
 * world).
 *
 * An add or online of up to some 500 blocks is completed all the same, unless it tests memory: that
 * takes a millisecond at most. Calls are counted: any number of threads may interrupt at a time.
 */
void mhp_interrupt_begin(struct mhp *m);
/** Undo one mhp_interrupt_begin(). Changes that were interrupted may be tried again. */
void mhp_interrupt_end(struct mhp *m);

/**
 * True if mhp_cancel() or mhp_interrupt_begin() asked the change under way to end. For an owner's
 * migrate() and for ports, which may stop between two runs of a long batch. Cost: three
 * loads.
 */
bool mhp_must_stop(const struct mhp *m);

#ifdef __cplusplus
}
#endif
#endif
