/* SPDX-License-Identifier: MIT */
/*
 * dimm.c - QEMU's memory-hotplug registers at 0xa00, behind what the DSDT's AML would do.
 *
 * A write to the control byte does one thing only, the lowest bit's, so each function here writes
 * one bit. Events come as bit 3 of GPE0, set also while nobody listens. The slot selector is one
 * register for all: only CPU 0 comes here, and its interrupt handler reads no slot.
 */
#include "dimm.h"

#include "acpi.h"
#include "traps.h"
#include "x86.h"

enum {
	BASE = 0xa00,
	REG_START = BASE + 0x00,
	REG_SIZE = BASE + 0x08,
	REG_NODE = BASE + 0x10,
	REG_FLAGS = BASE + 0x14,
	REG_SELECT = BASE + 0x00,
	REG_OST_EVENT = BASE + 0x04,
	REG_OST_STATUS = BASE + 0x08,
	FLAG_PRESENT = 1 << 0,
	FLAG_INSERT = 1 << 1,
	FLAG_REMOVE = 1 << 2,
	FLAG_EJECT = 1 << 3,
	GPE_MEMORY = 1 << 3,
};

unsigned
dimm_nr_slots(void)
{
	/* Where there is no device, all bits read as one. */
	return inb(REG_FLAGS) == 0xff ? 0 : acpi_get()->nr_slots;
}

struct dimm_slot
dimm_read(unsigned slot)
{
	struct dimm_slot result = { .present = false };

	outl(REG_SELECT, slot);
	uint8_t flags = inb(REG_FLAGS);
	if ((flags & FLAG_PRESENT) == 0)
		return result;
	result.present = true;
	result.inserted = (flags & FLAG_INSERT) != 0;
	result.remove_asked = (flags & FLAG_REMOVE) != 0;
	result.start = (uint64_t)inl(REG_START + 4) << 32 | inl(REG_START);
	result.size = (uint64_t)inl(REG_SIZE + 4) << 32 | inl(REG_SIZE);
	result.node = inl(REG_NODE);
	return result;
}

static void
control(unsigned slot, uint8_t flag)
{
	outl(REG_SELECT, slot);
	outb(REG_FLAGS, flag);
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
	outl(REG_SELECT, slot);
	outl(REG_OST_EVENT, event);
	outl(REG_OST_STATUS, status);   /* this is what sends it */
}

bool
dimm_event_pending(void)
{
	uint16_t status = acpi_get()->gpe0;

	if ((inb(status) & GPE_MEMORY) == 0)
		return false;
	outb(status, GPE_MEMORY);
	return true;
}

void
dimm_irq_enable(unsigned vector)
{
	const struct acpi *acpi = acpi_get();
	uint16_t enable = (uint16_t)(acpi->gpe0 + acpi->gpe0_bytes / 2);

	traps_route(acpi->io_apic, acpi->sci, vector, true);
	acpi_enable();
	outb(enable, inb(enable) | GPE_MEMORY);
}
