/* SPDX-License-Identifier: MIT */
/*
 * run.c - a pool on the simulator goes through a recording, and is compared with it at each step.
 *
 * Every event is one call of the engine, with what was asked for as its arguments. The result of
 * the call, the event that the engine tells of it, and the blocks themselves must be as recorded
 * (compare.c); the first difference ends the replay. A failure that cannot be provoked is not
 * tried: neither there nor here has it changed anything.
 */
#include <string.h>

#include "replaying.h"
#include "sim.h"

/* It cannot be made to fail again; nothing had changed then, and nothing has here. */
static bool
not_reproduced(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_block_info info = { 0 };
	replay->result->nr_not_reproduced[event->cause]++;
	if (event->nr_blocks == 0)
		return true;
	if (mhp_block_get(replay->m, event->block, &info) != 0)
		return mhp__differs(replay, event, "there is no such block");
	return mhp__same_word(replay, event, "the state", mhp__replay_states[info.state],
			      mhp__replay_states[event->state]);
}

/* ---- the steps ---- */

static bool
add_can_be_made(const struct mhp_event *event)
{
	switch (event->error) {
	case MHP_EEXIST:
	case MHP_EPERM:
	case MHP_EOPNOTSUPP:
	case MHP_EHWPOISON:
	case MHP_ENODEV:
	case MHP_EINVAL:
		return event->nr_blocks != 0;
	case MHP_ENOMEM:
		return event->nr_blocks != 0 && (event->flags & MHP_MEMMAP_ON_NODE) == 0;
	default:
		return false;
	}
}

static bool
same_add(struct mhp__replaying *replay, const struct mhp_event *event)
{
	const struct mhp_event *told = &replay->told;
	unsigned place =
		(event->flags & MHP_MEMMAP_ON_NODE) != 0 ? MHP_PLACE_EXTERNAL : event->placement;
	return mhp__same_word(replay, event, "the place of the metadata",
			      mhp__replay_places[told->placement % 3], mhp__replay_places[place]) &&
	       mhp__same_number(replay, event, "the reserve of each block", told->nr_vmemmap_pages,
				event->nr_vmemmap_pages) &&
	       mhp__same_number(replay, event, "the number of pages", told->pages, event->pages) &&
	       (place == MHP_PLACE_EXTERNAL ||
		mhp__same_number(replay, event, "the node of the metadata", told->metadata_node,
				 event->metadata_node)) &&
	       mhp__same_blocks(replay, event);
}

static bool
do_add(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_add_opts opts = {
		.flags = event->flags,
		.node = event->node,
		.metadata_node = event->metadata_node,
		.backing = event->backing,
	};
	bool fails = event->kind == MHP_EV_ADD_FAILED;

	if (fails && !add_can_be_made(event))
		return not_reproduced(replay, event);
	if (fails && event->error == MHP_ENOMEM)
		mhp_sim_set_budget(replay->sim, 0);
	int err = mhp__replay_add(replay, (struct mhp_blocks){ event->block, event->nr_blocks },
				  opts);
	mhp_sim_set_budget(replay->sim, UINT64_MAX);
	return mhp__same_result(replay, event, err) && mhp__same_event(replay, event) &&
	       (fails || same_add(replay, event));
}

/* By amounts the policy chooses for all blocks of an add, and which add brought those that were
 * there at first is not known. */
static bool
is_choice_unknown(const struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_block_info info;
	struct mhp_policy policy;
	mhp_get_policy(replay->m, &policy);
	if (event->asked_zone != MHP_ZONE_DEFAULT ||
	    policy.online_policy != MHP_POLICY_AUTO_MOVABLE)
		return false;
	for (uint32_t i = 0; i < event->nr_blocks; i++)
		if (mhp_block_get(replay->m, event->block + i, &info) == 0 &&
		    info.generation < replay->first_generation)
			return true;
	return false;
}

