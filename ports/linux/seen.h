/* SPDX-License-Identifier: MIT */
/*
 * seen.h - the windows that a turn of tiering looks at, and what of them can move.
 *
 * A window is whole, or is told apart in pieces of 64 KiB, where its pieces lie on several nodes or
 * a few of them have most of the uses. Pages that move as a whole are a unit of the policy
 * (tier.h).
 */
#ifndef MHP_LINUX_SEEN_H
#define MHP_LINUX_SEEN_H

#include "pool.h"
#include "sample.h"

/* How many windows are looked at together. */
#define MHP__SEEN_WINDOWS 512U

_Static_assert(MHP__HEAT_PIECES == MHP__PIECES, "the policy knows all pieces of a window");
_Static_assert(MHP__SEEN_WINDOWS * MHP__PIECES <= MHP__TIER_UNITS, "all of them can be compared");

/* A window as a turn knows it; its pieces are those that are in use, all of each alike. */
struct mhp__seen {
	struct mhp_region *region;
	uint64_t window;
	uint32_t pieces;
	uint8_t node[MHP__PIECES];
};

/* Part of a window: these pieces of it. */
struct mhp__seen_part {
	unsigned seen;                 /* index of the window */
	uint32_t pieces;
};

struct mhp__seen_set {
	unsigned nr;
	struct mhp__seen seen[MHP__SEEN_WINDOWS];
	struct mhp__look look[MHP__SEEN_WINDOWS];
	unsigned nr_units;
	struct mhp__tier_unit unit[MHP__TIER_UNITS];
	struct mhp__seen_part part[MHP__TIER_UNITS]; /* what each unit is */
};

/* Take windows, half of them such that have something on the nearest node, round and round, in the
 * order of their addresses. pieces: they may be told apart. Region mutex held. */
void mhp__seen_take(struct mhp__seen_set *set, struct mhp_pool *pool, bool pieces);
/* Are these pieces of a window still what they were? Region mutex held. */
bool mhp__seen_is_same(const struct mhp__seen_set *set, unsigned seen, uint32_t pieces);
/* Note what the looks saw, drop windows of which nothing is known, and make the units of the rest.
 * Region mutex held. */
void mhp__seen_note(struct mhp__seen_set *set, bool pieces);

#endif
