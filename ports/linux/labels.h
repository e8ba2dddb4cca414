/* SPDX-License-Identifier: MIT */
/*
 * labels.h - new labels for the pages of a window that moves: taken, used or given back.
 *
 * Region mutex held. A mover may be killed at any point: the labels that it took are noted here,
 * and the next mover uses them or gives them back. Knows no pool.
 */
#ifndef MHP_LINUX_LABELS_H
#define MHP_LINUX_LABELS_H

#include "journal.h"

/* All-zero: none. */
struct mhp__labels {
	struct mhp_region *region;
	uint64_t first;                    /* the page that entry[0] is for */
	mhp__entry entry[MHP__HUGE_PAGES]; /* 0: the page keeps its number */
};

/* Begin with none, for a window of a region. */
void mhp__labels_begin(struct mhp__labels *labels, struct mhp_region *region, uint64_t window);
/* Frames from pfn on, in pages of this order, were taken for pages [page, page + nr). */
void mhp__labels_add(struct mhp__labels *labels, uint64_t page, uint64_t nr, uint64_t pfn,
		     unsigned order);
/* The frame that was taken for this page; 0: nothing. */
static inline mhp__entry
mhp__labels_get(const struct mhp__labels *labels, uint64_t page)
{
	return labels->entry[page - labels->first];
}
/* Cut pages of the pool that reach over the edges of [page, page + nr), which lie in one window. */
void mhp__labels_cut(struct mhp__journal *journal, struct mhp_region *region, uint64_t page,
		     uint64_t nr);
/* Let pages [page, page + nr), for all of which there are new labels, have these from now on; the
 * old ones go back to the pool. */
void mhp__labels_use(struct mhp__labels *labels, struct mhp__journal *journal, uint64_t page,
		     uint64_t nr);
/* Do the rest of that after the mover was killed. */
void mhp__labels_finish(struct mhp__labels *labels, uint64_t page, uint64_t nr);
/* Give back the labels that no page has. */
void mhp__labels_drop(struct mhp__labels *labels);

#endif
