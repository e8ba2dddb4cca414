/* SPDX-License-Identifier: MIT */
/*
 * runs.h - runs of like blocks: maximal ranges of blocks with equal attributes.
 *
 * m->runs has a bit for each block that differs from the one before it (INV 3), so that listing,
 * overlap checks and the span of a zone cost as many steps as there are ranges, not blocks. The set
 * is derived: whoever changes a block calls mhp__runs_update() for it. Hotplug lock.
 */
#ifndef MHP_CORE_RUNS_H
#define MHP_CORE_RUNS_H

#include "state/instance.h"

/* Like blocks: same state, zone (when it means something), node, placement, backing, boot flag. */
bool mhp__blocks_alike(const struct mhp *m, uint32_t a, uint32_t b);
/* The attributes of [first, first + count) may have changed. O(count). */
void mhp__runs_update(struct mhp *m, struct mhp_blocks blocks);
/* First block after `block` that starts a run, or nr_blocks. */
uint32_t mhp__run_end(const struct mhp *m, uint32_t block);
/* First block of the run that `block` is in. */
uint32_t mhp__run_start(const struct mhp *m, uint32_t block);
/* First present block in [first, end), or end. */
uint32_t mhp__next_present(const struct mhp *m, uint32_t first, uint32_t end);
/* For a loop over present blocks, for (uint32_t b = 0; mhp__seek_present(m, &b); b++): go to the
 * first one at or after *block. False: there is none. */
static inline bool
mhp__seek_present(const struct mhp *m, uint32_t *block)
{
	*block = mhp__next_present(m, *block, m->geo.nr_blocks);
	return *block < m->geo.nr_blocks;
}

#endif
