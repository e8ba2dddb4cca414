/* SPDX-License-Identifier: MIT */
/*
 * smp.c - several CPUs: bring-up by PSCI, and requests from one CPU to all others.
 *
 * Translations are forgotten by the hardware, everywhere at once. What is left to ask of others is
 * a sign that they have taken an interrupt (smp_fence). One such request is under way at a time:
 * who sends it holds the lock and waits until each addressee has cleared its bit in `pending`, with
 * a release that the waiter acquires. Whoever waits here answers what others ask meanwhile
 * (smp_poll), so that it makes no difference whether interrupts are on. Must not know why it is
 * asked.
 */
#include "smp.h"

#include <stdatomic.h>

#include "acpi.h"
#include "bootmem.h"
#include "mmu.h"
#include "traps.h"

enum {
	FLUSH_PAGES_MAX = 64,          /* above, forgetting everything is cheaper */
	TICKS_PER_SECOND = 100,
};
#define PSCI_CPU_ON UINT64_C(0xc4000003)

extern char ap_entry[];
uint64_t ap_stack_top, ap_trap_stack_top, ap_tables;    /* boot.S: of the CPU that is starting */
void smp_ap_main(uint64_t id);                          /* boot.S */

static struct smp_cpu cpus[SMP_CPUS_MAX];
static _Atomic uint32_t online_mask = 1;
static unsigned nr_cpus = 1;
static bool shootdown_broken;

static atomic_flag request_lock = ATOMIC_FLAG_INIT;
static _Atomic uint32_t pending;    /* one bit for each CPU that has not answered */

static void
become(unsigned id)
{
	cpus[id].id = id;
	cpu_write_register("tpidr_el1", &cpus[id]);
}

void
smp_init(void)
{
	become(0);
}

unsigned
smp_nr_cpus(void)
{
	return nr_cpus;
}

unsigned
smp_node(unsigned cpu)
{
	return acpi_cpu_node(cpu);
}

void
smp_tick_again(void)
{
	cpu_write_register("cntv_tval_el0", cpu_read_register("cntfrq_el0") / TICKS_PER_SECOND);
}

void
smp_tick_start(void)
{
	smp_tick_again();
	cpu_write_register("cntv_ctl_el0", 1);
}

/* Where every other CPU spends its life, from boot.S. */
void
smp_ap_main(uint64_t id)
{
	become((unsigned)id);
	traps_load();
	atomic_fetch_or(&online_mask, 1U << id);
	for (;;) {
		void (*work)(void *) = atomic_load(&cpus[id].work);
		if (work == NULL) {
			irq_wait();
			continue;
		}
		irq_enable();
		work(cpus[id].work_arg);
		irq_save();
		atomic_store(&cpus[id].work, NULL);
	}
}

/* Below each stack is a gap: who runs off it faults (traps.c). Returns its top, or 0. */
static uint64_t
make_stack(unsigned id)
{
	uint64_t start = STACKS + id * (uint64_t)AP_STACK_STEP;
	void *pages = bootmem_alloc(AP_STACK_BYTES / PAGE_BYTES, PAGE_BYTES);

	if (pages == NULL || mmu_reserve(start, AP_STACK_BYTES, MMU_BASE) != 0 ||
	    mmu_map(start, virt_to_phys(pages), AP_STACK_BYTES, MMU_DATA, MMU_BASE, NULL) != 0)
		return 0;
	return start + AP_STACK_BYTES;
}

static int64_t
psci_cpu_on(uint64_t id)
{
	register uint64_t function __asm__("x0") = PSCI_CPU_ON;
	register uint64_t target __asm__("x1") = id;
	register uint64_t entry __asm__("x2") = (uint64_t)ap_entry;
	register uint64_t argument __asm__("x3") = id;

	__asm__ volatile("hvc #0" : "+r"(function) : "r"(target), "r"(entry), "r"(argument)
			 : "memory");
	return (int64_t)function;
}

