/* SPDX-License-Identifier: MIT */
/*
 * sample.h - which parts of some windows were used between two moments.
 *
 * Nobody is held up and no data is touched: what the page tables know of a window is forgotten, and
 * a moment later they are asked what they have learnt. Told addresses, knows no pool. Needs no
 * privilege; reads /proc, so run it in the companion.
 */
#ifndef MHP_LINUX_SAMPLE_H
#define MHP_LINUX_SAMPLE_H

#include <memplug/linux.h>

/* A window, which need not be whole, and what was seen of it. */
struct mhp__look {
	uintptr_t start;               /* set by the caller, like the next two */
	uint64_t size;
	bool shared;                   /* a shared mapping of a file or device; else ordinary */
	uint64_t forgot_ns;            /* when; 0: it cannot be looked at */
	uint64_t over_ns;              /* from then until it was looked at */
	unsigned parts, used;          /* parts 0: nothing is known */
};

/* Forget what is known of the uses of a window. False: the kernel does not let us. */
bool mhp__sample_forget(struct mhp__look *look);
/* What was used since. Those that were not forgotten, or are not what they were, have no parts. */
void mhp__sample_see(struct mhp__look *look, unsigned nr);

#endif
