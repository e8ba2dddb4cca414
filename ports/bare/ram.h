/* SPDX-License-Identifier: MIT */
/*
 * ram.h - the memory that somebody has brought for the engine: where, whose, on which node.
 *
 * Providers tell; the port asks before it maps anything or lets it be used.
 */
#ifndef BARE_RAM_H
#define BARE_RAM_H

#include <memplug/mhp.h>

/* The source that brought it; also what a block says as its backing. DIMMs are below, by their
 * slot. */
enum { RAM_OF_VIRTIO_MEM = 0x100, RAM_OF_BOOT = 0x101 };

struct ram {
	struct mhp_span span;
	uint8_t node;
	uint16_t backing;
};

/* It is there. MHP_ENOSPC: too many pieces; MHP_EINVAL: it is empty. */
MHP_MUST_CHECK int ram_came(struct mhp_span span, unsigned node, uint16_t backing);
/* It goes. Pieces go as they came. */
void ram_gone(struct mhp_span span);
/* The piece that all of [start, start + size) lies in; NULL when there is none. */
const struct ram *ram_find(uint64_t start, uint64_t size);
/* The next piece of a provider at or after *at; NULL: no more. *at moves past it. */
const struct ram *ram_next(unsigned *at);

#endif
