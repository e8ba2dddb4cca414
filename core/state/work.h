/* SPDX-License-Identifier: MIT */
/*
 * work.h - the change under way: its bounds, its progress, who wants it to stop, and its log.
 *
 * Everything that changes blocks, or that walks over many pages, is a "work": it begins and ends
 * under the hotplug lock, and polls mhp__work_stop() at least once for each batch of pages or
 * blocks. So every change has a deadline and progress, can be cancelled by naming one of its
 * blocks, and gives way to a thread that needs the lock now.
 *
 * A change that meets a bound must undo what it did. Undoing takes about as long as doing did, so
 * that time, measured by mhp__work_undoable(), is kept free before the deadline.
 *
 * Reading the clock costs more than most steps of a small change. So only polls read it, and code
 * that needs a rough time takes the last reading.
 *
 * The thread that makes the change may be killed. So it writes a log: before each step, what
 * recovery (blocks/recovery.c) could not see otherwise. The change itself never reads the log. On
 * ports whose threads cannot be killed (base/lock.h) nothing is written, and it costs nothing.
 *
 * Must not know: what the work is. The atomics are read and, where it says so, written in any
 * context; the hotplug lock guards everything else.
 */
#ifndef MHP_CORE_WORK_H
#define MHP_CORE_WORK_H

#include <memplug/block.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/mem.h"

/* What a change does with a run of blocks. */
enum mhp__work_stage {
	MHP_STAGE_NONE,
	MHP_STAGE_MEMORY,              /* makes them, or takes them apart */
	MHP_STAGE_ONLINE,              /* puts them into use; after the commit */
	MHP_STAGE_OFFLINE,             /* takes them out of use; after the commit */
};

/* What recovery must know of a change. All 0 between changes. As everywhere in the engine, a name
 * that ends in 1 is one more than the number it stands for, so that 0 is "none". */
struct mhp__log {
	_Atomic uint64_t committing;   /* the commit has begun: roll forward, not back */
	_Atomic uint64_t scrub;        /* zero the frames that held metadata of removed blocks */
	_Atomic uint64_t generation;   /* of the last add before the change */
	_Atomic uint64_t owner;        /* whose pages are being moved */
	/* Frames that nobody has, except for those that have a descriptor: [pfn, end) of a page
	 * that has moved, and, for each order, of the chunk of room that is being split. */
	_Atomic uint64_t giving_pfn, giving_end;
	_Atomic uint64_t room_pfn[MHP_ORDERS], room_end[MHP_ORDERS];
	_Atomic uint64_t stage;        /* enum mhp__work_stage, of blocks [first, first + count) */
	_Atomic uint64_t first, count; /* no event has told of these blocks yet */
	_Atomic uint64_t nr_told;      /* ranges of which all listeners know that they leave */
	_Atomic uint64_t telling_pfn1; /* start of the range that listeners are being told of */
	_Atomic uint64_t nr_listeners; /* how many of them have been told of that range */
	_Atomic uint64_t arena1;       /* the arena that is coming or going */
	_Atomic uint64_t zone;         /* the number of its zone */
	_Atomic uint64_t nr_uncounted; /* free frames that the zone has yet to add, as int64_t */
};

/* The one way to write to the log. Stores before it stay before it, and stores after it after it:
 * for the compiler, which is enough, since a killed thread has run in its own program order. */
