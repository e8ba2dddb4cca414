/* SPDX-License-Identifier: MIT */
/*
 * bad.h - the table of bad frames: sorted pfns in the instance; hotplug lock held.
 */
#ifndef MHP_CORE_BAD_H
#define MHP_CORE_BAD_H

#include "state/instance.h"

/* Index of the first remembered pfn >= pfn, or m->nr_bad. */
uint32_t mhp__bad_find(const struct mhp *m, uint64_t pfn);
/* How many are in [start_pfn, end_pfn). */
uint32_t mhp__bad_in(const struct mhp *m, uint64_t start_pfn, uint64_t end_pfn);
/* Insert, keeping order; MHP_ENOSPC, MHP_EHWPOISON (there already). */
MHP_MUST_CHECK int mhp__bad_insert(struct mhp *m, uint64_t pfn);
/* MHP_ENOENT: it is not there. */
MHP_MUST_CHECK int mhp__bad_delete(struct mhp *m, uint64_t pfn);

#endif
