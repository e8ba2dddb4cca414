/* SPDX-License-Identifier: MIT */
/*
 * check.h - the verifier and the digest of an instance.
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
 * @report: called for each finding, at most 64 times; may be NULL.
 *
 * Context: takes the hotplug lock, then stops allocation in one arena or cache at a time. With
 * other threads allocating, invariants that compare caches with bitmaps are skipped (quiescent
 * false); with quiescent true the caller promises that nobody else is in the engine.
 * Cost: O(pages that were ever used).
 * Return: how many findings; 0 is good. MHP_EDEADLK from a callback.
 */
int mhp_check(struct mhp *m, bool quiescent,
	      void (*report)(void *ctx, const struct mhp_finding *finding), void *ctx);

/**
 * A 64-bit hash of the logical state: blocks, zones, nodes, counters of pages, bitmaps and owners.
 * Equal states of equal geometries have equal digests on every port; addresses, times and event
 * numbers are not part of it. Frames in caches count as free. Context: as for mhp_check().
 */
uint64_t mhp_digest(struct mhp *m);

#ifdef __cplusplus
}
#endif
#endif
