/* SPDX-License-Identifier: MIT */
/*
 * layout.h - where things are in the virtual address space. Read by C and by assembly.
 *
 * One image for each size of pages: build with -DPAGE_SHIFT=12, 14 or 16. The image runs where it
 * is linked, in the first RAM of QEMU's virt machine; the firmware's flash, from which it starts,
 * is left behind. One tree of page tables serves both halves of the address space (TTBR0 and
 * TTBR1), so an index of the top level means one thing only, and areas are as far apart as on
 * x86-64.
 */
#ifndef AARCH64_LAYOUT_H
#define AARCH64_LAYOUT_H

#ifndef PAGE_SHIFT
#define PAGE_SHIFT 12
#endif
#include "areas.h"

/* The virt machine (QEMU's hw/arm/virt.c): physical addresses. */
#define VIRT_GIC_DISTRIBUTOR ADDRESS(0x08000000)
#define VIRT_GIC_CPU ADDRESS(0x08010000)
#define VIRT_UART ADDRESS(0x09000000)
#define VIRT_FW_CFG ADDRESS(0x09020000)
#define VIRT_DIMM ADDRESS(0x09070000)              /* the memory-hotplug registers */
#define VIRT_GED ADDRESS(0x09080000)               /* the generic event device's selector */
#define VIRT_PCI_WINDOW ADDRESS(0x10000000)        /* for what devices have registers in */
#define VIRT_RAM ADDRESS(0x40000000)               /* the device tree lies at its start */
#define VIRT_PCI_CONFIG ADDRESS(0x4010000000)
#define IMAGE_START ADDRESS(0x40200000)

#ifndef BOOT_STACK_BYTES
#define BOOT_STACK_BYTES 65536
#endif
#define TRAP_STACK_BYTES 65536         /* a CPU handles traps there: see boot.S */
#define AP_STACK_BYTES 65536

#endif
