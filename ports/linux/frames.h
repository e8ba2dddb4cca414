/* SPDX-License-Identifier: MIT */
/*
 * frames.h - pages of the pool as regions use them. Region mutex held.
 *
 * The cookie of a page is the address of its first byte: it leads from a pfn to the table entry,
 * and the entry says whether the page still has that frame.
 */
#ifndef MHP_LINUX_FRAMES_H
#define MHP_LINUX_FRAMES_H

#include "table.h"

/* Frames of a node for up to nr pages from page on, as long a run as can be had. False: none. */
bool mhp__frames_take(struct mhp_region *region, uint64_t page, uint64_t nr, unsigned node,
		      uint64_t *ret_pfn, uint64_t *ret_nr, unsigned *ret_order);
/* Cut the page of the pool that reaches over the edge in front of page, if one does, into single
 * frames. */
void mhp__frames_split(struct mhp_region *region, uint64_t page);
/* Give back the frames of what is committed of [page, page + nr): whole pages, none isolated. */
void mhp__frames_give(struct mhp_region *region, uint64_t page, uint64_t nr);
/* Does the engine hold any page of [page, page + nr)? */
bool mhp__frames_held(const struct mhp_region *region, uint64_t page, uint64_t nr);

#endif
