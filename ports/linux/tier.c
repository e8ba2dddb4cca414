/* SPDX-License-Identifier: MIT */
/*
 * tier.c - the policy of tiering.
 *
 * From the parts that a look found used follows how often the window was used: drawing from nr
 * parts until `used` different ones were seen takes nr/nr + nr/(nr-1) + ... draws. So windows can
 * be compared that are seen in parts of different size. Rates are smoothed over the last looks.
 *
 * Against moving to and fro: a window moves only after two looks where it is, changes places only
 * with one that is used a third less, and leaves for being idle only after several idle looks and
 * only when its node is almost full. A window that was found used all over has an unknown rate, and
 * does not go down.
 */
#include "tier.h"

#define LOOKS_MIN 2U
#define REFUSED_MAX 10U                /* then it is tried again after 2048 looks */
#define LOOKS_SMOOTH 4U                /* a rate is a mean over about that many */
#define IDLE_LOOKS 3U
#define MORE_BY 1.5F
/* A node keeps this share free: below the first, what is used comes up no more by itself; below the
 * second, what is idle goes down. */
#define KEEP_SHARE 32U
#define DRAIN_SHARE 16U

void
mhp__tier_note(struct mhp__heat *heat, unsigned used, unsigned nr, uint64_t over_ns)
{
	float draws = 0;
	for (unsigned i = 0; i < used && i < nr; i++)
		draws += (float)nr / (float)(nr - i);
	float rate = draws * 1e9F / (float)(over_ns != 0 ? over_ns : 1);
	if (heat->looks < UINT16_MAX)
		heat->looks++;
	unsigned weight = heat->looks < LOOKS_SMOOTH ? heat->looks : LOOKS_SMOOTH;
	heat->full = used >= nr;
	if (!heat->full || rate > heat->rate)
		heat->rate += (rate - heat->rate) / (float)weight;
	if (used != 0)
		heat->idle = 0;
	else if (heat->idle < UINT8_MAX)
		heat->idle++;
}

void
mhp__tier_moved(struct mhp__heat *heat)
{
	heat->looks = 0;
	heat->idle = 0;
	heat->refused = 0;
}

void
mhp__tier_refused(struct mhp__heat *heat)
{
	heat->looks = 0;
	if (heat->refused < REFUSED_MAX)
		heat->refused++;
}

uint64_t
mhp__tier_wait(const struct mhp__tier_window *window, unsigned nr, uint64_t over_ns)
{
	unsigned full = 0, unused = 0;
	for (unsigned i = 0; i < nr; i++) {
		full += window[i].heat->full;
		unused += window[i].heat->idle != 0;
	}
	if (full * 4 > nr)
		over_ns /= 2;
	else if (unused * 4 > nr * 3)
		over_ns *= 2;
	if (over_ns < MHP__TIER_WAIT_MIN_NS)
		return MHP__TIER_WAIT_MIN_NS;
	return over_ns < MHP__TIER_WAIT_MAX_NS ? over_ns : MHP__TIER_WAIT_MAX_NS;
}

/* ---- choosing ---- */

struct choice {
	const struct mhp__tier_window *window;
	unsigned nr;
	struct mhp__tier_node *node;
	uint64_t pages_left;           /* that may move */
	struct mhp__tier_move *move;
	unsigned nr_moves;
	bool chosen[MHP__TIER_WINDOWS], tried[MHP__TIER_WINDOWS];
};

/* Is there room for the pages on the node, beside what it keeps free? */
static bool
has_room(const struct choice *c, unsigned node, uint64_t pages, uint64_t keep)
{
	return c->node[node].free_pages >= pages + keep;
}

static void
add_move(struct choice *c, unsigned window, unsigned to, enum mhp__tier_reason reason, bool follows)
{
	uint64_t pages = c->window[window].pages;
	c->node[c->window[window].node].free_pages += pages;
	c->node[to].free_pages -= pages;
	c->pages_left -= pages;
	c->chosen[window] = true;
	c->move[c->nr_moves++] = (struct mhp__tier_move){
		.window = window, .node = (uint8_t)to, .reason = (uint8_t)reason,
		.follows = follows };
}

/* The nearest node that is nearer than this one and has room; MHP__TIER_NODES: none. */
static unsigned
nearer_with_room(const struct choice *c, unsigned from, uint64_t pages)
{
	unsigned best = MHP__TIER_NODES;
	for (unsigned i = 0; i < MHP__TIER_NODES; i++)
		if (c->node[i].pages != 0 && c->node[i].rank < c->node[from].rank &&
		    has_room(c, i, pages, c->node[i].pages / KEEP_SHARE) &&
		    (best == MHP__TIER_NODES || c->node[i].rank < c->node[best].rank))
			best = i;
	return best;
}

