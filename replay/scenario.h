/* SPDX-License-Identifier: MIT */
/*
 * scenario.h - rehearse on simulated memory what a file says (memplug sim).
 *
 * scenario.c knows the words, rehearse.c the engine. A file has one step a line; what is between
 * `repeat N` and `end` is done again. The measurements after each step make the report.
 */
#ifndef MHP_REPLAY_SCENARIO_H
#define MHP_REPLAY_SCENARIO_H

#include <memplug/mhp.h>
#include <stdio.h>

#define MHP__SCENARIO_STEPS 256U
#define MHP__SCENARIO_TEXT 240U
#define MHP__SCENARIO_NODES 16U

enum mhp__step_kind {
	MHP__STEP_ADD,
	MHP__STEP_USE,
	MHP__STEP_FREE,
	MHP__STEP_REMOVE,
	MHP__STEP_REPEAT,
	MHP__STEP_END,
};

struct mhp__scenario_step {
	enum mhp__step_kind kind;
	unsigned line;
	bool kernel;                   /* ADD: for anything; USE: what cannot move */
	bool per_cent;                 /* the amount is a share of what it is taken from */
	bool has_node;                 /* USE: there first; REMOVE: from there only */
	unsigned node;                 /* ADD, USE, REMOVE */
	unsigned order;                /* USE: of each page */
	uint64_t amount;               /* bytes, per cent, or REPEAT: times */
	unsigned other;                /* REPEAT: its END; END: its REPEAT */
};

struct mhp__scenario {
	uint64_t host_bytes, block_bytes, seed;
	bool external;                 /* descriptors in memory of others */
	unsigned nr_nodes;
	unsigned nr_steps;
	struct mhp__scenario_step step[MHP__SCENARIO_STEPS];
	char text[MHP__SCENARIO_TEXT]; /* what is wrong, "line 3: ..." */
};

/* False: text says why. */
bool mhp__scenario_read(FILE *file, struct mhp__scenario *ret_scenario);

/* After a step. */
struct mhp__scenario_sample {
	unsigned line;
	uint64_t plugged_bytes, used_bytes, metadata_bytes;
	uint64_t empty_bytes;          /* of blocks of which nothing is used: they leave at once */
	uint64_t moved_bytes;          /* so far */
	uint64_t asked_blocks, left_blocks; /* so far: that were to leave, and that left */
};

/* Of one node, after the last step. */
struct mhp__scenario_node {
	uint64_t plugged_bytes, used_bytes, empty_bytes;
};

struct mhp__rehearsal {
	size_t nr_samples;
	struct mhp__scenario_sample *sample;
	uint64_t refused[MHP_CAUSE_POLICY + 1]; /* blocks that did not leave, by cause */
	unsigned nr_nodes;
	struct mhp__scenario_node node[MHP__SCENARIO_NODES];
	uint64_t missing_bytes;        /* that were to be used, and for which there was no room */
	char text[MHP__SCENARIO_TEXT]; /* what a step could not do at all */
};

/* False: text says which line went wrong. To be closed in any case. */
bool mhp__rehearse(const struct mhp__scenario *scenario, struct mhp__rehearsal *ret_rehearsal);
void mhp__rehearsal_close(struct mhp__rehearsal *rehearsal);

#endif
