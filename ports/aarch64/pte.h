/* SPDX-License-Identifier: MIT */
/*
 * pte.h - what an entry of an AArch64 page table looks like, at EL1.
 *
 * The architecture wants an entry broken before it is made anew with another address: everybody
 * faults in between. So a held entry is one whose VALID bit is off, and PRESENT, a bit of ours,
 * says that the page is there all the same. MAIR has normal memory at 0 and device registers at 1
 * (boot.S).
 */
#ifndef AARCH64_PTE_H
#define AARCH64_PTE_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

#define PTE_VALID (UINT64_C(1) << 0)
#define PTE_NOT_BLOCK (UINT64_C(1) << 1)           /* a table, or a page at the lowest level */
#define PTE_DEVICE (UINT64_C(1) << 2)              /* index 1 of MAIR */
#define PTE_READ_ONLY (UINT64_C(1) << 7)
#define PTE_INNER_SHARED (UINT64_C(3) << 8)
#define PTE_ACCESSED (UINT64_C(1) << 10)
#define PTE_NO_EXEC (UINT64_C(3) << 53)
#define PTE_SOFT(n) (UINT64_C(1) << (55 + (n)))    /* n < 3: ours to use */
#define PTE_PRESENT PTE_SOFT(3)
#define PTE_ADDRESS (UINT64_C(0x0000ffffffffffff) & ~((UINT64_C(1) << PAGE_SHIFT) - 1))
#define PTE_TABLE (PTE_VALID | PTE_NOT_BLOCK)
#define PTE_PAGE \
	(PTE_VALID | PTE_NOT_BLOCK | PTE_INNER_SHARED | PTE_ACCESSED | PTE_PRESENT)
#define MMU_CODE (PTE_PAGE | PTE_READ_ONLY)
#define MMU_CONST (PTE_PAGE | PTE_READ_ONLY | PTE_NO_EXEC)
#define MMU_DATA (PTE_PAGE | PTE_NO_EXEC)
#define MMU_DEVICE (MMU_DATA | PTE_DEVICE)

/* Tables are never held, and pages are always PRESENT. */
static inline bool
pte_is_table(uint64_t entry)
{
	return (entry & (PTE_TABLE | PTE_PRESENT)) == PTE_TABLE;
}

static inline uint64_t
pte_leaf(uint64_t phys, uint64_t flags, bool large)
{
	return phys | (large ? flags & ~PTE_NOT_BLOCK : flags);
}

/* Keep everybody away from a page that is about to be replaced: from here they fault. */
static inline uint64_t
pte_hold(uint64_t entry)
{
	return entry & ~PTE_VALID;
}

static inline uint64_t
pte_let_go(uint64_t entry)
{
	return entry | PTE_VALID;
}

static inline bool
pte_is_held(uint64_t entry)
{
	return (entry & PTE_VALID) == 0;
}

#endif
