/* SPDX-License-Identifier: MIT */
/*
 * pins.h - a list of ranges of addresses that must stay where they are. Region mutex held.
 */
#ifndef MHP_LINUX_PINS_H
#define MHP_LINUX_PINS_H

#include "text.h"

#define MHP__PINS_MAX 1024U

struct mhp__pins {
	struct mhp__pin {
		uintptr_t start, end;
		uint32_t count;            /* 0: free */
	} pin[MHP__PINS_MAX];
	unsigned nr;                   /* no pin in use from here on */
};

/* Does any pin overlap [start, end)? */
bool mhp__pinned(const struct mhp__pins *pins, uintptr_t start, uintptr_t end);
/* One more, or one less, of exactly this range. MHP_ENOSPC; MHP_ENOENT. */
MHP_MUST_CHECK int mhp__pins_add(struct mhp__pins *pins, uintptr_t start, uintptr_t end);
MHP_MUST_CHECK int mhp__pins_drop(struct mhp__pins *pins, uintptr_t start, uintptr_t end);
/* Forget all pins in [start, end). */
void mhp__pins_forget(struct mhp__pins *pins, uintptr_t start, uintptr_t end);

#endif