/* The nearest of those that are farther and have room; MHP__TIER_NODES: none. */
static unsigned
farther_with_room(const struct choice *c, unsigned from, uint64_t pages)
{
	unsigned best = MHP__TIER_NODES;
	for (unsigned i = 0; i < MHP__TIER_NODES; i++)
		if (c->node[i].pages != 0 && c->node[i].rank > c->node[from].rank &&
		    has_room(c, i, pages, 0) &&
		    (best == MHP__TIER_NODES || c->node[i].rank < c->node[best].rank))
			best = i;
	return best;
}

/* Was it looked at long enough where it is? */
static bool
is_known(const struct mhp__heat *heat)
{
	return heat->looks >= LOOKS_MIN << heat->refused;
}

static bool
may_rise(const struct choice *c, unsigned window)
{
	const struct mhp__heat *heat = c->window[window].heat;
	return is_known(heat) && heat->idle == 0 && !c->chosen[window];
}

static bool
may_sink(const struct choice *c, unsigned window)
{
	const struct mhp__heat *heat = c->window[window].heat;
	return is_known(heat) && !heat->full && !c->chosen[window];
}

/* The window that is used most of those that may rise and were not tried; nr: none. */
static unsigned
hottest(const struct choice *c)
{
	unsigned best = c->nr;
	for (unsigned i = 0; i < c->nr; i++)
		if (!c->tried[i] && may_rise(c, i) &&
		    (best == c->nr || c->window[i].heat->rate > c->window[best].heat->rate))
			best = i;
	return best;
}

/* The window that is used least of those that may sink and lie nearer than a node; nr: none. */
static unsigned
coldest_above(const struct choice *c, unsigned node)
{
	unsigned best = c->nr;
	for (unsigned i = 0; i < c->nr; i++)
		if (c->node[c->window[i].node].rank < c->node[node].rank && may_sink(c, i) &&
		    (best == c->nr || c->window[i].heat->rate < c->window[best].heat->rate))
			best = i;
	return best;
}

/* Have a window come up in exchange for one that is used less, if both can find room in turn. */
static void
exchange(struct choice *c, unsigned up)
{
	unsigned from = c->window[up].node, down = coldest_above(c, from);
	if (down == c->nr ||
	    c->window[up].heat->rate <= c->window[down].heat->rate * MORE_BY ||
	    c->pages_left < c->window[up].pages + c->window[down].pages)
		return;
	unsigned to = c->window[down].node;
	if (has_room(c, from, c->window[down].pages, 0) &&
	    c->node[to].free_pages + c->window[down].pages >= c->window[up].pages) {
		add_move(c, down, from, MHP__TIER_USED_LESS, false);
		add_move(c, up, to, MHP__TIER_USED_MORE, true);
	} else if (has_room(c, to, c->window[up].pages, 0)) {
		add_move(c, up, to, MHP__TIER_USED_MORE, false);
		add_move(c, down, from, MHP__TIER_USED_LESS, true);
	}
}

static void
sink_idle(struct choice *c)
{
	for (unsigned i = 0; i < c->nr; i++) {
		const struct mhp__tier_window *w = &c->window[i];
		const struct mhp__tier_node *node = &c->node[w->node];
		if (w->heat->idle < IDLE_LOOKS || !may_sink(c, i) || c->pages_left < w->pages ||
		    node->free_pages >= node->pages / DRAIN_SHARE)
			continue;
		unsigned to = farther_with_room(c, w->node, w->pages);
		if (to != MHP__TIER_NODES)
			add_move(c, i, to, MHP__TIER_IDLE, false);
	}
}

unsigned
mhp__tier_choose(const struct mhp__tier_window *window, unsigned nr,
		 struct mhp__tier_node node[MHP__TIER_NODES], uint64_t max_pages,
		 struct mhp__tier_move *move)
{
	struct choice c = { .window = window, .nr = nr, .node = node, .pages_left = max_pages,
			    .move = move };
	unsigned up;
	sink_idle(&c);
	while ((up = hottest(&c)) != nr) {
		unsigned to = nearer_with_room(&c, window[up].node, window[up].pages);
		c.tried[up] = true;
		if (to == MHP__TIER_NODES)
			exchange(&c, up);
		else if (c.pages_left >= window[up].pages)
			add_move(&c, up, to, MHP__TIER_USED, false);
	}
	return c.nr_moves;
}

const char *
mhp__tier_reason_text(enum mhp__tier_reason reason)
{
	static const char *const text[] = {
		"used, and there is room",
		"used more than what makes room for them",
		"used less than what takes their place",
		"not used, and their node is almost full",
	};
	return text[reason];
}
