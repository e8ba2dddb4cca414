/* SPDX-License-Identifier: MIT */
/*
 * frames.h - pages of the pool as regions use them. Region mutex held.
 *
 * The cookie of a page is the address of its first byte, so that who has a pfn finds the table
 * entry, and the entry says whether that is still so.
 */
#ifndef MHP_LINUX_FRAMES_H
#define MHP_LINUX_FRAMES_H

#include "table.h"

/* Frames for up to nr pages from page on, as long a run as can be had. False: none. */
bool mhp__frames_take(struct mhp_region *region, uint64_t page, uint64_t nr, uint64_t *ret_pfn,
		      uint64_t *ret_nr, unsigned *ret_order);
/* Cut the page of the pool that entry page is in into single frames. */
void mhp__frames_split(struct mhp_region *region, uint64_t page);
/* Wait until no page of [page, page + nr) is on its way; the mutex is let go meanwhile. */
void mhp__frames_settle(struct mhp_region *region, uint64_t page, uint64_t nr);

#endif
