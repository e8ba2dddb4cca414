/* SPDX-License-Identifier: MIT */
/*
 * trace.c - events, counters, and the words for both.
 *
 * An event gets its number, its time and its place in the counters here and nowhere else, so that
 * numbers have no gaps and event_seq is the sum of event_counts. Reading counters takes the
 * hotplug lock, or finds it held by this thread: a snapshot is of one moment either way. What the
 * pages of a zone are doing is known to its arenas and caches; this file only adds them up.
 */
#include "trace.h"

#include "locked.h"
#include "mem.h"
#include "pages.h"

void
mhp__trace(struct mhp *m, struct mhp_event event, uint64_t started_ns)
{
	MHP_ASSERT((unsigned)event.kind < MHP_EV_KINDS);
	m->event_counts[event.kind]++;
	event.seq = ++m->event_seq;
	event.time_ns = m->ops->now_ns(m->port);
	if (started_ns != 0)
		event.took_ns = event.time_ns - started_ns;
	if (m->trace != NULL)
		m->trace(m->trace_ctx, &event);
}

const char *
mhp_event_name(enum mhp_event_kind kind)
{
	static const char *const names[MHP_EV_KINDS] = {
		[MHP_EV_ADD] = "add",
		[MHP_EV_ADD_FAILED] = "add-failed",
		[MHP_EV_ONLINE] = "online",
		[MHP_EV_ONLINE_FAILED] = "online-failed",
		[MHP_EV_OFFLINE_START] = "offline-start",
		[MHP_EV_OFFLINE] = "offline",
		[MHP_EV_OFFLINE_FAILED] = "offline-failed",
		[MHP_EV_REMOVE] = "remove",
		[MHP_EV_BAD_PAGE] = "bad-page",
		[MHP_EV_COMPACT] = "compact",
		[MHP_EV_POLICY] = "policy",
	};
	return (unsigned)kind < MHP_EV_KINDS ? names[kind] : "?";
}

const char *
mhp_cause_text(enum mhp_cause cause)
{
	static const char *const text[] = {
		[MHP_CAUSE_NONE] = "nothing is in the way",
		[MHP_CAUSE_STATE] = "a block is not in the state that this needs",
		[MHP_CAUSE_UNMOVABLE] = "a page belongs to an owner that cannot move it",
		[MHP_CAUSE_REFUSED] = "the owner of a page will not move it now",
		[MHP_CAUSE_MIGRATE] = "the owner of a page tried to move it and failed",
		[MHP_CAUSE_ROOM] = "there is no free page to move a page to",
		[MHP_CAUSE_IN_FLIGHT] = "a page is on its way into or out of use",
		[MHP_CAUSE_LISTENER] = "a listener refused",
		[MHP_CAUSE_DEADLINE] = "the deadline has passed",
		[MHP_CAUSE_CANCELED] = "it was cancelled",
		[MHP_CAUSE_RAM] = "the port says that this is not memory",
		[MHP_CAUSE_POLICY] = "the policy does not allow it",
	};
	return (size_t)cause < sizeof(text) / sizeof(text[0]) ? text[cause] : "?";
}

void
mhp_get_stats(struct mhp *m, struct mhp_stats *ret_stats)
{
	bool locked = mhp__read_begin(m);

	memset(ret_stats, 0, sizeof(*ret_stats));
	memcpy(ret_stats->events, m->event_counts, sizeof(ret_stats->events));
	ret_stats->pages_moved = m->pages_moved;
	ret_stats->auto_online_retries = m->auto_online_retries;
	ret_stats->blocks_present = m->blocks_present;
	ret_stats->blocks_online = m->blocks_online;
	ret_stats->metadata_bytes = m->meta_bytes;
	ret_stats->waste_bytes = m->waste_bytes;
	ret_stats->footprint_bytes = m->footprint_bytes;
	ret_stats->bad_pages = m->nr_bad;
	mhp__read_end(m, locked);
}

int
mhp_zone_get(struct mhp *m, unsigned node, enum mhp_zone_kind kind, struct mhp_zone_info *ret_info)
{
	const struct mhp_zone *zone;
	bool locked;

	if ((unsigned)kind >= MHP_ZONE_KINDS)
		return MHP_EINVAL;
	if (node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	locked = mhp__read_begin(m);
	zone = mhp__zone(m, node, (unsigned)kind);
	ret_info->start_pfn = zone->start_pfn;
	ret_info->spanned = zone->end_pfn - zone->start_pfn;
	ret_info->present = zone->present;
	ret_info->managed = zone->managed;
	ret_info->cached = mhp__cache_nr_frames(m, zone);
	/* A batch under way may be counted on neither side for a moment. */
	ret_info->free = mhp__zone_nr_free(m, zone) + ret_info->cached;
	ret_info->nr_blocks = zone->nr_blocks;
	mhp__read_end(m, locked);
	return 0;
}

unsigned
mhp_node_states(const struct mhp *m, unsigned node)
{
	if (node >= m->geo.nr_nodes)
		return 0;
	return atomic_load_explicit(&m->node_states[node], memory_order_relaxed);
}
