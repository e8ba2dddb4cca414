/* SPDX-License-Identifier: MIT */
/*
 * tier_test.c - the policy of tiering on accesses that are drawn, not made: no memory moves.
 *
 * 512 windows, a quarter of them near, which are used by Zipf's law with exponent 0.99. A look sees
 * what a look at real memory sees: the parts of a window that were used, 512 of them near and 32
 * far. Everything is drawn from a fixed seed, so a case does the same each time.
 */
#include <stdlib.h>

#include "../../ports/linux/tier.h"
#include "../test.h"

#define WINDOWS 512U
#define NEAR 128U
#define SPARE 16U                      /* windows of room on the far node */
#define PAGES 512U                     /* of a window */
#define DRAWS 20000U                   /* accesses within a look */
#define LOOK_NS UINT64_C(10000000)
#define MINUTE 120U                    /* looks, at two a second */
#define LIMIT (32U * PAGES)            /* pages that may move after a look: 128 MiB/s */
#define BATCH 64U                      /* windows of a look */

struct world {
	uint64_t seed;
	double sum[WINDOWS];           /* of the weights of ranks up to this one */
	unsigned window[WINDOWS];      /* by rank */
	unsigned rank[WINDOWS];
	uint8_t node[WINDOWS];         /* 0: near */
	struct mhp__heat heat[WINDOWS];
	unsigned next[2];              /* where the next look at a node begins */
	uint64_t moved_pages;
	unsigned most_pages;           /* after one look */
	unsigned reasons[MHP__TIER_REASONS];
};

static uint32_t
draw(struct world *w)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(w->seed >> 33);
}

/* Ranks in random order over the windows. */
static void
shuffle(struct world *w)
{
	for (unsigned i = 0; i < WINDOWS; i++)
		w->window[i] = i;
	for (unsigned i = WINDOWS - 1; i > 0; i--) {
		unsigned other = draw(w) % (i + 1), held = w->window[i];
		w->window[i] = w->window[other];
		w->window[other] = held;
	}
	for (unsigned i = 0; i < WINDOWS; i++)
		w->rank[w->window[i]] = i;
}

/* 1/n^0.99 without the mathematical library: n^0.01 = 1 + ln(n)/100 + ..., and 1/n * that. */
static double
weight(unsigned n)
{
	double ln = 0;
	for (unsigned i = 2; i <= n; i++)
		ln += 1.0 / i + 1.0 / (2.0 * i * (i - 1)); /* ln i - ln (i - 1), nearly */
	return (1 + ln / 100 + ln * ln / 20000) / n;
}

static struct world *
begin(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	w->seed = seed;
	for (unsigned i = 0; i < WINDOWS; i++) {
		w->sum[i] = (i != 0 ? w->sum[i - 1] : 0) + weight(i + 1);
		w->node[i] = i % 4 != 0;
	}
	shuffle(w);
	return w;
}

static double
near_share(const struct world *w)
{
	double near = 0;
	for (unsigned i = 0; i < WINDOWS; i++)
		near += w->node[i] == 0 ? weight(w->rank[i] + 1) : 0;
	return near / w->sum[WINDOWS - 1];
}

/* What one who knows how often each window is used gets. */
static double
oracle_share(const struct world *w)
{
	return w->sum[NEAR - 1] / w->sum[WINDOWS - 1];
}

