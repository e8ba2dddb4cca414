/* SPDX-License-Identifier: MIT */
/*
 * table.c - the table of a region: one entry a page, and the count of mappings that it implies.
 *
 * A run is a maximal sequence of committed pages on consecutive frames of one file: what the
 * kernel keeps as one mapping. A gap between runs is one mapping of reserved addresses. nr_runs
 * counts beginnings of runs and of gaps, and is kept exact by every change. Region mutex held.
 */
#include "table.h"

/* Does page begin a mapping, that is, differ from the one before it? */
static bool
begins(const struct mhp_region *region, uint64_t page)
{
	if (page == 0)
		return true;
	mhp__entry before = region->entry[page - 1], here = region->entry[page];
	if (((before ^ here) & MHP__ENTRY_COMMITTED) != 0)
		return true;
	if ((here & MHP__ENTRY_COMMITTED) == 0)
		return false;
	return mhp__entry_pfn(before) + 1 != mhp__entry_pfn(here) ||
	       !mhp__frames_adjoin(region->pool, mhp__entry_pfn(before));
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
	region->nr_runs -= count_begins(region, page, page + nr + 1);
	for (uint64_t i = page; i < page + nr; i++) {
		region->nr_committed -= (region->entry[i] & MHP__ENTRY_COMMITTED) != 0;
		region->nr_committed += (entry & MHP__ENTRY_COMMITTED) != 0;
		region->entry[i] = entry;
		if (entry != 0)
			entry++; /* the pfn is in the low bits */
	}
	region->nr_runs += count_begins(region, page, page + nr + 1);
	if (entry != 0 && page + nr > region->top)
		region->top = page + nr;
}

uint64_t
mhp__table_span(const struct mhp_region *region, uint64_t page, uint64_t max)
{
	uint64_t nr = 1;
	while (nr < max && page + nr < region->nr_pages &&
	       ((region->entry[page] ^ region->entry[page + nr]) & MHP__ENTRY_COMMITTED) == 0)
		nr++;
	return nr;
}

uint64_t
mhp__table_run(const struct mhp_region *region, uint64_t page, uint64_t max)
{
	uint64_t nr = 1;
	while (nr < max && page + nr < region->nr_pages && !begins(region, page + nr))
		nr++;
	return nr;
}
