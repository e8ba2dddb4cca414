/* SPDX-License-Identifier: MIT */
/*
 * trace.c - events, counters, and the words for both.
 *
 * An event gets its number, its time and its place in the counters here and nowhere else, so that
 * numbers have no gaps and event_seq is the sum of event_counts. Reading counters takes the
 * hotplug lock, or finds it held by this thread: a snapshot is of one moment either way. What the
 * pages of a zone are doing is known to its arenas and caches; this file only adds them up.
 */
#include "state/trace.h"

#include "base/mem.h"
#include "pages/cache.h"
#include "pages/zone.h"
#include "state/locked.h"

void
mhp__trace(struct mhp *m, struct mhp_event event, uint64_t started_ns)
{
	_Static_assert(sizeof(event.phase_ns) == sizeof(m->phase_ns), "the same phases");
	MHP_ASSERT((unsigned)event.kind < MHP_EV_KINDS);
	m->event_counts[event.kind]++;
	event.seq = ++m->event_seq;
	event.time_ns = m->ops->now_ns(m->port);
	if (started_ns != 0)
		event.took_ns = event.time_ns - started_ns;
	if (event.block < m->geo.nr_blocks)
		event.state = m->blocks[event.block].state;
	if (m->trace == NULL)
		return;
	memcpy(event.phase_ns, m->phase_ns, sizeof(event.phase_ns));
	m->trace(m->trace_ctx, &event);
	if (m->phase_mark_ns != 0) { /* there may be another run of this operation */
		memset(m->phase_ns, 0, sizeof(m->phase_ns));
		m->phase_mark_ns = m->ops->now_ns(m->port);
	}
}

void
mhp__trace_policy(struct mhp *m)
{
	struct mhp_event event;

	memset(&event, 0, sizeof(event));
	event.kind = MHP_EV_POLICY;
	event.block = m->geo.nr_blocks;
	event.pfn = MHP_PFN_NONE;
	event.node = MHP_NODE_ANY;
	event.zone = event.asked_zone = MHP_ZONE_DEFAULT;
	mhp__trace(m, event, 0);
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
		[MHP_EV_GOOD_PAGE] = "good-page",
		[MHP_EV_ANNOUNCE] = "announce",
		[MHP_EV_LIMIT] = "limit",
	};
	return (unsigned)kind < MHP_EV_KINDS ? names[kind] : "?";
}

const char *
mhp_phase_name(enum mhp_phase phase)
{
	static const char *const names[MHP_PHASES] = {
		[MHP_PHASE_MAP] = "map",
		[MHP_PHASE_CONTENT] = "content",
		[MHP_PHASE_MEMMAP] = "memmap",
		[MHP_PHASE_NOTIFY] = "notify",
		[MHP_PHASE_ISOLATE] = "isolate",
		[MHP_PHASE_SURVEY] = "survey",
		[MHP_PHASE_ROOM] = "room",
		[MHP_PHASE_MOVE] = "move",
		[MHP_PHASE_COMMIT] = "commit",
	};
	return (unsigned)phase < MHP_PHASES ? names[phase] : "?";
}

const char *
mhp_cause_name(enum mhp_cause cause)
{
	static const char *const names[] = {
		[MHP_CAUSE_NONE] = "none",
		[MHP_CAUSE_STATE] = "state",
		[MHP_CAUSE_UNMOVABLE] = "unmovable",
		[MHP_CAUSE_REFUSED] = "refused",
		[MHP_CAUSE_MIGRATE] = "migrate",
		[MHP_CAUSE_ROOM] = "room",
		[MHP_CAUSE_IN_FLIGHT] = "in-flight",
		[MHP_CAUSE_LISTENER] = "listener",
		[MHP_CAUSE_DEADLINE] = "deadline",
		[MHP_CAUSE_CANCELED] = "canceled",
		[MHP_CAUSE_RAM] = "ram",
		[MHP_CAUSE_POLICY] = "policy",
	};
	return (size_t)cause < sizeof(names) / sizeof(names[0]) ? names[cause] : "?";
}

int
mhp_block_announce(struct mhp *m, uint32_t block, uint32_t action)
{
	struct mhp_event event;
	int err;

	if (block >= m->geo.nr_blocks)
		return MHP_ENXIO;
	err = mhp__hotplug_lock(m);
	if (err != 0)
		return err;
	memset(&event, 0, sizeof(event));
	event.kind = MHP_EV_ANNOUNCE;
	event.block = block;
	event.nr_blocks = 1;
	event.pfn = MHP_PFN_NONE;
	event.node = m->blocks[block].node;
	event.zone = event.asked_zone = MHP_ZONE_DEFAULT;
	event.flags = action;
	if (m->blocks[block].state == MHP_ABSENT)
		err = MHP_ENOENT;
	else
		mhp__trace(m, event, 0);
	mhp__hotplug_unlock(m);
	return err;
}

int
mhp_limit_announce(struct mhp *m, uint64_t max_bytes)
{
	struct mhp_event event;
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	memset(&event, 0, sizeof(event));
	event.kind = MHP_EV_LIMIT;
	event.pfn = MHP_PFN_NONE;
	event.zone = event.asked_zone = MHP_ZONE_DEFAULT;
	event.pages = max_bytes >> m->geo.page_shift;
	mhp__trace(m, event, 0);
	mhp__hotplug_unlock(m);
	return 0;
}

int
mhp_between_events(struct mhp *m, void (*fn)(void *ctx, uint64_t last_seq), void *ctx)
{
	enum mhp__look look = mhp__look_begin(m);

	if (look == MHP__LOOK_OWN)
		return MHP_EDEADLK;
	if (look == MHP__LOOK_STILL)
		mhp__look_nest(m);
	fn(ctx, m->event_seq);
	if (look == MHP__LOOK_STILL)
		mhp__look_unnest(m);
	mhp__look_end(m, look);
	return 0;
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
	enum mhp__look look = mhp__look_begin(m);

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
	mhp__look_end(m, look);
}

int
mhp_zone_get(struct mhp *m, unsigned node, enum mhp_zone_kind kind, struct mhp_zone_info *ret_info)
{
	const struct mhp_zone *zone;
	enum mhp__look look;

	if ((unsigned)kind >= MHP_ZONE_KINDS)
		return MHP_EINVAL;
	if (node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	look = mhp__look_begin(m);
	zone = mhp__zone(m, node, (unsigned)kind);
	ret_info->start_pfn = zone->start_pfn;
	ret_info->spanned = zone->end_pfn - zone->start_pfn;
	ret_info->present = zone->present;
	ret_info->managed = zone->managed;
	ret_info->cached = mhp__cache_nr_frames(m, zone);
	/* A batch under way may be counted on neither side for a moment. */
	ret_info->free = mhp__zone_nr_free(m, zone) + ret_info->cached;
	ret_info->nr_blocks = zone->nr_blocks;
	mhp__look_end(m, look);
	return 0;
}

unsigned
mhp_node_states(const struct mhp *m, unsigned node)
{
	if (node >= m->geo.nr_nodes)
		return 0;
	return atomic_load_explicit(&m->node_states[node], memory_order_relaxed);
}
