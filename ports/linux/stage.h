/* SPDX-License-Identifier: MIT */
/*
 * stage.h - a huge page that is filled aside, and then takes the place of a hole in one step.
 *
 * Everything here runs in the companion, for one mover at a time.
 */
#ifndef MHP_LINUX_STAGE_H
#define MHP_LINUX_STAGE_H

#include <linux/userfaultfd.h>

#include "text.h"

#ifndef UFFDIO_MOVE /* Linux 6.8 */
struct uffdio_move {
	uint64_t dst, src, len, mode;
	int64_t move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

#define MHP__STAGE_BYTES (UINT64_C(2) << 20)

struct mhp__stage {
	unsigned char *start;          /* addresses; NULL: not yet */
	bool can, cannot;              /* the kernel has, or cannot move pages into a hole */
};

/* A huge page to fill; NULL: the kernel has none, or cannot do that. */
unsigned char *mhp__stage_take(struct mhp__stage *stage);
/* Copy to where take() said, or a place after it. False: the source cannot be read. */
MHP_MUST_CHECK bool mhp__stage_copy(unsigned char *to, void *from, uint64_t size);
/* The page becomes what is in the hole that begins at start, of a userfaultfd: as a whole, unless
 * the kernel or the program has cut one of them meanwhile. Returns how many bytes are there, and in
 * use, from the start on; the rest stays in the stage. */
uint64_t mhp__stage_move(struct mhp__stage *stage, int hole_fd, uintptr_t start);
/* Its contents, if any, are not wanted any more. */
void mhp__stage_drop(const struct mhp__stage *stage);
void mhp__stage_free(struct mhp__stage *stage);

#endif
