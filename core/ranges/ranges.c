/* SPDX-License-Identifier: MIT */
/*
 * ranges.c - put ranges of pages into use and take them out of use, and the accounting of both.
 *
 * From online to offline a zone spans and has present exactly the pages of its ranges, and manages
 * those that the allocator got: present less frames with memory errors (R20). Node states follow
 * from which zones of a node have ranges. prepare asks everybody who may say no; commit only does
 * what cannot fail. Must not know: what lies before the start of a range (R14).
 */
#include "ranges/ranges.h"

#include "base/mem.h"
#include "pages/attach.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "state/runs.h"
#include "tables/bad.h"
#include "tables/notify.h"

struct mhp_notice
mhp__range_notice(const struct mhp__range *range, enum mhp_notice_kind kind)
{
	MHP_ASSERT_DEBUG(range->nr_pages != 0);
	return (struct mhp_notice){ .kind = kind, .start_pfn = range->start_pfn,
				    .nr_pages = range->nr_pages, .node = range->node,
				    .zone = range->zone };
}

static void
tell(struct mhp *m, const struct mhp__range *range, enum mhp_notice_kind kind)
{
	struct mhp_notice notice = mhp__range_notice(range, kind);

	mhp__notify(m, &notice);
}

/* ---- accounting ---- */

/* Call fn for each frame of a range that has a memory error. Returns how often it said true. */
static uint64_t
for_each_bad(struct mhp *m, const struct mhp__range *range, bool (*fn)(struct mhp *m, uint64_t pfn))
{
	uint64_t end_pfn = range->start_pfn + range->nr_pages, nr = 0;

	for (uint32_t i = mhp__bad_find(m, range->start_pfn); i < m->nr_bad && m->bad[i] < end_pfn;
	     i++)
		nr += fn(m, m->bad[i]);
	return nr;
}

static bool
is_taken_as_bad(struct mhp *m, uint64_t pfn)
{
	return mhp_frame_peek(m, pfn).owner == MHP_OWNER_BAD;
}

/* The pages that the allocator manages. */
static uint64_t
nr_managed(struct mhp *m, const struct mhp__range *range)
{
	return range->nr_pages - for_each_bad(m, range, is_taken_as_bad);
}

/* Recomputed each time, so that the states cannot drift away from the zones. */
static void
update_node(struct mhp *m, unsigned node)
{
	unsigned states = 0;

	MHP_ASSERT_DEBUG(node < m->geo.nr_nodes);
	if (mhp__zone(m, node, MHP_ZONE_NORMAL)->nr_blocks != 0)
		states |= MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_NORMAL;
	if (mhp__zone(m, node, MHP_ZONE_MOVABLE)->nr_blocks != 0)
		states |= MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_MOVABLE;
	atomic_store_explicit(&m->node_states[node], (uint8_t)states, memory_order_relaxed);
}

/* A zone spans what lies between its ranges, which may be another zone's, and has present only the
 * ranges themselves. */
static void
zone_grow(struct mhp__zone *zone, const struct mhp__range *range)
{
	uint64_t end_pfn = range->start_pfn + range->nr_pages;

	MHP_ASSERT_DEBUG(range->nr_pages != 0);
	if (zone->nr_blocks == 0 || range->start_pfn < zone->start_pfn)
		zone->start_pfn = range->start_pfn;
	if (zone->nr_blocks == 0 || end_pfn > zone->end_pfn)
		zone->end_pfn = end_pfn;
	zone->nr_blocks++;
	zone->present += range->nr_pages;
	MHP_ASSERT_DEBUG(zone->end_pfn - zone->start_pfn >= zone->present);
}

/* Does a range in this block belong to the zone? Its last arena has usable pages in any case. */
static bool
block_in_zone(const struct mhp *m, const struct mhp__zone *zone, uint32_t block)
{
	uint64_t last_pfn = mhp__block_start(m, block + 1) - 1;

	MHP_ASSERT_DEBUG(block < m->geo.nr_blocks);
	return m->arenas[mhp__pfn_arena(m, last_pfn)].zone_id1 == mhp__zone_id(m, zone) + 1U;
}

/* Where the range in this block of the zone begins. */
static uint64_t
range_start(const struct mhp *m, uint32_t block)
{
	uint32_t arena = mhp__pfn_arena(m, mhp__block_start(m, block));

	MHP_ASSERT_DEBUG(block < m->geo.nr_blocks);
	while (m->arenas[arena].zone_id1 == 0) /* lies before the range as a whole */
		arena++;
	return ((uint64_t)arena << m->arena_order) + m->arenas[arena].nr_unmanaged;
}

