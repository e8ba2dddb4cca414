/* SPDX-License-Identifier: MIT */
/*
 * notify.c - listeners: the table, and calling them in order of priority.
 *
 * The table holds still while listeners run, since it changes under the hotplug lock and they run
 * under it. Calling sorts the entries in use into an array on the stack: 32 bytes, and no state
 * that would have to be kept in order. Every listener that was told of a GOING event is told one
 * of its two ends, the one that refused it included, so that a listener may keep count without
 * knowing what the others say. Must not know: what an event means.
 */
#include "tables/notify.h"

#include "base/mem.h"
#include "state/hotplug.h"
#include "state/seal.h"
#include "tables/owner.h"

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
		m->listeners[id] = (struct mhp__listener){
			.fn = fn, .ctx = ctx, .priority = priority, .order = m->listener_seq++ };
		m->nr_listeners++;
		mhp__tables_seal(m);
		*ret_listener = (uint16_t)id;
	}
	mhp__hotplug_unlock(m);
	return err;
}

/* The slot is used again, and with it the id; order of registration goes on counting. */
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

int
mhp_listener_set_name(struct mhp *m, uint16_t listener, const char *name)
{
	size_t length = mhp__name_length(name);
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	if (listener >= MHP_LISTENERS_MAX || m->listeners[listener].fn == NULL) {
		err = MHP_ENOENT;
	} else if (length == 0) {
		err = MHP_EINVAL;
	} else {
		memset(m->listeners[listener].name, 0, sizeof(m->listeners[listener].name));
		memcpy(m->listeners[listener].name, name, length);
		mhp__tables_seal(m);
	}
	mhp__hotplug_unlock(m);
	return err;
}

const char *
mhp_listener_name(const struct mhp *m, uint16_t listener)
{
	if (listener >= MHP_LISTENERS_MAX || m->listeners[listener].name[0] == '\0')
		return "?";
	return m->listeners[listener].name;
}

/* Is a called before b? The numbers of registration wrap, so it is their distance that counts. */
static bool
before(const struct mhp__listener *a, const struct mhp__listener *b)
{
	MHP_ASSERT_DEBUG(a == b || a->order != b->order); /* so the order is total */
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
	MHP_ASSERT_DEBUG(nr == m->nr_listeners); /* INV 18 */
	return nr;
}

static int
tell(struct mhp *m, unsigned id, const struct mhp_notice *notice)
{
	MHP_ASSERT_DEBUG(m->listeners[id].fn != NULL);
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	return m->listeners[id].fn(m->listeners[id].ctx, notice);
}

/* The name is copied: the listener may be gone when somebody reads the explanation. */
static void
refused_by(const struct mhp *m, unsigned id, struct mhp_why *reterr_why)
{
	_Static_assert(MHP_WHY_TEXT > MHP_OWNER_NAME_MAX, "a name fits");
	MHP_ASSERT_DEBUG(id < MHP_LISTENERS_MAX);
	reterr_why->cause = MHP_CAUSE_LISTENER;
	reterr_why->listener = (uint16_t)id;
	memset(reterr_why->text, 0, sizeof(reterr_why->text));
	memcpy(reterr_why->text, m->listeners[id].name, sizeof(m->listeners[id].name));
}

int
mhp__notify_going(struct mhp *m, const struct mhp_notice *notice, enum mhp_notice_kind cancel,
		  struct mhp_why *reterr_why)
{
	uint8_t ids[MHP_LISTENERS_MAX];
	unsigned nr = sort(m, ids);
	struct mhp_notice undo = *notice;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m)); /* so the table holds still */
	undo.kind = cancel;
	for (unsigned i = 0; i < nr; i++) {
		int err;

		mhp__log(&m->work.log.nr_listeners, i + 1);
		err = tell(m, ids[i], notice);
		if (err == 0)
			continue;
		refused_by(m, ids[i], reterr_why);
		/* The last one told hears first, as things are undone in reverse. */
		for (unsigned seen = i + 1; seen-- > 0;) {
			(void)tell(m, ids[seen], &undo);
			mhp__log(&m->work.log.nr_listeners, seen);
		}
		/* Errors are negative here; a listener that says 1 has refused all the same. */
		return err < 0 ? err : MHP_EBUSY;
	}
	return 0;
}

void
mhp__notify_first(struct mhp *m, const struct mhp_notice *notice, unsigned nr)
{
	uint8_t ids[MHP_LISTENERS_MAX];

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(nr <= m->nr_listeners);
	(void)sort(m, ids);
	for (unsigned i = 0; i < nr; i++)
		(void)tell(m, ids[i], notice);
}

void
mhp__notify(struct mhp *m, const struct mhp_notice *notice)
{
	mhp__notify_first(m, notice, m->nr_listeners);
}

unsigned
mhp__nr_told(const struct mhp *m, uint64_t start_pfn)
{
	const struct mhp__log *log = &m->work.log;

	return atomic_load(&log->telling_pfn1) == start_pfn + 1 ?
		       (unsigned)atomic_load(&log->nr_listeners) :
		       m->nr_listeners;
}
