/* SPDX-License-Identifier: MIT */
/*
 * check_zones.c - the verifier's look at zones: lists, accounting, and per-CPU caches.
 *
 * One zone at a time: its blocks are found by runs, their arenas are checked and added up, and the
 * sums are compared with the zone's own numbers (INV 14), the lengths of its lists (INV 12) and the
 * contents of its caches (INV 13). Caches are compared as a set: the frames in them must be exactly
 * those that are taken and in no page, which leaves no room for a frame that is cached twice or in
 * use. Arenas of present blocks that no zone has must be all-zero; those of absent blocks are not
 * read.
 */
#include "memmap/memmap.h"
#include "pages/zone.h"
#include "state/runs.h"
#include "tables/bad.h"
#include "tables/owner.h"
#include "verify/verify.h"

bool
mhp__check_attached(const struct mhp__check *c, uint32_t block)
{
	const struct mhp *m = c->m;
	uint64_t last_pfn = mhp__block_start(m, block + 1) - 1;

	MHP_ASSERT_DEBUG(block < m->geo.nr_blocks);
	if (m->blocks[block].state == MHP_ONLINE)
		return true;
	if (m->blocks[block].state <= MHP_OFFLINE)
		return false;
	return m->arenas[mhp__pfn_arena(m, last_pfn)].zone_id1 != 0;
}

/* ---- lists ---- */

/* False: there is no next arena to follow. */
static bool
check_link(struct mhp__check *c, const struct mhp__zone_tally *tally, unsigned list, uint32_t id)
{
	const struct mhp__arena *arenas = c->m->arenas, *arena = &arenas[id - 1];
	bool good;

	MHP_ASSERT_DEBUG(id != 0);
	MHP_ASSERT_DEBUG(id <= c->m->nr_arenas); /* checked before it was followed */
	good = mhp__check_eq(c, 12, "zone of an arena on a list", id - 1, arena->zone_id1,
			     tally->id + 1);
	good &= mhp__check_eq(c, 12, "list of an arena on a list", id - 1, arena->list, list);
	if (!mhp__check_that(c, 12, "next link of an arena", id - 1,
			     arena->next != 0 && arena->next <= c->m->nr_arenas))
		return false;
	good &= mhp__check_eq(c, 12, "prev link of the arena behind an arena", id - 1,
			      arenas[arena->next - 1].prev, id);
	return good;
}

/* A list from its first arena back to it. Links in both directions agree, so the way back cannot
 * miss it. */
static void
check_list(struct mhp__check *c, const struct mhp__zone_tally *tally, unsigned list)
{
	uint32_t first = c->m->zones[tally->id].first[list], id = first, nr = 0;

	if (!mhp__check_that(c, 12, "first of a list (zone)", tally->id, first <= c->m->nr_arenas))
		return;
	while (id != 0 && check_link(c, tally, list, id)) {
		nr++;
		id = c->m->arenas[id - 1].next;
		if (id == first)
			break;
	}
	(void)mhp__check_eq(c, 12, "end of a list (zone)", tally->id, id, first);
	if (c->quiescent)
		(void)mhp__check_eq(c, 12, "arenas on a list (zone)", tally->id, nr,
				    tally->nr_of_list[list]);
}

static void
check_lists(struct mhp__check *c, const struct mhp__zone_tally *tally)
{
	struct mhp__zone *zone = &c->m->zones[tally->id];
	uint32_t lists = 0;

	if (c->quiescent && !mhp__check_eq(c, 5, "lock of a zone", tally->id,
					   atomic_load(&zone->lock.held), 0))
		return;
	if (!c->quiescent)
		mhp__spin_lock(&zone->lock, MHP_RANK_ZONE);
	(void)mhp__check_eq(c, 12, "first of no list (zone)", tally->id, zone->first[MHP_LIST_NONE],
			    0);
	for (unsigned list = MHP_LIST_NONE + 1; list < MHP_LISTS; list++) {
		check_list(c, tally, list);
		lists |= (uint32_t)(zone->first[list] != 0) << list;
	}
	(void)mhp__check_eq(c, 12, "lists of a zone that are not empty", tally->id,
			    atomic_load_explicit(&zone->lists, memory_order_relaxed), lists);
	if (!c->quiescent)
		mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
}

/* ---- caches ---- */

