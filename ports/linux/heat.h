/* SPDX-License-Identifier: MIT */
/*
 * heat.h - how often windows and their pieces are used, estimated from what looks have found.
 *
 * A look says how many parts of a window were used within a known time, or of a piece, which has
 * one part, whether it was used. Few looks say little of a piece: that it was used twice in a row
 * may be chance. How much such a finding is worth is learnt from what the next looks find of pieces
 * of which as much was known (the book). Pure: no memory, no clock, no randomness, no pool.
 */
#ifndef MHP_LINUX_HEAT_H
#define MHP_LINUX_HEAT_H

#include <stdbool.h>
#include <stdint.h>

/* A window has so many pieces, of as many pages as the kernel maps around a fault. */
#define MHP__HEAT_PIECES 32U

/* The record of a window or piece. All-zero: nothing. */
struct mhp__heat {
	float uses, over_s;            /* seen, in so many seconds; later looks count more */
	uint16_t looks;                /* since it came, or could not go; saturates */
	uint8_t known;                 /* looks in all; saturates */
	uint8_t idle;                  /* looks in a row that found no use; saturates */
	uint8_t refused;               /* times in a row that it could not move */
	bool one;                      /* it has one part: used or not */
	bool full;                     /* all of several parts were used: rate is a lower bound */
};

#define MHP__HEAT_CLASSES 3U           /* of pieces: known from 2, 4 or 8 looks */
#define MHP__HEAT_SHARES 12U           /* by how much of the uses of its window a piece had */

/* How many pieces of a class were found used, and how many would have been if those of a window
 * were used alike. All-zero: nothing was learnt. */
struct mhp__heat_book {
	float uses[MHP__HEAT_CLASSES][MHP__HEAT_SHARES];
	float alike[MHP__HEAT_CLASSES][MHP__HEAT_SHARES];
	float all;                     /* pieces looked at, of both */
	float usual_uses, usual_s;     /* of any piece, in so many seconds */
};

/* A look found used of nr parts used within over_ns, of a window. */
void mhp__heat_note(struct mhp__heat *heat, unsigned used, unsigned nr, uint64_t over_ns);
/* It has come to another node. */
void mhp__heat_moved(struct mhp__heat *heat);
/* It could not move: it is left alone for a while, each time for twice as long. */
void mhp__heat_refused(struct mhp__heat *heat);

/* Uses a second, as they were seen. */
static inline float
mhp__heat_rate(const struct mhp__heat *heat)
{
	return heat->over_s > 0 ? heat->uses / heat->over_s : 0;
}

/* Its variance: of few uses little is sure. */
static inline float
mhp__heat_variance(const struct mhp__heat *heat)
{
	return heat->over_s > 0 ? (heat->uses + 1) / (heat->over_s * heat->over_s) : 0;
}

/* The rate of the mean of those pieces of a window of which something is known. */
float mhp__heat_mean(const struct mhp__heat piece[MHP__HEAT_PIECES]);
/* Uses a second that a piece will have, by what is known of it and the mean of its window. */
float mhp__heat_expect(const struct mhp__heat_book *book, const struct mhp__heat *piece,
		       float mean);
/* Note a look at some pieces of a window, bit by bit, that found some of them used within over_ns,
 * and learn from it. */
void mhp__heat_learn(struct mhp__heat_book *book, struct mhp__heat piece[MHP__HEAT_PIECES],
		     uint32_t looked, uint32_t used, uint64_t over_ns);
/* Will a few pieces of a window have more of its uses than they would by chance? */
bool mhp__heat_uneven(const struct mhp__heat_book *book,
		      const struct mhp__heat piece[MHP__HEAT_PIECES]);

#endif
