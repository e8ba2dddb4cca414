/* SPDX-License-Identifier: MIT */
/*
 * heat.c - how often windows and their pieces are used.
 *
 * From the parts that a look found used follows how often a window was used: drawing from nr parts
 * until `used` different ones were seen takes nr/nr + nr/(nr-1) + ... draws. So windows can be
 * compared that are seen in parts of different size. Of what has one part (a piece, a huge page) a
 * look says only whether it was used at all: then it stands for as many uses as are to be expected
 * where there is at least one.
 *
 * The book sorts pieces by from how many looks they are known and by their share of the uses of
 * their window, and counts how many of them the next look finds used beside the others of the same
 * window, which it looks at for as long. Where all are used alike, those that happen to have been
 * seen more are found used no more often than others later: the book says so, and nothing is told
 * apart. Where a few are hot, they stay so. Nobody has to say beforehand how uses are distributed.
 */
#include "heat.h"

#define MEMORY 12U                     /* a rate is a mean over about that many looks */
#define KNOWN_MIN 2U                   /* looks, before pieces are told apart */
#define REFUSED_MAX 10U                /* then it is tried again after 2048 looks */
/* The book: shares from the first to the last of its edges, a quarter and eight times the mean. */
#define FIRST_EDGE 0.25F
#define EDGE_STEP 1.41421356F
#define PRIOR 16.0F                    /* so many used as if all were alike */
#define FULL_BOOK 262144.0F            /* looks; then what it has counts half */
#define USEFUL 8U                      /* pieces of a window looked at: fewer say nothing */
/* Pieces are uneven when those above the mean have, beyond it, this share of all uses. */
#define UNEVEN_SHARE 0.05F

/* That no use comes where this many are expected: e^-x. */
static float
none_of(float expected)
{
	float none = 1 - expected / 32;
	if (none <= 0)
		return 0;
	for (unsigned i = 0; i < 5; i++)
		none *= none;
	return none;
}

/* How many uses there were, if this many were to be expected and there was at least one. */
static float
at_least_one(float expected)
{
	return expected > 0.01F ? expected / (1 - none_of(expected)) : 1;
}

/* How many uses the parts stand for that a look found used. */
static float
uses_of(const struct mhp__heat *heat, unsigned used, unsigned nr, float over_s, float usual)
{
	float draws = 0, rate = mhp__heat_rate(heat);
	if (nr == 1)
		return used != 0 ? at_least_one((rate > usual ? rate : usual) * over_s) : 0;
	for (unsigned i = 0; i < used && i < nr; i++)
		draws += (float)nr / (float)(nr - i);
	return draws;
}

/* usual: the rate of what has one part, if nothing more is known. */
static void
note(struct mhp__heat *heat, unsigned used, unsigned nr, uint64_t over_ns, float usual)
{
	float over_s = (float)(over_ns != 0 ? over_ns : 1) / 1e9F;
	float uses = uses_of(heat, used, nr, over_s, usual);
	heat->one = nr == 1;
	heat->full = nr > 1 && used >= nr;
	if (!heat->full || uses > mhp__heat_rate(heat) * over_s) {
		float keep = heat->known < MEMORY ? 1 : 1 - 1.0F / MEMORY;
		heat->uses = heat->uses * keep + uses;
		heat->over_s = heat->over_s * keep + over_s;
	}
	if (heat->looks < UINT16_MAX)
		heat->looks++;
	if (heat->known < UINT8_MAX)
		heat->known++;
	if (used != 0)
		heat->idle = 0;
	else if (heat->idle < UINT8_MAX)
		heat->idle++;
}

void
mhp__heat_note(struct mhp__heat *heat, unsigned used, unsigned nr, uint64_t over_ns)
{
	note(heat, used, nr, over_ns, 0);
}

void
mhp__heat_moved(struct mhp__heat *heat)
{
	heat->looks = 0;
	heat->idle = 0;
	heat->refused = 0;
}

void
mhp__heat_refused(struct mhp__heat *heat)
{
	heat->looks = 0;
	if (heat->refused < REFUSED_MAX)
		heat->refused++;
}

/* ---- pieces ---- */

