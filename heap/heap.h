/* SPDX-License-Identifier: MIT */
/*
 * heap.h - the one heap of the process, shared by its three files.
 *
 * It lies in static memory and is written before the first hook runs; afterwards only the atomics
 * change, so that hooks need no lock and a fork finds nothing half done.
 */
#ifndef MHP_HEAP_H
#define MHP_HEAP_H

#include <memplug/heap.h>
#include <stdatomic.h>

#include "jemalloc.h"

struct mhp__heap {
	struct mhp_pool *pool;
	struct mhp_region *region;
	uintptr_t start, end;          /* of the region */
	_Atomic uintptr_t next;        /* addresses below it are jemalloc's for ever */
	struct mhp_backing backing;
	_Atomic uint64_t max_bytes;
	extent_hooks_t *foreign;       /* jemalloc's own hooks: for what was there before us */
};

extern struct mhp__heap mhp__heap;
extern extent_hooks_t mhp__heap_hooks;

/* Plug memory for bytes more. True: something was added. */
bool mhp__heap_grow(uint64_t bytes);

#endif
