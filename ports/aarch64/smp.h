/* SPDX-License-Identifier: MIT */
/*
 * smp.h - CPUs: who we are, starting the others, giving them work, making them forget mappings.
 */
#ifndef AARCH64_SMP_H
#define AARCH64_SMP_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

enum { SMP_CPUS_MAX = 8 };

/* What TPIDR_EL1 points to; mhp_port_inline.h reads id and lock_ranks at these offsets. */
struct smp_cpu {
	uint32_t id;
	uint32_t lock_ranks;
	/* Work for this CPU: function, then argument; NULL when idle. */
	void (*_Atomic work)(void *arg);
	void *work_arg;
};

static inline struct smp_cpu *
smp_self(void)
{
	return (struct smp_cpu *)cpu_read_register("tpidr_el1");
}

/* Make the boot CPU CPU 0. Before anything that asks smp_self(). */
void smp_init(void);
/* Start up to nr_cpus CPUs in all. Returns how many run. */
unsigned smp_start(unsigned nr_cpus);
unsigned smp_nr_cpus(void);
/* The NUMA node of a CPU. */
unsigned smp_node(unsigned cpu);
/* Interrupt this CPU every now and then, so that a poll loop may halt in between. */
void smp_tick_start(void);
/* The tick has come: arm the next one. */
void smp_tick_again(void);

/*
 * Make every CPU forget the translations of nr_pages base pages from virt. Returns when all have:
 * the hardware tells the others. Any context.
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
