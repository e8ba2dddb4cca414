/* SPDX-License-Identifier: MIT */
/*
 * maps.c - the books of what the program maps itself.
 *
 * Three sets of addresses. In the books: it was mapped large, private and anonymous. Charged: part
 * of it has pages of the pool, because it was made writable. Owed: its memory is gone, but the
 * engine held the pages at that moment; they are given back later, or serve what is mapped there
 * next. The lock is held for the time of a commit, with signals blocked. If
 * the books change before the kernel is asked, their old state is noted first, and restored if the
 * kernel refuses. Raw system calls of the program make the charge wrong until the addresses are
 * used again, and do no other harm.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "heap.h"
#include "maps.h"
#include "taken.h"

/* Owed ranges that one call tries to give back. */
#define SETTLE_MAX 4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct mhp__gaps none = { .owner = MHP__GAPS_OF_MAPS };
static struct mhp__gaps booked = { .owner = MHP__GAPS_OF_MAPS }; /* under the lock, as the next */
static struct mhp__gaps charged = { .owner = MHP__GAPS_OF_MAPS };
static struct mhp__gaps owed = { .owner = MHP__GAPS_OF_MAPS };
static struct mhp_region *region;              /* const, as the next */
static uint64_t least_bytes;
static _Atomic uintptr_t lowest = UINTPTR_MAX, highest; /* of what was ever in the books */

void
mhp__maps_enter(sigset_t *ret_before)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

