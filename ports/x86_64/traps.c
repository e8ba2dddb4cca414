/* SPDX-License-Identifier: MIT */
/*
 * traps.c - the vector table, and what happens when a trap comes.
 *
 * A trap that nobody expects is the port's assertion: it prints where and why and ends the machine
 * with a status that no test takes for success. Two kinds are expected: a page fault in one of the
 * two probe instructions, which makes the probe return false, and one that the paging client
 * claims. Handlers run with interrupts off and must not enter the engine.
 */
#include "traps.h"

#include "console.h"
#include "machine.h"
#include "mmu.h"
#include "smp.h"
#include "x86.h"

enum { FIRST_INTERRUPT = 32, CODE64 = 8, GATE_INTERRUPT = 0x8e, IOAPIC_LEVEL = 1 << 15 };

struct gate {
	uint16_t offset_0;
	uint16_t selector;
	uint8_t stack;
	uint8_t type;
	uint16_t offset_16;
	uint32_t offset_32;
	uint32_t zero;
};

extern char trap_stubs[];
extern char trap_probe_read_at[], trap_probe_write_at[], trap_probe_fault[];
void trap_handle(struct trap_frame *frame);     /* boot.S */

static struct gate gates[TRAP_VECTORS];
static void (*handlers[TRAP_VECTORS])(void);
static bool (*fault_handler)(uint64_t address, uint64_t error);

void
traps_load(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(gates) - 1, (uint64_t)gates };

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void
traps_init(void)
{
	for (unsigned i = 0; i < TRAP_VECTORS; i++) {
		uint64_t stub = (uint64_t)trap_stubs + i * 16UL;
		gates[i] = (struct gate){
			.offset_0 = (uint16_t)stub,
			.selector = CODE64,
			.type = GATE_INTERRUPT,
			.offset_16 = (uint16_t)(stub >> 16),
			.offset_32 = (uint32_t)(stub >> 32),
		};
	}
	/* The legacy controllers would deliver on the vectors of exceptions: off. */
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
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
traps_route(uint64_t io_apic, unsigned line, unsigned vector, bool level_triggered)
{
	volatile uint32_t *select = mmu_map_device(io_apic, 0x20);
	volatile uint32_t *window = select + 4;

	*select = 0x11 + 2 * line;
	*window = 0;
	*select = 0x10 + 2 * line;
	*window = vector | (level_triggered ? IOAPIC_LEVEL : 0);
}

static bool
page_fault(struct trap_frame *frame)
{
	uint64_t address = read_cr2();

	if (frame->rip == (uint64_t)trap_probe_read_at ||
	    frame->rip == (uint64_t)trap_probe_write_at) {
		frame->rip = (uint64_t)trap_probe_fault;
		return true;
	}
	return fault_handler != NULL && fault_handler(address, frame->error);
}

void
trap_handle(struct trap_frame *frame)
{
	if (frame->vector >= FIRST_INTERRUPT) {
		if (frame->vector == VECTOR_SPURIOUS)
			return;
		if (handlers[frame->vector] != NULL)
			handlers[frame->vector]();
		smp_eoi();
		return;
	}
	if (frame->vector == VECTOR_PAGE_FAULT && page_fault(frame))
		return;
	say("\ntrap %lu error %lx at %lx address %lx stack %lx cpu %u\n", frame->vector,
	    frame->error, frame->rip, read_cr2(), frame->rsp, smp_self()->id);
	machine_exit(MACHINE_EXIT_TRAP);
}
