/* SPDX-License-Identifier: MIT */
/*
 * dimm_event.c - how QEMU's virt machine says that something happened to a DIMM.
 *
 * The generic event device has one register: reading it tells which events came since the last
 * time, and forgets them; so both polling and the interrupt may read it. Must not touch the slots:
 * this runs in an interrupt handler.
 */
#include "dimm.h"

#include <stdint.h>

#include "layout.h"
#include "traps.h"

enum { EVENT_MEMORY = 1 << 0 };

bool
dimm_event_pending(void)
{
	return (*(volatile uint32_t *)(MMIO_MAP + VIRT_GED) & EVENT_MEMORY) != 0;
}

void
dimm_irq_enable(unsigned vector)
{
	traps_route(vector, false);
}
