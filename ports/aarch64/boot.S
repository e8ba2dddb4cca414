/* SPDX-License-Identifier: MIT */
/*
 * boot.S - all of the port's assembly: the way into C, for the boot CPU, for every other CPU, and
 * for every trap.
 *
 * The boot CPU starts in the firmware's flash at 0, at EL1, without page tables: it copies the image
 * to where it is linked and goes on there. The other CPUs are started by PSCI at ap_entry. Both turn
 * the MMU on with the boot tables: 4 GiB at 0 and again at the direct map and where devices are
 * mapped, devices being in the first GiB, so that physical memory has the same address in C before and after mmu.c takes over. C runs on
 * SP_EL0, traps on SP_EL1: a stack that has overflowed does not keep its trap from being told.
 */
#include "layout.h"

#define MAIR 0x04ff                     /* 0: normal, written back; 1: device nGnRE */
#define TCR_SIZE ((64 - ADDRESS_BITS) | (64 - ADDRESS_BITS) << 16)
#define TCR_CACHED (0x3500 | 0x3500 << 16)
#if PAGE_SHIFT == 12
#define TCR_GRANULE (0 << 14 | 2 << 30)
#elif PAGE_SHIFT == 14
#define TCR_GRANULE (2 << 14 | 1 << 30)
#else
#define TCR_GRANULE (1 << 14 | 3 << 30)
#endif
#define TCR_PHYSICAL_48 (5 << 32)
#define SCTLR_MMU_CACHES 0x30d0198d     /* M, C, I, SA0, and the bits that are always one */
#define SPSR_EL1T_MASKED 0x3c4          /* EL1, SP_EL0, everything masked */

/* What a block of the boot tables has: valid, accessed, shared; device or normal memory. */
#define BOOT_NORMAL 0x701
#define BOOT_DEVICE 0x60000000000405

	.macro load reg, value          /* a 64-bit constant, without a literal pool */
	movz \reg, #((\value) & 0xffff)
	movk \reg, #((\value) >> 16 & 0xffff), lsl #16
	movk \reg, #((\value) >> 32 & 0xffff), lsl #32
	movk \reg, #((\value) >> 48 & 0xffff), lsl #48
	.endm

	.section .text.boot, "ax"
	.globl boot_entry
boot_entry:
	msr daifset, #0xf
	adr x0, boot_entry
	ldr x1, =image_start
	ldr x2, =image_bss
	cmp x0, x1
	b.eq 2f
1:	ldp x3, x4, [x0], #16
	stp x3, x4, [x1], #16
	cmp x1, x2
	b.lo 1b
2:	ldr x1, =image_end
3:	stp xzr, xzr, [x2], #16
	cmp x2, x1
	b.lo 3b
	ldr x3, =boot_linked
	br x3
boot_linked:
	ldr x20, =boot_stack_top
	ldr x21, =boot_trap_stack_top
	adr x22, boot_c
	b mmu_on
boot_c:
	mov x0, #VIRT_RAM               /* the device tree */
	bl kernel_main
4:	wfi
	b 4b

/* x20, x21: the stacks, in the direct map or not; x22: where to go. */
mmu_on:
	load x0, MAIR
	msr mair_el1, x0
	load x0, (TCR_SIZE | TCR_CACHED | TCR_GRANULE | TCR_PHYSICAL_48)
	msr tcr_el1, x0
	ldr x0, =boot_top
	msr ttbr0_el1, x0
	msr ttbr1_el1, x0
	ldr x0, =trap_vectors
	msr vbar_el1, x0
	isb
	tlbi vmalle1
	dsb nsh
	load x0, SCTLR_MMU_CACHES
	msr sctlr_el1, x0
	isb
	msr spsel, #1
	mov sp, x21
	msr spsel, #0
	mov sp, x20
	br x22

/* Where PSCI starts a CPU. psci.c has set the stacks, which are not in the boot tables. */
	.globl ap_entry
ap_entry:
	msr daifset, #0xf
	ldr x20, =boot_stack_top        /* until the tables are loaded nothing is pushed */
	ldr x21, =boot_trap_stack_top
	adr x22, ap_c
	b mmu_on
ap_c:
	ldr x0, =ap_tables
	ldr x0, [x0]
	msr ttbr0_el1, x0
	msr ttbr1_el1, x0
	isb
	tlbi vmalle1
	dsb nsh
	isb
	ldr x0, =ap_trap_stack_top
	ldr x1, [x0]
	msr spsel, #1
	mov sp, x1
	msr spsel, #0
	ldr x0, =ap_stack_top
	ldr x1, [x0]
	mov sp, x1
	bl smp_ap_main
5:	wfi
	b 5b
	.ltorg

/*
 * Traps. Each vector leaves a struct trap_frame (traps.h) on the trap stack and says which one it is.
 * A trap in a trap finds the vectors of SP_EL1; it is told and is the end.
 */
	.macro vector number
	.balign 128
	sub sp, sp, #288
	stp x0, x1, [sp]
	mov x0, #\number
	b trap_common
	.endm

	.text
	.balign 2048
