/* SPDX-License-Identifier: MIT */
/*
 * nodes.h - `ram` of a NUMA node of the machine: the kernel is told where pages belong.
 *
 * Region mutex held. Nothing here is called while no block of the pool is bound to a node.
 */
#ifndef MHP_LINUX_NODES_H
#define MHP_LINUX_NODES_H

#include "table.h"

/* The node that the memory of a page with this number is bound to; -1: none. */
int mhp__node_of(const struct mhp__space *space, uint64_t pfn);
/* Bind fresh pages to the nodes of their labels. Errno, or 0. */
MHP_MUST_CHECK int mhp__nodes_bind(const struct mhp_region *region, uint64_t page, uint64_t nr);
/* Have nr pages go to the node; EIO: the kernel cannot move one, which is pinned. Errno, or 0. */
MHP_MUST_CHECK int mhp__nodes_move(const struct mhp_region *region, uint64_t page, uint64_t nr,
				   int node);

#endif
