/* SPDX-License-Identifier: MIT */
/*
 * extents.c - addresses and memory for jemalloc's extents, out of one region.
 *
 * An address of the region is in use, free, or ready. Free: nothing is behind it. Ready: it is
 * committed, nobody uses it, and it reads as zeros. Most memory is committed by whole windows of
 * 2 MiB, which are one page of the pool where it has one: cheap to commit, and quick to leave. What
 * an extent does not fill is ready for small ones; a window that nobody uses any more is
 * decommitted. Large extents get room behind them instead, so that realloc finds it free, as long
 * as that does not scatter the region too much. The lock is held for a few steps through a tree, or
 * one decommit.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "gaps.h"
#include "heap.h"

#define WINDOW (UINT64_C(2) << 20)
/* Extents from this size on get room to grow: as much as is in the largest gap... */
#define ROOMY_MIN (UINT64_C(1) << 20)
/* ...unless that is less than so many times their size, or there are so many gaps. */
#define ROOM_MIN 8
#define GAPS_MAX 2048U

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mhp__gaps unused, ready; /* under the lock */

static uintptr_t
down(uintptr_t value, uintptr_t unit)
{
	return value & ~(unit - 1);
}

static uintptr_t
up(uintptr_t value, uintptr_t unit)
{
	return down(value + unit - 1, unit);
}

static uintptr_t
most(uintptr_t a, uintptr_t b)
{
	return a > b ? a : b;
}

bool
mhp__extents_init(void)
{
	return mhp__gaps_init() &&
	       mhp__gaps_give(&unused, mhp__heap.start, mhp__heap.end - mhp__heap.start);
}

static void
give(struct mhp__gaps *gaps, uintptr_t start, uintptr_t size)
{
	/* When the store is full, the addresses are lost, and nothing but those. */
	pthread_mutex_lock(&lock);
	(void)!mhp__gaps_give(gaps, start, size);
	pthread_mutex_unlock(&lock);
}

/* Bound: each turn adds a block. */
bool
mhp__extents_commit(uintptr_t start, uintptr_t size)
{
	for (;;) {
		int err = mhp_region_commit(mhp__heap.region, (void *)start, size);
		if (err == 0)
			return true;
		if (err != MHP_ENOMEM || !mhp__heap_grow(size))
			return false;
	}
}

/*
 * Commit [start, start + size), which was taken out of the unused ones, and as much behind it as is
 * there up to rounded, if that can be had; what is not asked for is ready, or unused again.
 */
static bool
commit_taken(uintptr_t start, uintptr_t size, uintptr_t rounded)
{
	uintptr_t granule = mhp_region_granule(mhp__heap.region);
	uintptr_t taken = rounded;
	bool done = mhp__extents_commit(start, rounded);
	if (!done && up(size, granule) < rounded) {
		rounded = up(size, granule);
		done = mhp__extents_commit(start, rounded);
	}
	give(&unused, start + (done ? rounded : 0), taken - (done ? rounded : 0));
	if (done && rounded > size)
		give(&ready, start + size, rounded - size);
	return done;
}

/* Where a large extent has room behind it; 0: it gets none. Lock held. */
static uintptr_t
roomy_place(uintptr_t size, uintptr_t alignment)
{
	uintptr_t gap, room = mhp__gaps_largest(&unused, &gap);
	if (size < ROOMY_MIN || mhp__gaps_nr() > GAPS_MAX ||
	    mhp_region_granule(mhp__heap.region) >= WINDOW ||
	    room / ROOM_MIN < most(size, most(alignment, WINDOW)))
		return 0;
	return up(gap + room / 2, most(alignment, WINDOW));
}

