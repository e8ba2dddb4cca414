/* SPDX-License-Identifier: MIT */
/*
 * hold.c - memory of a region becomes ordinary, and stays so while somebody changes its mapping.
 *
 * On a device a window is a shared mapping, in which calls that mean private memory mean something
 * else. So whoever makes such a call holds the range: no window of the region begins to go to a
 * device meanwhile (a counter, which the mover reads after it has noted a window and the holder
 * writes before it reads the note), the one on its way is waited for, and what is on a device comes
 * back; or, where its data is not wanted any more, new memory takes its place at once. Without a
 * device that is the counter and a look at two words. A signal handler may change mappings, too:
 * signals are blocked while a lock is held. It may also jump out of the call that it interrupted,
 * which would hold for ever: so signals wait for the release, where there is a device.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>

#include <memplug/companion.h>

#include "frames.h"
#include "region.h"
#include "settle.h"

/* The engine holds a page for one batch of moves. */
#define BATCH_NS UINT64_C(100000)
/* Times that a companion may be killed in the middle of bringing something back. */
#define KILLS_MAX 100U

/* What the companion is asked to do, in memory of its own: the caller's stack may be on its way. */
struct range {
	struct mhp_region *region;
	uint64_t page, end;
	struct mhp_text why;
};

/* Is any page of the range on a device? Nothing of it can go there. */
static bool
any_settled(const struct mhp_region *region, uint64_t page, uint64_t end)
{
	uint64_t nr;
	MHP__ASSERT(page <= end && end <= region->nr_pages);
	return mhp__table_next_settled(region, &page, end, &nr);
}

/* ---- what is not wanted any more ---- */

/* New memory for a stretch that is on a device. False: its edges cannot be cut now. Region mutex
 * held. */
static bool
drop_stretch(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp_pool *pool = region->pool;
	uintptr_t start = mhp__page_address(region, page);
	MHP__ASSERT((region->entry[page] & MHP__ENTRY_SETTLED) != 0);
	if (!mhp__region_can_cut(region, page, nr) ||
	    mhp__pinned(&pool->pins, start, start + (nr << MHP__PAGE_SHIFT)) ||
	    !mhp__budget_fits(&pool->budget, mhp__regions_mappings(pool), 2))
		return false;
	/* Bound: a batch. No window is on its way when the mutex is had again. */
	while (mhp__frames_held(region, page, nr)) {
		pthread_mutex_unlock(&pool->mutex);
		mhp__linux_ops.pause(pool, BATCH_NS);
		mhp__pool_lock(pool);
	}
	if (mhp__table_span(region, page, nr, MHP__ENTRY_SETTLED) != nr)
		return true; /* some of it came back meanwhile: the next turn sees it */
	mhp__frames_split(region, page);
	mhp__frames_split(region, page + nr);
	return mhp__region_drop(region, page, nr) == 0;
}

static void
drop(struct mhp_region *region, uint64_t page, uint64_t end)
{
	uint64_t nr;
	mhp__pool_lock(region->pool);
	while (mhp__table_next_settled(region, &page, end, &nr))
		if (!drop_stretch(region, page, nr))
			page += nr;
	pthread_mutex_unlock(&region->pool->mutex);
}

/* ---- what is ---- */

/* In the companion. */
static int
bring_back(void *arg)
{
	struct range *range = arg;
	struct mhp_region *region = range->region;
	struct mhp_pool *pool = region->pool;
	uint64_t page = range->page, nr;
	int err = 0;
	MHP__ASSERT(page < range->end && range->end <= region->nr_pages);
	mhp__pool_lock(pool);
	while (err == 0 && mhp__table_next_settled(region, &page, range->end, &nr)) {
		err = mhp__unsettle_window(pool, region, page / MHP__HUGE_PAGES, &range->why);
		mhp__pool_give_way(pool);
	}
	mhp__guard_close(&pool->guard);
	pthread_mutex_unlock(&pool->mutex);
	return err;
}

