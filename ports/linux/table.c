/* SPDX-License-Identifier: MIT */
/*
 * table.c - the table of a region, and the count of mappings that it implies.
 *
 * The kernel keeps one mapping for each stretch of reserved addresses, for each stretch of ordinary
 * memory, and for each run of settled pages on consecutive frames of one file, which on huge pages
 * (hugetlb) ends with its window. nr_runs counts where they begin, and is kept exact by every
 * change. The memory of the table is read-only until a page near it is committed, so that a large
 * region costs the process neither memory nor limits.
 */
#include <sys/mman.h>

#include "table.h"

/* Entries that become writable at once. */
#define GROW_ENTRIES (UINT64_C(1) << 16)
#define WORD_BITS 64U

int
mhp__table_grow(struct mhp_region *region, uint64_t end)
{
	MHP__ASSERT(end <= region->nr_pages + mhp__pages_behind());
	if (end <= region->nr_writable)
		return 0;
	end = (end + GROW_ENTRIES - 1) & ~(GROW_ENTRIES - 1);
	if (end > region->nr_pages + mhp__pages_behind())
		end = region->nr_pages + mhp__pages_behind();
	if (mprotect(region->entry, end * sizeof(mhp__entry), PROT_READ | PROT_WRITE) != 0)
		return MHP_ENOMEM;
	region->nr_writable = end;
	return 0;
}

/* The kernel makes no two mappings of huge pages one, and windows are mapped one by one. */
static bool
is_huge(const struct mhp_region *region, mhp__entry entry)
{
	uint64_t offset;
	return mhp__frame_file(region->space, mhp__entry_pfn(entry), &offset)->backing.kind ==
	       MHP_BACKING_HUGETLB_2M;
}

/* Does page begin a mapping, that is, differ from the one before it? */
static bool
begins(const struct mhp_region *region, uint64_t page)
{
	if (page == 0)
		return true;
	mhp__entry before = region->entry[page - 1], here = region->entry[page];
	if (((before ^ here) & (MHP__ENTRY_OPEN | MHP__ENTRY_SETTLED)) != 0)
		return true;
	return (here & MHP__ENTRY_SETTLED) != 0 &&
	       (mhp__entry_pfn(before) + 1 != mhp__entry_pfn(here) ||
		!mhp__frames_adjoin(region->space, mhp__entry_pfn(before)) ||
		(page % MHP__HUGE_PAGES == 0 && is_huge(region, here)));
}

static uint64_t
count_begins(const struct mhp_region *region, uint64_t page, uint64_t end)
{
	uint64_t count = 0;
	for (; page < end && page < region->nr_pages; page++)
		count += begins(region, page);
	return count;
}

/* ---- windows of a table of all addresses ---- */

static void
set_bit(uint64_t *bits, uint64_t at, bool on)
{
	uint64_t bit = UINT64_C(1) << at % WORD_BITS;
	bits[at / WORD_BITS] = on ? bits[at / WORD_BITS] | bit : bits[at / WORD_BITS] & ~bit;
}

/* The first bit at or after this one that is set, or end. */
static uint64_t
next_bit(const uint64_t *bits, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t rest = bits[at / WORD_BITS] >> at % WORD_BITS;
		if (rest != 0)
			return at + (uint64_t)__builtin_ctzll(rest);
		at = (at / WORD_BITS + 1) * WORD_BITS;
	}
	return end;
}

/* Pages were committed, or (not on) none is any more: only whole windows are known to be empty. */
static void
note_windows(struct mhp_region *region, uint64_t page, uint64_t nr, bool on)
{
	uint64_t *words = region->windows + mhp__table_windows(region) / WORD_BITS;
	uint64_t first = page / MHP__HUGE_PAGES, end = (page + nr) / MHP__HUGE_PAGES;
	first += !on && page % MHP__HUGE_PAGES != 0;
	end += on && (page + nr) % MHP__HUGE_PAGES != 0;
	for (uint64_t window = first; window < end; window++) {
		set_bit(region->windows, window, on);
		set_bit(words, window / WORD_BITS,
			region->windows[window / WORD_BITS] != 0);
	}
}

uint64_t
mhp__table_next_window(const struct mhp_region *region, uint64_t window)
{
	uint64_t nr = mhp__table_windows(region), nr_words = nr / WORD_BITS;
	if (region->windows == NULL || window >= nr)
		return window;
	uint64_t word = window / WORD_BITS, end = (word + 1) * WORD_BITS;
	uint64_t found = next_bit(region->windows, window, end);
	if (found < end)
		return found;
	word = next_bit(region->windows + nr_words, word + 1, nr_words);
	return word < nr_words ? next_bit(region->windows, word * WORD_BITS, nr) : nr;
}

