/* SPDX-License-Identifier: MIT */
/*
 * plan.c - several changes as one.
 *
 * A commit goes through the steps in phases: adds, coming online, leaving; first everything that
 * may fail, for all steps, then everything that cannot. Each phase can be taken back exactly: an
 * add by removing what it added, coming online and leaving by the abort half of their layer. Blocks
 * that the plan adds come into use only after everything that leaves is empty, so they are never
 * room for it.
 *
 * A preview answers for the same steps without a change that others see. It asks each layer's
 * "foresee", which is the first half of what a commit does, and holds the pages that metadata on a
 * node would take, so that a later step does not count them as room. Must not know: how blocks come
 * and leave.
 */
#include <memplug/plan.h>

#include "base/mem.h"
#include "blocks/block.h"
#include "memmap/memmap.h"
#include "pages/contig.h"
#include "physical/metadata.h"
#include "physical/physical.h"
#include "state/hotplug.h"
#include "state/trace.h"
#include "tables/policy.h"

struct plan {
	struct mhp *m;
	const struct mhp_step *steps;
	unsigned nr_steps;
	struct mhp_plan_answer *answer;
	struct mhp__arrival arrival;   /* of all blocks that come online */
	uint64_t as_of;            /* of blocks that were there before the plan */
	uint64_t held_pfn;         /* preview: the last of the pages that it holds */
};

/* The work of a phase on one step. */
typedef int step_fn(struct plan *plan, const struct mhp_step *step);

#define KIND(kind) (1U << (kind))
#define KINDS_LEAVE (KIND(MHP_STEP_OFFLINE) | KIND(MHP_STEP_REMOVE))
#define KINDS_ALL UINT32_MAX

/* A kind that does not exist is part of KINDS_ALL only. */
static bool
is_of(const struct mhp_step *step, unsigned kinds)
{
	return kinds == KINDS_ALL || (kinds >> step->kind & 1U) != 0;
}

/* Do fn for each step of these kinds; on error say which step it was, and how many come before it:
 * those are what for_each_back() takes back. */
static int
for_each(struct plan *plan, unsigned kinds, step_fn *fn, unsigned *ret_done)
{
	MHP_ASSERT_DEBUG(kinds != 0);
	for (unsigned i = 0; i < plan->nr_steps; i++) {
		int err = 0;
		if (is_of(&plan->steps[i], kinds))
			err = fn(plan, &plan->steps[i]);
		if (err != 0) {
			plan->answer->failed_step = i;
			*ret_done = i;
			return err;
		}
	}
	*ret_done = plan->nr_steps;
	return 0;
}

static void
for_each_back(struct plan *plan, unsigned done, unsigned kinds,
	      void (*fn)(struct plan *plan, const struct mhp_step *step))
{
	MHP_ASSERT_DEBUG(done <= plan->nr_steps);
	while (done-- > 0)
		if (is_of(&plan->steps[done], kinds))
			fn(plan, &plan->steps[done]);
}

/* ---- is the plan well formed? ---- */

static bool
overlap(struct mhp_blocks a, struct mhp_blocks b)
{
	MHP_ASSERT_DEBUG(a.count != 0);
	MHP_ASSERT_DEBUG(b.count != 0);
	return a.first < b.first + b.count && b.first < a.first + a.count;
}

static bool
includes(struct mhp_blocks blocks, uint32_t block)
{
	return block >= blocks.first && block - blocks.first < blocks.count;
}

/* The step that adds a block, or NULL. */
static const struct mhp_step *
added_by(const struct plan *plan, uint32_t block)
{
	for (unsigned i = 0; i < plan->nr_steps; i++)
		if (plan->steps[i].kind == MHP_STEP_ADD && includes(plan->steps[i].blocks, block))
			return &plan->steps[i];
	return NULL;
}

/* A block may be in one step only, but for an ADD followed by an ONLINE. */
static int
check_pair(const struct mhp_step *early, const struct mhp_step *late)
{
	MHP_ASSERT_DEBUG(early < late); /* the order of an add and an online matters */
	if (early->kind == MHP_STEP_ADD && late->kind == MHP_STEP_ONLINE)
		return 0;
	return overlap(early->blocks, late->blocks) ? MHP_EINVAL : 0;
}

