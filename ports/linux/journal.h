/* SPDX-License-Identifier: MIT */
/*
 * journal.h - the note of the one window that is on its way: which it is, how far, and whose.
 *
 * Hooks read there what to leave alone, and the next companion what a mover that was killed left
 * half done. Written with the region mutex held, but for the step, which the mover changes at any
 * time. Told a region; knows no pool and no lock.
 */
#ifndef MHP_LINUX_JOURNAL_H
#define MHP_LINUX_JOURNAL_H

#include "table.h"

enum mhp__step {
	MHP__STILL,                    /* no window is on its way */
	MHP__LOOKING,                  /* may it go? Nothing was done */
	MHP__CUTTING,                  /* pages over its edges become single frames */
	MHP__RELABELLING,              /* its pages get new numbers (labels.h) */
	MHP__COPYING,                  /* to a device: writers wait, or it is mapped there */
	MHP__FILLING,                  /* back: the device is mapped, or a hole, in part full */
};

/* All-zero: no window is on its way. */
struct mhp__journal {
	_Atomic int step;              /* enum mhp__step */
	int mover;                     /* the companion it is in */
	struct mhp_region *region;
	uint64_t page, nr;
};

/* Is no window on its way? */
bool mhp__journal_still(const struct mhp__journal *journal);
/* Is any of these pages in the window that is on its way? */
bool mhp__journal_names(const struct mhp__journal *journal, const struct mhp_region *region,
			uint64_t page, uint64_t nr);
/* Is a window on its way whose mover was killed? Asked in the companion that came after it, where
 * others move windows already. */
bool mhp__journal_torn(const struct mhp__journal *journal);

/* For a mover: note what it is about to do to these pages. */
void mhp__journal_begin(struct mhp__journal *journal, struct mhp_region *region, uint64_t page,
			uint64_t nr, enum mhp__step step);
/* How far it is: a kill finds either this step or the one before. */
void mhp__journal_step(struct mhp__journal *journal, enum mhp__step step);
/* They have arrived, or are as before. */
void mhp__journal_end(struct mhp__journal *journal);

/* Sleep until the step changes, a millisecond at most. Without the region mutex. */
void mhp__journal_wait(struct mhp__journal *journal);

#endif
