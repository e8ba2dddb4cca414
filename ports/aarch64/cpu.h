/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - the instructions that C has no words for, one function each.
 *
 * Nothing here knows what it is used for, and it needs no other header of the port: the core is
 * compiled with it, by way of mhp_port_inline.h.
 */
#ifndef AARCH64_CPU_H
#define AARCH64_CPU_H

#include <stdint.h>

#define cpu_read_register(name)                                        \
	({                                                             \
		uint64_t value_;                                       \
		__asm__ volatile("mrs %0, " name : "=r"(value_));      \
		value_;                                                \
	})
#define cpu_write_register(name, value) \
	__asm__ volatile("msr " name ", %0" : : "r"((uint64_t)(value)) : "memory")

/* TPIDR_EL1 points to a record of this CPU, which begins with its number (smp.h). */
static inline void
cpu_set_self(void *self)
{
	cpu_write_register("tpidr_el1", self);
}

static inline void *
cpu_self(void)
{
	return (void *)cpu_read_register("tpidr_el1");
}

static inline uint32_t
cpu_number(void)
{
	return *(const uint32_t *)cpu_self();
}

/* Ticks of the generic timer; under QEMU's instruction counting they follow the instructions. */
static inline uint64_t
cpu_cycles(void)
{
	__asm__ volatile("isb" : : : "memory");
	return cpu_read_register("cntvct_el0");
}

/* Both halves of the address space translate by one tree; every translation is forgotten. */
static inline void
cpu_load_tables(uint64_t top)
{
	__asm__ volatile("dsb ishst\n\t"
			 "msr ttbr0_el1, %0\n\t"
			 "msr ttbr1_el1, %0\n\t"
			 "isb\n\t"
			 "tlbi vmalle1\n\t"
			 "dsb nsh\n\t"
			 "isb" : : "r"(top) : "memory");
}

/* Make new entries of tables seen by walks, which may start the moment after. */
static inline void
cpu_publish_tables(void)
{
	__asm__ volatile("dsb ishst\n\tisb" : : : "memory");
}

/* This CPU forgets one page. */
static inline void
cpu_forget(uint64_t virt)
{
	__asm__ volatile("dsb ishst\n\t"
			 "tlbi vaae1, %0\n\t"
			 "dsb nsh\n\t"
			 "isb" : : "r"(virt >> 12 & ((UINT64_C(1) << 44) - 1)) : "memory");
}

static inline void
cpu_pause(void)
{
	__asm__ volatile("yield" : : : "memory");
}

static inline uint64_t
irq_save(void)
{
	uint64_t flags = cpu_read_register("daif");

	__asm__ volatile("msr daifset, #2" : : : "memory");
	return flags;
}

static inline void
irq_restore(uint64_t flags)
{
	cpu_write_register("daif", flags);
}

static inline void
irq_enable(void)
{
	__asm__ volatile("msr daifclr, #2" : : : "memory");
}

/* Wait for an interrupt and take it. It may have come already: wfi ends at once then, although
 * interrupts are still off. */
static inline void
irq_wait(void)
{
	__asm__ volatile("dsb sy\n\twfi\n\tmsr daifclr, #2\n\tisb\n\tmsr daifset, #2"
			 : : : "memory");
}

#endif
