/* SPDX-License-Identifier: MIT */
/*
 * advise.c - libc's madvise, for memory of the heap that may lie on a device.
 *
 * In ordinary memory, MADV_DONTNEED and MADV_FREE give the data up: it reads as zeros, with
 * MADV_FREE now or later. On a device the memory is shared with the device: MADV_DONTNEED would
 * drop the mapping and keep the data, and MADV_FREE would be refused. So what a program gives up
 * inside of the heap is zeroed where it is. A call waits for a window that is on its way, as an
 * access would: no program expects "try again", and one that counts on zeros may not look at the
 * answer. What shall hold for ever, as MADV_DONTFORK, is done where the kernel does it to any page
 * and a fork knows of it: in ordinary memory, where it stays. So are mprotect and mlock.
 *
 * Our own library, with jemalloc in it, does not come here (__wrap_...).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "heap.h"
#include "lock.h"
#include "maps.h"

int __wrap_madvise(void *start, size_t size, int advice);
__attribute__((visibility("default"))) int mhp__madvise(void *start, size_t size,
							int advice) __asm__("madvise");

int
__wrap_madvise(void *start, size_t size, int advice)
{
	return (int)syscall(SYS_madvise, start, size, advice);
}

/* A range that is only partly the heap's is not one piece of anybody's memory. */
bool
mhp__heap_has(uintptr_t start, uintptr_t size)
{
	return start >= mhp__heap.start && start < mhp__heap.end && size <= mhp__heap.end - start;
}

bool
mhp__heap_hold(uintptr_t start, uintptr_t size)
{
	return mhp__at_page(start) && mhp__heap_has(start, size) &&
	       mhp_region_hold(mhp__heap.region, (void *)start, size, true, NULL) == 0;
}

void
mhp__heap_release(bool held)
{
	int error = errno;
	if (held)
		mhp_region_release(mhp__heap.region);
	errno = error;
}

static int
give_up(void *start, uintptr_t size)
{
	struct mhp_pool_stats stats;
	int err;
	while ((err = mhp_region_purge(mhp__heap.region, start, size)) == MHP_EAGAIN)
		mhp_pool_get_stats(mhp__heap.pool, &stats); /* waits until it has arrived */
	return err;
}

/* What the program maps itself is ordinary memory while the kernel is told. It stops at memory that
 * is locked, and what is behind that keeps its data: so nothing is lost beforehand then. */
static int
advise_map(void *start, size_t size, int advice, bool wanted)
{
	uintptr_t at = (uintptr_t)start, pages = mhp__whole_pages(size);
	if (!mhp__maps_any(at, pages))
		return __wrap_madvise(start, size, advice);
	if (!mhp__maps_hold(at, pages, wanted || mhp__lock_ever()))
		return -1;
	int failed = __wrap_madvise(start, size, advice);
	mhp__maps_release();
	return failed;
}

/* Advice that is none: a program counts on it. */
static bool
holds_for_ever(int advice)
{
	return advice == MADV_DONTFORK || advice == MADV_DOFORK || advice == MADV_WIPEONFORK ||
	       advice == MADV_KEEPONFORK || advice == MADV_DONTDUMP || advice == MADV_DODUMP;
}

/* The kernel refuses it for locked memory, and for part of a huge page, which is never locked; on a
 * device it drops nothing but mappings. */
static int
drop_unlocked(void *start, size_t size)
{
	int failed = __wrap_madvise(start, size, MADV_DONTNEED);
	bool held = failed != 0 && mhp__heap_hold((uintptr_t)start, mhp__whole_pages(size));
	if (held)
		failed = __wrap_madvise(start, size, MADV_DONTNEED);
	mhp__heap_release(held);
	return failed;
}

static int
advise_heap(void *start, size_t size, int advice)
{
	bool held = holds_for_ever(advice) &&
		    mhp__heap_hold((uintptr_t)start, mhp__whole_pages(size));
	int failed = __wrap_madvise(start, size, advice);
	mhp__heap_release(held);
	return failed;
}

int
mhp__madvise(void *start, size_t size, int advice)
{
	uintptr_t at = (uintptr_t)start, pages = mhp__whole_pages(size);
	bool gives_up = advice == MADV_DONTNEED || advice == MADV_FREE;
	if (size == 0 || !mhp__at_page(at))
		return __wrap_madvise(start, size, advice);
	if (!mhp__heap_has(at, pages))
		return advise_map(start, size, advice, !gives_up);
	if (gives_up && mhp__lock_ever() && drop_unlocked(start, size) != 0)
		return -1;
	if (!gives_up || (advice == MADV_FREE && __wrap_madvise(start, size, advice) == 0))
		return advise_heap(start, size, advice);
	int err = give_up(start, pages);
	if (err == MHP_EINVAL) /* not all of it is memory */
		return __wrap_madvise(start, size, advice);
	errno = err == 0 ? errno : EINVAL; /* as for memory that is locked */
	return err == 0 ? 0 : -1;
}
