/* SPDX-License-Identifier: MIT */
/*
 * smp.h - CPUs: who we are, starting the others, giving them work, asking something of all others.
 *
 * The second half is what a machine brings in a file of its own: how a CPU is started and
 * interrupted, and how translations are forgotten.
 */
#ifndef BARE_SMP_H
#define BARE_SMP_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

enum { SMP_CPUS_MAX = 8 };

/* The record that cpu_self() gives; cpu.h and mhp_port_inline.h read the first three at these
 * offsets. */
struct smp_cpu {
	uint32_t id;
	uint32_t lock_ranks;
	struct smp_cpu *self;
	/* Work for this CPU: function, then argument; NULL when idle. */
	void (*_Atomic work)(void *arg);
	void *work_arg;
};

static inline struct smp_cpu *
smp_self(void)
{
	return cpu_self();
}

/* Make the boot CPU CPU 0. Before anything that asks smp_self(). */
void smp_init(void);
/* Start up to nr_cpus CPUs in all. Returns how many run. */
unsigned smp_start(unsigned nr_cpus);
unsigned smp_nr_cpus(void);
/* For a CPU that smp_start() is starting: become the one that it waits for. */
void smp_enter(void);
/* Then, with its vectors loaded: answer smp_run() for ever. */
_Noreturn void smp_serve(void);

/*
 * Return after every other CPU has taken an interrupt and called answer(arg), if that is not NULL:
 * none is in a section that it entered with interrupts off before the call. Any context; answers
 * other CPUs' requests while it waits, so two may ask at once.
 */
void smp_ask_others(void (*answer)(const void *arg), const void *arg);
/* smp_ask_others() for nothing but the interrupt. */
void smp_fence(void);
/* Answer requests of other CPUs; for a CPU that waits with interrupts off. */
void smp_poll(void);
/* Make every CPU forget all translations. */
void smp_flush_all(void);
/* Test aid: from now on flushes reach this CPU only. */
void smp_break_shootdown(void);
bool smp_shootdown_broken(void);

/* Let another CPU run work(arg). False: it is busy, or not there. */
bool smp_run(unsigned cpu, void (*work)(void *arg), void *arg);
/* Has the CPU finished what it was given? */
bool smp_idle(unsigned cpu);

/* A machine's own. */

/* Once, on the boot CPU, before others are woken. */
void smp_machine_init(void);
/* Make the next CPU call smp_enter() and smp_serve() as number id. False: there is none. */
bool smp_wake(unsigned id, uint64_t stack_top);
void smp_interrupt_others(void);
/* The NUMA node of a CPU. */
unsigned smp_node(unsigned cpu);
/* Interrupt this CPU every now and then, so that a poll loop may halt in between. */
void smp_tick_start(void);
/* Make every CPU forget the translations of nr_pages base pages from virt. Returns when all have.
 * Any context. */
void smp_flush(uint64_t virt, uint64_t nr_pages);

#endif
