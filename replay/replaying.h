/* SPDX-License-Identifier: MIT */
/*
 * replaying.h - a replay under way, for the files that make it: begin.c (the pool of the first
 * line), compare.c (is it as recorded?), run.c (the steps).
 */
#ifndef MHP_REPLAYING_H
#define MHP_REPLAYING_H

#include "replay.h"

struct mhp__replaying {
	struct mhp__replay_reader reader;
	struct mhp__replay_result *result;
	struct mhp_sim *sim;
	struct mhp *m;
	struct mhp__standin standin;
	uint32_t first_generation;     /* of what is added by events; the rest was there before */
	struct mhp_event told;         /* by the engine, about the last call */
	unsigned nr_told;
};

/* ---- begin.c ---- */

/* Make the pool of the first line. False: the result says why not. */
bool mhp__replay_begin(struct mhp__replaying *replay);
/* mhp_add() as a replay makes it: offline, with metadata that was on a node outside of blocks. */
int mhp__replay_add(struct mhp__replaying *replay, struct mhp_blocks blocks,
		    struct mhp_add_opts opts);
/* False: the engine refuses these knobs. */
bool mhp__replay_set_policy(struct mhp__replaying *replay, const struct mhp_policy *policy,
			    enum mhp_memmap_switch value);

/* ---- compare.c: true if they are the same ---- */

/* Say in the result what differs at this event. Always false. */
bool mhp__differs(struct mhp__replaying *replay, const struct mhp_event *event, const char *format,
		  ...) __attribute__((format(printf, 3, 4)));
bool mhp__same_number(struct mhp__replaying *replay, const struct mhp_event *event,
		      const char *what, uint64_t have, uint64_t want);
bool mhp__same_word(struct mhp__replaying *replay, const struct mhp_event *event, const char *what,
		    const char *have, const char *want);
/* The error that a call returned. */
bool mhp__same_result(struct mhp__replaying *replay, const struct mhp_event *event, int have);
/* The event that the engine told of the call. */
bool mhp__same_event(struct mhp__replaying *replay, const struct mhp_event *event);
/* Every block of the event is as the event says. */
bool mhp__same_blocks(struct mhp__replaying *replay, const struct mhp_event *event);

#endif
