/* SPDX-License-Identifier: MIT */
/*
 * extents.c - addresses and memory for jemalloc's extents, out of one region.
 *
 * An address of the region is in use, free, or ready. Free: nothing is behind it. Ready: it is
 * committed, nobody uses it, and it reads as zeros. Most memory is committed by whole windows of 2
 * MiB, which are one page of the pool where it has one: cheap to commit, quick to leave, and what a
 * device of such pages takes. The rest of its last piece is ready for what comes next, of which the
 * end may be in the next window. A window that nobody uses any more is decommitted, and so is what
 * is ready, as far as the pool is short of memory. Extents of a window and more get room behind
 * them instead, so that realloc finds it free, as long as that does not scatter the region too
 * much. Where the pool deals in windows only, the rest of an extent's last one is ready, too, but
 * others have it only when the pool is full; so only longer extents get room. The lock is held for
 * a few steps through a tree, or one decommit.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "gaps.h"
#include "heap.h"

#define WINDOW (UINT64_C(2) << 20)
/* Extents from so many pages of the pool on, and from a window on, get room to grow, as much as is
 * in the largest gap, unless that is less than so many times their size, or there are so many gaps.
 */
#define ROOM_PAGES_MIN 8
#define ROOM_MIN 8
#define GAPS_MAX 2048U
/* Of what is ready so much goes at once when memory is short: less would leave it in more pieces,
 * and cost as many calls. */
#define TRIM_MIN (2 * WINDOW)

static pthread_mutex_t lock;
/* Large extents with room are in the upper part of the region, all others in the lower one. */
enum part { DENSE, ROOMY, PARTS };
static uintptr_t roomy_start; /* const */
static bool huge_wanted;      /* const: in the upper part */
static struct mhp__gaps unused[PARTS], ready; /* under the lock */

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

static enum part
part_of(uintptr_t address)
{
	return address < roomy_start ? DENSE : ROOMY;
}

/* A process beside the program gives extents back, too. */
static void
init_lock(void)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&lock, &attr);
}

/* The kernel knows where huge pages are wanted once for all: it need not cut a mapping for that. */
bool
mhp__extents_init(bool huge)
{
	uintptr_t start = mhp__heap.start, end = mhp__heap.end;
	roomy_start = start + down((end - start) / 4, WINDOW);
	huge_wanted = huge;
	init_lock();
	if (huge)
		(void)!mhp_region_set_huge(mhp__heap.region, MHP_HUGE_ON, (void *)roomy_start,
					   NULL);
	return mhp__gaps_init() && mhp__gaps_give(&unused[DENSE], start, roomy_start - start) &&
	       mhp__gaps_give(&unused[ROOMY], roomy_start, end - roomy_start);
}

static void
give(struct mhp__gaps *gaps, uintptr_t start, uintptr_t size)
{
	/* When the store is full, the addresses are lost, and nothing but those. */
	pthread_mutex_lock(&lock);
	(void)!mhp__gaps_give(gaps, start, size);
	pthread_mutex_unlock(&lock);
}

/* Lock held. */
static void
give_unused_locked(uintptr_t start, uintptr_t size)
{
	uintptr_t below = start < roomy_start ? roomy_start - start : 0;
	if (below > size)
		below = size;
	(void)!mhp__gaps_give(&unused[DENSE], start, below);
	(void)!mhp__gaps_give(&unused[ROOMY], start + below, size - below);
}

static void
give_unused(uintptr_t start, uintptr_t size)
{
	pthread_mutex_lock(&lock);
	give_unused_locked(start, size);
	pthread_mutex_unlock(&lock);
}

/* It is committed: what else is asked for? */
static int
keep(uintptr_t start, uintptr_t size)
{
	bool (*fn)(uintptr_t, uintptr_t) = atomic_load_explicit(&mhp__heap.keep,
								 memory_order_relaxed);
	if (fn == NULL || fn(start, size))
		return 0;
	(void)!mhp_region_decommit(mhp__heap.region, (void *)start, size);
	return MHP_ENOMEM;
}

/*
 * What is ready goes only so far: it is there for the next extent without a call, and one malloc
 * that gave back all of it would take long. Bound: each turn adds a block, or gives back memory,
 * twice as much as the one before.
 */
int
mhp__extents_afford(struct mhp_region *region, uintptr_t start, uintptr_t size, bool trims)
{
	for (uintptr_t wanted = trims ? most(size, TRIM_MIN) : 0;;) {
		int err = mhp_region_commit(region, (void *)start, size);
		if (err != MHP_ENOMEM)
			return err;
		err = mhp__heap_grow(size);
		if (err == 0)
			continue;
		if (err != MHP_ENOMEM || mhp__extents_trim(wanted) == 0)
			return err;
		wanted *= 2;
	}
}

