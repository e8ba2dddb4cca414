/* SPDX-License-Identifier: MIT */
/*
 * report.c - the findings of the verifier.
 *
 * Every comparison of every stage goes through mhp__check_eq(), which counts what differs and
 * reports the first of it. The counter saturates and reports are bounded, so a broken instance
 * costs no more than a sound one. The stages know what is compared, and in which order.
 */
#include "verify/report.h"

#define REPORTS_MAX 64

bool
mhp__check_eq(struct mhp__check *c, unsigned inv, const char *what, uint64_t where, uint64_t have,
	      uint64_t want)
{
	struct mhp_finding finding = { inv, what, where, have, want };

	MHP_ASSERT_DEBUG(inv >= 1);
	MHP_ASSERT_DEBUG(inv <= 22); /* docs/INVARIANTS.md */
	if (have == want)
		return true;
	if (c->report != NULL && c->findings < REPORTS_MAX)
		c->report(c->report_ctx, &finding);
	c->findings += c->findings < INT_MAX;
	return false;
}
