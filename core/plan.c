/* SPDX-License-Identifier: MIT */
/*
 * plan.c - several changes as one.
 *
 * A commit goes through the steps in phases: adds, coming online, leaving; first everything that
 * may fail, for all steps, then everything that cannot. Each phase can be taken back exactly: an
 * add by removing what it added, coming online and leaving by the abort half of their layer. What
 * the plan adds comes into use only after everything that leaves is empty, so it is never room for
 * that.
 */
#include <memplug/plan.h>

#include "block.h"
#include "mem.h"
#include "physical.h"

struct run {
	struct mhp *m;
	const struct mhp_step *steps;
	unsigned nr_steps;
	struct mhp_plan_answer *answer;
	struct mhp__planned_pages planned; /* what earlier steps bring online */
};

/* Do fn for each step of a kind; on error say which, and how many were done. */
typedef int step_fn(struct run *run, const struct mhp_step *step);

static int
for_each(struct run *run, unsigned kinds, step_fn *fn, unsigned *ret_done)
{
	for (unsigned i = 0; i < run->nr_steps; i++) {
		int err = 0;
		if ((kinds >> run->steps[i].kind & 1U) != 0)
			err = fn(run, &run->steps[i]);
		if (err != 0) {
			run->answer->failed_step = i;
			*ret_done = i;
			return err;
		}
	}
	*ret_done = run->nr_steps;
	return 0;
}

static void
for_each_back(struct run *run, unsigned done, unsigned kinds,
	      void (*fn)(struct run *run, const struct mhp_step *step))
{
	while (done-- > 0)
		if ((kinds >> run->steps[done].kind & 1U) != 0)
			fn(run, &run->steps[done]);
}

#define KIND(kind) (1U << (kind))
#define KINDS_LEAVE (KIND(MHP_STEP_OFFLINE) | KIND(MHP_STEP_REMOVE))

/* ---- is the plan well formed? ---- */

static bool
overlap(struct mhp_blocks a, struct mhp_blocks b)
{
	return a.first < b.first + b.count && b.first < a.first + a.count;
}

/* A block may be in one step only, but for an ADD followed by an ONLINE. */
static int
check_pair(const struct mhp *m, const struct mhp_step *early, const struct mhp_step *late)
{
	struct mhp_blocks a, b;
	int err = mhp__span_blocks(m, early->span, &a);

	if (err == 0)
		err = mhp__span_blocks(m, late->span, &b);
	if (err != 0)
		return err;
	if (early->kind == MHP_STEP_ADD && late->kind == MHP_STEP_ONLINE)
		return 0;
	return overlap(a, b) ? MHP_EINVAL : 0;
}

static int
check_step(struct run *run, const struct mhp_step *step)
{
	struct mhp_blocks blocks;
	int err = mhp__span_blocks(run->m, step->span, &blocks);

	if (err == 0 && (unsigned)step->kind > MHP_STEP_REMOVE)
		err = MHP_EINVAL;
	for (const struct mhp_step *early = run->steps; early < step && err == 0; early++)
		err = check_pair(run->m, early, step);
	return err;
}

#define KINDS_ALL UINT32_MAX

static int
check_plan(struct run *run)
{
	unsigned done;

	if (run->nr_steps == 0)
		return MHP_EINVAL;
	return for_each(run, KINDS_ALL, check_step, &done);
}

/* ---- the phases ---- */

static struct mhp_blocks
blocks_of(const struct run *run, const struct mhp_step *step)
{
	struct mhp_blocks blocks = { 0, 0 };
	int err = mhp__span_blocks(run->m, step->span, &blocks);

	MHP_ASSERT(err == 0); /* check_plan() saw to that */
	return blocks;
}

static int
do_add(struct run *run, const struct mhp_step *step)
{
	return mhp__add_memory(run->m, step->span, &step->add, &run->answer->add);
}

static void
undo_add(struct run *run, const struct mhp_step *step)
{
	mhp__remove_blocks(run->m, blocks_of(run, step), false);
}

static int
prepare_online(struct run *run, const struct mhp_step *step)
{
	return mhp__online_prepare(run->m, blocks_of(run, step), step->zone, &run->planned,
				   &run->answer->why);
}

static void
abort_online(struct run *run, const struct mhp_step *step)
{
	mhp__online_abort(run->m, blocks_of(run, step));
}

static int
mark_leaving(struct run *run, const struct mhp_step *step)
{
	return mhp__leaving_add(run->m, blocks_of(run, step), step->kind == MHP_STEP_OFFLINE,
				&run->answer->why);
}

static int
commit_online(struct run *run, const struct mhp_step *step)
{
	mhp__online_commit(run->m, blocks_of(run, step), run->m->ops->now_ns(run->m->port));
	return 0;
}

/* The OFFLINE steps are done with: what stays marked is to be removed. */
static int
keep_offline(struct run *run, const struct mhp_step *step)
{
	mhp__leaving_drop(run->m, blocks_of(run, step));
	return 0;
}

