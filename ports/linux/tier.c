/* SPDX-License-Identifier: MIT */
/*
 * tier.c - the policy of tiering.
 *
 * Moves cost the program something, and what was found of a unit may be chance or be over soon. So
 * a unit moves only after two looks where it is; changes places only with one that is used a third
 * less, and only if the uses that find their page near by that, as long as places can be expected
 * to last, are worth the pages that move; and leaves for being idle only after several idle looks
 * and only when its node is almost full. A window that was found used all over has an unknown rate,
 * and does not go down.
 */
#include "tier.h"

#define LOOKS_MIN 2U
#define IDLE_LOOKS 3U
#define MORE_BY 1.5F
#define SURE 16.0F                     /* the square of standard deviations */
/* Moving a page costs as much as so many uses of a far one, and places last so long. */
#define MOVE_USES 4.0F
#define LASTS_S 300.0F
/* A node keeps this share free: below the first, what is used comes up no more by itself; below the
 * second, what is idle goes down. */
#define KEEP_SHARE 32U
#define DRAIN_SHARE 16U
#define PIECE_PAGES 16.0F
#define USES_AIM 0.4F                  /* of a piece at the boundary, in a look */
#define BATCH_PAGES 8192U              /* moved together, those that make room first */

uint64_t
mhp__tier_wait(float boundary, uint64_t over_ns)
{
	uint64_t least = over_ns / 2, most = over_ns * 2;
	uint64_t aim_ns = boundary > 1 ? (uint64_t)(USES_AIM * 1e9F / boundary)
				       : MHP__TIER_WAIT_MAX_NS;
	if (most > MHP__TIER_WAIT_MAX_NS)
		most = MHP__TIER_WAIT_MAX_NS;
	if (least < MHP__TIER_WAIT_MIN_NS)
		least = MHP__TIER_WAIT_MIN_NS;
	return aim_ns < least ? least : aim_ns < most ? aim_ns : most;
}

/* ---- choosing ---- */

struct choice {
	const struct mhp__tier_unit *unit;
	unsigned nr;
	struct mhp__tier_node *node;
	uint64_t pages_left;           /* that may move */
	struct mhp__tier_move *move;
	unsigned nr_moves;
	uint64_t made[MHP__TIER_NODES]; /* room made for what is used more, and not yet taken */
	unsigned cold[MHP__TIER_NODES]; /* of a node, nothing from here on may sink */
	uint16_t order[MHP__TIER_UNITS]; /* the units, what is used most first */
	bool chosen[MHP__TIER_UNITS];
};

/* Uses of a page. */
static float
density(const struct mhp__tier_unit *unit)
{
	return unit->rate / (float)unit->pages;
}

static void
sort(struct choice *c)
{
	for (unsigned i = 0; i < c->nr; i++)
		c->order[i] = (uint16_t)i;
	for (unsigned gap = c->nr / 2; gap > 0; gap /= 2)
		for (unsigned i = gap; i < c->nr; i++) {
			uint16_t held = c->order[i];
			float hot = density(&c->unit[held]);
			unsigned at = i;
			for (; at >= gap && density(&c->unit[c->order[at - gap]]) < hot; at -= gap)
				c->order[at] = c->order[at - gap];
			c->order[at] = held;
		}
}

/* Units used less than this have no room on the nearest node, if all that are used more are there:
 * uses a second of a piece. */
static float
find_boundary(const struct choice *c)
{
	unsigned nearest = MHP__TIER_NODES;
	for (unsigned i = 0; i < MHP__TIER_NODES; i++)
		if (c->node[i].pages != 0 && (nearest == MHP__TIER_NODES ||
					      c->node[i].rank < c->node[nearest].rank))
			nearest = i;
	uint64_t left = nearest != MHP__TIER_NODES ? c->node[nearest].free_pages : 0;
	for (unsigned i = 0; i < c->nr; i++)
		left += c->unit[i].node == nearest ? c->unit[i].pages : 0;
	for (unsigned i = 0; i < c->nr; i++) {
		const struct mhp__tier_unit *unit = &c->unit[c->order[i]];
		if (unit->pages > left)
			return density(unit) * PIECE_PAGES;
		left -= unit->pages;
	}
	return 0;
}

/* Is there room for the pages on the node, beside what it keeps free? */
static bool
has_room(const struct choice *c, unsigned node, uint64_t pages, uint64_t keep)
{
	return c->node[node].free_pages >= pages + keep;
}

