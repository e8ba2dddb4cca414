/* SPDX-License-Identifier: MIT */
/*
 * layout.h - where things are in the virtual address space. Read by C and by assembly.
 *
 * The image runs where it is loaded (1 MiB). All physical memory that may be touched is in the
 * direct map; whatever is not there any more faults.
 */
#ifndef X86_64_LAYOUT_H
#define X86_64_LAYOUT_H

#define PAGE_SHIFT 12
#include "areas.h"

#define AP_TRAMPOLINE 0x8000
#ifndef BOOT_STACK_BYTES               /* tests want more */
#define BOOT_STACK_BYTES 32768
#endif
#define TRAP_VECTORS 64
#define AP_STACK_BYTES 16384

#endif