static int
commit(uintptr_t start, uintptr_t size, bool trims)
{
	int err = mhp__extents_afford(mhp__heap.region, start, size, trims);
	return err == 0 ? keep(start, size) : err;
}

int
mhp__extents_commit(uintptr_t start, uintptr_t size)
{
	return commit(start, size, true);
}

/* Is it long enough for room behind it? */
static bool
gets_room(uintptr_t size)
{
	return size >= most(WINDOW, ROOM_PAGES_MIN * mhp_region_granule(mhp__heap.region));
}

/* Where an extent has room behind it; 0: it gets none. Lock held. */
static uintptr_t
roomy_place(uintptr_t size, uintptr_t alignment)
{
	uintptr_t gap, room = mhp__gaps_largest(&unused[ROOMY], &gap);
	if (!gets_room(size) || mhp__gaps_nr(&ready) > GAPS_MAX ||
	    room / ROOM_MIN < most(size, most(alignment, WINDOW)))
		return 0;
	return up(gap + room / 2, most(alignment, WINDOW));
}

static bool
deals_in_windows(void)
{
	return mhp_region_granule(mhp__heap.region) >= WINDOW;
}

/* The lowest place that is ready, also in the last window of an extent that has room. Lock held. */
static uintptr_t
ready_place(uintptr_t size, uintptr_t alignment)
{
	return mhp__gaps_lowest(&ready, size, alignment);
}

/* The lowest place that is ready; else one that is unused, and what is ready in front of it. 0:
 * there is none. Lock held. */
static uintptr_t
dense_place(uintptr_t size, uintptr_t alignment)
{
	uintptr_t start = ready_place(size, alignment);
	if (deals_in_windows() && part_of(start) == ROOMY)
		start = 0;
	uintptr_t unit = size < WINDOW ? alignment : most(alignment, WINDOW);
	for (int part = DENSE; part < PARTS && start == 0; part++) {
		start = mhp__gaps_lowest(&unused[part], up(size, unit), unit);
		if (start != 0)
			start = up(start - mhp__gaps_before(&ready, start), alignment);
	}
	return start;
}

/* What an extent is made of: what is ready, and behind it what was unused and is to be committed,
 * of which more may have been taken than it needs. */
struct piece {
	uintptr_t ready, start, needed, taken;
};

/* Take what an extent is made of; what it shares a window with shall be committed with it, unless
 * it has room behind it. False: not all of that is there. Lock held. */
static bool
take(uintptr_t start, uintptr_t size, struct piece *ret)
{
	uintptr_t first = mhp__gaps_at(&ready, start);
	first = first < size ? first : size;
	uintptr_t next = start + first, rest = size - first;
	struct mhp__gaps *set = &unused[part_of(next)];
	*ret = (struct piece){ .ready = first, .start = next };
	ret->needed = up(rest, mhp_region_granule(mhp__heap.region));
	ret->taken = set == &unused[DENSE] && rest != 0 ? up(next + rest, WINDOW) - next
							: ret->needed;
	if (mhp__gaps_at(set, next) < ret->taken)
		ret->taken = ret->needed;
	if (!mhp__gaps_take(set, next, ret->taken))
		return false;
	if (mhp__gaps_take(&ready, start, first))
		return true;
	(void)!mhp__gaps_give(set, next, ret->taken);
	return false;
}

/* Commit what was taken of an extent of that size at start, or give it back. What it does not need
 * is ready then, or unused again. */
static int
commit_taken(uintptr_t start, uintptr_t size, const struct piece *piece)
{
	uintptr_t committed = piece->taken, end = start + size;
	bool more = piece->needed < committed;
	int err = committed == 0 ? 0 : commit(piece->start, committed, !more);
	if (err != 0 && more) {
		committed = piece->needed;
		err = commit(piece->start, committed, true);
	}
	if (err != 0) {
		give(&ready, start, piece->ready);
		give_unused(piece->start, piece->taken);
		return err;
	}
	give_unused(piece->start + committed, piece->taken - committed);
	if (committed != 0)
		give(&ready, end, piece->start + committed - end);
	return 0;
}

static int
alloc(uintptr_t wanted, uintptr_t size, uintptr_t alignment,
      uintptr_t (*place)(uintptr_t size, uintptr_t alignment), uintptr_t *ret_start)
{
	struct piece piece;
	pthread_mutex_lock(&lock);
	uintptr_t start = wanted != 0 ? wanted : place(size, alignment);
	bool taken = start != 0 && take(start, size, &piece);
	pthread_mutex_unlock(&lock);
	*ret_start = start;
	return taken ? commit_taken(start, size, &piece) : MHP_ENOMEM;
}

