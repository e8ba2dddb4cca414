/* SPDX-License-Identifier: MIT */
/*
 * migrate.c - move what is in use in a range somewhere else.
 *
 * A pass walks the range by heads. Movable pages are isolated by their owner and get a target from
 * the room; pages that follow each other at both ends join into one move, and a batch of moves goes
 * to the owner in one call. What the owner did is committed descriptor by descriptor, what it did
 * not do is put back. The pass never waits: what could not move now is counted, and the caller
 * decides whether there will be another one.
 */
#include "migrate.h"

#include "owner.h"

#define BATCH_MOVES 16U
/* A writer to a page that moves is held up for at most one move: keep them at a pageblock's
 * size. */
#define MOVE_PAGES (UINT64_C(1) << MHP_PAGEBLOCK_ORDER_MAX)

struct batch {
	struct mhp_move move[BATCH_MOVES];
	unsigned nr;
	unsigned owner;
};

static void
note_error(struct mhp__mover *mover, enum mhp_cause cause, int err, const struct mhp_chunk *chunk)
{
	if (mover->error.cause != MHP_CAUSE_NONE)
		return;
	mover->error.cause = cause;
	mover->error.err = err < 0 ? err : MHP_EBUSY; /* owners may say anything */
	mover->error.chunk = *chunk;
}

/* ---- the end of a batch ---- */

/* The page at src lives at its target now; what is there is no longer ours to look at. */
static void
commit_page(struct mhp *m, const struct mhp_chunk *chunk)
{
	uint64_t src_pfn = chunk->pfn;

	mhp__page_end(mhp__pfn_to_page(m, src_pfn));
	mhp__zone_give(m, chunk->order, 1, &src_pfn);
}

static void
commit_move(struct mhp__mover *mover, const struct mhp_move *move)
{
	uint64_t cursor = move->src_pfn;
	struct mhp_chunk chunk;

	while (mhp__pages_next(mover->m, &cursor, move->src_pfn + move->nr_pages, &chunk))
		commit_page(mover->m, &chunk);
	mover->moved += move->nr_pages;
}

/* Undo what isolating and taking a target did. Returns frames that stay in use. */
static uint64_t
undo_move(struct mhp__mover *mover, const struct mhp_owner *owner, const struct mhp_move *move,
	  int err)
{
	uint64_t cursor = move->src_pfn;
	struct mhp_chunk chunk;

	while (mhp__pages_next(mover->m, &cursor, move->src_pfn + move->nr_pages, &chunk)) {
		owner->ops->putback(owner->ctx, chunk.pfn, chunk.order, chunk.cookie);
		mhp__room_put(mover->m, &mover->room, chunk.order,
			      chunk.pfn - move->src_pfn + move->dst_pfn);
		note_error(mover, MHP_CAUSE_MIGRATE, err, &chunk);
	}
	return move->nr_pages;
}

/* Hand the batch to its owner. Returns frames that stay in use. */
static uint64_t
flush(struct mhp__mover *mover, struct batch *batch)
{
	const struct mhp_owner *owner = &mover->m->owners[batch->owner];
	uint64_t left = 0;
	unsigned done = 0;
	int err;

	if (batch->nr == 0)
		return 0;
	err = owner->ops->migrate(owner->ctx, batch->move, batch->nr, &done);
	if (done > batch->nr)
		done = batch->nr;
	for (unsigned i = 0; i < done; i++)
		commit_move(mover, &batch->move[i]);
	for (unsigned i = done; i < batch->nr; i++)
		left += undo_move(mover, owner, &batch->move[i], err != 0 ? err : MHP_EBUSY);
	batch->nr = 0;
	return left;
}

/* ---- filling a batch ---- */

static bool
extends(const struct batch *batch, const struct mhp_chunk *chunk, uint64_t dst_pfn)
{
	const struct mhp_move *last = &batch->move[batch->nr - 1];

	return last->nr_pages + (UINT64_C(1) << chunk->order) <= MOVE_PAGES &&
	       last->src_pfn + last->nr_pages == chunk->pfn &&
	       last->dst_pfn + last->nr_pages == dst_pfn;
}

