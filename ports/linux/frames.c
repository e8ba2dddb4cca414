/* SPDX-License-Identifier: MIT */
/*
 * frames.c - taking frames for a region, cutting pages, giving frames back.
 *
 * Large pages first: one label for 2 MiB costs the engine 512 times less than 512 of them, and what
 * lies on a device is then one mapping. A page that the engine holds (isolated) is neither given
 * back nor cut: whoever wants to asks first, and is refused.
 */
#include "frames.h"

static struct mhp_page_req
request(const struct mhp_region *region, uint64_t page, unsigned node, unsigned order)
{
	return (struct mhp_page_req){
		.cookie = mhp__page_address(region, page),
		.owner = region->owner,
		.order = (uint8_t)order,
		.node = (uint8_t)node,
		.flags = MHP_PAGE_THIS_NODE,
	};
}

/* No page of the pool is smaller than what the region is cut in: so a page of the kernel, or what a
 * device maps as a whole, lies on frames in one piece. */
static unsigned
lowest_order(const struct mhp_region *region)
{
	return (unsigned)__builtin_ctzll(region->granule) - MHP__PAGE_SHIFT;
}

/* Many huge pages in one piece; each gets its own cookie. */
static bool
take_long(struct mhp_region *region, uint64_t page, uint64_t nr, unsigned node, uint64_t *ret_pfn)
{
	struct mhp *m = region->m;
	uint64_t huge = MHP__HUGE_PAGES;
	struct mhp_page_req req = request(region, page, node, MHP__HUGE_ORDER);
	if (mhp_pages_alloc_contig(m, req, nr, ret_pfn) != 0)
		return false;
	for (uint64_t i = huge; i < nr; i += huge)
		(void)!mhp_page_set_cookie(m, *ret_pfn + i, mhp__page_address(region, page + i));
	return true;
}

bool
mhp__frames_take(struct mhp_region *region, uint64_t page, uint64_t nr, unsigned node,
		 uint64_t *ret_pfn, uint64_t *ret_nr, unsigned *ret_order)
{
	uint64_t huge = MHP__HUGE_PAGES;
	unsigned lowest = lowest_order(region), order = MHP__HUGE_ORDER;

	*ret_order = order;
	*ret_nr = nr & ~(huge - 1);
	if (page % huge == 0 && nr >= 2 * huge && take_long(region, page, *ret_nr, node, ret_pfn))
		return true;
	while (order > 0 && (page % (UINT64_C(1) << order) != 0 || nr < UINT64_C(1) << order))
		order--;
	for (;; order--) {
		if (mhp_page_alloc(region->m, request(region, page, node, order), ret_pfn) == 0) {
			*ret_nr = UINT64_C(1) << order;
			*ret_order = order;
			return true;
		}
		if (order <= lowest)
			return false;
	}
}

void
mhp__frames_split(struct mhp_region *region, uint64_t page)
{
	struct mhp *m = region->m;
	if (page >= region->nr_pages || (region->entry[page] & MHP__ENTRY_COMMITTED) == 0 ||
	    mhp__entry_offset(region->entry[page]) == 0)
		return;
	mhp__entry entry = region->entry[page];
	uint64_t first = page - mhp__entry_offset(entry);
	uint64_t pfn = mhp__entry_pfn(entry) - mhp__entry_offset(entry);
	unsigned order = mhp__entry_order(entry), part = lowest_order(region);

	if (mhp_frame_peek(m, pfn).order == order) { /* else whoever did so was killed */
		int err = mhp_page_split(m, pfn, part, NULL);
		MHP__ASSERT(err == 0);
	}
	/* The page itself comes last: it tells whether all is done. */
	for (uint64_t left = UINT64_C(1) << order, at = page - first; left > 0; left--) {
		at = (at + 1) & ((UINT64_C(1) << order) - 1);
		if (at != 0 && at % (UINT64_C(1) << part) == 0)
			(void)!mhp_page_set_cookie(m, pfn + at,
						   mhp__page_address(region, first + at));
		region->entry[first + at] &= ~(UINT64_C(0xf) << MHP__ENTRY_ORDER_SHIFT);
		region->entry[first + at] |= (uint64_t)part << MHP__ENTRY_ORDER_SHIFT;
	}
}

void
mhp__frames_give(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	for (uint64_t end = page + nr, run; page < end; page += run) {
		if ((region->entry[page] & MHP__ENTRY_COMMITTED) == 0) {
			run = mhp__table_span(region, page, end - page, MHP__ENTRY_COMMITTED);
			continue;
		}
		run = mhp__table_run(region, page, end - page);
		uint64_t pfn = mhp__entry_pfn(region->entry[page]);
		int err = mhp_pages_free_contig(region->m, pfn, run);
		MHP__ASSERT(err == 0);
	}
}

bool
mhp__frames_held(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	for (uint64_t end = page + nr; page < end;) {
		mhp__entry entry = region->entry[page];
		if ((entry & MHP__ENTRY_COMMITTED) == 0) {
			page++;
			continue;
		}
		uint64_t head = page - mhp__entry_offset(entry);
		if ((region->entry[head] & MHP__ENTRY_ISOLATED) != 0)
			return true;
		page = head + (UINT64_C(1) << mhp__entry_order(entry));
	}
	return false;
}
