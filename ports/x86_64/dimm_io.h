/* SPDX-License-Identifier: MIT */
/*
 * dimm_io.h - where a PC has the memory-hotplug registers: ports from 0xa00.
 */
#ifndef X86_64_DIMM_IO_H
#define X86_64_DIMM_IO_H

#include "cpu.h"

enum { DIMM_BASE = 0xa00 };

static inline uint8_t
dimm_in8(unsigned reg)
{
	return inb((uint16_t)(DIMM_BASE + reg));
}

static inline uint32_t
dimm_in32(unsigned reg)
{
	return inl((uint16_t)(DIMM_BASE + reg));
}

static inline void
dimm_out8(unsigned reg, uint8_t value)
{
	outb((uint16_t)(DIMM_BASE + reg), value);
}

static inline void
dimm_out32(unsigned reg, uint32_t value)
{
	outl((uint16_t)(DIMM_BASE + reg), value);
}

#endif
