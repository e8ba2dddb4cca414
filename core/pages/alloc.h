/* SPDX-License-Identifier: MIT */
/*
 * alloc.h - the allocator, as the engine sees it; memplug/page.h has the public calls.
 */
#ifndef MHP_CORE_ALLOC_H
#define MHP_CORE_ALLOC_H

#include "state/instance.h"

/* Free an allocated page, its descriptor still in place. */
void mhp__page_release(struct mhp *m, uint64_t pfn, unsigned order);
/* Nodes to take pages from: the nearest to one of them first. */
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

/* Take up to nr_max pages of order from one arena, anywhere that movable pages may lie; bypasses
 * the caches. Their descriptors are all-zero. 0: there are none. */
unsigned mhp__pages_take(struct mhp *m, struct mhp__nodes nodes, unsigned order, unsigned nr_max,
			 uint64_t *ret_pfns);
/* The same for one page that must not be missed: out of the caches too. */
bool mhp__pages_take_last(struct mhp *m, struct mhp__nodes nodes, unsigned order,
			  uint64_t *ret_pfn);
/* All of a request but its order is in range. */
int mhp__page_req_check(const struct mhp *m, struct mhp_page_req req, unsigned order_max);
/* "Any node" as the node of the CPU that asks: once for a call, as the thread may move on. */
struct mhp_page_req mhp__page_req_home(const struct mhp *m, struct mhp_page_req req);
/* The next zone that may serve a request for a node, or NULL; *at is 0 at first. */
struct mhp__zone *mhp__page_req_zone(struct mhp *m, struct mhp_page_req req, unsigned *at);
/* Empty the caches of those zones. */
void mhp__page_req_drain(struct mhp *m, struct mhp_page_req req);
/* Is pfn the first frame of a caller's page? Return: 0, or what mhp_page_free() would. */
int mhp__page_order(const struct mhp *m, uint64_t pfn, unsigned *ret_order);

#endif
