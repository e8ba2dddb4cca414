/* SPDX-License-Identifier: MIT */
/*
 * bulk.c - many pages of one kind in one call: for callers who fill or empty a pool of their own.
 *
 * Pages come from the bitmaps of the arenas and go back to them, many under one lock, and bypass
 * the caches of the CPUs: these are for callers who take one page at a time. Pages that the arenas
 * do not have are allocated one by one, which finds those in caches. Must not know: blocks.
 */
#include "memmap/memmap.h"
#include "pages/alloc.h"
#include "pages/poison.h"
#include "pages/zone.h"

/* Pages under one lock. */
#define BATCH 64U

/* Take up to nr pages from a zone, as far as it goes. */
static unsigned
take(struct mhp *m, struct mhp__zone *zone, struct mhp_page_req req, unsigned nr,
     uint64_t *ret_pfns)
{
	unsigned taken = 0, got;

	MHP_ASSERT_DEBUG(nr != 0);
	do {
		unsigned max = nr - taken < BATCH ? nr - taken : BATCH;
		got = mhp__zone_take(m, zone, req.order, max, NULL, ret_pfns + taken);
		for (unsigned i = taken; i < taken + got; i++) {
			mhp__unpoison(m, ret_pfns[i], UINT64_C(1) << req.order, true);
			mhp__page_begin(mhp__pfn_to_page(m, ret_pfns[i]), req.owner, req.order,
					req.cookie);
		}
		taken += got;
	} while (got != 0 && taken < nr);
	MHP_ASSERT_DEBUG(taken <= nr);
	return taken;
}

int
mhp_pages_alloc(struct mhp *m, struct mhp_page_req req, unsigned nr, uint64_t *ret_pfns)
{
	int err = mhp__page_req_check(m, req, MHP_PAGEBLOCK_ORDER(m));
	struct mhp__zone *zone;
	unsigned taken = 0;

	if (err == 0 && (nr == 0 || nr > INT_MAX))
		err = MHP_EINVAL;
	if (err != 0)
		return err;
	req = mhp__page_req_home(m, req);
	for (unsigned at = 0; taken < nr && (zone = mhp__page_req_zone(m, req, &at)) != NULL;)
		taken += take(m, zone, req, nr - taken, ret_pfns + taken);
	while (taken < nr && mhp_page_alloc(m, req, &ret_pfns[taken]) == 0)
		taken++;
	return taken != 0 ? (int)taken : MHP_ENOMEM;
}

/* Free pages of one order, as many of the first nr as follow each other so. Return: how many, or
 * the error of the first one. */
static int
free_alike(struct mhp *m, const uint64_t *pfns, unsigned nr)
{
	unsigned first_order = 0, order, n = 0;
	int err = 0;

	while (n < nr && n < BATCH) {
		err = mhp__page_order(m, pfns[n], &order);
		if (err != 0 || (n != 0 && order != first_order))
			break;
		first_order = order;
		mhp__poison(m, pfns[n], UINT64_C(1) << order);
		mhp__page_end(mhp__pfn_to_page(m, pfns[n]));
		n++;
	}
	MHP_ASSERT_DEBUG(n <= BATCH);
	MHP_ASSERT_DEBUG((n != 0 || err != 0));
	if (n != 0)
		mhp__zone_give(m, NULL, first_order, n, pfns);
	return n != 0 ? (int)n : err;
}

int
mhp_pages_free(struct mhp *m, const uint64_t *pfns, unsigned nr)
{
	unsigned freed = 0;
	int n = 1;

	if (nr > INT_MAX)
		return MHP_EINVAL;
	while (freed < nr && (n = free_alike(m, pfns + freed, nr - freed)) > 0)
		freed += (unsigned)n;
	return freed != 0 || n > 0 ? (int)freed : n;
}