static int
check_step(struct plan *plan, const struct mhp_step *step)
{
	int err = mhp__blocks_check(plan->m, step->blocks);

	/* An add that brings its blocks online itself would do so before the others had a say. */
	if (err == 0 && ((unsigned)step->kind > MHP_STEP_REMOVE ||
			 (step->add.flags & MHP_ADD_ONLINE) != 0))
		err = MHP_EINVAL;
	for (const struct mhp_step *early = plan->steps; early < step && err == 0; early++)
		err = check_pair(early, step);
	return err;
}

static int
check_plan(struct plan *plan)
{
	unsigned done;

	MHP_ASSERT_DEBUG(plan->answer->failed_step == plan->nr_steps); /* none has failed yet */
	if (plan->nr_steps == 0)
		return MHP_EINVAL;
	return for_each(plan, KINDS_ALL, check_step, &done);
}

/* ---- the phases ---- */

/* Caches hide frames of a node. With the caches drained, a preview and its commit find the same
 * ones. */
static void
drain_if_on_node(struct plan *plan, const struct mhp_step *step)
{
	if ((step->add.flags & MHP_MEMMAP_ON_NODE) != 0)
		mhp_drain_caches(plan->m);
}

static int
do_add(struct plan *plan, const struct mhp_step *step)
{
	drain_if_on_node(plan, step);
	return mhp__add_memory(plan->m, step->blocks, &step->add, &plan->answer->add);
}

static void
undo_add(struct plan *plan, const struct mhp_step *step)
{
	MHP_ASSERT_DEBUG(step->kind == MHP_STEP_ADD);
	mhp__remove_blocks(plan->m, step->blocks, false);
}

/* Blocks that the plan itself has added are meant, however late the caller looked. */
static int
prepare_online(struct plan *plan, const struct mhp_step *step)
{
	struct mhp_blocks blocks = step->blocks;

	for (uint32_t b = blocks.first; b < blocks.first + blocks.count; b++)
		if (!mhp__block_is_meant(plan->m, b, plan->as_of) && added_by(plan, b) == NULL)
			return mhp__why_state(&plan->answer->why, b, MHP_ENODEV);
	return mhp__online_prepare(plan->m, blocks, step->zone, &plan->arrival, &plan->answer->why);
}

static void
abort_online(struct plan *plan, const struct mhp_step *step)
{
	mhp__online_abort(plan->m, step->blocks);
}

static int
mark_leaving(struct plan *plan, const struct mhp_step *step)
{
	MHP_ASSERT_DEBUG(step->kind == MHP_STEP_OFFLINE || step->kind == MHP_STEP_REMOVE);
	return mhp__leaving_add(plan->m, step->blocks, step->kind == MHP_STEP_REMOVE,
				plan->as_of, &plan->answer->why);
}

static int
commit_online(struct plan *plan, const struct mhp_step *step)
{
	unsigned zone = step->zone;

	MHP_ASSERT_DEBUG(step->kind == MHP_STEP_ONLINE);
	/* The policy chose with the other steps in mind. */
	if (zone == MHP_ZONE_DEFAULT && plan->nr_steps != 1)
		zone = MHP_ZONE_TOGETHER;
	mhp__online_commit(plan->m, step->blocks, zone, plan->arrival.started_ns);
	return 0;
}

/* Leaving is prepared for all steps at once, so the step that failed is told by the block. */
static unsigned
blame_leaving(struct plan *plan)
{
	uint32_t block = plan->answer->why.block;
	unsigned i = 0;

	MHP_ASSERT_DEBUG(plan->nr_steps != 0);
	/* If it is none of the others, it is the last one. */
	for (; i + 1 < plan->nr_steps; i++)
		if (is_of(&plan->steps[i], KINDS_LEAVE) && includes(plan->steps[i].blocks, block))
			break;
	return i;
}

static int
prepare(struct plan *plan, const struct mhp_offline_opts *opts)
{
	unsigned added = 0, onlined = 0, marked;
	int err = for_each(plan, KIND(MHP_STEP_ADD), do_add, &added);

	MHP_ASSERT_DEBUG(err == 0 || plan->answer->failed_step < plan->nr_steps);
	if (err != 0)
		goto undo_adds;
	plan->arrival.started_ns = mhp__work_now(plan->m);
	mhp__phase_begin(plan->m);
	err = for_each(plan, KIND(MHP_STEP_ONLINE), prepare_online, &onlined);
	if (err != 0)
		goto undo_onlines;
	err = for_each(plan, KINDS_LEAVE, mark_leaving, &marked);
	if (err != 0)
		goto undo_onlines;
	err = mhp__leaving_prepare(plan->m, opts, &plan->answer->why);
	if (err == 0)
		return 0;
	plan->answer->failed_step = blame_leaving(plan);

undo_onlines:
	for_each_back(plan, onlined, KIND(MHP_STEP_ONLINE), abort_online);
undo_adds:
	for_each_back(plan, added, KIND(MHP_STEP_ADD), undo_add);
	return err;
}

