/* SPDX-License-Identifier: MIT */
/*
 * psci.c - the machine's half of smp.h, but for interrupts (traps.c): PSCI wakes other CPUs.
 *
 * Translations are forgotten by the hardware, everywhere at once, so a flush asks nobody.
 */
#include "smp.h"

#include "acpi.h"
#include "bootmem.h"
#include "mmu.h"
#include "traps.h"

enum {
	FLUSH_PAGES_MAX = 64,          /* above, forgetting everything is cheaper */
};
#define PSCI_CPU_ON UINT64_C(0xc4000003)

extern char ap_entry[];
uint64_t ap_stack_top, ap_trap_stack_top, ap_tables;    /* boot.S: of the CPU that is starting */
void smp_ap_main(void);                                 /* boot.S */

unsigned
smp_node(unsigned cpu)
{
	return acpi_cpu_node(cpu);
}

/* Where every other CPU spends its life, from boot.S. */
void
smp_ap_main(void)
{
	smp_enter();
	traps_load();
	smp_serve();
}

static int64_t
psci_cpu_on(uint64_t id)
{
	register uint64_t function __asm__("x0") = PSCI_CPU_ON;
	register uint64_t target __asm__("x1") = id;
	register uint64_t entry __asm__("x2") = (uint64_t)ap_entry;

	__asm__ volatile("hvc #0" : "+r"(function) : "r"(target), "r"(entry) : "x3", "memory");
	return (int64_t)function;
}

/* Write what the CPU reads before its caches are on back to memory. */
static void
write_back(const void *at)
{
	__asm__ volatile("dc cvac, %0\n\tdsb sy" : : "r"(at) : "memory");
}

void
smp_machine_init(void)
{
}

bool
smp_wake(unsigned id, uint64_t stack_top)
{
	void *trap_stack = bootmem_alloc(TRAP_STACK_BYTES / PAGE_BYTES, PAGE_BYTES);

	if (trap_stack == NULL)
		return false;
	ap_stack_top = stack_top;
	ap_trap_stack_top = (uint64_t)trap_stack + TRAP_STACK_BYTES;
	ap_tables = mmu_tables();
	write_back(&ap_stack_top);
	write_back(&ap_trap_stack_top);
	write_back(&ap_tables);
	return psci_cpu_on(id) == 0;
}

static void
flush_one(uint64_t virt)
{
	uint64_t page = virt >> 12 & ((UINT64_C(1) << 44) - 1);

	if (smp_shootdown_broken())
		cpu_forget(virt);
	else
		__asm__ volatile("tlbi vaae1is, %0" : : "r"(page) : "memory");
}

void
smp_flush(uint64_t virt, uint64_t nr_pages)
{
	__asm__ volatile("dsb ishst" : : : "memory");
	if (nr_pages > FLUSH_PAGES_MAX && smp_shootdown_broken())
		__asm__ volatile("tlbi vmalle1" : : : "memory");
	else if (nr_pages > FLUSH_PAGES_MAX)
		__asm__ volatile("tlbi vmalle1is" : : : "memory");
	for (uint64_t i = 0; i < nr_pages && nr_pages <= FLUSH_PAGES_MAX; i++)
		flush_one(virt + i * PAGE_BYTES);
	__asm__ volatile("dsb ish\n\tisb" : : : "memory");
}
