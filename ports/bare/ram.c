/* SPDX-License-Identifier: MIT */
/*
 * ram.c - a list of the pieces of memory that are there, in no order.
 *
 * As many as there are DIMM slots and blocks of a virtio-mem device that people plug; it is looked
 * at once for each section that is mapped, so its length hardly matters. Changed in the main loop
 * of CPU 0 only, before an add and after a removal.
 */
#include "ram.h"

enum { PIECES_MAX = 1024 };

static struct ram pieces[PIECES_MAX];
static unsigned nr_pieces;

int
ram_came(struct mhp_span span, unsigned node, uint16_t backing)
{
	if (span.size == 0)
		return MHP_EINVAL;
	if (nr_pieces == PIECES_MAX)
		return MHP_ENOSPC;
	pieces[nr_pieces++] = (struct ram){ span, (uint8_t)node, backing };
	return 0;
}

void
ram_gone(struct mhp_span span)
{
	for (unsigned i = 0; i < nr_pieces; i++) {
		if (pieces[i].span.start.addr != span.start.addr)
			continue;
		pieces[i] = pieces[--nr_pieces];
		return;
	}
}

const struct ram *
ram_find(uint64_t start, uint64_t size)
{
	for (unsigned i = 0; i < nr_pieces; i++) {
		uint64_t offset = start - pieces[i].span.start.addr;
		if (offset < pieces[i].span.size && size <= pieces[i].span.size - offset)
			return &pieces[i];
	}
	return NULL;
}

const struct ram *
ram_next(unsigned *at)
{
	return *at < nr_pieces ? &pieces[(*at)++] : NULL;
}