static int
have_back(struct mhp_region *region, uint64_t page, uint64_t end, struct mhp_text *reterr)
{
	struct range *range = mmap(NULL, sizeof(*range), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = MHP_EIO;
	if (range == MAP_FAILED)
		return MHP_ENOMEM;
	*range = (struct range){ .region = region, .page = page, .end = end };
	for (unsigned kills = 0; err == MHP_EIO && kills < KILLS_MAX; kills++)
		err = mhp_companion_call(bring_back, range, &range->why);
	if (err != 0)
		(void)mhp__say(reterr, err, "%s", range->why.text);
	munmap(range, sizeof(*range));
	return err;
}

/* ---- holding ---- */

/* Of this thread: the holds for whose release signals wait, and how they were before. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
	unsigned nr_holds;
	sigset_t before;
} waiting;

static void
signals_wait(const struct mhp_pool *pool)
{
	sigset_t all;
	if (waiting.nr_holds == 0 && atomic_load(&pool->settler) == 0)
		return;
	sigfillset(&all);
	if (waiting.nr_holds++ == 0)
		pthread_sigmask(SIG_BLOCK, &all, &waiting.before);
}

static void
signals_come(void)
{
	if (waiting.nr_holds != 0 && --waiting.nr_holds == 0)
		pthread_sigmask(SIG_SETMASK, &waiting.before, NULL);
}

/* Wait for what is on its way, and have back what is on a device. */
static int
make_ordinary(struct mhp_region *region, uint64_t page, uint64_t end, bool wanted,
	      struct mhp_text *reterr)
{
	struct mhp_pool *pool = region->pool;
	sigset_t all, before;
	int err = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	mhp__pool_lock(pool);
	pthread_mutex_unlock(&pool->mutex);
	if (!wanted && any_settled(region, page, end))
		drop(region, page, end);
	if (any_settled(region, page, end))
		err = have_back(region, page, end, reterr);
	atomic_store(&pool->settle_wanted, true); /* afterwards */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

/* The frames of a range of addresses, whole ones. False: it is not all in the region. */
static bool
find_pages(const struct mhp_region *region, const void *start, uint64_t size, uint64_t *ret_page,
	   uint64_t *ret_end)
{
	uint64_t offset = (uintptr_t)start - region->base;
	*ret_page = offset >> MHP__PAGE_SHIFT;
	*ret_end = (offset + size + MHP__PAGE_BYTES - 1) >> MHP__PAGE_SHIFT;
	return (uintptr_t)start >= region->base && *ret_end >= *ret_page &&
	       *ret_end <= region->nr_pages;
}

bool
mhp_region_used(const struct mhp_region *region, const void *start, uint64_t size)
{
	uint64_t page, end, next;
	if (!find_pages(region, start, size, &page, &end))
		return false;
	end = end < region->top ? end : region->top;
	for (; page < end; page++) {
		next = mhp__table_next_window(region, page / MHP__HUGE_PAGES) * MHP__HUGE_PAGES;
		page = next > page ? next : page;
		if (page < end && (region->entry[page] & MHP__ENTRY_COMMITTED) != 0)
			return true;
	}
	return false;
}

int
mhp_region_hold(struct mhp_region *region, void *start, uint64_t size, bool wanted,
		struct mhp_text *reterr)
{
	uint64_t page, end;
	if (!find_pages(region, start, size, &page, &end))
		return mhp__say(reterr, MHP_EINVAL, "this is no range of the region");
	signals_wait(region->pool);
	atomic_fetch_add(&region->nr_holds, 1);
	if (wanted) /* what is not may be unmapped, or empty: marks are not set */
		atomic_fetch_add(&region->pool->view.changes, 1);
	if (!mhp__journal_names(&region->pool->journal, region, page, end - page) &&
	    !any_settled(region, page, end))
		return 0;
	int err = make_ordinary(region, page, end, wanted, reterr);
	if (err != 0)
		mhp_region_release(region);
	return err;
}

void
mhp_region_release(struct mhp_region *region)
{
	uint32_t now = atomic_load(&region->nr_holds);
	/* A handler may have forked inside of a call: there are none in a child (fork.c). */
	while (now != 0 && !atomic_compare_exchange_weak(&region->nr_holds, &now, now - 1))
		;
	signals_come();
}
