/* SPDX-License-Identifier: MIT */
/*
 * table.h - the entry of one page of a region: which frame is behind it, and its condition.
 *
 * bits 0-35   pfn
 * bits 36-39  order of the page of the pool that the frame is part of
 * bit  40     committed
 * bit  41     isolated: the engine holds it still (on the head of the page)
 * bit  42     moved: the engine may not have handed the target frame over yet (on the head)
 * bits 44-63  epoch: number of the last fork before the frame came here
 *
 * All-zero is "not committed". The frames of a page of order k are at k consecutive entries, the
 * head at the entry whose pfn is a multiple of 1 << k.
 */
#ifndef MHP_LINUX_TABLE_H
#define MHP_LINUX_TABLE_H

#include "pool.h"

#define MHP__ENTRY_PFN ((UINT64_C(1) << 36) - 1)
#define MHP__ENTRY_ORDER_SHIFT 36U
#define MHP__ENTRY_COMMITTED (UINT64_C(1) << 40)
#define MHP__ENTRY_ISOLATED (UINT64_C(1) << 41)
#define MHP__ENTRY_MOVED (UINT64_C(1) << 42)
#define MHP__EPOCH_MAX ((UINT32_C(1) << 20) - 1)

static inline uint64_t
mhp__entry_pfn(mhp__entry entry)
{
	return entry & MHP__ENTRY_PFN;
}

static inline unsigned
mhp__entry_order(mhp__entry entry)
{
	return (unsigned)(entry >> MHP__ENTRY_ORDER_SHIFT & 0xf);
}

static inline uint32_t
mhp__entry_epoch(mhp__entry entry)
{
	return (uint32_t)(entry >> MHP__ENTRY_EPOCH_SHIFT);
}

/* When the numbers are used up, pages stay older than any child: kept too long, never too short. */
static inline mhp__entry
mhp__entry_make(uint64_t pfn, unsigned order, uint32_t epoch)
{
	if (epoch >= MHP__EPOCH_MAX)
		epoch = MHP__EPOCH_MAX - 1;
	return pfn | (uint64_t)order << MHP__ENTRY_ORDER_SHIFT | MHP__ENTRY_COMMITTED |
	       (uint64_t)epoch << MHP__ENTRY_EPOCH_SHIFT;
}

/* Frames between the head of the page and the frame of this entry. */
static inline uint64_t
mhp__entry_offset(mhp__entry entry)
{
	return mhp__entry_pfn(entry) & ((UINT64_C(1) << mhp__entry_order(entry)) - 1);
}

static inline uintptr_t
mhp__page_address(const struct mhp_region *region, uint64_t page)
{
	return region->base + (page << MHP__PAGE_SHIFT);
}

/* Set entries [page, page + nr) to consecutive frames, or to "not committed" (entry 0); counts. */
void mhp__table_set(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry entry);
/* How many pages from page on are committed (or not), up to max, as one kind. */
uint64_t mhp__table_span(const struct mhp_region *region, uint64_t page, uint64_t max);
/* How many pages from page on, which is committed, lie on consecutive frames, up to max. */
uint64_t mhp__table_run(const struct mhp_region *region, uint64_t page, uint64_t max);

#endif
