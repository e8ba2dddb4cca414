/* SPDX-License-Identifier: MIT */
/*
 * sample.c - two ways to ask the page tables who used what.
 *
 * Shared mappings: MADV_DONTNEED drops the entries and keeps the data; pagemap says which came
 * back. For reads the kernel maps 64 KiB around a fault, so that is one part. A page that is the
 * program's own (private, anonymous) would be lost: pagemap is asked first that there is none.
 *
 * Ordinary memory: MADV_COLD clears the accessed bits of a range and does nothing else, unless
 * memory gets short. Where they are set again is told for whole mappings only (Referenced in
 * smaps). So each window, or each piece of it, is made a mapping of its own for the moment of the
 * look, by marks that mean nothing to anonymous memory (MADV_RANDOM, MADV_SEQUENTIAL by turns);
 * when they are gone, the kernel merges it with its neighbours. A program's own such marks are lost
 * by that. A large page would be mapped by many entries from then on: it is not cut.
 *
 * The alternatives, and why they are not used: clear_refs forgets the whole process; PAGEMAP_SCAN
 * and soft-dirty see writes only; idle page tracking and DAMON need root, and are not in every
 * kernel. Taking pages away, or rights, would hold up the program.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
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

#define TOGETHER 16U                   /* shared windows that are forgotten before a wait */
#define TOGETHER_ORDINARY 8U

_Static_assert(MHP__PIECE_BYTES == 65536, "a piece is what the kernel maps around a fault");

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

static void *
piece_address(const struct mhp__look *look, unsigned piece)
{
	return (void *)(look->start + piece * MHP__PIECE_BYTES);
}

/* ---- shared mappings ---- */

static bool
read_pagemap(int fd, const struct mhp__look *look, uint64_t entry[MHP__HUGE_PAGES])
{
	size_t bytes = MHP__HUGE_BYTES / mhp__kernel_page() * sizeof(*entry);
	off_t at = (off_t)(look->start / mhp__kernel_page() * sizeof(*entry));
	return pread(fd, entry, bytes, at) == (ssize_t)bytes;
}

/* Of pagemap: one for each page of the kernel. */
static unsigned
entries_of_piece(void)
{
	return (unsigned)(MHP__PIECE_BYTES / mhp__kernel_page());
}

static bool
is_used(const uint64_t *entry)
{
	bool used = false;
	for (unsigned i = 0; i < entries_of_piece(); i++)
		used |= (entry[i] & PAGEMAP_PRESENT) != 0;
	return used;
}

