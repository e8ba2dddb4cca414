/* SPDX-License-Identifier: MIT */
/*
 * nodes.h - which node of a pool memory is on: placement policies, and tiering (the Linux port).
 *
 * A policy decides where fresh pages come from; tiering moves pages later, by how often they are
 * used. Policies belong to a pool, or to one of its regions.
 *
 * Context, unless a function says otherwise: any thread, not a signal handler.
 */
#ifndef MEMPLUG_NODES_H
#define MEMPLUG_NODES_H

#include <memplug/region.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Which node fresh pages come from. */
enum mhp_spread_mode {
	MHP_SPREAD_LOCAL,          /* the nearest with room, the CPU's own NUMA node first */
	MHP_SPREAD_PREFER,         /* the nodes named, then as LOCAL */
	MHP_SPREAD_INTERLEAVE,     /* the nodes named in turn, window by window; then as LOCAL */
	MHP_SPREAD_BIND,           /* the nodes named, and no other */
	MHP_SPREAD_MODES,
};

/** A placement policy. All-zero is LOCAL. */
struct mhp_spread {
	enum mhp_spread_mode mode;
	uint8_t weight[MHP_POOL_NODES]; /* 0: not named; INTERLEAVE: so many windows in turn */
};

#define MHP_SPREAD_TEXT 128U

/**
 * Read a policy: local, "prefer 1", "interleave 0=3,1", "bind 1,2"; a colon does for the space.
 * Return: 0, or MHP_EINVAL and a sentence.
 */
MHP_MUST_CHECK int mhp_spread_parse(const char *words, struct mhp_spread *ret_spread,
				    struct mhp_text *reterr);
/** Write a policy, as mhp_spread_parse() reads it. */
void mhp_spread_text(const struct mhp_spread *spread, char text[MHP_SPREAD_TEXT]);

/**
 * Set the policy of a pool, for regions that have none of their own. It decides for pages that are
 * committed later; nothing moves.
 *
 * Return: 0, MHP_EINVAL (no node is named), MHP_ENODEV (BIND, and none of the nodes has memory in
 * use; the other modes may name a node that gets memory later).
 */
MHP_MUST_CHECK int mhp_pool_set_spread(struct mhp_pool *pool, const struct mhp_spread *spread,
				       struct mhp_text *reterr);
/** The policy of a pool. */
void mhp_pool_get_spread(struct mhp_pool *pool, struct mhp_spread *ret_spread);

/** Set the policy of one region. NULL: it follows its pool's again. */
MHP_MUST_CHECK int mhp_region_set_spread(struct mhp_region *region,
					 const struct mhp_spread *spread, struct mhp_text *reterr);

/**
 * Say which memory to add when a commit found none. A region whose policy binds it to nodes wants
 * the backings of those nodes, the nearest first.
 *
 * @at: 0 for the first backing, 1 for the second, and so on.
 * Return: true with a backing; false when there are no more. False for @at 0: any memory will do.
 */
bool mhp_region_wants(struct mhp_region *region, unsigned at, struct mhp_backing *ret_backing);

/** Tiering: used memory comes to nearer nodes, unused memory goes to farther ones. */
struct mhp_tiering {
	bool on;
	uint64_t bytes_per_s;      /* that may move, up and down together; 0: 64 MiB */
	uint32_t look_permille;    /* thousandths of one CPU that looking may take; 0: 15 */
};

/**
 * Switch tiering on or off: a task in the companion that observes which windows of 2 MiB are used
 * and moves them between the nodes of the pool. Off at first, and in forked children.
 *
 * A look needs no privilege and blocks nobody. Windows change places when the far one is used
 * half as much again as the near one; they go down when they are not used at all and their node is
 * almost full. A window that is used in a few places goes in pieces of 64 KiB, where no node has
 * larger pages. Regions whose policy is interleave or bind stay as they are; so do windows that
 * may not move, as with mhp_region_move(). Each decision is a TIER event with its reason.
 * Return: 0, MHP_EINVAL, or why there is no companion.
 */
MHP_MUST_CHECK int mhp_pool_set_tiering(struct mhp_pool *pool, const struct mhp_tiering *how,
					struct mhp_text *reterr);
/** The settings of tiering. */
void mhp_pool_get_tiering(struct mhp_pool *pool, struct mhp_tiering *ret_how);

/** What tiering has found and done. */
struct mhp_tiering_stats {
	uint64_t looks;            /* windows that were looked at */
	uint64_t moved_pages;      /* of 4 KiB, up and down */
	uint64_t refused;          /* moves that could not be made: TIER events say why */
	uint64_t look_cpu_ns, move_cpu_ns;
	struct {
		uint64_t hot_bytes;  /* of windows that the last look found used */
		uint64_t cold_bytes; /* and unused; the rest was not looked at yet */
		uint64_t uses_per_s; /* estimate, of all that was looked at */
	} node[MHP_POOL_NODES];
};

/**
 * Read what tiering has found and done.
 *
 * Cost: follows the number of windows in use. Context: takes the region mutex; any thread.
 */
void mhp_pool_get_tiering_stats(struct mhp_pool *pool, struct mhp_tiering_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