static void
add_move(struct choice *c, unsigned unit, unsigned to, enum mhp__tier_reason reason)
{
	uint64_t pages = c->unit[unit].pages;
	c->node[c->unit[unit].node].free_pages += pages;
	c->node[to].free_pages -= pages;
	c->pages_left -= pages < c->pages_left ? pages : c->pages_left;
	c->chosen[unit] = true;
	c->move[c->nr_moves++] = (struct mhp__tier_move){
		.unit = unit, .node = (uint8_t)to, .reason = (uint8_t)reason };
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
may_rise(const struct choice *c, unsigned unit)
{
	const struct mhp__heat *heat = c->unit[unit].heat;
	return is_known(heat) && heat->idle == 0 && !c->chosen[unit];
}

static bool
may_sink(const struct choice *c, unsigned unit)
{
	const struct mhp__heat *heat = c->unit[unit].heat;
	return is_known(heat) && !heat->full && !c->chosen[unit];
}

/* The unit of a node that is used least of those that may sink; nr: none. */
static unsigned
coldest_of(struct choice *c, unsigned node)
{
	for (; c->cold[node] > 0; c->cold[node]--) {
		unsigned unit = c->order[c->cold[node] - 1];
		if (c->unit[unit].node == node && may_sink(c, unit))
			return unit;
	}
	return c->nr;
}

/* The same of all nodes that are nearer than this one. */
static unsigned
coldest_above(struct choice *c, unsigned node)
{
	unsigned best = c->nr;
	for (unsigned i = 0; i < MHP__TIER_NODES; i++) {
		if (c->node[i].pages == 0 || c->node[i].rank >= c->node[node].rank)
			continue;
		unsigned unit = coldest_of(c, i);
		if (unit != c->nr &&
		    (best == c->nr || density(&c->unit[unit]) < density(&c->unit[best])))
			best = unit;
	}
	return best;
}

/* Is it no chance that one was seen to be used so much more than the other? */
static bool
is_sure(const struct choice *c, unsigned up, unsigned down)
{
	const struct mhp__tier_unit *hot = &c->unit[up], *cold = &c->unit[down];
	float share = (float)hot->pages / (float)cold->pages;
	float more = hot->rate - cold->rate * share;
	return more * more > SURE * (hot->variance + cold->variance * share * share);
}

/* May this one make room for that one? */
static bool
may_give_way(const struct choice *c, unsigned down, unsigned up)
{
	if (down == c->nr)
		return false;
	float hot = density(&c->unit[up]), cold = density(&c->unit[down]);
	return hot > cold * MORE_BY && (hot - cold) * LASTS_S > 2 * MOVE_USES &&
	       is_sure(c, up, down) &&
	       c->pages_left >= c->unit[up].pages + c->unit[down].pages;
}

/* Have a unit come up where others that are used less go down, if all can find room in turn. */
static void
exchange(struct choice *c, unsigned up)
{
	unsigned from = c->unit[up].node, down = coldest_above(c, from);
	uint64_t pages = c->unit[up].pages;
	if (down == c->nr)
		return;
	unsigned to = c->unit[down].node;
	for (; c->made[to] < pages; down = coldest_of(c, to)) {
		if (!may_give_way(c, down, up))
			return;
		if (!has_room(c, from, c->unit[down].pages, 0))
			break;
		add_move(c, down, from, MHP__TIER_USED_LESS);
		c->made[to] += c->unit[down].pages;
	}
	if (c->made[to] >= pages && has_room(c, to, pages, 0)) {
		add_move(c, up, to, MHP__TIER_USED_MORE);
		c->made[to] -= pages;
	} else if (down != c->nr && has_room(c, to, pages, 0) &&
		   c->unit[down].pages <= pages) {
		add_move(c, up, to, MHP__TIER_USED_MORE);
		add_move(c, down, from, MHP__TIER_USED_LESS);
	}
}

static void
sink_idle(struct choice *c)
{
	for (unsigned i = 0; i < c->nr; i++) {
		const struct mhp__tier_unit *unit = &c->unit[i];
		const struct mhp__tier_node *node = &c->node[unit->node];
		if (unit->heat->idle < IDLE_LOOKS || !may_sink(c, i) ||
		    c->pages_left < unit->pages ||
		    node->free_pages >= node->pages / DRAIN_SHARE)
			continue;
		unsigned to = farther_with_room(c, unit->node, unit->pages);
		if (to != MHP__TIER_NODES)
			add_move(c, i, to, MHP__TIER_IDLE);
	}
}

unsigned
mhp__tier_choose(const struct mhp__tier_unit *unit, unsigned nr,
		 struct mhp__tier_node node[MHP__TIER_NODES], uint64_t max_pages,
		 struct mhp__tier_move *move, float *ret_boundary)
{
	struct choice c = { .unit = unit, .nr = nr, .node = node, .pages_left = max_pages,
			    .move = move };
	sort(&c);
	*ret_boundary = find_boundary(&c);
	for (unsigned i = 0; i < MHP__TIER_NODES; i++)
		c.cold[i] = nr;
	sink_idle(&c);
	for (unsigned i = 0; i < nr; i++) {
		unsigned up = c.order[i];
		if (!may_rise(&c, up))
			continue;
		unsigned to = nearer_with_room(&c, unit[up].node, unit[up].pages);
		if (to == MHP__TIER_NODES)
			exchange(&c, up);
		else if (c.pages_left >= unit[up].pages)
			add_move(&c, up, to, MHP__TIER_USED);
	}
	return c.nr_moves;
}

/* ---- the order of moves ---- */

static bool
goes_down(const struct mhp__tier_move *move)
{
	return move->reason == MHP__TIER_USED_LESS || move->reason == MHP__TIER_IDLE;
}

/* Does a go before b? Moves that make room go first; then by address, since a look at the kernel's
 * list of mappings is good for what lies after it. */
static bool
is_before(const struct mhp__tier_unit *unit, const struct mhp__tier_move *a,
	  const struct mhp__tier_move *b)
{
	if (goes_down(a) != goes_down(b))
		return goes_down(a);
	return unit[a->unit].start < unit[b->unit].start;
}

unsigned
mhp__tier_batch(const struct mhp__tier_unit *unit, struct mhp__tier_move *move, unsigned nr,
		uint64_t *ret_pages)
{
	unsigned first = 0;
	*ret_pages = 0;
	while (first < nr && *ret_pages < BATCH_PAGES)
		*ret_pages += unit[move[first++].unit].pages;
	for (unsigned gap = first / 2; gap > 0; gap /= 2)
		for (unsigned i = gap; i < first; i++) {
			struct mhp__tier_move held = move[i];
			unsigned at = i;
			for (; at >= gap && is_before(unit, &held, &move[at - gap]); at -= gap)
				move[at] = move[at - gap];
			move[at] = held;
		}
	return first;
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
