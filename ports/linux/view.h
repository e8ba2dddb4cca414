/* SPDX-License-Identifier: MIT */
/*
 * view.h - what the kernel says of a range of addresses, and whether that is what we made.
 */
#ifndef MHP_LINUX_VIEW_H
#define MHP_LINUX_VIEW_H

#include "text.h"

/*
 * Is [start, end) readable and writable memory to which nothing was done that copying it would
 * forget? MHP_EBUSY and a sentence when it is not. Reads /proc: run it in the companion.
 */
MHP_MUST_CHECK int mhp__view_plain(uintptr_t start, uintptr_t end, struct mhp_text *reterr);

#endif
