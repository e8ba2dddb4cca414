/* SPDX-License-Identifier: MIT */
/*
 * areas.h - where things are in the virtual address space, on a machine whose page tables
 * translate 48 bits in both halves. Read by C and by assembly, through the machine's layout.h,
 * which says how large pages and stacks are. Each area has slots of its own in the top table, so
 * that no page table serves two of them.
 */
#ifndef BARE_AREAS_H
#define BARE_AREAS_H

#define PAGE_BYTES (1 << PAGE_SHIFT)
#define LARGE_SHIFT (2 * PAGE_SHIFT - 3)           /* one table of entries of 8 bytes */
#define ADDRESS_BITS 48

#ifdef __ASSEMBLER__
#define ADDRESS(x) x
#else
#define ADDRESS(x) x##UL
#endif

#define DIRECT_MAP ADDRESS(0xffff800000000000)     /* physical address 0 */
#define MMIO_MAP ADDRESS(0xffffc00000000000)       /* the same for device registers, uncached */
#define VMEMMAP ADDRESS(0xffffea0000000000)        /* the descriptor of pfn 0 */
#define STACKS ADDRESS(0xffffe80000000000)         /* of all CPUs but the first; gaps between */
#define PAGER_WINDOW ADDRESS(0x0000100000000000)   /* what the paging client maps */
#define AP_STACK_STEP (4 * AP_STACK_BYTES)         /* from one to the next */

#endif
