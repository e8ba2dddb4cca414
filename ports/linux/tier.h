/* SPDX-License-Identifier: MIT */
/*
 * tier.h - which windows shall go to another node, decided from what looks at them have found.
 *
 * A look says how many of the parts of a window were used within a known time. Windows that are
 * looked at together are compared with each other: what is used more changes places with what is
 * used less and lies nearer. A window that is used here and there only is compared piece by piece,
 * so that what moves is what is used. Pure: no memory, no clock, no randomness, no pool.
 */
#ifndef MHP_LINUX_TIER_H
#define MHP_LINUX_TIER_H

#include <memplug/linux.h>

/* What is known of a window. All-zero: nothing. */
struct mhp__heat {
	float rate;                    /* uses a second */
	uint16_t looks;                /* since it came, or could not go; saturates */
	uint8_t idle;                  /* looks in a row that found no use; saturates */
	uint8_t refused;               /* times in a row that it could not move */
	bool one;                      /* it has one part: used or not */
	bool full;                     /* all of several parts were used: rate is a lower bound */
};

/* A window has so many pieces, of as many pages as the kernel maps around a fault. */
#define MHP__TIER_PIECES 32U
/* How many are compared with each other. */
#define MHP__TIER_UNITS 16384U
#define MHP__TIER_NODES 16U

/* What moves as a whole: a window that was looked at, or a piece of one. */
struct mhp__tier_unit {
	struct mhp__heat *heat;
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

/* A look found used of nr parts used within over_ns. */
void mhp__tier_note(struct mhp__heat *heat, unsigned used, unsigned nr, uint64_t over_ns);
/* It has come to another node. */
void mhp__tier_moved(struct mhp__heat *heat);
/* It could not move: it is left alone for a while, each time for twice as long. */
void mhp__tier_refused(struct mhp__heat *heat);
/* How long the next look shall wait between forgetting and looking, after one that waited over_ns
 * and found this. */
uint64_t mhp__tier_wait(const struct mhp__tier_unit *unit, unsigned nr, uint64_t over_ns);
/* Do a few pieces of a window have more of its uses than they would by chance? */
bool mhp__tier_uneven(const struct mhp__heat piece[MHP__TIER_PIECES]);

#define MHP__TIER_WAIT_MIN_NS UINT64_C(2000000)
#define MHP__TIER_WAIT_MAX_NS UINT64_C(512000000)

/*
 * Choose moves of at most max_pages together, in the order in which they can be made, of at most
 * MHP__TIER_UNITS units; node[] is updated as if all were made. move has room for as many as there
 * are units. Returns how many.
 */
unsigned mhp__tier_choose(const struct mhp__tier_unit *unit, unsigned nr,
			  struct mhp__tier_node node[MHP__TIER_NODES], uint64_t max_pages,
			  struct mhp__tier_move *move);

/* The reason as the end of a sentence about windows. */
const char *mhp__tier_reason_text(enum mhp__tier_reason reason);

#endif
