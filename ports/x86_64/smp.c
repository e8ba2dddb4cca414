/* SPDX-License-Identifier: MIT */
/*
 * smp.c - several CPUs: local APICs, bring-up, and requests from one CPU to all others.
 *
 * One request is under way at a time, in `request`: who sends it holds the lock and waits until
 * each addressee has cleared its bit in `pending`. Whoever waits here answers what others ask
 * meanwhile (smp_poll), so that it makes no difference whether interrupts are on. Must not know
 * why a translation is to be forgotten.
 */
#include "smp.h"

#include <stdatomic.h>

#include "acpi.h"
#include "bootmem.h"
#include "mmu.h"
#include "string.h"
#include "traps.h"
#include "cpu.h"

enum {
	MSR_GS_BASE = 0xc0000101,
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

extern char ap_trampoline[], ap_trampoline_end[];
uint64_t ap_stack_top, ap_tables;   /* boot.S: stack and tables of the CPU that is starting */

static struct smp_cpu cpus[SMP_CPUS_MAX];
static _Atomic uint32_t online_mask = 1;
static unsigned nr_cpus = 1;
static volatile uint32_t *apic;
static bool shootdown_broken;

static atomic_flag request_lock = ATOMIC_FLAG_INIT;
static struct {
	uint64_t virt;
	uint64_t nr_pages;
	_Atomic uint32_t pending;      /* one bit for each CPU that has not answered */
} request;

static void
become(unsigned id)
{
	cpus[id].id = id;
	cpus[id].self = &cpus[id];
	wrmsr(MSR_GS_BASE, (uint64_t)&cpus[id]);
}

static void
apic_write(unsigned reg, uint32_t value)
{
	apic[reg / 4] = value;
}

static void
apic_on(void)
{
	apic_write(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
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
	return acpi_cpu_node(cpus[cpu].apic_id);
}

void
smp_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void
smp_tick_start(void)
{
	apic_write(APIC_TIMER_DIVIDE, 3);
	apic_write(APIC_TIMER, TIMER_PERIODIC | VECTOR_TICK);
	apic_write(APIC_TIMER_COUNT, TICK_COUNT);
}

void
smp_enter(void)
{
	become(nr_cpus); /* smp_start() waits for us before it goes on */
}

void
smp_serve(void)
{
	unsigned id = smp_self()->id;

	apic_on();
	cpus[id].apic_id = (uint8_t)(apic[APIC_ID / 4] >> 24);
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

static bool
start_cpu(unsigned id, uint8_t apic_id)
{
	ap_stack_top = make_stack(id);
	if (ap_stack_top == 0)
		return false;
	ap_tables = mmu_tables();
	apic_write(APIC_ICR_HIGH, (uint32_t)apic_id << 24);
	apic_write(APIC_ICR, ICR_INIT);
	apic_write(APIC_ICR_HIGH, (uint32_t)apic_id << 24);
	apic_write(APIC_ICR, ICR_STARTUP | AP_TRAMPOLINE >> PAGE_SHIFT);
	/* A CPU of the tables that does not come would be a broken machine: bounded all the
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
	const struct acpi *acpi = acpi_get();

	apic = mmu_map_device(acpi->local_apic, PAGE_BYTES);
	apic_on();
	cpus[0].apic_id = (uint8_t)(apic[APIC_ID / 4] >> 24);
	memcpy(phys_to_virt(AP_TRAMPOLINE), ap_trampoline,
	       (size_t)(ap_trampoline_end - ap_trampoline));
	nr_wanted = nr_wanted < SMP_CPUS_MAX ? nr_wanted : SMP_CPUS_MAX;
	for (unsigned i = 0; i < acpi->nr_cpus && nr_cpus < nr_wanted; i++) {
		uint8_t apic_id = acpi->cpus[i].apic_id;
		if (apic_id != cpus[0].apic_id && start_cpu(nr_cpus, apic_id))
			nr_cpus++;
	}
	return nr_cpus;
}

static void
forget(uint64_t virt, uint64_t nr_pages)
{
	if (nr_pages > FLUSH_PAGES_MAX) {
		mmu_load();
		return;
	}
	for (uint64_t i = 0; i < nr_pages; i++)
		cpu_forget(virt + i * PAGE_BYTES);
}

void
smp_poll(void)
{
	uint32_t me = 1U << smp_self()->id;

	if ((atomic_load_explicit(&request.pending, memory_order_acquire) & me) == 0)
		return;
	forget(request.virt, request.nr_pages);
	atomic_fetch_and_explicit(&request.pending, ~me, memory_order_release);
}

/* Every other CPU forgets the range; returns when all have. */
static void
ask_others(uint64_t virt, uint64_t nr_pages)
{
	uint64_t flags = irq_save();
	uint32_t others = atomic_load(&online_mask) & ~(1U << smp_self()->id);

	if (others != 0) {
		while (atomic_flag_test_and_set_explicit(&request_lock, memory_order_acquire)) {
			smp_poll();
			cpu_pause();
		}
		request.virt = virt;
		request.nr_pages = nr_pages;
		atomic_store_explicit(&request.pending, others, memory_order_release);
		apic_write(APIC_ICR, ICR_ALL_BUT_SELF | VECTOR_REQUEST);
		while (atomic_load_explicit(&request.pending, memory_order_acquire) != 0)
			cpu_pause();
		atomic_flag_clear_explicit(&request_lock, memory_order_release);
	}
	irq_restore(flags);
}

void
smp_flush(uint64_t virt, uint64_t nr_pages)
{
	forget(virt, nr_pages);
	if (!shootdown_broken)
		ask_others(virt, nr_pages);
}

void
smp_flush_all(void)
{
	smp_flush(0, UINT64_MAX);
}

void
smp_fence(void)
{
	ask_others(0, 0);
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
