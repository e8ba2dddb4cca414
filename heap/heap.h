/* SPDX-License-Identifier: MIT */
/*
 * heap.h - the one heap of the process, shared by its files.
 *
 * It lies in static memory and is written before the first hook runs; afterwards only the atomics
 * change, and what extents.c has under its lock.
 */
#ifndef MHP_HEAP_H
#define MHP_HEAP_H

#include <memplug/heap.h>
#include <stdatomic.h>
#include <unistd.h>

#include "jemalloc.h"

struct mhp__heap {
	struct mhp_pool *pool;
	struct mhp_region *region;
	uintptr_t start, end;          /* of the region */
	struct mhp_backing backing;
	_Atomic uint64_t max_bytes;
	_Atomic bool shrinks;          /* blocks leave because a limit is near */
	extent_hooks_t *foreign;       /* jemalloc's own hooks: for what is outside */
	bool closed;                   /* nothing is allocated in the region yet */
	void (*took)(void);            /* of mhp_heap_opts */
	/* Done with memory that was committed (lock.c), or NULL. False: it cannot be had. */
	bool (*_Atomic keep)(uintptr_t start, uintptr_t size);
};

extern struct mhp__heap mhp__heap;
extern extent_hooks_t mhp__heap_hooks;

/* The kernel's calls read an address and a size like this: whole pages of its own. */
static inline bool
mhp__at_page(uintptr_t address)
{
	return address % (uintptr_t)sysconf(_SC_PAGESIZE) == 0;
}

static inline uintptr_t
mhp__whole_pages(size_t size)
{
	uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
	return (size + mask) & ~mask;
}

/* ---- advise.c ---- */

/* Is all of it the heap's? */
bool mhp__heap_has(uintptr_t start, uintptr_t size);
/*
 * The heap's memory is ordinary until mhp__heap_release(), wherever it was, so that a call can
 * change its mapping for ever. False: it is not the heap's, or cannot come back.
 */
bool mhp__heap_hold(uintptr_t start, uintptr_t size);
void mhp__heap_release(bool held);

/* Plug memory for bytes more. MHP_EAGAIN: not without waiting; MHP_ENOMEM: the bound is reached. */
int mhp__heap_grow(uint64_t bytes);
void mhp__heap_grow_in_child(void);

/* ---- setup.c ---- */

/*
 * Make the pool that the environment describes, and put malloc on it. The first program waits for
 * what another pool has, for 2 s. ret_unserved says why nobody can see it, or is empty. On error
 * reterr has a sentence; malloc is as before.
 */
MHP_MUST_CHECK int mhp__setup(const char *name, bool first, struct mhp_text *ret_unserved,
			      struct mhp_text *reterr);

/* ---- extents.c ---- */

/* All of the region is unused; large extents get huge pages, or not. False: no addresses. */
bool mhp__extents_init(bool huge);
/* Commit a range of the region, plugging memory as long as that helps. As mhp_region_commit(). */
MHP_MUST_CHECK int mhp__extents_commit(uintptr_t start, uintptr_t size);
/* The same for any region of the pool; trims: once it is full, at the price of what nobody uses. */
MHP_MUST_CHECK int mhp__extents_afford(struct mhp_region *region, uintptr_t start, uintptr_t size,
				       bool trims);
/*
 * Committed memory that reads as zeros, at wanted unless that is 0. MHP_ENOMEM (the pool must not
 * grow any more, or wanted is in use), MHP_EAGAIN (one would have to wait), MHP_ENOSPC (the kernel
 * gives no more mappings).
 */
MHP_MUST_CHECK int mhp__extents_alloc(uintptr_t wanted, uintptr_t size, uintptr_t alignment,
				      uintptr_t *ret_start);
/* Give an extent back, or any part or union of such. False: it cannot be done now. */
bool mhp__extents_free(uintptr_t start, uintptr_t size);
/* So much of what nobody uses goes back to the pool (UINTPTR_MAX: all), as far as mappings suffice.
 * The program's calls go on meanwhile; also from a process beside the program. Returns how much. */
uintptr_t mhp__extents_trim(uintptr_t bytes);
/* Fork handlers: between those of jemalloc, which come first, and those of the pool. */
void mhp__extents_fork_init(void);

#endif
