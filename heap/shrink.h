/* SPDX-License-Identifier: MIT */
/*
 * shrink.h - what is plugged into the pool, and taking ordinary blocks out of it.
 */
#ifndef MHP_HEAP_SHRINK_H
#define MHP_HEAP_SHRINK_H

#include <memplug/linux.h>
#include <stdint.h>

/* Metadata included. */
struct mhp__plugged {
	uint64_t ordinary_bytes, ordinary_used_bytes;
	uint64_t device_bytes, device_used_bytes;
	uint64_t ordinary_nodes; /* a bit for each node of ordinary memory */
};

void mhp__plugged_get(struct mhp__plugged *ret_plugged);
/* Bytes of a block. */
uint64_t mhp__plugged_block(const struct mhp *m);
/*
 * Take out ordinary blocks until there are no more than bound bytes of them, or one cannot leave;
 * one block always stays. Returns how many have left.
 */
unsigned mhp__shrink(struct mhp *m, const struct mhp__plugged *plugged, uint64_t bound);

#endif