void
mhp__table_set(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry entry)
{
	MHP__ASSERT((entry & (MHP__ENTRY_OPEN | MHP__ENTRY_SETTLED)) == 0);
	MHP__ASSERT(entry == 0 || (entry & MHP__ENTRY_COMMITTED) != 0);
	MHP__ASSERT(page + nr <= region->nr_writable);
	for (uint64_t i = page; i < page + nr; i++) {
		mhp__entry old = region->entry[i];
		MHP__ASSERT((old & MHP__ENTRY_SETTLED) == 0);
		region->nr_committed -= (old & MHP__ENTRY_COMMITTED) != 0;
		region->nr_committed += (entry & MHP__ENTRY_COMMITTED) != 0;
		region->entry[i] = entry | (old & MHP__ENTRY_OPEN);
		if (entry != 0)
			entry++; /* the pfn is in the low bits */
	}
	if (entry != 0 && page + nr > region->top)
		region->top = page + nr;
	if (region->windows != NULL)
		note_windows(region, page, nr, entry != 0);
}

void
mhp__table_mark(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry bit, bool on)
{
	MHP__ASSERT(page + nr <= region->nr_writable);
	MHP__ASSERT(bit == MHP__ENTRY_OPEN || bit == MHP__ENTRY_SETTLED);
	MHP__ASSERT(bit == MHP__ENTRY_OPEN || !on || /* only what is in use lies anywhere */
		    (region->entry[page] & MHP__ENTRY_COMMITTED) != 0);
	region->nr_runs -= count_begins(region, page, page + nr + 1);
	for (uint64_t i = page; i < page + nr; i++) {
		if (bit == MHP__ENTRY_SETTLED) {
			region->nr_settled -= (region->entry[i] & bit) != 0;
			region->nr_settled += on;
		}
		region->entry[i] = on ? region->entry[i] | bit : region->entry[i] & ~bit;
	}
	region->nr_runs += count_begins(region, page, page + nr + 1);
}

void
mhp__table_recount(struct mhp_region *region)
{
	if (region->over)
		return;
	region->nr_committed = region->nr_settled = 0;
	for (uint64_t page = 0; page < region->top; page++) {
		region->nr_committed += (region->entry[page] & MHP__ENTRY_COMMITTED) != 0;
		region->nr_settled += (region->entry[page] & MHP__ENTRY_SETTLED) != 0;
	}
	MHP__ASSERT(region->nr_settled <= region->nr_committed);
	region->nr_runs = count_begins(region, 0, region->top + 1);
}

uint64_t
mhp__table_span(const struct mhp_region *region, uint64_t page, uint64_t max, mhp__entry bit)
{
	uint64_t nr = 1;
	MHP__ASSERT(max != 0 && page < region->nr_pages);
	while (nr < max && page + nr < region->nr_pages &&
	       ((region->entry[page] ^ region->entry[page + nr]) & bit) == 0)
		nr++;
	return nr;
}

bool
mhp__table_next_settled(const struct mhp_region *region, uint64_t *page, uint64_t end,
			uint64_t *ret_nr)
{
	uint64_t at = *page, nr;
	end = end < region->top ? end : region->top;
	for (; region->nr_settled != 0 && at < end; at += nr) {
		if (at % MHP__HUGE_PAGES == 0) /* windows without pages are passed by */
			at = mhp__table_next_window(region, at / MHP__HUGE_PAGES) * MHP__HUGE_PAGES;
		if (at >= end)
			break;
		bool settled = (region->entry[at] & MHP__ENTRY_SETTLED) != 0;
		uint64_t next = (at / MHP__HUGE_PAGES + 1) * MHP__HUGE_PAGES;
		nr = mhp__table_span(region, at, (settled || next > end ? end : next) - at,
				     MHP__ENTRY_SETTLED);
		MHP__ASSERT(nr <= end - at);
		*page = at;
		*ret_nr = nr;
		if (settled)
			return true;
	}
	return false;
}

uint64_t
mhp__table_run(const struct mhp_region *region, uint64_t page, uint64_t max)
{
	uint64_t nr = 1, pfn = mhp__entry_pfn(region->entry[page]);
	MHP__ASSERT(max != 0 && (region->entry[page] & MHP__ENTRY_COMMITTED) != 0);
	while (nr < max && page + nr < region->nr_pages &&
	       (region->entry[page + nr] & MHP__ENTRY_COMMITTED) != 0 &&
	       mhp__entry_pfn(region->entry[page + nr]) == pfn + nr)
		nr++;
	return nr;
}
