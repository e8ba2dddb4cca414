/* SPDX-License-Identifier: MIT */
/*
 * poison.h - free pages hold a pattern, and taking one checks that it is intact.
 *
 * So a write to freed memory is detected. Not for builds with sparse memory: poison writes to all
 * of it.
 */
#ifndef MHP_CORE_POISON_H
#define MHP_CORE_POISON_H

#include "state/instance.h"

#ifndef MHP_POISON
#define MHP_POISON MHP_DEBUG
#endif
#if MHP_POISON
void mhp__poison(struct mhp *m, uint64_t pfn, uint64_t nr_pages);
/* check: false where somebody may have written to the memory rightly. */
void mhp__unpoison(struct mhp *m, uint64_t pfn, uint64_t nr_pages, bool check);
#else
static inline void
mhp__poison(struct mhp *m, uint64_t pfn, uint64_t nr_pages)
{
	(void)m, (void)pfn, (void)nr_pages;
}

static inline void
mhp__unpoison(struct mhp *m, uint64_t pfn, uint64_t nr_pages, bool check)
{
	(void)m, (void)pfn, (void)nr_pages, (void)check;
}
#endif

#endif
