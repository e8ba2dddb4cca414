/* SPDX-License-Identifier: MIT */
/*
 * bring_up.c - the machine, without the engine, in the order in which its parts need each other.
 *
 * The device tree says what memory there is and what the command line says. Its first 2 MiB hold
 * the tree itself, which the image is linked behind, so nothing handed out ever covers it.
 */
#include "bootmem.h"
#include "console.h"
#include "fdt.h"
#include "fw_cfg.h"
#include "machine.h"
#include "mmu.h"
#include "smp.h"
#include "traps.h"
#include "uart.h"

static void
note_memory(uint64_t start, uint64_t size)
{
	bootmem_add_range(start, size, BOOT_RAM);
}

/* All devices are in one place; their registers are used at the mapping, once there is one. */
static void
map_devices(void)
{
	(void)mmu_map_device(VIRT_UART, 0x1000);
	(void)mmu_map_device(VIRT_DIMM, 0x18);
	(void)mmu_map_device(VIRT_GED, 0x4);
}

void
machine_bring_up(uint64_t boot_argument)
{
	const char *command_line;

	uart_init();
	smp_init();
	if (!fdt_read(phys_to_virt(boot_argument), note_memory, &command_line)) {
		say("there is no device tree\n");
		machine_exit(MACHINE_EXIT_FAIL);
	}
	bootmem_init(command_line);
	mmu_init();
	map_devices();
	traps_init();
	fw_cfg_read_tables();
	machine_init();
}
