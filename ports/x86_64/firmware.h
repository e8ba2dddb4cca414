/* SPDX-License-Identifier: MIT */
/*
 * firmware.h - what a PC's firmware says about the machine: CPUs, interrupts, event registers.
 */
#ifndef X86_64_FIRMWARE_H
#define X86_64_FIRMWARE_H

#include <stdint.h>

enum { FIRMWARE_CPUS_MAX = 8 };

struct firmware {
	uint8_t apic_ids[FIRMWARE_CPUS_MAX];
	unsigned nr_cpus;
	uint64_t local_apic;           /* physical addresses */
	uint64_t io_apic;
	uint16_t sci;                  /* interrupt of all ACPI events */
	uint16_t smi_command;          /* ports */
	uint16_t pm1_control;
	uint16_t pm_timer;
	uint16_t gpe0;
	uint8_t gpe0_bytes;            /* half of them status, half enable */
	uint8_t enable_value;          /* what smi_command takes to hand events to us */
};

/* Read the tables, those of acpi.h, too. Call once, after bootmem_init(). */
void firmware_init(uint64_t rsdp_phys);
const struct firmware *firmware(void);
/* Switch the machine to ACPI mode: events raise the SCI. */
void firmware_enable(void);
/* Soft power-off. Returns only where it does not work. */
void firmware_power_off(void);

#endif
