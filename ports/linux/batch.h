/* SPDX-License-Identifier: MIT */
/*
 * batch.h - between the files that move a batch: which of its pages have data.
 *
 * A batch is pool->batch, its pieces in the order in which move.c or cow.c named them, which is
 * mostly that of their frames. Region mutex held.
 */
#ifndef MHP_LINUX_BATCH_H
#define MHP_LINUX_BATCH_H

#include "table.h"

typedef void mhp__part_fn(struct mhp_pool *pool, uint64_t src_pfn, uint64_t dst_pfn, uint64_t nr);

/*
 * Find out which pages of the batch were ever touched. again: look once more at those that were
 * not; they are protected now, so that this is the truth.
 */
void mhp__touched_look(struct mhp_pool *pool, bool again);
/* Call fn for each run of pages that were touched (or not), as long as can be; their number. */
uint64_t mhp__touched_each(struct mhp_pool *pool, bool kind, mhp__part_fn *fn);

#endif