static inline void
mhp__log(_Atomic uint64_t *entry, uint64_t value)
{
	if (!MHP__THREADS_DIE)
		return;
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(entry, value, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

struct mhp__work {                     /* idle: all 0 but seq and, perhaps, cancel */
	_Atomic uint32_t seq;          /* of the change under way, or the last one */
	_Atomic uint32_t kind;         /* enum mhp_work; MHP_WORK_NONE: nothing is under way */
	_Atomic uint32_t first, count; /* its first run of blocks */
	_Atomic uint32_t cancel;       /* seq of the change to stop; any thread writes it */
	_Atomic uint32_t interrupts;   /* threads that want the lock now; any thread writes it */
	_Atomic uint64_t moved, left;  /* pages */
	_Atomic uint64_t start_ns;
	uint64_t leaving_ns;           /* when its blocks began to leave */
	uint64_t to_nodes;             /* where pages may move to, a bit a node; 0: anywhere */
	uint64_t deadline_ns;
	uint64_t undo_ns;              /* how long undoing would take, without what is being done */
	uint64_t doing_ns;             /* when the step under way that may be undone began; or 0 */
	uint64_t now_ns;               /* the last reading of the clock */
	uint32_t nr_polls;
	uint32_t nr_unclocked;         /* polls since the last reading of the clock */
	int stopped;                   /* the first bound that was met, or 0 */
	struct mhp__log log;
};

/* deadline_ms: 0 is the default. */
void mhp__work_begin(struct mhp *m, enum mhp_work kind, uint32_t deadline_ms);
void mhp__work_end(struct mhp *m);
/* Set everything to idle: the second half of an end. A kill in a begin or an end leaves it to
 * do. */
void mhp__work_forget(struct mhp *m);
/* Recovery ends the change of a killed thread; no bound stops it any more. */
void mhp__work_resume(struct mhp *m);

/* Log that the commit begins: from here on nothing fails. scrub: struct mhp_offline_opts. */
static inline void
mhp__log_commit(struct mhp__log *log, bool scrub)
{
	mhp__log(&log->scrub, scrub);
	mhp__log(&log->committing, 1);
}
/* Log what is done with these blocks from here on. */
static inline void
mhp__log_stage(struct mhp__log *log, enum mhp__work_stage stage, struct mhp_blocks blocks)
{
	MHP_ASSERT_DEBUG(stage != MHP_STAGE_NONE);
	mhp__log(&log->stage, MHP_STAGE_NONE);
	mhp__log(&log->first, blocks.first);
	mhp__log(&log->count, blocks.count);
	mhp__log(&log->stage, stage);
}
static inline void
mhp__log_stage_end(struct mhp__log *log)
{
	mhp__log(&log->stage, MHP_STAGE_NONE);
}
static inline struct mhp_blocks
mhp__log_blocks(const struct mhp__log *log)
{
	return (struct mhp_blocks){ (uint32_t)atomic_load(&log->first),
				    (uint32_t)atomic_load(&log->count) };
}

/* Say which blocks the change is about: its first run, or the run that it has come to. */
void mhp__work_about(struct mhp *m, struct mhp_blocks blocks);
/* Must the change stop? Once it must, the answer stays. Return: 0, MHP_EINTR, MHP_ECANCELED, or
 * MHP_EAGAIN (the deadline). */
MHP_MUST_CHECK int mhp__work_stop(struct mhp *m);
/* The same before the first turn of a loop: usually without reading the clock. */
MHP_MUST_CHECK int mhp__work_stop_first(struct mhp *m);
/* The same for loops whose turns are short: polls once in 64 turns. */
static inline int
mhp__work_stop_at(struct mhp *m, uint32_t turn)
{
	if (turn == 0)
		return mhp__work_stop_first(m);
	return (turn & 63U) == 0 ? mhp__work_stop(m) : 0;
}
/* Read the clock. */
uint64_t mhp__work_clock(struct mhp *m);
/* The last reading of the clock in this change. */
uint64_t mhp__work_now(const struct mhp *m);
/* Nothing is in the way, or it is not known yet. */
static inline void
mhp__why_clear(struct mhp_why *why)
{
	memset(why, 0, sizeof(*why));
	why->pfn = MHP_PFN_NONE;
}
/* The cause that stands for what mhp__work_stop() returned. */
enum mhp_cause mhp__work_cause(int error);
/* Pages moved, and left to move. */
void mhp__work_progress(struct mhp *m, uint64_t moved, uint64_t left);
/* A step that a failure would have to undo begins (true) or ends (false). */
void mhp__work_undoable(struct mhp *m, bool doing);

#endif