static int
commit_locked(struct plan *plan, const struct mhp_offline_opts *opts)
{
	unsigned done;
	int err = check_plan(plan);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(plan->m));
	mhp__work_begin(plan->m, MHP_WORK_PLAN, opts->deadline_ms);
	if (err == 0)
		err = prepare(plan, opts);
	if (err == 0) {
		mhp__log_commit(&plan->m->work.log, opts->scrub); /* nothing fails from here */
		(void)for_each(plan, KIND(MHP_STEP_ONLINE), commit_online, &done);
		mhp__leaving_commit(plan->m, opts->scrub);
	}
	mhp__leaving_clear(plan->m);
	mhp__work_end(plan->m);
	return err;
}

/* ---- the preview ---- */

/* A note of a preview, kept in pages that it holds and nobody else uses. */
struct held {
	uint64_t pfn;                  /* held before; MHP_PFN_NONE: none */
	uint64_t node;
	struct mhp__contig_hints hints; /* before these were taken */
};
_Static_assert(sizeof(struct held) <= 64, "the smallest page has room for it");

/* Take the pages that metadata on a node would take, so that later steps find them in use. */
static int
hold_metadata(struct plan *plan, struct mhp_blocks blocks, unsigned node)
{
	MHP_ASSERT_DEBUG(node < plan->m->geo.nr_nodes);
	for (uint32_t i = 0; i < blocks.count; i++) {
		struct held held = { plan->held_pfn, node, mhp__contig_hints(plan->m, node) };
		int err = mhp__memmap_take_pages(plan->m, blocks.first + i, node, &plan->held_pfn);
		if (err != 0) {
			plan->held_pfn = held.pfn;
			return err;
		}
		memcpy(mhp_pfn_to_virt(plan->m, plan->held_pfn), &held, sizeof(held));
	}
	return 0;
}

/* The commit has to find the same pages. */
static void
let_go_of_metadata(struct plan *plan)
{
	while (plan->held_pfn != MHP_PFN_NONE) {
		uint64_t pfn = plan->held_pfn;
		struct held held;
		memcpy(&held, mhp_pfn_to_virt(plan->m, pfn), sizeof(held));
		MHP_ASSERT_DEBUG(held.pfn == MHP_PFN_NONE || held.pfn < mhp__max_pfn(plan->m));
		mhp__pages_free_contig(plan->m, pfn, plan->m->block_meta_pages);
		mhp__contig_hints_set(plan->m, (unsigned)held.node, held.hints);
		plan->held_pfn = held.pfn;
	}
}

static int
foresee_add(struct plan *plan, const struct mhp_step *step)
{
	struct mhp_add_answer *answer = &plan->answer->add;
	int err = mhp__add_memory_foresee(plan->m, step->blocks, &step->add, answer);

	drain_if_on_node(plan, step);
	if (err == 0 && answer->placement == MHP_PLACE_NODE)
		err = hold_metadata(plan, answer->blocks, answer->metadata_node);
	return err;
}

/* A block that an earlier step adds is not there to be asked, so what it would be is made up here:
 * its reserve, its node, and its add's number, which groups blocks for the policy. */
static int
foresee_zone(struct plan *plan, uint32_t block, unsigned zone)
{
	const struct mhp_step *step = added_by(plan, block);
	struct mhp_why *why = &plan->answer->why;
	struct mhp_add_answer answer;
	struct mhp__coming coming;
	int err;

	MHP_ASSERT_DEBUG(why->cause == MHP_CAUSE_NONE);
	if (step == NULL)
		return mhp__online_foresee(plan->m, block, NULL, zone, &plan->arrival.planned, why);
	err = mhp__add_memory_foresee(plan->m, step->blocks, &step->add, &answer);
	MHP_ASSERT(err == 0); /* foresee_add() has asked the same */
	coming.nr_vmemmap_pages = mhp__add_reserve(plan->m, block, &answer);
	coming.node = step->add.node;
	coming.boot = (step->add.flags & MHP_ADD_BOOT) != 0;
	coming.group = (struct mhp__group){
		.generation = mhp_generation(plan->m) + 1U + (uint32_t)(step - plan->steps),
		.pages = step->blocks.count * mhp__block_pages(plan->m),
	};
	return mhp__online_foresee(plan->m, block, &coming, zone, &plan->arrival.planned, why);
}

