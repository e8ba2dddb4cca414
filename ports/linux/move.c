/* SPDX-License-Identifier: MIT */
/*
 * move.c - the owner of region pages: what the engine calls to move them.
 *
 * isolate marks a page's entry, which keeps commit, decommit and pins away from it; migrate cuts
 * the engine's runs into batches (batch.c), each bounded so that writers wait a moment only.
 * A run is moved wholly or not at all: should a later batch of it fail, the earlier ones are
 * moved back. Between isolate and migrate the region mutex is free, so that a fork, or a write of
 * the parent of a forked child, may come in between: migrate looks at every page again.
 */
#include <sched.h>
#include <stdio.h>

#include "table.h"

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

/* May this page move now? A dry run asks too, so whatever can be known is said here. */
static int
may_move(const struct mhp_pool *pool, mhp__entry entry, unsigned order, uint64_t cookie)
{
	uintptr_t start = (uintptr_t)cookie, end = start + ((uintptr_t)MHP__PAGE_BYTES << order);
	if (mhp__entry_order(entry) != order || (entry & MHP__ENTRY_ISOLATED) != 0)
		return MHP_EAGAIN;
	if (pool->private_map || mhp__pinned(pool, start, end))
		return MHP_EBUSY;
	return mhp__shared(pool, entry) ? MHP_ETXTBSY : 0;
}

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct mhp_pool *pool = ctx;
	struct mhp_region *region = NULL;
	uint32_t epoch;
	int err = MHP_EAGAIN;

	if (mhp__quarantine_cookie(cookie, &epoch))
		return MHP_ETXTBSY;
	pthread_mutex_lock(&pool->mutex);
	mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	if (entry != NULL)
		err = may_move(pool, *entry, order, cookie);
	if (err == 0)
		*entry |= MHP__ENTRY_ISOLATED;
	pthread_mutex_unlock(&pool->mutex);
	return err;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct mhp_pool *pool = ctx;
	struct mhp_region *region = NULL;
	(void)order;
	pthread_mutex_lock(&pool->mutex);
	mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	if (entry != NULL)
		*entry &= ~MHP__ENTRY_ISOLATED;
	pthread_cond_broadcast(&pool->settled);
	pthread_mutex_unlock(&pool->mutex);
}

static void
describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	struct mhp_pool *pool = ctx;
	struct mhp_region *region = NULL;
	uint32_t epoch = 0;

	pthread_mutex_lock(&pool->mutex);
	mhp__entry *entry = find_entry(pool, pfn, cookie, &region);
	uintptr_t start = (uintptr_t)cookie;
	if (mhp__quarantine_cookie(cookie, &epoch))
		snprintf(text, size, "kept for forked child process %d",
			 (int)mhp__child_pid(pool, epoch));
	else if (entry == NULL)
		snprintf(text, size, "a page that is changing hands");
	else if (mhp__shared(pool, *entry))
		snprintf(text, size, "region %s at %#lx, which forked child process %d still sees",
			 region->name, (unsigned long)start,
			 (int)mhp__child_pid(pool, mhp__entry_epoch(*entry)));
	else if (mhp__pinned(pool, start, start + (MHP__PAGE_BYTES << mhp__entry_order(*entry))))
		snprintf(text, size, "region %s at %#lx, pinned", region->name,
			 (unsigned long)start);
	else if (pool->private_map)
		snprintf(text, size,
			 "region %s; no permission for a full userfaultfd, see 'memplug get "
			 "userfaultfd'",
			 region->name);
	else
		snprintf(text, size, "region %s at %#lx", region->name, (unsigned long)start);
	pthread_mutex_unlock(&pool->mutex);
}

