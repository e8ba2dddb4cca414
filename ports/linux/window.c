/* SPDX-License-Identifier: MIT */
/*
 * window.c - windows of a region go to a node.
 *
 * A window gets new numbers, on the node, before it gives up its old ones; then it comes back from
 * where it is, changes numbers, and goes to where these are. Everything that could refuse is asked
 * first, so that a window that stays is as it was. Room is taken like any other page of the pool:
 * the engine may meet it, and finds that no entry has it yet.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include <memplug/companion.h>

#include "frames.h"
#include "nodes.h"
#include "settle.h"
#include "window.h"

/* A fork is over after about that long. */
#define FORK_NS UINT64_C(50000)

struct window {
	struct mhp_pool *pool;
	struct mhp_region *region;
	uint64_t page, end;            /* pages of the region */
	unsigned node;
	uint64_t nr;                   /* pages that leave */
};

static bool
leaves(const struct window *w, uint64_t page)
{
	mhp__entry entry = w->region->entry[page];
	return (entry & MHP__ENTRY_COMMITTED) != 0 &&
	       mhp__frame_node(w->region->space, mhp__entry_pfn(entry)) != w->node;
}

/* How many pages from page on leave, or (none) stay. */
static uint64_t
span(const struct window *w, uint64_t page)
{
	uint64_t nr = 1;
	while (page + nr < w->end && leaves(w, page + nr) == leaves(w, page))
		nr++;
	return nr;
}

/* A label on the node for each page that leaves, or for none. */
static int
take_labels(struct window *w, struct mhp_text *reterr)
{
	struct mhp__labels *labels = &w->pool->labels;
	mhp__labels_begin(labels, w->region, w->page / MHP__HUGE_PAGES);
	for (uint64_t page = w->page, nr; page < w->end; page += nr) {
		uint64_t pfn;
		unsigned order;
		nr = span(w, page);
		if (!leaves(w, page))
			continue;
		if (!mhp__frames_take(w->region, page, nr, w->node, &pfn, &nr, &order)) {
			mhp__labels_drop(labels);
			return mhp__say(reterr, MHP_ENOMEM, "node %u has no room for it", w->node);
		}
		mhp__labels_add(labels, page, nr, pfn, order);
		w->nr += nr;
	}
	MHP__ASSERT(w->nr != 0 && w->nr <= w->end - w->page); /* else it need not move */
	return 0;
}

/* Is what is in use plain memory? Addresses that never were have no rights, and do not go. */
static int
view_used(const struct window *w, struct mhp_text *reterr)
{
	int err = 0;
	for (uint64_t page = w->page, nr; page < w->end && err == 0; page += nr) {
		nr = mhp__table_span(w->region, page, w->end - page, MHP__ENTRY_COMMITTED);
		if ((w->region->entry[page] & MHP__ENTRY_COMMITTED) != 0)
			err = mhp__window_plain(w->pool, w->region, page, nr, reterr);
	}
	return err;
}

/* May the window go at all? */
static int
check(const struct window *w, struct mhp_text *reterr)
{
	struct mhp_pool *pool = w->pool;
	uintptr_t start = mhp__page_address(w->region, w->page);
	uintptr_t end = mhp__page_address(w->region, w->end);
	bool device = mhp__place_kind(&pool->space, w->node) == 1, whole = true;
	if (mhp__frames_held(w->region, w->page, w->end - w->page))
		return mhp__say(reterr, MHP_EAGAIN, "its block is leaving just now");
	if (!device)
		return 0;
	if (pool->guard.hole_fd < 0)
		return mhp__say(reterr, MHP_EPERM, "%s", pool->guard.why.text);
	if (mhp__pinned(&pool->pins, start, end))
		return mhp__say(reterr, MHP_EBUSY, "pinned");
	for (uint64_t page = w->page; page < w->end; page++)
		whole &= (w->region->entry[page] & MHP__ENTRY_COMMITTED) != 0;
	whole &= w->end - w->page == MHP__HUGE_PAGES;
	if (!whole && mhp__place_granule(&pool->space, w->node) >= MHP__HUGE_BYTES)
		return mhp__say(reterr, MHP_EBUSY, "node %u takes whole windows of 2 MiB, and only "
				"part of this one is in use", w->node);
	return view_used(w, reterr);
}

/* How many pages from page on get consecutive numbers. */
static uint64_t
label_run(const struct window *w, uint64_t page, uint64_t end)
{
	const struct mhp__labels *labels = &w->pool->labels;
	uint64_t nr = 1;
	MHP__ASSERT(page < end && mhp__labels_get(labels, page) != 0);
	while (page + nr < end &&
	       mhp__labels_get(labels, page + nr) == mhp__labels_get(labels, page) + nr)
		nr++;
	return nr;
}

/* Have the kernel move RAM to the node of its new numbers. */
static int
move_ram(const struct window *w, uint64_t page, uint64_t nr, struct mhp_text *reterr)
{
	uint64_t pfn = mhp__entry_pfn(mhp__labels_get(&w->pool->labels, page));
	int numa = mhp__node_of(w->region->space, pfn);
	if (!w->pool->space.has_nodes || w->region->over ||
	    mhp__nodes_move(w->region, page, nr, numa) == 0)
		return 0;
	return mhp__say(reterr, MHP_EBUSY, "pinned: the kernel cannot move it to node %d", numa);
}

