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

#endif
