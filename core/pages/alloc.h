/* SPDX-License-Identifier: MIT */
/*
 * alloc.h - the allocator, as the engine sees it; memplug/page.h has the public calls.
 */
#ifndef MHP_CORE_ALLOC_H
#define MHP_CORE_ALLOC_H

#include "state/instance.h"

/* Free an allocated page whose descriptor is still in place. */
void mhp__page_release(struct mhp *m, uint64_t pfn, unsigned order);
/* Nodes to take pages from, in the order of their distance from the first. */
struct mhp__nodes {
	uint64_t set;                  /* a bit each; 0: all */
	unsigned first;
};

static inline bool
mhp__nodes_have(struct mhp__nodes nodes, unsigned node)
{
	MHP_ASSERT_DEBUG(node < MHP_NODES_MAX);
	return nodes.set == 0 || (nodes.set >> node & 1) != 0;
}

/* Take up to nr_max pages of an order, from one arena, wherever movable pages may lie. It bypasses
 * the caches. Returns how many; their descriptors are all-zero. */
unsigned mhp__pages_take(struct mhp *m, struct mhp__nodes nodes, unsigned order, unsigned nr_max,
			 uint64_t *ret_pfns);
/* The same for one page, out of the caches, too. False: there is none. */
bool mhp__pages_take_last(struct mhp *m, struct mhp__nodes nodes, unsigned order,
			  uint64_t *ret_pfn);
/* Is a request in range, its order up to order_max? Return: 0, or what mhp_page_alloc() returns. */
int mhp__page_req_check(const struct mhp *m, struct mhp_page_req req, unsigned order_max);
/* Let a request for any node name the node of this CPU. Once a call, as the thread may move on. */
struct mhp_page_req mhp__page_req_home(const struct mhp *m, struct mhp_page_req req);
/* The next zone that may serve a request that names a node, or NULL; *at is 0 at first. */
struct mhp__zone *mhp__page_req_zone(struct mhp *m, struct mhp_page_req req, unsigned *at);
/* Empty the caches of all zones that may serve it. */
void mhp__page_req_drain(struct mhp *m, struct mhp_page_req req);
/* Is pfn the first frame of a caller's page? Return: 0, or what mhp_page_free() would. */
int mhp__page_order(const struct mhp *m, uint64_t pfn, unsigned *ret_order);

#endif
