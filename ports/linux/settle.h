/* SPDX-License-Identifier: MIT */
/*
 * settle.h - pages that bear the number of a device's frame go there, and come back.
 *
 * Everything here is done by windows of 2 MiB, in the companion. The region mutex is held before
 * and after, but not while a window is on its way: hooks may take from other windows meanwhile.
 */
#ifndef MHP_LINUX_SETTLE_H
#define MHP_LINUX_SETTLE_H

#include "pool.h"

/* Have what is in window of a region, and may go to its device, go there. */
void mhp__settle_window(struct mhp_pool *pool, struct mhp_region *region, uint64_t window);
/* Have what of it is on a device come back. MHP_EBUSY and a sentence, or MHP_ENOMEM. */
MHP_MUST_CHECK int mhp__unsettle_window(struct mhp_pool *pool, struct mhp_region *region,
					uint64_t window, struct mhp_text *reterr);
/* The same of pages [page, end) of a window. */
MHP_MUST_CHECK int mhp__unsettle_part(struct mhp_pool *pool, struct mhp_region *region,
				      uint64_t page, uint64_t end, struct mhp_text *reterr);
/* Everything comes back: before a fork. Takes the region mutex. arg is the pool. */
int mhp__unsettle_all(void *arg);
/* Bring to an end what a companion that was killed left half done. In the next one. */
void mhp__settle_finish(struct mhp_pool *pool);
/* Start the settler, which looks again and again for what may go. arg is the pool. */
int mhp__settler_start(void *arg);
/* In a companion that comes after the one in which it ran. */
MHP_MUST_CHECK int mhp__settler_restart(struct mhp_pool *pool);

#endif
