/* SPDX-License-Identifier: MIT */
/*
 * switch.c - the global switch memmap_on_memory.
 *
 * Only adds ask it: how a block is taken away follows from the block's own record. Written under
 * the hotplug lock, read without.
 */
#include <memplug/mhp.h>

#include "state/hotplug.h"
#include "state/seal.h"
#include "state/trace.h"

int
mhp_set_memmap_on_memory(struct mhp *m, enum mhp_memmap_switch value)
{
	int err;

	if ((unsigned)value > MHP_MEMMAP_FORCE)
		return MHP_EINVAL;
	err = mhp__hotplug_lock(m);
	if (err != 0)
		return err;
	atomic_store_explicit(&m->memmap_switch, (uint32_t)value, memory_order_relaxed);
	mhp__tables_seal(m);
	mhp__trace_policy(m);
	mhp__hotplug_unlock(m);
	return 0;
}

enum mhp_memmap_switch
mhp_get_memmap_on_memory(const struct mhp *m)
{
	return (enum mhp_memmap_switch)atomic_load_explicit(&m->memmap_switch,
							    memory_order_relaxed);
}
