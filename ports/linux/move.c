/* SPDX-License-Identifier: MIT */
/*
 * move.c - the owner of region pages: what the engine calls to move them.
 *
 * A page of ordinary memory moves by getting another number: its entry changes and nothing else, so
 * nobody waits, no byte is copied and no mapping changes. Windows on a device come back first, and
 * those that got numbers of a device go there afterwards (settle.c). isolate marks the entry, which
 * keeps decommit away from the page until migrate or putback.
 */
#include <stdio.h>
#include <string.h>

#include <memplug/companion.h>

#include "nodes.h"
#include "settle.h"

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

/* Is a page on a device? All of its frames are, or none. */
static bool
is_settled(const struct mhp_region *region, const mhp__entry *entry)
{
	uint64_t nr = UINT64_C(1) << mhp__entry_order(*entry);
	uint64_t page = (uint64_t)(entry - region->entry);
	MHP__ASSERT(mhp__entry_offset(*entry) == 0);
	MHP__ASSERT(mhp__table_span(region, page, nr, MHP__ENTRY_SETTLED) == nr);
	return (*entry & MHP__ENTRY_SETTLED) != 0;
}

/* Is the page pinned where it is? Ordinary memory stays where it is anyway. */
static bool
pinned(const struct mhp_pool *pool, const struct mhp_region *region, const mhp__entry *entry)
{
	uint64_t page = (uint64_t)(entry - region->entry);
	uint64_t end = page + (UINT64_C(1) << mhp__entry_order(*entry));
	return mhp__pinned(&pool->pins, mhp__page_address(region, page),
			   mhp__page_address(region, end)) &&
	       is_settled(region, entry);
}

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct mhp_pool *pool = ctx;
	struct mhp_region *region;
	int err = 0;

	mhp__pool_lock(pool);
	mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	if (entry == NULL || mhp__entry_order(*entry) != order ||
	    (*entry & MHP__ENTRY_ISOLATED) != 0)
		err = MHP_EAGAIN;
	else if (pinned(pool, region, entry))
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
	mhp__pool_lock(pool);
	mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	MHP__ASSERT(entry != NULL && (*entry & MHP__ENTRY_ISOLATED) != 0);
	*entry &= ~MHP__ENTRY_ISOLATED;
	pthread_mutex_unlock(&pool->mutex);
}

/* A page of several frames may have been cut while it got its new numbers. */
static void
set_right(struct mhp_region *region, mhp__entry *entry)
{
	uint64_t page = (uint64_t)(entry - region->entry);
	unsigned order = mhp__entry_order(*entry);
	*entry &= ~MHP__ENTRY_ISOLATED;
	for (uint64_t i = 1; i < UINT64_C(1) << order; i++)
		if (mhp__entry_pfn(entry[i]) != mhp__entry_pfn(*entry) + i ||
		    mhp__entry_order(entry[i]) != order)
			mhp__table_set(region, page + i, 1,
				       mhp__entry_make(mhp__entry_pfn(*entry) + i, order));
}

/* Frame by frame, since the table of a region may be far larger than the pool. A frame with the
 * cookie of a page that has another label is the one that the page has left, or was about to
 * get. */
static void
set_block_right(struct mhp_pool *pool, uint32_t block)
{
	const uint64_t frames = pool->space.block_bytes >> MHP__PAGE_SHIFT;
	for (uint64_t pfn = block * frames; pfn < (block + 1) * frames; pfn++) {
		struct mhp_frame frame = mhp_frame_peek(pool->m, pfn);
		struct mhp_region *region;
		if (frame.state != MHP_FRAME_USED || frame.owner != pool->owner)
			continue;
		mhp__entry *entry = find_entry(pool, pfn, frame.cookie, &region);
		if (entry != NULL)
			set_right(region, entry);
		else
			(void)!mhp_page_free(pool->m, pfn);
	}
}

void
mhp__region_set_right(struct mhp_pool *pool)
{
	mhp__pool_lock(pool);
	for (uint32_t block = 0; block < pool->space.nr_blocks; block++)
		if (pool->space.slot[block].file1 != 0)
			set_block_right(pool, block);
	pthread_mutex_unlock(&pool->mutex);
}

static bool
is_busy(const struct mhp__busy *busy, uint64_t cookie)
{
	return cookie >= busy->start && cookie < busy->end;
}

/* Why a page stays. What holds for all memory needs all the room that there is, and no address. */
static void
describe_busy(const struct mhp__busy *busy, const char *name, uint64_t cookie, char *text,
	      size_t size)
{
	if (busy->end == UINT64_MAX)
		snprintf(text, size, "%s", busy->why.text);
	else
		snprintf(text, size, "region %s at %#lx, %s", name, (unsigned long)cookie,
			 busy->why.text);
}

