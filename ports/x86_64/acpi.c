/* SPDX-License-Identifier: MIT */
/*
 * acpi.c - reads the RSDT's tables by offset: MADT (CPUs), SRAT (nodes and the hotplug window),
 * FADT (event registers), and the DSDT for two names of the memory-hotplug device.
 *
 * No AML is evaluated: a machine with real firmware needs an interpreter here, and only here. The
 * tables are trusted, as firmware is, but for lengths: nothing is read past a table's end.
 */
#include "acpi.h"

#include "bootmem.h"
#include "string.h"
#include "cpu.h"

enum {
	HEADER_BYTES = 36,
	PM1_SCI_ENABLED = 1,
	PM1_SLEEP = 1 << 13,           /* with sleep type 0, which is S5 here */
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	SRAT_CPU = 0,
	SRAT_MEMORY = 1,
	SRAT_ENABLED = 1,
	SRAT_HOTPLUG = 2,
};

static struct acpi acpi;

static uint32_t
read_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t
read_u64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void
parse_madt(const uint8_t *table, uint32_t length)
{
	acpi.local_apic = read_u32(table + 36);
	for (uint32_t at = 44; at + 2 <= length && table[at + 1] >= 2; at += table[at + 1]) {
		const uint8_t *entry = table + at;
		if (entry[0] == MADT_LAPIC && (entry[4] & 1) != 0 && acpi.nr_cpus < ACPI_CPUS_MAX)
			acpi.cpus[acpi.nr_cpus++].apic_id = entry[3];
		if (entry[0] == MADT_IOAPIC && acpi.io_apic == 0)
			acpi.io_apic = read_u32(entry + 4);
	}
}

static void
note_node(unsigned node)
{
	if (node >= acpi.nr_nodes)
		acpi.nr_nodes = node + 1;
}

static void
parse_srat_memory(const uint8_t *entry)
{
	uint32_t flags = read_u32(entry + 28);

	if ((flags & SRAT_ENABLED) == 0 || acpi.nr_memory == ACPI_MEMORY_MAX)
		return;
	acpi.memory[acpi.nr_memory++] = (struct acpi_memory){
		.start = read_u64(entry + 8),
		.size = read_u64(entry + 16),
		.node = (uint8_t)read_u32(entry + 2),
		.hotplug = (flags & SRAT_HOTPLUG) != 0,
	};
	note_node(read_u32(entry + 2));
}

/* The MADT has been read: CPUs are known. */
static void
parse_srat(const uint8_t *table, uint32_t length)
{
	for (uint32_t at = 48; at + 2 <= length && table[at + 1] >= 2; at += table[at + 1]) {
		const uint8_t *entry = table + at;
		if (entry[0] == SRAT_MEMORY)
			parse_srat_memory(entry);
		if (entry[0] != SRAT_CPU || (read_u32(entry + 4) & SRAT_ENABLED) == 0)
			continue;
		note_node(entry[2]);
		for (unsigned i = 0; i < acpi.nr_cpus; i++) {
			if (acpi.cpus[i].apic_id == entry[3])
				acpi.cpus[i].node = entry[2];
		}
	}
}

/*
 * The memory-hotplug device is behind two AML objects: OperationRegion HPMR says that it exists,
 * and Name MDNR how many slots it has. Both have one encoding only.
 */
static void
parse_dsdt(const uint8_t *table, uint32_t length)
{
	bool device = false;

	for (uint32_t at = HEADER_BYTES; at + 8 <= length; at++) {
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

static void
parse_fadt(const uint8_t *table, uint32_t length)
{
	if (length < 93)
		return;
	acpi.sci = (uint16_t)(table[46] | table[47] << 8);
	acpi.smi_command = (uint16_t)read_u32(table + 48);
	acpi.enable_value = table[52];
	acpi.pm1_control = (uint16_t)read_u32(table + 64);
	acpi.pm_timer = (uint16_t)read_u32(table + 76);
	acpi.gpe0 = (uint16_t)read_u32(table + 80);
	acpi.gpe0_bytes = table[92];
	const uint8_t *dsdt = phys_to_virt(read_u32(table + 40));
	parse_dsdt(dsdt, read_u32(dsdt + 4));
}

static const uint8_t *
find_table(const uint8_t *rsdt, const char *signature)
{
	uint32_t length = read_u32(rsdt + 4);

	for (uint32_t at = HEADER_BYTES; at + 4 <= length; at += 4) {
		const uint8_t *table = phys_to_virt(read_u32(rsdt + at));
		if (memcmp(table, signature, 4) == 0)
			return table;
	}
	return NULL;
}

const struct acpi *
acpi_init(uint64_t rsdp_phys)
{
	static const struct {
		char signature[5];
		void (*parse)(const uint8_t *table, uint32_t length);
	} parsers[] = { { "APIC", parse_madt }, { "SRAT", parse_srat }, { "FACP", parse_fadt } };
	const uint8_t *rsdp = phys_to_virt(rsdp_phys);
	const uint8_t *rsdt = phys_to_virt(read_u32(rsdp + 16));

	acpi.nr_nodes = 1;
	for (unsigned i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++) {
		const uint8_t *table = find_table(rsdt, parsers[i].signature);
		if (table != NULL)
			parsers[i].parse(table, read_u32(table + 4));
	}
	return &acpi;
}

const struct acpi *
acpi_get(void)
{
	return &acpi;
}

unsigned
acpi_cpu_node(uint8_t apic_id)
{
	for (unsigned i = 0; i < acpi.nr_cpus; i++) {
		if (acpi.cpus[i].apic_id == apic_id)
			return acpi.cpus[i].node;
	}
	return 0;
}

void
acpi_enable(void)
{
	if ((inw(acpi.pm1_control) & PM1_SCI_ENABLED) != 0)
		return;
	outb(acpi.smi_command, acpi.enable_value);
	while ((inw(acpi.pm1_control) & PM1_SCI_ENABLED) == 0)
		cpu_pause();
}

void
acpi_power_off(void)
{
	outw(acpi.pm1_control, PM1_SLEEP | PM1_SCI_ENABLED);
}
