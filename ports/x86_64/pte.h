/* SPDX-License-Identifier: MIT */
/*
 * pte.h - what an entry of an x86-64 page table looks like.
 *
 * Entries of all levels have one format. Functions hide it, so that mmu.c and clients that change
 * entries in place know no processor.
 */
#ifndef X86_64_PTE_H
#define X86_64_PTE_H

#include <stdbool.h>
#include <stdint.h>

#define PTE_PRESENT (UINT64_C(1) << 0)
#define PTE_WRITE (UINT64_C(1) << 1)
#define PTE_UNCACHED (UINT64_C(3) << 3)
#define PTE_LARGE (UINT64_C(1) << 7)
#define PTE_SOFT(n) (UINT64_C(1) << (9 + (n)))     /* n < 3: ours to use */
#define PTE_NO_EXEC (UINT64_C(1) << 63)
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE)
#define MMU_CODE PTE_PRESENT
#define MMU_CONST (PTE_PRESENT | PTE_NO_EXEC)
#define MMU_DATA (PTE_PRESENT | PTE_WRITE | PTE_NO_EXEC)
#define MMU_DEVICE (MMU_DATA | PTE_UNCACHED)

static inline bool
pte_is_table(uint64_t entry)
{
	return (entry & PTE_PRESENT) != 0 && (entry & PTE_LARGE) == 0;
}

static inline uint64_t
pte_leaf(uint64_t phys, uint64_t flags, bool large)
{
	return phys | flags | (large ? PTE_LARGE : 0);
}

/* Keep writers away from a page that is about to be replaced: from here they fault. */
static inline uint64_t
pte_hold(uint64_t entry)
{
	return entry & ~PTE_WRITE;
}

static inline uint64_t
pte_let_go(uint64_t entry)
{
	return entry | PTE_WRITE;
}

static inline bool
pte_is_held(uint64_t entry)
{
	return (entry & PTE_WRITE) == 0;
}

#endif