/* Where the policy chose for several calls at once, its choice is taken as it is. */
static int
online(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_blocks blocks = { event->block, event->nr_blocks };
	struct mhp_online_opts opts = { .zone = event->asked_zone };
	struct mhp_policy policy, lenient;
	if (event->asked_zone != MHP_ZONE_TOGETHER && !is_choice_unknown(replay, event))
		return mhp_online(replay->m, &blocks, 1, &opts, NULL);
	opts.zone = event->zone;
	mhp_get_policy(replay->m, &policy);
	lenient = policy;
	lenient.strict = false;
	int err = mhp_set_policy(replay->m, &lenient);
	replay->nr_told = 0;
	if (err == 0)
		err = mhp_online(replay->m, &blocks, 1, &opts, NULL);
	int restored = mhp_set_policy(replay->m, &policy);
	return err == 0 ? restored : err;
}

static bool
do_online(struct mhp__replaying *replay, const struct mhp_event *event)
{
	bool fails = event->kind == MHP_EV_ONLINE_FAILED;
	if (fails &&
	    (event->asked_zone == MHP_ZONE_TOGETHER || !mhp__standin_put(&replay->standin, event)))
		return not_reproduced(replay, event);
	int err = online(replay, event);
	return mhp__same_result(replay, event, err) && mhp__same_event(replay, event) &&
	       (fails || (mhp__same_number(replay, event, "the number of pages", replay->told.pages,
					   event->pages) &&
			  mhp__same_blocks(replay, event)));
}

static bool
do_offline_start(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_block_info info = { 0 };
	if (mhp_block_get(replay->m, event->block, &info) != 0 || info.state == MHP_ABSENT)
		return mhp__differs(replay, event, "the block is not there");
	return mhp__same_word(replay, event, "the state", mhp__replay_states[info.state],
			      mhp__replay_states[event->state]);
}

static bool
do_offline(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_blocks blocks = { event->block, event->nr_blocks };
	int err = mhp_offline(replay->m, &blocks, 1, NULL, NULL);
	return mhp__same_result(replay, event, err) && mhp__same_event(replay, event) &&
	       mhp__same_blocks(replay, event);
}

/* The event names the first run of what should have left; what was in the way may be in another. */
static bool
do_offline_failed(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_blocks sets[2] = { { event->block, event->nr_blocks },
				      { event->cause_block, 1 } };
	bool elsewhere = event->cause_block < event->block ||
			 event->cause_block - event->block >= event->nr_blocks;
	if (!mhp__standin_put(&replay->standin, event))
		return not_reproduced(replay, event);
	int err = mhp_remove(replay->m, sets, elsewhere ? 2 : 1, NULL, NULL);
	return mhp__same_result(replay, event, err) && mhp__same_event(replay, event);
}

static bool
do_remove(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_blocks blocks = { event->block, event->nr_blocks };
	struct mhp_event offline = *event;

	offline.state = MHP_OFFLINE;
	if (!mhp__same_blocks(replay, &offline))
		return false;
	int err = mhp_remove(replay->m, &blocks, 1, NULL, NULL);
	return mhp__same_result(replay, event, err) && mhp__same_event(replay, event) &&
	       mhp__same_number(replay, event, "the number of pages", replay->told.pages,
				event->pages) &&
	       mhp__same_blocks(replay, event);
}

static bool
do_bad_page(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_event in_use = *event;
	in_use.cause = MHP_CAUSE_REFUSED;
	if (event->error != 0 && !mhp__standin_put(&replay->standin, &in_use))
		return not_reproduced(replay, event);
	int err = mhp_bad_add(replay->m, event->pfn);
	return mhp__same_result(replay, event, err) && mhp__same_event(replay, event);
}

static bool
do_good_page(struct mhp__replaying *replay, const struct mhp_event *event)
{
	return mhp__same_result(replay, event, mhp_bad_remove(replay->m, event->pfn)) &&
	       mhp__same_event(replay, event);
}

static bool
do_announce(struct mhp__replaying *replay, const struct mhp_event *event)
{
	return mhp__same_result(replay, event, mhp_block_announce(replay->m, event->block, 0)) &&
	       mhp__same_event(replay, event);
}

/* Which pages a compaction moves is not recorded, and no block changes by it, nor by a limit. */
static bool
do_nothing(struct mhp__replaying *replay, const struct mhp_event *event)
{
	(void)replay, (void)event;
	return true;
}

typedef bool step_fn(struct mhp__replaying *replay, const struct mhp_event *event);

