/* SPDX-License-Identifier: MIT */
/*
 * dimm_io.h - where QEMU's virt machine has the memory-hotplug registers.
 *
 * A machine without DIMM slots has nothing at their address, and touching it would trap: all bits
 * then read as one, as they do on a PC.
 */
#ifndef AARCH64_DIMM_IO_H
#define AARCH64_DIMM_IO_H

#include "acpi.h"
#include "mmu.h"

static inline volatile uint8_t *
dimm_registers(void)
{
	return (volatile uint8_t *)(MMIO_MAP + VIRT_DIMM);
}

static inline uint8_t
dimm_in8(unsigned reg)
{
	if (acpi_get()->nr_slots == 0)
		return 0xff;
	return dimm_registers()[reg];
}

static inline uint32_t
dimm_in32(unsigned reg)
{
	return *(volatile uint32_t *)(dimm_registers() + reg);
}

static inline void
dimm_out8(unsigned reg, uint8_t value)
{
	dimm_registers()[reg] = value;
}

static inline void
dimm_out32(unsigned reg, uint32_t value)
{
	*(volatile uint32_t *)(dimm_registers() + reg) = value;
}

#endif
