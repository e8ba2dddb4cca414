/* SPDX-License-Identifier: MIT */
/*
 * pci.h - find a device on the first bus, read its configuration, map its registers.
 */
#ifndef BARE_PCI_H
#define BARE_PCI_H

#include <stdbool.h>
#include <stdint.h>

/* Configuration address of the device with this vendor and device id on bus 0. False: none. */
bool pci_find(uint16_t vendor, uint16_t device, uint32_t *ret_where);
uint32_t pci_read(uint32_t where, uint8_t offset);
uint8_t pci_read_u8(uint32_t where, uint8_t offset);
/* Let the device use memory and be the master of the bus. */
void pci_enable(uint32_t where);
/* Where the firmware put a memory BAR. */
uint64_t pci_bar(uint32_t where, unsigned bar);

#endif