static step_fn *const steps[MHP_EV_KINDS] = {
	[MHP_EV_ADD] = do_add,
	[MHP_EV_ADD_FAILED] = do_add,
	[MHP_EV_ONLINE] = do_online,
	[MHP_EV_ONLINE_FAILED] = do_online,
	[MHP_EV_OFFLINE_START] = do_offline_start,
	[MHP_EV_OFFLINE] = do_offline,
	[MHP_EV_OFFLINE_FAILED] = do_offline_failed,
	[MHP_EV_REMOVE] = do_remove,
	[MHP_EV_BAD_PAGE] = do_bad_page,
	[MHP_EV_GOOD_PAGE] = do_good_page,
	[MHP_EV_COMPACT] = do_nothing,
	[MHP_EV_ANNOUNCE] = do_announce,
	[MHP_EV_LIMIT] = do_nothing,
	[MHP_EV_TIER] = do_nothing,
	[MHP_EV_FOLLOW] = do_nothing,
	[MHP_EV_MOVE] = do_nothing,
	[MHP_EV_MOVE_FAILED] = do_nothing,
};

static bool
step(struct mhp__replaying *replay, const struct mhp__replay_event *at)
{
	uint64_t *nr_missed = replay->result->nr_not_reproduced;
	uint64_t before = nr_missed[at->event.cause];
	bool same;

	replay->nr_told = 0;
	if (at->event.kind == MHP_EV_POLICY)
		same = mhp__replay_set_policy(replay, &at->policy, at->memmap_switch) ||
		       mhp__differs(replay, &at->event, "the engine refuses these knobs");
	else
		same = steps[at->event.kind](replay, &at->event);
	mhp__standin_take(&replay->standin);
	if (same) {
		replay->result->nr_events++;
		replay->result->nr_failures +=
			at->event.error != 0 && nr_missed[at->event.cause] == before;
	}
	return same;
}

/* ---- the end ---- */

static void
add_number(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_int64((int64_t)value));
}

static void
add_word(struct json_object *object, const char *name, const char *word)
{
	json_object_object_add(object, name, json_object_new_string(word));
}

static struct json_object *
list_ranges(struct mhp *m)
{
	struct json_object *ranges = json_object_new_array();
	struct mhp_block_info info;
	struct mhp_blocks run;

	for (uint32_t block = 0; mhp_range_get(m, block, &run) == 0;
	     block = run.first + run.count) {
		if (mhp_block_get(m, block, &info) != 0 || info.state == MHP_ABSENT)
			continue;
		struct json_object *one = json_object_new_object();
		add_number(one, "first", run.first);
		add_number(one, "count", run.count);
		add_word(one, "state", mhp__replay_states[info.state]);
		add_word(one, "zone",
			 info.state != MHP_ONLINE ? "none" : mhp__replay_zone(info.zone));
		add_number(one, "node", info.node);
		add_word(one, "memmap", mhp__replay_places[info.placement]);
		add_number(one, "nr_vmemmap_pages", info.nr_vmemmap_pages);
		json_object_array_add(ranges, one);
	}
	return ranges;
}

static void
object_to(void *ctx, const struct mhp_finding *finding)
{
	struct mhp__replaying *replay = ctx;
	snprintf(replay->result->text, MHP__REPLAY_TEXT,
		 "at the end invariant %u does not hold: %s", finding->invariant, finding->what);
}

static enum mhp__replay_verdict
run(struct mhp__replaying *replay)
{
	struct mhp__replay_event at;

	if (!mhp__replay_begin(replay))
		return MHP__REPLAY_MALFORMED;
	while (mhp__replay_read_event(&replay->reader, &at))
		if (!step(replay, &at))
			return MHP__REPLAY_DIFFERS;
	if (replay->result->text[0] != 0)
		return MHP__REPLAY_MALFORMED;
	replay->result->ranges = list_ranges(replay->m);
	return mhp_check(replay->m, true, object_to, replay) == 0 ? MHP__REPLAY_SAME
								  : MHP__REPLAY_DIFFERS;
}

enum mhp__replay_verdict
mhp__replay(FILE *file, struct mhp__replay_result *ret_result)
{
	struct mhp__replaying replay = { .result = ret_result };

	memset(ret_result, 0, sizeof(*ret_result));
	replay.reader.file = file;
	replay.reader.text = ret_result->text;
	enum mhp__replay_verdict verdict = run(&replay);
	mhp__replay_close(&replay.reader);
	mhp_sim_destroy(replay.sim);
	return verdict;
}
