/* SPDX-License-Identifier: MIT */
/*
 * tier_pieces_test.c - the policy of tiering where windows are used here and there only.
 *
 * 512 windows, a quarter of them near at first. Accesses are drawn by Zipf's law with exponent 0.99
 * over their pages, which lie in random order: a piece of 16 pages is known by whether it was used.
 * A window that is uneven, or in part near, is compared piece by piece, as turn.c does. No memory
 * moves. Thresholds were chosen with seeds 1 to 9, so these are others.
 */
#include <stdlib.h>

#include "../../ports/linux/tier.h"
#include "../test.h"

#define WINDOWS 512U
#define PIECES MHP__HEAT_PIECES
#define PAGES 512U                     /* of a window */
#define PIECE (PAGES / PIECES)
#define NEAR (WINDOWS / 4)             /* windows that have room near */
#define SPARE 16U
#define DRAWS 16000U                   /* accesses within a look */
#define LOOK_NS UINT64_C(8000000)
#define MINUTE 14U                     /* looks at everything */
#define SEED (UINT64_C(1000) * test_seed()) /* --seed draws others */
#define LIMIT (128U * PAGES)           /* pages that may move after a look */

struct world {
	uint64_t seed;
	double sum[WINDOWS * PAGES];   /* of the weights of ranks up to this one */
	uint32_t page[WINDOWS * PAGES]; /* by rank */
	double weight[WINDOWS][PIECES];
	bool far[WINDOWS][PIECES];
	struct mhp__heat window[WINDOWS], piece[WINDOWS][PIECES];
	struct mhp__heat_book book;
	uint64_t moved_pages;
};

static uint32_t
draw(struct world *w)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(w->seed >> 33);
}

/* 1/n^0.99 = n^0.01/n. Even: all pages are used alike. */
static void
lay_out(struct world *w, bool even)
{
	const unsigned nr = WINDOWS * PAGES;
	double ln = 0;
	for (unsigned n = 1; n <= nr; n++) {
		if (n > 1)
			ln += 1.0 / n + 1.0 / (2.0 * n * (n - 1.0));
		double weight = even ? 1 : (1 + ln / 100 + ln * ln / 20000) / n;
		w->sum[n - 1] = (n > 1 ? w->sum[n - 2] : 0) + weight;
		w->page[n - 1] = n - 1;
	}
	for (unsigned i = nr - 1; i > 0; i--) {
		unsigned other = draw(w) % (i + 1);
		uint32_t held = w->page[i];
		w->page[i] = w->page[other];
		w->page[other] = held;
	}
	memset(w->weight, 0, sizeof(w->weight));
	for (unsigned i = 0; i < nr; i++)
		w->weight[w->page[i] / PAGES][w->page[i] % PAGES / PIECE] +=
			(w->sum[i] - (i > 0 ? w->sum[i - 1] : 0)) / w->sum[nr - 1];
}

static struct world *
begin(uint64_t seed, bool even)
{
	struct world *w = calloc(1, sizeof(*w));
	w->seed = seed;
	lay_out(w, even);
	for (unsigned i = 0; i < WINDOWS; i++)
		memset(w->far[i], i % 4 != 0, sizeof(w->far[i]));
	return w;
}

static double
near_share(const struct world *w)
{
	double near = 0;
	for (unsigned i = 0; i < WINDOWS; i++)
		for (unsigned k = 0; k < PIECES; k++)
			near += w->far[i][k] ? 0 : w->weight[i][k];
	return near;
}

static int
heavier(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? 1 : left > right ? -1 : 0;
}

/* What one gets who knows how often each piece, or only each window, is used. */
static double
oracle_share(const struct world *w, bool pieces)
{
	static double weight[WINDOWS * PIECES];
	unsigned nr = pieces ? WINDOWS * PIECES : WINDOWS;
	double share = 0;
	memset(weight, 0, sizeof(weight));
	for (unsigned i = 0; i < WINDOWS * PIECES; i++)
		weight[pieces ? i : i / PIECES] += w->weight[i / PIECES][i % PIECES];
	qsort(weight, nr, sizeof(weight[0]), heavier);
	for (unsigned i = 0; i < nr / 4; i++)
		share += weight[i];
	return share;
}

