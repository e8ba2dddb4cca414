/* SPDX-License-Identifier: MIT */
/*
 * bring_up.c - the machine, without the engine, in the order in which its parts need each other.
 *
 * The loader speaks PVH: its start info says what memory there is, where the ACPI tables are, and
 * what the command line says. All of that is copied before anything is allocated.
 */
#include "apic.h"
#include "bootmem.h"
#include "firmware.h"
#include "machine.h"
#include "mmu.h"
#include "smp.h"
#include "traps.h"
#include "uart.h"

#define START_INFO_MAGIC 0x336ec578U

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, command_line, rsdp, memory_map;
	uint32_t memory_map_entries, reserved;
};

struct memory_map_entry {
	uint64_t start, size;
	uint32_t type, reserved;
};

static void
read_start_info(const struct start_info *info)
{
	if (info->magic != START_INFO_MAGIC)
		__builtin_trap();
	const struct memory_map_entry *map = phys_to_virt(info->memory_map);
	for (uint32_t i = 0; i < info->memory_map_entries; i++)
		bootmem_add_range(map[i].start, map[i].size, map[i].type);
	bootmem_init(info->command_line != 0 ? phys_to_virt(info->command_line) : NULL);
}

void
machine_bring_up(uint64_t boot_argument)
{
	const struct start_info *info = phys_to_virt(boot_argument);

	uart_init();
	smp_init();
	traps_init();
	read_start_info(info);
	firmware_init(info->rsdp);
	mmu_init();
	machine_init();
}

void smp_ap_main(void);

/* Where every other CPU starts, from boot.S. */
void
smp_ap_main(void)
{
	smp_enter();
	traps_load();
	apic_on();
	smp_serve();
}