static uintptr_t
alloc_anywhere(uintptr_t size, uintptr_t alignment)
{
	pthread_mutex_lock(&lock);
	uintptr_t rounded = up(size, mhp_region_granule(mhp__heap.region));
	uintptr_t start = roomy_place(size, alignment);
	if (start == 0) {
		start = mhp__gaps_lowest(&ready, size, alignment);
		if (start != 0 && mhp__gaps_take(&ready, start, size)) {
			pthread_mutex_unlock(&lock);
			return start;
		}
		rounded = up(size, WINDOW);
		start = mhp__gaps_lowest(&unused, rounded, most(alignment, WINDOW));
	}
	bool taken = start != 0 && mhp__gaps_take(&unused, start, rounded);
	pthread_mutex_unlock(&lock);
	return taken && commit_taken(start, size, rounded) ? start : 0;
}

/* Behind an extent lies what its last window has left over, then addresses that are free. */
static uintptr_t
alloc_at(uintptr_t start, uintptr_t size)
{
	pthread_mutex_lock(&lock);
	uintptr_t first = mhp__gaps_at(&ready, start);
	if (first > size)
		first = size;
	uintptr_t rest = size - first;
	uintptr_t rounded = up(rest, mhp_region_granule(mhp__heap.region));
	bool taken = mhp__gaps_at(&unused, start + first) >= rounded &&
		     mhp__gaps_take(&ready, start, first);
	if (taken && !mhp__gaps_take(&unused, start + first, rounded)) {
		(void)!mhp__gaps_give(&ready, start, first);
		taken = false;
	}
	pthread_mutex_unlock(&lock);
	if (taken && (rest == 0 || commit_taken(start + first, rest, rounded)))
		return start;
	if (taken)
		give(&ready, start, first);
	return 0;
}

uintptr_t
mhp__extents_alloc(uintptr_t wanted, uintptr_t size, uintptr_t alignment)
{
	return wanted != 0 ? alloc_at(wanted, size) : alloc_anywhere(size, alignment);
}

/* Is no address of the range in use? Lock held. Bound: a turn for each page. */
static bool
idle(uintptr_t start, uintptr_t end)
{
	while (start < end) {
		uintptr_t size = most(mhp__gaps_at(&ready, start), mhp__gaps_at(&unused, start));
		if (size == 0)
			return false;
		start += size;
	}
	return true;
}

/* Decommit the window at start if nobody uses any of it. Lock held. */
static void
retire(uintptr_t start)
{
	if (!idle(start, start + WINDOW) ||
	    mhp_region_decommit(mhp__heap.region, (void *)start, WINDOW) != 0)
		return;
	for (uintptr_t at = start, size; at < start + WINDOW; at += size) {
		size = most(mhp__gaps_at(&ready, at), mhp__gaps_at(&unused, at));
		if (size > start + WINDOW - at)
			size = start + WINDOW - at;
		if (mhp__gaps_at(&ready, at) != 0 && mhp__gaps_take(&ready, at, size))
			(void)!mhp__gaps_give(&unused, at, size);
	}
}

static bool
purge(uintptr_t start, uintptr_t end)
{
	return start == end ||
	       mhp_region_purge(mhp__heap.region, (void *)start, end - start) == 0;
}

bool
mhp__extents_free(uintptr_t start, uintptr_t size)
{
	uintptr_t end = start + size, inner = up(start, WINDOW), inner_end = down(end, WINDOW);
	if (inner >= inner_end)
		inner = inner_end = end;
	if (!purge(start, inner) || !purge(inner_end, end))
		return false;
	if (inner < inner_end && mhp_region_decommit(mhp__heap.region, (void *)inner,
						     inner_end - inner) != 0)
		return false;
	pthread_mutex_lock(&lock);
	bool given = mhp__gaps_give(&ready, start, inner - start) &&
		     mhp__gaps_give(&unused, inner, inner_end - inner) &&
		     mhp__gaps_give(&ready, inner_end, end - inner_end);
	(void)given;
	for (uintptr_t window = down(start, WINDOW); window < end; window += WINDOW)
		if (window < inner || window >= inner_end)
			retire(window);
	pthread_mutex_unlock(&lock);
	return true;
}

static void
before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void
after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

void
mhp__extents_fork_init(void)
{
	(void)pthread_atfork(before_fork, after_fork, after_fork);
}
