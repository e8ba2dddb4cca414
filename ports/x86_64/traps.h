/* SPDX-License-Identifier: MIT */
/*
 * traps.h - exceptions and interrupts: vectors, who handles them, and touching memory that may not
 * be there.
 */
#ifndef X86_64_TRAPS_H
#define X86_64_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

enum {
	VECTOR_DOUBLE_FAULT = 8,
	VECTOR_PAGE_FAULT = 14,
	VECTOR_SCI = 0x20,             /* ACPI event */
	VECTOR_CONSOLE = 0x21,
	VECTOR_TICK = 0x22,
	VECTOR_REQUEST = 0x23,         /* another CPU wants something: smp.c */
	VECTOR_SPURIOUS = 0x3f,
};

/* The frame that boot.S leaves on the stack. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* Build the table of vectors and load it on this CPU. */
void traps_init(void);
/* Load it on another. */
void traps_load(void);
/* Call handler, with interrupts off, for vector (an interrupt: the APIC is told afterwards). */
void traps_set_handler(unsigned vector, void (*handler)(void));
/* Ask handler first about every page fault: true when it has been dealt with. */
void traps_set_fault_handler(bool (*handler)(uint64_t address, uint64_t error));
/* Ask handler about every exception that nobody else has dealt with: true when it has. */
void traps_set_exception_handler(bool (*handler)(struct trap_frame *frame));
/* Send interrupt line (global, as the ACPI tables number them) to CPU 0 as vector. */
void traps_route(uint64_t io_apic, unsigned line, unsigned vector, bool level_triggered);

/* Touch one byte: false when that faults. Writing leaves it as it is. */
bool trap_probe_read(const volatile void *at);
bool trap_probe_write(volatile void *at);

#endif
