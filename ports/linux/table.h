/* SPDX-License-Identifier: MIT */
/*
 * table.h - a region: its addresses, and an entry for each page with the page's label and location.
 *
 * The label is the page's number in the pool (pfn): its share of the capacity, its accounting, its
 * description. The location is either ordinary (anonymous memory at the page's own address, the
 * default) or settled (the address maps the device's frame of that number).
 *
 * bits 0-35   pfn
 * bits 36-39  order of the page of the pool that the frame is part of
 * bit  40     committed; the bits above mean nothing without it
 * bit  41     isolated: the engine holds it (on the head of the page)
 * bit  42     settled
 * bit  43     open: the address is readable and writable; stays when the page is decommitted
 *
 * The frames of a page of order k are at 1 << k consecutive entries, the head at the entry whose
 * pfn is a multiple of 1 << k, and all at one location. The region mutex of the pool guards all of
 * it. Knows no pool.
 */
#ifndef MHP_LINUX_TABLE_H
#define MHP_LINUX_TABLE_H

#include "space.h"
#include "tier.h"

typedef uint64_t mhp__entry;

#define MHP__ENTRY_PFN ((UINT64_C(1) << 36) - 1)
#define MHP__ENTRY_ORDER_SHIFT 36U
#define MHP__ENTRY_COMMITTED (UINT64_C(1) << 40)
#define MHP__ENTRY_ISOLATED (UINT64_C(1) << 41)
#define MHP__ENTRY_SETTLED (UINT64_C(1) << 42)
#define MHP__ENTRY_OPEN (UINT64_C(1) << 43)

struct mhp_region {
	/* const while it lives */
	struct mhp_pool *pool;
	struct mhp *m;
	const struct mhp__space *space;
	const struct mhp_spread *spread; /* the region's own, or its pool's */
	struct mhp_spread own_spread;
	uint16_t owner;
	uint64_t granule;              /* bytes: what a page of the pool has here at least */
	uintptr_t base;
	uint64_t nr_pages;             /* frames, as everywhere here */
	mhp__entry *entry;             /* one for each, and mhp__pages_behind() */
	char name[32];
	bool live;
	bool over;                     /* its memory is mapped by others: labels only */
	enum mhp_huge huge;            /* what the kernel was told of huge pages... */
	uint64_t huge_page;            /* ...from this page on; before, nothing */

	struct mhp__heat *heat;        /* of windows and pieces; NULL: tiering was never on */
	uint64_t nr_writable;          /* entries from here on are read-only memory: all-zero */
	uint64_t top;                  /* no page from here on was ever committed */
	uint64_t nr_committed;         /* pages */
	uint64_t nr_settled;           /* pages of them */
	uint64_t nr_runs;              /* pieces that the kernel cannot merge: mappings */
	_Atomic uint32_t nr_holds;     /* none of its windows begins to go to a device (hold.c) */
	uint64_t *windows;             /* of one over all addresses: a bit for each window in which
	                                * pages were committed, then one for each word of these */
};

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

static inline mhp__entry
mhp__entry_make(uint64_t pfn, unsigned order)
{
	return pfn | (uint64_t)order << MHP__ENTRY_ORDER_SHIFT | MHP__ENTRY_COMMITTED;
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

/* The advice on huge pages that the kernel was given for this page. */
static inline enum mhp_huge
mhp__region_huge(const struct mhp_region *region, uint64_t page)
{
	return page >= region->huge_page ? region->huge : MHP_HUGE_AUTO;
}

/* Behind a region there is a page of the kernel, which nobody uses. */
static inline uint64_t
mhp__pages_behind(void)
{
	return mhp__kernel_page() >> MHP__PAGE_SHIFT;
}

/* How many windows it has. */
static inline uint64_t
mhp__table_windows(const struct mhp_region *region)
{
	return (region->nr_pages + MHP__HUGE_PAGES - 1) / MHP__HUGE_PAGES;
}

/* The size of the bits for windows. */
static inline uint64_t
mhp__table_window_bytes(const struct mhp_region *region)
{
	return mhp__table_windows(region) / 8 + mhp__table_windows(region) / 512;
}

/* The size of its table. */
static inline uint64_t
mhp__table_bytes(const struct mhp_region *region)
{
	return (region->nr_pages + mhp__pages_behind()) * sizeof(mhp__entry);
}

/* The heat of a window; after it that of its pieces. */
static inline struct mhp__heat *
mhp__region_heat(const struct mhp_region *region, uint64_t window)
{
	return &region->heat[window * (1 + MHP__HEAT_PIECES)];
}

/* The size of its heat. */
static inline uint64_t
mhp__region_heat_bytes(const struct mhp_region *region)
{
	return (region->nr_pages / MHP__HUGE_PAGES + 1) * (1 + MHP__HEAT_PIECES) *
	       sizeof(struct mhp__heat);
}

/* Make entries below end writable. MHP_ENOMEM. */
MHP_MUST_CHECK int mhp__table_grow(struct mhp_region *region, uint64_t end);
/* Set entries [page, page + nr) to consecutive frames, or to "not committed" (entry 0). Open stays
 * as it is. */
void mhp__table_set(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry entry);
/* Set or clear one of the bits settled and open of [page, page + nr). */
void mhp__table_mark(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry bit,
		     bool on);
/* Count everything that is counted from the entries; but not in a table of all addresses, which has
 * more pages than there is memory: it may be wrong by the page that was being changed. */
void mhp__table_recount(struct mhp_region *region);
/* How many entries from page on, up to max, have this bit as the first of them has it. */
uint64_t mhp__table_span(const struct mhp_region *region, uint64_t page, uint64_t max,
			 mhp__entry bit);
/* The first window at or after this one that may have pages; from mhp__table_windows(region) on:
 * there is none. */
uint64_t mhp__table_next_window(const struct mhp_region *region, uint64_t window);
/* The next stretch of settled pages at or after *page, as far as it is below end. False: none. */
bool mhp__table_next_settled(const struct mhp_region *region, uint64_t *page, uint64_t end,
			     uint64_t *ret_nr);
/* How many pages from page on, which is committed, have consecutive labels, up to max. */
uint64_t mhp__table_run(const struct mhp_region *region, uint64_t page, uint64_t max);

#endif