/* The new edge of a zone is searched run by run: the cost follows the ranges in the gap, not its
 * blocks. */
static uint64_t
next_start(const struct mhp *m, const struct mhp__zone *zone, uint32_t block)
{
	MHP_ASSERT_DEBUG(zone->nr_blocks != 0);
	/* Bound: the zone lost its first block and has others, so one follows. */
	while (!block_in_zone(m, zone, block))
		block = mhp__run_end(m, block);
	return range_start(m, block);
}

static uint64_t
prev_end(const struct mhp *m, const struct mhp__zone *zone, uint32_t block)
{
	MHP_ASSERT_DEBUG(zone->nr_blocks != 0);
	while (block > 0 && !block_in_zone(m, zone, block))
		block = mhp__run_start(m, block) - 1;
	return mhp__block_start(m, block + 1);
}

static void
zone_shrink(struct mhp *m, struct mhp__zone *zone, const struct mhp__range *range)
{
	uint64_t end_pfn = range->start_pfn + range->nr_pages;
	uint32_t block = mhp__pfn_block(m, range->start_pfn);

	MHP_ASSERT_DEBUG(zone->nr_blocks != 0);
	MHP_ASSERT_DEBUG(zone->present >= range->nr_pages);
	MHP_ASSERT_DEBUG(zone->start_pfn <= range->start_pfn);
	MHP_ASSERT_DEBUG(end_pfn <= zone->end_pfn);
	zone->present -= range->nr_pages;
	if (--zone->nr_blocks == 0)
		zone->start_pfn = zone->end_pfn = 0;
	else if (range->start_pfn == zone->start_pfn)
		zone->start_pfn = next_start(m, zone, block + 1);
	else if (end_pfn == zone->end_pfn)
		zone->end_pfn = prev_end(m, zone, block - 1);
	MHP_ASSERT_DEBUG((zone->nr_blocks == 0) == (zone->present == 0));
	MHP_ASSERT_DEBUG(zone->end_pfn - zone->start_pfn >= zone->present);
}

/* ---- into use ---- */

/* Listeners may allocate, so they hear of a range when it can be used. */
static void
tell_online(struct mhp *m, const struct mhp__range *range, bool first_of_node)
{
	tell(m, range, MHP_ONLINE_NOTICE);
	if (first_of_node)
		tell(m, range, MHP_NODE_FIRST_NOTICE);
}

int
mhp__online_pages_prepare(struct mhp *m, const struct mhp__range *range, struct mhp_why *reterr_why)
{
	struct mhp_notice notice = mhp__range_notice(range, MHP_GOING_ONLINE_NOTICE);
	uint64_t size = range->nr_pages << m->geo.page_shift;
	int err = 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT(range->nr_pages != 0);
	if (m->ops->check_ram != NULL)
		err = m->ops->check_ram(m->port, mhp__pfn_phys(m, range->start_pfn), size);
	if (err != 0) {
		reterr_why->cause = MHP_CAUSE_RAM;
		reterr_why->pfn = range->start_pfn;
		return err;
	}
	return mhp__notify_going(m, &notice, MHP_CANCEL_ONLINE_NOTICE, reterr_why);
}

/* All listeners, unless the log says that only some know of it. */
void
mhp__online_pages_abort(struct mhp *m, const struct mhp__range *range)
{
	struct mhp_notice notice = mhp__range_notice(range, MHP_CANCEL_ONLINE_NOTICE);

	mhp__notify_first(m, &notice, mhp__nr_told(m, range->start_pfn));
}

void
mhp__online_pages_commit(struct mhp *m, const struct mhp__range *range, bool zeroed)
{
	struct mhp__zone *zone = mhp__zone(m, range->node, range->zone);
	bool first = mhp__node_states(m, range->node) == 0;
	uint64_t nr_bad;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	/* The range is isolated until its bad frames are taken and the zone's numbers are right, so
	 * nobody allocates from it before. */
	zone_grow(zone, range);
	mhp__pages_attach(m, zone, range->start_pfn, range->nr_pages, zeroed);
	nr_bad = for_each_bad(m, range, mhp__pages_take_bad);
	atomic_fetch_add_explicit(&zone->managed, range->nr_pages - nr_bad, memory_order_relaxed);
	update_node(m, range->node);
	mhp__pages_open(m, range->start_pfn, range->nr_pages);

	MHP_ASSERT_DEBUG(zone->present >= zone->managed);
	tell_online(m, range, first);
}

/* ---- out of use; prepare is in offline.c ---- */

