/* SPDX-License-Identifier: MIT */
/*
 * owner.c - who pages belong to: the table of owners, and the engine's own entries in it.
 *
 * An entry with a name is in use. Two masks repeat what the allocator needs of the entries without
 * a lock: owners_live has a bit for each owner that a caller may allocate under, so never for one
 * of the engine's own; owners_movable has one for each owner whose pages can move. An owner is
 * complete before its live bit is set, and its live bit is cleared before the entry is. The caller
 * knows whether an owner still has pages: pages of a forgotten owner stay, cannot move, and are
 * reported.
 */
#include "tables/owner.h"

#include <memplug/page.h>

#include "base/mem.h"
#include "state/hotplug.h"
#include "state/seal.h"

_Static_assert(MHP_OWNERS_MAX <= 64, "the masks of owners are one word");
_Static_assert(MHP_OWNERS_MAX <= UINT16_MAX, "descriptors keep 16 bits of it");

static void
set_name(struct mhp__owner *owner, const char *name, size_t length)
{
	MHP_ASSERT_DEBUG(length != 0);
	MHP_ASSERT_DEBUG(length <= MHP_OWNER_NAME_MAX);
	memset(owner->name, 0, sizeof(owner->name));
	memcpy(owner->name, name, length);
}

/* 0: no name is given, it is empty, or longer than fits. It is refused rather than cut, since two
 * names that are cut alike could not be told apart in a report. */
size_t
mhp__name_length(const char *name)
{
	size_t length = 0;

	if (name == NULL)
		return 0;
	while (length <= MHP_OWNER_NAME_MAX && name[length] != '\0')
		length++;
	return length <= MHP_OWNER_NAME_MAX ? length : 0;
}

void
mhp__owners_init(struct mhp *m)
{
	static const char *const names[MHP_OWNER_FIRST] = {
		[MHP_OWNER_NONE] = "none",
		[MHP_OWNER_BAD] = "bad",
		[MHP_OWNER_MEMMAP] = "memmap",
		[MHP_OWNER_ROOM] = "room",
	};

	for (unsigned id = 0; id < MHP_OWNER_FIRST; id++)
		set_name(&m->owners[id], names[id], mhp__name_length(names[id]));
	mhp__tables_seal(m);
}

/* The allocator asks without a lock: acquire pairs with the release that makes an entry live, so an
 * owner that is known has its functions and its name. */
bool
mhp__owner_known(const struct mhp *m, unsigned owner)
{
	if (owner == MHP_OWNER_NONE || owner >= MHP_OWNERS_MAX)
		return false;
	if (owner < MHP_OWNER_FIRST)
		return true;
	return (atomic_load_explicit(&m->owners_live, memory_order_acquire) >> owner & 1U) != 0;
}

const struct mhp_movable_ops *
mhp__owner_ops(const struct mhp *m, unsigned owner, void **ret_ctx)
{
	if (owner < MHP_OWNER_FIRST || !mhp__owner_known(m, owner))
		return NULL;
	MHP_ASSERT_DEBUG(owner < MHP_OWNERS_MAX);
	*ret_ctx = m->owners[owner].ctx;
	return m->owners[owner].ops;
}

static unsigned
find_free(const struct mhp *m)
{
	unsigned id = MHP_OWNER_FIRST;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	while (id < MHP_OWNERS_MAX && m->owners[id].name[0] != '\0')
		id++;
	return id;
}

static void
put_bit(_Atomic uint64_t *mask, unsigned id, bool on)
{
	uint64_t bit = UINT64_C(1) << id;

	MHP_ASSERT_DEBUG(id >= MHP_OWNER_FIRST);
	MHP_ASSERT_DEBUG(id < MHP_OWNERS_MAX); /* INV 17 */
	if (on)
		atomic_fetch_or_explicit(mask, bit, memory_order_release);
	else
		atomic_fetch_and_explicit(mask, ~bit, memory_order_release);
}

