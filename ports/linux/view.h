/* SPDX-License-Identifier: MIT */
/*
 * view.h - what the kernel says of a range of addresses, and whether that is what we made.
 */
#ifndef MHP_LINUX_VIEW_H
#define MHP_LINUX_VIEW_H

#include "text.h"

/* A range that was looked at in full, for whom, until when that holds, and how much was locked;
 * and how much is pinned for devices and the like, which no mapping tells. */
struct mhp__view {
	uintptr_t start, end;
	enum mhp_huge told;
	uint64_t until_ns, locked_kib, pinned_kib;
};

/*
 * Is [start, end) readable and writable memory to which nothing was done that copying it would
 * forget? told: what the kernel was told of huge pages for it by us. MHP_EBUSY and a sentence when
 * it is not. Reads /proc: run it in the companion.
 */
MHP_MUST_CHECK int mhp__view_plain(struct mhp__view *view, uintptr_t start, uintptr_t end,
				   enum mhp_huge told, uint64_t now_ns, struct mhp_text *reterr);

/* Does this address map a file, rather than ordinary memory? Reads /proc, too. */
bool mhp__view_shared(uintptr_t address);
/* How many bytes of [start, end) have memory that may be written to? They are no hole any more.
 * Reads /proc; none where the kernel does not say. */
uint64_t mhp__view_in_use(uintptr_t start, uintptr_t end);

#endif
