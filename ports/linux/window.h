/* SPDX-License-Identifier: MIT */
/*
 * window.h - windows of 2 MiB go from one node of the pool to another, while they are in use.
 *
 * The steps of which tiering and mhp_region_move() are made. In the companion where devices are
 * involved, with the region mutex held; the engine's hotplug lock is not needed, as only a page's
 * number changes.
 */
#ifndef MHP_LINUX_WINDOW_H
#define MHP_LINUX_WINDOW_H

#include "pool.h"

/*
 * Have what is committed of pages [page, page + nr) of a region, which lie in one window, go to
 * node, all of it or nothing. Pages that are there already stay. *moved is added to. As
 * mhp_region_move() returns.
 */
MHP_MUST_CHECK int mhp__window_move(struct mhp_pool *pool, struct mhp_region *region, uint64_t page,
				    uint64_t nr, unsigned node, uint64_t *moved,
				    struct mhp_text *reterr);

#endif
