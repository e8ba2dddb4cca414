/* SPDX-License-Identifier: MIT */
/*
 * notify.c - listeners: the table, and calling them in order of priority.
 *
 * The table holds still while listeners run, since it changes under the hotplug lock and they run
 * under it. Calling sorts the entries in use into an array on the stack: 32 bytes, and no state
 * that would have to be kept in order. Every listener that was told of a GOING event is told one
 * of its two ends, the one that refused it included, so that a listener may keep count without
 * knowing what the others say. What an event means is not this file's business.
 */
#include "tables/notify.h"

#include "base/mem.h"
#include "verify/check.h"

_Static_assert(MHP_LISTENERS_MAX <= UINT8_MAX, "ids are sorted as bytes");

int
mhp_listener_add(struct mhp *m, mhp_listener_fn *fn, void *ctx, int priority,
		 uint16_t *ret_listener)
{
	unsigned id = 0;
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	while (id < MHP_LISTENERS_MAX && m->listeners[id].fn != NULL)
		id++;
	if (fn == NULL || ret_listener == NULL) {
		err = MHP_EINVAL;
	} else if (id == MHP_LISTENERS_MAX) {
		err = MHP_ENOSPC;
	} else {
		m->listeners[id] = (struct mhp_listener){ fn, ctx, priority, m->listener_seq++ };
		m->nr_listeners++;
		mhp__tables_seal(m);
		*ret_listener = (uint16_t)id;
	}
	mhp__hotplug_unlock(m);
	return err;
}

int
mhp_listener_remove(struct mhp *m, uint16_t listener)
{
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	if (listener >= MHP_LISTENERS_MAX || m->listeners[listener].fn == NULL) {
		err = MHP_ENOENT;
	} else {
		memset(&m->listeners[listener], 0, sizeof(m->listeners[listener]));
		m->nr_listeners--;
		mhp__tables_seal(m);
	}
	mhp__hotplug_unlock(m);
	return err;
}

/* Is a called before b? The numbers of registration wrap, so it is their distance that counts. */
static bool
before(const struct mhp_listener *a, const struct mhp_listener *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return (int32_t)(a->order - b->order) < 0;
}

/* The listeners in order of calling; returns how many. */
static unsigned
sort(const struct mhp *m, uint8_t ids[MHP_LISTENERS_MAX])
{
	unsigned nr = 0;

	for (unsigned id = 0; nr < m->nr_listeners; id++) {
		unsigned at = nr;

		if (m->listeners[id].fn == NULL)
			continue;
		for (; at > 0 && before(&m->listeners[id], &m->listeners[ids[at - 1]]); at--)
			ids[at] = ids[at - 1];
		ids[at] = (uint8_t)id;
		nr++;
	}
	return nr;
}

static int
tell(struct mhp *m, unsigned id, const struct mhp_notice *notice)
{
	return m->listeners[id].fn(m->listeners[id].ctx, notice);
}

int
mhp__notify_going(struct mhp *m, const struct mhp_notice *notice, enum mhp_notice_kind cancel,
		  uint16_t *reterr_listener)
{
	uint8_t ids[MHP_LISTENERS_MAX];
	unsigned nr = sort(m, ids);
	struct mhp_notice undo = *notice;

	undo.kind = cancel;
	for (unsigned i = 0; i < nr; i++) {
		int err = tell(m, ids[i], notice);

		if (err == 0)
			continue;
		*reterr_listener = ids[i];
		for (unsigned seen = i + 1; seen-- > 0;)
			(void)tell(m, ids[seen], &undo);
		/* Errors are negative here; a listener that says 1 has refused all the same. */
		return err < 0 ? err : MHP_EBUSY;
	}
	return 0;
}

void
mhp__notify(struct mhp *m, const struct mhp_notice *notice)
{
	uint8_t ids[MHP_LISTENERS_MAX];
	unsigned nr = sort(m, ids);

	for (unsigned i = 0; i < nr; i++)
		(void)tell(m, ids[i], notice);
}
