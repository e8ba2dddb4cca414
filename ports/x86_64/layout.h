/* SPDX-License-Identifier: MIT */
/*
 * layout.h - where things are in the virtual address space. Read by C and by assembly.
 *
 * The image runs where it is loaded (1 MiB). All physical memory that may be touched is in the
 * direct map; whatever is not there any more faults. Each area has PML4 slots of its own, so that
 * no page table serves two of them.
 */
#ifndef X86_64_LAYOUT_H
#define X86_64_LAYOUT_H

#define PAGE_SHIFT 12
#define LARGE_SHIFT 21
#define PAGE_BYTES (1 << PAGE_SHIFT)
#define ADDRESS_BITS 48                /* that page tables translate */

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

#define AP_TRAMPOLINE 0x8000
#ifndef BOOT_STACK_BYTES               /* tests want more */
#define BOOT_STACK_BYTES 32768
#endif
#define TRAP_VECTORS 64
#define AP_STACK_BYTES 16384
#define AP_STACK_STEP (4 * AP_STACK_BYTES)

#endif
