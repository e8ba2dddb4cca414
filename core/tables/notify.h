/* SPDX-License-Identifier: MIT */
/*
 * notify.h - calling listeners in order of priority; hotplug lock held.
 */
#ifndef MHP_CORE_NOTIFY_H
#define MHP_CORE_NOTIFY_H

#include "state/instance.h"

/* Tell a GOING event. On refusal by one, it and those before it get `cancel` (in reverse order) and
 * its error is returned, its id in *reterr_listener. */
MHP_MUST_CHECK int mhp__notify_going(struct mhp *m, const struct mhp_notice *notice,
				     enum mhp_notice_kind cancel, uint16_t *reterr_listener);
/* Tell everybody; answers are ignored. */
void mhp__notify(struct mhp *m, const struct mhp_notice *notice);

#endif