/* Is [pfn, pfn + 2^order) the allocator's, in this zone? */
static bool
in_zone(const struct mhp__check *c, unsigned id, uint64_t pfn, unsigned order)
{
	const struct mhp *m = c->m;
	uint32_t block;

	if (pfn >= mhp__max_pfn(m) || (pfn & ((UINT64_C(1) << order) - 1)) != 0)
		return false;
	block = mhp__pfn_block(m, pfn);
	return mhp__check_attached(c, block) && pfn >= mhp__check_usable(m, block) &&
	       m->arenas[mhp__pfn_arena(m, pfn)].zone_id1 == id + 1;
}

/* Frame by frame: a page of any order in a cache must be so many frames that no page has. */
static void
check_stack(struct mhp__check *c, struct mhp__zone_tally *tally, const struct mhp_cache *cache,
	    unsigned order)
{
	uint32_t count = atomic_load_explicit(&cache->count[order], memory_order_relaxed);

	if (!mhp__check_that(c, 13, "pages in a cache (zone)", tally->id,
			     count <= mhp_cache_depth(order)))
		return;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t pfn = atomic_load_explicit(&cache->slot[mhp_cache_bottom(order) + i],
						    memory_order_relaxed);
		if (!mhp__check_that(c, 13, "a page (pfn) in a cache is not of its zone", pfn,
				     in_zone(c, tally->id, pfn, order)))
			continue;
		for (uint64_t frame = pfn; frame < pfn + (UINT64_C(1) << order); frame++)
			mhp__frame_set_add(&tally->cached, frame);
	}
}

static void
check_caches(struct mhp__check *c, struct mhp__zone_tally *tally)
{
	const struct mhp *m = c->m;
	const struct mhp_cache *caches = mhp__zone_caches(m, &m->zones[tally->id]);

	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++) {
		(void)mhp__check_eq(c, 5, "a cache (zone) is closed", tally->id,
				    atomic_load(&caches[cpu].closed), 0);
		(void)mhp__check_eq(c, 5, "a cache (zone) is being drained", tally->id,
				    atomic_load(&caches[cpu].draining), 0);
		(void)mhp__check_that(c, 13, "hint of a cache (zone)", tally->id,
				      caches[cpu].hint <= m->nr_arenas);
		for (unsigned order = 0; order < MHP_ORDERS; order++)
			check_stack(c, tally, &caches[cpu], order);
	}
	if (c->inside)
		return; /* room that is being cut up is in no page, either */
	(void)mhp__check_eq(c, 13, "frames in caches of a zone against taken frames in no page",
			    tally->id, tally->cached.nr, tally->ownerless.nr);
	(void)mhp__check_that(c, 13, "caches of a zone hold taken frames that are in no page",
			      tally->id, tally->cached.sum == tally->ownerless.sum &&
						 tally->cached.mix == tally->ownerless.mix);
}

/* ---- accounting ---- */

/* Bad frames of the zone that are out of use. */
static uint64_t
nr_bad_taken(const struct mhp__check *c, unsigned id)
{
	const struct mhp *m = c->m;
	uint64_t nr = 0;

	MHP_ASSERT_DEBUG(m->nr_bad <= m->geo.nr_bad_pages); /* INV 16 was held */
	for (uint32_t i = 0; i < m->nr_bad; i++) {
		const struct mhp__page *page;

		if (!in_zone(c, id, m->bad[i], 0))
			continue;
		page = mhp__pfn_to_page(m, m->bad[i]);
		nr += mhp__word_owner(mhp__page_word(page)) == MHP_OWNER_BAD;
	}
	return nr;
}

/* The free frames by the zone's counter and those of its caches; not clamped, unlike
 * mhp__zone_nr_free(). */
static uint64_t
counted_free(const struct mhp *m, const struct mhp__zone *zone)
{
	const struct mhp_cache *caches = mhp__zone_caches(m, zone);
	uint64_t nr = (uint64_t)atomic_load_explicit(&zone->nr_free, memory_order_relaxed);

	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++)
		nr += (uint64_t)atomic_load_explicit(&caches[cpu].nr_given, memory_order_relaxed);
	return nr;
}

/* Spans and amounts follow from the blocks at any time; what is free follows from the bitmaps only
 * while nobody allocates. */
