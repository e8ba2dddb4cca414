/* SPDX-License-Identifier: MIT */
/*
 * notify.h - calling listeners in order of priority; hotplug lock held.
 */
#ifndef MHP_CORE_NOTIFY_H
#define MHP_CORE_NOTIFY_H

#include "state/instance.h"

/* Tell a GOING event. On refusal by one, it and those before it get `cancel` (in reverse order),
 * its error is returned, and *reterr_why says who it was. */
MHP_MUST_CHECK int mhp__notify_going(struct mhp *m, const struct mhp_notice *notice,
				     enum mhp_notice_kind cancel, struct mhp_why *reterr_why);
/* Tell everybody; answers are ignored. */
void mhp__notify(struct mhp *m, const struct mhp_notice *notice);
/* Tell the first nr of them. */
void mhp__notify_first(struct mhp *m, const struct mhp_notice *notice, unsigned nr);
/* Log that mhp__notify_going() tells of this range from here on; MHP_PFN_NONE: of none. */
static inline void
mhp__telling(struct mhp *m, uint64_t start_pfn)
{
	mhp__log(&m->work.log.telling_pfn1, 0);
	mhp__log(&m->work.log.nr_listeners, 0);
	if (start_pfn != MHP_PFN_NONE)
		mhp__log(&m->work.log.telling_pfn1, start_pfn + 1);
}
/* For recovery: how many listeners have been told of this range; all, unless the log says less. */
unsigned mhp__nr_told(const struct mhp *m, uint64_t start_pfn);

#endif
