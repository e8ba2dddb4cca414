/* SPDX-License-Identifier: MIT */
/*
 * labels.c - pages of a window get new labels, such that a kill in between loses no frame.
 *
 * A frame says itself whose it is: its cookie is the address of its page. So each step can be
 * repeated: an old frame is freed only if it still has the page's cookie, a new one only if the
 * page does not have it as its label. A kill within the engine's own functions is not repaired.
 */
#include <string.h>

#include "frames.h"
#include "labels.h"

/* Is this frame in use, as the head of what was taken for a page? */
static bool
is_of(const struct mhp_region *region, uint64_t page, uint64_t pfn)
{
	struct mhp_frame frame = mhp_frame_peek(region->m, pfn);
	return frame.state == MHP_FRAME_USED && frame.owner == region->owner &&
	       frame.cookie == mhp__page_address(region, page);
}

void
mhp__labels_drop(struct mhp__labels *labels)
{
	struct mhp_region *region = labels->region;
	for (uint64_t i = 0; i < MHP__HUGE_PAGES; i++) {
		uint64_t page = labels->first + i, pfn = mhp__entry_pfn(labels->entry[i]);
		if (labels->entry[i] != 0 && mhp__entry_pfn(region->entry[page]) != pfn &&
		    is_of(region, page, pfn))
			(void)mhp_page_free(region->m, pfn);
		labels->entry[i] = 0;
	}
}

void
mhp__labels_begin(struct mhp__labels *labels, struct mhp_region *region, uint64_t window)
{
	MHP__ASSERT(window * MHP__HUGE_PAGES < region->nr_pages);
	mhp__labels_drop(labels);
	labels->region = region;
	labels->first = window * MHP__HUGE_PAGES;
}

void
mhp__labels_add(struct mhp__labels *labels, uint64_t page, uint64_t nr, uint64_t pfn,
		unsigned order)
{
	uint64_t at = page - labels->first;
	MHP__ASSERT(page >= labels->first && at + nr <= MHP__HUGE_PAGES);
	for (uint64_t i = 0; i < nr; i++) {
		MHP__ASSERT(labels->entry[at + i] == 0);
		labels->entry[at + i] = mhp__entry_make(pfn + i, order);
	}
}

void
mhp__labels_cut(struct mhp__journal *journal, struct mhp_region *region, uint64_t page, uint64_t nr)
{
	mhp__journal_begin(journal, region, page, nr, MHP__CUTTING);
	mhp__frames_split(region, page);
	mhp__frames_split(region, page + nr);
	mhp__journal_end(journal);
}

/* A page at a time: the old frames of some are free already, and some have their new labels. */
void
mhp__labels_finish(struct mhp__labels *labels, uint64_t page, uint64_t nr)
{
	struct mhp_region *region = labels->region;
	MHP__ASSERT(page >= labels->first && page - labels->first + nr <= MHP__HUGE_PAGES);
	for (uint64_t end = page + nr; page < end; page++) {
		mhp__entry *label = &labels->entry[page - labels->first];
		uint64_t old = mhp__entry_pfn(region->entry[page]);
		if (*label == 0)
			continue; /* it has its new label */
		if (old != mhp__entry_pfn(*label) && is_of(region, page, old))
			(void)mhp_page_free(region->m, old);
		mhp__table_set(region, page, 1, *label);
		*label = 0;
	}
}

/* Few calls of the engine: a kill within one of them is not repaired. */
void
mhp__labels_use(struct mhp__labels *labels, struct mhp__journal *journal, uint64_t page,
		uint64_t nr)
{
	struct mhp_region *region = labels->region;
	mhp__entry *label = &labels->entry[page - labels->first];
	mhp__journal_begin(journal, region, page, nr, MHP__RELABELLING);
	mhp__frames_give(region, page, nr);
	for (uint64_t i = 0; i < nr; i++) {
		MHP__ASSERT(label[i] != 0);
		mhp__table_set(region, page + i, 1, label[i]);
		label[i] = 0;
	}
	mhp__journal_end(journal);
}
