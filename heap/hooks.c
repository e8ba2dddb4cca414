/* SPDX-License-Identifier: MIT */
/*
 * hooks.c - jemalloc's extent hooks over a region.
 *
 * jemalloc is told to retain nothing (preload.c): it gives back what it does not need, and asks for
 * the addresses after an extent that grows. If the hook cannot take memory back now, jemalloc
 * retains it after all. The hooks are called from any thread, with locks of jemalloc held, so they
 * take no lock but those of extents.c and the region, and never allocate; and they do not wait:
 * what the pool cannot give at once comes from outside of it, by jemalloc's own hooks. They also
 * get extents that were mapped before they were installed; those go to jemalloc's own hooks and are
 * never merged with ours. A forked child has a pool of its own, and goes on with it. Memory that
 * jemalloc has from us counts as the program's (taken.c).
 */
#define _GNU_SOURCE
#include <memplug/companion.h>

#include "heap.h"
#include "taken.h"

/* Giving back less than this saves too little for the mapping that it costs. */
#define DECOMMIT_MIN (UINT64_C(64) << 10)

struct mhp__heap mhp__heap;

static bool
ours(const void *address)
{
	return (uintptr_t)address >= mhp__heap.start && (uintptr_t)address < mhp__heap.end;
}

/* Of the region. MHP_EAGAIN, MHP_ENOSPC: elsewhere, if anywhere. */
static int
alloc_ours(uintptr_t wanted, size_t size, size_t alignment, uintptr_t *ret_start)
{
	/* Our own processes must not take arena memory of the program, either (decay.c). */
	if (mhp__heap.closed || mhp_companion_here())
		return MHP_EAGAIN;
	if (!mhp__taken_more(size))
		return MHP_ENOMEM;
	int err = mhp__extents_alloc(wanted, size, alignment, ret_start);
	if (err != 0)
		mhp__taken_less(size);
	return err;
}

static bool
free_ours(void *start, size_t size)
{
	bool done = mhp__extents_free((uintptr_t)start, size);
	if (done)
		mhp__taken_less(size);
	return done;
}

static void *
hook_alloc(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment, bool *zero,
	   bool *commit_it, unsigned arena)
{
	uintptr_t start;
	int err = alloc_ours((uintptr_t)new_addr, size, alignment, &start);
	(void)hooks;
	if (err == MHP_EAGAIN || err == MHP_ENOSPC)
		return new_addr != NULL ? NULL
			: mhp__heap.foreign->alloc(mhp__heap.foreign, new_addr, size, alignment,
						   zero, commit_it, arena);
	/* Also where it is refused: whoever set the bound may have been killed. */
	if (mhp__heap.took != NULL)
		mhp__heap.took();
	if (err != 0)
		return NULL;
	*zero = true;
	*commit_it = true;
	return (void *)start;
}

/* True is a refusal in all that follows: jemalloc keeps the extent and tries something else. */
static bool
hook_dalloc(extent_hooks_t *hooks, void *start, size_t size, bool committed, unsigned arena)
{
	(void)hooks;
	if (!ours(start))
		return mhp__heap.foreign->dalloc(mhp__heap.foreign, start, size, committed, arena);
	return !committed || !free_ours(start, size);
}

static void
hook_destroy(extent_hooks_t *hooks, void *start, size_t size, bool committed, unsigned arena)
{
	(void)hooks;
	if (!ours(start))
		mhp__heap.foreign->destroy(mhp__heap.foreign, start, size, committed, arena);
	else if (committed)
		(void)!free_ours(start, size);
}

static bool
hook_commit(extent_hooks_t *hooks, void *start, size_t size, size_t offset, size_t length,
	    unsigned arena)
{
	(void)hooks;
	if (!ours(start))
		return mhp__heap.foreign->commit(mhp__heap.foreign, start, size, offset, length,
						 arena);
	if (!mhp__taken_more(length))
		return true;
	int err = mhp__extents_commit((uintptr_t)start + offset, length);
	if (err != 0)
		mhp__taken_less(length);
	return err != 0;
}

static bool
hook_decommit(extent_hooks_t *hooks, void *start, size_t size, size_t offset, size_t length,
	      unsigned arena)
{
	char *part = (char *)start + offset;
	(void)hooks;
	if (!ours(start))
		return mhp__heap.foreign->decommit(mhp__heap.foreign, start, size, offset, length,
						   arena);
	if (length < DECOMMIT_MIN ||
	    mhp_region_decommit(mhp__heap.region, part, length) != 0)
		return true;
	mhp__taken_less(length);
	return false;
}

static bool
hook_purge_lazy(extent_hooks_t *hooks, void *start, size_t size, size_t offset, size_t length,
		unsigned arena)
{
	(void)hooks;
	if (!ours(start))
		return mhp__heap.foreign->purge_lazy(mhp__heap.foreign, start, size, offset, length,
						     arena);
	return true; /* what is given back shall be back at once */
}

static bool
hook_purge_forced(extent_hooks_t *hooks, void *start, size_t size, size_t offset, size_t length,
		  unsigned arena)
{
	char *part = (char *)start + offset;
	(void)hooks;
	if (!ours(start))
		return mhp__heap.foreign->purge_forced(mhp__heap.foreign, start, size, offset,
						       length, arena);
	return mhp_region_purge(mhp__heap.region, part, length) != 0;
}

static bool
hook_split(extent_hooks_t *hooks, void *start, size_t size, size_t size_a, size_t size_b,
	   bool committed, unsigned arena)
{
	(void)hooks;
	if (!ours(start))
		return mhp__heap.foreign->split(mhp__heap.foreign, start, size, size_a, size_b,
						committed, arena);
	return false;
}

static bool
hook_merge(extent_hooks_t *hooks, void *start_a, size_t size_a, void *start_b, size_t size_b,
	   bool committed, unsigned arena)
{
	(void)hooks;
	if (ours(start_a) != ours(start_b))
		return true;
	if (!ours(start_a))
		return mhp__heap.foreign->merge(mhp__heap.foreign, start_a, size_a, start_b, size_b,
						committed, arena);
	return false;
}

extent_hooks_t mhp__heap_hooks = {
	.alloc = hook_alloc,
	.dalloc = hook_dalloc,
	.destroy = hook_destroy,
	.commit = hook_commit,
	.decommit = hook_decommit,
	.purge_lazy = hook_purge_lazy,
	.purge_forced = hook_purge_forced,
	.split = hook_split,
	.merge = hook_merge,
};
