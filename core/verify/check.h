/* SPDX-License-Identifier: MIT */
/*
 * check.h - checksums of what has no other witness, and the verifier for those who hold the lock.
 */
#ifndef MHP_CORE_CHECK_H
#define MHP_CORE_CHECK_H

#include "state/instance.h"

/* The checksum of all const fields of the instance, and of the zone lists; init stores it in
 * const_check. */
uint32_t mhp__const_checksum(const struct mhp *m);

/* The checksum of the tables that only calls change: owners, listeners, policy, switch, bad
 * frames. */
uint32_t mhp__tables_checksum(const struct mhp *m);
/* Store it: whoever changes one of them does, before the hotplug lock is given back. */
static inline void
mhp__tables_seal(struct mhp *m)
{
	m->tables_check = mhp__tables_checksum(m);
}

/* mhp_check() by the holder of the hotplug lock, in the middle of an operation (a listener, an
 * owner's function): what only holds between operations (INV 5) is not asked for. */
int mhp__check_inside(struct mhp *m, bool quiescent,
		      void (*report)(void *ctx, const struct mhp_finding *finding), void *ctx);

#endif
