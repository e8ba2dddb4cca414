/* SPDX-License-Identifier: MIT */
/*
 * smp.h - CPUs: who we are, starting the others, giving them work, making them forget mappings.
 */
#ifndef X86_64_SMP_H
#define X86_64_SMP_H

#include <stdbool.h>
#include <stdint.h>

enum { SMP_CPUS_MAX = 8 };

/* What gs points to; mhp_port_inline.h reads id and lock_ranks at these offsets. */
struct smp_cpu {
	uint32_t id;
	uint32_t lock_ranks;
	struct smp_cpu *self;
	uint8_t apic_id;
	/* Work for this CPU: function, then argument; NULL when idle. */
	void (*_Atomic work)(void *arg);
	void *work_arg;
};

static inline struct smp_cpu *
smp_self(void)
{
	struct smp_cpu *self;

	__asm__("movq %%gs:8, %0" : "=r"(self));
	return self;
}

/* Make the boot CPU CPU 0. Before anything that asks smp_self(). */
void smp_init(void);
/* Turn on the local APIC and start up to nr_cpus CPUs in all. Returns how many run. */
unsigned smp_start(unsigned nr_cpus);
unsigned smp_nr_cpus(void);
/* For a CPU that smp_start() has started: become the next one. */
void smp_enter(void);
/* Then, with its vectors loaded: answer smp_run() for ever. */
_Noreturn void smp_serve(void);
/* The NUMA node of a CPU. */
unsigned smp_node(unsigned cpu);
/* End of interrupt. */
void smp_eoi(void);
/* Interrupt this CPU every now and then, so that a poll loop may halt in between. */
void smp_tick_start(void);

/*
 * Make every CPU forget the translations of nr_pages base pages from virt. Returns when all have.
 * Any context; answers other CPUs' requests while it waits, so two may flush at once.
 */
void smp_flush(uint64_t virt, uint64_t nr_pages);
/* The same for all translations. */
void smp_flush_all(void);
/* Return after every other CPU has taken an interrupt: none is in a section that it entered with
 * interrupts off before the call. */
void smp_fence(void);
/* Answer requests of other CPUs; for who waits with interrupts off. */
void smp_poll(void);
/* Test aid: from now on flushes reach this CPU only. */
void smp_break_shootdown(void);

/* Let another CPU run work(arg). False: it is busy, or not there. */
bool smp_run(unsigned cpu, void (*work)(void *arg), void *arg);
/* Has the CPU finished what it was given? */
bool smp_idle(unsigned cpu);

#endif