static unsigned
access_window(struct world *w)
{
	double at = draw(w) / 2147483648.0 * w->sum[WINDOWS - 1];
	unsigned low = 0, high = WINDOWS - 1;
	while (low < high) {
		unsigned middle = (low + high) / 2;
		if (w->sum[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return w->window[low];
}

/* The windows that are looked at now: half of them near. Returns how many. */
static unsigned
choose_batch(struct world *w, unsigned *batch)
{
	unsigned nr = 0;
	for (unsigned node = 0; node < 2; node++)
		for (unsigned tries = 0, got = 0; tries < WINDOWS && got < BATCH / 2;
		     tries++, w->next[node] = (w->next[node] + 1) % WINDOWS)
			if (w->node[w->next[node]] == node) {
				batch[nr++] = w->next[node];
				got++;
			}
	return nr;
}

static void
look(struct world *w, const unsigned *batch, unsigned nr, unsigned draws)
{
	static bool used[WINDOWS][PAGES];
	memset(used, 0, sizeof(used));
	for (unsigned i = 0; i < draws; i++)
		used[access_window(w)][draw(w) % PAGES] = true;
	for (unsigned i = 0; i < nr; i++) {
		unsigned parts = w->node[batch[i]] == 0 ? PAGES : PAGES / 16, seen = 0;
		for (unsigned part = 0; part < parts; part++) {
			bool any = false;
			for (unsigned p = 0; p < PAGES / parts; p++)
				any |= used[batch[i]][part * (PAGES / parts) + p];
			seen += any;
		}
		mhp__heat_note(&w->heat[batch[i]], seen, parts, LOOK_NS);
	}
}

static void
decide(struct world *w, const unsigned *batch, unsigned nr, uint64_t limit)
{
	struct mhp__tier_unit seen[BATCH];
	struct mhp__tier_move move[BATCH];
	float boundary;
	struct mhp__tier_node node[MHP__TIER_NODES] = {
		{ 0, NEAR * PAGES, NEAR * PAGES },
		{ 1, (WINDOWS - NEAR + SPARE) * PAGES, (WINDOWS - NEAR + SPARE) * PAGES } };
	unsigned pages = 0;
	for (unsigned i = 0; i < WINDOWS; i++)
		node[w->node[i]].free_pages -= PAGES;
	for (unsigned i = 0; i < nr; i++)
		seen[i] = (struct mhp__tier_unit){ .heat = &w->heat[batch[i]],
			.rate = mhp__heat_rate(&w->heat[batch[i]]),
			.variance = mhp__heat_variance(&w->heat[batch[i]]), .pages = PAGES,
			.node = w->node[batch[i]] };
	unsigned nr_moves = mhp__tier_choose(seen, nr, node, limit, move, &boundary);
	for (unsigned i = 0; i < nr_moves; i++) {
		unsigned window = batch[move[i].unit];
		w->node[window] = move[i].node;
		mhp__heat_moved(&w->heat[window]);
		w->reasons[move[i].reason]++;
		pages += PAGES;
	}
	w->moved_pages += pages;
	w->most_pages = pages > w->most_pages ? pages : w->most_pages;
}

static void
run(struct world *w, unsigned looks, unsigned draws, uint64_t limit)
{
	unsigned batch[BATCH];
	for (unsigned i = 0; i < looks; i++) {
		unsigned nr = choose_batch(w, batch);
		look(w, batch, nr, draws);
		decide(w, batch, nr, limit);
	}
}

/* R64 */
TEST(choose__zipf_a_quarter_near__within_a_minute_near_share_is_the_oracles)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world *w = begin(seed);
		CHECK(near_share(w) < 0.5 * oracle_share(w));
		run(w, MINUTE, DRAWS, LIMIT);
		CHECK(near_share(w) >= 0.95 * oracle_share(w));
		free(w);
	}
}

/* R64: once it is done, it stops. */
TEST(choose__nothing_changes__few_windows_move_any_more)
{
	struct world *w = begin(6);
	run(w, MINUTE, DRAWS, LIMIT);
	w->moved_pages = 0;
	run(w, MINUTE, DRAWS, LIMIT);
	CHECK_CMP(w->moved_pages, <=, 64 * PAGES);
	CHECK(near_share(w) >= 0.98 * oracle_share(w));
	free(w);
}

/* R64: windows that are used alike have no reason to move. */
TEST(choose__all_used_alike__almost_nothing_moves)
{
	struct world *w = begin(7);
	for (unsigned i = 0; i < WINDOWS; i++)
		w->sum[i] = i + 1;
	run(w, MINUTE, DRAWS, LIMIT);
	CHECK_CMP(w->moved_pages, <=, WINDOWS / 4 * PAGES);
	free(w);
}

/* R64 */
TEST(choose__the_hot_set_shifts__is_followed)
{
	struct world *w = begin(8);
	run(w, MINUTE, DRAWS, LIMIT);
	for (unsigned shift = 0; shift < 3; shift++) {
		shuffle(w);
		CHECK(near_share(w) < 0.7 * oracle_share(w));
		run(w, MINUTE, DRAWS, LIMIT);
		CHECK(near_share(w) >= 0.95 * oracle_share(w));
	}
	free(w);
}

/* R64: a program that does little is followed, too: most windows are found unused. */
TEST(choose__few_accesses_in_a_look__near_share_still_rises)
{
	struct world *w = begin(9);
	run(w, 2 * MINUTE, 200, LIMIT);
	CHECK(near_share(w) >= 0.80 * oracle_share(w));
	free(w);
}

/* R64 */
TEST(choose__limit__never_more_moves_than_it_allows)
{
	struct world *w = begin(10);
	run(w, MINUTE, DRAWS, 4 * PAGES);
	CHECK_CMP(w->most_pages, <=, 4 * PAGES);
	CHECK_CMP(w->moved_pages, >, 0);
	free(w);
	w = begin(10);
	run(w, MINUTE, DRAWS, 0);
	CHECK_EQ(w->moved_pages, 0);
	free(w);
}

/* ---- what is remembered ---- */

/* R64: counts stop where they end, and what is known stays what it is. */
TEST(heat__looks_without_end__counts_end_and_the_rate_stays)
{
	struct mhp__heat used = { 0 }, idle = { 0 };
	for (unsigned i = 0; i < 70000; i++) {
		mhp__heat_note(&used, 4, 16, LOOK_NS);
		mhp__heat_note(&idle, 0, 16, LOOK_NS);
		mhp__heat_refused(&idle);
	}
	CHECK_EQ(used.looks, UINT16_MAX);
	CHECK_EQ(used.known, UINT8_MAX);
	CHECK_EQ(idle.idle, UINT8_MAX);
	CHECK_CMP(idle.refused, <, UINT8_MAX);
	CHECK(mhp__heat_rate(&used) > 400 && mhp__heat_rate(&used) < 500);
	CHECK(mhp__heat_rate(&idle) == 0);
	mhp__heat_note(&used, 1, 1, 0); /* a look that took no time says next to nothing */
	CHECK(mhp__heat_rate(&used) > 400 && mhp__heat_rate(&used) < 600);
	struct mhp__heat unknown = { 0 };
	CHECK(mhp__heat_variance(&unknown) == 0);
	mhp__heat_note(&unknown, 16, 16, LOOK_NS);
	mhp__heat_note(&unknown, 1, 1, UINT64_C(1000000000000));
	CHECK(mhp__heat_rate(&unknown) > 0);
}

/* R64: a book that is full forgets half, and says the same of pieces as before. */
TEST(heat__book_is_full__forgets_half_and_says_the_same)
{
	static struct mhp__heat_book book;
	static struct mhp__heat piece[MHP__HEAT_PIECES];
	float most = 0, said = 0;
	bool fell = false;
	for (unsigned i = 0; i < 12000; i++) {
		uint32_t looked = i % 7 == 0 ? 0xffff0000U : UINT32_MAX;
		mhp__heat_learn(&book, piece, looked, 0x0000ffffU | 1U << i % 32, LOOK_NS);
		fell |= book.all < most;
		if (book.all > most) {
			most = book.all;
			said = mhp__heat_expect(&book, &piece[0], mhp__heat_mean(piece));
		}
	}
	float now = mhp__heat_expect(&book, &piece[0], mhp__heat_mean(piece));
	CHECK(fell && now > said * 0.8F && now < said * 1.25F);
}

/* ---- single decisions ---- */

static struct mhp__heat
heat_of(float rate, uint8_t idle)
{
	return (struct mhp__heat){ .uses = rate, .over_s = 1, .looks = 4, .idle = idle };
}

/* Two windows, the first of them near, on nodes with this much free. */
static unsigned
choose_two(struct mhp__heat first, struct mhp__heat second, uint64_t near_free, uint64_t far_free,
	   struct mhp__tier_move *move)
{
	struct mhp__tier_unit window[2] = {
		{ &first, mhp__heat_rate(&first), 0, 0, PAGES, 0 },
		{ &second, mhp__heat_rate(&second), 0, 0, PAGES, 1 } };
	struct mhp__tier_node node[MHP__TIER_NODES] = { { 0, 64 * PAGES, near_free },
							 { 1, 64 * PAGES, far_free } };
	float boundary;
	return mhp__tier_choose(window, 2, node, 64 * PAGES, move, &boundary);
}

/* R64 */
TEST(choose__far_one_is_used_more__they_change_places_the_one_with_room_first)
{
	struct mhp__tier_move move[2];
	CHECK_EQ(choose_two(heat_of(100, 0), heat_of(200, 0), 0, PAGES, move), 2);
	CHECK_EQ(move[0].unit, 0);
	CHECK_EQ(move[0].node, 1);
	CHECK_EQ(move[0].reason, MHP__TIER_USED_LESS);
	CHECK_EQ(move[1].unit, 1);
	CHECK_EQ(move[1].node, 0);
	CHECK_EQ(choose_two(heat_of(100, 0), heat_of(200, 0), PAGES, 0, move), 2);
	CHECK_EQ(move[0].unit, 1);
	CHECK_EQ(choose_two(heat_of(100, 0), heat_of(200, 0), 0, 0, move), 0);
}

/* R64 */
TEST(choose__far_one_is_hardly_used_more__both_stay)
{
	struct mhp__tier_move move[2];
	CHECK_EQ(choose_two(heat_of(100, 0), heat_of(120, 0), 0, PAGES, move), 0);
}

/* R64 */
TEST(choose__idle__goes_down_only_when_its_node_is_almost_full)
{
	struct mhp__tier_move move[2];
	CHECK_EQ(choose_two(heat_of(0, 3), heat_of(0, 3), PAGES, PAGES, move), 1);
	CHECK_EQ(move[0].unit, 0);
	CHECK_EQ(move[0].reason, MHP__TIER_IDLE);
	CHECK_EQ(choose_two(heat_of(0, 2), heat_of(0, 3), PAGES, PAGES, move), 0);
	CHECK_EQ(choose_two(heat_of(0, 3), heat_of(0, 3), 32 * PAGES, PAGES, move), 0);
	CHECK_EQ(choose_two(heat_of(0, 3), heat_of(0, 3), PAGES, 0, move), 0);
}

/* R64 */
TEST(choose__used_and_room_near__comes_up_by_itself_but_leaves_some_free)
{
	struct mhp__tier_move move[2];
	CHECK_EQ(choose_two(heat_of(10, 0), heat_of(1, 0), 3 * PAGES, 0, move), 1);
	CHECK_EQ(move[0].unit, 1);
	CHECK_EQ(move[0].reason, MHP__TIER_USED);
	CHECK_EQ(choose_two(heat_of(10, 0), heat_of(1, 0), 2 * PAGES, 0, move), 0);
}

/* R64: how often it was used is not known, only that it was often. */
TEST(choose__near_one_was_used_all_over__does_not_make_room)
{
	struct mhp__tier_move move[2];
	struct mhp__heat full = heat_of(10, 0);
	full.full = true;
	CHECK_EQ(choose_two(full, heat_of(1000, 0), 0, PAGES, move), 0);
}

/* R64 */
TEST(choose__came_just_now__stays_until_it_was_looked_at_twice)
{
	struct mhp__tier_move move[2];
	struct mhp__heat cold = heat_of(0, 0), hot = heat_of(1000, 0);
	mhp__heat_moved(&cold);
	CHECK_EQ(choose_two(cold, hot, 0, PAGES, move), 0);
	mhp__heat_note(&cold, 0, PAGES, LOOK_NS);
	CHECK_EQ(choose_two(cold, hot, 0, PAGES, move), 0);
	mhp__heat_note(&cold, 0, PAGES, LOOK_NS);
	CHECK_EQ(choose_two(cold, hot, 0, PAGES, move), 2);
}

/* R64: one that cannot move does not keep the others from moving. */
TEST(choose__could_not_move__is_left_alone_for_longer_each_time)
{
	struct mhp__tier_move move[2];
	struct mhp__heat cold = heat_of(0, 0), hot = heat_of(1000, 0);
	for (unsigned time = 1; time <= 4; time++) {
		mhp__heat_refused(&cold);
		for (unsigned i = 0; i < 2U << time; i++) {
			CHECK_EQ(choose_two(cold, hot, 0, PAGES, move), 0);
			mhp__heat_note(&cold, 1, PAGES, LOOK_NS);
		}
		CHECK_EQ(choose_two(cold, hot, 0, PAGES, move), 2);
	}
}

/* R64: near and far are moved in the order in which there is room, each by address. */
TEST(batch__moves_up_and_down__those_that_make_room_first_each_by_address)
{
	struct mhp__tier_unit unit[4];
	struct mhp__tier_move move[4];
	uint64_t pages;
	for (unsigned i = 0; i < 4; i++) {
		unit[i] = (struct mhp__tier_unit){ .start = 100 - i, .pages = 4000 };
		move[i] = (struct mhp__tier_move){ .unit = i, .reason = i % 2 != 0 ?
				MHP__TIER_USED_LESS : MHP__TIER_USED_MORE };
	}
	CHECK_EQ(mhp__tier_batch(unit, move, 4, &pages), 3); /* as many as make 32 MiB */
	CHECK_EQ(pages, 12000);
	CHECK_EQ(move[0].unit, 1);
	CHECK_EQ(move[1].unit, 2);
	CHECK_EQ(move[2].unit, 0);
	CHECK_EQ(mhp__tier_batch(unit, move + 3, 1, &pages), 1);
}

/* R64: a swap that saves few uses for as long as places last is not worth its moves. */
TEST(choose__hardly_used_at_all__nothing_changes_places)
{
	struct mhp__tier_move move[2];
	CHECK_EQ(choose_two(heat_of(1, 0), heat_of(10, 0), 0, PAGES, move), 0);
	CHECK_EQ(choose_two(heat_of(1, 0), heat_of(20, 0), 0, PAGES, move), 2);
}

TEST(note__parts_of_different_size__give_the_same_rate)
{
	struct mhp__heat small = { 0 }, large = { 0 };
	mhp__heat_note(&small, 60, 512, 1000000); /* 64 draws hit about 60 of 512 parts */
	mhp__heat_note(&large, 28, 32, 1000000);  /* and about 28 of 32 */
	CHECK(mhp__heat_rate(&small) > 60000 && mhp__heat_rate(&small) < 68000);
	CHECK(mhp__heat_rate(&large) > 60000 && mhp__heat_rate(&large) < 68000);
}

/* R64: longer looks would find nearly all used; changes are small, within bounds. */
TEST(wait__uses_at_the_boundary__every_third_piece_is_used_or_as_near_as_bounds_allow)
{
	CHECK_EQ(mhp__tier_wait(40, 8000000), 10000000);
	CHECK_EQ(mhp__tier_wait(1000, 8000000), 4000000);
	CHECK_EQ(mhp__tier_wait(1e6F, 1), MHP__TIER_WAIT_MIN_NS);
	CHECK_EQ(mhp__tier_wait(20, 8000000), 16000000);
	CHECK_EQ(mhp__tier_wait(0, MHP__TIER_WAIT_MAX_NS), MHP__TIER_WAIT_MAX_NS);
}

/* R64: of several nodes with room the nearest by rank is taken, whatever their numbers. */
TEST(choose__several_nodes__the_nearest_with_room_by_rank)
{
	struct mhp__heat hot = heat_of(1000, 0), idle = heat_of(0, UINT8_MAX);
	struct mhp__tier_unit unit[2] = { { &hot, 1000, 0, 0, PAGES, 3 },
					  { &idle, 0, 0, 0, PAGES, 1 } };
	struct mhp__tier_move move[2];
	float boundary;
	struct mhp__tier_node node[MHP__TIER_NODES] = {
		{ 2, 64 * PAGES, 60 * PAGES }, { 0, 64 * PAGES, 60 * PAGES },
		{ 1, 64 * PAGES, 60 * PAGES }, { 3, 64 * PAGES, 60 * PAGES } };
	CHECK_EQ(mhp__tier_choose(unit, 1, node, 64 * PAGES, move, &boundary), 1);
	CHECK_EQ(move[0].node, 1);
	node[1].free_pages = 0;
	node[2].free_pages = 60 * PAGES;
	unit[0].node = 3;
	CHECK_EQ(mhp__tier_choose(unit, 1, node, 64 * PAGES, move, &boundary), 1);
	CHECK_EQ(move[0].node, 2);
	/* The nearest is full, and what is not used makes room on the next one that has some. */
	node[1].free_pages = 0;
	node[2].free_pages = 0;
	CHECK_EQ(mhp__tier_choose(&unit[1], 1, node, 64 * PAGES, move, &boundary), 1);
	CHECK_EQ(move[0].node, 0);
	CHECK_EQ(move[0].reason, MHP__TIER_IDLE);
}
