/* SPDX-License-Identifier: MIT */
/*
 * region.c - the addresses of a region.
 *
 * A region is a reservation and a table. Committed pages are opened: made readable and writable,
 * once; it stays open when it is decommitted, so that giving memory back and taking it again costs
 * no mapping. Each open stretch is one page of the kernel longer than what was ever committed of
 * it, and that page is never handed out. So whatever a program does to its memory by mprotect,
 * mlock or madvise ends inside a stretch, and shows as a mapping that the kernel has cut (view.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "region.h"
#include "run.h"

uint64_t
mhp__region_address_end(uint64_t on_stack)
{
	MHP__ASSERT(on_stack != 0);
	return UINT64_C(1) << (64 - __builtin_clzll(on_stack));
}

/* A page of the table stands for 2 MiB of addresses, so few of them are touched. */
static mhp__entry *
map_table(const struct mhp_region *region, int protection)
{
	return mhp__take_sparse(mhp__table_bytes(region), mhp__kernel_page(), protection);
}

/* A page of it stands for 64 GiB of addresses. */
static uint64_t *
map_windows(const struct mhp_region *region)
{
	return mhp__take_sparse(mhp__table_window_bytes(region), mhp__kernel_page(),
				PROT_READ | PROT_WRITE);
}

int
mhp__region_build(struct mhp_region *region, uint64_t size, struct mhp_text *reterr)
{
	region->nr_pages = size >> MHP__PAGE_SHIFT;
	/* A page after belongs to the region and is never used. */
	region->base = (uintptr_t)mhp__take_addresses(size + mhp__kernel_page(), MHP__HUGE_BYTES,
						      PROT_NONE);
	region->entry = map_table(region, PROT_READ);
	MHP__ASSERT(region->base % MHP__HUGE_BYTES == 0 && !region->over);
	if (region->base != 0 && region->entry != NULL)
		return 0;
	mhp__region_free(region);
	return mhp__say(reterr, MHP_ENOMEM, "cannot reserve %llu MiB of addresses",
			(unsigned long long)(size >> 20));
}

int
mhp__region_build_over(struct mhp_region *region, struct mhp_text *reterr)
{
	MHP__ASSERT(region->base == 0);
	region->over = true;
	/* What AT_RANDOM points to is on the stack of the program's first thread. */
	region->nr_pages = mhp__region_address_end(getauxval(AT_RANDOM)) >> MHP__PAGE_SHIFT;
	region->nr_writable = region->nr_pages + mhp__pages_behind();
	region->entry = map_table(region, PROT_READ | PROT_WRITE);
	region->windows = map_windows(region);
	if (region->entry != NULL && region->windows != NULL)
		return 0;
	mhp__region_free(region);
	return mhp__say(reterr, MHP_ENOMEM, "cannot reserve %llu MiB of addresses for a table",
			(unsigned long long)(mhp__table_bytes(region) >> 20));
}

void
mhp__region_free(struct mhp_region *region)
{
	if (region->base != 0)
		munmap((void *)region->base,
		       (region->nr_pages << MHP__PAGE_SHIFT) + mhp__kernel_page());
	if (region->entry != NULL)
		mhp__give_sparse(region->entry, mhp__table_bytes(region));
	if (region->heat != NULL)
		munmap(region->heat, mhp__region_heat_bytes(region));
	if (region->windows != NULL)
		mhp__give_sparse(region->windows, mhp__table_window_bytes(region));
}

/* Does the kernel map it as it maps ordinary memory that was just opened? */
static bool
is_ordinary(const struct mhp_region *region, uint64_t page)
{
	return (region->entry[page] & (MHP__ENTRY_OPEN | MHP__ENTRY_SETTLED)) == MHP__ENTRY_OPEN;
}

uint64_t
mhp__region_open_cost(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	uint64_t end = page + nr + mhp__pages_behind(), closed = page;
	MHP__ASSERT(nr != 0 && page + nr <= region->nr_pages && !region->over);
	if ((region->entry[page] & MHP__ENTRY_OPEN) != 0)
		closed += mhp__table_span(region, page, end - page, MHP__ENTRY_OPEN);
	/* A mapping that grows at its end stays one. */
	return closed == end || (closed != 0 && is_ordinary(region, closed - 1)) ? 0 : 2;
}

int
mhp__region_open(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	/* The last entries of the table are of what is after the region. */
	uint64_t end = page + nr + mhp__pages_behind();
	MHP__ASSERT(page < end && end <= region->nr_writable && !region->over);
	for (uint64_t run; page < end; page += run) {
		run = end - page;
		if (page < region->nr_pages)
			run = mhp__table_span(region, page, end - page, MHP__ENTRY_OPEN);
		if ((region->entry[page] & MHP__ENTRY_OPEN) != 0)
			continue;
		if (mprotect((void *)mhp__page_address(region, page), run << MHP__PAGE_SHIFT,
			     PROT_READ | PROT_WRITE) != 0)
			return errno;
		mhp__table_mark(region, page, run, MHP__ENTRY_OPEN, true);
	}
	return 0;
}