/* How many pages from page on have got a new number, or (none) have not: other than those that
 * leave, since some may have been committed meanwhile. */
static uint64_t
label_span(const struct window *w, uint64_t page)
{
	const struct mhp__labels *labels = &w->pool->labels;
	uint64_t nr = 1;
	while (page + nr < w->end && (mhp__labels_get(labels, page + nr) != 0) ==
					     (mhp__labels_get(labels, page) != 0))
		nr++;
	return nr;
}

/* Give pages that leave, which are ordinary memory now, their new numbers. */
static int
relabel(const struct window *w, uint64_t page, uint64_t nr, struct mhp_text *reterr)
{
	uint64_t end = page + nr, run;
	int err = 0;
	for (uint64_t at = page; at < end && err == 0; at += run) {
		run = label_run(w, at, end);
		err = move_ram(w, at, run, reterr);
	}
	if (err != 0)
		return err;
	mhp__labels_use(&w->pool->labels, &w->pool->journal, page, nr);
	w->pool->stats.relabelled_pages += nr;
	return 0;
}

static int
relabel_all(const struct window *w, struct mhp_text *reterr)
{
	int err = 0;
	for (uint64_t page = w->page, nr; page < w->end && err == 0; page += nr) {
		nr = label_span(w, page);
		if (mhp__labels_get(&w->pool->labels, page) != 0)
			err = relabel(w, page, nr, reterr);
	}
	return err;
}

int
mhp__window_move(struct mhp_pool *pool, struct mhp_region *region, uint64_t page, uint64_t nr,
		 unsigned node, uint64_t *moved, struct mhp_text *reterr)
{
	struct window w = { .pool = pool, .region = region, .page = page, .node = node };
	w.end = page + nr < region->nr_pages ? page + nr : region->nr_pages;
	MHP__ASSERT(page < w.end && page / MHP__HUGE_PAGES == (w.end - 1) / MHP__HUGE_PAGES);
	if (!leaves(&w, w.page) && span(&w, w.page) == w.end - w.page)
		return 0;
	int err = check(&w, reterr);
	if (err == 0)
		err = take_labels(&w, reterr);
	if (err != 0)
		return err;
	mhp__labels_cut(&pool->journal, region, w.page, w.end - w.page);
	err = mhp__unsettle_part(pool, region, w.page, w.end, reterr);
	if (err == 0)
		err = relabel_all(&w, reterr);
	mhp__labels_drop(&pool->labels);
	if (err == 0)
		*moved += w.nr;
	if (pool->guard.hole_fd >= 0) {
		mhp__settle_window(pool, region, page / MHP__HUGE_PAGES);
		atomic_store(&pool->settle_wanted, true);
	}
	return err;
}

/* ---- ranges ---- */

/* The companion's task, in memory of its own: the caller's stack may be on its way. */
struct range {
	struct mhp_region *region;
	uint64_t window, end;
	unsigned node;
	uint64_t moved;
	struct mhp_text why;
};

static int
move_range(void *arg)
{
	struct range *range = arg;
	struct mhp_pool *pool = range->region->pool;
	int err = 0;
	while (range->window < range->end && err == 0) {
		while (atomic_load(&pool->forking)) /* a fork goes first */
			mhp__linux_ops.pause(pool, FORK_NS);
		mhp__pool_lock(pool);
		if (range->window * MHP__HUGE_PAGES < range->region->top)
			err = mhp__window_move(pool, range->region,
					       range->window * MHP__HUGE_PAGES, MHP__HUGE_PAGES,
					       range->node, &range->moved, &range->why);
		else
			range->window = range->end;
		mhp__guard_close(&pool->guard);
		pthread_mutex_unlock(&pool->mutex);
		range->window++;
	}
	return err;
}

int
mhp_region_move(struct mhp_region *region, void *start, uint64_t size, unsigned node,
		uint64_t *ret_moved, struct mhp_text *reterr)
{
	struct mhp_pool *pool = region->pool;
	uint64_t offset = (uintptr_t)start - region->base, whole = region->nr_pages
								   << MHP__PAGE_SHIFT;
	if (ret_moved != NULL)
		*ret_moved = 0;
	if ((uintptr_t)start < region->base || offset > whole || size > whole - offset || size == 0)
		return mhp__say(reterr, MHP_EINVAL, "this is no range of the region");
	if (mhp_node_states(pool->m, node) == 0)
		return mhp__say(reterr, MHP_ENODEV, "node %u of the pool has no memory in use",
				node);
	struct range *range = mmap(NULL, sizeof(*range), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (range == MAP_FAILED)
		return MHP_ENOMEM;
	*range = (struct range){ .region = region, .window = offset / MHP__HUGE_BYTES, .node = node,
				 .end = (offset + size + MHP__HUGE_BYTES - 1) / MHP__HUGE_BYTES };
	int err = pool->guard.hole_fd < 0 ? move_range(range)
					  : mhp_companion_call(move_range, range, &range->why);
	if (ret_moved != NULL)
		*ret_moved = range->moved;
	if (err != 0)
		(void)mhp__say(reterr, err, "%s", range->why.text);
	munmap(range, sizeof(*range));
	return err;
}
