/* SPDX-License-Identifier: MIT */
/*
 * leave.c - the public calls by which blocks leave: mhp_empty(), mhp_offline(), mhp_remove().
 *
 * All three are one change with the same sets, bounds, dry run and answer. They differ in which
 * states of a block they accept and in what they do once the blocks are marked; struct way says it.
 * mhp_empty() is an offline that ends before its commit: its blocks are isolated while their pages
 * move, so that what has left stays away, and open again afterwards. Their state does not change,
 * so it asks no listener.
 */
#include "blocks/block.h"
#include "physical/physical.h"
#include "state/hotplug.h"
#include "state/runs.h"

struct way {
	enum mhp_work work;
	int (*mark)(struct mhp *m, struct mhp_blocks blocks, const struct mhp_offline_opts *opts,
		    struct mhp_why *why);
	/* The step that is done to them; on error they are as before. */
	int (*act)(struct mhp *m, const struct mhp_offline_opts *opts, struct mhp_why *why);
};

/* ---- which blocks ---- */

/* All of them, which must be online. */
static int
mark_online(struct mhp *m, struct mhp_blocks blocks, const struct mhp_offline_opts *opts,
	    struct mhp_why *why)
{
	return mhp__leaving_add(m, blocks, false, opts->as_of, why);
}

/* Those that are there; there must be one. */
static int
mark_present(struct mhp *m, struct mhp_blocks blocks, const struct mhp_offline_opts *opts,
	     struct mhp_why *why)
{
	int err = mhp__blocks_check(m, blocks);
	uint32_t block, end;

	if (err != 0)
		return err;
	end = blocks.first + blocks.count;
	block = mhp__next_present(m, blocks.first, end);
	if (block == end)
		return mhp__why_state(why, blocks.first, MHP_ENOENT);
	while (block < end && err == 0) {
		uint32_t run_end = mhp__run_end(m, block);
		run_end = run_end < end ? run_end : end;
		if (opts->offline_only && m->blocks[block].state != MHP_OFFLINE)
			return mhp__why_state(why, block, MHP_EBUSY);
		err = mhp__leaving_add(m, (struct mhp_blocks){ block, run_end - block }, true,
				       opts->as_of, why);
		block = mhp__next_present(m, run_end, end);
	}
	return err;
}

/* ---- what is done to them ---- */

static int
prepare_and_commit(struct mhp *m, const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	int err = mhp__leaving_prepare(m, opts, why);

	MHP_ASSERT_DEBUG(!opts->dry_run);
	if (err == 0)
		mhp__leaving_commit(m, opts->scrub);
	return err;
}

static int
leave_locked(struct mhp *m, const struct way *way, const struct mhp_blocks *sets, unsigned nr_sets,
	     const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	int err = nr_sets == 0 ? MHP_EINVAL : 0;

	MHP_ASSERT_DEBUG(way->mark != NULL);
	MHP_ASSERT_DEBUG(way->act != NULL);
	mhp__work_begin(m, opts->dry_run ? MHP_WORK_DRY_RUN : way->work, opts->deadline_ms);
	for (unsigned i = 0; i < nr_sets && err == 0; i++)
		err = way->mark(m, sets[i], opts, why);
	if (err == 0)
		err = opts->dry_run ? mhp__leaving_foresee(m, opts->to_nodes, why)
				    : way->act(m, opts, why);
	mhp__leaving_clear(m);
	mhp__work_end(m);
	return err;
}

static int
leave(struct mhp *m, const struct way *way, const struct mhp_blocks *sets, unsigned nr_sets,
      const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	static const struct mhp_offline_opts none;
	struct mhp_why why;
	int err = mhp__hotplug_lock(m);

	mhp__why_clear(&why);
	if (err == 0) {
		err = leave_locked(m, way, sets, nr_sets, opts != NULL ? opts : &none, &why);
		mhp__hotplug_unlock(m);
	}
	if (err != 0 && reterr_why != NULL)
		*reterr_why = why;
	return err;
}

/* ---- the calls ---- */

int
mhp_empty(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
	  const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	static const struct way empty = { MHP_WORK_MOVE, mark_online, mhp__leaving_empty };

	return leave(m, &empty, sets, nr_sets, opts, reterr_why);
}

int
mhp_offline(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
	    const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	static const struct way offline = { MHP_WORK_OFFLINE, mark_online, prepare_and_commit };

	return leave(m, &offline, sets, nr_sets, opts, reterr_why);
}

int
mhp_block_offline(struct mhp *m, uint32_t block, const struct mhp_offline_opts *opts,
		  struct mhp_why *reterr_why)
{
	struct mhp_blocks blocks = { block, 1 };

	return mhp_offline(m, &blocks, 1, opts, reterr_why);
}

int
mhp_remove(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
	   const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	static const struct way remove = { MHP_WORK_REMOVE, mark_present, prepare_and_commit };

	return leave(m, &remove, sets, nr_sets, opts, reterr_why);
}
