/* SPDX-License-Identifier: MIT */
/*
 * dimm.c - QEMU's memory-hotplug registers, behind what the DSDT's AML would do.
 *
 * A write to the control byte does one thing only, the lowest bit's, so each function here writes
 * one bit. The slot selector is one register for all: only CPU 0 comes here, and its interrupt
 * handler reads no slot. Where the registers are and how events come is the machine's business
 * (dimm_io.h, dimm_event.c).
 */
#include "dimm.h"

#include "acpi.h"
#include "dimm_io.h"

enum {
	REG_START = 0x00,
	REG_SIZE = 0x08,
	REG_NODE = 0x10,
	REG_FLAGS = 0x14,
	REG_SELECT = 0x00,
	REG_OST_EVENT = 0x04,
	REG_OST_STATUS = 0x08,
	FLAG_PRESENT = 1 << 0,
	FLAG_INSERT = 1 << 1,
	FLAG_REMOVE = 1 << 2,
	FLAG_EJECT = 1 << 3,
};

unsigned
dimm_nr_slots(void)
{
	/* Where there is no device, all bits read as one. */
	return dimm_in8(REG_FLAGS) == 0xff ? 0 : acpi_get()->nr_slots;
}

struct dimm_slot
dimm_read(unsigned slot)
{
	struct dimm_slot result = { .present = false };

	dimm_out32(REG_SELECT, slot);
	uint8_t flags = dimm_in8(REG_FLAGS);
	if ((flags & FLAG_PRESENT) == 0)
		return result;
	result.present = true;
	result.inserted = (flags & FLAG_INSERT) != 0;
	result.remove_asked = (flags & FLAG_REMOVE) != 0;
	result.start = (uint64_t)dimm_in32(REG_START + 4) << 32 | dimm_in32(REG_START);
	result.size = (uint64_t)dimm_in32(REG_SIZE + 4) << 32 | dimm_in32(REG_SIZE);
	result.node = dimm_in32(REG_NODE);
	return result;
}

static void
control(unsigned slot, uint8_t flag)
{
	dimm_out32(REG_SELECT, slot);
	dimm_out8(REG_FLAGS, flag);
}

void
dimm_ack_insert(unsigned slot)
{
	control(slot, FLAG_INSERT);
}

void
dimm_ack_remove(unsigned slot)
{
	control(slot, FLAG_REMOVE);
}

void
dimm_eject(unsigned slot)
{
	control(slot, FLAG_EJECT);
}

void
dimm_report(unsigned slot, enum dimm_event event, unsigned status)
{
	dimm_out32(REG_SELECT, slot);
	dimm_out32(REG_OST_EVENT, event);
	dimm_out32(REG_OST_STATUS, status);   /* this is what sends it */
}