trap_vectors:
	.set number, 0
	.rept 16
	vector number
	.set number, number + 1
	.endr

trap_common:
	stp x2, x3, [sp, #16]
	stp x4, x5, [sp, #32]
	stp x6, x7, [sp, #48]
	stp x8, x9, [sp, #64]
	stp x10, x11, [sp, #80]
	stp x12, x13, [sp, #96]
	stp x14, x15, [sp, #112]
	stp x16, x17, [sp, #128]
	stp x18, x19, [sp, #144]
	stp x20, x21, [sp, #160]
	stp x22, x23, [sp, #176]
	stp x24, x25, [sp, #192]
	stp x26, x27, [sp, #208]
	stp x28, x29, [sp, #224]
	mrs x1, elr_el1
	stp x30, x1, [sp, #240]
	mrs x1, spsr_el1
	mrs x2, sp_el0
	stp x1, x2, [sp, #256]
	str x0, [sp, #272]
	mov x0, sp
	bl trap_handle
	ldp x30, x1, [sp, #240]
	msr elr_el1, x1
	ldp x1, x2, [sp, #256]
	msr spsr_el1, x1
	ldp x2, x3, [sp, #16]
	ldp x4, x5, [sp, #32]
	ldp x6, x7, [sp, #48]
	ldp x8, x9, [sp, #64]
	ldp x10, x11, [sp, #80]
	ldp x12, x13, [sp, #96]
	ldp x14, x15, [sp, #112]
	ldp x16, x17, [sp, #128]
	ldp x18, x19, [sp, #144]
	ldp x20, x21, [sp, #160]
	ldp x22, x23, [sp, #176]
	ldp x24, x25, [sp, #192]
	ldp x26, x27, [sp, #208]
	ldp x28, x29, [sp, #224]
	ldp x0, x1, [sp]
	add sp, sp, #288
	eret

/* bool trap_probe_read(const volatile void *), bool trap_probe_write(volatile void *): touch a
 * byte; false when that faults. The trap handler knows the instructions by their labels. */
	.globl trap_probe_read, trap_probe_write
	.globl trap_probe_read_at, trap_probe_write_at, trap_probe_store_at, trap_probe_fault
trap_probe_read:
trap_probe_read_at:
	ldrb w1, [x0]
	mov w0, #1
	ret
trap_probe_write:
trap_probe_write_at:
	ldxrb w1, [x0]
trap_probe_store_at:
	stxrb w2, w1, [x0]
	cbnz w2, trap_probe_write
	mov w0, #1
	ret
trap_probe_fault:
	mov w0, #0
	ret

/* 4 GiB in the largest blocks that pages of this size have below the top levels. */
	.data
	.balign PAGE_BYTES
boot_top:
#if PAGE_SHIFT == 12
	.quad boot_1g + 3
	.fill 255, 8, 0
	.quad boot_1g + 3               /* DIRECT_MAP */
	.fill 127, 8, 0
	.quad boot_1g + 3               /* MMIO_MAP */
	.fill 127, 8, 0
boot_1g:
	.quad 0x00000000 + BOOT_DEVICE, 0x40000000 + BOOT_NORMAL
	.quad 0x80000000 + BOOT_NORMAL, 0xc0000000 + BOOT_NORMAL
	.fill 508, 8, 0
#elif PAGE_SHIFT == 14
	.quad boot_64g + 3, boot_64g + 3 /* two entries; the second is DIRECT_MAP's */
	.fill 2046, 8, 0
boot_64g:
	.quad boot_32m + 3
	.fill 1023, 8, 0
	.quad boot_32m + 3              /* MMIO_MAP */
	.fill 1023, 8, 0
boot_32m:
	.set block, 0
	.rept 32
	.quad block + BOOT_DEVICE
	.set block, block + 0x2000000
	.endr
	.rept 96
	.quad block + BOOT_NORMAL
	.set block, block + 0x2000000
	.endr
	.fill 1920, 8, 0
#else
	.quad boot_512m + 3
	.fill 31, 8, 0
	.quad boot_512m + 3             /* DIRECT_MAP */
	.fill 15, 8, 0
	.quad boot_512m + 3             /* MMIO_MAP */
	.fill 8143, 8, 0
boot_512m:
	.quad 0x00000000 + BOOT_DEVICE, 0x20000000 + BOOT_DEVICE
	.quad 0x40000000 + BOOT_NORMAL, 0x60000000 + BOOT_NORMAL
	.quad 0x80000000 + BOOT_NORMAL, 0xa0000000 + BOOT_NORMAL
	.quad 0xc0000000 + BOOT_NORMAL, 0xe0000000 + BOOT_NORMAL
	.fill 8184, 8, 0
#endif

	.bss
	.balign PAGE_BYTES
	.globl boot_stack_guard
boot_stack_guard:                       /* mmu.c takes its mapping away */
	.skip PAGE_BYTES
	.skip BOOT_STACK_BYTES
boot_stack_top:
	.skip TRAP_STACK_BYTES
boot_trap_stack_top:

	.section .note.GNU-stack, "", %progbits
