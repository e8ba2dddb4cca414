/* SPDX-License-Identifier: MIT */
/*
 * port.h - the engine on this machine: bringing it up, and the one instance.
 */
#ifndef BARE_PORT_H
#define BARE_PORT_H

#include <memplug/mhp.h>

/* The engine's, by which the port lays out the virtual array of descriptors. */
enum { DESCRIPTOR_BYTES = MHP_DESCRIPTOR_BYTES };
/* port.c reckons with tables that hold whole descriptors of whole blocks. */
_Static_assert((DESCRIPTOR_BYTES & (DESCRIPTOR_BYTES - 1)) == 0, "no descriptor crosses a page");

/*
 * Make the instance for this machine: its geometry from the firmware's tables and the command line
 * (block=SIZE, section=SIZE, large=off), its memory and page tables from boot memory.
 * Return: 0, MHP_ENODEV (the machine has no place where memory may come), MHP_ENOMEM, MHP_EINVAL.
 */
MHP_MUST_CHECK int port_init(void);
struct mhp *port_instance(void);
/* Tell listener of each event from now on (trace.h says in what context); NULL: nobody. */
void port_listen(void (*listener)(const struct mhp_event *event));
/* Where the descriptor of the page at phys is. */
uint64_t port_memmap_address(uint64_t phys);
uint64_t port_block_bytes(void);
/* Boot memory that the port holds for the instance: its footprint, and pages of shared tables. */
uint64_t port_footprint_bytes(void);

#endif
