/* SPDX-License-Identifier: MIT */
/*
 * traps.h - exceptions and interrupts: who handles them, and touching memory that may not be there.
 */
#ifndef AARCH64_TRAPS_H
#define AARCH64_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

/* An interrupt's vector is its number at the interrupt controller. */
enum {
	VECTOR_REQUEST = 0,            /* another CPU wants something: smp.c */
	VECTOR_TICK = 27,              /* the virtual timer */
	VECTOR_CONSOLE = 33,
	VECTOR_SCI = 41,               /* the generic event device */
	TRAP_VECTORS = 64,
};

/* The frame that boot.S leaves on the trap stack. */
struct trap_frame {
	uint64_t x[31];
	uint64_t pc, flags, sp;
	uint64_t vector;               /* which of the sixteen entries it came by */
	uint64_t pad;
};

/* Find the interrupt controller and turn this CPU's part of it on. Needs page tables. */
void traps_init(void);
/* The same on another CPU. */
void traps_load(void);
/* Call handler, with interrupts off, for vector; NULL: taking it is enough. */
void traps_set_handler(unsigned vector, void (*handler)(void));
/* Ask handler first about every page fault: true when it has been dealt with. */
void traps_set_fault_handler(bool (*handler)(uint64_t address, uint64_t error));
/* Ask handler about every exception that nobody else has dealt with: true when it has. */
void traps_set_exception_handler(bool (*handler)(struct trap_frame *frame));
/* Send an interrupt of a device to CPU 0. */
void traps_route(unsigned vector, bool level_triggered);

/* Touch one byte: false when that faults. Writing leaves it as it is. */
bool trap_probe_read(const volatile void *at);
bool trap_probe_write(volatile void *at);

#endif
