/* SPDX-License-Identifier: MIT */
/*
 * guard.h - hold up who writes to memory, or touches it, while it goes to a device or comes back.
 */
#ifndef MHP_LINUX_GUARD_H
#define MHP_LINUX_GUARD_H

#include "text.h"

/* A userfaultfd that also holds up system calls; -1 and a sentence when there is none. */
/* For the negative control of the write-loss test only: leaves the protection out. */
extern bool mhp__test_no_protect;

int mhp__guard_open(uint64_t features, bool blocking, struct mhp_text *reterr);

#endif