static void
check_accounts(struct mhp__check *c, const struct mhp__zone_tally *tally)
{
	const struct mhp__zone *zone = &c->m->zones[tally->id];
	uint64_t managed = atomic_load_explicit(&zone->managed, memory_order_relaxed);
	uint64_t nr_free = counted_free(c->m, zone);
	unsigned id = tally->id;

	(void)mhp__check_eq(c, 14, "blocks of a zone", id, zone->nr_blocks, tally->nr_blocks);
	(void)mhp__check_eq(c, 14, "start of a zone", id, zone->start_pfn, tally->start_pfn);
	(void)mhp__check_eq(c, 14, "end of a zone", id, zone->end_pfn, tally->end_pfn);
	(void)mhp__check_eq(c, 14, "present pages of a zone", id, zone->present, tally->present);
	(void)mhp__check_eq(c, 14, "node of a zone", id, zone->node, id / MHP_NODE_ZONES);
	(void)mhp__check_eq(c, 14, "kind of a zone", id, zone->kind,
			    MHP_ZONE_NORMAL + id % MHP_NODE_ZONES);
	(void)mhp__check_eq(c, 14, "unused field of a zone", id, zone->zero, 0);
	if (c->findings != 0)
		return; /* pages are only looked at where all arenas are in order */
	(void)mhp__check_eq(c, 14, "managed pages of a zone", id, managed,
			    tally->present - nr_bad_taken(c, id));
	if (c->quiescent)
		(void)mhp__check_eq(c, 14, "free frames of a zone", id, nr_free, tally->nr_free);
}

static void
add_block(struct mhp__check *c, struct mhp__zone_tally *tally, uint32_t block)
{
	uint64_t start = mhp__check_usable(c->m, block);
	uint64_t end = mhp__block_start(c->m, block + 1);

	MHP_ASSERT_DEBUG(start < end);
	MHP_ASSERT_DEBUG(tally->nr_blocks == 0 || start >= tally->end_pfn);
	if (tally->nr_blocks++ == 0)
		tally->start_pfn = start; /* blocks come in order */
	tally->end_pfn = end;
	tally->present += end - start;
	mhp__check_arenas(c, tally, block);
}

static void
check_zone(struct mhp__check *c, unsigned id)
{
	const struct mhp *m = c->m;
	struct mhp__zone_tally tally = { .id = id };
	uint32_t block = 0;

	MHP_ASSERT_DEBUG(id < m->nr_zones);
	while (block < m->geo.nr_blocks) {
		const struct mhp__block *slot = &m->blocks[block];
		uint32_t end = mhp__run_end(m, block);
		bool ours = slot->state > MHP_OFFLINE &&
			    slot->node * MHP_NODE_ZONES + slot->zone - MHP_ZONE_NORMAL == id;

		for (; block < end; block++)
			if (ours && mhp__check_attached(c, block))
				add_block(c, &tally, block);
	}
	check_accounts(c, &tally);
	if (c->findings != 0)
		return;
	check_lists(c, &tally);
	if (c->quiescent && c->findings == 0)
		check_caches(c, &tally);
}

/* ---- nodes, and all zones ---- */

/* Nodes that the geometry does not have must say so, too. */
static void
check_node(struct mhp__check *c, unsigned node)
{
	unsigned want = 0;

	if (node < c->m->geo.nr_nodes && mhp__zone(c->m, node, MHP_ZONE_NORMAL)->nr_blocks != 0)
		want |= MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_NORMAL;
	if (node < c->m->geo.nr_nodes && mhp__zone(c->m, node, MHP_ZONE_MOVABLE)->nr_blocks != 0)
		want |= MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_MOVABLE;
	(void)mhp__check_eq(c, 15, "states of a node", node,
			    atomic_load_explicit(&c->m->node_states[node], memory_order_relaxed),
			    want);
}

void
mhp__check_zones(struct mhp__check *c)
{
	const struct mhp *m = c->m;

	for (uint32_t block = 0; mhp__seek_present(m, &block); block++)
		if (!mhp__check_attached(c, block))
			mhp__check_blank(c, mhp__block_start(m, block),
					 mhp__block_start(m, block + 1));
	for (unsigned id = 0; id < m->nr_zones && c->findings == 0; id++)
		check_zone(c, id);
	for (unsigned node = 0; node < MHP_NODES_MAX; node++)
		check_node(c, node);
}
