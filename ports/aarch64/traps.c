/* SPDX-License-Identifier: MIT */
/*
 * traps.c - what happens at an exception or interrupt, and the interrupt controller (GICv2).
 *
 * Traps run on a stack of their own (boot.S), with interrupts off. A fault may be expected: a
 * probe, or a client that lets others wait for a page. Anything else is told with its address and
 * ends the machine. Must not know what the vectors are for.
 */
#include "traps.h"

#include <stddef.h>

#include "console.h"
#include "cpu.h"
#include "machine.h"
#include "mmu.h"
#include "smp.h"

enum {
	TICKS_PER_SECOND = 100,
	DIST_CONTROL = 0x000 / 4,
	DIST_SET_ENABLE = 0x100 / 4,
	DIST_PRIORITY = 0x400,         /* bytes */
	DIST_TARGET = 0x800,           /* bytes */
	DIST_CONFIG = 0xc00 / 4,
	DIST_SOFTWARE = 0xf00 / 4,
	SOFTWARE_ALL_BUT_SELF = 1 << 24,
	CPU_CONTROL = 0x00 / 4,
	CPU_PRIORITY_MASK = 0x04 / 4,
	CPU_ACKNOWLEDGE = 0x0c / 4,
	CPU_END = 0x10 / 4,
	NOTHING = 1020,                /* and above: no interrupt is waiting */
	VECTOR_SYNC = 0,               /* from C, on SP_EL0; interrupts are one further */
	VECTOR_IRQ = 1,
	CLASS_SHIFT = 26,
	CLASS_DATA_ABORT = 0x25,
};

extern char trap_probe_read_at[], trap_probe_write_at[], trap_probe_store_at[], trap_probe_fault[];
void trap_handle(struct trap_frame *frame);     /* boot.S */

static volatile uint32_t *distributor, *interface;
static void (*handlers[TRAP_VECTORS])(void);
static bool (*fault_handler)(uint64_t address, uint64_t error);
static bool (*exception_handler)(struct trap_frame *frame);

void
traps_load(void)
{
	interface[CPU_PRIORITY_MASK] = 0xff;
	interface[CPU_CONTROL] = 1;
	/* Those of the CPU itself: requests and the timer. */
	distributor[DIST_SET_ENABLE] = 1U << VECTOR_REQUEST | 1U << VECTOR_TICK;
}

void
traps_init(void)
{
	distributor = mmu_map_device(VIRT_GIC_DISTRIBUTOR, 0x1000);
	interface = mmu_map_device(VIRT_GIC_CPU, 0x1000);
	distributor[DIST_CONTROL] = 1;
	handlers[VECTOR_REQUEST] = smp_poll;
	traps_load();
}

void
traps_set_handler(unsigned vector, void (*handler)(void))
{
	handlers[vector] = handler;
}

void
traps_set_fault_handler(bool (*handler)(uint64_t address, uint64_t error))
{
	fault_handler = handler;
}

void
traps_set_exception_handler(bool (*handler)(struct trap_frame *frame))
{
	exception_handler = handler;
}

void
traps_route(unsigned vector, bool level_triggered)
{
	volatile uint8_t *bytes = (volatile uint8_t *)distributor;
	uint32_t edge = 2U << vector % 16 * 2;
	volatile uint32_t *config = &distributor[DIST_CONFIG + (int)vector / 16];

	*config = level_triggered ? *config & ~edge : *config | edge;
	bytes[DIST_PRIORITY + (int)vector] = 0x80;
	bytes[DIST_TARGET + (int)vector] = 1;
	distributor[DIST_SET_ENABLE + (int)vector / 32] = 1U << vector % 32;
}

void
smp_interrupt_others(void)
{
	__asm__ volatile("dsb ishst" : : : "memory");
	distributor[DIST_SOFTWARE] = SOFTWARE_ALL_BUT_SELF | VECTOR_REQUEST;
}

/* The virtual timer of this CPU fires once: its handler arms it again. */
static void
arm_tick(void)
{
	cpu_write_register("cntv_tval_el0", cpu_read_register("cntfrq_el0") / TICKS_PER_SECOND);
}

void
smp_tick_start(void)
{
	arm_tick();
	cpu_write_register("cntv_ctl_el0", 1);
}

static void
interrupt(void)
{
	uint32_t acknowledged = interface[CPU_ACKNOWLEDGE];
	unsigned vector = acknowledged & 0x3ff;

	if (vector >= NOTHING)
		return;
	if (vector < TRAP_VECTORS && handlers[vector] != NULL)
		handlers[vector]();
	if (vector == VECTOR_TICK)
		arm_tick();
	interface[CPU_END] = acknowledged;
}

static bool
page_fault(struct trap_frame *frame, uint64_t syndrome)
{
	if (frame->pc == (uint64_t)trap_probe_read_at ||
	    frame->pc == (uint64_t)trap_probe_write_at ||
	    frame->pc == (uint64_t)trap_probe_store_at) {
		frame->pc = (uint64_t)trap_probe_fault;
		return true;
	}
	return fault_handler != NULL && fault_handler(cpu_read_register("far_el1"), syndrome);
}

void
trap_handle(struct trap_frame *frame)
{
	if (frame->vector % 4 == VECTOR_IRQ) {
		interrupt();
		return;
	}
	uint64_t syndrome = cpu_read_register("esr_el1"), address = cpu_read_register("far_el1");
	bool data_abort = frame->vector == VECTOR_SYNC &&
			  syndrome >> CLASS_SHIFT == CLASS_DATA_ABORT;
	if (data_abort && page_fault(frame, syndrome))
		return;
	if (exception_handler != NULL && exception_handler(frame))
		return;
	if (data_abort && mmu_below_stack(address))
		say("\nstack overflow on cpu %u", smp_self()->id);
	say("\ntrap %lu error %lx at %lx address %lx stack %lx cpu %u\n", frame->vector, syndrome,
	    frame->pc, address, frame->sp, smp_self()->id);
	machine_exit(MACHINE_EXIT_TRAP);
}
