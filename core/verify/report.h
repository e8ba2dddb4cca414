/* SPDX-License-Identifier: MIT */
/*
 * report.h - what a run of the verifier carries along, and how it records a finding.
 */
#ifndef MHP_CORE_REPORT_H
#define MHP_CORE_REPORT_H

#include "state/instance.h"

struct mhp__check {
	struct mhp *m;
	bool quiescent;                /* nobody else is in the engine: no locks, see it all */
	bool inside;                   /* an operation is under way */
	int findings;
	void (*report)(void *ctx, const struct mhp_finding *finding);
	void *report_ctx;
	uint64_t nr_memmap;            /* frames of MHP_OWNER_MEMMAP */
};

/* Record a finding of invariant inv unless have == want; where is a pfn, block, zone or index, as
 * what says. True: they are equal. */
bool mhp__check_eq(struct mhp__check *c, unsigned inv, const char *what, uint64_t where,
		   uint64_t have, uint64_t want);
static inline bool
mhp__check_that(struct mhp__check *c, unsigned inv, const char *what, uint64_t where, bool holds)
{
	return mhp__check_eq(c, inv, what, where, holds, true);
}

#endif