static void
describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	struct mhp_pool *pool = ctx;
	struct mhp_region *region;
	mhp__pool_lock(pool);
	const mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	if (entry == NULL)
		snprintf(text, size, "a page that is changing hands");
	else if (pinned(pool, region, entry))
		snprintf(text, size, "region %s at %#lx, pinned", region->name,
			 (unsigned long)cookie);
	else if (is_busy(&pool->busy, cookie))
		describe_busy(&pool->busy, region->name, cookie, text, size);
	else if (is_busy(&pool->first_busy, cookie))
		describe_busy(&pool->first_busy, region->name, cookie, text, size);
	else
		snprintf(text, size, "region %s at %#lx", region->name, (unsigned long)cookie);
	pthread_mutex_unlock(&pool->mutex);
}

/* How far a migrate is: the page that was relabelled last, which is mostly next to the next one. */
struct walk {
	struct mhp_pool *pool;
	struct mhp_region *region;     /* NULL: none yet */
	uint64_t page;                 /* after that page */
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
	MHP__ASSERT(mhp__entry_offset(mhp__entry_make(dst, order)) == 0); /* the head of a page */
	walk->page = page + (UINT64_C(1) << order);
	mhp__table_set(walk->region, page, UINT64_C(1) << order, mhp__entry_make(dst, order));
	return UINT64_C(1) << order;
}

/* Note why part of a region stays; returns the error. */
static int
note_busy(struct mhp_pool *pool, uintptr_t start, uint64_t size, int err)
{
	MHP__ASSERT(err != 0 && size != 0);
	pool->busy.start = start;
	pool->busy.end = start + size;
	return err;
}

/* Have the pages of a run that get a number of another NUMA node go there. */
static int
move_nodes(struct walk *walk, const struct mhp_move *move)
{
	struct mhp_pool *pool = walk->pool;
	for (uint64_t at = 0, nr; at < move->nr_pages; at += nr) {
		mhp__entry *entry = next_entry(walk, move->src_pfn + at);
		uint64_t page = (uint64_t)(entry - walk->region->entry);
		int node = mhp__node_of(&pool->space, move->dst_pfn + at);
		nr = UINT64_C(1) << mhp__entry_order(*entry);
		walk->page = page + nr;
		if (walk->region->over ||
		    node == mhp__node_of(&pool->space, move->src_pfn + at) ||
		    mhp__nodes_move(walk->region, page, nr, node) == 0)
			continue;
		mhp__say(&pool->busy.why, 0, "pinned: the kernel cannot move it to node %d", node);
		return note_busy(pool, mhp__page_address(walk->region, page),
				 nr << MHP__PAGE_SHIFT, MHP_EBUSY);
	}
	walk->region = NULL;
	return 0;
}

/* A run gets its new numbers; region mutex held. */
static void
relabel_run(struct walk *walk, const struct mhp_move *move)
{
	uint64_t at = 0;
	while (at < move->nr_pages)
		at += relabel(walk, move->src_pfn + at, move->dst_pfn + at);
	MHP__ASSERT(at == move->nr_pages); /* of whole pages */
	walk->pool->stats.relabelled_pages += move->nr_pages;
}

/* Have the window that a page is in come back. */
static int
bring_back(struct mhp_pool *pool, struct mhp_region *region, uint64_t page)
{
	uint64_t window = page / MHP__HUGE_PAGES;
	MHP__ASSERT((region->entry[page] & MHP__ENTRY_SETTLED) != 0);
	int err = mhp__unsettle_window(pool, region, window, &pool->busy.why);
	if (err == MHP_ENOMEM) /* so nothing comes back, wherever it is */
		return note_busy(pool, 0, UINT64_MAX, err);
	if (err != 0)
		return note_busy(pool, mhp__page_address(region, window * MHP__HUGE_PAGES),
				 MHP__HUGE_BYTES, err);
	atomic_store(&pool->settle_wanted, true); /* what need not leave */
	return 0;
}

/* The next page of a run; returns its frames. */
static uint64_t
next_page(struct walk *walk, uint64_t src, mhp__entry **ret_entry)
{
	*ret_entry = next_entry(walk, src);
	uint64_t nr = UINT64_C(1) << mhp__entry_order(**ret_entry);
	walk->page = (uint64_t)(*ret_entry - walk->region->entry) + nr;
	return nr;
}

static int
unsettle_run(struct walk *walk, const struct mhp_move *move)
{
	mhp__entry *entry;
	int err = 0;
	for (uint64_t at = 0; err == 0 && at < move->nr_pages;) {
		at += next_page(walk, move->src_pfn + at, &entry);
		if (is_settled(walk->region, entry))
			err = bring_back(walk->pool, walk->region,
					 (uint64_t)(entry - walk->region->entry));
	}
	return err;
}

/* In the companion: have what of pool->job is on a device come back, and count those moves. */
static int
unsettle_job(void *arg)
{
	struct mhp_pool *pool = arg;
	struct mhp__job *job = &pool->job;
	int err = 0;
	MHP__ASSERT(job->nr_done <= job->nr_moves && job->nr_moves <= MHP__JOB_MOVES);
	mhp__pool_lock(pool);
	while (err == 0 && job->nr_done < job->nr_moves) {
		struct walk walk = { .pool = pool };
		err = unsettle_run(&walk, &job->moves[job->nr_done]);
		job->nr_done += err == 0;
		mhp__pool_give_way(pool);
	}
	mhp__guard_close(&pool->guard);
	pthread_mutex_unlock(&pool->mutex);
	return err;
}

