/* SPDX-License-Identifier: MIT */
/*
 * policy.h - which zone a range goes to; hotplug lock held. Pure but for reading the instance.
 */
#ifndef MHP_CORE_POLICY_H
#define MHP_CORE_POLICY_H

#include "state/instance.h"

/* Pages of ranges that are to come online in the same call, by node. */
struct mhp__planned_pages {
	uint64_t normal[MHP_NODES_MAX];
	uint64_t movable[MHP_NODES_MAX];
	bool together;             /* other calls than this one are among them */
};
/* Nothing is planned. Of the nodes that there are: most machines have few. */
void mhp__planned_none(const struct mhp *m, struct mhp__planned_pages *planned, bool together);
/* Resolve zone (a kind, or MHP_ZONE_DEFAULT) for pages that come online. `planned` is added to what
 * is present: pages of ranges that are to come online in the same call. Return: 0, MHP_EINVAL,
 * MHP_EPERM. */
MHP_MUST_CHECK int mhp__policy_zone(struct mhp *m, unsigned zone, unsigned node, uint64_t start_pfn,
				    uint64_t nr_pages, const struct mhp__planned_pages *planned,
				    uint8_t *ret_zone);

#endif
