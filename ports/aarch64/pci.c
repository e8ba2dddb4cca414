/* SPDX-License-Identifier: MIT */
/*
 * pci.c - configuration space in memory, and addresses for registers.
 *
 * Nobody runs before us on this machine who would have assigned addresses, so pci_enable() does,
 * from the window that the machine keeps for that. Only the first bus is looked at, by CPU 0.
 */
#include "pci.h"

#include "mmu.h"

enum {
	REG_COMMAND = 0x04 / 4,
	REG_BAR0 = 0x10 / 4,
	BARS = 6,
	COMMAND_MEMORY_MASTER = 0x6,
	BAR_IO = 0x1,
	BAR_64 = 0x4,
	DEVICES = 32,
	DEVICE_SHIFT = 15,             /* 4 KiB for each of 8 functions */
};

static uint64_t next_address = VIRT_PCI_WINDOW;

static volatile uint32_t *
config_of(uint32_t where)
{
	return mmu_map_device(VIRT_PCI_CONFIG + where, 4096);
}

uint32_t
pci_read(uint32_t where, uint8_t offset)
{
	return config_of(where)[offset / 4];
}

uint8_t
pci_read_u8(uint32_t where, uint8_t offset)
{
	return (uint8_t)(pci_read(where, offset) >> (offset % 4 * 8));
}

bool
pci_find(uint16_t vendor, uint16_t device, uint32_t *ret_where)
{
	for (uint32_t slot = 0; slot < DEVICES; slot++) {
		if (pci_read(slot << DEVICE_SHIFT, 0) == ((uint32_t)device << 16 | vendor)) {
			*ret_where = slot << DEVICE_SHIFT;
			return true;
		}
	}
	return false;
}

/* Ask a BAR for its size and give it an address that is a multiple of it. Returns how many BARs it
 * takes. */
static unsigned
assign(volatile uint32_t *bar)
{
	bar[0] = UINT32_MAX;
	uint32_t answer = bar[0];
	bool wide = (answer & BAR_IO) == 0 && (answer & BAR_64) != 0;
	uint32_t size = ~(answer & ~0xfU) + 1;

	if ((answer & BAR_IO) == 0 && size != 0) {
		next_address = (next_address + size - 1) & ~(uint64_t)(size - 1);
		bar[0] = (uint32_t)next_address;
		if (wide)
			bar[1] = (uint32_t)(next_address >> 32);
		next_address += size;
	}
	return wide ? 2 : 1;
}

void
pci_enable(uint32_t where)
{
	volatile uint32_t *config = config_of(where);

	for (unsigned bar = 0; bar < BARS;)
		bar += assign(&config[REG_BAR0 + (int)bar]);
	config[REG_COMMAND] = (config[REG_COMMAND] & 0xffff) | COMMAND_MEMORY_MASTER;
}

uint64_t
pci_bar(uint32_t where, unsigned bar)
{
	volatile uint32_t *config = config_of(where);
	uint32_t low = config[REG_BAR0 + (int)bar];
	uint64_t high = (low & BAR_64) != 0 ? config[REG_BAR0 + (int)bar + 1] : 0;

	return high << 32 | (low & ~0xfU);
}