void
mhp__maps_leave(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

static sigset_t before_fork_mask;

static void
before_fork(void)
{
	sigset_t before;
	mhp__maps_enter(&before);
	pthread_mutex_lock(&lock);
	before_fork_mask = before;
}

static void
after_fork(void)
{
	sigset_t before = before_fork_mask;
	pthread_mutex_unlock(&lock);
	mhp__maps_leave(&before);
}

int
mhp__maps_start(struct mhp_pool *pool, uint64_t least, struct mhp_text *reterr)
{
	struct mhp_region *over;
	int err = mhp__gaps_init() ? mhp_region_create_over(pool, "mmap", &over, reterr)
				   : MHP_ENOMEM;
	if (err != 0)
		return err;
	least_bytes = least;
	region = over;
	return 0;
}

void
mhp__maps_fork_init(void)
{
	(void)pthread_atfork(before_fork, after_fork, after_fork);
}

bool
mhp__maps_kind(int protection, int flags, int fd)
{
	const int never = MAP_GROWSDOWN | MAP_STACK | MAP_HUGETLB;
	return (flags & MAP_TYPE) == MAP_PRIVATE && (flags & MAP_ANONYMOUS) != 0 && fd == -1 &&
	       (flags & never) == 0 && (protection & PROT_EXEC) == 0;
}

bool
mhp__maps_large(uintptr_t size)
{
	return region != NULL && size >= least_bytes;
}

bool
mhp__maps_any(uintptr_t start, uintptr_t size)
{
	return start < atomic_load(&highest) && start + size > atomic_load(&lowest);
}

bool
mhp__maps_charged(uintptr_t start, uintptr_t size)
{
	return mhp__maps_any(start, size) && mhp_region_used(region, (void *)start, size);
}

/* What reaches beyond all addresses the kernel will refuse. */
bool
mhp__maps_hold(uintptr_t start, uintptr_t size, bool wanted)
{
	int err = mhp_region_hold(region, (void *)start, size, wanted, NULL);
	if (err == MHP_EINVAL)
		err = mhp_region_hold(region, NULL, 0, true, NULL);
	if (err != 0)
		errno = ENOMEM;
	return err == 0;
}

void
mhp__maps_release(void)
{
	int error = errno;
	mhp_region_release(region);
	errno = error;
}

bool
mhp__maps_all(uintptr_t start, uintptr_t size)
{
	pthread_mutex_lock(&lock);
	bool all = mhp__gaps_at(&booked, start) >= size;
	pthread_mutex_unlock(&lock);
	return all;
}

/* Put all of [start, end) into a set, whatever of it is there. False: the store is full. */
static bool
fill(struct mhp__gaps *set, uintptr_t start, uintptr_t end)
{
	bool done = true;
	for (uintptr_t piece; start < end && done; start += piece) {
		piece = mhp__gaps_at(set, start);
		if (piece == 0) {
			uintptr_t next = mhp__gaps_next(set, start);
			piece = (next < end ? next : end) - start;
			done = mhp__gaps_give(set, start, piece);
		}
	}
	return done;
}

/* The first piece at or after *start and before end that is in a set: its length, or 0. */
static uintptr_t
first_piece(const struct mhp__gaps *set, uintptr_t *start, uintptr_t end)
{
	if (mhp__gaps_at(set, *start) == 0)
		*start = mhp__gaps_next(set, *start);
	if (*start >= end)
		return 0;
	uintptr_t piece = mhp__gaps_at(set, *start);
	return piece < end - *start ? piece : end - *start;
}

void
mhp__maps_add(uintptr_t start, uintptr_t size)
{
	pthread_mutex_lock(&lock);
	(void)!fill(&booked, start, start + size);
	if (start < atomic_load(&lowest))
		atomic_store(&lowest, start);
	if (start + size > atomic_load(&highest))
		atomic_store(&highest, start + size);
	pthread_mutex_unlock(&lock);
}

/* again: the program had so much before. */
static int
commit(uintptr_t start, uintptr_t size, bool again)
{
	if (again)
		mhp__taken_again(size);
	else if (!mhp__taken_more(size))
		return MHP_ENOMEM;
	int err = mhp__extents_afford(region, start, size, true);
	if (err != 0)
		mhp__taken_less(size);
	return err;
}

/* False: the engine holds the pages. */
static bool
decommit(uintptr_t start, uintptr_t size)
{
	bool done = mhp_region_decommit(region, (void *)start, size) == 0;
	if (done)
		mhp__taken_less(size);
	return done;
}

/* Decommit the charged pieces of [start, end); what the engine holds now is owed. Lock held. */
static void
uncharge(struct mhp__gaps *set, uintptr_t start, uintptr_t end)
{
	for (uintptr_t piece; (piece = first_piece(set, &start, end)) != 0; start += piece) {
		if (!mhp__gaps_take(set, start, piece))
			return;
		if (!decommit(start, piece))
			(void)!mhp__gaps_give(&owed, start, piece);
	}
}

/* Try to give back what is owed. Lock held. */
static void
settle(void)
{
	uintptr_t start = 0;
	for (int i = 0; i < SETTLE_MAX; i++) {
		uintptr_t piece = first_piece(&owed, &start, UINTPTR_MAX);
		if (piece == 0)
			return;
		if (decommit(start, piece))
			(void)!mhp__gaps_take(&owed, start, piece);
		start += piece;
	}
}

/*
 * Charge what of [start, end), which is in the books, is not charged yet; fresh collects that, to
 * be undone. Lock held.
 */
static int
charge_piece(struct mhp__gaps *fresh, uintptr_t start, uintptr_t end, bool again)
{
	for (uintptr_t piece; start < end; start += piece) {
		piece = mhp__gaps_at(&charged, start);
		if (piece != 0)
			continue;
		uintptr_t stop = mhp__gaps_next(&charged, start);
		piece = (stop < end ? stop : end) - start;
		uintptr_t due = mhp__gaps_at(&owed, start);
		if (due != 0 && due < piece)
			piece = due;
		uintptr_t next_due = mhp__gaps_next(&owed, start);
		if (due == 0 && next_due - start < piece)
			piece = next_due - start;
		int err = 0;
		if (due == 0)
			err = commit(start, piece, again);
		else if (!mhp__gaps_take(&owed, start, piece))
			err = MHP_ENOSPC;
		if (err == 0 && !mhp__gaps_give(fresh, start, piece)) {
			(void)!decommit(start, piece);
			err = MHP_ENOSPC;
		}
		if (err != 0)
			return err;
	}
	return 0;
}

static int
charge(uintptr_t start, uintptr_t size, bool again)
{
	struct mhp__gaps fresh = none;
	uintptr_t end = start + size, piece;
	int err = 0;
	pthread_mutex_lock(&lock);
	for (uintptr_t at = start; err == 0 && (piece = first_piece(&booked, &at, end)) != 0;
	     at += piece)
		err = charge_piece(&fresh, at, at + piece, again);
	uintptr_t at = start;
	while (err == 0 && (piece = first_piece(&fresh, &at, end)) != 0)
		if (!mhp__gaps_take(&fresh, at, piece) || !fill(&charged, at, at + piece))
			err = MHP_ENOSPC;
	if (err != 0)
		uncharge(&fresh, start, end);
	pthread_mutex_unlock(&lock);
	return err;
}

int
mhp__maps_charge(uintptr_t start, uintptr_t size)
{
	return charge(start, size, false);
}

static void
empty(struct mhp__gaps *set, uintptr_t start, uintptr_t end)
{
	for (uintptr_t piece; (piece = first_piece(set, &start, end)) != 0; start += piece)
		if (!mhp__gaps_take(set, start, piece))
			return;
}

void
mhp__maps_drop(uintptr_t start, uintptr_t size, bool keep)
{
	pthread_mutex_lock(&lock);
	uncharge(&charged, start, start + size);
	settle();
	if (!keep)
		empty(&booked, start, start + size);
	pthread_mutex_unlock(&lock);
}

/* ---- what the kernel may refuse ---- */

/* Add to a set what of [start, end) is in another. A full store leaves some of it out. */
static void
copy(struct mhp__gaps *to, const struct mhp__gaps *from, uintptr_t start, uintptr_t end)
{
	for (uintptr_t piece; (piece = first_piece(from, &start, end)) != 0; start += piece)
		(void)!fill(to, start, start + piece);
}

void
mhp__maps_note(struct mhp__charge *charge)
{
	uintptr_t start = charge->start, end = start + charge->size;
	charge->booked = charge->pieces = none;
	pthread_mutex_lock(&lock);
	copy(&charge->booked, &booked, start, end);
	copy(&charge->pieces, &charged, start, end);
	pthread_mutex_unlock(&lock);
}

/* Where the pool has become full meanwhile, what was charged stays outside of it. */
void
mhp__maps_restore(const struct mhp__charge *noted)
{
	uintptr_t start = noted->start, end = start + noted->size, piece;
	pthread_mutex_lock(&lock);
	for (uintptr_t at = start, next; at < end; at = next + piece) {
		next = at;
		piece = first_piece(&noted->pieces, &next, end);
		next = piece == 0 ? end : next;
		uncharge(&charged, at, next);
	}
	empty(&booked, start, end);
	copy(&booked, &noted->booked, start, end);
	pthread_mutex_unlock(&lock);
	for (; (piece = first_piece(&noted->pieces, &start, end)) != 0; start += piece)
		(void)!charge(start, piece, true);
}

void
mhp__maps_forget(struct mhp__charge *charge)
{
	uintptr_t start = charge->start, end = start + charge->size;
	pthread_mutex_lock(&lock);
	empty(&charge->booked, start, end);
	empty(&charge->pieces, start, end);
	pthread_mutex_unlock(&lock);
}

/* ---- memory that moves ---- */

bool
mhp__maps_may_grow(uintptr_t start, uintptr_t size, uintptr_t more)
{
	pthread_mutex_lock(&lock);
	bool charges = mhp__gaps_at(&charged, start + size - 1) != 0;
	pthread_mutex_unlock(&lock);
	if (!charges || more == 0)
		return true;
	bool may = mhp__taken_more(more);
	if (may)
		mhp__taken_less(more);
	return may;
}

void
mhp__maps_lift(struct mhp__charge *charge)
{
	mhp__maps_note(charge);
	mhp__maps_drop(charge->start, charge->size, false);
}

/* The pieces are the caller's: nobody else changes them. */
bool
mhp__maps_lay(const struct mhp__charge *lifted, uintptr_t start, uintptr_t size)
{
	uintptr_t at = lifted->start, end = at + lifted->size, piece;
	bool done = true;
	mhp__maps_add(start, size);
	for (; done && (piece = first_piece(&lifted->pieces, &at, end)) != 0; at += piece) {
		uintptr_t offset = at - lifted->start;
		if (offset >= size)
			break;
		uintptr_t rest = size - offset, length = piece < rest ? piece : rest;
		done = charge(start + offset, length, true) != MHP_ENOMEM;
		if (done && at + piece == end && rest > length)
			done = mhp__maps_charge(start + offset + length, rest - length) !=
			       MHP_ENOMEM;
	}
	if (!done)
		mhp__maps_drop(start, size, false);
	return done;
}