float
mhp__heat_mean(const struct mhp__heat piece[MHP__HEAT_PIECES])
{
	float sum = 0;
	unsigned nr = 0;
	for (unsigned i = 0; i < MHP__HEAT_PIECES; i++)
		if (piece[i].known != 0) {
			sum += mhp__heat_rate(&piece[i]);
			nr++;
		}
	return nr != 0 ? sum / (float)nr : 0;
}

/* Where in the book a piece is of which something is known. */
static void
find(const struct mhp__heat *piece, float mean, unsigned *ret_class, unsigned *ret_share)
{
	float rate = mhp__heat_rate(piece), edge = mean * FIRST_EDGE;
	*ret_class = piece->known >= 8 ? 2 : piece->known >= 4;
	*ret_share = 0;
	for (; *ret_share < MHP__HEAT_SHARES - 1 && rate >= edge; edge *= EDGE_STEP)
		++*ret_share;
}

float
mhp__heat_expect(const struct mhp__heat_book *book, const struct mhp__heat *piece, float mean)
{
	unsigned class, share;
	if (piece->known < KNOWN_MIN)
		return mean;
	find(piece, mean, &class, &share);
	float these = 1;
	for (unsigned i = 0; i <= class; i++) /* where a class has little, the one before counts */
		these = (book->uses[i][share] + PRIOR * these) / (book->alike[i][share] + PRIOR);
	return mean * these;
}

static void
forget_half(struct mhp__heat_book *book)
{
	for (unsigned class = 0; class < MHP__HEAT_CLASSES; class++)
		for (unsigned share = 0; share < MHP__HEAT_SHARES; share++) {
			book->uses[class][share] /= 2;
			book->alike[class][share] /= 2;
		}
	book->all /= 2;
	book->usual_uses /= 2;
	book->usual_s /= 2;
}

/* The rate of a piece of which nothing is known. */
static float
usual_rate(const struct mhp__heat_book *book)
{
	return book->usual_s > 0 ? book->usual_uses / book->usual_s : 0;
}

/* Write down the look at pieces as they were known before it, beside the others of their window. */
static void
write_down(struct mhp__heat_book *book, const struct mhp__heat piece[MHP__HEAT_PIECES],
	   uint32_t looked, uint32_t used, float mean)
{
	unsigned nr = (unsigned)__builtin_popcount(looked);
	unsigned nr_used = (unsigned)__builtin_popcount(used);
	if (nr < USEFUL || nr_used == 0 || nr_used == nr)
		return;
	for (unsigned i = 0; i < MHP__HEAT_PIECES; i++) {
		unsigned class, share;
		if ((looked >> i & 1) == 0 || piece[i].known < KNOWN_MIN)
			continue;
		find(&piece[i], mean, &class, &share);
		book->uses[class][share] += (float)(used >> i & 1);
		book->alike[class][share] += (float)nr_used / (float)nr;
		book->all += 1;
	}
}

void
mhp__heat_learn(struct mhp__heat_book *book, struct mhp__heat piece[MHP__HEAT_PIECES],
		uint32_t looked, uint32_t used, uint64_t over_ns)
{
	float mean = mhp__heat_mean(piece), usual = usual_rate(book);
	float over_s = (float)over_ns / 1e9F;
	used &= looked;
	write_down(book, piece, looked, used, mean);
	for (unsigned i = 0; i < MHP__HEAT_PIECES; i++) {
		if ((looked >> i & 1) == 0)
			continue;
		book->usual_uses += (used >> i & 1) != 0 ? at_least_one(usual * over_s) : 0;
		book->usual_s += over_s;
		note(&piece[i], used >> i & 1, 1, over_ns,
		     piece[i].known >= KNOWN_MIN ? mean : usual);
	}
	if (book->all > FULL_BOOK)
		forget_half(book);
}

bool
mhp__heat_uneven(const struct mhp__heat_book *book,
		 const struct mhp__heat piece[MHP__HEAT_PIECES])
{
	float mean = mhp__heat_mean(piece), rate[MHP__HEAT_PIECES], sum = 0, above = 0;
	for (unsigned i = 0; i < MHP__HEAT_PIECES; i++)
		sum += rate[i] = mhp__heat_expect(book, &piece[i], mean);
	for (unsigned i = 0; i < MHP__HEAT_PIECES; i++)
		above += rate[i] > sum / MHP__HEAT_PIECES ? rate[i] - sum / MHP__HEAT_PIECES : 0;
	return above > sum * UNEVEN_SHARE;
}