/* Would an extent of the lower part, which ends there, grow past its window, or to where it gets
 * room? Then it shall be moved, once, to where huge pages and room are. An array grows by a quarter
 * and more at a time. */
static bool
outgrows(uintptr_t end, uintptr_t size)
{
	if (!huge_wanted || part_of(end) != DENSE)
		return false;
	if (deals_in_windows())
		return gets_room(4 * size);
	return size >= WINDOW / 8 && down(end - 1, WINDOW) != down(end + size - 1, WINDOW);
}

int
mhp__extents_alloc(uintptr_t wanted, uintptr_t size, uintptr_t alignment, uintptr_t *ret_start)
{
	if (wanted != 0 && outgrows(wanted, size))
		return MHP_ENOMEM;
	if (wanted == 0 && alloc(0, size, alignment, roomy_place, ret_start) == 0)
		return 0;
	int err = alloc(wanted, size, alignment, dense_place, ret_start);
	if (err == MHP_ENOMEM && wanted == 0 && deals_in_windows())
		err = alloc(0, size, alignment, ready_place, ret_start);
	return err;
}

/* Bytes from start on of which none is in use. Lock held. */
static uintptr_t
free_at(uintptr_t start)
{
	return most(mhp__gaps_at(&ready, start), mhp__gaps_at(&unused[part_of(start)], start));
}

/* Is no address of the range in use? Lock held. Bound: a turn for each page. */
static bool
idle(uintptr_t start, uintptr_t end)
{
	while (start < end) {
		uintptr_t size = free_at(start);
		if (size == 0)
			return false;
		start += size;
	}
	return true;
}

/* What is ready and was decommitted: it is unused. The store had room before, and of pieces with
 * unused ones between them none needs more of it. Lock held. */
static void
take_back(uintptr_t start, uintptr_t size)
{
	(void)!mhp__gaps_take(&ready, start, size);
	give_unused_locked(start, size);
}

/* Decommit the window at start if nobody uses any of it. Lock held. */
static void
retire(uintptr_t start)
{
	if (mhp__gaps_full(&ready) || !idle(start, start + WINDOW) ||
	    mhp_region_decommit(mhp__heap.region, (void *)start, WINDOW) != 0)
		return;
	for (uintptr_t at = start, size; at < start + WINDOW; at += size) {
		size = free_at(at);
		if (size > start + WINDOW - at)
			size = start + WINDOW - at;
		if (mhp__gaps_at(&ready, at) != 0)
			take_back(at, size);
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
	(void)!mhp__gaps_give(&ready, start, inner - start);
	give_unused_locked(inner, inner_end - inner);
	(void)!mhp__gaps_give(&ready, inner_end, end - inner_end);
	for (uintptr_t window = down(start, WINDOW); window < end; window += WINDOW)
		if (window < inner || window >= inner_end)
			retire(window);
	pthread_mutex_unlock(&lock);
	return true;
}

/* Decommit so much of what is ready at start, if it can be done now; how much was. Lock held. */
static uintptr_t
trim_at(uintptr_t start, uintptr_t bytes)
{
	uintptr_t granule = mhp_region_granule(mhp__heap.region);
	uintptr_t first = up(start, granule), end = start + mhp__gaps_at(&ready, start);
	uintptr_t size = down(end, granule) - first;
	if (down(end, granule) <= first || mhp__gaps_full(&ready))
		return 0;
	size = size > bytes ? up(bytes, granule) : size;
	if (mhp_region_decommit(mhp__heap.region, (void *)first, size) != 0)
		return 0;
	take_back(first, size);
	return size;
}

uintptr_t
mhp__extents_trim(uintptr_t bytes)
{
	uintptr_t next = 0, done = 0;
	while (done < bytes && next != UINTPTR_MAX) {
		pthread_mutex_lock(&lock);
		next = mhp__gaps_next(&ready, next);
		if (next != UINTPTR_MAX)
			done += trim_at(next, bytes - done);
		pthread_mutex_unlock(&lock);
	}
	return done;
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

static void
in_child(void)
{
	pthread_mutex_unlock(&lock);
	atomic_store(&mhp__heap.keep, NULL); /* a child's memory is not locked */
	mhp__heap_grow_in_child();
}

void
mhp__extents_fork_init(void)
{
	(void)pthread_atfork(before_fork, after_fork, in_child);
}
