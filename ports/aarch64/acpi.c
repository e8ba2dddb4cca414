/* SPDX-License-Identifier: MIT */
/*
 * acpi.c - fetches the ACPI tables that a firmware would have placed in memory, and reads the SRAT
 * (nodes and the hotplug window) and two names of the memory-hotplug device from the DSDT.
 *
 * They come as one file of QEMU's fw_cfg device, one table after the other with padding in between,
 * so each is found by its signature. No AML is evaluated: a machine with real firmware needs an
 * interpreter here, and only here. Lengths are not trusted: nothing is read past the file's end.
 */
#include "acpi.h"

#include "bootmem.h"
#include "mmu.h"
#include "string.h"

enum {
	FW_CFG_DATA = 0,               /* bytes */
	FW_CFG_SELECT = 8 / 2,         /* a big-endian half-word */
	FW_CFG_DIRECTORY = 0x19,
	NAME_BYTES = 56,
	FILES_MAX = 128,
	HEADER_BYTES = 36,
	SRAT_FIRST_ENTRY = 48,
	SRAT_MEMORY = 1,
	SRAT_GICC = 3,
	SRAT_ENABLED = 1,
	SRAT_HOTPLUG = 2,
};

static struct acpi acpi;
static volatile uint8_t *fw_cfg;

static void
fw_cfg_select(uint16_t key)
{
	volatile uint16_t *select = (volatile uint16_t *)fw_cfg + FW_CFG_SELECT;

	*select = (uint16_t)__builtin_bswap16(key);
}

static void
fw_cfg_read(void *to, size_t size)
{
	for (unsigned char *byte = to; size > 0; size--)
		*byte++ = fw_cfg[FW_CFG_DATA];
}

/* The file of that name; its size, or 0. It is selected. */
static uint32_t
fw_cfg_open(const char *name)
{
	struct {
		uint32_t size;
		uint16_t key, reserved;
		char name[NAME_BYTES];
	} file;
	uint32_t count;

	fw_cfg_select(FW_CFG_DIRECTORY);
	fw_cfg_read(&count, sizeof(count));
	count = __builtin_bswap32(count);
	for (uint32_t i = 0; i < count && i < FILES_MAX; i++) {
		fw_cfg_read(&file, sizeof(file));
		file.name[NAME_BYTES - 1] = '\0';
		if (!text_equal(file.name, name))
			continue;
		fw_cfg_select((uint16_t)__builtin_bswap16(file.key));
		return __builtin_bswap32(file.size);
	}
	return 0;
}

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
note_node(uint32_t node)
{
	if (node >= acpi.nr_nodes && node < 64)
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

static void
parse_srat_cpu(const uint8_t *entry)
{
	uint32_t node = read_u32(entry + 2), cpu = read_u32(entry + 6);

	if ((read_u32(entry + 10) & SRAT_ENABLED) == 0)
		return;
	note_node(node);
	if (cpu < ACPI_CPUS_MAX)
		acpi.cpu_node[cpu] = (uint8_t)node;
}

static void
parse_srat(const uint8_t *table, uint32_t length)
{
	for (uint32_t at = SRAT_FIRST_ENTRY; at + 2 <= length; at += table[at + 1]) {
		const uint8_t *entry = table + at;
		if (entry[1] < 2 || at + entry[1] > length)
			return;
		if (entry[0] == SRAT_MEMORY && entry[1] >= 40)
			parse_srat_memory(entry);
		if (entry[0] == SRAT_GICC && entry[1] >= 18)
			parse_srat_cpu(entry);
	}
}

/* OperationRegion HPMR says that the device exists, and Name MDNR how many slots it has. */
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

/* Call parse for the table with this signature. */
static void
find_table(const uint8_t *file, uint32_t size, const char *signature,
	   void (*parse)(const uint8_t *table, uint32_t length))
{
	for (uint32_t at = 0; at + HEADER_BYTES <= size; at++) {
		uint32_t length = read_u32(file + at + 4);
		if (memcmp(file + at, signature, 4) != 0 || length < HEADER_BYTES ||
		    length > size - at)
			continue;
		parse(file + at, length);
		return;
	}
}

const struct acpi *
acpi_init(void)
{
	acpi.nr_nodes = 1;
	fw_cfg = mmu_map_device(VIRT_FW_CFG, 0x18);
	uint32_t size = fw_cfg_open("etc/acpi/tables");
	uint64_t nr_pages = (size + PAGE_BYTES - 1) / PAGE_BYTES;
	uint8_t *file = size != 0 ? bootmem_alloc(nr_pages, PAGE_BYTES) : NULL;
	if (file == NULL)
		return &acpi;
	fw_cfg_read(file, size);
	find_table(file, size, "SRAT", parse_srat);
	find_table(file, size, "DSDT", parse_dsdt);
	bootmem_free(file, nr_pages);
	return &acpi;
}

const struct acpi *
acpi_get(void)
{
	return &acpi;
}

unsigned
acpi_cpu_node(unsigned cpu)
{
	return cpu < ACPI_CPUS_MAX ? acpi.cpu_node[cpu] : 0;
}
