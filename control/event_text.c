/* SPDX-License-Identifier: MIT */
/*
 * event_text.c - an event as one line of JSON: the format of `memplug monitor --json`.
 *
 * docs/ARCHITECTURE.md says what the members mean; replay/ reads them again. A member is there when
 * it means something for this kind of event. Changes that are done have an "action", which is what
 * the kernel would announce.
 */
#define _GNU_SOURCE
#include <inttypes.h>

#include "events.h"

#define KIND(kind) (1U << (kind))
#define KINDS_ADD (KIND(MHP_EV_ADD) | KIND(MHP_EV_ADD_FAILED))
#define KINDS_ONLINE (KIND(MHP_EV_ONLINE) | KIND(MHP_EV_ONLINE_FAILED))
#define KINDS_FAILED                                                                               \
	(KIND(MHP_EV_ADD_FAILED) | KIND(MHP_EV_ONLINE_FAILED) | KIND(MHP_EV_OFFLINE_FAILED) |      \
	 KIND(MHP_EV_MOVE_FAILED))
#define KINDS_LEAVE                                                                                \
	(KIND(MHP_EV_OFFLINE_START) | KIND(MHP_EV_OFFLINE) | KIND(MHP_EV_OFFLINE_FAILED) |         \
	 KIND(MHP_EV_MOVE) | KIND(MHP_EV_MOVE_FAILED))
#define KINDS_ZONE (KIND(MHP_EV_ONLINE) | KIND(MHP_EV_OFFLINE) | KIND(MHP_EV_COMPACT))
#define KINDS_BLOCKS                                                                               \
	(~(KIND(MHP_EV_COMPACT) | KIND(MHP_EV_POLICY) | KIND(MHP_EV_LIMIT) |                       \
	   KIND(MHP_EV_TIER) | KIND(MHP_EV_FOLLOW)))

const char *const mhp__event_places[3] = { "self", "node", "external" };

const char *
mhp__event_zone(unsigned zone)
{
	switch (zone) {
	case MHP_ZONE_NORMAL: return "Normal";
	case MHP_ZONE_MOVABLE: return "Movable";
	case MHP_ZONE_TOGETHER: return "together";
	default: return "default";
	}
}

/* The words that the kernel's uevent files take. */
const char *const mhp__announce_words[MHP__ANNOUNCE_WORDS] = {
	"add", "remove", "change", "move", "online", "offline", "bind", "unbind",
};

static const char *
action(const struct mhp_event *event)
{
	switch (event->kind) {
	case MHP_EV_ADD: return "add";
	case MHP_EV_ONLINE: return "online";
	case MHP_EV_OFFLINE: return "offline";
	case MHP_EV_REMOVE: return "remove";
	case MHP_EV_ANNOUNCE: return mhp__announce_words[event->flags % MHP__ANNOUNCE_WORDS];
	default: return NULL;
	}
}

static void
out_add(struct mhp__out *out, const struct mhp_event *event)
{
	mhp__out(out, ",\"flags\":%u,\"backing\":%u", (unsigned)event->flags, event->backing);
	if (event->kind != MHP_EV_ADD)
		return;
	mhp__out(out, ",\"memmap\":\"%s\",\"metadata_node\":%u,\"nr_vmemmap_pages\":%u",
		 mhp__event_places[event->placement % 3], event->metadata_node,
		 (unsigned)event->nr_vmemmap_pages);
	mhp__out_string(out, ",", "memmap_why",
			mhp_memmap_reason_text((enum mhp_memmap_reason)event->reason));
}

static void
out_failure(struct mhp__out *out, const struct mhp__record *record)
{
	const struct mhp_event *event = &record->event;

	mhp__out(out, ",\"error\":%d", event->error);
	if (event->cause == MHP_CAUSE_NONE)
		return;
	mhp__out(out, ",\"cause\":\"%s\",\"cause_block\":%u",
		 mhp_cause_name((enum mhp_cause)event->cause), event->cause_block);
	mhp__out_string(out, ",", "why", mhp_cause_text((enum mhp_cause)event->cause));
	if (event->cause == MHP_CAUSE_LISTENER)
		mhp__out(out, ",\"listener\":%u", event->listener);
	if (event->pfn == MHP_PFN_NONE)
		return;
	mhp__out(out, ",\"pfn\":%" PRIu64 ",\"order\":%u", event->pfn, event->order);
	mhp__out_string(out, ",", "owner", record->owner);
	if (record->text[0] != 0)
		mhp__out_string(out, ",", "what", record->text);
}

/* Where its pages might go, when that was said. */
static void
out_to_nodes(struct mhp__out *out, uint64_t nodes)
{
	const char *comma = "";
	if (nodes == 0)
		return;
	mhp__out(out, ",\"to_nodes\":[");
	for (unsigned node = 0; node < MHP_NODES_MAX; node++) {
		if ((nodes >> node & 1U) == 0)
			continue;
		mhp__out(out, "%s%u", comma, node);
		comma = ",";
	}
	mhp__out(out, "]");
}

