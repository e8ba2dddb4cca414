/* SPDX-License-Identifier: MIT */
/*
 * acpi.h - what the firmware's tables say about the machine: CPUs, nodes, event registers.
 */
#ifndef X86_64_ACPI_H
#define X86_64_ACPI_H

#include <stdbool.h>
#include <stdint.h>

enum { ACPI_CPUS_MAX = 8, ACPI_MEMORY_MAX = 32 };

struct acpi_cpu {
	uint8_t apic_id;
	uint8_t node;
};

/* A range of memory and its node, from the SRAT. */
struct acpi_memory {
	uint64_t start;
	uint64_t size;
	uint8_t node;
	bool hotplug;                  /* where memory may come; nothing is there at boot */
};

struct acpi {
	struct acpi_cpu cpus[ACPI_CPUS_MAX];
	unsigned nr_cpus;
	struct acpi_memory memory[ACPI_MEMORY_MAX];
	unsigned nr_memory;
	unsigned nr_nodes;             /* highest node named, plus one */
	uint64_t local_apic;           /* physical addresses */
	uint64_t io_apic;
	unsigned nr_slots;             /* DIMM slots of the hotplug device; 0: none such */
	uint16_t sci;                  /* interrupt of all ACPI events */
	uint16_t smi_command;          /* ports */
	uint16_t pm1_control;
	uint16_t pm_timer;
	uint16_t gpe0;
	uint8_t gpe0_bytes;            /* half of them status, half enable */
	uint8_t enable_value;          /* what smi_command takes to hand events to us */
};

/* Read the tables. Call once, after bootmem_init(). */
const struct acpi *acpi_init(uint64_t rsdp_phys);
const struct acpi *acpi_get(void);
/* The node of a CPU by its local APIC id; 0 when the tables do not say. */
unsigned acpi_cpu_node(uint8_t apic_id);
/* Switch the machine to ACPI mode: events raise the SCI. */
void acpi_enable(void);
/* Soft power-off. Returns only where it does not work. */
void acpi_power_off(void);

#endif