/* Is it time to stop? Then block is where the preview has come to. */
static int
stop_at(struct plan *plan, uint32_t block, uint32_t turn)
{
	int err = mhp__work_stop_at(plan->m, turn);

	return err != 0 ? mhp__why_bound(&plan->answer->why, block, err) : 0;
}

static int
foresee_online(struct plan *plan, const struct mhp_step *step)
{
	struct mhp_blocks blocks = step->blocks;
	int err = 0;

	for (uint32_t i = 0; i < blocks.count && err == 0; i++) {
		err = stop_at(plan, blocks.first + i, i);
		if (err == 0 && added_by(plan, blocks.first + i) == NULL)
			err = mhp__online_check(plan->m, (struct mhp_blocks){ blocks.first + i, 1 },
						plan->as_of, &plan->answer->why);
	}
	for (uint32_t i = 0; i < blocks.count && err == 0; i++) {
		err = stop_at(plan, blocks.first + i, i);
		if (err == 0)
			err = foresee_zone(plan, blocks.first + i, step->zone);
	}
	return err;
}

static int
preview_locked(struct plan *plan, uint32_t deadline_ms)
{
	unsigned done;
	int err = check_plan(plan);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(plan->m));
	MHP_ASSERT_DEBUG(plan->held_pfn == MHP_PFN_NONE);
	mhp__work_begin(plan->m, MHP_WORK_DRY_RUN, deadline_ms);
	if (err == 0)
		err = for_each(plan, KIND(MHP_STEP_ADD), foresee_add, &done);
	if (err == 0)
		err = for_each(plan, KIND(MHP_STEP_ONLINE), foresee_online, &done);
	if (err == 0)
		err = for_each(plan, KINDS_LEAVE, mark_leaving, &done);
	if (err == 0) {
		err = mhp__leaving_foresee(plan->m, 0, &plan->answer->why);
		if (err != 0)
			plan->answer->failed_step = blame_leaving(plan);
	}
	let_go_of_metadata(plan);
	MHP_ASSERT_DEBUG(plan->held_pfn == MHP_PFN_NONE);
	mhp__leaving_clear(plan->m);
	mhp__work_end(plan->m);
	return err;
}

/* ---- the public calls ---- */

static void
start(struct plan *plan, struct mhp *m, const struct mhp_step *steps, unsigned nr_steps,
      struct mhp_plan_answer *answer)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	memset(answer, 0, sizeof(*answer));
	answer->failed_step = nr_steps;
	mhp__why_clear(&answer->why);
	memset(plan, 0, sizeof(*plan));
	plan->m = m;
	plan->steps = steps;
	plan->nr_steps = nr_steps;
	plan->arrival.planned.together = nr_steps > 1;
	plan->answer = answer;
	plan->held_pfn = MHP_PFN_NONE;
}

int
mhp_plan_commit(struct mhp *m, const struct mhp_step *steps, unsigned nr_steps,
		const struct mhp_offline_opts *opts, struct mhp_plan_answer *ret_answer)
{
	static const struct mhp_offline_opts none;
	struct mhp_plan_answer answer;
	struct plan plan;
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	start(&plan, m, steps, nr_steps, &answer);
	opts = opts != NULL ? opts : &none;
	plan.as_of = opts->as_of;
	err = opts->dry_run ? preview_locked(&plan, opts->deadline_ms) : commit_locked(&plan, opts);
	mhp__hotplug_unlock(m);
	if (ret_answer != NULL)
		*ret_answer = answer;
	return err;
}

int
mhp_plan_preview(struct mhp *m, const struct mhp_step *steps, unsigned nr_steps,
		 struct mhp_plan_answer *ret_answer)
{
	static const struct mhp_offline_opts dry = { .dry_run = true };

	return mhp_plan_commit(m, steps, nr_steps, &dry, ret_answer);
}
