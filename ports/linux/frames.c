/* SPDX-License-Identifier: MIT */
/*
 * frames.c - taking frames for a region, cutting pages, waiting for pages that are being moved.
 *
 * Contiguous frames first: every discontinuity costs a mapping of the kernel's. While the engine
 * holds a page (isolated), or has not yet handed the target of a move over, the page is neither
 * freed nor cut: everything that does either settles its range first.
 */
#include "frames.h"

static struct mhp_page_req
request(const struct mhp_region *region, uint64_t page, unsigned order)
{
	return (struct mhp_page_req){
		.cookie = mhp__page_address(region, page),
		.owner = region->pool->owner,
		.order = (uint8_t)order,
		.node = MHP_NODE_ANY,
	};
}

/* Many huge pages in one piece; each gets its own cookie. */
static bool
take_long(struct mhp_region *region, uint64_t page, uint64_t nr, uint64_t *ret_pfn)
{
	struct mhp *m = region->pool->m;
	uint64_t huge = UINT64_C(1) << MHP__HUGE_ORDER;
	if (mhp_pages_alloc_contig(m, request(region, page, MHP__HUGE_ORDER), nr, ret_pfn) != 0)
		return false;
	for (uint64_t i = huge; i < nr; i += huge)
		(void)!mhp_page_set_cookie(m, *ret_pfn + i, mhp__page_address(region, page + i));
	return true;
}

bool
mhp__frames_take(struct mhp_region *region, uint64_t page, uint64_t nr, uint64_t *ret_pfn,
		 uint64_t *ret_nr, unsigned *ret_order)
{
	uint64_t huge = UINT64_C(1) << MHP__HUGE_ORDER;
	unsigned lowest = region->pool->granule == MHP__PAGE_BYTES ? 0 : MHP__HUGE_ORDER;
	unsigned order = MHP__HUGE_ORDER;

	*ret_order = order;
	*ret_nr = nr & ~(huge - 1);
	if (page % huge == 0 && nr >= 2 * huge && take_long(region, page, *ret_nr, ret_pfn))
		return true;
	while (order > 0 && (page % (UINT64_C(1) << order) != 0 || nr < UINT64_C(1) << order))
		order--;
	for (;; order--) {
		if (mhp_page_alloc(region->pool->m, request(region, page, order), ret_pfn) == 0) {
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
	struct mhp *m = region->pool->m;
	mhp__entry entry = region->entry[page];
	uint64_t first = page - mhp__entry_offset(entry);
	uint64_t pfn = mhp__entry_pfn(entry) - mhp__entry_offset(entry);
	unsigned order = mhp__entry_order(entry);

	if (order == 0 || mhp_page_split(m, pfn) != 0)
		return;
	for (uint64_t i = 0; i < UINT64_C(1) << order; i++) {
		region->entry[first + i] &= ~(UINT64_C(0xf) << MHP__ENTRY_ORDER_SHIFT);
		if (i != 0)
			(void)!mhp_page_set_cookie(m, pfn + i,
						   mhp__page_address(region, first + i));
	}
}

/* Has the engine handed the page over? */
static bool
handed_over(struct mhp_region *region, uint64_t head)
{
	struct mhp_frame frame =
		mhp_frame_peek(region->pool->m, mhp__entry_pfn(region->entry[head]));
	return frame.state == MHP_FRAME_USED && frame.owner == region->pool->owner &&
	       frame.cookie == mhp__page_address(region, head);
}

/* Is it part of a run that is not through, so that it may have to go back? */
static bool
may_go_back(const struct mhp_pool *pool, mhp__entry entry)
{
	uint64_t pfn = mhp__entry_pfn(entry);
	return pool->in_run && pfn >= pool->run_start && pfn < pool->run_end;
}

/* True: nothing of the range is on its way. False: waited, look again. */
static bool
look(struct mhp_region *region, uint64_t page, uint64_t end)
{
	struct mhp_pool *pool = region->pool;
	while (page < end) {
		mhp__entry entry = region->entry[page];
		if ((entry & MHP__ENTRY_COMMITTED) == 0) {
			page++;
			continue;
		}
		uint64_t head = page - mhp__entry_offset(entry);
		mhp__entry *first = &region->entry[head];
		bool moved = (*first & MHP__ENTRY_MOVED) != 0;
		if ((*first & MHP__ENTRY_ISOLATED) != 0 || (moved && may_go_back(pool, *first))) {
			pthread_cond_wait(&pool->settled, &pool->mutex);
			return false;
		}
		if (moved && !handed_over(region, head)) {
			pthread_mutex_unlock(&pool->mutex);
			mhp__linux_ops.pause(pool, 20000);
			pthread_mutex_lock(&pool->mutex);
			return false;
		}
		*first &= ~MHP__ENTRY_MOVED;
		page = head + (UINT64_C(1) << mhp__entry_order(entry));
	}
	return true;
}

void
mhp__frames_settle(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	while (!look(region, page, page + nr))
		; /* bound: the engine holds a page for one batch of moves */
}
