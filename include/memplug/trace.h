/* SPDX-License-Identifier: MIT */
/*
 * trace.h - numbered events that tell what happened, and counters.
 *
 * The engine does not log. It returns, counts, and calls config.trace once for each event, in
 * order, under the hotplug lock; numbers have no gaps, so a listener that missed some can tell.
 *
 * Context, unless a function says otherwise: any thread, also listeners and owners'
 * functions; waits for a change that is being committed, never for pages that move.
 */
#ifndef MEMPLUG_TRACE_H
#define MEMPLUG_TRACE_H

#include <memplug/block.h>

#ifdef __cplusplus
extern "C" {
#endif

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
	MHP_EV_POLICY,             /* a knob was changed: mhp_get_policy(), or memmap_on_memory */
	MHP_EV_GOOD_PAGE,          /* mhp_bad_remove() */
	MHP_EV_ANNOUNCE,           /* mhp_block_announce(): nothing has changed */
	MHP_EV_LIMIT,              /* mhp_limit_announce(): it cannot get any larger */
	MHP_EV_FOLLOW,             /* mhp_follow_announce(): another limit, or blocks left for it */
	MHP_EV_MOVE,               /* mhp_empty(): the blocks stay, their pages have left */
	MHP_EV_MOVE_FAILED,
	MHP_EV_TIER,               /* mhp_tier_announce(): pages went to a node, or could not */
	MHP_EV_KINDS,
};

/** What the time of an operation goes to. */
enum mhp_phase {
	MHP_PHASE_MAP,             /* add, remove: sections mapped and unmapped */
	MHP_PHASE_CONTENT,         /* add: test patterns; remove: scrub */
	MHP_PHASE_MEMMAP,          /* add, remove: metadata made and given back */
	MHP_PHASE_NOTIFY,          /* online, offline: policy, the port's RAM check, listeners */
	MHP_PHASE_ISOLATE,         /* offline */
	MHP_PHASE_SURVEY,          /* offline: looking at what is in use */
	MHP_PHASE_ROOM,            /* offline: taking room for it */
	MHP_PHASE_MOVE,            /* offline: waits between two attempts included */
	MHP_PHASE_COMMIT,          /* online, offline */
	MHP_PHASES,
};

/** In asked_zone: the policy chose for several runs of blocks in one call, not for this alone. */
#define MHP_ZONE_TOGETHER 254U

/**
 * One event. A call that changes blocks which differ (in zone or node) tells of each run of like
 * blocks in an event of its own; then the first one has the times.
 */
struct mhp_event {
	uint64_t seq;              /* 1, 2, 3, ... */
	uint64_t time_ns;          /* of the port's clock */
	uint64_t took_ns;          /* how long the operation took; 0 for OFFLINE_START */
	enum mhp_event_kind kind;
	uint32_t block;            /* first block concerned */
	uint32_t nr_blocks;
	int error;                 /* *_FAILED, BAD_PAGE, TIER: what was returned */
	uint32_t cause;            /* *_FAILED: enum mhp_cause */
	uint32_t cause_block;      /* *_FAILED with a cause: the block that it lies in */
	uint64_t pfn;              /* *_FAILED, BAD_PAGE: the page; FOLLOW: the limit in pages; or
				      MHP_PFN_NONE */
	uint64_t pages;            /* OFFLINE, MOVE, COMPACT, TIER: moved; ONLINE: usable;
				      LIMIT: of it; FOLLOW: what it can safely be; else all */
	uint8_t node;
	uint8_t zone;
	uint8_t state;             /* enum mhp_block_state of the first block, after this */
	uint8_t asked_zone;        /* ONLINE*: what the caller left to the policy, or not */
	uint8_t placement;         /* ADD: enum mhp_placement; the next five too */
	uint8_t reason;            /* enum mhp_memmap_reason */
	uint8_t metadata_node;
	uint16_t backing;
	uint32_t flags;            /* MHP_MEMMAP_*, MHP_ADD_*, as asked; ADD_FAILED too */
	uint32_t nr_vmemmap_pages; /* of each block */
	uint16_t owner;            /* *_FAILED with a pfn: whose page it is, */
	uint16_t listener;         /* or the listener that refused */
	uint8_t order;
	uint64_t to_nodes;         /* OFFLINE*, MOVE*: nodes that pages might go to, a bit each; 0:
				      any */
	uint64_t phase_ns[MHP_PHASES]; /* parts of took_ns; 0: there was no such phase */
	const char *text;          /* what the page is; NULL: unknown. Only valid during the call */
};

