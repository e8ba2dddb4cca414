/* SPDX-License-Identifier: MIT */
/*
 * replay.h - run what `memplug monitor --json` recorded again, on simulated memory.
 *
 * read.c reads the lines, begin.c makes a pool as the first line says, run.c makes the changes,
 * standin.c makes those fail that failed, compare.c says what differs. The engine's decisions
 * follow from the events alone, so the same events must have the same results. What was in memory
 * and how long things took is not recorded; failures for such reasons are counted.
 */
#ifndef MHP_REPLAY_H
#define MHP_REPLAY_H

#include <memplug/mhp.h>
#include <json-c/json.h>
#include <stdio.h>

#define MHP__REPLAY_TEXT 400U

/* The result of a replay. */
struct mhp__replay_result {
	uint64_t nr_events;            /* that were replayed, and were as recorded */
	uint64_t nr_failures;          /* part of those: failed again as recorded */
	uint64_t nr_not_reproduced[MHP_CAUSE_POLICY + 1]; /* failed when recorded; by cause */
	char text[MHP__REPLAY_TEXT];   /* the first difference, or what is wrong with the file */
	struct json_object *ranges;    /* what is there at the end; the caller puts it */
};

enum mhp__replay_verdict {
	MHP__REPLAY_SAME,
	MHP__REPLAY_DIFFERS,
	MHP__REPLAY_MALFORMED,
};

/* Replay a recording; the result is set in any case. */
enum mhp__replay_verdict mhp__replay(FILE *file, struct mhp__replay_result *ret_result);

/* ---- read.c ---- */

/* A run of blocks as the first line lists it. */
struct mhp__replay_range {
	struct mhp_blocks blocks;
	enum mhp_block_state state;    /* OFFLINE, or ONLINE, which includes what is leaving */
	unsigned zone, node, placement, metadata_node, backing;
	bool boot;
};

/* An event, with what a pointer or another call would have told. */
struct mhp__replay_event {
	struct mhp_event event;
	struct mhp_policy policy;
	enum mhp_memmap_switch memmap_switch;
};

struct mhp__replay_reader {
	FILE *file;
	char *line;
	size_t room;
	uint64_t nr_lines;
	uint64_t next;                 /* the event that must come next */
	struct json_object *object;    /* the line under way */
	struct json_object *first;     /* the first line, for its arrays */
	struct mhp_geometry geometry;
	struct mhp_policy policy;
	enum mhp_memmap_switch memmap_switch;
	char *text;                    /* MHP__REPLAY_TEXT bytes: what is wrong */
};

/* Read the first line. */
bool mhp__replay_read_first(struct mhp__replay_reader *reader);
/* The ranges that it lists: entry i, or false; *ret_more says whether there was one. */
bool mhp__replay_read_range(struct mhp__replay_reader *reader, size_t i, bool *ret_more,
			    struct mhp__replay_range *ret_range);
bool mhp__replay_read_bad(struct mhp__replay_reader *reader, size_t i, bool *ret_more,
			  uint64_t *ret_pfn);
/* Read the next event; false with no text is the end. */
bool mhp__replay_read_event(struct mhp__replay_reader *reader, struct mhp__replay_event *ret_event);
void mhp__replay_close(struct mhp__replay_reader *reader);

extern const char *const mhp__replay_states[5]; /* by enum mhp_block_state */
const char *mhp__replay_zone(unsigned zone);
extern const char *const mhp__replay_places[3]; /* by enum mhp_placement */

/* ---- standin.c ---- */

/* Something that makes the next call fail as one did before. */
struct mhp__standin {
	struct mhp *m;
	struct mhp_sim *sim;
	uint16_t movable, unmovable;   /* owners of the page that is in the way */
	uint64_t page_pfn;             /* or MHP_PFN_NONE */
	enum mhp_cause cause;          /* what it does */
	int error;
	uint32_t block;                /* LISTENER: objects to this one */
};

int mhp__standin_init(struct mhp__standin *standin, struct mhp *m, struct mhp_sim *sim);
/* Prepare for the failure of this event; false: it cannot be reproduced. */
bool mhp__standin_put(struct mhp__standin *standin, const struct mhp_event *event);
/* Take it away again. */
void mhp__standin_take(struct mhp__standin *standin);

#endif
