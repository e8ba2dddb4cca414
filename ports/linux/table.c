/* SPDX-License-Identifier: MIT */
/*
 * table.c - the table of a region, and the count of mappings that it implies.
 *
 * The kernel keeps one mapping for each stretch of reserved addresses, for each stretch of ordinary
 * memory, and for each run of settled pages on consecutive frames of one file. nr_runs counts where
 * they begin, and is kept exact by every change. The memory of the table is read-only until a page
 * near it is committed, so that a large region costs the process neither memory nor limits.
 */
#include <sys/mman.h>

#include "table.h"

/* Entries that become writable at once. */
#define GROW_ENTRIES (UINT64_C(1) << 16)

int
mhp__table_grow(struct mhp_region *region, uint64_t end)
{
	if (end <= region->nr_writable)
		return 0;
	end = (end + GROW_ENTRIES - 1) & ~(GROW_ENTRIES - 1);
	if (end > region->nr_pages + mhp__pages_behind())
		end = region->nr_pages + mhp__pages_behind();
	if (mprotect(region->entry, end * sizeof(mhp__entry), PROT_READ | PROT_WRITE) != 0)
		return MHP_ENOMEM;
	region->nr_writable = end;
	return 0;
}

/* Does page begin a mapping, that is, differ from the one before it? */
static bool
begins(const struct mhp_region *region, uint64_t page)
{
	if (page == 0)
		return true;
	mhp__entry before = region->entry[page - 1], here = region->entry[page];
	if (((before ^ here) & (MHP__ENTRY_OPEN | MHP__ENTRY_SETTLED)) != 0)
		return true;
	return (here & MHP__ENTRY_SETTLED) != 0 &&
	       (mhp__entry_pfn(before) + 1 != mhp__entry_pfn(here) ||
		!mhp__frames_adjoin(region->space, mhp__entry_pfn(before)));
}

static uint64_t
count_begins(const struct mhp_region *region, uint64_t page, uint64_t end)
{
	uint64_t count = 0;
	for (; page < end && page < region->nr_pages; page++)
		count += begins(region, page);
	return count;
}

void
mhp__table_set(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry entry)
{
	MHP__ASSERT((entry & (MHP__ENTRY_OPEN | MHP__ENTRY_SETTLED)) == 0);
	for (uint64_t i = page; i < page + nr; i++) {
		mhp__entry old = region->entry[i];
		MHP__ASSERT((old & MHP__ENTRY_SETTLED) == 0);
		region->nr_committed -= (old & MHP__ENTRY_COMMITTED) != 0;
		region->nr_committed += (entry & MHP__ENTRY_COMMITTED) != 0;
		region->entry[i] = entry | (old & MHP__ENTRY_OPEN);
		if (entry != 0)
			entry++; /* the pfn is in the low bits */
	}
	if (entry != 0 && page + nr > region->top)
		region->top = page + nr;
}

void
mhp__table_mark(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry bit, bool on)
{
	region->nr_runs -= count_begins(region, page, page + nr + 1);
	for (uint64_t i = page; i < page + nr; i++) {
		if (bit == MHP__ENTRY_SETTLED) {
			region->nr_settled -= (region->entry[i] & bit) != 0;
			region->nr_settled += on;
		}
		region->entry[i] = on ? region->entry[i] | bit : region->entry[i] & ~bit;
	}
	region->nr_runs += count_begins(region, page, page + nr + 1);
}

void
mhp__table_recount(struct mhp_region *region)
{
	if (region->over)
		return;
	region->nr_committed = region->nr_settled = 0;
	for (uint64_t page = 0; page < region->top; page++) {
		region->nr_committed += (region->entry[page] & MHP__ENTRY_COMMITTED) != 0;
		region->nr_settled += (region->entry[page] & MHP__ENTRY_SETTLED) != 0;
	}
	region->nr_runs = count_begins(region, 0, region->top + 1);
}

uint64_t
mhp__table_span(const struct mhp_region *region, uint64_t page, uint64_t max, mhp__entry bit)
{
	uint64_t nr = 1;
	while (nr < max && page + nr < region->nr_pages &&
	       ((region->entry[page] ^ region->entry[page + nr]) & bit) == 0)
		nr++;
	return nr;
}

uint64_t
mhp__table_run(const struct mhp_region *region, uint64_t page, uint64_t max)
{
	uint64_t nr = 1, pfn = mhp__entry_pfn(region->entry[page]);
	while (nr < max && page + nr < region->nr_pages &&
	       (region->entry[page + nr] & MHP__ENTRY_COMMITTED) != 0 &&
	       mhp__entry_pfn(region->entry[page + nr]) == pfn + nr)
		nr++;
	return nr;
}
