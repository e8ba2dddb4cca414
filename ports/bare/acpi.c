/* SPDX-License-Identifier: MIT */
/*
 * acpi.c - the SRAT (nodes and the hotplug window), and two names of the memory-hotplug device in
 * the DSDT.
 *
 * No AML is evaluated: a machine with real firmware needs an interpreter here, and only here.
 * Lengths are not trusted: nothing is read past a table's end.
 */
#include "acpi.h"

#include "string.h"

enum {
	SRAT_FIRST_ENTRY = 48,
	SRAT_APIC = 0,
	SRAT_MEMORY = 1,
	SRAT_GICC = 3,
	SRAT_ENABLED = 1,
	SRAT_HOTPLUG = 2,
};

static struct acpi acpi = { .nr_nodes = 1 };

uint32_t
acpi_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t
read_u64(const uint8_t *at)
{
	return acpi_u32(at) | (uint64_t)acpi_u32(at + 4) << 32;
}

static void
note_node(uint32_t node)
{
	if (node >= acpi.nr_nodes && node < ACPI_NODES_MAX)
		acpi.nr_nodes = node + 1;
}

static void
read_memory(const uint8_t *entry)
{
	uint32_t flags = acpi_u32(entry + 28);

	if ((flags & SRAT_ENABLED) == 0 || acpi.nr_memory == ACPI_MEMORY_MAX)
		return;
	acpi.memory[acpi.nr_memory++] = (struct acpi_memory){
		.start = read_u64(entry + 8),
		.size = read_u64(entry + 16),
		.node = (uint8_t)acpi_u32(entry + 2),
		.hotplug = (flags & SRAT_HOTPLUG) != 0,
	};
	note_node(acpi_u32(entry + 2));
}

static void
read_cpu(uint32_t id, uint32_t node, uint32_t flags)
{
	if ((flags & SRAT_ENABLED) == 0)
		return;
	note_node(node);
	if (id < ACPI_CPU_IDS)
		acpi.cpu_node[id] = (uint8_t)node;
}

void
acpi_read_srat(const uint8_t *table, uint32_t length)
{
	for (uint32_t at = SRAT_FIRST_ENTRY; at + 2 <= length; at += table[at + 1]) {
		const uint8_t *entry = table + at;
		if (entry[1] < 2 || at + entry[1] > length)
			return;
		if (entry[0] == SRAT_MEMORY && entry[1] >= 40)
			read_memory(entry);
		else if (entry[0] == SRAT_APIC && entry[1] >= 8)
			read_cpu(entry[3], entry[2], acpi_u32(entry + 4));
		else if (entry[0] == SRAT_GICC && entry[1] >= 18)
			read_cpu(acpi_u32(entry + 6), acpi_u32(entry + 2), acpi_u32(entry + 10));
	}
}

/*
 * The memory-hotplug device is behind two AML objects: OperationRegion HPMR says that it exists,
 * and Name MDNR how many slots it has. Both have one encoding only.
 */
void
acpi_read_dsdt(const uint8_t *table, uint32_t length)
{
	bool device = false;

	for (uint32_t at = ACPI_HEADER_BYTES; at + 8 <= length; at++) {
		const uint8_t *aml = table + at;
		device |= memcmp(aml, "\x5b\x80HPMR", 6) == 0;
		if (memcmp(aml, "\x08MDNR", 5) != 0)
			continue;
		acpi.nr_slots = aml[5] == 0x0a ? aml[6] :
				aml[5] == 0x0b ? (unsigned)aml[6] | (unsigned)aml[7] << 8 : aml[5];
	}
	if (!device)
		acpi.nr_slots = 0;
}

const struct acpi *
acpi_get(void)
{
	return &acpi;
}

unsigned
acpi_cpu_node(unsigned id)
{
	return id < ACPI_CPU_IDS ? acpi.cpu_node[id] : 0;
}