/* Append a page to the batch; merges with the last piece. False: the batch is full. */
static bool
append(struct mhp_pool *pool, struct mhp_region *region, uint64_t page, uint64_t src, uint64_t dst,
       uint64_t nr)
{
	struct mhp__batch *batch = &pool->batch;
	struct mhp__piece *last =
		batch->nr_pieces == 0 ? NULL : &batch->piece[batch->nr_pieces - 1];
	bool merges = last != NULL && last->region == region && last->page + last->nr == page &&
		      last->src_pfn + last->nr == src && last->dst_pfn + last->nr == dst;
	unsigned nr_pieces = batch->nr_pieces + !merges;
	/* One page goes in any case. */
	if (last != NULL &&
	    (batch->nr_pages + nr > MHP__BATCH_PAGES || nr_pieces > MHP__BATCH_PIECES ||
	     mhp__batch_weight(batch->nr_pages + nr, nr_pieces) > pool->batch_weight))
		return false;
	if (merges) {
		last->nr += nr;
	} else {
		batch->piece[batch->nr_pieces++] = (struct mhp__piece){
			.region = region, .page = page, .src_pfn = src, .dst_pfn = dst, .nr = nr };
	}
	batch->nr_pages += nr;
	return true;
}

/* Append the page whose head is at src; *ret_nr its frames. MHP_EAGAIN: not ours to move now. */
static int
append_page(struct mhp_pool *pool, uint64_t src, uint64_t dst, uint64_t *ret_nr)
{
	struct mhp_frame frame = mhp_frame_peek(pool->m, src);
	struct mhp_region *region = NULL;
	if (frame.state != MHP_FRAME_USED || frame.owner != pool->owner)
		return MHP_EAGAIN;
	mhp__entry *entry = find_entry(pool, src, frame.cookie, &region);
	if (entry == NULL || (*entry & MHP__ENTRY_ISOLATED) == 0 || mhp__shared(pool, *entry))
		return MHP_EAGAIN;
	*ret_nr = UINT64_C(1) << frame.order;
	uint64_t page = (uint64_t)(entry - region->entry);
	return append(pool, region, page, src, dst, *ret_nr) ? 0 : MHP_ENOSPC;
}

/* How far a migrate is: runs before moves[run] are done, and of that one the first pages. */
struct walk {
	const struct mhp_move *moves;
	unsigned run, nr_moves;
	uint64_t pages;
	int err;
};

/* Fill a batch from *walk on; walk then stands behind what is in the batch. */
static void
fill(struct mhp_pool *pool, struct walk *walk)
{
	pool->batch.nr_pieces = 0;
	pool->batch.nr_pages = 0;
	pool->batch.must = false;
	pool->batch.keep_src = false;
	while (walk->run < walk->nr_moves) {
		const struct mhp_move *move = &walk->moves[walk->run];
		uint64_t nr = 0;
		int err = append_page(pool, move->src_pfn + walk->pages,
				      move->dst_pfn + walk->pages, &nr);
		if (err != 0) {
			walk->err = err == MHP_ENOSPC ? 0 : err;
			return;
		}
		walk->pages += nr;
		if (walk->pages < move->nr_pages)
			continue;
		walk->run++;
		walk->pages = 0;
		/* A good moment to end: forks wait for one. */
		if (mhp__batch_weight(pool->batch.nr_pages, pool->batch.nr_pieces) >=
		    pool->batch_weight / 2)
			return;
	}
}

/* Put a batch together of the frames of a run that moved, from at on; returns where it ends. */
static uint64_t
fill_back(struct mhp_pool *pool, const struct mhp_move *move, uint64_t at, uint64_t nr)
{
	pool->batch.nr_pieces = 0;
	pool->batch.nr_pages = 0;
	pool->batch.must = true;
	while (at < nr) {
		struct mhp_region *region = NULL;
		struct mhp_frame frame = mhp_frame_peek(pool->m, move->src_pfn + at);
		mhp__entry *entry = find_entry(pool, move->dst_pfn + at, frame.cookie, &region);
		uint64_t size = UINT64_C(1) << frame.order;
		/* Nobody frees a page while its run is under way (frames.c). */
		if (entry != NULL &&
		    !append(pool, region, (uint64_t)(entry - region->entry), move->dst_pfn + at,
			    move->src_pfn + at, size))
			break;
		at += size;
	}
	return at;
}

/* Hold frames [at, end) of a run, which are back, as before they moved: the engine puts them back
 * with their targets, so until then nobody may free them. */
