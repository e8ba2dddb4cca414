/* SPDX-License-Identifier: MIT */
/*
 * carve.c - take a frame with a memory error out of use while its block stays online.
 *
 * Remembering comes first and does not depend on what follows: the table outlives the block. A free
 * frame is taken on the spot; one in a cache after the caches are drained; one in use after its
 * page has moved, with the pageblock isolated meanwhile so that nobody takes it in between.
 */
#include <memplug/bad.h>

#include "base/mem.h"
#include "pages/attach.h"
#include "pages/cache.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "ranges/migrate.h"
#include "state/hotplug.h"
#include "state/trace.h"
#include "tables/bad.h"
#include "tables/owner.h"

/* The page that the frame is of, or (it was freed meanwhile) one before it; owner NONE: neither. */
static void
find_page(struct mhp *m, uint64_t pfn, struct mhp__chunk *ret_chunk)
{
	uint64_t start_pfn = pfn & ~((UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) - 1);
	const struct mhp__chunk *chunk;
	struct mhp__walk walk;

	MHP_ASSERT_DEBUG(pfn < mhp__max_pfn(m));
	*ret_chunk = (struct mhp__chunk){ .owner = MHP_OWNER_NONE };
	mhp__walk_begin(&walk, start_pfn, pfn + 1 - start_pfn);
	while ((chunk = mhp__walk_next(m, &walk)) != NULL)
		*ret_chunk = *chunk;
}

/* Move the page away from under pfn. */
static void
move_off(struct mhp *m, const struct mhp__zone *zone, const struct mhp__chunk *chunk)
{
	struct mhp__mover mover;
	uint64_t missing;

	MHP_ASSERT_DEBUG(mhp__owner_movable(m, chunk->owner));
	memset(&mover, 0, sizeof(mover));
	mover.m = m;
	mover.node = zone->node;
	mhp__room_init(&mover.room);
	if (!mhp__room_fill(m, &mover.room, zone->node, chunk->order, 1, &missing)) {
		mhp_drain_caches(m); /* they may hold the room */
		(void)mhp__room_fill(m, &mover.room, zone->node, chunk->order, missing, &missing);
	}
	if (missing == 0)
		(void)mhp__move_pass(&mover, chunk->pfn, UINT64_C(1) << chunk->order);
	mhp__room_empty(m, &mover.room);
	m->pages_moved += mover.moved;
}

/* The frame is in use, or in a cache. */
static bool
take_used(struct mhp *m, struct mhp__zone *zone, uint64_t pfn)
{
	uint64_t start_pfn = pfn & ~((UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) - 1);
	uint64_t nr_pages = UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m);
	struct mhp__chunk chunk;
	bool taken;

	MHP_ASSERT_DEBUG(mhp__zone_of(m, pfn) == zone);
	mhp__still_begin(m); /* a page moves, and nothing else changes */
	mhp__pages_isolate(m, start_pfn, nr_pages);
	mhp__cache_drain(m, zone);
	taken = mhp__pages_take_bad(m, pfn);
	if (!taken) {
		find_page(m, pfn, &chunk);
		if (mhp__owner_movable(m, chunk.owner))
			move_off(m, zone, &chunk);
		taken = mhp__pages_take_bad(m, pfn);
	}
	mhp__pages_open(m, start_pfn, nr_pages);
	mhp__still_end(m);
	return taken;
}

static int
carve(struct mhp *m, uint64_t pfn)
{
	struct mhp__zone *zone = mhp__zone_of(m, pfn);

	MHP_ASSERT_DEBUG(mhp__bad_in(m, pfn, pfn + 1) == 1); /* remembered before it is taken */
	if (zone == NULL)
		return mhp_frame_peek(m, pfn).state == MHP_FRAME_ABSENT ? 0 : MHP_EBUSY;
	/* A frame that was forgotten is still out of use, and only has to be counted again. */
	if (mhp_frame_peek(m, pfn).owner != MHP_OWNER_BAD && !mhp__pages_take_bad(m, pfn) &&
	    !take_used(m, zone, pfn)) {
		int err = mhp__work_stop(m);
		return err == MHP_EINTR || err == MHP_ECANCELED ? err : MHP_EBUSY;
	}
	MHP_ASSERT_DEBUG(mhp_frame_peek(m, pfn).owner == MHP_OWNER_BAD);
	MHP_ASSERT_DEBUG(atomic_load(&zone->managed) != 0);
	atomic_fetch_sub_explicit(&zone->managed, 1, memory_order_relaxed);
	return 0;
}

/* Was a frame remembered before, and yet is still in use? */
static bool
is_left(struct mhp *m, uint64_t pfn)
{
	return mhp__zone_of(m, pfn) != NULL && mhp_frame_peek(m, pfn).owner != MHP_OWNER_BAD;
}

int
mhp_bad_add(struct mhp *m, uint64_t pfn)
{
	struct mhp_event event;
	uint64_t started_ns;
	int err;

	if (pfn >= mhp__max_pfn(m))
		return MHP_ENXIO;
	err = mhp__hotplug_lock(m);
	if (err != 0)
		return err;
	started_ns = m->ops->now_ns(m->port);
	mhp__work_begin(m, MHP_WORK_BAD_PAGE, 0);
	mhp__work_about(m, (struct mhp_blocks){ mhp__pfn_block(m, pfn), 1 });
	err = mhp__bad_insert(m, pfn);
	if (err == 0 || (err == MHP_EHWPOISON && is_left(m, pfn))) {
		err = carve(m, pfn);
		event = mhp__event_page(m, MHP_EV_BAD_PAGE, pfn, err);
		mhp__trace(m, &event, started_ns);
	}
	mhp__work_end(m);
	mhp__hotplug_unlock(m);
	return err;
}

/* A frame that is out of use stays so until its block comes online again. It is no bad frame any
 * more, though, so the zone manages it: managed is present less the bad frames (R20). */
static void
account_forgotten(struct mhp *m, uint64_t pfn)
{
	struct mhp__zone *zone = mhp__zone_of(m, pfn);

	if (zone != NULL && mhp_frame_peek(m, pfn).owner == MHP_OWNER_BAD)
		atomic_fetch_add_explicit(&zone->managed, 1, memory_order_relaxed);
}

int
mhp_bad_remove(struct mhp *m, uint64_t pfn)
{
	struct mhp_event event;
	int err = pfn < mhp__max_pfn(m) ? mhp__hotplug_lock(m) : MHP_ENXIO;

	if (err != 0)
		return err;
	err = mhp__bad_delete(m, pfn);
	if (err == 0) {
		account_forgotten(m, pfn);
		event = mhp__event_page(m, MHP_EV_GOOD_PAGE, pfn, 0);
		mhp__trace(m, &event, 0);
	}
	mhp__hotplug_unlock(m);
	return err;
}
