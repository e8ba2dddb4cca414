/* SPDX-License-Identifier: MIT */
/*
 * compact.c - move pages of a zone together, so that whole pageblocks come free.
 *
 * Two fingers: pageblocks are emptied from the top of the zone, into the free frames of partly used
 * ones from the bottom, until the fingers meet. A pageblock is only touched when all of it can move
 * and all of its pages have a target in pageblocks that are in use anyway. So each pageblock that
 * is emptied is a gain, and the end state is as dense as the orders in use allow.
 */
#include "base/mem.h"
#include "pages/arena.h"
#include "pages/attach.h"
#include "pages/cache.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "ranges/migrate.h"
#include "state/hotplug.h"
#include "state/trace.h"
#include "tables/owner.h"

/* Targets taken under one lock. */
#define TAKE_MAX 64U

struct compaction {
	struct mhp__mover mover;
	struct mhp__zone *zone;
	uint32_t low[MHP_ORDERS];      /* arenas below have no room of this order */
	uint32_t used[MHP_ORDERS];     /* the first that this source has room from */
	uint64_t nr_huge;
};

static bool
in_zone(const struct compaction *c, const struct mhp__arena *arena)
{
	return arena->zone_id1 == mhp__zone_id(c->mover.m, c->zone) + 1U;
}

/* Move up to nr pages of room of an order from partly used pageblocks of one arena, below the
 * source, into the mover's room. */
static uint64_t
take_from(struct compaction *c, uint32_t arena, uint64_t src_pfn, unsigned order, uint64_t nr)
{
	struct mhp *m = c->mover.m;
	uint64_t pfns[TAKE_MAX];
	unsigned nr_got = mhp__zone_take_packed(m, c->zone, arena, src_pfn, order,
						nr < TAKE_MAX ? (unsigned)nr : TAKE_MAX, pfns);

	MHP_ASSERT_DEBUG(nr_got <= nr);
	for (unsigned i = 0; i < nr_got; i++)
		mhp__room_put(m, &c->mover.room, order, pfns[i]);
	return nr_got;
}

/* *ret_met: there is nothing at all between the fingers. */
static bool
find_room(struct compaction *c, uint64_t src_pfn, unsigned order, uint64_t nr, bool *ret_met)
{
	uint32_t src_arena = mhp__pfn_arena(c->mover.m, src_pfn), *low = &c->low[order];

	MHP_ASSERT_DEBUG(order < MHP_ORDERS);
	/* Bound: each arena is left behind once for an order, but for those that gave room to a
	 * source that stayed. */
	while (nr > 0 && *low <= src_arena) {
		if (mhp__work_stop_at(c->mover.m, *low) != 0)
			return false;
		uint64_t nr_got = take_from(c, *low, src_pfn, order, nr);
		nr -= nr_got;
		if (nr_got == 0)
			++*low;
		else if (c->used[order] == UINT32_MAX)
			c->used[order] = *low;
	}
	*ret_met = nr != 0 && order == 0;
	return nr == 0;
}

/* Can all of this pageblock move? Counts its pages by order. */
static bool
survey(struct mhp *m, uint64_t src_pfn, uint64_t nr_of_order[MHP_ORDERS])
{
	const struct mhp__chunk *chunk;
	struct mhp__walk walk;

	MHP_ASSERT_DEBUG(src_pfn % (UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) == 0);
	memset(nr_of_order, 0, MHP_ORDERS * sizeof(nr_of_order[0]));
	mhp__walk_begin(&walk, src_pfn, UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m));
	while ((chunk = mhp__walk_next(m, &walk)) != NULL) {
		if (!mhp__owner_movable(m, chunk->owner))
			return false;
		nr_of_order[chunk->order]++;
	}
	return true;
}

/* Take a target for every page of a pageblock. Pages of higher orders may find none, and then it
 * stays as it is; *ret_met: not even single frames are left below, the fingers met. */
static bool
find_all_room(struct compaction *c, uint64_t src_pfn, const uint64_t nr_of_order[MHP_ORDERS],
	      bool *ret_met)
{
	for (unsigned order = MHP_ORDERS; order-- > 0;) {
		if (!find_room(c, src_pfn, order, nr_of_order[order], ret_met))
			return false;
	}
	return true;
}

/* The room that is left goes back, and is found again by the next source. */
static void
give_room_back(struct compaction *c)
{
	mhp__room_empty(c->mover.m, &c->mover.room);
	for (unsigned order = 0; order < MHP_ORDERS; order++)
		if (c->used[order] < c->low[order])
			c->low[order] = c->used[order];
	MHP_ASSERT_DEBUG(c->mover.room.list[0].first_pfn == MHP_PFN_NONE);
}

