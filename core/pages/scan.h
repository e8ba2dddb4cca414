/* SPDX-License-Identifier: MIT */
/*
 * scan.h - reading an arena: what is taken, what is free. Nothing here changes it.
 *
 * The caller holds the arena's lock, and it is online. Frames count from the arena's start.
 */
#ifndef MHP_CORE_SCAN_H
#define MHP_CORE_SCAN_H

#include "state/instance.h"

/* Is this frame taken? Frames below nr_unmanaged are. */
bool mhp__arena_taken(const struct mhp *m, const struct mhp__arena *arena, uint64_t pfn);
/* The first taken frame at or after `frame`, not counting those below nr_unmanaged; the arena's
 * number of frames when there is none. *ret_end: all frames up to there are taken; there may be
 * more. */
uint32_t mhp__arena_next_taken(const struct mhp *m, const struct mhp__arena *arena, uint32_t frame,
			       uint32_t *ret_end);
/* How many frames from `frame` on are free, or are not (*ret_free); there may be more of the
 * kind. */
uint32_t mhp__arena_run(const struct mhp *m, const struct mhp__arena *arena, uint32_t frame,
			bool *ret_free);
/* Free frames of one pageblock; and frames of it that are the allocator's. */
unsigned mhp__pageblock_nr_free(const struct mhp *m, const struct mhp__arena *arena,
				unsigned pageblock);
unsigned mhp__pageblock_nr_managed(const struct mhp *m, const struct mhp__arena *arena,
				   unsigned pageblock);

#endif
