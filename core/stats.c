/* SPDX-License-Identifier: MIT */
/*
 * stats.c - counters of the instance, a zone and a node, as a caller reads them.
 *
 * A snapshot is of one moment: a reader takes the hotplug lock, or finds that its holder changes
 * nothing now. Only the free pages of a zone go on changing, as the allocator never takes that
 * lock: a batch on its way between a cache and an arena may be counted on neither side.
 */
#include "base/mem.h"
#include "memmap/memmap.h"
#include "pages/cache.h"
#include "pages/zone.h"
#include "state/hotplug.h"

static void
add_zone(const struct mhp *m, const struct mhp__zone *zone, struct mhp_stats *stats)
{
	uint64_t cached = mhp__cache_nr_frames(m, zone);

	MHP_ASSERT_DEBUG(zone->managed <= zone->present);
	stats->present_pages += zone->present;
	stats->managed_pages += zone->managed;
	stats->cached_pages += cached;
	stats->free_pages += mhp__zone_nr_free(m, zone) + cached;
}

void
mhp_get_stats(struct mhp *m, struct mhp_stats *ret_stats)
{
	struct mhp_memmap_shape shape = mhp_memmap_shape(m);
	struct mhp_memmap_answer each;
	enum mhp__reader reader = mhp__reader_begin(m);

	(void)mhp_supports_memmap_on_memory(&shape, &each);
	memset(ret_stats, 0, sizeof(*ret_stats));
	memcpy(ret_stats->events, m->event_counts, sizeof(ret_stats->events));
	ret_stats->pages_moved = m->pages_moved;
	ret_stats->auto_online_retries = m->auto_online_retries;
	ret_stats->blocks_present = m->blocks_present;
	ret_stats->blocks_online = m->blocks_online;
	ret_stats->metadata_bytes = m->meta_bytes;
	ret_stats->waste_bytes = m->blocks_present * (uint64_t)each.waste_bytes;
	ret_stats->footprint_bytes = m->footprint_bytes;
	ret_stats->bad_pages = m->nr_bad;
	for (unsigned id = 0; id < m->nr_zones; id++)
		add_zone(m, &m->zones[id], ret_stats);
	mhp__reader_end(m, reader);
}

int
mhp_zone_get(struct mhp *m, unsigned node, enum mhp_zone_kind kind, struct mhp_zone_info *ret_info)
{
	const struct mhp__zone *zone;
	enum mhp__reader reader;

	if (!mhp__zone_exists((unsigned)kind))
		return MHP_EINVAL;
	if (node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	reader = mhp__reader_begin(m);
	zone = mhp__zone(m, node, (unsigned)kind);
	MHP_ASSERT_DEBUG(zone->end_pfn - zone->start_pfn >= zone->present);
	ret_info->start_pfn = zone->start_pfn;
	ret_info->spanned = zone->end_pfn - zone->start_pfn;
	ret_info->present = zone->present;
	ret_info->managed = zone->managed;
	ret_info->cached = mhp__cache_nr_frames(m, zone);
	/* A batch under way may be counted on neither side for a moment. */
	ret_info->free = mhp__zone_nr_free(m, zone) + ret_info->cached;
	ret_info->nr_blocks = zone->nr_blocks;
	mhp__reader_end(m, reader);
	return 0;
}

unsigned
mhp_node_states(const struct mhp *m, unsigned node)
{
	if (node >= m->geo.nr_nodes)
		return 0;
	return mhp__node_states(m, node);
}
