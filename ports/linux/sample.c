/* SPDX-License-Identifier: MIT */
/*
 * sample.c - two ways to ask the page tables who used what.
 *
 * Shared mappings: MADV_DONTNEED drops the entries and keeps the data; pagemap says which came
 * back. For reads the kernel maps 16 pages around a fault, so that is one part. A page that is the
 * program's own (private, anonymous) would be lost: pagemap is asked first that there is none.
 *
 * Ordinary memory: MADV_COLD clears the accessed bits of a range and does nothing else, unless
 * memory gets short. Where they are set again is told for whole mappings only (Referenced in
 * smaps). So each window is made a mapping of its own for the moment of the look, by marks that
 * mean nothing to anonymous memory (MADV_RANDOM, MADV_SEQUENTIAL in turns); when they are gone, the
 * kernel merges it with its neighbours. A program's own such marks are lost by that.
 *
 * What else there is, and why not: clear_refs forgets the whole process; PAGEMAP_SCAN and
 * soft-dirty see writes only; idle page tracking and DAMON need root, and are not in every kernel.
 * Taking pages away, or rights, would hold up the program.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lines.h"
#include "sample.h"
#include "space.h"

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_SHARED (UINT64_C(1) << 61)
/* The kernel's fault-around. */
#define AROUND 16U

/* PAGEMAP_SCAN of Linux 6.7. */
struct scan {
	uint64_t size, flags, start, end, walk_end, found, found_len, max_pages;
	uint64_t inverted, all_of, any_of, returned;
};
struct scan_range {
	uint64_t start, end, categories;
};
#define SCAN _IOWR('f', 16, struct scan)
#define SCAN_IS_HUGE (UINT64_C(1) << 6)

static uint64_t
now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* ---- shared mappings ---- */

static unsigned
read_pagemap(int fd, const struct mhp__look *look, uint64_t *entry)
{
	size_t bytes = (look->size >> MHP__PAGE_SHIFT) * sizeof(*entry);
	off_t at = (off_t)((look->start >> MHP__PAGE_SHIFT) * sizeof(*entry));
	ssize_t got = look->size > MHP__HUGE_BYTES ? 0 : pread(fd, entry, bytes, at);
	return got == (ssize_t)bytes ? (unsigned)(bytes / sizeof(*entry)) : 0;
}

static bool
forget_shared(const struct mhp__look *look)
{
	uint64_t entry[MHP__HUGE_PAGES];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned nr = fd < 0 ? 0 : read_pagemap(fd, look, entry);
	bool safe = nr != 0;
	for (unsigned i = 0; i < nr; i++)
		safe &= (entry[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) == 0 ||
			(entry[i] & PAGEMAP_SHARED) != 0;
	if (fd >= 0)
		close(fd);
	return safe && madvise((void *)look->start, look->size, MADV_DONTNEED) == 0;
}

/* Is the window mapped by one entry? Then that was set by one use. True if it is not known. */
static bool
is_huge(int fd, const struct mhp__look *look)
{
	struct scan_range range;
	struct scan scan = {
		.size = sizeof(scan), .start = look->start, .end = look->start + look->size,
		.found = (uintptr_t)&range, .found_len = 1,
		.all_of = SCAN_IS_HUGE, .returned = SCAN_IS_HUGE,
	};
	return ioctl(fd, SCAN, &scan) != 0;
}

static void
see_shared(int fd, struct mhp__look *look)
{
	uint64_t entry[MHP__HUGE_PAGES];
	unsigned nr = read_pagemap(fd, look, entry);
	look->over_ns = now_ns() - look->forgot_ns;
	for (unsigned page = 0; page < nr; page += AROUND) {
		bool used = false;
		for (unsigned i = page; i < nr && i < page + AROUND; i++)
			used |= (entry[i] & PAGEMAP_PRESENT) != 0;
		look->used += used;
		look->parts++;
	}
	if (look->used == look->parts && look->parts > 1 && is_huge(fd, look))
		look->used = look->parts = 1;
}

/* ---- ordinary memory ---- */

/* Make windows mappings of their own, or no longer. Neighbours differ. */
static void
mark(const struct mhp__look *look, unsigned nr, bool on)
{
	for (unsigned i = 0; i < nr; i++)
		if (look[i].forgot_ns != 0 && !look[i].shared)
			(void)madvise((void *)look[i].start, look[i].size,
				      !on ? MADV_NORMAL :
				      look[i].start / MHP__HUGE_BYTES % 2 == 0 ? MADV_RANDOM
									       : MADV_SEQUENTIAL);
}

/* What smaps says of a mapping, in KiB. */
struct mapping {
	unsigned long start, end;
	unsigned long resident, used, huge;
};

/* The mapping whose first line this is. Leaves at the line with its flags, which is the last. */
static bool
read_mapping(struct mhp__lines *lines, const char *line, struct mapping *ret)
{
	*ret = (struct mapping){ 0 };
	if (sscanf(line, "%lx-%lx", &ret->start, &ret->end) != 2)
		return false;
	for (; line != NULL && strncmp(line, "VmFlags:", 8) != 0; line = mhp__lines_next(lines)) {
		(void)sscanf(line, "Rss: %lu", &ret->resident);
		(void)sscanf(line, "Referenced: %lu", &ret->used);
		(void)sscanf(line, "AnonHugePages: %lu", &ret->huge);
	}
	return true;
}

static void
note_mapping(struct mhp__look *look, unsigned nr, const struct mapping *mapping)
{
	for (unsigned i = 0; i < nr; i++) {
		if (look[i].forgot_ns == 0 || look[i].shared ||
		    mapping->start < look[i].start ||
		    mapping->end > look[i].start + look[i].size)
			continue;
		look[i].over_ns = now_ns() - look[i].forgot_ns;
		if (mapping->huge != 0) {
			look[i].parts += 1;
			look[i].used += mapping->used != 0;
		} else {
			look[i].parts += (unsigned)(mapping->resident >> 2);
			look[i].used += (unsigned)(mapping->used >> 2);
		}
	}
}

/* The highest address of the ordinary windows; 0: there are none. */
static uintptr_t
last_address(const struct mhp__look *look, unsigned nr)
{
	uintptr_t last = 0;
	for (unsigned i = 0; i < nr; i++)
		if (look[i].forgot_ns != 0 && !look[i].shared && look[i].start > last)
			last = look[i].start;
	return last;
}

static void
see_ordinary(struct mhp__look *look, unsigned nr)
{
	uintptr_t last = last_address(look, nr);
	struct mhp__lines lines = { .fd = -1 };
	struct mapping mapping = { 0 };
	if (last != 0)
		lines.fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	if (lines.fd < 0)
		return;
	mark(look, nr, true);
	for (char *line; mapping.end <= last && (line = mhp__lines_next(&lines)) != NULL;)
		if (read_mapping(&lines, line, &mapping))
			note_mapping(look, nr, &mapping);
	mark(look, nr, false);
	close(lines.fd);
}

/* ---- both ---- */

bool
mhp__sample_forget(struct mhp__look *look)
{
	look->parts = look->used = 0;
	look->forgot_ns = now_ns();
	if (!(look->shared ? forget_shared(look)
			   : madvise((void *)look->start, look->size, MADV_COLD) == 0))
		look->forgot_ns = 0;
	return look->forgot_ns != 0;
}

void
mhp__sample_see(struct mhp__look *look, unsigned nr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; fd >= 0 && i < nr; i++)
		if (look[i].forgot_ns != 0 && look[i].shared)
			see_shared(fd, &look[i]);
	if (fd >= 0)
		close(fd);
	see_ordinary(look, nr);
}
