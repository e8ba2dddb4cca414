/* SPDX-License-Identifier: MIT */
/*
 * machine.h - the clock, and ways to end.
 */
#ifndef X86_64_MACHINE_H
#define X86_64_MACHINE_H

#include <stdint.h>

/* Values for the debug-exit device; QEMU's exit status is 2 * value + 1. A triple fault exits
 * with 0, so success must not be that. */
enum {
	MACHINE_EXIT_PASS = 0x10,      /* 33 */
	MACHINE_EXIT_FAIL = 0x11,      /* 35 */
	MACHINE_EXIT_TRAP = 0x7f,      /* 255 */
};

/* Everything below the engine: console, traps, memory, page tables, clock. One CPU runs, without
 * interrupts. Call first. */
void machine_bring_up(uint64_t boot_argument);
/* Find out how fast the clock runs. */
void machine_init(void);
uint64_t machine_now_ns(void);
void machine_pause_ns(uint64_t ns);
/* End: by the debug-exit device, or where there is none by switching the power off. */
void machine_exit(unsigned value) __attribute__((noreturn));

#endif
