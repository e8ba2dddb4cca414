/* SPDX-License-Identifier: MIT */
/*
 * machine.h - the clock, and ways to end.
 */
#ifndef AARCH64_MACHINE_H
#define AARCH64_MACHINE_H

#include <stdint.h>

/* QEMU's exit status is 2 * value + 1, as on x86-64, where a debug-exit device makes it so. */
enum {
	MACHINE_EXIT_PASS = 0x10,      /* 33 */
	MACHINE_EXIT_FAIL = 0x11,      /* 35 */
	MACHINE_EXIT_TRAP = 0x7f,      /* 255 */
};

/* Everything below the engine: console, traps, memory, page tables, clock. One CPU runs, without
 * interrupts. Call first. */
void machine_bring_up(uint64_t boot_argument);
/* Start the clock. */
void machine_init(void);
uint64_t machine_now_ns(void);
void machine_pause_ns(uint64_t ns);
/* End: by semihosting, which passes the value on. */
void machine_exit(unsigned value) __attribute__((noreturn));

#endif
