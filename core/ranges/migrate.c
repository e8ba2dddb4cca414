/* SPDX-License-Identifier: MIT */
/*
 * migrate.c - move what is in use in a range somewhere else.
 *
 * A pass walks the range by heads. Each movable page is isolated by its owner and gets a target
 * from the room; pages that follow each other at both ends join into one move, and a batch of moves
 * goes to the owner in one call. Moves that the owner did are committed, and their frames go back
 * move by move; those that it did not do are put back page by page. The pass never waits: it counts
 * the pages that could not move now, and the caller decides whether there will be another pass.
 */
#include "ranges/migrate.h"

#include "memmap/memmap.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "tables/owner.h"

#define BATCH_MOVES 16U
/* A move holds up writers to its pages until it ends, so no move is larger than a pageblock. */
#define MOVE_PAGES (UINT64_C(1) << MHP_PAGEBLOCK_ORDER_MAX)

/* A pass under way. */
struct pass {
	struct mhp__mover *mover;
	struct mhp__walk walk;
	struct mhp_move move[BATCH_MOVES]; /* isolated, with targets; all of one owner */
	unsigned nr_moves;
	unsigned owner;
	uint64_t left;                 /* frames that stay in use */
};

static void
note_error(struct mhp__mover *mover, enum mhp_cause cause, int err, const struct mhp__chunk *chunk)
{
	MHP_ASSERT_DEBUG(err != 0);
	if (mover->error.cause != MHP_CAUSE_NONE)
		return;
	mover->error.cause = cause;
	mover->error.err = err < 0 ? err : MHP_EBUSY; /* owners may say anything */
	mover->error.chunk = *chunk;
}

/* This page stays in use for now. */
static void
leave(struct pass *pass, enum mhp_cause cause, int err, const struct mhp__chunk *chunk)
{
	MHP_ASSERT_DEBUG(cause != MHP_CAUSE_NONE);
	note_error(pass->mover, cause, err, chunk);
	pass->left += UINT64_C(1) << chunk->order;
}

/* ---- the end of a batch ---- */

/* The first page at or after *pfn of a move; moves *pfn past it. Its owner has isolated it, so
 * its descriptor needs no lock. Skips frames that the owner has freed against the rules. */
static bool
next_held(const struct mhp *m, uint64_t *pfn, uint64_t end_pfn, struct mhp__chunk *ret_chunk)
{
	while (*pfn < end_pfn) {
		mhp__chunk_read(m, *pfn, ret_chunk);
		*pfn += UINT64_C(1) << ret_chunk->order;
		if (ret_chunk->owner != MHP_OWNER_NONE)
			return true;
	}
	return false;
}

/* Their pageblocks are isolated, so nobody else has them until this is over. */
static void
log_giving(struct mhp *m, uint64_t pfn, uint64_t end_pfn)
{
	mhp__log(&m->work.log.giving_end, 0);
	mhp__log(&m->work.log.giving_pfn, pfn);
	mhp__log(&m->work.log.giving_end, end_pfn);
}

/* The pages are at their targets now, and their owner may free them there: the targets' descriptors
 * are no longer ours to read. */
static void
commit_move(struct mhp__mover *mover, const struct mhp_move *move)
{
	struct mhp *m = mover->m;
	uint64_t pfn = move->src_pfn, end_pfn = pfn + move->nr_pages;
	uint64_t run = pfn, run_end = pfn; /* frames that are nobody's, to give back as one */
	struct mhp__chunk chunk;

	MHP_ASSERT_DEBUG(move->nr_pages != 0);
	log_giving(m, pfn, end_pfn);
	while (next_held(m, &pfn, end_pfn, &chunk)) {
		mhp__page_end(mhp__pfn_to_page(m, chunk.pfn));
		if (chunk.pfn != run_end) {
			mhp__zone_give_range(m, run, run_end - run);
			run = chunk.pfn;
		}
		run_end = pfn;
	}
	mhp__zone_give_range(m, run, run_end - run);
	log_giving(m, 0, 0);
	mover->moved += move->nr_pages;
	mhp__work_progress(m, mover->moved, mhp__mover_left(mover));
}