int
mhp_owner_register(struct mhp *m, const char *name, const struct mhp_movable_ops *ops, void *ctx,
		   uint16_t *ret_owner)
{
	size_t length = mhp__name_length(name);
	unsigned id;
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	id = find_free(m);
	if (length == 0 || ret_owner == NULL ||
	    (ops != NULL && (!ops->isolate || !ops->migrate || !ops->putback))) {
		err = MHP_EINVAL;
	} else if (id == MHP_OWNERS_MAX) {
		err = MHP_ENOSPC;
	} else {
		m->owners[id].ops = ops;
		m->owners[id].ctx = ctx;
		set_name(&m->owners[id], name, length);
		MHP_ASSERT_DEBUG(!mhp__owner_known(m, id));
		put_bit(&m->owners_movable, id, ops != NULL);
		put_bit(&m->owners_live, id, true); /* last: the entry is complete now */
		mhp__tables_seal(m);
		*ret_owner = (uint16_t)id;
	}
	mhp__hotplug_unlock(m);
	return err;
}

int
mhp_owner_set_lost(struct mhp *m, uint16_t owner, mhp_owner_lost_fn *lost)
{
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	if (owner < MHP_OWNER_FIRST || !mhp__owner_known(m, owner)) {
		err = MHP_ENOENT;
	} else if (!mhp__owner_movable(m, owner)) {
		err = MHP_EINVAL;
	} else {
		m->owners[owner].lost = lost;
		mhp__tables_seal(m);
	}
	mhp__hotplug_unlock(m);
	return err;
}

int
mhp_owner_unregister(struct mhp *m, uint16_t owner)
{
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	if (owner < MHP_OWNER_FIRST || !mhp__owner_known(m, owner)) {
		err = MHP_ENOENT;
	} else {
		put_bit(&m->owners_live, owner, false);
		put_bit(&m->owners_movable, owner, false);
		memset(&m->owners[owner], 0, sizeof(m->owners[owner]));
		mhp__tables_seal(m);
	}
	mhp__hotplug_unlock(m);
	return err;
}

const char *
mhp_owner_name(const struct mhp *m, uint16_t owner)
{
	if (owner >= MHP_OWNERS_MAX || m->owners[owner].name[0] == '\0')
		return "?";
	return m->owners[owner].name;
}

/* ---- describing a page ---- */

/* Our own texts fit: they are a name, or a few words and a number. */
_Static_assert(MHP_OWNER_NAME_MAX < MHP_WHY_TEXT && MHP_WHY_TEXT >= 64, "room for our own texts");

/* There is no snprintf() in a freestanding core. Returns the length. */
static size_t
put_text(char *text, const char *from)
{
	size_t i = 0;

	for (; from[i] != '\0'; i++)
		text[i] = from[i];
	MHP_ASSERT_DEBUG(i < MHP_WHY_TEXT);
	text[i] = '\0';
	return i;
}

static void
put_number(char *text, uint64_t n)
{
	char digits[21];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	MHP_ASSERT_DEBUG(at < sizeof(digits) - 1);
	(void)put_text(text, digits + at);
}

/* Others read the text, so it ends within its room whatever the owner's function wrote. */
void
mhp__owner_describe(struct mhp *m, unsigned owner, uint64_t pfn, uint64_t cookie,
		    char text[MHP_WHY_TEXT])
{
	void *ctx = NULL;
	const struct mhp_movable_ops *ops = mhp__owner_ops(m, owner, &ctx);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	text[0] = '\0';
	if (ops != NULL && ops->describe != NULL) {
		ops->describe(ctx, pfn, cookie, text, MHP_WHY_TEXT);
		text[MHP_WHY_TEXT - 1] = '\0';
	} else if (owner == MHP_OWNER_MEMMAP) {
		put_number(text + put_text(text, "metadata of block "), cookie);
	} else {
		(void)put_text(text, mhp_owner_name(m, (uint16_t)owner));
	}
}
