/* SPDX-License-Identifier: MIT */
/*
 * check.h - the verifier and the digest of an instance.
 *
 * Both read everything and change nothing, so that they may be called on a live instance.
 */
#ifndef MEMPLUG_CHECK_H
#define MEMPLUG_CHECK_H

#include <memplug/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;

/** One broken invariant. */
struct mhp_finding {
	unsigned invariant;        /* its number in docs/INVARIANTS.md */
	const char *what;          /* static text */
	uint64_t where;            /* a pfn, a block or a zone, as the text says */
	uint64_t have, want;
};

/**
 * Check every invariant of docs/INVARIANTS.md.
 *
 * @quiescent: true: the caller promises that nobody else is in the engine; everything is checked.
 *             False: other threads may allocate and free; this skips what they change without a
 *             lock (caches and descriptors of taken frames) and free memory.
 * @report:    called for each finding, at most 64 times; may be NULL.
 *
 * Context: takes the hotplug lock, then, unless quiescent, the lock of one arena or zone at a
 * time. Writes nothing and survives any single wrong bit; stops early if something that it has to
 * rely on is wrong.
 * Cost: O(size of the instance), and O(pages online) when quiescent, whose descriptors it reads
 * even where they were never touched; else O(pageblocks online and pages of those that are in use).
 * Return: how many findings; 0 is good. MHP_EDEADLK from a callback.
 */
int mhp_check(struct mhp *m, bool quiescent,
	      void (*report)(void *ctx, const struct mhp_finding *finding), void *ctx);

/**
 * A 64-bit hash of the logical state: blocks, zones, nodes, counters of pages, bitmaps and owners.
 * Equal states of equal geometries have equal digests on every port; addresses, times and event
 * numbers are not part of it. Frames in caches count as free. Context: takes the hotplug lock, or
 * finds it held by this thread; then one arena lock at a time.
 */
uint64_t mhp_digest(struct mhp *m);

#ifdef __cplusplus
}
#endif
#endif
