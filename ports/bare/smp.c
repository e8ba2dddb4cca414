/* SPDX-License-Identifier: MIT */
/*
 * smp.c - several CPUs: bring-up, work for them, and requests from one CPU to all others.
 *
 * One request is under way at a time: its sender holds the lock and waits until each addressee has
 * cleared its bit in `pending`, with a release that the waiter acquires. A CPU that waits here
 * answers what others ask meanwhile (smp_poll), so that it makes no difference whether interrupts
 * are on. Must not know why it is asked, nor how a CPU is started or interrupted.
 */
#include "smp.h"

#include <stdatomic.h>
#include <stddef.h>

#include "bootmem.h"
#include "mmu.h"

static struct smp_cpu cpus[SMP_CPUS_MAX];
static _Atomic uint32_t online_mask = 1;
static unsigned nr_cpus = 1;
static bool shootdown_broken;

static atomic_flag request_lock = ATOMIC_FLAG_INIT;
static struct {
	void (*answer)(const void *arg);
	const void *arg;
	_Atomic uint32_t pending;      /* one bit for each CPU that has not answered */
} request;

static void
become(unsigned id)
{
	cpus[id].id = id;
	cpus[id].self = &cpus[id];
	cpu_set_self(&cpus[id]);
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

void
smp_enter(void)
{
	become(nr_cpus); /* smp_start() waits for us before it goes on */
}

void
smp_serve(void)
{
	struct smp_cpu *self = smp_self();

	atomic_fetch_or(&online_mask, 1U << self->id);
	for (;;) {
		void (*work)(void *) = atomic_load(&self->work);
		if (work == NULL) {
			irq_wait();
			continue;
		}
		irq_enable();
		work(self->work_arg);
		irq_save();
		atomic_store(&self->work, NULL);
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
start_cpu(unsigned id)
{
	uint64_t stack_top = make_stack(id);

	if (stack_top == 0 || !smp_wake(id, stack_top))
		return false;
	/* One that was woken and does not come would be a broken machine: bounded all the same. */
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
	smp_machine_init();
	while (nr_cpus < nr_wanted && start_cpu(nr_cpus))
		nr_cpus++;
	return nr_cpus;
}

void
smp_poll(void)
{
	uint32_t me = 1U << smp_self()->id;

	if ((atomic_load_explicit(&request.pending, memory_order_acquire) & me) == 0)
		return;
	if (request.answer != NULL)
		request.answer(request.arg);
	atomic_fetch_and_explicit(&request.pending, ~me, memory_order_release);
}

void
smp_ask_others(void (*answer)(const void *arg), const void *arg)
{
	uint64_t flags = irq_save();
	uint32_t others = atomic_load(&online_mask) & ~(1U << smp_self()->id);

	if (others != 0) {
		while (atomic_flag_test_and_set_explicit(&request_lock, memory_order_acquire)) {
			smp_poll();
			cpu_pause();
		}
		request.answer = answer;
		request.arg = arg;
		atomic_store_explicit(&request.pending, others, memory_order_release);
		smp_interrupt_others();
		while (atomic_load_explicit(&request.pending, memory_order_acquire) != 0)
			cpu_pause();
		atomic_flag_clear_explicit(&request_lock, memory_order_release);
	}
	irq_restore(flags);
}

void
smp_fence(void)
{
	smp_ask_others(NULL, NULL);
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
smp_shootdown_broken(void)
{
	return shootdown_broken;
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