int
mhp__region_advice(const struct mhp_region *region, uint64_t page)
{
	static const int advice[MHP_HUGE_MODES] = { MADV_NORMAL, MADV_HUGEPAGE, MADV_NOHUGEPAGE };
	return advice[mhp__region_huge(region, page)];
}

int
mhp__region_advise(const struct mhp_region *region)
{
	uint64_t page = region->huge_page, end = region->nr_pages + mhp__pages_behind(), nr;
	for (; region->huge != MHP_HUGE_AUTO && page < end; page += nr) {
		bool walks = region->nr_settled != 0 && page < region->top;
		nr = walks ? mhp__table_span(region, page, region->top - page, MHP__ENTRY_SETTLED)
			   : end - page;
		if (walks && (region->entry[page] & MHP__ENTRY_SETTLED) != 0)
			continue;
		if (madvise((void *)mhp__page_address(region, page), nr << MHP__PAGE_SHIFT,
			    mhp__region_advice(region, page)) != 0)
			return errno;
	}
	return 0;
}

/* The device keeps its frames; new memory takes their place. */
static int
unsettle_empty(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	void *start = (void *)mhp__page_address(region, page);
	MHP__ASSERT((region->entry[page] & MHP__ENTRY_SETTLED) != 0);
	if (mmap(start, nr << MHP__PAGE_SHIFT, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return errno;
	(void)madvise(start, nr << MHP__PAGE_SHIFT, mhp__region_advice(region, page));
	mhp__run_leave_places(region, page, page + nr); /* what was there is memory, if in a file */
	mhp__table_mark(region, page, nr, MHP__ENTRY_SETTLED, false);
	return 0;
}

static int
drop_ordinary(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	void *start = (void *)mhp__page_address(region, page);
	MHP__ASSERT((region->entry[page] & MHP__ENTRY_SETTLED) == 0);
	return madvise(start, nr << MHP__PAGE_SHIFT, MADV_DONTNEED) == 0 ? 0 : errno;
}

/* Is the edge in front of this page inside of a frame that the kernel maps as a whole only? */
static bool
is_inside(const struct mhp_region *region, uint64_t page)
{
	uint64_t offset;
	if (page >= region->nr_pages || (region->entry[page] & MHP__ENTRY_SETTLED) == 0)
		return false;
	const struct mhp__file *file = mhp__frame_file(
		region->space, mhp__entry_pfn(region->entry[page]), &offset);
	return (page << MHP__PAGE_SHIFT & (file->granule - 1)) != 0;
}

bool
mhp__region_can_cut(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	MHP__ASSERT(page + nr <= region->nr_pages);
	return !is_inside(region, page) && !is_inside(region, page + nr);
}

int
mhp__region_drop(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	MHP__ASSERT(nr != 0 && page + nr <= region->nr_pages);
	for (uint64_t end = page + nr, run; page < end; page += run) {
		run = mhp__table_span(region, page, end - page, MHP__ENTRY_SETTLED);
		int error = (region->entry[page] & MHP__ENTRY_SETTLED) != 0
			? unsettle_empty(region, page, run)
			: drop_ordinary(region, page, run);
		if (error != 0)
			return error;
	}
	return 0;
}

/* By the direct map, whatever the program did to its own. */
static void
zero_settled(const struct mhp_region *region, uint64_t page, uint64_t end)
{
	struct mhp__run run;
	MHP__ASSERT(page < end && !region->over);
	for (; page < end; page = run.page + run.nr) {
		run = mhp__run_settled(region, page, end);
		void *place = mhp__frame_virt(region->space, run.pfn);
		uint64_t size = run.nr << MHP__PAGE_SHIFT;
		if (!run.file->sparse || madvise(place, size, MADV_REMOVE) != 0)
			memset(place, 0, size);
	}
}

int
mhp__region_zero(struct mhp_region *region, uint64_t page, uint64_t nr)
{
	MHP__ASSERT(nr != 0 && page + nr <= region->nr_pages);
	for (uint64_t end = page + nr, run; page < end; page += run) {
		int error = 0;
		run = mhp__table_span(region, page, end - page, MHP__ENTRY_SETTLED);
		if ((region->entry[page] & MHP__ENTRY_SETTLED) != 0)
			zero_settled(region, page, page + run);
		else
			error = drop_ordinary(region, page, run);
		if (error != 0)
			return error;
	}
	return 0;
}