/* Undo what isolating and taking a target did. Every target goes back to the room, also that of a
 * page which its owner has freed against the rules: nothing points to the target yet, so its
 * descriptor is still ours, and tells its size. */
static void
undo_move(struct pass *pass, const struct mhp__owner *owner, const struct mhp_move *move, int err)
{
	struct mhp__mover *mover = pass->mover;
	uint64_t nr_pages;

	MHP_ASSERT_DEBUG(err != 0);
	for (uint64_t i = 0; i < move->nr_pages; i += nr_pages) {
		struct mhp__chunk chunk, target;
		mhp__chunk_read(mover->m, move->src_pfn + i, &chunk);
		mhp__chunk_read(mover->m, move->dst_pfn + i, &target);
		MHP_ASSERT(target.owner == pass->owner);
		nr_pages = UINT64_C(1) << target.order;
		mhp__room_put(mover->m, &mover->room, target.order, target.pfn);
		if (chunk.owner == MHP_OWNER_NONE)
			continue;
		owner->ops->putback(owner->ctx, chunk.pfn, chunk.order, chunk.cookie);
		leave(pass, MHP_CAUSE_MIGRATE, err, &chunk);
	}
}

/* Hand the batch to its owner. */
static void
flush(struct pass *pass)
{
	const struct mhp__owner *owner = &pass->mover->m->owners[pass->owner];
	unsigned done = 0;
	int err;

	if (pass->nr_moves == 0)
		return;
	MHP_ASSERT_DEBUG(owner->ops != NULL);
	MHP_ASSERT_DEBUG(pass->nr_moves <= BATCH_MOVES);
	err = owner->ops->migrate(owner->ctx, pass->move, pass->nr_moves, &done);
	if (done > pass->nr_moves)
		done = pass->nr_moves;
	for (unsigned i = 0; i < done; i++)
		commit_move(pass->mover, &pass->move[i]);
	for (unsigned i = done; i < pass->nr_moves; i++)
		undo_move(pass, owner, &pass->move[i], err != 0 ? err : MHP_EBUSY);
	pass->nr_moves = 0;
	mhp__walk_refresh(&pass->walk);
}

/* ---- filling a batch ---- */

static bool
extends(const struct mhp_move *last, const struct mhp__chunk *chunk, uint64_t dst_pfn)
{
	MHP_ASSERT_DEBUG(last->nr_pages != 0);
	MHP_ASSERT_DEBUG(last->nr_pages <= MOVE_PAGES);
	return last->nr_pages + (UINT64_C(1) << chunk->order) <= MOVE_PAGES &&
	       last->src_pfn + last->nr_pages == chunk->pfn &&
	       last->dst_pfn + last->nr_pages == dst_pfn;
}

static void
enlist(struct pass *pass, const struct mhp__chunk *chunk, uint64_t dst_pfn)
{
	uint64_t nr_pages = UINT64_C(1) << chunk->order;

	MHP_ASSERT_DEBUG(pass->owner == chunk->owner);
	if (pass->nr_moves != 0 && extends(&pass->move[pass->nr_moves - 1], chunk, dst_pfn)) {
		pass->move[pass->nr_moves - 1].nr_pages += nr_pages;
		return;
	}
	if (pass->nr_moves == BATCH_MOVES)
		flush(pass);
	pass->move[pass->nr_moves++] = (struct mhp_move){ chunk->pfn, dst_pfn, nr_pages };
}

/* The target is the owner's before the owner knows of it: as soon as migrate() has made it known, a
 * thread that runs elsewhere may free it. */
