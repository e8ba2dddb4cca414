/* SPDX-License-Identifier: MIT */
/*
 * firmware.c - reads the RSDT's tables by offset: MADT (CPUs) and FADT (event registers), and
 * hands those that every machine has to acpi.c.
 *
 * The tables are trusted, as firmware is, but for lengths: nothing is read past a table's end.
 * Must not know what the event registers are used for.
 */
#include "firmware.h"

#include <stddef.h>

#include "acpi.h"
#include "bootmem.h"
#include "string.h"
#include "cpu.h"

enum {
	PM1_SCI_ENABLED = 1,
	PM1_SLEEP = 1 << 13,           /* with sleep type 0, which is S5 here */
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
};

static struct firmware found;

static void
parse_madt(const uint8_t *table, uint32_t length)
{
	found.local_apic = acpi_u32(table + 36);
	for (uint32_t at = 44; at + 2 <= length && table[at + 1] >= 2; at += table[at + 1]) {
		const uint8_t *entry = table + at;
		if (entry[0] == MADT_LAPIC && (entry[4] & 1) != 0 &&
		    found.nr_cpus < FIRMWARE_CPUS_MAX)
			found.apic_ids[found.nr_cpus++] = entry[3];
		if (entry[0] == MADT_IOAPIC && found.io_apic == 0)
			found.io_apic = acpi_u32(entry + 4);
	}
}

static void
parse_fadt(const uint8_t *table, uint32_t length)
{
	if (length < 93)
		return;
	found.sci = (uint16_t)(table[46] | table[47] << 8);
	found.smi_command = (uint16_t)acpi_u32(table + 48);
	found.enable_value = table[52];
	found.pm1_control = (uint16_t)acpi_u32(table + 64);
	found.pm_timer = (uint16_t)acpi_u32(table + 76);
	found.gpe0 = (uint16_t)acpi_u32(table + 80);
	found.gpe0_bytes = table[92];
	const uint8_t *dsdt = phys_to_virt(acpi_u32(table + 40));
	acpi_read_dsdt(dsdt, acpi_u32(dsdt + 4));
}

static const uint8_t *
find_table(const uint8_t *rsdt, const char *signature)
{
	uint32_t length = acpi_u32(rsdt + 4);

	for (uint32_t at = ACPI_HEADER_BYTES; at + 4 <= length; at += 4) {
		const uint8_t *table = phys_to_virt(acpi_u32(rsdt + at));
		if (memcmp(table, signature, 4) == 0)
			return table;
	}
	return NULL;
}

void
firmware_init(uint64_t rsdp_phys)
{
	static const struct {
		char signature[5];
		void (*parse)(const uint8_t *table, uint32_t length);
	} parsers[] = {
		{ "APIC", parse_madt }, { "SRAT", acpi_read_srat }, { "FACP", parse_fadt },
	};
	const uint8_t *rsdp = phys_to_virt(rsdp_phys);
	const uint8_t *rsdt = phys_to_virt(acpi_u32(rsdp + 16));

	for (unsigned i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++) {
		const uint8_t *table = find_table(rsdt, parsers[i].signature);
		if (table != NULL)
			parsers[i].parse(table, acpi_u32(table + 4));
	}
}

const struct firmware *
firmware(void)
{
	return &found;
}

void
firmware_enable(void)
{
	if ((inw(found.pm1_control) & PM1_SCI_ENABLED) != 0)
		return;
	outb(found.smi_command, found.enable_value);
	while ((inw(found.pm1_control) & PM1_SCI_ENABLED) == 0)
		cpu_pause();
}

void
firmware_power_off(void)
{
	outw(found.pm1_control, PM1_SLEEP | PM1_SCI_ENABLED);
}
