/* SPDX-License-Identifier: MIT */
/*
 * move.c - the owner of region pages: what the engine calls to move them.
 *
 * A page of ordinary memory moves by getting another number: its entry changes and nothing else, so
 * nobody waits, no byte is copied and no mapping changes. isolate marks the entry, which keeps
 * decommit away from the page until migrate or putback.
 */
#include <stdio.h>

#include "pool.h"

/* The entry that a cookie names, if the page is still there; else NULL. */
static mhp__entry *
find_entry(struct mhp_pool *pool, uint64_t pfn, uint64_t cookie, struct mhp_region **ret_region)
{
	struct mhp_region *region = mhp__region_find(pool, (uintptr_t)cookie);
	if (region == NULL)
		return NULL;
	mhp__entry *entry = &region->entry[(cookie - region->base) >> MHP__PAGE_SHIFT];
	if ((*entry & MHP__ENTRY_COMMITTED) == 0 || mhp__entry_pfn(*entry) != pfn)
		return NULL;
	*ret_region = region;
	return entry;
}

/* Is the page pinned where it is? Ordinary memory stays where it is anyway. */
static bool
pinned(const struct mhp_pool *pool, mhp__entry entry, uintptr_t start)
{
	uintptr_t end = start + (MHP__PAGE_BYTES << mhp__entry_order(entry));
	return mhp__frame_has_place(&pool->space, mhp__entry_pfn(entry)) &&
	       mhp__pinned(&pool->pins, start, end);
}

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct mhp_pool *pool = ctx;
	struct mhp_region *region;
	int err = 0;

	pthread_mutex_lock(&pool->mutex);
	mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	if (entry == NULL || mhp__entry_order(*entry) != order ||
	    (*entry & MHP__ENTRY_ISOLATED) != 0)
		err = MHP_EAGAIN;
	else if (pinned(pool, *entry, (uintptr_t)cookie))
		err = MHP_EBUSY;
	else
		*entry |= MHP__ENTRY_ISOLATED;
	pthread_mutex_unlock(&pool->mutex);
	return err;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct mhp_pool *pool = ctx;
	struct mhp_region *region;
	(void)order;
	pthread_mutex_lock(&pool->mutex);
	mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	MHP__ASSERT(entry != NULL && (*entry & MHP__ENTRY_ISOLATED) != 0);
	*entry &= ~MHP__ENTRY_ISOLATED;
	pthread_mutex_unlock(&pool->mutex);
}

static void
describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	struct mhp_pool *pool = ctx;
	struct mhp_region *region;
	pthread_mutex_lock(&pool->mutex);
	const mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	if (entry == NULL)
		snprintf(text, size, "a page that is changing hands");
	else
		snprintf(text, size, "region %s at %#lx%s", region->name, (unsigned long)cookie,
			 pinned(pool, *entry, (uintptr_t)cookie) ? ", pinned" : "");
	pthread_mutex_unlock(&pool->mutex);
}

/* How far a migrate is: the page that was relabelled last, which is mostly next to the next one. */
struct walk {
	struct mhp_pool *pool;
	struct mhp_region *region;     /* NULL: none yet */
	uint64_t page;                 /* behind that page */
};

/* The head of the isolated page at src. */
static mhp__entry *
next_entry(struct walk *walk, uint64_t src)
{
	struct mhp_region *region = walk->region;
	if (region != NULL && walk->page < region->nr_pages) {
		mhp__entry *entry = &region->entry[walk->page];
		if ((*entry & MHP__ENTRY_ISOLATED) != 0 && mhp__entry_pfn(*entry) == src)
			return entry;
	}
	struct mhp_frame frame = mhp_frame_peek(walk->pool->m, src);
	mhp__entry *entry = find_entry(walk->pool, src, frame.cookie, &walk->region);
	MHP__ASSERT(entry != NULL && (*entry & MHP__ENTRY_ISOLATED) != 0);
	return entry;
}

/* Give the page at src the number dst; returns how many frames it has. */
static uint64_t
relabel(struct walk *walk, uint64_t src, uint64_t dst)
{
	mhp__entry *entry = next_entry(walk, src);
	uint64_t page = (uint64_t)(entry - walk->region->entry);
	unsigned order = mhp__entry_order(*entry);
	walk->page = page + (UINT64_C(1) << order);
	mhp__table_set(walk->region, page, UINT64_C(1) << order, mhp__entry_make(dst, order));
	return UINT64_C(1) << order;
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct mhp_pool *pool = ctx;
	struct walk walk = { .pool = pool };
	pthread_mutex_lock(&pool->mutex);
	for (unsigned i = 0; i < nr_moves; i++) {
		for (uint64_t at = 0; at < moves[i].nr_pages;)
			at += relabel(&walk, moves[i].src_pfn + at, moves[i].dst_pfn + at);
		pool->stats.relabelled_pages += moves[i].nr_pages;
	}
	pthread_mutex_unlock(&pool->mutex);
	*ret_done = nr_moves;
	return 0;
}

const struct mhp_movable_ops mhp__region_ops = {
	.isolate = isolate,
	.migrate = migrate,
	.putback = putback,
	.describe = describe,
};