static bool
find_target(struct mhp__mover *mover, const struct mhp__chunk *chunk, uint64_t *ret_pfn)
{
	uint64_t missing;

	MHP_ASSERT_DEBUG(chunk->order <= MHP_PAGEBLOCK_ORDER(mover->m));
	if (mhp__room_take(mover->m, &mover->room, chunk, ret_pfn))
		return true;
	/* The room ran out: pages arrived after it was counted. */
	if (!mover->may_fill ||
	    !mhp__room_fill(mover->m, &mover->room, mover->node, chunk->order, 1, &missing))
		return false;
	return mhp__room_take(mover->m, &mover->room, chunk, ret_pfn);
}

/* A batch is of one owner, and the log says whose pages move. */
static void
turn_to(struct pass *pass, unsigned owner)
{
	flush(pass);
	pass->owner = owner;
	mhp__log(&pass->mover->m->work.log.owner, owner);
}

/* Isolate one movable page and give it a target. */
static void
prepare_page(struct pass *pass, const struct mhp__chunk *chunk)
{
	struct mhp__mover *mover = pass->mover;
	const struct mhp__owner *owner = &mover->m->owners[chunk->owner];
	int err = owner->ops->isolate(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);
	uint64_t dst_pfn;

	MHP_ASSERT_DEBUG(pass->owner == chunk->owner);
	MHP_ASSERT_DEBUG(mhp__owner_movable(mover->m, chunk->owner));
	if (err != 0) {
		leave(pass, err == MHP_EAGAIN ? MHP_CAUSE_IN_FLIGHT : MHP_CAUSE_REFUSED, err,
		      chunk);
		return;
	}
	if (!find_target(mover, chunk, &dst_pfn)) {
		owner->ops->putback(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);
		leave(pass, MHP_CAUSE_ROOM, MHP_ENOMEM, chunk);
		return;
	}
	enlist(pass, chunk, dst_pfn);
}

static bool
is_excepted(const struct mhp__mover *mover, const struct mhp__chunk *chunk)
{
	/* Untaken: movers without exceptions have seen that every page of their range can move. */
	return mover->excepts != NULL && mover->excepts(mover->m, chunk->owner, chunk->cookie);
}

static void
pass_chunk(struct pass *pass, const struct mhp__chunk *chunk)
{
	struct mhp *m = pass->mover->m;

	MHP_ASSERT_DEBUG(chunk->owner < MHP_OWNERS_MAX);
	if (mhp__owner_movable(m, chunk->owner)) {
		if (pass->owner != chunk->owner)
			turn_to(pass, chunk->owner);
		prepare_page(pass, chunk);
	} else if (chunk->owner == MHP_OWNER_NONE) {
		leave(pass, MHP_CAUSE_IN_FLIGHT, MHP_EAGAIN, chunk);
	} else if (chunk->owner != MHP_OWNER_BAD && !is_excepted(pass->mover, chunk)) {
		leave(pass, MHP_CAUSE_UNMOVABLE, MHP_EBUSY, chunk);
	}
}

uint64_t
mhp__move_pass(struct mhp__mover *mover, uint64_t start_pfn, uint64_t nr_pages)
{
	const struct mhp__chunk *chunk;
	struct pass pass;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(mover->m));
	pass.mover = mover;
	pass.nr_moves = 0;
	pass.owner = MHP_OWNER_NONE;
	pass.left = 0;
	mhp__walk_begin(&pass.walk, start_pfn, nr_pages);
	while ((chunk = mhp__walk_next(mover->m, &pass.walk)) != NULL) {
		if (mhp__walk_is_fresh(&pass.walk) && mhp__work_stop(mover->m) != 0) {
			leave(&pass, MHP_CAUSE_IN_FLIGHT, MHP_EAGAIN, chunk);
			break;
		}
		pass_chunk(&pass, chunk);
	}
	turn_to(&pass, MHP_OWNER_NONE);
	MHP_ASSERT_DEBUG((pass.left != 0) <= (mover->error.cause != MHP_CAUSE_NONE));
	return pass.left;
}
