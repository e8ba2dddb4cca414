/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - the instructions that C has no words for, one function each.
 *
 * Nothing here knows what it is used for, and it needs no other header of the port: the core is
 * compiled with it, by way of mhp_port_inline.h. The red zone must be off: irq_save() uses the
 * stack.
 */
#ifndef X86_64_CPU_H
#define X86_64_CPU_H

#include <stdint.h>

static inline void
outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void
outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void
outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t
inb(uint16_t port)
{
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint16_t
inw(uint16_t port)
{
	uint16_t value;
	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint32_t
inl(uint16_t port)
{
	uint32_t value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void
wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/* gs points to a record of this CPU: its number, a word, and the record's address (smp.h). */
static inline void
cpu_set_self(void *self)
{
	wrmsr(0xc0000101, (uint64_t)self);
}

static inline void *
cpu_self(void)
{
	void *self;
	__asm__ volatile("movq %%gs:8, %0" : "=r"(self));
	return self;
}

static inline uint32_t
cpu_number(void)
{
	uint32_t number;
	__asm__ volatile("movl %%gs:0, %0" : "=r"(number));
	return number;
}

static inline uint64_t
cpu_cycles(void)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline uint64_t
read_cr4(void)
{
	uint64_t value;
	__asm__ volatile("movq %%cr4, %0" : "=r"(value));
	return value;
}

static inline void
write_cr4(uint64_t value)
{
	__asm__ volatile("movq %0, %%cr4" : : "r"(value) : "memory");
}

static inline uint64_t
read_cr2(void)
{
	uint64_t value;
	__asm__ volatile("movq %%cr2, %0" : "=r"(value));
	return value;
}

/* Loading cr3 forgets every translation: the port has no global pages. */
static inline void
cpu_load_tables(uint64_t top)
{
	__asm__ volatile("movq %0, %%cr3" : : "r"(top) : "memory");
}

/* Make new entries of tables seen: nothing to do here, a walk that missed is not remembered. */
static inline void
cpu_publish_tables(void)
{
}

static inline void
cpu_forget(uint64_t virt)
{
	__asm__ volatile("invlpg (%0)" : : "r"(virt) : "memory");
}

static inline void
cpu_pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline uint64_t
irq_save(void)
{
	uint64_t flags;
	__asm__ volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(flags) : : "memory");
	return flags;
}

static inline void
irq_restore(uint64_t flags)
{
	if ((flags & 0x200) != 0)
		__asm__ volatile("sti" : : : "memory");
}

static inline void
irq_enable(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* Enable interrupts and wait for one: sti holds them off until hlt is under way. */
static inline void
irq_wait(void)
{
	__asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

#endif
