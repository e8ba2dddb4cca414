/* SPDX-License-Identifier: MIT */
/*
 * hotplug.c - the hotplug lock: the port's mutex, and who holds it.
 *
 * A thread that holds the lock and asks for it again (a listener, an owner's function) gets
 * MHP_EDEADLK instead of waiting for itself. Only the holder writes its own id to lock_owner, so a
 * relaxed load is enough to tell "me" from "somebody else". Giving the lock back ends the phase
 * under way. Must not know: what the lock guards, and how the other locks rank.
 */
#include "state/hotplug.h"

#include "state/trace.h"

int
mhp__hotplug_lock(struct mhp *m)
{
	uint64_t self = m->ops->self(m->port);

	if (atomic_load_explicit(&m->lock_owner, memory_order_relaxed) == self)
		return MHP_EDEADLK;
	m->ops->lock(m->port);
	if (atomic_load_explicit(&m->change_lost, memory_order_relaxed) != 0) {
		m->ops->unlock(m->port);
		return MHP_EOWNERDEAD;
	}
	atomic_store_explicit(&m->lock_owner, self, memory_order_relaxed);
	return 0;
}

bool
mhp__hotplug_take_over(struct mhp *m)
{
	m->ops->lock(m->port);
	if (atomic_load_explicit(&m->change_lost, memory_order_relaxed) == 0) {
		m->ops->unlock(m->port);
		return false;
	}
	atomic_store_explicit(&m->lock_owner, m->ops->self(m->port), memory_order_relaxed);
	return true;
}

void
mhp__hotplug_unlock(struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	mhp__phase_end(m);
	atomic_store_explicit(&m->lock_owner, 0, memory_order_relaxed);
	m->ops->unlock(m->port);
}
