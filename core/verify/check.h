/* SPDX-License-Identifier: MIT */
/*
 * check.h - the verifier, for a caller that holds the hotplug lock.
 *
 * memplug/check.h has the public call.
 */
#ifndef MHP_CORE_CHECK_H
#define MHP_CORE_CHECK_H

#include "state/instance.h"

/* mhp_check() by the holder of the hotplug lock, in the middle of an operation (a listener, an
 * owner's function): what only holds between operations (INV 5) is not asked for. */
int mhp__check_inside(struct mhp *m, bool quiescent,
		      void (*report)(void *ctx, const struct mhp_finding *finding), void *ctx);

#endif
