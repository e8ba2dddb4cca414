/* SPDX-License-Identifier: MIT */
/*
 * boot_blocks.c - a provider whose memory was there from the start.
 *
 * It is taken from boot memory a block at a time, so each can leave on its own. Such a block hosts
 * nothing: it is in use before there is anybody who could reserve in it, so its descriptors are
 * external. While it is the engine's, the engine alone decides whether it is mapped; when it has
 * left it is boot memory again, mapped as before.
 */
#include "boot_blocks.h"

#include "bootmem.h"
#include "console.h"
#include "error.h"
#include "hotplug.h"
#include "mmu.h"
#include "port.h"
#include "ram.h"

static int
map_again(uint64_t phys, uint64_t size)
{
	return mmu_map(DIRECT_MAP + phys, phys, size, MMU_DATA, MMU_DIRECT, NULL);
}

static int
hand_over(struct mhp_span span)
{
	uint64_t descriptors = port_memmap_address(span.start.addr);
	uint64_t end = port_memmap_address(span.start.addr + span.size);
	int error = mmu_reserve(descriptors, end - descriptors, MMU_BASE);

	if (error == 0)
		error = ram_came(span, 0, RAM_OF_BOOT);
	if (error != 0)
		return error;
	mmu_unmap(DIRECT_MAP + span.start.addr, span.size, MMU_DIRECT, NULL);
	error = hotplug_add(span, 0, RAM_OF_BOOT);
	if (error == 0)
		return 0;
	ram_gone(span);
	/* A range that was mapped a moment ago can be mapped again: its tables are there. */
	return map_again(span.start.addr, span.size) != 0 ? MHP_EIO : error;
}

void
boot_blocks_init(void)
{
	uint64_t block_bytes = port_block_bytes();
	uint64_t nr = bootmem_option_number("boot", 0) / block_bytes;

	for (; nr > 0; nr--) {
		void *memory = bootmem_alloc(block_bytes >> PAGE_SHIFT, block_bytes);
		if (memory == NULL) {
			say("boot: there is no free run of a whole block\n");
			return;
		}
		struct mhp_span span = { { virt_to_phys(memory) }, block_bytes };
		say("boot: 0x%lx+%luM: ", span.start.addr, span.size >> 20);
		if (hand_over(span) != 0) {
			bootmem_free(memory, block_bytes >> PAGE_SHIFT);
			return;
		}
	}
}

void
boot_blocks_release(void)
{
	const struct ram *ram;

	for (unsigned at = 0; (ram = ram_next(&at)) != NULL;) {
		struct mhp_span span = ram->span;
		if (ram->backing != RAM_OF_BOOT || hotplug_present(span))
			continue;
		if (map_again(span.start.addr, span.size) != 0) {
			say("boot: 0x%lx could not be mapped again\n", span.start.addr);
			continue;
		}
		bootmem_free(phys_to_virt(span.start.addr), span.size >> PAGE_SHIFT);
		ram_gone(span);
		at = 0;                     /* the list has changed */
		say("boot: 0x%lx is boot memory again\n", span.start.addr);
	}
}
