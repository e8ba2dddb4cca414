/* SPDX-License-Identifier: MIT */
/*
 * locked.h - reading under the hotplug lock, from anywhere.
 *
 * Calls that only look must work from a listener or an owner's function too: there this thread
 * holds the lock already, so what it reads holds still all the same.
 */
#ifndef MHP_CORE_LOCKED_H
#define MHP_CORE_LOCKED_H

#include "instance.h"

/* True: the lock was taken here, and mhp__read_end() gives it back. */
static inline bool
mhp__read_begin(struct mhp *m)
{
	return mhp__hotplug_lock(m) == 0;
}

static inline void
mhp__read_end(struct mhp *m, bool locked)
{
	if (locked)
		mhp__hotplug_unlock(m);
}

#endif
