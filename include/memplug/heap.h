/* SPDX-License-Identifier: MIT */
/*
 * heap.h - jemalloc on a region: its extents become frames of a pool.
 *
 * One heap per process, because a process has one malloc. libmemplug-heap.so is this plus a
 * constructor that makes the pool; a program that links jemalloc itself can do it by hand.
 *
 * Context, unless a function says otherwise: any thread, not a signal handler.
 */
#ifndef MEMPLUG_HEAP_H
#define MEMPLUG_HEAP_H

#include <memplug/linux.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp_heap_opts {
	struct mhp_backing backing; /* of blocks that are plugged on demand */
	uint64_t max_bytes;        /* the pool is not grown beyond this; 0: it is never grown */
	uint64_t address_bytes;    /* to reserve; 0: eight times max_bytes, 64 GiB at least */
	bool no_huge;              /* do not ask for huge pages for large allocations */
	void (*took)(void);        /* called, inside of malloc, when memory was taken; or NULL */
};

/**
 * Have jemalloc take its memory from @pool, in all arenas that it has or will make by itself.
 *
 * Memory that was allocated before stays where it is. Arenas that the program makes with
 * arenas.create stay outside. Call it once, before threads of the program allocate; it cannot be
 * undone. Return: 0, MHP_EBUSY (there is a heap already), MHP_EOPNOTSUPP (malloc is not jemalloc
 * 5), or what mhp_region_create() returns.
 */
MHP_MUST_CHECK int mhp_heap_start(struct mhp_pool *pool, const struct mhp_heap_opts *opts,
				  struct mhp_text *reterr);

/** Change how far the heap may grow the pool. Any thread. */
void mhp_heap_set_max(uint64_t max_bytes);
/** How far the heap may grow the pool. Any thread. */
uint64_t mhp_heap_get_max(void);

#ifdef __cplusplus
}
#endif
#endif