static void
tell_offline(struct mhp *m, const struct mhp__range *range)
{
	tell(m, range, MHP_OFFLINE_NOTICE);
	if (mhp__node_states(m, range->node) == 0)
		tell(m, range, MHP_NODE_LAST_NOTICE);
}

bool
mhp__range_is_empty(struct mhp *m, const struct mhp__range *range)
{
	const struct mhp__chunk *chunk;
	struct mhp__walk walk;

	if (mhp__pages_are_free(m, range->start_pfn, range->nr_pages))
		return true;
	mhp__walk_begin(&walk, range->start_pfn, range->nr_pages);
	while ((chunk = mhp__walk_next(m, &walk)) != NULL)
		if (chunk->owner != MHP_OWNER_BAD)
			return false;
	return true;
}

/* False only while something is in use that goes with another range of the same call. */
bool
mhp__offline_pages_commit(struct mhp *m, const struct mhp__range *range)
{
	struct mhp__zone *zone = mhp__zone(m, range->node, range->zone);
	uint64_t managed = nr_managed(m, range);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	if (!mhp__range_is_empty(m, range))
		return false;
	MHP_ASSERT_DEBUG(atomic_load(&zone->managed) >= managed);
	atomic_fetch_sub_explicit(&zone->managed, managed, memory_order_relaxed);
	mhp__pages_detach(m, range->start_pfn, range->nr_pages);
	zone_shrink(m, zone, range);
	update_node(m, range->node);
	tell_offline(m, range);
	return true;
}

/* ---- recovery ---- */

/* Each number changes in one store: threads that allocate read what the zone manages. */
static void
take_over(struct mhp__zone *zone, const struct mhp__zone *tally)
{
	zone->nr_blocks = tally->nr_blocks;
	zone->present = tally->present;
	zone->start_pfn = tally->start_pfn;
	zone->end_pfn = tally->end_pfn;
	atomic_store(&zone->managed, atomic_load(&tally->managed));
}

static void
count_zone(struct mhp *m, struct mhp__zone *zone)
{
	struct mhp__zone tally;

	memset(&tally, 0, sizeof(tally));
	for (uint32_t b = 0; mhp__seek_present(m, &b); b++) {
		struct mhp__range range = { .node = zone->node, .zone = zone->kind };
		if (!block_in_zone(m, zone, b))
			continue;
		range.start_pfn = range_start(m, b);
		range.nr_pages = mhp__block_start(m, b + 1) - range.start_pfn;
		zone_grow(&tally, &range);
		atomic_fetch_add(&tally.managed, nr_managed(m, &range));
	}
	take_over(zone, &tally);
}

void
mhp__ranges_count(struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	for (unsigned id = 0; id < m->nr_zones; id++)
		count_zone(m, &m->zones[id]);
	for (unsigned node = 0; node < m->geo.nr_nodes; node++)
		update_node(m, node);
}

static bool
is_attached(const struct mhp *m, uint64_t pfn)
{
	return m->arenas[mhp__pfn_arena(m, pfn)].zone_id1 != 0;
}

void
mhp__online_pages_redo(struct mhp *m, const struct mhp__range *range, bool zeroed)
{
	struct mhp__zone *zone = mhp__zone(m, range->node, range->zone);
	uint64_t end_pfn = range->start_pfn + range->nr_pages, next;

	for (uint64_t pfn = range->start_pfn; pfn < end_pfn; pfn = next) {
		next = mhp__arena_next(m, pfn);
		if (!is_attached(m, pfn))
			mhp__pages_attach(m, zone, pfn, next - pfn, zeroed);
	}
	(void)for_each_bad(m, range, mhp__pages_take_bad);
	mhp__ranges_count(m);
	mhp__pages_open(m, range->start_pfn, range->nr_pages);
	tell_online(m, range,
		    mhp__zone(m, range->node, MHP_ZONE_NORMAL)->nr_blocks +
			    mhp__zone(m, range->node, MHP_ZONE_MOVABLE)->nr_blocks == 1);
}

bool
mhp__offline_pages_begun(const struct mhp *m, const struct mhp__range *range)
{
	return !is_attached(m, range->start_pfn);
}

void
mhp__offline_pages_redo(struct mhp *m, const struct mhp__range *range)
{
	uint64_t end_pfn = range->start_pfn + range->nr_pages, next;

	MHP_ASSERT_DEBUG(mhp__offline_pages_begun(m, range));
	for (uint64_t pfn = range->start_pfn; pfn < end_pfn; pfn = next) {
		next = mhp__arena_next(m, pfn);
		if (is_attached(m, pfn))
			mhp__pages_detach(m, pfn, next - pfn);
	}
	mhp__ranges_count(m);
	tell_offline(m, range);
}