/* In the companion: have the windows that are whole now go to their device. */
static int
settle_job(void *arg)
{
	struct mhp_pool *pool = arg;
	struct mhp__job *job = &pool->job;
	MHP__ASSERT(job->nr_done <= job->nr_moves && job->nr_moves <= MHP__JOB_MOVES);
	mhp__pool_lock(pool);
	for (unsigned i = 0; i < job->nr_done; i++) {
		uint64_t last = job->moves[i].dst_pfn + job->moves[i].nr_pages - MHP__HUGE_PAGES;
		struct mhp_region *region;
		if (job->moves[i].nr_pages < MHP__HUGE_PAGES)
			continue;
		uint64_t cookie = mhp_frame_peek(pool->m, last).cookie;
		mhp__entry *entry = find_entry(pool, last, cookie, &region);
		if (entry != NULL)
			mhp__settle_window(pool, region, (uint64_t)(entry - region->entry) /
								 MHP__HUGE_PAGES);
		mhp__pool_give_way(pool);
	}
	pthread_mutex_unlock(&pool->mutex);
	return 0;
}

/* Is any of it on a device (again)? */
static bool
any_settled(struct walk walk, const struct mhp_move *move)
{
	mhp__entry *entry;
	for (uint64_t at = 0; at < move->nr_pages;) {
		at += next_page(&walk, move->src_pfn + at, &entry);
		if (is_settled(walk.region, entry))
			return true;
	}
	return false;
}

/* Moves within ordinary memory; not in the companion, if that is not where they are asked for: it
 * may be killed, and half of a move is none. */
static int
relabel_all(struct mhp_pool *pool, const struct mhp_move *moves, unsigned nr_moves,
	    unsigned *ret_done)
{
	struct walk walk = { .pool = pool };
	int err = 0;
	mhp__pool_lock(pool);
	for (*ret_done = 0; *ret_done < nr_moves; ++*ret_done) {
		if (pool->guard.hole_fd >= 0 && any_settled(walk, &moves[*ret_done]))
			err = MHP_EAGAIN;
		else if (pool->space.has_nodes)
			err = move_nodes(&walk, &moves[*ret_done]);
		if (err != 0)
			break;
		relabel_run(&walk, &moves[*ret_done]);
	}
	pthread_mutex_unlock(&pool->mutex);
	MHP__ASSERT((err == 0) == (*ret_done == nr_moves));
	return err;
}

static bool
to_device(const struct mhp_pool *pool)
{
	for (unsigned i = 0; i < pool->job.nr_done; i++)
		if (mhp__frame_has_place(&pool->space, pool->job.moves[i].dst_pfn))
			return true;
	return false;
}

/* The moves of pool->job, some of which are from or to a device. */
static int
migrate_far(struct mhp_pool *pool)
{
	struct mhp__job *job = &pool->job;
	int err = mhp_companion_call(unsettle_job, pool, NULL);
	int again = relabel_all(pool, job->moves, job->nr_done, &job->nr_done);
	if (to_device(pool)) {
		atomic_store(&pool->settle_wanted, true);
		(void)!mhp_companion_call(settle_job, pool, NULL);
	}
	MHP__ASSERT(job->nr_done <= job->nr_moves);
	return err != 0 ? err : again;
}

/* Passes go from low frames to high ones, again and again, and the engine names what was the first
 * to stay in the last of them. */
static void
keep_first_busy(struct mhp_pool *pool, const struct mhp_move *moves, bool begins)
{
	if (begins && moves[0].src_pfn <= pool->first_busy.pfn)
		pool->first_busy.end = 0;
	if (begins || pool->busy.end == 0 || pool->first_busy.end != 0)
		return;
	pool->first_busy = pool->busy;
	pool->first_busy.pfn = moves[0].src_pfn;
}

/* Moves of which some may be from or to a device. */
static int
migrate_any(struct mhp_pool *pool, const struct mhp_move *moves, unsigned nr_moves,
	    unsigned *ret_done)
{
	struct mhp__job *job = &pool->job;
	int err = 0;
	for (unsigned nr; err == 0 && *ret_done < nr_moves; *ret_done += job->nr_done) {
		nr = nr_moves - *ret_done < MHP__JOB_MOVES ? nr_moves - *ret_done : MHP__JOB_MOVES;
		memcpy(job->moves, moves + *ret_done, nr * sizeof(moves[0]));
		job->nr_moves = nr;
		job->nr_done = 0;
		err = migrate_far(pool);
		MHP__ASSERT(err != 0 || job->nr_done == nr);
	}
	return err;
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct mhp_pool *pool = ctx;
	*ret_done = 0;
	pool->busy.start = pool->busy.end = 0;
	keep_first_busy(pool, moves, true);
	int err = pool->guard.hole_fd < 0 ? relabel_all(pool, moves, nr_moves, ret_done)
					  : migrate_any(pool, moves, nr_moves, ret_done);
	keep_first_busy(pool, moves, false);
	return err;
}

const struct mhp_movable_ops mhp__region_ops = {
	.isolate = isolate,
	.migrate = migrate,
	.putback = putback,
	.describe = describe,
};
