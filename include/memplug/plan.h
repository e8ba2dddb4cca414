/* SPDX-License-Identifier: MIT */
/*
 * plan.h - several changes as one: adds, onlines, offlines and removals, all or none.
 *
 * A plan is an array of the caller's. A preview answers what a commit would return now. A commit
 * does everything that can fail (adds, coming online, moving pages away) before the first thing
 * that cannot be undone. Memory that a plan adds is no room for pages that the same plan moves:
 * pages that moved there could prevent the add from being undone.
 *
 * Context, unless a function says otherwise: takes the hotplug lock and may sleep;
 * MHP_EDEADLK from a listener, an owner's function or a trace function.
 */
#ifndef MEMPLUG_PLAN_H
#define MEMPLUG_PLAN_H

#include <memplug/block.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mhp_step_kind {
	MHP_STEP_ADD,              /* blocks that are absent, add */
	MHP_STEP_ONLINE,           /* blocks that are offline or added by this plan, zone */
	MHP_STEP_OFFLINE,          /* blocks that are online */
	MHP_STEP_REMOVE,           /* blocks that are there; online ones go offline first */
};

struct mhp_step {
	enum mhp_step_kind kind;
	struct mhp_blocks blocks;
	struct mhp_add_opts add;   /* ADD; comes online by a step of its own, not by a flag */
	uint8_t zone;              /* ONLINE: enum mhp_zone_kind */
};

/** The result of a plan. */
struct mhp_plan_answer {
	unsigned failed_step;      /* index of the step that failed; nr_steps when none did */
	struct mhp_why why;
	struct mhp_add_answer add; /* of the failed or last ADD */
};

/**
 * Say what mhp_plan_commit() would return now. Changes nothing, tells no listener, asks no port, so
 * it does not foresee their refusals.
 */
MHP_MUST_CHECK int mhp_plan_preview(struct mhp *m, const struct mhp_step *steps, unsigned nr_steps,
				    struct mhp_plan_answer *ret_answer);

/**
 * Do all steps, or none.
 *
 * Adds come first, then onlines, then everything that leaves; within a kind the order given. No
 * block may be in two steps, except for an ADD and a later ONLINE of it.
 * Return: 0, or the error of the step that failed; then everything is as before.
 */
MHP_MUST_CHECK int mhp_plan_commit(struct mhp *m, const struct mhp_step *steps, unsigned nr_steps,
				   const struct mhp_offline_opts *opts,
				   struct mhp_plan_answer *ret_answer);

#ifdef __cplusplus
}
#endif
#endif