static uint32_t
access_page(struct world *w)
{
	double at = draw(w) / 2147483648.0 * w->sum[WINDOWS * PAGES - 1];
	unsigned low = 0, high = WINDOWS * PAGES - 1;
	while (low < high) {
		unsigned middle = (low + high) / 2;
		if (w->sum[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return w->page[low];
}

static void
look(struct world *w)
{
	static bool used[WINDOWS][PIECES];
	memset(used, 0, sizeof(used));
	for (unsigned i = 0; i < DRAWS; i++) {
		uint32_t page = access_page(w);
		used[page / PAGES][page % PAGES / PIECE] = true;
	}
	for (unsigned i = 0; i < WINDOWS; i++) {
		unsigned seen = 0;
		uint32_t pieces = 0;
		for (unsigned k = 0; k < PIECES; k++) {
			pieces |= (uint32_t)used[i][k] << k;
			seen += used[i][k];
		}
		mhp__heat_learn(&w->book, w->piece[i], UINT32_MAX, pieces, LOOK_NS);
		mhp__heat_note(&w->window[i], seen, PIECES, LOOK_NS);
	}
}

static bool
is_split(const struct world *w, unsigned window)
{
	for (unsigned k = 1; k < PIECES; k++)
		if (w->far[window][k] != w->far[window][0])
			return true;
	return mhp__heat_uneven(&w->book, w->piece[window]);
}

/* Everything that can move; where[] says what it is: a window, or the piece of one. */
static unsigned
make_units(struct world *w, struct mhp__tier_unit *unit, uint32_t *where)
{
	unsigned nr = 0;
	for (unsigned i = 0; i < WINDOWS; i++) {
		bool split = is_split(w, i);
		float mean = mhp__heat_mean(w->piece[i]);
		for (unsigned k = 0; k < (split ? PIECES : 1); k++) {
			struct mhp__heat *heat = split ? &w->piece[i][k] : &w->window[i];
			where[nr] = i * PIECES + k;
			unit[nr++] = (struct mhp__tier_unit){
				.heat = heat, .pages = split ? PIECE : PAGES, .node = w->far[i][k],
				.rate = split ? mhp__heat_expect(&w->book, heat, mean)
					      : mhp__heat_rate(heat),
				.variance = split ? 0 : mhp__heat_variance(heat) };
		}
	}
	return nr;
}

static void
decide(struct world *w)
{
	static struct mhp__tier_unit unit[MHP__TIER_UNITS];
	static struct mhp__tier_move move[MHP__TIER_UNITS];
	static uint32_t where[MHP__TIER_UNITS];
	float boundary;
	struct mhp__tier_node node[MHP__TIER_NODES] = {
		{ 0, NEAR * PAGES, NEAR * PAGES },
		{ 1, (WINDOWS - NEAR + SPARE) * PAGES, (WINDOWS - NEAR + SPARE) * PAGES } };
	for (unsigned i = 0; i < WINDOWS * PIECES; i++)
		node[w->far[i / PIECES][i % PIECES]].free_pages -= PIECE;
	unsigned nr = make_units(w, unit, where);
	unsigned nr_moves = mhp__tier_choose(unit, nr, node, LIMIT, move, &boundary);
	for (unsigned i = 0; i < nr_moves; i++) {
		const struct mhp__tier_unit *moved = &unit[move[i].unit];
		uint32_t piece = where[move[i].unit];
		memset(&w->far[piece / PIECES][piece % PIECES], move[i].node, moved->pages / PIECE);
		mhp__heat_moved(moved->heat);
		w->moved_pages += moved->pages;
	}
}

static void
run(struct world *w, unsigned looks)
{
	for (unsigned i = 0; i < looks; i++) {
		look(w);
		decide(w);
	}
}

/* R64 */
TEST(choose__hot_pages_scattered__pieces_come_near_nearly_as_an_oracle_would)
{
	for (uint64_t seed = SEED; seed < SEED + 2; seed++) {
		struct world *w = begin(seed, false);
		run(w, MINUTE);
		CHECK(near_share(w) >= 0.95 * oracle_share(w, true));
		free(w);
	}
}

/* R64: what would be cut up and moved for nothing stays whole, and where it is. */
TEST(choose__pages_used_alike__windows_stay_whole_and_where_they_are)
{
	for (uint64_t seed = SEED; seed < SEED + 2; seed++) {
		struct world *w = begin(seed, true);
		unsigned split = 0;
		run(w, MINUTE);
		for (unsigned i = 0; i < WINDOWS; i++)
			split += is_split(w, i);
		CHECK_CMP(split, <=, WINDOWS / 50);
		CHECK_CMP(w->moved_pages, <=, NEAR / 4 * PAGES);
		free(w);
	}
}

/* R64: looks of very different length agree, so that neither node's pieces seem to be used less. */
TEST(learn__looks_that_find_nearly_all_used__leave_the_rate_as_it_is)
{
	struct world *w = begin(SEED, true);
	for (unsigned i = 0; i < 8; i++)
		look(w);
	float before = mhp__heat_mean(w->piece[0]);
	for (unsigned i = 0; i < 8; i++)
		mhp__heat_learn(&w->book, w->piece[0], UINT32_MAX, UINT32_MAX, 20 * LOOK_NS);
	CHECK(mhp__heat_mean(w->piece[0]) > 0.7F * before);
	free(w);
}