/* Empty one pageblock if that is a gain. False: the fingers met. */
static bool
empty_pageblock(struct compaction *c, uint64_t src_pfn)
{
	struct mhp *m = c->mover.m;
	uint64_t nr_pages = UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m);
	uint64_t nr_of_order[MHP_ORDERS];
	bool met = false;

	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 1); /* readers do not wait for the moves */
	mhp__pages_isolate(m, src_pfn, nr_pages);
	mhp__cache_drain(m, c->zone);
	if (survey(m, src_pfn, nr_of_order)) {
		c->mover.error.cause = MHP_CAUSE_NONE;
		memset(c->used, 0xff, sizeof(c->used));
		if (find_all_room(c, src_pfn, nr_of_order, &met) &&
		    mhp__move_pass(&c->mover, src_pfn, nr_pages) == 0)
			c->nr_huge++;
		give_room_back(c); /* also what pages had that were freed meanwhile */
	}
	mhp__pages_open(m, src_pfn, nr_pages);
	return !met;
}

/* Pageblocks that are partly in use, and that a huge page could use once they are empty. Arena lock
 * held. */
static uint64_t
sources_in(const struct mhp *m, const struct mhp__arena *arena)
{
	uint64_t mask = arena->mixed & ~arena->full;
	uint64_t nr_pages = UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m);

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	if ((arena->nr_unmanaged & (nr_pages - 1)) != 0)
		mask &= ~(UINT64_C(1) << (arena->nr_unmanaged >> MHP_PAGEBLOCK_ORDER(m)));
	return mask;
}

/* Empty the pageblocks of one arena, from its last. Return: 0, 1 (the fingers met), or what
 * mhp__work_stop() says. */
static int
compact_arena(struct compaction *c, uint32_t index)
{
	struct mhp *m = c->mover.m;
	struct mhp__arena *arena = &m->arenas[index];
	unsigned pageblock = mhp__arena_pageblocks(m);

	MHP_ASSERT_DEBUG(in_zone(c, arena));
	while (pageblock-- > 0) {
		uint64_t partly;
		int err;
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		partly = sources_in(m, arena);
		mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
		if ((partly >> pageblock & 1U) == 0)
			continue;
		err = mhp__work_stop(m);
		if (err != 0)
			return err;
		if (!empty_pageblock(c, mhp__arena_start(m, arena) +
					((uint64_t)pageblock << MHP_PAGEBLOCK_ORDER(m))))
			return 1;
	}
	return 0;
}

static int
compact_zone(struct compaction *c)
{
	struct mhp *m = c->mover.m;
	uint32_t first, arena;
	int err = 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(c->mover.total == 0);
	if (c->zone->nr_blocks == 0)
		return 0;
	mhp__cache_drain(m, c->zone); /* what caches hold looks like full pageblocks */
	first = mhp__pfn_arena(m, c->zone->start_pfn);
	arena = mhp__pfn_arena(m, c->zone->end_pfn - 1) + 1U;
	for (unsigned order = 0; order < MHP_ORDERS; order++)
		c->low[order] = first;
	while (arena-- > first && err == 0) {
		err = mhp__work_stop_at(m, arena);
		if (err == 0 && in_zone(c, &m->arenas[arena]))
			err = compact_arena(c, arena);
	}
	return err < 0 ? err : 0;
}

static struct mhp_blocks
spanned_blocks(const struct mhp *m, const struct mhp__zone *zone)
{
	struct mhp_blocks blocks = { mhp__pfn_block(m, zone->start_pfn), 0 };

	MHP_ASSERT_DEBUG((zone->nr_blocks == 0) == (zone->end_pfn == 0));
	if (zone->nr_blocks != 0)
		blocks.count = mhp__pfn_block(m, zone->end_pfn - 1) + 1U - blocks.first;
	return blocks;
}

static void
trace_compact(struct mhp *m, const struct compaction *c, int error, uint64_t started_ns)
{
	struct mhp_event event = mhp__event(MHP_EV_COMPACT, (struct mhp_blocks){ 0, 0 });

	event.error = error;
	event.pages = c->mover.moved;
	event.node = c->zone->node;
	event.zone = c->zone->kind;
	mhp__trace(m, &event, started_ns);
}

int
mhp_compact(struct mhp *m, unsigned node, enum mhp_zone_kind kind, uint32_t deadline_ms,
	    struct mhp_compact_result *ret_result)
{
	struct compaction c;
	uint64_t started_ns;
	int err;

	if (node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	if (!mhp__zone_exists((unsigned)kind))
		return MHP_EINVAL;
	err = mhp__hotplug_lock(m);
	if (err != 0)
		return err;
	started_ns = m->ops->now_ns(m->port);
	mhp__work_begin(m, MHP_WORK_COMPACT, deadline_ms);
	memset(&c, 0, sizeof(c));
	c.zone = mhp__zone(m, node, kind);
	c.mover.m = m;
	c.mover.node = (uint8_t)node;
	mhp__room_init(&c.mover.room);
	mhp__work_about(m, spanned_blocks(m, c.zone));
	mhp__still_begin(m); /* pages move, and nothing else changes */
	err = compact_zone(&c);
	mhp__still_end(m);
	mhp__work_end(m);
	m->pages_moved += c.mover.moved;
	trace_compact(m, &c, err, started_ns);
	mhp__hotplug_unlock(m);
	ret_result->nr_moved = c.mover.moved;
	ret_result->nr_huge = c.nr_huge;
	return err;
}
