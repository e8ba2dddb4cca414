/* SPDX-License-Identifier: MIT */
/*
 * processor.c - what the suite needs of an AArch64: registers for numbers, exceptions as signals.
 *
 * An exception of the program comes by the first vector, from EL1 on SP_EL0; its class is in
 * ESR_EL1. Division by zero gives 0 here and raises nothing. Must not know what becomes of a
 * signal.
 */
#include "processor.h"

#include <signal.h>

#include "cpu.h"
#include "traps.h"

enum {
	VECTOR_SYNC = 0,
	CLASS_SHIFT = 26,
	CLASS_UNKNOWN = 0x00,          /* an instruction that there is not */
	CLASS_INSTRUCTION_ABORT = 0x21,
	CLASS_DATA_ABORT = 0x25,
	CLASS_BREAKPOINT = 0x3c,       /* brk, which __builtin_trap() is */
};
#define CPACR_FLOAT (UINT64_C(3) << 20)

void
suite_allow_float(void)
{
	cpu_write_register("cpacr_el1", cpu_read_register("cpacr_el1") | CPACR_FLOAT);
	__asm__ volatile("isb" : : : "memory");
}

int
suite_signal_of(const struct trap_frame *frame)
{
	if (frame->vector != VECTOR_SYNC)
		return 0;
	switch (cpu_read_register("esr_el1") >> CLASS_SHIFT) {
	case CLASS_UNKNOWN:
		return SIGILL;
	case CLASS_INSTRUCTION_ABORT:
	case CLASS_DATA_ABORT:
		return SIGSEGV;
	case CLASS_BREAKPOINT:
		return SIGTRAP;
	default:
		return 0;
	}
}

void
suite_go_on_at(struct trap_frame *frame, void (*next)(int number), int number)
{
	frame->pc = (uint64_t)next;
	frame->x[0] = (uint64_t)number;
	frame->sp &= ~UINT64_C(15);
}
