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
#include "run.h"

/* The end of a window of a region: of its pages. */
uint64_t mhp__window_end(const struct mhp_region *region, uint64_t window);
/* Count a move: nr pages, of which some had to be copied, and for how long somebody waited. */
void mhp__settle_count(struct mhp_pool *pool, uint64_t nr, uint64_t copied, uint64_t stall_ns);

/*
 * Is the memory of these pages as we made it, and nobody's to write to at any time? MHP_EBUSY and a
 * sentence when it is not. In the companion.
 */
MHP_MUST_CHECK int mhp__window_plain(struct mhp_pool *pool, const struct mhp_region *region,
				     uint64_t page, uint64_t nr, struct mhp_text *reterr);

/*
 * How many pages from this one on, which is on a device and at most nr, the kernel maps there; or,
 * not there, maps something else or nothing. So may be the program's own doing where somebody else
 * maps the region. In the companion.
 */
uint64_t mhp__window_there(const struct mhp_region *region, uint64_t page, uint64_t nr,
			   bool *ret_there);

/* May all of a window be one huge page? Tiering sees of such only whether it is used. */
bool mhp__window_huge(const struct mhp_pool *pool, const struct mhp_region *region, uint64_t page);

/* ---- settle.c: to a device ---- */

/* Have what is in window of a region, and may go to its device, go there. */
void mhp__settle_window(struct mhp_pool *pool, struct mhp_region *region, uint64_t window);

/* ---- unsettle.c: back ---- */

/* Have what of a window is on a device come back. MHP_EBUSY and a sentence, or MHP_ENOMEM. */
MHP_MUST_CHECK int mhp__unsettle_window(struct mhp_pool *pool, struct mhp_region *region,
					uint64_t window, struct mhp_text *reterr);
/* The same of pages [page, end) of a window. */
MHP_MUST_CHECK int mhp__unsettle_part(struct mhp_pool *pool, struct mhp_region *region,
				      uint64_t page, uint64_t end, struct mhp_text *reterr);
/* Fill the hole that stands for pages which are noted as settled; part of it may be full already.
 * On an error the device is mapped there again; in_use: not so where somebody may have written to
 * that part, what the device has is old then, and so this goes on until there is memory. */
MHP_MUST_CHECK int mhp__unsettle_fill(struct mhp_pool *pool, const struct mhp_region *region,
				      uint64_t page, uint64_t nr, bool in_use);

/* ---- settler.c ---- */

/* Everything comes back: before a fork. Takes the region mutex. arg is the pool. */
int mhp__unsettle_all(void *arg);
/* Start the settler, which looks again and again for what may go. arg is the pool. */
int mhp__settler_start(void *arg);
/* In a companion that comes after the one in which it ran. */
MHP_MUST_CHECK int mhp__settler_restart(struct mhp_pool *pool);

#endif
