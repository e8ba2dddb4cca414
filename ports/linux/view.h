/* SPDX-License-Identifier: MIT */
/*
 * view.h - what the kernel says of a range of addresses, and whether that is what we made.
 */
#ifndef MHP_LINUX_VIEW_H
#define MHP_LINUX_VIEW_H

#include <stdatomic.h>

#include "text.h"

/* A range that was looked at in full, for whom, until when that holds, and how much was locked;
 * and how much is pinned for devices and the like, which no mapping tells. */
struct mhp__view {
	uintptr_t start, end;
	enum mhp_huge told;
	uint64_t until_ns, locked_kib, pinned_kib;
	_Atomic uint64_t changes;      /* of mappings, told beforehand: no look holds any more */
	uint64_t seen;                 /* ...before the look */
};

/*
 * Is [start, end) readable and writable memory to which nothing was done that copying it would
 * forget? told: what the kernel was told of huge pages for it by us. MHP_EBUSY and a sentence when
 * it is not. Reads /proc: run it in the companion.
 */
MHP_MUST_CHECK int mhp__view_plain(struct mhp__view *view, uintptr_t start, uintptr_t end,
				   enum mhp_huge told, uint64_t now_ns, struct mhp_text *reterr);

/* A mapping of the kernel's; inode 0: ordinary memory. */
struct mhp__mapping {
	uintptr_t start, end;
	bool shared;
	uint64_t offset, inode, device;
};

/* The first mapping that ends after this address; false: none, or the kernel does not tell. Reads
 * /proc. */
MHP_MUST_CHECK bool mhp__view_mapping(uintptr_t address, struct mhp__mapping *ret_mapping);
/* What the program may do at this address (PROT_...), and where the mapping ends. -1: nothing is
 * there, or the kernel cannot be asked for one mapping. */
int mhp__view_rights(uintptr_t address, uintptr_t *ret_end);
/* Does this address map a file, rather than ordinary memory? Reads /proc, too. */
bool mhp__view_shared(uintptr_t address);
/* How many bytes of [start, end) have memory that may be written to? They are no hole any more.
 * Reads /proc; none where the kernel does not say. */
uint64_t mhp__view_in_use(uintptr_t start, uintptr_t end);

#endif
