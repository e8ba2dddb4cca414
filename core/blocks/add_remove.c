/* SPDX-License-Identifier: MIT */
/*
 * add_remove.c - mhp_add() and mhp_remove(): the physical layer's work joined with what comes after
 * an add (coming online by itself) and before a removal (going offline).
 *
 * An add that must come online and cannot is taken back. A removal is one set for leaving.c,
 * whatever adds the blocks came by.
 */
#include "base/mem.h"
#include "blocks/block.h"
#include "physical/physical.h"
#include "state/hotplug.h"
#include "state/runs.h"

static unsigned
auto_zone(enum mhp_auto_online policy)
{
	if (policy == MHP_AUTO_ONLINE_KERNEL)
		return MHP_ZONE_NORMAL;
	return policy == MHP_AUTO_ONLINE_MOVABLE ? MHP_ZONE_MOVABLE : MHP_ZONE_DEFAULT;
}

/* Auto-online: try a bounded number of times; memory that stays offline is no failure of the
 * add. */
static int
auto_online(struct mhp *m, struct mhp_blocks blocks)
{
	uint32_t attempts = m->policy.auto_online_attempts;
	int err = 0;

	for (uint32_t i = 0; i < attempts; i++) {
		struct mhp_why why;
		if (i != 0 && mhp__work_stop(m) != 0)
			break;
		if (i != 0) {
			m->auto_online_retries++;
			m->ops->pause(m->port, UINT64_C(1000000));
		}
		mhp__why_clear(&why);
		err = mhp__online_locked(m, &blocks, 1, auto_zone(m->policy.auto_online), &why);
		if (err == 0)
			break;
	}
	return err;
}

static int
add_locked(struct mhp *m, struct mhp_span span, const struct mhp_add_opts *opts,
	   struct mhp_add_answer *answer)
{
	struct mhp_why why;
	int err = mhp__add_memory(m, span, opts, answer);

	if (err != 0)
		return err;
	if ((opts->flags & MHP_ADD_ONLINE) != 0) {
		mhp__why_clear(&why);
		err = mhp__online_locked(m, &answer->blocks, 1, opts->zone, &why);
		if (err != 0)
			mhp__remove_blocks(m, answer->blocks, false);
	} else if ((opts->flags & MHP_ADD_OFFLINE) == 0 &&
		   m->policy.auto_online != MHP_AUTO_OFFLINE) {
		answer->online_error = auto_online(m, answer->blocks);
	}
	return err;
}

int
mhp_add(struct mhp *m, struct mhp_span span, const struct mhp_add_opts *opts,
	struct mhp_add_answer *ret_answer)
{
	static const struct mhp_add_opts none;
	struct mhp_add_answer answer;
	int err = mhp__hotplug_lock(m);

	memset(&answer, 0, sizeof(answer));
	opts = opts != NULL ? opts : &none;
	if (err == 0) {
		mhp__work_begin(m, MHP_WORK_ADD, opts->deadline_ms);
		err = add_locked(m, span, opts, &answer);
		mhp__work_end(m);
		mhp__hotplug_unlock(m);
	}
	if (ret_answer != NULL)
		*ret_answer = answer;
	return err;
}

/* Mark the blocks of a span that are there; there must be one. */
static int
mark_present(struct mhp *m, struct mhp_span span, uint64_t as_of, struct mhp_why *why)
{
	struct mhp_blocks blocks;
	int err = mhp__span_blocks(m, span, &blocks);
	uint32_t at, end;

	if (err != 0)
		return err;
	end = blocks.first + blocks.count;
	at = mhp__next_present(m, blocks.first, end);
	if (at == end)
		return mhp__why_state(why, blocks.first, MHP_ENOENT);
	while (at < end && err == 0) {
		uint32_t run_end = mhp__run_end(m, at);
		run_end = run_end < end ? run_end : end;
		err = mhp__leaving_add(m, (struct mhp_blocks){ at, run_end - at }, true, as_of,
				       why);
		at = mhp__next_present(m, run_end, end);
	}
	return err;
}

static int
remove_locked(struct mhp *m, const struct mhp_span *spans, unsigned nr_spans,
	      const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	int err = nr_spans == 0 ? MHP_EINVAL : 0;

	mhp__work_begin(m, opts->dry_run ? MHP_WORK_DRY_RUN : MHP_WORK_REMOVE, opts->deadline_ms);
	for (unsigned i = 0; i < nr_spans && err == 0; i++)
		err = mark_present(m, spans[i], opts->as_of, why);
	if (err == 0)
		err = opts->dry_run ? mhp__leaving_foresee(m, opts->to_nodes, why)
				    : mhp__leaving_prepare(m, opts, why);
	if (err == 0 && !opts->dry_run)
		mhp__leaving_commit(m, opts->scrub);
	mhp__leaving_clear(m);
	mhp__work_end(m);
	return err;
}

int
mhp_remove(struct mhp *m, const struct mhp_span *spans, unsigned nr_spans,
	   const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	static const struct mhp_offline_opts none;
	struct mhp_why why;
	int err = mhp__hotplug_lock(m);

	mhp__why_clear(&why);
	if (err == 0) {
		err = remove_locked(m, spans, nr_spans, opts != NULL ? opts : &none, &why);
		mhp__hotplug_unlock(m);
	}
	if (err != 0 && reterr_why != NULL)
		*reterr_why = why;
	return err;
}
