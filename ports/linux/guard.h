/* SPDX-License-Identifier: MIT */
/*
 * guard.h - hold up writes or all accesses to memory while it goes to a device or comes back.
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

/* Open both descriptors and start the task that reads events. Return: 0, or MHP_EPERM and
 * guard->why. */
MHP_MUST_CHECK int mhp__guard_start(struct mhp__guard *guard);
/* Would mhp__guard_start() succeed? The same answers; nothing is kept. */
MHP_MUST_CHECK int mhp__guard_check(struct mhp__guard *guard);
/* In a companion that has not got the descriptors of the one before it: open both again. */
MHP_MUST_CHECK int mhp__guard_reopen(struct mhp__guard *guard);
/* Start the task that reads events. Every hole must be noted or full by then: a thread that waits
 * in any other gets zeros. Return: 0, or MHP_EPERM and guard->why, and no descriptor is left. */
MHP_MUST_CHECK int mhp__guard_listen(struct mhp__guard *guard);
void mhp__guard_stop(struct mhp__guard *guard);

/* Hold up writes to [start, start + size), which is ordinary memory, until the wake. */
MHP_MUST_CHECK int mhp__guard_protect(const struct mhp__guard *guard, uintptr_t start,
				      uint64_t size);
/* Let writers go on: to what is mapped there now, or (undo) to what was there before. */
void mhp__guard_wake(const struct mhp__guard *guard, uintptr_t start, uint64_t size, bool undo);

/* Replace all that is mapped at [start, start + size) by a hole, with this advice for madvise. Each
 * access waits until mhp__guard_fill(). Return: 0, or an errno, and nothing has changed. */
MHP_MUST_CHECK int mhp__guard_hole(struct mhp__guard *guard, uintptr_t start, uint64_t size,
				   int advice);
/* Fill a part of the hole with a copy of source, which can be read then, but not written to before
 * the hole is full. MHP_ENOMEM: the kernel had no memory for it for a while; or another error. */
MHP_MUST_CHECK int mhp__guard_fill(const struct mhp__guard *guard, uintptr_t start,
				   const void *source, uint64_t size);
/* The hole is full: let everybody go on. */
void mhp__guard_filled(struct mhp__guard *guard);
/* The old mapping has taken the place of the hole, to which nobody has written: let everybody go
 * on. */
void mhp__guard_undone(struct mhp__guard *guard);
/* Take over the hole of a mover that was killed, to fill it. */
void mhp__guard_adopt(struct mhp__guard *guard, uintptr_t start, uint64_t size);
/* Memory that came back is plain from now on: one mapping if it came back in order. */
void mhp__guard_close(struct mhp__guard *guard);

#endif