/** The name of an event kind ("online-failed"); never NULL. */
const char *mhp_event_name(enum mhp_event_kind kind);

/** The name of a phase ("move"); never NULL. */
const char *mhp_phase_name(enum mhp_phase phase);

/** One word for a cause ("unmovable"), where mhp_cause_text() has a sentence; never NULL. */
const char *mhp_cause_name(enum mhp_cause cause);

/**
 * Tell of a block as if something had happened to it: an ANNOUNCE event with @action as its flags.
 * For views through which others can ask for an event, like the kernel's uevent files.
 *
 * @action: the caller's word; the engine does not look at it.
 * Context: takes the hotplug lock.
 * Return: 0, MHP_ENXIO (out of range), MHP_ENOENT (absent), MHP_EDEADLK.
 */
MHP_MUST_CHECK int mhp_block_announce(struct mhp *m, uint32_t block, uint32_t action);

/**
 * Tell that memory that grows on demand has reached its limit and wanted more: a LIMIT event.
 *
 * @max_bytes: how much it may have.
 * @text:      what else is in the way, for people; NULL: it has that much.
 * Return: 0, or MHP_EDEADLK.
 */
MHP_MUST_CHECK int mhp_limit_announce(struct mhp *m, uint64_t max_bytes, const char *text);

/**
 * Tell that the limit that a pool follows has changed, or what was done for it: a FOLLOW event.
 *
 * @limit_bytes: the new limit; UINT64_MAX: there is none.
 * @safe_bytes:  what it could be lowered to.
 * @text:        what was done and why, for people; NULL: the limit has changed.
 * Context: takes the hotplug lock.
 * Return: 0, or MHP_EDEADLK.
 */
MHP_MUST_CHECK int mhp_follow_announce(struct mhp *m, uint64_t limit_bytes, uint64_t safe_bytes,
				       const char *text);

/**
 * Tell that tiering had pages go to @node, or could not: a TIER event.
 *
 * @pages: how many; @error: 0, or why they stay; @text: the reason, for people.
 * Return: 0, MHP_EINVAL (no such node), MHP_EDEADLK.
 */
MHP_MUST_CHECK int mhp_tier_announce(struct mhp *m, unsigned node, uint64_t pages, int error,
				     const char *text);

/**
 * Call @fn between two events, so that it reads the state that the events up to @last_seq led to.
 *
 * @fn: may call mhp_range_get(), mhp_block_get(), mhp_zone_get(), mhp_get_policy(),
 *      mhp_get_memmap_on_memory(), mhp_bad_test() and mhp_bad_count(), and nothing else of the
 *      engine; changes wait for it. Blocks that are on their way out are GOING_OFFLINE.
 *
 * Waits for no offline that moves pages. Return: 0, or MHP_EDEADLK (called from a listener, an
 * owner or a trace function).
 */
MHP_MUST_CHECK int mhp_between_events(struct mhp *m, void (*fn)(void *ctx, uint64_t last_seq),
				      void *ctx);

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
	uint64_t present_pages;    /* of all zones, as struct mhp_zone_info has them, like */
	uint64_t managed_pages;    /* the next three */
	uint64_t free_pages;
	uint64_t cached_pages;
};

/** Read the counters of the instance. */
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

/**
 * Read the accounting of a zone. Return: 0, MHP_ENODEV (no such node), MHP_EINVAL (no such zone).
 */
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
