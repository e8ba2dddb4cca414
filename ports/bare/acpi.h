/* SPDX-License-Identifier: MIT */
/*
 * acpi.h - what a firmware's tables say about memory: nodes, DIMM slots, and where memory may come.
 *
 * A machine finds the tables in a way of its own and hands them over (firmware.c, fw_cfg.c).
 */
#ifndef BARE_ACPI_H
#define BARE_ACPI_H

#include <stdbool.h>
#include <stdint.h>

enum { ACPI_CPU_IDS = 256, ACPI_MEMORY_MAX = 32, ACPI_NODES_MAX = 64, ACPI_HEADER_BYTES = 36 };

/* A range of memory and its node, from the SRAT. */
struct acpi_memory {
	uint64_t start;
	uint64_t size;
	uint8_t node;
	bool hotplug;                  /* where memory may come; nothing is there at boot */
};

struct acpi {
	struct acpi_memory memory[ACPI_MEMORY_MAX];
	unsigned nr_memory;
	unsigned nr_nodes;             /* highest node named, plus one */
	unsigned nr_slots;             /* DIMM slots of the hotplug device; 0: none such */
	uint8_t cpu_node[ACPI_CPU_IDS];
};

const struct acpi *acpi_get(void);
/* The node of a CPU by its id in the tables (local APIC, processor UID); 0 if they do not say. */
unsigned acpi_cpu_node(unsigned id);
/* Read a table of that length, header included. Nothing is read past its end. */
void acpi_read_srat(const uint8_t *table, uint32_t length);
void acpi_read_dsdt(const uint8_t *table, uint32_t length);

/* Numbers in tables need not be aligned. */
uint32_t acpi_u32(const uint8_t *at);

#endif
