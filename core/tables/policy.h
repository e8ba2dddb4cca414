/* SPDX-License-Identifier: MIT */
/*
 * policy.h - which zone a range goes to; hotplug lock held. Pure but for reading the instance.
 */
#ifndef MHP_CORE_POLICY_H
#define MHP_CORE_POLICY_H

#include "state/instance.h"

/* The memory of one add, whole blocks in pages: all of it, and the part that zones have. */
struct mhp__group {
	uint32_t generation;           /* 0: memory that no add has brought */
	uint64_t pages, normal, movable;
};

#define MHP_GROUPS_PLANNED 16U

/* Amounts that the policy goes by: what is there, and what the same call has decided about. */
struct mhp__planned_pages {
	bool counted;                  /* the amounts below are, as they are when needed */
	uint64_t early[MHP_NODES_MAX]; /* whole boot blocks in NORMAL, by node */
	uint64_t movable[MHP_NODES_MAX];
	struct mhp__group groups[MHP_GROUPS_PLANNED]; /* the last ones, each in its place */
	bool together;                 /* several sets of blocks are decided about as one */
};
/* Nothing is planned yet. */
void mhp__planned_none(struct mhp__planned_pages *planned, bool together);

/* A block that is to come online. */
struct mhp__candidate {
	uint64_t start_pfn, nr_pages;  /* what can be used of it */
	unsigned node;
	bool boot;
	uint32_t block;                /* its group: that of the add that brought it */
	struct mhp__group coming;      /* its group if a plan will add it; else generation 0 */
};

/* Resolve zone (a kind, or MHP_ZONE_DEFAULT) for a candidate, and count it as planned. Return: 0,
 * MHP_EINVAL, MHP_EPERM. Cost: once a call the number of ranges, and once a group its blocks. */
MHP_MUST_CHECK int mhp__policy_zone(struct mhp *m, unsigned zone,
				    const struct mhp__candidate *candidate,
				    struct mhp__planned_pages *planned, uint8_t *ret_zone);

#endif