static uint64_t
enlist(struct mhp__mover *mover, struct batch *batch, const struct mhp_chunk *chunk,
       uint64_t dst_pfn)
{
	uint64_t nr_pages = UINT64_C(1) << chunk->order;
	uint64_t left = 0;

	if (batch->nr != 0 && extends(batch, chunk, dst_pfn)) {
		batch->move[batch->nr - 1].nr_pages += nr_pages;
		return 0;
	}
	if (batch->nr == BATCH_MOVES)
		left = flush(mover, batch);
	batch->owner = chunk->owner;
	batch->move[batch->nr++] = (struct mhp_move){ chunk->pfn, dst_pfn, nr_pages };
	return left;
}

static bool
find_target(struct mhp__mover *mover, unsigned order, uint64_t *ret_pfn)
{
	uint64_t missing;

	if (mhp__room_take(mover->m, &mover->room, order, ret_pfn))
		return true;
	/* Pages that arrived after the room was counted. */
	return mover->may_fill &&
	       mhp__room_fill(mover->m, &mover->room, mover->node, order, 1, &missing) &&
	       mhp__room_take(mover->m, &mover->room, order, ret_pfn);
}

/* Isolate one movable page and give it a target. Returns frames that stay in use. */
static uint64_t
prepare_page(struct mhp__mover *mover, struct batch *batch, const struct mhp_chunk *chunk)
{
	const struct mhp_owner *owner = &mover->m->owners[chunk->owner];
	uint64_t dst_pfn;
	int err = owner->ops->isolate(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);

	if (err != 0) {
		note_error(mover, err == MHP_EAGAIN ? MHP_CAUSE_IN_FLIGHT : MHP_CAUSE_REFUSED,
			   err, chunk);
		return UINT64_C(1) << chunk->order;
	}
	if (!find_target(mover, chunk->order, &dst_pfn)) {
		owner->ops->putback(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);
		note_error(mover, MHP_CAUSE_ROOM, MHP_ENOMEM, chunk);
		return UINT64_C(1) << chunk->order;
	}
	/* The target is the owner's before the owner can know of it: from the moment when migrate()
	 * has pointed somebody to it, it may be freed by whoever runs elsewhere. */
	mhp__page_begin(mhp__pfn_to_page(mover->m, dst_pfn), chunk->owner, chunk->order,
			chunk->cookie);
	return enlist(mover, batch, chunk, dst_pfn);
}

static uint64_t
pass_chunk(struct mhp__mover *mover, struct batch *batch, const struct mhp_chunk *chunk)
{
	uint64_t left = 0;

	if (chunk->owner == MHP_OWNER_BAD)
		return 0;
	if (mhp__owner_movable(mover->m, chunk->owner)) {
		if (batch->nr != 0 && batch->owner != chunk->owner)
			left = flush(mover, batch);
		return left + prepare_page(mover, batch, chunk);
	}
	if (chunk->owner == MHP_OWNER_NONE)
		note_error(mover, MHP_CAUSE_IN_FLIGHT, MHP_EAGAIN, chunk);
	else
		note_error(mover, MHP_CAUSE_UNMOVABLE, MHP_EBUSY, chunk);
	return UINT64_C(1) << chunk->order;
}

uint64_t
mhp__move_pass(struct mhp__mover *mover, uint64_t start_pfn, uint64_t end_pfn)
{
	uint64_t cursor = start_pfn, left = 0;
	struct mhp_chunk chunk;
	struct batch batch;

	batch.nr = 0;
	batch.owner = MHP_OWNER_NONE;
	while (mhp__pages_next(mover->m, &cursor, end_pfn, &chunk)) {
		left += pass_chunk(mover, &batch, &chunk);
		/* Once a batch, when the next one begins. */
		if (batch.nr <= 1 && mover->stop(mover)) {
			left++; /* at least what comes next was not looked at */
			break;
		}
	}
	return left + flush(mover, &batch);
}
