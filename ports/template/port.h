/* SPDX-License-Identifier: MIT */
/*
 * port.h - template of a port: bringing the engine up in your kernel (docs/PORTING.md).
 */
#ifndef TEMPLATE_PORT_H
#define TEMPLATE_PORT_H

#include <memplug/mhp.h>

/* The facts that your kernel has about its machine when it calls template_port_init(). */
struct template_machine {
	struct mhp_geometry geometry;
	unsigned char *direct_map;     /* where physical address 0 is, or would be */
	void *vmemmap;                 /* where the descriptor of pfn 0 goes; a range of its own */
	/* Zero-filled memory that stays, aligned to 64 bytes. NULL: there is none. */
	void *(*boot_alloc)(size_t size_bytes);
};

/* Return: 0, MHP_ENOMEM, or what mhp_init() returns. */
MHP_MUST_CHECK int template_port_init(const struct template_machine *machine, struct mhp **ret_m);

#endif
