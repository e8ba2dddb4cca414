/* SPDX-License-Identifier: MIT */
/*
 * guard.h - hold up who writes to memory, or touches it, while it goes to a device or comes back.
 *
 * Everything here runs in the companion, which has the descriptors.
 */
#ifndef MHP_LINUX_GUARD_H
#define MHP_LINUX_GUARD_H

#include "text.h"

struct mhp__guard {
	int write_fd;                  /* holds up writers; -1: not there */
	int hole_fd;                   /* holds up everybody; -1: not there */
	uintptr_t open_start, open_end; /* what came back and is registered still */
	_Atomic uintptr_t hole_start, hole_end; /* on its way back just now */
	_Atomic bool stopping, listening; /* of whoever reads the events */
	struct mhp_text why;           /* why they are not there */
};

/* For the negative control of the write-loss test only: leaves the protection out. */
extern bool mhp__test_no_protect;

/* Get both descriptors and somebody who reads the events. MHP_EPERM and guard->why. */
MHP_MUST_CHECK int mhp__guard_start(struct mhp__guard *guard);
/* Could there be? The same answers; nothing is kept. */
MHP_MUST_CHECK int mhp__guard_check(struct mhp__guard *guard);
/* In a companion that comes after another and has not got its descriptors: both anew. */
MHP_MUST_CHECK int mhp__guard_reopen(struct mhp__guard *guard);
/* Somebody who reads the events, once every hole is noted or full: whoever waits in another gets
 * zeros. MHP_EPERM and guard->why: then there are no descriptors either. */
MHP_MUST_CHECK int mhp__guard_listen(struct mhp__guard *guard);
void mhp__guard_stop(struct mhp__guard *guard);

/* Nobody can write to [start, start + size), which is ordinary memory, until the wake. */
MHP_MUST_CHECK int mhp__guard_protect(const struct mhp__guard *guard, uintptr_t start,
				      uint64_t size);
/* Everybody goes on with what is mapped there now; undo: with what was there before. */
void mhp__guard_wake(const struct mhp__guard *guard, uintptr_t start, uint64_t size, bool undo);

/* Replace all that is mapped at [start, start + size) by empty ordinary memory with an advice for
 * madvise: who touches it waits until mhp__guard_fill(). An errno, and nothing has changed, or
 * 0. */
MHP_MUST_CHECK int mhp__guard_hole(struct mhp__guard *guard, uintptr_t start, uint64_t size,
				   int advice);
/* Fill a part of the hole with a copy of source, which can be read then, but not written to before
 * the hole is full. MHP_ENOMEM: the kernel had no memory for it for a while; or another error. */
MHP_MUST_CHECK int mhp__guard_fill(const struct mhp__guard *guard, uintptr_t start,
				   const void *source, uint64_t size);
/* The hole is full: everybody goes on. */
void mhp__guard_filled(struct mhp__guard *guard);
/* Say that the old mapping is back in place of the hole, in which nobody has written: everybody
 * goes on with that. */
void mhp__guard_undone(struct mhp__guard *guard);
/* There is a hole of a mover that was killed: fill it as if it were ours. */
void mhp__guard_adopt(struct mhp__guard *guard, uintptr_t start, uint64_t size);
/* Memory that came back is plain from now on: one mapping if it came back in order. */
void mhp__guard_close(struct mhp__guard *guard);

#endif
