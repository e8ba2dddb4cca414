/* SPDX-License-Identifier: MIT */
/*
 * dimm_event.c - how a PC says that something happened to a DIMM.
 *
 * Bit 3 of GPE0 is set by every event, also while nobody listens, so that polling and the interrupt
 * (the SCI) look at the same bit. Must not touch the slots: this runs in an interrupt handler.
 */
#include "dimm.h"

#include "cpu.h"
#include "firmware.h"
#include "traps.h"

enum { GPE_MEMORY = 1 << 3 };

bool
dimm_event_pending(void)
{
	uint16_t status = firmware()->gpe0;

	if ((inb(status) & GPE_MEMORY) == 0)
		return false;
	outb(status, GPE_MEMORY);
	return true;
}

void
dimm_irq_enable(unsigned vector)
{
	const struct firmware *found = firmware();
	uint16_t enable = (uint16_t)(found->gpe0 + found->gpe0_bytes / 2);

	traps_route(found->io_apic, found->sci, vector, true);
	firmware_enable();
	outb(enable, inb(enable) | GPE_MEMORY);
}