static void
out_reason(struct mhp__out *out, const struct mhp__record *record)
{
	if (record->text[0] != 0)
		mhp__out_string(out, ",", "reason", record->text);
}

static void
out_follow(struct mhp__out *out, const struct mhp__record *record)
{
	mhp__out(out, ",\"limit_pages\":%" PRIu64, record->event.pfn);
	out_reason(out, record);
}

static void
out_times(struct mhp__out *out, const struct mhp_event *event)
{
	const char *before = ",\"phases\":{";

	if (event->took_ns == 0)
		return;
	mhp__out(out, ",\"took_ns\":%" PRIu64, event->took_ns);
	for (unsigned i = 0; i < MHP_PHASES; i++) {
		if (event->phase_ns[i] == 0)
			continue;
		mhp__out(out, "%s\"%s\":%" PRIu64, before, mhp_phase_name((enum mhp_phase)i),
			 event->phase_ns[i]);
		before = ",";
	}
	if (*before == ',' && before[1] == 0)
		mhp__out(out, "}");
}

void
mhp__event_policy(struct mhp__out *out, const struct mhp_policy *policy, unsigned memmap_switch)
{
	static const char *const onlines[] = { "contig-zones", "auto-movable" };
	static const char *const autos[] = {
		"offline", "online", "online_kernel", "online_movable",
	};
	static const char *const switches[] = { "off", "on", "force" };

	mhp__out(out, "\"policy\":{\"online_policy\":\"%s\",\"auto_online_blocks\":\"%s\","
		 "\"auto_online_attempts\":%u,\"auto_movable_ratio\":%u,"
		 "\"auto_movable_numa_aware\":%s,\"strict\":%s,\"memmap_on_memory\":\"%s\"}",
		 onlines[policy->online_policy % 2], autos[policy->auto_online % 4],
		 (unsigned)policy->auto_online_attempts, (unsigned)policy->auto_movable_ratio,
		 policy->auto_movable_numa_aware ? "true" : "false",
		 policy->strict ? "true" : "false", switches[memmap_switch % 3]);
}

void
mhp__event_line(struct mhp__out *out, const struct mhp__record *record)
{
	const struct mhp_event *event = &record->event;
	unsigned kind = KIND(event->kind);

	mhp__out(out, "{\"seq\":%" PRIu64 ",\"time_ns\":%" PRIu64 ",\"event\":\"%s\"", event->seq,
		 event->time_ns, mhp_event_name(event->kind));
	if (action(event) != NULL)
		mhp__out(out, ",\"action\":\"%s\"", action(event));
	if ((kind & KINDS_BLOCKS) != 0)
		mhp__out(out, ",\"block\":%u,\"count\":%u,\"state\":\"%s\"", event->block,
			 event->nr_blocks, mhp__state_name((enum mhp_block_state)event->state));
	if ((kind & KIND(MHP_EV_POLICY)) == 0)
		mhp__out(out, ",\"node\":%u", event->node);
	if ((kind & KINDS_ZONE) != 0)
		mhp__out(out, ",\"zone\":\"%s\"", mhp__event_zone(event->zone));
	if ((kind & KINDS_ONLINE) != 0)
		mhp__out(out, ",\"asked\":\"%s\"", mhp__event_zone(event->asked_zone));
	if ((kind & KINDS_ADD) != 0)
		out_add(out, event);
	if ((kind & KINDS_LEAVE) != 0)
		out_to_nodes(out, event->to_nodes);
	if (event->pages != 0)
		mhp__out(out, ",\"pages\":%" PRIu64, event->pages);
	if ((kind & KINDS_FAILED) != 0)
		out_failure(out, record);
	if ((kind & (KIND(MHP_EV_BAD_PAGE) | KIND(MHP_EV_GOOD_PAGE))) != 0)
		mhp__out(out, ",\"pfn\":%" PRIu64 ",\"error\":%d", event->pfn, event->error);
	if (event->kind == MHP_EV_ANNOUNCE)
		mhp__announced_members(out, record->text);
	if (event->kind == MHP_EV_TIER) {
		mhp__out(out, ",\"error\":%d", event->error);
		mhp__out_string(out, ",", "reason", record->text);
	}
	if (event->kind == MHP_EV_LIMIT)
		out_reason(out, record);
	if (event->kind == MHP_EV_FOLLOW)
		out_follow(out, record);
	if (event->kind == MHP_EV_POLICY && record->has_policy) {
		mhp__out(out, ",");
		mhp__event_policy(out, &record->policy, record->memmap_switch);
	}
	out_times(out, event);
	mhp__out(out, "}\n");
}