static int
blame_leaving(struct run *run)
{
	uint32_t block = run->answer->why.block;

	for (unsigned i = 0; i < run->nr_steps; i++) {
		struct mhp_blocks blocks = blocks_of(run, &run->steps[i]);
		if ((KINDS_LEAVE >> run->steps[i].kind & 1U) != 0 && block >= blocks.first &&
		    block - blocks.first < blocks.count)
			return (int)i;
	}
	return (int)run->nr_steps - 1;
}

static int
prepare(struct run *run, const struct mhp_offline_opts *opts)
{
	unsigned added = 0, onlined = 0, marked;
	int err = for_each(run, KIND(MHP_STEP_ADD), do_add, &added);

	if (err != 0)
		goto undo_adds;
	err = for_each(run, KIND(MHP_STEP_ONLINE), prepare_online, &onlined);
	if (err != 0)
		goto undo_onlines;
	err = for_each(run, KINDS_LEAVE, mark_leaving, &marked);
	if (err != 0)
		goto undo_onlines;
	err = mhp__leaving_prepare(run->m, opts, &run->answer->why);
	if (err == 0)
		return 0;
	run->answer->failed_step = (unsigned)blame_leaving(run);

undo_onlines:
	for_each_back(run, onlined, KIND(MHP_STEP_ONLINE), abort_online);
undo_adds:
	for_each_back(run, added, KIND(MHP_STEP_ADD), undo_add);
	return err;
}

static int
commit_locked(struct run *run, const struct mhp_offline_opts *opts)
{
	unsigned done;
	int err = check_plan(run);

	if (err == 0)
		err = prepare(run, opts);
	if (err == 0) {
		/* Nothing fails from here. */
		(void)for_each(run, KIND(MHP_STEP_ONLINE), commit_online, &done);
		mhp__leaving_commit(run->m);
		(void)for_each(run, KIND(MHP_STEP_OFFLINE), keep_offline, &done);
		mhp__leaving_remove(run->m, opts->scrub);
	}
	mhp__leaving_clear(run->m);
	return err;
}

/* ---- the preview ---- */

static int
foresee_add(struct run *run, const struct mhp_step *step)
{
	return mhp__add_memory_foresee(run->m, step->span, &step->add, &run->answer->add);
}

static bool
added_by_plan(const struct run *run, uint32_t block)
{
	for (unsigned i = 0; i < run->nr_steps; i++) {
		struct mhp_blocks blocks = blocks_of(run, &run->steps[i]);
		if (run->steps[i].kind == MHP_STEP_ADD && block >= blocks.first &&
		    block - blocks.first < blocks.count)
			return true;
	}
	return false;
}

static int
foresee_online(struct run *run, const struct mhp_step *step)
{
	struct mhp_blocks blocks = blocks_of(run, step);

	for (uint32_t i = 0; i < blocks.count; i++) {
		uint32_t block = blocks.first + i;
		int err = 0;
		if (!added_by_plan(run, block))
			err = mhp__online_check(run->m, (struct mhp_blocks){ block, 1 },
						&run->answer->why);
		if (err != 0)
			return err;
	}
	return 0;
}

static int
preview_locked(struct run *run)
{
	unsigned done;
	int err = check_plan(run);

	if (err == 0)
		err = for_each(run, KIND(MHP_STEP_ADD), foresee_add, &done);
	if (err == 0)
		err = for_each(run, KIND(MHP_STEP_ONLINE), foresee_online, &done);
	if (err == 0)
		err = for_each(run, KINDS_LEAVE, mark_leaving, &done);
	if (err == 0) {
		err = mhp__leaving_foresee(run->m, &run->answer->why);
		if (err != 0)
			run->answer->failed_step = (unsigned)blame_leaving(run);
	}
	mhp__leaving_clear(run->m);
	return err;
}

/* ---- the public calls ---- */

static void
start(struct run *run, struct mhp *m, const struct mhp_step *steps, unsigned nr_steps,
      struct mhp_plan_answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	answer->failed_step = nr_steps;
	answer->why.pfn = MHP_PFN_NONE;
	memset(run, 0, sizeof(*run));
	run->m = m;
	run->steps = steps;
	run->nr_steps = nr_steps;
	run->answer = answer;
}

int
mhp_plan_preview(struct mhp *m, const struct mhp_step *steps, unsigned nr_steps,
		 struct mhp_plan_answer *ret_answer)
{
	struct mhp_plan_answer answer;
	struct run run;
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	start(&run, m, steps, nr_steps, &answer);
	err = preview_locked(&run);
	mhp__hotplug_unlock(m);
	if (ret_answer != NULL)
		*ret_answer = answer;
	return err;
}

int
mhp_plan_commit(struct mhp *m, const struct mhp_step *steps, unsigned nr_steps,
		const struct mhp_offline_opts *opts, struct mhp_plan_answer *ret_answer)
{
	static const struct mhp_offline_opts none;
	struct mhp_plan_answer answer;
	struct run run;
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	start(&run, m, steps, nr_steps, &answer);
	err = commit_locked(&run, opts != NULL ? opts : &none);
	mhp__hotplug_unlock(m);
	if (ret_answer != NULL)
		*ret_answer = answer;
	return err;
}
