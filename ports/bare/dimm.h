/* SPDX-License-Identifier: MIT */
/*
 * dimm.h - the ACPI memory-hotplug device: its registers as functions, and nothing of what for.
 */
#ifndef BARE_DIMM_H
#define BARE_DIMM_H

#include <stdbool.h>
#include <stdint.h>

struct dimm_slot {
	uint64_t start;
	uint64_t size;
	uint32_t node;
	bool present;
	/* Meaningful while present, and until acknowledged. */
	bool inserted;
	bool remove_asked;
};

/* Events and statuses of the ACPI method _OST, which tells the host what became of its request. */
enum dimm_event {
	DIMM_EVENT_INSERT = 1,
	DIMM_EVENT_EJECT = 3,
};
enum dimm_status {
	DIMM_OK = 0,
	DIMM_FAILED = 0x80,            /* eject: not handled by us */
	DIMM_BUSY = 0x81,              /* eject: in use */
	DIMM_REFUSED = 1,              /* insert: we cannot use it */
};

/* How many slots there are; 0 without the device. */
unsigned dimm_nr_slots(void);
struct dimm_slot dimm_read(unsigned slot);
void dimm_ack_insert(unsigned slot);
void dimm_ack_remove(unsigned slot);
void dimm_report(unsigned slot, enum dimm_event event, unsigned status);
/* The memory is gone when this returns. Acknowledge first: an empty slot would keep the request. */
void dimm_eject(unsigned slot);
/* Has an event come since the last call? Ask before reading the slots: one event may stand for
 * many. */
bool dimm_event_pending(void);
/* Let events interrupt CPU 0 at vector, whose handler calls dimm_event_pending(). */
void dimm_irq_enable(unsigned vector);

#endif