/* Write what the CPU reads before its caches are on back to memory. */
static void
write_back(const void *at)
{
	__asm__ volatile("dc cvac, %0\n\tdsb sy" : : "r"(at) : "memory");
}

static bool
start_cpu(unsigned id)
{
	void *trap_stack = bootmem_alloc(TRAP_STACK_BYTES / PAGE_BYTES, PAGE_BYTES);

	ap_stack_top = make_stack(id);
	if (ap_stack_top == 0 || trap_stack == NULL)
		return false;
	ap_trap_stack_top = (uint64_t)trap_stack + TRAP_STACK_BYTES;
	ap_tables = mmu_tables();
	write_back(&ap_stack_top);
	write_back(&ap_trap_stack_top);
	write_back(&ap_tables);
	if (psci_cpu_on(id) != 0)
		return false;
	/* A CPU that was started and does not come would be a broken machine: bounded all the
	 * same. */
	for (unsigned spins = 0; spins < 100000000; spins++) {
		if ((atomic_load(&online_mask) >> id & 1) != 0)
			return true;
		cpu_pause();
	}
	return false;
}

unsigned
smp_start(unsigned nr_wanted)
{
	nr_wanted = nr_wanted < SMP_CPUS_MAX ? nr_wanted : SMP_CPUS_MAX;
	while (nr_cpus < nr_wanted && start_cpu(nr_cpus))
		nr_cpus++;
	return nr_cpus;
}

void
smp_poll(void)
{
	uint32_t me = 1U << smp_self()->id;

	if ((atomic_load_explicit(&pending, memory_order_acquire) & me) != 0)
		atomic_fetch_and_explicit(&pending, ~me, memory_order_release);
}

void
smp_fence(void)
{
	uint64_t flags = irq_save();
	uint32_t others = atomic_load(&online_mask) & ~(1U << smp_self()->id);

	if (others != 0) {
		while (atomic_flag_test_and_set_explicit(&request_lock, memory_order_acquire)) {
			smp_poll();
			cpu_pause();
		}
		atomic_store_explicit(&pending, others, memory_order_release);
		traps_request_others();
		while (atomic_load_explicit(&pending, memory_order_acquire) != 0)
			cpu_pause();
		atomic_flag_clear_explicit(&request_lock, memory_order_release);
	}
	irq_restore(flags);
}

static void
flush_one(uint64_t virt)
{
	uint64_t page = virt >> 12 & ((UINT64_C(1) << 44) - 1);

	if (shootdown_broken)
		cpu_forget(virt);
	else
		__asm__ volatile("tlbi vaae1is, %0" : : "r"(page) : "memory");
}

void
smp_flush(uint64_t virt, uint64_t nr_pages)
{
	__asm__ volatile("dsb ishst" : : : "memory");
	if (nr_pages > FLUSH_PAGES_MAX && shootdown_broken)
		__asm__ volatile("tlbi vmalle1" : : : "memory");
	else if (nr_pages > FLUSH_PAGES_MAX)
		__asm__ volatile("tlbi vmalle1is" : : : "memory");
	for (uint64_t i = 0; i < nr_pages && nr_pages <= FLUSH_PAGES_MAX; i++)
		flush_one(virt + i * PAGE_BYTES);
	__asm__ volatile("dsb ish\n\tisb" : : : "memory");
}

void
smp_flush_all(void)
{
	smp_flush(0, UINT64_MAX);
}

void
smp_break_shootdown(void)
{
	shootdown_broken = true;
}

bool
smp_run(unsigned cpu, void (*work)(void *arg), void *arg)
{
	if (cpu == 0 || cpu >= nr_cpus || !smp_idle(cpu))
		return false;
	cpus[cpu].work_arg = arg;
	atomic_store(&cpus[cpu].work, work);
	smp_fence();                    /* wakes it */
	return true;
}

bool
smp_idle(unsigned cpu)
{
	return atomic_load(&cpus[cpu].work) == NULL;
}
