/* SPDX-License-Identifier: MIT */
/*
 * machine.c - time from the generic timer, whose rate is known; the end of the run.
 *
 * Invariant: the clock never goes back, and all CPUs see the same.
 */
#include "machine.h"

#include "cpu.h"

enum { SEMIHOSTING_EXIT = 0x20 };
#define APPLICATION_EXIT UINT64_C(0x20026)

static uint64_t start_ticks;
static uint64_t ns_per_tick_32;     /* in 2^-32 ns */

void
machine_init(void)
{
	start_ticks = cpu_cycles();
	ns_per_tick_32 = (UINT64_C(1000000000) << 32) / cpu_read_register("cntfrq_el0");
}

uint64_t
machine_now_ns(void)
{
	return (uint64_t)((unsigned __int128)(cpu_cycles() - start_ticks) * ns_per_tick_32 >> 32);
}

void
machine_pause_ns(uint64_t ns)
{
	uint64_t end = machine_now_ns() + ns;

	do {
		cpu_pause();
	} while (machine_now_ns() < end);
}

void
machine_exit(unsigned value)
{
	const uint64_t block[] = { APPLICATION_EXIT, value * 2 + 1 };
	register uint64_t operation __asm__("x0") = SEMIHOSTING_EXIT;
	register const uint64_t *argument __asm__("x1") = block;

	__asm__ volatile("hlt #0xf000" : : "r"(operation), "r"(argument) : "memory");
	for (;;)
		__asm__ volatile("wfi");
}
