/* SPDX-License-Identifier: MIT */
/*
 * pci.c - configuration space by ports 0xcf8 and 0xcfc.
 *
 * The firmware has assigned all addresses, and what is looked for is on the first bus. The address
 * port is one for all: only CPU 0 comes here.
 */
#include "pci.h"

#include "cpu.h"

enum {
	CONFIG_ADDRESS = 0xcf8,
	CONFIG_DATA = 0xcfc,
	REG_COMMAND = 0x04,
	REG_BAR0 = 0x10,
	COMMAND_MEMORY_MASTER = 0x6,
	BAR_64 = 0x4,
	DEVICES = 32,
};

uint32_t
pci_read(uint32_t where, uint8_t offset)
{
	outl(CONFIG_ADDRESS, 0x80000000U | where | (offset & 0xfcU));
	return inl(CONFIG_DATA);
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
		if (pci_read(slot << 11, 0) == ((uint32_t)device << 16 | vendor)) {
			*ret_where = slot << 11;
			return true;
		}
	}
	return false;
}

void
pci_enable(uint32_t where)
{
	uint32_t command = pci_read(where, REG_COMMAND) & 0xffff;

	outl(CONFIG_ADDRESS, 0x80000000U | where | REG_COMMAND);
	outl(CONFIG_DATA, command | COMMAND_MEMORY_MASTER);
}

uint64_t
pci_bar(uint32_t where, unsigned bar)
{
	uint8_t offset = (uint8_t)(REG_BAR0 + bar * 4);
	uint32_t low = pci_read(where, offset);
	uint64_t high = (low & BAR_64) != 0 ? pci_read(where, (uint8_t)(offset + 4)) : 0;

	return high << 32 | (low & ~0xfU);
}
