/* SPDX-License-Identifier: MIT */
/*
 * tier.h - which windows shall go to another node, decided from what looks at them have found.
 *
 * Windows, and pieces of those that are used here and there only, are compared with each other by
 * how often they are used (heat.h): what is used more changes places with what is used less and
 * lies nearer, if that is worth the moves. Pure: no memory, no clock, no randomness, no pool.
 */
#ifndef MHP_LINUX_TIER_H
#define MHP_LINUX_TIER_H

#include <memplug/linux.h>

#include "heat.h"

/* How many are compared with each other. */
#define MHP__TIER_UNITS 16384U
#define MHP__TIER_NODES 16U

/* A unit that moves as a whole: a window that was looked at, or a piece of one. */
struct mhp__tier_unit {
	struct mhp__heat *heat;
	float rate, variance;          /* uses a second that it will have, and how sure that is */
	uintptr_t start;               /* its first address */
	uint64_t pages;
	uint8_t node;
};

struct mhp__tier_node {
	int rank;                      /* 0 is the nearest */
	uint64_t pages, free_pages;    /* pages 0: there is no such node */
};

enum mhp__tier_reason {
	MHP__TIER_USED,                /* up: it is used, and there is room */
	MHP__TIER_USED_MORE,           /* up: it is used more than what makes room for it */
	MHP__TIER_USED_LESS,           /* down: it makes room for what is used more */
	MHP__TIER_IDLE,                /* down: it is not used, and the node is almost full */
	MHP__TIER_REASONS,
};

struct mhp__tier_move {
	unsigned unit;                 /* index of those compared */
	uint8_t node;                  /* where to */
	uint8_t reason;
};

/* How long the next look shall wait between forgetting and looking, after one that waited over_ns:
 * until about every third piece at the boundary between near and far is used, since more could not
 * be told from each other. */
uint64_t mhp__tier_wait(float boundary, uint64_t over_ns);

#define MHP__TIER_WAIT_MIN_NS UINT64_C(2000000)
#define MHP__TIER_WAIT_MAX_NS UINT64_C(128000000)

/*
 * Choose moves of at most max_pages together, in the order in which they can be made, of at most
 * MHP__TIER_UNITS units; node[] is updated as if all were made. move has room for as many as there
 * are units. Returns how many, and in *ret_boundary how many uses a second a piece has that is used
 * less than what has room on the nearest node.
 */
unsigned mhp__tier_choose(const struct mhp__tier_unit *unit, unsigned nr,
			  struct mhp__tier_node node[MHP__TIER_NODES], uint64_t max_pages,
			  struct mhp__tier_move *move, float *ret_boundary);

/* Of the chosen moves, the first ones that shall be made together, in the order in which they shall
 * be made. Returns how many, and how many pages these are. */
unsigned mhp__tier_batch(const struct mhp__tier_unit *unit, struct mhp__tier_move *move,
			 unsigned nr, uint64_t *ret_pages);

/* The reason as the end of a sentence about windows. */
const char *mhp__tier_reason_text(enum mhp__tier_reason reason);

#endif