static bool
is_safe(const uint64_t *entry)
{
	bool safe = true;
	for (unsigned i = 0; i < entries_of_piece(); i++)
		safe &= (entry[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) == 0 ||
			(entry[i] & PAGEMAP_SHARED) != 0;
	return safe;
}

static bool
forget_shared(const struct mhp__look *look)
{
	uint64_t entry[MHP__HUGE_PAGES];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool safe = fd >= 0 && read_pagemap(fd, look, entry);
	for (unsigned piece = 0; safe && piece < MHP__PIECES; piece++)
		safe = (look->shared >> piece & 1) == 0 ||
		       is_safe(&entry[piece * entries_of_piece()]);
	if (fd >= 0)
		close(fd);
	for (unsigned piece = 0, nr; safe && (nr = mhp__pieces_next(look->shared, &piece)) != 0;
	     piece += nr)
		safe = madvise(piece_address(look, piece), nr * MHP__PIECE_BYTES,
			       MADV_DONTNEED) == 0;
	return safe;
}

bool
mhp__sample_is_huge(uintptr_t start)
{
	struct scan_range range = { 0 };
	struct scan scan = {
		.size = sizeof(scan), .start = start, .end = start + MHP__HUGE_BYTES,
		.found = (uintptr_t)&range, .found_len = 1,
		.all_of = SCAN_IS_HUGE, .returned = SCAN_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool huge = fd >= 0 && ioctl(fd, SCAN, &scan) > 0;
	if (fd >= 0)
		close(fd);
	return huge;
}

static void
see_shared(int fd, struct mhp__look *look)
{
	uint64_t entry[MHP__HUGE_PAGES];
	if (!read_pagemap(fd, look, entry))
		return;
	look->over_shared_ns = now_ns() - look->forgot_ns;
	for (unsigned piece = 0; piece < MHP__PIECES; piece++)
		if ((look->shared >> piece & 1) != 0) {
			look->parts++;
			if (is_used(&entry[piece * entries_of_piece()])) {
				look->seen |= UINT32_C(1) << piece;
				look->used++;
			}
		}
	look->known |= look->shared;
	/* One use set all entries of a large page: of its pieces nothing is known. */
	if (look->used == MHP__PIECES && mhp__sample_is_huge(look->start)) {
		look->used = look->parts = 1;
		look->known = look->seen = 0;
	}
}

/* ---- ordinary memory ---- */

/* Neighbours have different marks, also where one window is told apart and the next is not: all end
 * with the mark of the window, and the second piece has none. */
static int
mark_of(const struct mhp__look *look, unsigned piece)
{
	bool other = look->fine && piece != 0 && piece % 2 == 0;
	if (look->fine && piece == 1)
		return MADV_NORMAL;
	return (look->start / MHP__HUGE_BYTES % 2 == 0) != other ? MADV_RANDOM : MADV_SEQUENTIAL;
}

static void
mark_run(const struct mhp__look *look, unsigned piece, unsigned nr, bool on)
{
	unsigned step = on && look->fine ? 1 : nr;
	for (unsigned end = piece + nr; piece < end; piece += step)
		(void)madvise(piece_address(look, piece), step * MHP__PIECE_BYTES,
			      on ? mark_of(look, piece) : MADV_NORMAL);
}

/* Make a window, or its pieces, mappings of their own, or no longer. */
static void
mark(const struct mhp__look *look, bool on)
{
	for (unsigned piece = 0, nr; (nr = mhp__pieces_next(look->ordinary, &piece)) != 0;
	     piece += nr)
		mark_run(look, piece, nr, on);
}

/* The fields of a mapping in smaps, in KiB. */
struct mapping {
	unsigned long start, end;
	unsigned long resident, used, huge;
};

static void
read_amount(const char *line, const char *name, unsigned long *ret)
{
	size_t length = strlen(name);
	if (line[0] == name[0] && strncmp(line, name, length) == 0)
		*ret = strtoul(line + length, NULL, 10);
}

/* The mapping whose first line this is. Leaves at the line with its flags, which is the last. */
static bool
read_mapping(struct mhp__lines *lines, const char *line, struct mapping *ret)
{
	char *end;
	*ret = (struct mapping){ .start = strtoul(line, &end, 16) };
	if (*end != '-')
		return false;
	ret->end = strtoul(end + 1, NULL, 16);
	for (; line != NULL && strncmp(line, "VmFlags:", 8) != 0; line = mhp__lines_next(lines)) {
		read_amount(line, "Rss:", &ret->resident);
		read_amount(line, "Referenced:", &ret->used);
		read_amount(line, "AnonHugePages:", &ret->huge);
	}
	return true;
}

/* The look at the window that the address is in, searched from *at on, since both are in order
 * mostly; nr: none. */
static unsigned
find_look(const struct mhp__look *look, unsigned nr, uintptr_t address, unsigned *at)
{
	for (unsigned i = 0; i < nr; i++) {
		unsigned found = (*at + i) % nr;
		if (address - look[found].start < MHP__HUGE_BYTES)
			return *at = found;
	}
	return nr;
}

/* The pieces of a look that a mapping holds. */
static uint32_t
pieces_of(const struct mhp__look *look, const struct mapping *mapping)
{
	uint64_t first = (mapping->start - look->start) / MHP__PIECE_BYTES;
	uint64_t nr = (mapping->end - mapping->start) / MHP__PIECE_BYTES;
	uint64_t set = ((UINT64_C(1) << nr) - 1) << first;
	return (uint32_t)set & look->ordinary;
}

static void
note_mapping(struct mhp__look *look, const struct mapping *mapping)
{
	if (look->forgot_ns == 0 || look->ordinary == 0 ||
	    mapping->end > look->start + MHP__HUGE_BYTES)
		return;
	uint32_t pieces = pieces_of(look, mapping);
	if (pieces == 0)
		return;
	look->over_ns = now_ns() - look->forgot_ns;
	if (mapping->huge != 0) {
		look->parts += 1;
		look->used += mapping->used != 0;
		return;
	}
	look->parts += (unsigned)(mapping->resident / (mhp__kernel_page() >> 10));
	look->used += (unsigned)(mapping->used / (mhp__kernel_page() >> 10));
	/* Of several pieces that are one mapping it is not known which were used. */
	if (mapping->used == 0 || (pieces & (pieces - 1)) == 0)
		look->known |= pieces;
	if (mapping->used != 0 && (pieces & (pieces - 1)) == 0)
		look->seen |= pieces;
}

/* Where the last of some ordinary windows ends; 0: there are none. */
static uintptr_t
last_end(const struct mhp__look *look, unsigned first, unsigned end)
{
	for (unsigned i = end; i > first; i--)
		if (look[i - 1].forgot_ns != 0 && look[i - 1].ordinary != 0)
			return look[i - 1].start + MHP__HUGE_BYTES;
	return 0;
}

/* A walk through the kernel's list of mappings. */
struct reader {
	struct mhp__lines lines;
	struct mapping mapping;        /* the last one that was read */
	unsigned at;                   /* the look that it was found for */
};

static void
see_until(struct reader *reader, struct mhp__look *look, unsigned nr, uintptr_t end)
{
	unsigned found;
	for (char *line; reader->mapping.end < end &&
			 (line = mhp__lines_next(&reader->lines)) != NULL;)
		if (read_mapping(&reader->lines, line, &reader->mapping) &&
		    (found = find_look(look, nr, reader->mapping.start, &reader->at)) != nr)
			note_mapping(&look[found], &reader->mapping);
}

static bool
forget_ordinary(const struct mhp__look *look)
{
	bool done = true;
	mark(look, true);
	for (unsigned piece = 0, nr; done && (nr = mhp__pieces_next(look->ordinary, &piece)) != 0;
	     piece += nr)
		done = madvise(piece_address(look, piece), nr * MHP__PIECE_BYTES, MADV_COLD) == 0;
	if (!done)
		mark(look, false);
	return done;
}

/* ---- both ---- */

/* Have windows of one kind forgotten. */
static void
forget(struct mhp__look *look, unsigned first, unsigned end, bool shared,
       const struct mhp__sampler *sampler)
{
	for (unsigned i = first; i < end; i++) {
		look[i].forgot_ns = 0;
		if ((shared ? look[i].shared : look[i].ordinary) == 0)
			continue;
		if (sampler->begin(sampler->ctx, i) &&
		    (shared ? forget_shared(&look[i]) : forget_ordinary(&look[i])))
			look[i].forgot_ns = now_ns();
		sampler->end(sampler->ctx);
	}
}

/* Where those end that are looked at together with the first: forgetting takes its time, and is
 * soon outdated where a program does much. */
static unsigned
group_end(const struct mhp__look *look, unsigned first, unsigned nr, bool shared)
{
	unsigned most = shared ? TOGETHER : TOGETHER_ORDINARY;
	for (unsigned some = 0; first < nr && some < most; first++)
		some += (shared ? look[first].shared : look[first].ordinary) != 0;
	return first;
}

static void
sample_shared(struct mhp__look *look, unsigned nr, const struct mhp__sampler *sampler)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (unsigned first = 0, end; fd >= 0 && first < nr; first = end) {
		end = group_end(look, first, nr, true);
		forget(look, first, end, true, sampler);
		sampler->wait(sampler->ctx);
		for (unsigned i = first; i < end; i++)
			if (look[i].forgot_ns != 0)
				see_shared(fd, &look[i]);
	}
	if (fd >= 0)
		close(fd);
}

static void
unmark(const struct mhp__look *look, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++)
		if (look[i].forgot_ns != 0)
			mark(&look[i], false);
}

