/* SPDX-License-Identifier: MIT */
/*
 * trace.h - what happened, as numbered events, and how much, as counters.
 *
 * The engine does not log. It returns, counts, and calls config.trace once for each event, in
 * order, under the hotplug lock; numbers have no gaps, so a listener that missed some can tell.
 */
#ifndef MEMPLUG_TRACE_H
#define MEMPLUG_TRACE_H

#include <memplug/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;

enum mhp_event_kind {
	MHP_EV_ADD,
	MHP_EV_ADD_FAILED,
	MHP_EV_ONLINE,
	MHP_EV_ONLINE_FAILED,
	MHP_EV_OFFLINE_START,
	MHP_EV_OFFLINE,
	MHP_EV_OFFLINE_FAILED,
	MHP_EV_REMOVE,
	MHP_EV_BAD_PAGE,
	MHP_EV_COMPACT,
	MHP_EV_POLICY,             /* a knob was changed */
	MHP_EV_KINDS,
};

struct mhp_event {
	uint64_t seq;              /* 1, 2, 3, ... */
	uint64_t time_ns;          /* of the port's clock */
	uint64_t took_ns;          /* how long the operation took; 0 for OFFLINE_START */
	enum mhp_event_kind kind;
	uint32_t block;            /* first block concerned */
	uint32_t nr_blocks;
	int error;                 /* *_FAILED: what was returned */
	uint32_t cause;            /* *_FAILED: enum mhp_cause */
	uint64_t pfn;              /* *_FAILED, BAD_PAGE: the page, or MHP_PFN_NONE */
	uint64_t pages;            /* OFFLINE, COMPACT: moved; ONLINE: usable; else all */
	uint8_t node;
	uint8_t zone;
};

/** The name of an event kind ("online-failed"); never NULL. */
const char *mhp_event_name(enum mhp_event_kind kind);

/** Counters and sums of an instance. A snapshot. */
struct mhp_stats {
	uint64_t events[MHP_EV_KINDS];
	uint64_t pages_moved;
	uint64_t auto_online_retries;
	uint32_t blocks_present;
	uint32_t blocks_online;
	uint64_t metadata_bytes;   /* of all present blocks */
	uint64_t waste_bytes;
	uint64_t footprint_bytes;
	uint32_t bad_pages;
};

/** Read them all. */
void mhp_get_stats(struct mhp *m, struct mhp_stats *ret_stats);

/** Accounting of a zone, in pages. */
struct mhp_zone_info {
	uint64_t start_pfn;        /* spanned: [start_pfn, start_pfn + spanned) */
	uint64_t spanned;
	uint64_t present;          /* usable pages of its online blocks */
	uint64_t managed;          /* what the allocator got: present less bad pages */
	uint64_t free;             /* in bitmaps and caches */
	uint64_t cached;           /* part of free: in per-CPU caches */
	uint32_t nr_blocks;
};

/** Return: 0, MHP_ENODEV, MHP_EINVAL. */
MHP_MUST_CHECK int mhp_zone_get(struct mhp *m, unsigned node, enum mhp_zone_kind kind,
				struct mhp_zone_info *ret_info);

/** Node states, as a mask. */
enum {
	MHP_NODE_HAS_MEMORY = 1U << 0,
	MHP_NODE_HAS_NORMAL = 1U << 1,
	MHP_NODE_HAS_MOVABLE = 1U << 2,
};

/** The states of @node; 0 also when there is no such node. */
unsigned mhp_node_states(const struct mhp *m, unsigned node);

#ifdef __cplusplus
}
#endif
#endif
