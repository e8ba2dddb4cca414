/* SPDX-License-Identifier: MIT */
/*
 * space.h - blocks of the physical address space: map them, give them back. Hotplug mutex held.
 *
 * Between pool.c, which fills in slots for an add, and space.c, which maps what they say. Neither
 * knows what the engine does with a block.
 */
#ifndef MHP_LINUX_SPACE_H
#define MHP_LINUX_SPACE_H

#include "pool.h"

/* Map the blocks as their slots say, one mmap for each piece of a file; all or nothing. */
MHP_MUST_CHECK int mhp__space_map(struct mhp_pool *pool, uint32_t first, uint32_t count,
				  struct mhp_text *reterr);
/* Unmap them, give their memory back, forget their slots. */
void mhp__space_unmap(struct mhp_pool *pool, uint32_t first, uint32_t count);

#endif
