/* SPDX-License-Identifier: MIT */
/*
 * traps.c - the vector table, and what happens when a trap comes.
 *
 * A trap that nobody expects is the port's assertion: it prints where and why and ends the machine
 * with a status that no test takes for success. Two kinds are expected: a page fault in one of the
 * two probe instructions, which makes the probe return false, and one that the paging client
 * claims. Handlers run with interrupts off and must not enter the engine.
 *
 * Traps use the stack that they find. Below each is a page that is not mapped, so whoever runs off
 * it faults, and since that fault finds no stack either, it becomes a double fault, which alone
 * has a stack of its own for each CPU: enough to say what happened.
 */
#include "traps.h"

#include "apic.h"
#include "console.h"
#include "machine.h"
#include "mmu.h"
#include "smp.h"
#include "cpu.h"

enum {
	FIRST_INTERRUPT = 32,
	CODE64 = 8,                    /* as in boot.S */
	TASK = 0x18,
	GATE_INTERRUPT = 0x8e,
	DOUBLE_FAULT_STACK = 1,
	DOUBLE_FAULT_STACK_BYTES = 8192,
	IOAPIC_LEVEL = 1 << 15,
};

/* The task-state segment: of use only for its stacks. */
struct task {
	uint32_t reserved_0;
	uint64_t stacks_by_level[3];
	uint64_t reserved_1;
	uint64_t stacks[7];            /* stacks[n - 1] is what a gate calls n */
	uint64_t reserved_2;
	uint16_t reserved_3;
	uint16_t io_map;               /* behind the end: there is none */
} __attribute__((packed));

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
static uint64_t descriptors[SMP_CPUS_MAX][5];   /* none, code, data, and a task in two halves */
static struct task tasks[SMP_CPUS_MAX];
static char double_fault_stacks[SMP_CPUS_MAX][DOUBLE_FAULT_STACK_BYTES]
	__attribute__((aligned(16)));
static void (*handlers[TRAP_VECTORS])(void);
static bool (*fault_handler)(uint64_t address, uint64_t error);
static bool (*exception_handler)(struct trap_frame *frame);

struct pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* Segments as boot.S has them, and this CPU's task. */
static void
load_task(unsigned cpu)
{
	uint64_t *table = descriptors[cpu], base = (uint64_t)&tasks[cpu];
	struct pointer pointer = { sizeof(descriptors[cpu]) - 1, (uint64_t)table };

	tasks[cpu] = (struct task){ .io_map = sizeof(struct task) };
	tasks[cpu].stacks[DOUBLE_FAULT_STACK - 1] = (uint64_t)double_fault_stacks[cpu] +
						    DOUBLE_FAULT_STACK_BYTES;
	table[CODE64 / 8] = UINT64_C(0x00af9b000000ffff);
	table[CODE64 / 8 + 1] = UINT64_C(0x00cf93000000ffff);
	table[TASK / 8] = (sizeof(struct task) - 1) | (base & 0xffffff) << 16 |
			  UINT64_C(0x89) << 40 | (base >> 24 & 0xff) << 56;
	table[TASK / 8 + 1] = base >> 32;
	__asm__ volatile("lgdt %0" : : "m"(pointer));
	__asm__ volatile("ltr %w0" : : "r"(TASK));
}

void
traps_load(void)
{
	struct pointer pointer = { sizeof(gates) - 1, (uint64_t)gates };

	load_task(smp_self()->id);
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
			.stack = i == VECTOR_DOUBLE_FAULT ? DOUBLE_FAULT_STACK : 0,
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
traps_set_exception_handler(bool (*handler)(struct trap_frame *frame))
{
	exception_handler = handler;
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
		apic_eoi();
		return;
	}
	if (frame->vector == VECTOR_PAGE_FAULT && page_fault(frame))
		return;
	if (exception_handler != NULL && exception_handler(frame))
		return;
	if (frame->vector == VECTOR_DOUBLE_FAULT && mmu_below_stack(read_cr2()))
		say("\nstack overflow on cpu %u", smp_self()->id);
	say("\ntrap %lu error %lx at %lx address %lx stack %lx cpu %u\n", frame->vector,
	    frame->error, frame->rip, read_cr2(), frame->rsp, smp_self()->id);
	machine_exit(MACHINE_EXIT_TRAP);
}
