/* SPDX-License-Identifier: MIT */
/*
 * remap.c - mremap, also of what the kernel has in several pieces.
 *
 * Memory that was on a device is a mapping of its own when it is back. The kernel grows only one
 * mapping at a time, before Linux 6.17 it also moves only one, and otherwise it refuses (EFAULT).
 * Then either the last page grows where it is; or all pieces move to addresses that are reserved
 * for them, the last page by itself, and it grows there. Must not know the books.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "remap.h"

#define MOVE (MREMAP_MAYMOVE | MREMAP_FIXED)
#define KEEP MREMAP_DONTUNMAP           /* what has moved leaves empty memory behind */

static bool
remap(uintptr_t start, uintptr_t size, uintptr_t new_size, int flags, uintptr_t to)
{
	return (void *)syscall(SYS_mremap, start, size, new_size, flags, to) != MAP_FAILED;
}

/* How much of [start, start + size), after which something is mapped, so that nothing grows, the
 * kernel has in one piece from the start on. */
static uintptr_t
piece_at(uintptr_t start, uintptr_t size, uintptr_t page)
{
	uintptr_t one = page, more = size + page;
	while (more - one > page) {
		uintptr_t part = one + (more - one) / 2 / page * page;
		if (!remap(start, part, part + page, 0, 0) && errno == EFAULT)
			more = part;
		else
			one = part;
	}
	return one;
}

/* Move what begins at start to other addresses, piece by piece; returns how much has moved. */
static uintptr_t
move_pieces(uintptr_t start, uintptr_t size, uintptr_t to, int keep, uintptr_t page)
{
	uintptr_t done = 0;
	for (uintptr_t piece; done < size; done += piece) {
		piece = piece_at(start + done, size - done, page);
		if (!remap(start + done, piece, piece, MOVE | keep, to + done))
			break;
	}
	return done;
}

/* A range with a hole in it is refused as without us (EFAULT). Of anonymous memory nothing is
 * written back; the kernel only looks whether it is there. */
static bool
has_hole(uintptr_t start, uintptr_t size)
{
	bool hole = msync((void *)start, size, MS_ASYNC) != 0 && errno == ENOMEM;
	errno = EFAULT;
	return hole;
}

/* All of it moves, or (errno) nothing. */
static bool
move(uintptr_t start, uintptr_t size, uintptr_t new_size, uintptr_t to, int keep, uintptr_t page)
{
	uintptr_t last = size - page, done = move_pieces(start, last, to, keep, page);
	if (done == last &&
	    remap(start + last, page, page + new_size - size, MOVE | keep, to + last))
		return true;
	int error = errno;
	(void)move_pieces(to, done, start, 0, page);
	errno = error;
	return false;
}

static void *
remap_pieces(uintptr_t start, uintptr_t size, uintptr_t new_size, int flags, void *to)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	bool fixed = (flags & MREMAP_FIXED) != 0;
	int keep = flags & KEEP;
	size = size < new_size ? size : new_size; /* the kernel has unmapped the rest */
	if (has_hole(start, size))
		return MAP_FAILED;
	if (!fixed && keep == 0 && remap(start + size - page, page, page + new_size - size, 0, 0))
		return (void *)start;
	errno = ENOMEM;
	if ((flags & MREMAP_MAYMOVE) == 0)
		return MAP_FAILED;
	if (!fixed)
		to = (void *)syscall(SYS_mmap, NULL, new_size, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (to == MAP_FAILED || move(start, size, new_size, (uintptr_t)to, keep, page))
		return to;
	int error = errno;
	if (!fixed)
		(void)syscall(SYS_munmap, to, new_size);
	errno = error;
	return MAP_FAILED;
}

void *
mhp__remap(void *start, size_t size, size_t new_size, int flags, void *to)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	void *moved = (void *)syscall(SYS_mremap, start, size, new_size, flags, to);
	if (moved != MAP_FAILED || errno != EFAULT || (flags & ~(MOVE | KEEP)) != 0)
		return moved;
	return remap_pieces((uintptr_t)start, (size + page - 1) / page * page,
			    (new_size + page - 1) / page * page, flags, to);
}
