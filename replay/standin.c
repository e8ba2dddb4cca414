/* SPDX-License-Identifier: MIT */
/*
 * standin.c - make the engine fail as it failed when it was recorded.
 *
 * A recording says which page was in the way, not what it was: a page of our own stands in for it,
 * at the same place, and does the same (refuses to be isolated, fails to move, or cannot move at
 * all). So do a listener that objects and a hole in the memory. Getting a page at one place takes
 * all that are free, keeps that one, and gives the others back.
 */
#include <stdlib.h>
#include <string.h>

#include "replay.h"
#include "sim.h"

/* ---- the owner of the page in the way ---- */

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	const struct mhp__standin *standin = ctx;
	(void)pfn, (void)order, (void)cookie;
	if (standin->cause == MHP_CAUSE_IN_FLIGHT)
		return MHP_EAGAIN;
	if (standin->cause == MHP_CAUSE_MIGRATE)
		return 0;
	return standin->error != MHP_EAGAIN ? standin->error : MHP_EBUSY;
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	const struct mhp__standin *standin = ctx;
	(void)moves, (void)nr_moves;
	*ret_done = 0;
	return standin->error;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static const struct mhp_movable_ops ops = {
	.isolate = isolate, .migrate = migrate, .putback = putback,
};

/* ---- the listener ---- */

static int
object(void *ctx, const struct mhp_notice *notice)
{
	const struct mhp__standin *standin = ctx;
	const struct mhp_geometry *geo = mhp_get_geometry(standin->m);
	bool going = notice->kind == MHP_GOING_ONLINE_NOTICE ||
		     notice->kind == MHP_GOING_OFFLINE_NOTICE;
	return going && standin->cause == MHP_CAUSE_LISTENER &&
	       notice->start_pfn >> geo->block_order == standin->block ? standin->error : 0;
}

int
mhp__standin_init(struct mhp__standin *standin, struct mhp *m, struct mhp_sim *sim)
{
	uint16_t listener;
	*standin = (struct mhp__standin){ .m = m, .sim = sim, .page_pfn = MHP_PFN_NONE };
	int err = mhp_owner_register(m, "movable stand-in", &ops, standin, &standin->movable);
	if (err == 0)
		err = mhp_owner_register(m, "unmovable stand-in", NULL, NULL, &standin->unmovable);
	return err == 0 ? mhp_listener_add(m, object, standin, 0, &listener) : err;
}

/* ---- a page at one place ---- */

struct pages {
	uint64_t *pfn;
	size_t nr, room;
};

static bool
keep(struct pages *pages, uint64_t pfn)
{
	if (pages->nr == pages->room) {
		size_t room = pages->room * 2 + 1024;
		uint64_t *larger = realloc(pages->pfn, room * sizeof(pages->pfn[0]));
		if (larger == NULL)
			return false;
		pages->pfn = larger;
		pages->room = room;
	}
	pages->pfn[pages->nr++] = pfn;
	return true;
}

/* Take pages of one order until one has the frame; false: there is none. */
static bool
take_order(struct mhp *m, struct mhp_page_req req, uint64_t want_pfn, struct pages *others)
{
	uint64_t pfn;
	while (mhp_page_alloc(m, req, &pfn) == 0) {
		uint64_t nr = UINT64_C(1) << req.order;
		if (want_pfn < pfn || want_pfn - pfn >= nr) {
			if (keep(others, pfn))
				continue;
			mhp_page_free(m, pfn);
			return false;
		}
		if (mhp_page_split(m, pfn, 0, NULL) != 0)
			return false;
		for (uint64_t i = 0; i < nr; i++)
			if (pfn + i != want_pfn)
				mhp_page_free(m, pfn + i);
		return true;
	}
	return false;
}

static bool
take_page(struct mhp *m, uint16_t owner, unsigned node, uint64_t want_pfn)
{
	struct pages others = { 0 };
	struct mhp_page_req req = { .owner = owner, .node = (uint8_t)node,
				    .flags = MHP_PAGE_THIS_NODE };
	bool found = false;
	for (unsigned order = mhp_get_geometry(m)->pageblock_order + 1U; order-- > 0 && !found;) {
		req.order = (uint8_t)order;
		found = take_order(m, req, want_pfn, &others);
	}
	for (size_t i = 0; i < others.nr; i++)
		mhp_page_free(m, others.pfn[i]);
	free(others.pfn);
	return found;
}

/* ---- all of them ---- */

static bool
put_page(struct mhp__standin *standin, const struct mhp_event *event)
{
	const struct mhp_geometry *geo = mhp_get_geometry(standin->m);
	struct mhp_frame frame;
	struct mhp_block_info info;
	uint16_t owner = standin->cause == MHP_CAUSE_UNMOVABLE ? standin->unmovable
							       : standin->movable;

	if (event->pfn == MHP_PFN_NONE)
		return false;
	frame = mhp_frame_peek(standin->m, event->pfn);
	if ((frame.state == MHP_FRAME_USED && frame.owner != MHP_OWNER_BAD) ||
	    frame.state == MHP_FRAME_METADATA)
		return true; /* metadata, of its block or another: in the way by itself */
	if (mhp_block_get(standin->m, (uint32_t)(event->pfn >> geo->block_order), &info) != 0 ||
	    !take_page(standin->m, owner, info.node, event->pfn))
		return false;
	standin->page_pfn = event->pfn;
	return true;
}

bool
mhp__standin_put(struct mhp__standin *standin, const struct mhp_event *event)
{
	struct mhp_phys start = { (uint64_t)event->cause_block *
				  (UINT64_C(1) << (mhp_get_geometry(standin->m)->block_order +
						   mhp_get_geometry(standin->m)->page_shift)) };

	standin->cause = (enum mhp_cause)event->cause;
	standin->error = event->error;
	standin->block = event->cause_block;
	switch (standin->cause) {
	case MHP_CAUSE_NONE:
	case MHP_CAUSE_STATE:
	case MHP_CAUSE_POLICY:
	case MHP_CAUSE_LISTENER:
		return true;
	case MHP_CAUSE_RAM:
		return event->error == MHP_EINVAL && /* what the simulator says about holes */
		       mhp_sim_add_hole(standin->sim, start, 1);
	case MHP_CAUSE_UNMOVABLE:
	case MHP_CAUSE_REFUSED:
	case MHP_CAUSE_MIGRATE:
	case MHP_CAUSE_IN_FLIGHT:
		return put_page(standin, event);
	case MHP_CAUSE_ROOM:
	case MHP_CAUSE_DEADLINE:
	case MHP_CAUSE_CANCELED:
	case MHP_CAUSE_INTERRUPTED:
		break;
	}
	return false;
}

void
mhp__standin_take(struct mhp__standin *standin)
{
	if (standin->page_pfn != MHP_PFN_NONE)
		mhp_page_free(standin->m, standin->page_pfn);
	standin->page_pfn = MHP_PFN_NONE;
	standin->cause = MHP_CAUSE_NONE;
	mhp_sim_clear_holes(standin->sim);
}
