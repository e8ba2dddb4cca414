/* SPDX-License-Identifier: MIT */
/*
 * tier.c - the policy of tiering.
 *
 * From the parts that a look found used follows how often a window was used: drawing from nr parts
 * until `used` different ones were seen takes nr/nr + nr/(nr-1) + ... draws. So windows can be
 * compared that are seen in parts of different size. Rates are smoothed over the last looks.
 *
 * Of what has one part (a piece of a window, a huge page) a look says only whether it was used at
 * all. Its rate is what makes the looks least surprising: a use that was not expected raises it, a
 * use that was expected and did not come lowers it, by as much as it was.
 *
 * Against moving to and fro: a window moves only after two looks where it is, changes places only
 * with one that is used a third less, and leaves for being idle only after several idle looks and
 * only when its node is almost full. A window that was found used all over has an unknown rate, and
 * does not go down. The same holds for pieces.
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
/* Pieces that are known from so many looks are uneven when those above UNEVEN_FROM times the mean
 * have, beyond that, this share of all uses. */
#define UNEVEN_LOOKS 4U
#define UNEVEN_FROM 1.5F
#define UNEVEN_SHARE 0.15F

/* Uses a second, from how many parts were used. */
static void
note_parts(struct mhp__heat *heat, unsigned used, unsigned nr, float over_s)
{
	float draws = 0;
	for (unsigned i = 0; i < used && i < nr; i++)
		draws += (float)nr / (float)(nr - i);
	float rate = draws / over_s;
	unsigned weight = heat->looks < LOOKS_SMOOTH ? heat->looks : LOOKS_SMOOTH;
	heat->full = used >= nr;
	if (!heat->full || rate > heat->rate)
		heat->rate += (rate - heat->rate) / (float)weight;
}

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

static void
note_one(struct mhp__heat *heat, bool used, float over_s)
{
	float gain = heat->looks <= 2 ? 1 : heat->looks < 8 ? 2.0F / (float)heat->looks : 0.25F;
	if (heat->looks == 1 && heat->rate == 0)
		heat->rate = 0.7F / over_s;
	float expected = 1 - none_of(heat->rate * over_s);
	heat->rate *= 1 + gain * ((used ? 1 : 0) - expected);
	heat->full = false;
}

void
mhp__tier_note(struct mhp__heat *heat, unsigned used, unsigned nr, uint64_t over_ns)
{
	float over_s = (float)(over_ns != 0 ? over_ns : 1) / 1e9F;
	if (heat->looks < UINT16_MAX)
		heat->looks++;
	heat->one = nr == 1;
	if (heat->one)
		note_one(heat, used != 0, over_s);
	else
		note_parts(heat, used, nr, over_s);
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
mhp__tier_wait(const struct mhp__tier_unit *unit, unsigned nr, uint64_t over_ns)
{
	unsigned full = 0, unused = 0, used_one = 0;
	for (unsigned i = 0; i < nr; i++) {
		const struct mhp__heat *heat = unit[i].heat;
		full += heat->full;
		unused += heat->idle != 0;
		used_one += heat->one && heat->idle == 0;
	}
	if (full * 4 > nr || used_one * 4 > nr * 3)
		over_ns /= 2;
	else if (unused * 4 > nr * 3)
		over_ns *= 2;
	if (over_ns < MHP__TIER_WAIT_MIN_NS)
		return MHP__TIER_WAIT_MIN_NS;
	return over_ns < MHP__TIER_WAIT_MAX_NS ? over_ns : MHP__TIER_WAIT_MAX_NS;
}

bool
mhp__tier_uneven(const struct mhp__heat piece[MHP__TIER_PIECES])
{
	float sum = 0, above = 0;
	unsigned known = 0;
	for (unsigned i = 0; i < MHP__TIER_PIECES; i++) {
		known += piece[i].looks >= UNEVEN_LOOKS;
		sum += piece[i].rate;
	}
	float from = UNEVEN_FROM * sum / MHP__TIER_PIECES;
	for (unsigned i = 0; i < MHP__TIER_PIECES; i++)
		above += piece[i].rate > from ? piece[i].rate - from : 0;
	return known == MHP__TIER_PIECES && above > sum * UNEVEN_SHARE;
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
	return unit->heat->rate / (float)unit->pages;
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

/* May this one make room for that one? */
static bool
may_give_way(const struct choice *c, unsigned down, unsigned up)
{
	return down != c->nr &&
	       density(&c->unit[up]) > density(&c->unit[down]) * MORE_BY &&
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
		 struct mhp__tier_move *move)
{
	struct choice c = { .unit = unit, .nr = nr, .node = node, .pages_left = max_pages,
			    .move = move };
	sort(&c);
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
