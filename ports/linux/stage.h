/* SPDX-License-Identifier: MIT */
/*
 * stage.h - a huge page that is filled aside, and then takes the place of a hole in one step.
 *
 * Everything here runs in the companion, for one mover at a time.
 */
#ifndef MHP_LINUX_STAGE_H
#define MHP_LINUX_STAGE_H

#include "text.h"

#define MHP__STAGE_BYTES (UINT64_C(2) << 20)

struct mhp__stage {
	unsigned char *start;          /* addresses; NULL: not yet */
	bool cannot;                   /* the kernel moves no pages into a hole */
};

/* A huge page to fill; NULL: the kernel has none, or cannot do that. */
unsigned char *mhp__stage_take(struct mhp__stage *stage);
/* Copy to where take() said, or a place behind it. False: the source cannot be read. */
MHP_MUST_CHECK bool mhp__stage_copy(unsigned char *to, void *from, uint64_t size);
/* The page becomes what is in the hole that begins at start, of a userfaultfd; MHP_EBUSY: the hole
 * is as before. Nobody has to be woken. In any case the stage is empty. */
MHP_MUST_CHECK int mhp__stage_move(struct mhp__stage *stage, int hole_fd, uintptr_t start);
/* It is not wanted after all. */
void mhp__stage_drop(const struct mhp__stage *stage);
void mhp__stage_free(struct mhp__stage *stage);

#endif