/* The list is read once, since that is what costs most: windows are forgotten just before it comes
 * to them, and a group early, since a read takes in some mappings at once. Those after are
 * unmarked a group later, so that nothing merges with what is read. */
static void
sample_ordinary(struct mhp__look *look, unsigned nr, const struct mhp__sampler *sampler)
{
	struct reader reader = { .lines.fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC) };
	unsigned before = 0, first = 0, end = group_end(look, 0, nr, false);
	if (reader.lines.fd < 0)
		return;
	forget(look, 0, end, false, sampler);
	while (first < nr) {
		unsigned next = group_end(look, end, nr, false);
		sampler->wait(sampler->ctx);
		forget(look, end, next, false, sampler);
		see_until(&reader, look, nr, last_end(look, first, end));
		unmark(look, before, first);
		before = first;
		first = end;
		end = next;
	}
	unmark(look, before, nr);
	close(reader.lines.fd);
}

void
mhp__sample(struct mhp__look *look, unsigned nr, const struct mhp__sampler *sampler)
{
	for (unsigned i = 0; i < nr; i++) {
		look[i].parts = look[i].used = 0;
		look[i].known = look[i].seen = 0;
		look[i].over_ns = look[i].over_shared_ns = 0;
	}
	sample_shared(look, nr, sampler);
	sample_ordinary(look, nr, sampler);
}
