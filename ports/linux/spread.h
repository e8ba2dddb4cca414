/* SPDX-License-Identifier: MIT */
/*
 * spread.h - which nodes a region takes fresh pages from. Region mutex held.
 */
#ifndef MHP_LINUX_SPREAD_H
#define MHP_LINUX_SPREAD_H

#include "table.h"

/* Nodes with memory in use, the best first. */
struct mhp__candidates {
	unsigned nr;
	uint8_t node[MHP_POOL_NODES];
};

/* Where pages from page on come from. Returns how many of nr that is said of: they lie in one
 * window where windows take turns. */
uint64_t mhp__spread_nodes(const struct mhp_region *region, uint64_t page, uint64_t nr,
			   struct mhp__candidates *ret);

#endif
