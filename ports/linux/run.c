/* SPDX-License-Identifier: MIT */
/*
 * run.c - runs: find them, copy them to their frames, map these instead.
 *
 * A run ends where the next frame is in another file or another place in it. The direct map is the
 * way to a device's memory: it is mapped there already, so a copy needs no descriptor and a mapping
 * of small pages doubles what is there (mremap), which keeps what the kernel knows of the file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "run.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* A run shorter than this is not worth its mapping. */
#define RUN_MIN 16U
/* Pages that are copied by way of the stack, which caches hold. */
#define COPY_PAGES 16U

bool
mhp__run_may_go(const struct mhp_region *region, mhp__entry entry)
{
	return (entry & MHP__ENTRY_COMMITTED) != 0 && (entry & MHP__ENTRY_SETTLED) == 0 &&
	       mhp__frame_has_place(region->space, mhp__entry_pfn(entry));
}

struct mhp__run
mhp__run_of(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	struct mhp__run run = { .page = page, .nr = nr };
	MHP__ASSERT(nr != 0 && (region->entry[page] & MHP__ENTRY_COMMITTED) != 0);
	run.pfn = mhp__entry_pfn(region->entry[page]);
	run.file = mhp__frame_file(region->space, run.pfn, &run.offset);
	return run;
}

/* Does the frame of this page lie after that of the page before it? */
static bool
goes_on(const struct mhp_region *region, uint64_t page)
{
	uint64_t before = mhp__entry_pfn(region->entry[page - 1]);
	return mhp__entry_pfn(region->entry[page]) == before + 1 &&
	       mhp__frames_adjoin(region->space, before);
}

bool
mhp__run_next(const struct mhp_region *region, uint64_t page, uint64_t end,
	      struct mhp__run *ret_run)
{
	uint64_t nr = 1;
	while (page < end && !mhp__run_may_go(region, region->entry[page]))
		page++;
	if (page >= end)
		return false;
	while (page + nr < end && mhp__run_may_go(region, region->entry[page + nr]) &&
	       goes_on(region, page + nr))
		nr++;
	*ret_run = mhp__run_of(region, page, nr);
	return true;
}

struct mhp__run
mhp__run_settled(const struct mhp_region *region, uint64_t page, uint64_t end)
{
	uint64_t nr = 1;
	MHP__ASSERT(page < end && (region->entry[page] & MHP__ENTRY_SETTLED) != 0);
	while (page + nr < end && goes_on(region, page + nr))
		nr++;
	return mhp__run_of(region, page, nr);
}

bool
mhp__run_worth_it(const struct mhp_region *region, const struct mhp__run *run)
{
	uint64_t granule = run->file->granule, size = run->nr << MHP__PAGE_SHIFT;
	uintptr_t start = mhp__page_address(region, run->page);
	return run->nr >= RUN_MIN && ((start | run->offset | size) & (granule - 1)) == 0;
}

/* Is the run a window, all of which is in memory, and its place one that a huge page fits? */
static bool
is_full(const struct mhp_region *region, const struct mhp__run *run)
{
	unsigned char present[MHP__HUGE_PAGES];
	uint64_t place = (uintptr_t)mhp__frame_virt(region->space, run->pfn) | run->offset;
	const uint64_t all = MHP__HUGE_BYTES / mhp__kernel_page();
	uint64_t nr = 0;
	if (run->nr != MHP__HUGE_PAGES || run->file->granule >= MHP__HUGE_BYTES ||
	    ((mhp__page_address(region, run->page) | place) & (MHP__HUGE_BYTES - 1)) != 0 ||
	    mincore((void *)mhp__page_address(region, run->page), MHP__HUGE_BYTES, present) != 0)
		return false;
	for (uint64_t i = 0; i < all; i++)
		nr += present[i] & 1;
	return nr == all;
}

/* One huge page of the file for a whole window costs a tenth of 512 small ones, which writers would
 * wait for besides. Where the kernel has none, small ones will do. */
static bool
make_huge(void *start)
{
	/* There has to be something to collapse. */
	return madvise(start, MHP__PAGE_BYTES, MADV_POPULATE_WRITE) == 0 &&
	       madvise(start, MHP__HUGE_BYTES, MADV_COLLAPSE) == 0;
}

void
mhp__run_clear_place(const struct mhp_region *region, struct mhp__run *run, bool huge)
{
	unsigned char *place = mhp__frame_virt(region->space, run->pfn);
	MHP__ASSERT((region->entry[run->page] & MHP__ENTRY_SETTLED) == 0); /* else it is in use */
	if (!run->file->in_memory)
		return;
	madvise(place, run->nr << MHP__PAGE_SHIFT, MADV_REMOVE);
	run->whole = huge && is_full(region, run) && make_huge(place);
}

