/* SPDX-License-Identifier: MIT */
/*
 * work.h - the change under way: its bounds, how far it is, and who wants it to stop.
 *
 * Everything that changes blocks, or that walks over many pages, is one kind of thing: it begins
 * under the hotplug lock, polls mhp__work_stop() at least once for each batch of pages or blocks,
 * and ends under the same lock. So each has a deadline, can be cancelled by the number of one of
 * its blocks, gives way to whoever needs the lock now, and says how far it is.
 *
 * A change that meets a bound must undo what it did. Undoing takes about as long as doing did, so
 * that time, measured by mhp__work_undoable(), is kept free before the deadline.
 *
 * Reading the clock costs more than most steps of a small change, so polls read it, and nothing
 * else does; code that needs a rough time takes the last reading.
 *
 * The thread that makes the change may be killed. So there is a log, written in front of each step,
 * of what nobody could see otherwise; blocks/cut.c reads it, and the change itself never does.
 * Where threads do not die (base/lock.h) nothing is written, and it costs nothing.
 *
 * Must not know: what the work is. The atomics are read and, where it says so, written in any
 * context; all else is the hotplug lock's.
 */
#ifndef MHP_CORE_WORK_H
#define MHP_CORE_WORK_H

#include <memplug/block.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/mem.h"

enum mhp__at {
	MHP_AT_NOTHING,
	MHP_AT_MEMORY,                 /* they are built, or taken apart */
	MHP_AT_ONLINE,                 /* they come into use, */
	MHP_AT_OFFLINE,                /* or go out of it; both behind the commit */
};

/* For whoever finds the change cut; idle: all 0. */
struct mhp__log {
	_Atomic uint64_t committing;   /* nothing fails any more: it is to be carried on */
	_Atomic uint64_t scrub;        /* what held metadata of what it removes is zeroed */
	_Atomic uint64_t generation;   /* of the last add before it */
	_Atomic uint64_t owner;        /* whose pages it moves right now */
	/* Frames that go back unless they have a descriptor: of pages that have moved, and of
	 * chunks of room that are being cut, for each order. */
	_Atomic uint64_t giving_pfn, giving_end;
	_Atomic uint64_t room_pfn[MHP_ORDERS], room_end[MHP_ORDERS];
	_Atomic uint64_t at;           /* enum mhp__at: what it does with these blocks... */
	_Atomic uint64_t first, count; /* ...of which no event was told yet */
	_Atomic uint64_t nr_told;      /* so many ranges were told that they leave */
	_Atomic uint64_t telling_pfn1; /* one more behind the start of the range that is told, */
	_Atomic uint64_t nr_listeners; /* to so many of them */
	_Atomic uint64_t arena1;       /* one more than the arena that comes or goes */
	_Atomic uint64_t zone;         /* its zone, by number, has not counted yet... */
	_Atomic uint64_t nr_uncounted; /* ...so many free frames, as int64_t */
};

/* The one way into the log: behind all that was written before, and in front of all that is
 * written after it. A thread that was killed has done what it did in its own order, so only the
 * compiler must keep it. */
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
	_Atomic uint32_t cancel;       /* seq of the one that shall stop; any thread writes it */
	_Atomic uint32_t interrupts;   /* threads that want the lock now; any thread writes it */
	_Atomic uint64_t moved, left;  /* pages */
	_Atomic uint64_t start_ns;
	uint64_t leaving_ns;           /* when its blocks began to leave, */
	uint64_t to_nodes;             /* and where their pages may go, a bit a node; 0: anywhere */
	uint64_t deadline_ns;
	uint64_t undo_ns;              /* how long it takes to undo what was done so far */
	uint64_t doing_ns;             /* more to undo is being made since then; 0: it is not */
	uint64_t now_ns;               /* the last reading of the clock */
	uint32_t nr_polls;
	uint32_t nr_unclocked;         /* polls since then that went without */
	int stopped;                   /* the first bound that was met, or 0 */
	struct mhp__log log;
};

/* deadline_ms: 0 is the default. */
void mhp__work_begin(struct mhp *m, enum mhp_work kind, uint32_t deadline_ms);
void mhp__work_end(struct mhp *m);
/* Nothing is under way; where a kill cut its begin or end, that is brought to an end. */
void mhp__work_forget(struct mhp *m);
/* A kill cut it: what is left of it has no bounds. */
void mhp__work_resume(struct mhp *m);
/* Log: from here on nothing fails. scrub: struct mhp_offline_opts. */
static inline void
mhp__work_commit(struct mhp__log *log, bool scrub)
{
	mhp__log(&log->scrub, scrub);
	mhp__log(&log->committing, 1);
}
/* Log: what it does with these blocks from here on. */
static inline void
mhp__work_at(struct mhp__log *log, enum mhp__at at, struct mhp_blocks blocks)
{
	MHP_ASSERT_DEBUG(at != MHP_AT_NOTHING);
	mhp__log(&log->at, MHP_AT_NOTHING);
	mhp__log(&log->first, blocks.first);
	mhp__log(&log->count, blocks.count);
	mhp__log(&log->at, at);
}
static inline void
mhp__work_at_end(struct mhp__log *log)
{
	mhp__log(&log->at, MHP_AT_NOTHING);
}
static inline struct mhp_blocks
mhp__work_blocks(const struct mhp__log *log)
{
	return (struct mhp_blocks){ (uint32_t)atomic_load(&log->first),
				    (uint32_t)atomic_load(&log->count) };
}
/* The first run of blocks that it is about, or the run that it is at. */
void mhp__work_about(struct mhp *m, struct mhp_blocks blocks);
/* Must it stop? Once it must, it always must. Return: 0, MHP_EINTR, MHP_ECANCELED, or MHP_EAGAIN
 * (the deadline). */
MHP_MUST_CHECK int mhp__work_stop(struct mhp *m);
/* The same for the first turn of a loop: mostly without a look at the clock. */
MHP_MUST_CHECK int mhp__work_stop_first(struct mhp *m);
/* The same, for loops whose turns are short: polls once in 64 turns. */
static inline int
mhp__work_stop_at(struct mhp *m, uint32_t turn)
{
	if (turn == 0)
		return mhp__work_stop_first(m);
	return (turn & 63U) == 0 ? mhp__work_stop(m) : 0;
}
/* Read the clock. */
uint64_t mhp__work_clock(struct mhp *m);
/* When it was read last, in this change. */
uint64_t mhp__work_now(const struct mhp *m);
/* Nothing is in the way, or nobody knows yet what is. */
static inline void
mhp__why_clear(struct mhp_why *why)
{
	memset(why, 0, sizeof(*why));
	why->pfn = MHP_PFN_NONE;
}
/* The cause to tell for what mhp__work_stop() returned. */
enum mhp_cause mhp__work_cause(int error);
/* Pages moved, and left to move. */
void mhp__work_progress(struct mhp *m, uint64_t moved, uint64_t left);
/* From here on (true) up to there (false) things are done that a failure has to undo. */
void mhp__work_undoable(struct mhp *m, bool doing);

#endif
