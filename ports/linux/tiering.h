/* SPDX-License-Identifier: MIT */
/*
 * tiering.h - what is used comes to near nodes, what is not goes to far ones, while that is on.
 *
 * A task in the companion looks, decides (tier.c) and moves. Off, it is not there.
 */
#ifndef MHP_LINUX_TIERING_H
#define MHP_LINUX_TIERING_H

#include <stdatomic.h>

#include "table.h"
#include "tier.h"

/* Where the next look at windows begins. */
struct mhp__tier_cursor {
	unsigned region;
	uint64_t window;
};

/* Part of a pool. Fields that are not atomic are the task's, or under the region mutex where it
 * says so. */
struct mhp__tiering {
	atomic_bool on;
	_Atomic int runner;            /* the companion that the task is in; 0: it has ended */
	_Atomic uint64_t limit_bytes;  /* that may move in a second */
	_Atomic uint32_t look_permille; /* of one CPU */
	struct mhp__tier_cursor near, far;
	struct mhp__heat_book book;    /* region mutex */
	uint64_t wait_ns;              /* between forgetting and looking */
	uint64_t turn_ns;              /* how long the last turn was to take */
	uint64_t due_pages, paid_ns;   /* pages that may move, as computed at that time */
	struct mhp_tiering_stats stats; /* region mutex */
};

/* ---- turn.c ---- */

/* Look, decide and move, until tiering is off. In the companion. */
void mhp__tiering_run(struct mhp_pool *pool);

/* ---- tiering.c ---- */

/* Have the task end. Takes no lock. */
void mhp__tiering_stop(struct mhp_pool *pool);
/* In a forked child, which has no task. */
void mhp__tiering_forget(struct mhp__tiering *tiering);

#endif
