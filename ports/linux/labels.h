/* SPDX-License-Identifier: MIT */
/*
 * labels.h - new numbers for a window that moves, from when they are taken until its pages bear
 * them.
 *
 * Region mutex held. A mover may be killed at any point: what it took is noted here, and the next
 * one uses it or gives it back. Knows no pool.
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
/* Pages [page, page + nr), all of which were given new numbers, bear them from now on; the old ones
 * go back to the pool. */
void mhp__labels_use(struct mhp__labels *labels, struct mhp__journal *journal, uint64_t page,
		     uint64_t nr);
/* The rest of that, when whoever did it was killed. */
void mhp__labels_finish(struct mhp__labels *labels, uint64_t page, uint64_t nr);
/* Give back what no page bears. */
void mhp__labels_drop(struct mhp__labels *labels);

#endif
