/* SPDX-License-Identifier: MIT */
/*
 * events.c - the public calls about events: announcing a block, and reading between two events.
 *
 * An announcement is an event about a block to which nothing happened. Nothing is under way between
 * two events, so whatever is read there belongs to the last one. state/trace.c knows the fields of
 * an event, and how it gets its number.
 */
#include "state/hotplug.h"
#include "state/trace.h"

int
mhp_block_announce(struct mhp *m, uint32_t block, uint32_t action)
{
	struct mhp_event event;
	int err;

	if (block >= m->geo.nr_blocks)
		return MHP_ENXIO;
	err = mhp__hotplug_lock(m);
	if (err != 0)
		return err;
	event = mhp__event(MHP_EV_ANNOUNCE, (struct mhp_blocks){ block, 1 });
	event.node = m->blocks[block].node;
	event.flags = action;
	/* Under the lock: a block that is there now is there when the event is told. */
	if (m->blocks[block].state == MHP_ABSENT)
		err = MHP_ENOENT;
	else
		mhp__trace(m, &event, 0);
	mhp__hotplug_unlock(m);
	return err;
}

/* An event about no block. */
static int
announce_bytes(struct mhp *m, enum mhp_event_kind kind, uint64_t bytes, uint64_t other_bytes,
	       const char *text)
{
	struct mhp_event event;
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	event = mhp__event(kind, (struct mhp_blocks){ 0, 0 });
	event.pages = bytes >> m->geo.page_shift;
	if (other_bytes != 0)
		event.pfn = other_bytes >> m->geo.page_shift;
	event.text = text;
	mhp__trace(m, &event, 0);
	mhp__hotplug_unlock(m);
	return 0;
}

int
mhp_tier_announce(struct mhp *m, unsigned node, uint64_t pages, int error, const char *text)
{
	struct mhp_event event;
	int err = node < m->geo.nr_nodes ? mhp__hotplug_lock(m) : MHP_EINVAL;

	if (err != 0)
		return err;
	event = mhp__event(MHP_EV_TIER, (struct mhp_blocks){ 0, 0 });
	event.node = (uint8_t)node;
	event.pages = pages;
	event.error = error;
	event.text = text;
	mhp__trace(m, &event, 0);
	mhp__hotplug_unlock(m);
	return 0;
}

int
mhp_limit_announce(struct mhp *m, uint64_t max_bytes, const char *text)
{
	return announce_bytes(m, MHP_EV_LIMIT, max_bytes, 0, text);
}

int
mhp_follow_announce(struct mhp *m, uint64_t limit_bytes, uint64_t safe_bytes, const char *text)
{
	return announce_bytes(m, MHP_EV_FOLLOW, safe_bytes, limit_bytes, text);
}

/* A thread that holds the hotplug lock is in the middle of a change, where there is no "between". A
 * reader that was let in while things hold still may read more of them from fn. */
int
mhp_between_events(struct mhp *m, void (*fn)(void *ctx, uint64_t last_seq), void *ctx)
{
	enum mhp__reader reader = mhp__reader_begin(m);

	if (reader == MHP_READER_OWN)
		return MHP_EDEADLK;
	if (reader == MHP_READER_STILL)
		mhp__reader_nest(m);
	fn(ctx, m->event_seq);
	if (reader == MHP_READER_STILL)
		mhp__reader_unnest(m);
	mhp__reader_end(m, reader);
	return 0;
}