static void
hold_again(struct mhp_pool *pool, const struct mhp_move *move, uint64_t at, uint64_t end)
{
	while (at < end) {
		struct mhp_region *region = NULL;
		struct mhp_frame frame = mhp_frame_peek(pool->m, move->src_pfn + at);
		mhp__entry *entry = find_entry(pool, move->src_pfn + at, frame.cookie, &region);
		if (entry != NULL)
			*entry = (*entry & ~MHP__ENTRY_MOVED) | MHP__ENTRY_ISOLATED;
		at += UINT64_C(1) << frame.order;
	}
}

/*
 * Move the first nr frames of a run back: they went in earlier batches. The engine will be told
 * that they never left, so this is tried until it succeeds: the mappings in hand make that soon.
 */
static void
move_back(struct mhp_pool *pool, const struct mhp_move *move, uint64_t nr)
{
	for (uint64_t at = 0, end; at < nr; at = end) {
		end = fill_back(pool, move, at, nr);
		mhp__spare_drop(pool);
		while (mhp__batch_run(pool) != 0)
			mhp__linux_ops.pause(pool, 1000000);
		hold_again(pool, move, at, end);
	}
}

/*
 * Between batches: commits and faults come through, forks only between runs, because frames that a
 * child sees could not be moved back.
 */
static void
let_others_in(struct mhp_pool *pool, const struct walk *walk)
{
	pool->in_run = walk->pages != 0;
	if (pool->in_run) {
		pool->run_start = walk->moves[walk->run].dst_pfn;
		pool->run_end = pool->run_start + walk->pages;
	}
	pthread_cond_broadcast(&pool->settled);
	pthread_mutex_unlock(&pool->mutex);
	sched_yield();
	pthread_mutex_lock(&pool->mutex);
}

/* For the tests: so many runs fail after their first batch. */
unsigned mhp__test_fail_runs;

static bool
test_fails(const struct walk *walk)
{
	return walk->pages != 0 && mhp__test_fail_runs != 0 && mhp__test_fail_runs-- != 0;
}

static int
migrate_locked(struct mhp_pool *pool, struct walk *walk)
{
	while (walk->run < walk->nr_moves) {
		struct walk before = *walk;
		fill(pool, walk);
		int err = 0;
		if (pool->batch.nr_pieces != 0)
			err = test_fails(&before) ? MHP_ENOMEM : mhp__batch_run(pool);
		if (err != 0) {
			*walk = before;
			walk->err = err;
		}
		if (walk->err != 0)
			break;
		let_others_in(pool, walk);
	}
	if (walk->err != 0 && walk->pages != 0)
		move_back(pool, &walk->moves[walk->run], walk->pages);
	pool->in_run = false;
	mhp__spare_take(pool);
	return walk->err;
}

/*
 * What was left gives its memory back, as long a piece at a time as there is: a huge page that goes
 * by pieces costs many times what it costs as a whole. So do targets that were not used.
 */
static void
release_frames(struct mhp_pool *pool, const struct walk *walk)
{
	for (unsigned i = 0; i < walk->run;) {
		uint64_t pfn = walk->moves[i].src_pfn, nr = 0;
		while (i < walk->run && walk->moves[i].src_pfn == pfn + nr)
			nr += walk->moves[i++].nr_pages;
		mhp__frames_release(pool, pfn, nr);
	}
	for (unsigned i = walk->run; i < walk->nr_moves; i++)
		mhp__frames_release(pool, walk->moves[i].dst_pfn, walk->moves[i].nr_pages);
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct mhp_pool *pool = ctx;
	struct walk walk = { .moves = moves, .nr_moves = nr_moves };

	mhp__huge_targets(pool, moves, nr_moves);
	pthread_mutex_lock(&pool->mutex);
	int err = migrate_locked(pool, &walk);
	release_frames(pool, &walk);
	pthread_cond_broadcast(&pool->settled);
	pthread_mutex_unlock(&pool->mutex);
	*ret_done = walk.run;
	return err;
}

const struct mhp_movable_ops mhp__region_ops = {
	.isolate = isolate,
	.migrate = migrate,
	.putback = putback,
	.describe = describe,
};
