/* SPDX-License-Identifier: MIT */
/*
 * run.c - a pool on the simulator goes through a recording, and is held against it at each step.
 *
 * Every event is one call of the engine, with what was asked for as its arguments. The result of
 * the call, the event that the engine tells of it, and the blocks themselves must be as recorded;
 * the first difference ends it. A failure that cannot be made again is not tried: then nothing may
 * have changed, there and here.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"
#include "sim.h"

struct replay {
	struct mhp__replay_reader reader;
	struct mhp__replay_result *result;
	struct mhp_sim *sim;
	struct mhp *m;
	struct mhp__standin standin;
	uint32_t first_generation;     /* of what is added by events; the rest was there before */
	struct mhp_event told;         /* by the engine, about the last call */
	unsigned nr_told;
};

static void
tell(void *ctx, const struct mhp_event *event)
{
	struct replay *replay = ctx;
	if (event->kind == MHP_EV_OFFLINE_START)
		return;
	if (replay->nr_told++ == 0)
		replay->told = *event;
}

/* ---- differences ---- */

static bool differs(struct replay *replay, const struct mhp_event *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool
differs(struct replay *replay, const struct mhp_event *event, const char *format, ...)
{
	char what[200], blocks[48] = "";
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (event->nr_blocks == 1)
		snprintf(blocks, sizeof(blocks), " of block %u", event->block);
	else if (event->nr_blocks != 0)
		snprintf(blocks, sizeof(blocks), " of blocks %u-%u", event->block,
			 event->block + event->nr_blocks - 1);
	snprintf(replay->result->text, MHP__REPLAY_TEXT, "line %" PRIu64 ": event %" PRIu64
		 ", %s%s: %s", replay->reader.nr_lines, event->seq, mhp_event_name(event->kind),
		 blocks, what);
	return false;
}

static bool
same_number(struct replay *replay, const struct mhp_event *event, const char *what, uint64_t have,
	    uint64_t want)
{
	return have == want ? true : differs(replay, event, "%s is %" PRIu64 ", recorded is %"
					     PRIu64, what, have, want);
}

static bool
same_word(struct replay *replay, const struct mhp_event *event, const char *what, const char *have,
	  const char *want)
{
	return strcmp(have, want) == 0
		? true : differs(replay, event, "%s is %s, recorded is %s", what, have, want);
}

static bool
same_result(struct replay *replay, const struct mhp_event *event, int have)
{
	return have == event->error ? true : differs(replay, event, "the result is %d, recorded is "
						     "%d", have, event->error);
}

/* The event that the engine told against the recorded one. */
static bool
same_event(struct replay *replay, const struct mhp_event *event)
{
	const struct mhp_event *told = &replay->told;
	bool zone = event->kind == MHP_EV_ONLINE || event->kind == MHP_EV_OFFLINE;
	bool failed = event->kind == MHP_EV_ONLINE_FAILED || event->kind == MHP_EV_OFFLINE_FAILED;

	if (replay->nr_told == 0)
		return differs(replay, event, "the engine tells of no event");
	if (!same_word(replay, event, "the event", mhp_event_name(told->kind),
		       mhp_event_name(event->kind)) ||
	    !same_number(replay, event, "the first block", told->block, event->block) ||
	    !same_number(replay, event, "the number of blocks", told->nr_blocks,
			 event->nr_blocks) ||
	    !same_number(replay, event, "the node", told->node, event->node) ||
	    !same_word(replay, event, "the state", mhp__replay_states[told->state % 5],
		       mhp__replay_states[event->state]))
		return false;
	if (zone && !same_word(replay, event, "the zone", mhp__replay_zone(told->zone),
			       mhp__replay_zone(event->zone)))
		return false;
	if (!failed)
		return true;
	return same_word(replay, event, "the cause", mhp_cause_name((enum mhp_cause)told->cause),
			 mhp_cause_name((enum mhp_cause)event->cause)) &&
	       (event->cause == MHP_CAUSE_NONE ||
		same_number(replay, event, "the block in the way", told->cause_block,
			    event->cause_block)) &&
	       (event->pfn == MHP_PFN_NONE ||
		same_number(replay, event, "the page in the way", told->pfn, event->pfn));
}

/* Every block of the event is what the event says. */
static bool
same_blocks(struct replay *replay, const struct mhp_event *event)
{
	struct mhp_block_info info;
	struct mhp_blocks run;
	uint32_t end = event->block + event->nr_blocks;

	for (uint32_t block = event->block; block < end; block = run.first + run.count) {
		if (mhp_range_get(replay->m, block, &run) != 0 ||
		    mhp_block_get(replay->m, block, &info) != 0)
			return differs(replay, event, "there is no block %u", block);
		if (!same_word(replay, event, "the state", mhp__replay_states[info.state],
			       mhp__replay_states[event->state]))
			return false;
		if (info.state == MHP_ABSENT)
			continue;
		if (!same_number(replay, event, "the node", info.node, event->node))
			return false;
		if (info.state == MHP_ONLINE &&
		    !same_word(replay, event, "the zone", mhp__replay_zone(info.zone),
			       mhp__replay_zone(event->zone)))
			return false;
	}
	return true;
}

/* It cannot be made to fail again; nothing had changed then, and nothing has here. */
static bool
not_reproduced(struct replay *replay, const struct mhp_event *event)
{
	struct mhp_block_info info = { 0 };
	replay->result->nr_not_reproduced[event->cause]++;
	if (event->nr_blocks == 0)
		return true;
	if (mhp_block_get(replay->m, event->block, &info) != 0)
		return differs(replay, event, "there is no such block");
	return same_word(replay, event, "the state", mhp__replay_states[info.state],
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

/* Which pages of the node the metadata took depends on what was in use. Here it lies outside, as
 * that of a boot block; where it kept a block from leaving, a stand-in does. */
static bool
on_node(uint32_t flags)
{
	return (flags & MHP_MEMMAP_ON_NODE) != 0;
}

static uint32_t
flags_of_add(uint32_t flags)
{
	/* Coming online has an event of its own. Testing would touch all memory, for nothing. */
	flags &= ~(uint32_t)(MHP_ADD_ONLINE | MHP_ADD_TEST);
	flags &= ~(uint32_t)MHP_MEMMAP_ON_NODE;
	return flags | MHP_ADD_OFFLINE | MHP_ADD_ZEROED;
}

/* Metadata that lies on a node is elsewhere here, whatever the switch says of that. */
static int
add(struct replay *replay, struct mhp_blocks blocks, struct mhp_add_opts opts)
{
	enum mhp_memmap_switch now = mhp_get_memmap_on_memory(replay->m);
	bool elsewhere = on_node(opts.flags);
	int err = elsewhere ? mhp_set_memmap_on_memory(replay->m, MHP_MEMMAP_OFF) : 0;
	opts.flags = flags_of_add(opts.flags);
	replay->nr_told = 0;
	if (err == 0)
		err = mhp_add(replay->m, blocks, &opts, NULL);
	if (elsewhere && mhp_set_memmap_on_memory(replay->m, now) != 0)
		return MHP_EINVAL;
	return err;
}

static bool
same_add(struct replay *replay, const struct mhp_event *event)
{
	const struct mhp_event *told = &replay->told;
	unsigned place = on_node(event->flags) ? MHP_PLACE_EXTERNAL : event->placement;
	return same_word(replay, event, "the place of the metadata",
			 mhp__replay_places[told->placement % 3], mhp__replay_places[place]) &&
	       same_number(replay, event, "the reserve of each block", told->nr_vmemmap_pages,
			   event->nr_vmemmap_pages) &&
	       same_number(replay, event, "the number of pages", told->pages, event->pages) &&
	       (place == MHP_PLACE_EXTERNAL ||
		same_number(replay, event, "the node of the metadata", told->metadata_node,
			    event->metadata_node)) &&
	       same_blocks(replay, event);
}

static bool
do_add(struct replay *replay, const struct mhp_event *event)
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
	int err = add(replay, (struct mhp_blocks){ event->block, event->nr_blocks }, opts);
	mhp_sim_set_budget(replay->sim, UINT64_MAX);
	return same_result(replay, event, err) && same_event(replay, event) &&
	       (fails || same_add(replay, event));
}

/* By amounts the policy chooses for all blocks of an add, and which add brought those that were
 * there at first is not known. */
static bool
is_choice_unknown(const struct replay *replay, const struct mhp_event *event)
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
online(struct replay *replay, const struct mhp_event *event)
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
do_online(struct replay *replay, const struct mhp_event *event)
{
	bool fails = event->kind == MHP_EV_ONLINE_FAILED;
	if (fails && (event->asked_zone == MHP_ZONE_TOGETHER ||
		      !mhp__standin_put(&replay->standin, event)))
		return not_reproduced(replay, event);
	int err = online(replay, event);
	return same_result(replay, event, err) && same_event(replay, event) &&
	       (fails || (same_number(replay, event, "the number of pages", replay->told.pages,
				      event->pages) &&
			  same_blocks(replay, event)));
}

static bool
do_offline_start(struct replay *replay, const struct mhp_event *event)
{
	struct mhp_block_info info = { 0 };
	if (mhp_block_get(replay->m, event->block, &info) != 0 || info.state == MHP_ABSENT)
		return differs(replay, event, "the block is not there");
	return same_word(replay, event, "the state", mhp__replay_states[info.state],
			 mhp__replay_states[event->state]);
}

static bool
do_offline(struct replay *replay, const struct mhp_event *event)
{
	struct mhp_blocks blocks = { event->block, event->nr_blocks };
	int err = mhp_offline(replay->m, &blocks, 1, NULL, NULL);
	return same_result(replay, event, err) && same_event(replay, event) &&
	       same_blocks(replay, event);
}

/* The event names the first run of what should have left; what was in the way may be in another. */
static bool
do_offline_failed(struct replay *replay, const struct mhp_event *event)
{
	struct mhp_blocks sets[2] = { { event->block, event->nr_blocks },
				      { event->cause_block, 1 } };
	bool elsewhere = event->cause_block < event->block ||
			 event->cause_block - event->block >= event->nr_blocks;
	if (!mhp__standin_put(&replay->standin, event))
		return not_reproduced(replay, event);
	int err = mhp_remove(replay->m, sets, elsewhere ? 2 : 1, NULL, NULL);
	return same_result(replay, event, err) && same_event(replay, event);
}

static bool
do_remove(struct replay *replay, const struct mhp_event *event)
{
	struct mhp_blocks blocks = { event->block, event->nr_blocks };
	struct mhp_event offline = *event;

	offline.state = MHP_OFFLINE;
	if (!same_blocks(replay, &offline))
		return false;
	int err = mhp_remove(replay->m, &blocks, 1, NULL, NULL);
	return same_result(replay, event, err) && same_event(replay, event) &&
	       same_number(replay, event, "the number of pages", replay->told.pages,
			   event->pages) &&
	       same_blocks(replay, event);
}

static bool
do_bad_page(struct replay *replay, const struct mhp_event *event)
{
	struct mhp_event in_use = *event;
	in_use.cause = MHP_CAUSE_REFUSED;
	if (event->error != 0 && !mhp__standin_put(&replay->standin, &in_use))
		return not_reproduced(replay, event);
	int err = mhp_bad_add(replay->m, event->pfn);
	return same_result(replay, event, err) && same_event(replay, event);
}

static bool
do_good_page(struct replay *replay, const struct mhp_event *event)
{
	return same_result(replay, event, mhp_bad_remove(replay->m, event->pfn)) &&
	       same_event(replay, event);
}

static bool
do_announce(struct replay *replay, const struct mhp_event *event)
{
	return same_result(replay, event, mhp_block_announce(replay->m, event->block, 0)) &&
	       same_event(replay, event);
}

/* Which pages a compaction moves is not recorded, and no block changes by it, nor by a limit. */
static bool
do_nothing(struct replay *replay, const struct mhp_event *event)
{
	(void)replay, (void)event;
	return true;
}

typedef bool step_fn(struct replay *replay, const struct mhp_event *event);

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
set_policy(struct replay *replay, const struct mhp_policy *policy, enum mhp_memmap_switch value)
{
	return mhp_set_policy(replay->m, policy) == 0 &&
	       mhp_set_memmap_on_memory(replay->m, value) == 0;
}

static bool
step(struct replay *replay, const struct mhp__replay_event *at)
{
	uint64_t *nr_missed = replay->result->nr_not_reproduced;
	uint64_t before = nr_missed[at->event.cause];
	bool same;

	replay->nr_told = 0;
	if (at->event.kind == MHP_EV_POLICY)
		same = set_policy(replay, &at->policy, at->memmap_switch) ||
		       differs(replay, &at->event, "the engine refuses these knobs");
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

/* ---- the start ---- */

static bool
cannot_start(struct replay *replay, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool
cannot_start(struct replay *replay, const char *format, ...)
{
	char what[200];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(replay->result->text, MHP__REPLAY_TEXT, "line 1: %s", what);
	return false;
}

static bool
make_pool(struct replay *replay)
{
	const struct mhp_geometry *geo = &replay->reader.geometry;
	struct mhp_config config;
	size_t size = 0;
	/* Metadata of every block, and more: pages of 1 % of the memory. */
	struct mhp_sim_opts opts = { .geometry = *geo };

	if (mhp_footprint(geo, &size) != 0)
		return cannot_start(replay, "no pool has this geometry");
	opts.meta_bytes = ((uint64_t)geo->nr_blocks << (geo->block_order + geo->page_shift)) / 100;
	if (mhp_sim_create(&opts, &replay->sim) != 0)
		return cannot_start(replay, "the simulator has no room for this geometry");
	mhp_sim_config(replay->sim, &config);
	config.trace = tell;
	config.trace_ctx = replay;
	void *memory = mhp_sim_instance_memory(replay->sim, size);
	if (memory == NULL || mhp_init(memory, size, &config, &replay->m) != 0)
		return cannot_start(replay, "no pool has this geometry");
	return mhp__standin_init(&replay->standin, replay->m, replay->sim) == 0
		? true : cannot_start(replay, "the engine has no room for the stand-ins");
}

static bool
make_range(struct replay *replay, const struct mhp__replay_range *range)
{
	static const uint32_t flags[] = {
		[MHP_PLACE_SELF] = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE,
		[MHP_PLACE_NODE] = MHP_MEMMAP_ON_NODE,
		[MHP_PLACE_EXTERNAL] = 0,
	};
	struct mhp_add_opts opts = {
		.flags = flags[range->placement] | (range->boot ? MHP_ADD_BOOT : 0U),
		.node = (uint8_t)range->node, .metadata_node = (uint8_t)range->metadata_node,
		.backing = (uint16_t)range->backing,
	};
	struct mhp_online_opts to = { .zone = (uint8_t)range->zone };
	int err = add(replay, range->blocks, opts);
	if (err == 0 && range->state == MHP_ONLINE)
		err = mhp_online(replay->m, &range->blocks, 1, &to, NULL);
	return err == 0 ? true : cannot_start(replay, "there cannot be blocks %u-%u as it lists "
					      "them (error %d)", range->blocks.first,
					      range->blocks.first + range->blocks.count - 1, err);
}

static bool
make_ranges(struct replay *replay)
{
	struct mhp__replay_range range;
	bool more = true;
	for (size_t i = 0; more; i++) {
		if (!mhp__replay_read_range(&replay->reader, i, &more, &range))
			return false;
		if (more && !make_range(replay, &range))
			return false;
	}
	replay->first_generation = mhp_generation(replay->m) + 1;
	return true;
}

static bool
make_bad_pages(struct replay *replay)
{
	uint64_t pfn = 0;
	bool more = true;
	for (size_t i = 0; more; i++) {
		if (!mhp__replay_read_bad(&replay->reader, i, &more, &pfn))
			return false;
		int err = more ? mhp_bad_add(replay->m, pfn) : 0;
		if (err != 0 && err != MHP_EBUSY)
			return cannot_start(replay, "page %" PRIu64 " cannot be bad (error %d)",
					    pfn, err);
	}
	return true;
}

static bool
start(struct replay *replay)
{
	return mhp__replay_read_first(&replay->reader) && make_pool(replay) &&
	       make_ranges(replay) && make_bad_pages(replay) &&
	       (set_policy(replay, &replay->reader.policy, replay->reader.memmap_switch) ||
		cannot_start(replay, "the engine refuses its policy"));
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
		add_word(one, "zone", info.state != MHP_ONLINE ? "none"
							       : mhp__replay_zone(info.zone));
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
	struct replay *replay = ctx;
	snprintf(replay->result->text, MHP__REPLAY_TEXT,
		 "at the end invariant %u does not hold: %s", finding->invariant, finding->what);
}

static enum mhp__replay_verdict
run(struct replay *replay)
{
	struct mhp__replay_event at;

	if (!start(replay))
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
	struct replay replay = { .result = ret_result };

	memset(ret_result, 0, sizeof(*ret_result));
	replay.reader.file = file;
	replay.reader.text = ret_result->text;
	enum mhp__replay_verdict verdict = run(&replay);
	mhp__replay_close(&replay.reader);
	mhp_sim_destroy(replay.sim);
	return verdict;
}
