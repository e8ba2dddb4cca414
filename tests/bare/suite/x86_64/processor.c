/* SPDX-License-Identifier: MIT */
/*
 * processor.c - what the suite needs of an x86-64: registers for numbers, exceptions as signals.
 *
 * Must not know what becomes of a signal.
 */
#include "processor.h"

#include <signal.h>

#include "cpu.h"
#include "traps.h"

enum { CR4_SSE = 0x600, FLAG_DIRECTION = 1 << 10 };

void
suite_allow_float(void)
{
	write_cr4(read_cr4() | CR4_SSE);
}

int
suite_signal_of(const struct trap_frame *frame)
{
	enum { DIVIDE = 0, BREAKPOINT = 3, INVALID_OPCODE = 6, GENERAL = 13 };

	switch (frame->vector) {
	case DIVIDE:
		return SIGFPE;
	case BREAKPOINT:
		return SIGTRAP;
	case INVALID_OPCODE:
		return SIGILL;
	case GENERAL:
	case VECTOR_PAGE_FAULT:
		return SIGSEGV;
	default:
		return 0;
	}
}

void
suite_go_on_at(struct trap_frame *frame, void (*next)(int number), int number)
{
	frame->rip = (uint64_t)next;
	frame->rdi = (uint64_t)number;
	frame->rsp = (frame->rsp & ~UINT64_C(15)) - 8;     /* as after a call */
	frame->rflags &= ~(uint64_t)FLAG_DIRECTION;
}
