/* SPDX-License-Identifier: MIT */
/*
 * compare.c - what the engine did, compared with what was recorded.
 *
 * Each comparison returns whether the two are the same, and else leaves one sentence in the result,
 * with the line and the event. Must not know: how an event was repeated.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "replaying.h"

bool
mhp__differs(struct mhp__replaying *replay, const struct mhp_event *event, const char *format, ...)
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
	snprintf(replay->result->text, MHP__REPLAY_TEXT,
		 "line %" PRIu64 ": event %" PRIu64 ", %s%s: %s", replay->reader.nr_lines,
		 event->seq, mhp_event_name(event->kind), blocks, what);
	return false;
}

bool
mhp__same_number(struct mhp__replaying *replay, const struct mhp_event *event, const char *what,
		 uint64_t have, uint64_t want)
{
	return have == want ||
	       mhp__differs(replay, event, "%s is %" PRIu64 ", recorded is %" PRIu64, what, have,
			    want);
}

bool
mhp__same_word(struct mhp__replaying *replay, const struct mhp_event *event, const char *what,
	       const char *have, const char *want)
{
	return strcmp(have, want) == 0 ||
	       mhp__differs(replay, event, "%s is %s, recorded is %s", what, have, want);
}

bool
mhp__same_result(struct mhp__replaying *replay, const struct mhp_event *event, int have)
{
	return have == event->error ||
	       mhp__differs(replay, event, "the result is %d, recorded is %d", have,
			    event->error);
}

bool
mhp__same_event(struct mhp__replaying *replay, const struct mhp_event *event)
{
	const struct mhp_event *told = &replay->told;
	bool zone = event->kind == MHP_EV_ONLINE || event->kind == MHP_EV_OFFLINE;
	bool failed = event->kind == MHP_EV_ONLINE_FAILED || event->kind == MHP_EV_OFFLINE_FAILED;

	if (replay->nr_told == 0)
		return mhp__differs(replay, event, "the engine tells of no event");
	if (!mhp__same_word(replay, event, "the event", mhp_event_name(told->kind),
			    mhp_event_name(event->kind)) ||
	    !mhp__same_number(replay, event, "the first block", told->block, event->block) ||
	    !mhp__same_number(replay, event, "the number of blocks", told->nr_blocks,
			      event->nr_blocks) ||
	    !mhp__same_number(replay, event, "the node", told->node, event->node) ||
	    !mhp__same_word(replay, event, "the state", mhp__replay_states[told->state % 5],
			    mhp__replay_states[event->state]))
		return false;
	if (zone && !mhp__same_word(replay, event, "the zone", mhp__replay_zone(told->zone),
				    mhp__replay_zone(event->zone)))
		return false;
	if (!failed)
		return true;
	return mhp__same_word(replay, event, "the cause",
			      mhp_cause_name((enum mhp_cause)told->cause),
			      mhp_cause_name((enum mhp_cause)event->cause)) &&
	       (event->cause == MHP_CAUSE_NONE ||
		mhp__same_number(replay, event, "the block in the way", told->cause_block,
				 event->cause_block)) &&
	       (event->pfn == MHP_PFN_NONE ||
		mhp__same_number(replay, event, "the page in the way", told->pfn, event->pfn));
}

bool
mhp__same_blocks(struct mhp__replaying *replay, const struct mhp_event *event)
{
	struct mhp_block_info info;
	struct mhp_blocks run;
	uint32_t end = event->block + event->nr_blocks;

	for (uint32_t block = event->block; block < end; block = run.first + run.count) {
		if (mhp_range_get(replay->m, block, &run) != 0 ||
		    mhp_block_get(replay->m, block, &info) != 0)
			return mhp__differs(replay, event, "there is no block %u", block);
		if (!mhp__same_word(replay, event, "the state", mhp__replay_states[info.state],
				    mhp__replay_states[event->state]))
			return false;
		if (info.state == MHP_ABSENT)
			continue;
		if (!mhp__same_number(replay, event, "the node", info.node, event->node))
			return false;
		if (info.state == MHP_ONLINE &&
		    !mhp__same_word(replay, event, "the zone", mhp__replay_zone(info.zone),
				    mhp__replay_zone(event->zone)))
			return false;
	}
	return true;
}
