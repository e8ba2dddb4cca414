/* SPDX-License-Identifier: MIT */
/*
 * apic.c - the machine's half of smp.h: local APICs wake and interrupt other CPUs, and tick.
 *
 * A CPU forgets translations only when it is asked to, so a flush is a request to all others. CPUs
 * are numbered in the order in which the MADT names them, the boot CPU first.
 */
#include "apic.h"

#include "acpi.h"
#include "bootmem.h"
#include "firmware.h"
#include "mmu.h"
#include "smp.h"
#include "string.h"
#include "traps.h"

enum {
	APIC_EOI = 0xb0,
	APIC_ID = 0x20,
	APIC_SPURIOUS = 0xf0,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_TIMER = 0x320,
	APIC_TIMER_COUNT = 0x380,
	APIC_TIMER_DIVIDE = 0x3e0,
	ICR_INIT = 0x4500,
	ICR_STARTUP = 0x4600,
	ICR_ALL_BUT_SELF = 0xc0000,
	TIMER_PERIODIC = 0x20000,
	TICK_COUNT = 1000000,          /* about 10 ms where the bus runs at 1 GHz */
	FLUSH_PAGES_MAX = 64,          /* above, forgetting everything is cheaper */
};

struct range {
	uint64_t virt;
	uint64_t nr_pages;
};

extern char ap_trampoline[], ap_trampoline_end[];
uint64_t ap_stack_top, ap_tables;   /* boot.S: stack and tables of the CPU that is starting */

static volatile uint32_t *apic;
static uint8_t ids[SMP_CPUS_MAX];   /* local APIC id of each CPU */

static void
apic_write(unsigned reg, uint32_t value)
{
	apic[reg / 4] = value;
}

void
apic_on(void)
{
	apic_write(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
}

void
apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

unsigned
smp_node(unsigned cpu)
{
	return acpi_cpu_node(ids[cpu]);
}

void
smp_tick_start(void)
{
	apic_write(APIC_TIMER_DIVIDE, 3);
	apic_write(APIC_TIMER, TIMER_PERIODIC | VECTOR_TICK);
	apic_write(APIC_TIMER_COUNT, TICK_COUNT);
}

void
smp_machine_init(void)
{
	apic = mmu_map_device(firmware()->local_apic, PAGE_BYTES);
	apic_on();
	ids[0] = (uint8_t)(apic[APIC_ID / 4] >> 24);
	memcpy(phys_to_virt(AP_TRAMPOLINE), ap_trampoline,
	       (size_t)(ap_trampoline_end - ap_trampoline));
}

/* The next CPU of the MADT that is not the boot CPU. */
static bool
next_id(uint8_t *ret_id)
{
	static unsigned next;
	const struct firmware *found = firmware();

	while (next < found->nr_cpus) {
		*ret_id = found->apic_ids[next++];
		if (*ret_id != ids[0])
			return true;
	}
	return false;
}

bool
smp_wake(unsigned id, uint64_t stack_top)
{
	if (!next_id(&ids[id]))
		return false;
	ap_stack_top = stack_top;
	ap_tables = mmu_tables();
	apic_write(APIC_ICR_HIGH, (uint32_t)ids[id] << 24);
	apic_write(APIC_ICR, ICR_INIT);
	apic_write(APIC_ICR_HIGH, (uint32_t)ids[id] << 24);
	apic_write(APIC_ICR, ICR_STARTUP | AP_TRAMPOLINE >> PAGE_SHIFT);
	return true;
}

void
smp_interrupt_others(void)
{
	apic_write(APIC_ICR, ICR_ALL_BUT_SELF | VECTOR_REQUEST);
}

static void
forget(const void *arg)
{
	struct range range = *(const struct range *)arg;

	if (range.nr_pages > FLUSH_PAGES_MAX) {
		mmu_load();
		return;
	}
	for (uint64_t i = 0; i < range.nr_pages; i++)
		cpu_forget(range.virt + i * PAGE_BYTES);
}

void
smp_flush(uint64_t virt, uint64_t nr_pages)
{
	struct range range = { virt, nr_pages };

	forget(&range);
	if (!smp_shootdown_broken())
		smp_ask_others(forget, &range);
}
