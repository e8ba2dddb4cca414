/* SPDX-License-Identifier: MIT */
/*
 * machine.c - time from the CPU's cycle counter, calibrated once against the ACPI timer; the end
 * of the run.
 *
 * Under QEMU's instruction counting the cycle counter counts instructions, one a nanosecond, and
 * so does this clock. Invariant: it never goes back.
 */
#include "machine.h"

#include "cpu.h"
#include "firmware.h"

enum { DEBUG_EXIT = 0xf4, PM_TIMER_HZ = 3579545, PM_TIMER_MASK = 0xffffff, CALIBRATE_TICKS = 3580 };

static uint64_t start_cycles;
static uint64_t ns_per_cycle_32;    /* in 2^-32 ns */

void
machine_init(void)
{
	uint16_t timer = firmware()->pm_timer;
	uint32_t first = inl(timer);
	uint32_t ticks;

	start_cycles = cpu_cycles();
	do {
		ticks = (inl(timer) - first) & PM_TIMER_MASK;
	} while (ticks < CALIBRATE_TICKS);
	uint64_t cycles = cpu_cycles() - start_cycles;
	uint64_t ns = (uint64_t)ticks * 1000000000U / PM_TIMER_HZ;
	ns_per_cycle_32 = (ns << 32) / cycles;
}

uint64_t
machine_now_ns(void)
{
	return (uint64_t)((unsigned __int128)(cpu_cycles() - start_cycles) * ns_per_cycle_32 >> 32);
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
	outb(DEBUG_EXIT, (uint8_t)value);
	firmware_power_off();
	for (;;)
		__asm__ volatile("cli\n\thlt");
}