static bool
all_zeros(const uint64_t *words)
{
	for (size_t i = 0; i < MHP__PAGE_BYTES / sizeof(*words); i++)
		if (words[i] != 0)
			return false;
	return true;
}

/* No memcpy: the program may make it unreadable at any time, and that is an error then. */
static bool
read_program(void *to, uintptr_t from, uint64_t size)
{
	struct iovec source = { (void *)from, size }, target = { to, size };
	return process_vm_readv(getpid(), &target, 1, &source, 1, 0) == (ssize_t)size;
}

/* Part of a run of a file that can have holes, by way of memory of ours. */
static bool
copy_sparse(unsigned char *target, uintptr_t source, uint64_t nr, uint64_t *copied)
{
	_Alignas(64) unsigned char pages[COPY_PAGES << MHP__PAGE_SHIFT];
	MHP__ASSERT(nr <= COPY_PAGES);
	if (!read_program(pages, source, nr << MHP__PAGE_SHIFT))
		return false;
	for (uint64_t at = 0; at < nr << MHP__PAGE_SHIFT; at += MHP__PAGE_BYTES) {
		if (all_zeros((const uint64_t *)(const void *)(pages + at)))
			continue;
		memcpy(target + at, pages + at, MHP__PAGE_BYTES);
		++*copied;
	}
	return true;
}

bool
mhp__run_copy(const struct mhp_region *region, const struct mhp__run *run, uint64_t *ret_copied)
{
	unsigned char *target = mhp__frame_virt(region->space, run->pfn);
	uintptr_t source = mhp__page_address(region, run->page);
	bool copied = true, holes = run->file->sparse && !run->whole;
	MHP__ASSERT((region->entry[run->page] & MHP__ENTRY_SETTLED) == 0);
	*ret_copied = holes ? 0 : run->nr;
	if (!holes)
		return read_program(target, source, run->nr << MHP__PAGE_SHIFT);
	for (uint64_t at = 0, nr; at < run->nr && copied; at += nr) {
		nr = run->nr - at < COPY_PAGES ? run->nr - at : COPY_PAGES;
		copied = copy_sparse(target + (at << MHP__PAGE_SHIFT),
				     source + (at << MHP__PAGE_SHIFT), nr, ret_copied);
	}
	return copied;
}

bool
mhp__run_by_large_pages(const struct mhp__run *run)
{
	return run->file->granule >= MHP__HUGE_BYTES && run->file->backing.kind == MHP_BACKING_DAX;
}

void
mhp__run_leave_place(const struct mhp_region *region, const struct mhp__run *run, bool gone)
{
	void *place = mhp__frame_virt(region->space, run->pfn);
	if (run->file->granule < MHP__HUGE_BYTES) /* what was mapped large may not be again */
		madvise(place, run->nr << MHP__PAGE_SHIFT,
			gone && run->file->can_punch ? MADV_REMOVE : MADV_DONTNEED);
}

void
mhp__run_leave_places(const struct mhp_region *region, uint64_t page, uint64_t end)
{
	struct mhp__run run;
	MHP__ASSERT(page < end);
	for (; page < end; page = run.page + run.nr) {
		run = mhp__run_settled(region, page, end);
		mhp__run_leave_place(region, &run, true);
	}
}

int
mhp__run_map(const struct mhp_region *region, const struct mhp__run *run)
{
	void *start = (void *)mhp__page_address(region, run->page);
	uint64_t size = run->nr << MHP__PAGE_SHIFT;
	bool by_large = mhp__run_by_large_pages(run);
	bool huge = run->file->granule >= MHP__HUGE_BYTES && !by_large;
	void *mapped;
	MHP__ASSERT((((uintptr_t)start | run->offset | size) & (run->file->granule - 1)) == 0);
	if (huge) { /* the kernel does not double mappings of its huge pages */
		mapped = mmap(start, size, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED | MAP_NORESERVE, run->file->fd,
			      (off_t)run->offset);
		if (mapped != MAP_FAILED)
			madvise(start, size, MADV_DONTFORK);
	} else {
		mapped = mremap(mhp__frame_virt(region->space, run->pfn), 0, size,
				MREMAP_MAYMOVE | MREMAP_FIXED, start);
		if (mapped != MAP_FAILED)
			madvise(start, size, MADV_DODUMP);
		if (mapped != MAP_FAILED && by_large) /* later the program may switch them off */
			madvise(start, size, MADV_POPULATE_WRITE);
	}
	return mapped != MAP_FAILED ? 0 : errno;
}
