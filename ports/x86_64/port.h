/* SPDX-License-Identifier: MIT */
/*
 * port.h - the engine on this machine: bringing it up, and the one instance.
 */
#ifndef X86_64_PORT_H
#define X86_64_PORT_H

#include <memplug/mhp.h>

/*
 * Make the instance for this machine: its geometry from the firmware's tables and the command line
 * (block=SIZE, section=SIZE, large=off), its memory and page tables from boot memory.
 * Return: 0, MHP_ENODEV (the machine has no place where memory may come), MHP_ENOMEM, MHP_EINVAL.
 */
MHP_MUST_CHECK int port_init(void);
struct mhp *port_instance(void);
uint64_t port_block_bytes(void);
/* Boot memory that the port holds for the instance: its footprint, and pages of shared tables. */
uint64_t port_footprint_bytes(void);

#endif
