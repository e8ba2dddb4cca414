/* SPDX-License-Identifier: MIT */
/*
 * fw_cfg.c - fetches the ACPI tables that a firmware would have placed in memory; acpi.c reads
 * them.
 *
 * They come as one file of QEMU's fw_cfg device, one table after the other with padding in between,
 * so each is found by its signature. Lengths are not trusted: nothing is read past the file's end.
 */
#include "fw_cfg.h"

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
};

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

/* Call parse for the table with this signature. */
static void
find_table(const uint8_t *file, uint32_t size, const char *signature,
	   void (*parse)(const uint8_t *table, uint32_t length))
{
	for (uint32_t at = 0; at + ACPI_HEADER_BYTES <= size; at++) {
		uint32_t length = acpi_u32(file + at + 4);
		if (memcmp(file + at, signature, 4) != 0 || length < ACPI_HEADER_BYTES ||
		    length > size - at)
			continue;
		parse(file + at, length);
		return;
	}
}

void
fw_cfg_read_tables(void)
{
	fw_cfg = mmu_map_device(VIRT_FW_CFG, 0x18);
	uint32_t size = fw_cfg_open("etc/acpi/tables");
	uint64_t nr_pages = (size + PAGE_BYTES - 1) / PAGE_BYTES;
	uint8_t *file = size != 0 ? bootmem_alloc(nr_pages, PAGE_BYTES) : NULL;

	if (file == NULL)
		return;
	fw_cfg_read(file, size);
	find_table(file, size, "SRAT", acpi_read_srat);
	find_table(file, size, "DSDT", acpi_read_dsdt);
	bootmem_free(file, nr_pages);
}
