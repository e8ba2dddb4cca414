/* SPDX-License-Identifier: MIT */
/*
 * acpi.h - what the firmware's tables say about the machine: nodes, slots, and where memory may
 * come.
 */
#ifndef AARCH64_ACPI_H
#define AARCH64_ACPI_H

#include <stdbool.h>
#include <stdint.h>

enum { ACPI_CPUS_MAX = 8, ACPI_MEMORY_MAX = 32 };

/* A range of memory and its node, from the SRAT. */
struct acpi_memory {
	uint64_t start;
	uint64_t size;
	uint8_t node;
	bool hotplug;                  /* where memory may come; nothing is there at boot */
};

struct acpi {
	uint8_t cpu_node[ACPI_CPUS_MAX];
	struct acpi_memory memory[ACPI_MEMORY_MAX];
	unsigned nr_memory;
	unsigned nr_nodes;             /* highest node named, plus one */
	unsigned nr_slots;             /* DIMM slots of the hotplug device; 0: none such */
};

/* Fetch the tables from the machine's configuration device and read them. Call once, when there
 * are page tables. */
const struct acpi *acpi_init(void);
const struct acpi *acpi_get(void);
/* The node of a CPU; 0 when the tables do not say. */
unsigned acpi_cpu_node(unsigned cpu);

#endif
