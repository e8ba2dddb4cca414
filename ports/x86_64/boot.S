/* SPDX-License-Identifier: MIT */
/*
 * boot.S - all of the port's assembly: the way into C, for the boot CPU, for every other CPU, and
 * for every trap.
 *
 * The boot CPU arrives by PVH in 32-bit protected mode without paging (ebx = start info). The
 * other CPUs arrive in real mode at a page below 1 MiB, to which apic.c copies the trampoline. Both
 * go straight to long mode on the boot tables: 4 GiB of 2 MiB pages, at 0 and again at the direct
 * map, so that physical memory has the same address in C before and after mmu.c takes over.
 */
#include "layout.h"

#define CR0_PE_WP_PG 0x80010001
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900
#define CODE64 0x08
#define DATA 0x10

	.section .note.pvh, "a", @note
	.long 4, 8, 18          /* name size, value size, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad pvh_entry

	.text
	.code32
	.globl pvh_entry
pvh_entry:
	cld
	lgdtl boot_gdt_pointer
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $boot_pml4, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME_NXE, %eax
	wrmsr
	movl $CR0_PE_WP_PG, %eax
	movl %eax, %cr0
	ljmpl $CODE64, $boot64

	.code64
boot64:
	movl $DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $boot_stack_top, %esp
	movl %ebx, %edi         /* the start info's physical address; zero-extended */
	call kernel_main
1:	cli
	hlt
	jmp 1b

/* Copied to AP_TRAMPOLINE; runs there, so it names only what it copied or what is absolute. */
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	cld
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl AP_TRAMPOLINE + (ap_gdt_pointer - ap_trampoline)
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $boot_pml4, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME_NXE, %eax
	wrmsr
	movl $CR0_PE_WP_PG, %eax
	movl %eax, %cr0
	ljmpl $CODE64, $ap64
	.balign 4
ap_gdt_pointer:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt
ap_trampoline_end:

	.code64
ap64:
	movl $DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movq ap_tables, %rax            /* the stack is not in the boot tables */
	movq %rax, %cr3
	movq ap_stack_top, %rsp
	call smp_ap_main
1:	cli
	hlt
	jmp 1b

/*
 * Traps. Each stub leaves a struct trap_frame (traps.h): where the CPU pushes no error code, the
 * stub pushes 0. The frame is 176 bytes, so that C finds its stack aligned.
 */
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	.rept TRAP_VECTORS
	.balign 16
	.if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	.else
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr

trap_common:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	cld
	movq %rsp, %rdi
	call trap_handle
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

/* bool trap_probe_read(const volatile void *), bool trap_probe_write(volatile void *): touch a
 * byte; false when that faults. The trap handler knows the two instructions by their labels. */
	.globl trap_probe_read, trap_probe_write
	.globl trap_probe_read_at, trap_probe_write_at, trap_probe_fault
trap_probe_read:
trap_probe_read_at:
	movb (%rdi), %cl
	movl $1, %eax
	ret
trap_probe_write:
	xorl %ecx, %ecx
trap_probe_write_at:
	lock orb %cl, (%rdi)
	movl $1, %eax
	ret
trap_probe_fault:
	xorl %eax, %eax
	ret

	.section .rodata
	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff        /* CODE64: accessed already, the table is read-only */
	.quad 0x00cf93000000ffff        /* DATA */
boot_gdt_end:
boot_gdt_pointer:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt

	.data
	.balign 4096
boot_pml4:
	.quad boot_pdpt + 3
	.fill 255, 8, 0
	.quad boot_pdpt + 3             /* DIRECT_MAP */
	.fill 255, 8, 0
boot_pdpt:
	.quad boot_pd + 3, boot_pd + 0x1003, boot_pd + 0x2003, boot_pd + 0x3003
	.fill 508, 8, 0
boot_pd:
	.set frame, 0
	.rept 2048
	.quad frame + 0x83
	.set frame, frame + 0x200000
	.endr

	.bss
	.balign 4096
	.globl boot_stack_guard
boot_stack_guard:                       /* mmu.c takes its mapping away */
	.skip PAGE_BYTES
	.skip BOOT_STACK_BYTES
	.globl boot_stack_top
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
