/* SPDX-License-Identifier: MIT */
/*
 * sim_recorded.c - a scenario for memplug sim, made from a recording of memplug monitor --json.
 *
 * Memory that was online when it began, or came online, is added; what went offline, or was asked
 * to and refused, is removed. Steps of one kind that follow each other are one, and so are two
 * refusals of the same blocks: a pool tries again when the allocator has given back what it keeps.
 * Recordings do not tell how much is in use: a comment says where to put it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../replay/replay.h"
#include "../replay/scenario.h"
#include "cli.h"
#include "sim_from.h"

enum kind { NOTHING, ADD, REMOVE, REFUSED };

/* A line that is not printed yet, since the next event may extend it. */
struct pending {
	enum kind kind;
	bool kernel;
	uint32_t nr_blocks;
	uint64_t block_bytes;
	unsigned nr_printed;
	uint32_t refused, nr_refused;  /* the last refusal, if no block has changed since */
};

static void
flush(struct pending *pending)
{
	uint64_t bytes = pending->nr_blocks * pending->block_bytes;
	if (pending->kind == ADD)
		sim_print_size("add", bytes, pending->kernel ? " kernel" : "");
	else if (pending->kind != NOTHING)
		sim_print_size("remove", bytes,
			       pending->kind == REFUSED ? " # was refused" : "");
	pending->nr_printed += pending->kind != NOTHING;
	pending->kind = NOTHING;
	pending->nr_blocks = 0;
}

static void
step(struct pending *pending, enum kind kind, bool kernel, uint32_t nr_blocks)
{
	if (pending->kind != kind || pending->kernel != kernel)
		flush(pending);
	pending->kind = kind;
	pending->kernel = kernel;
	pending->nr_blocks += nr_blocks;
}

static void
take_event(struct pending *pending, const struct mhp_event *event)
{
	if (event->kind == MHP_EV_ONLINE)
		step(pending, ADD, event->zone == MHP_ZONE_NORMAL, event->nr_blocks);
	else if (event->kind == MHP_EV_OFFLINE)
		step(pending, REMOVE, false, event->nr_blocks);
	else if (event->kind == MHP_EV_OFFLINE_FAILED &&
		 (event->block != pending->refused || event->nr_blocks != pending->nr_refused)) {
		step(pending, REFUSED, false, event->nr_blocks);
		pending->refused = event->block;
		pending->nr_refused = event->nr_blocks;
	}
	if (event->kind == MHP_EV_ONLINE || event->kind == MHP_EV_OFFLINE)
		pending->nr_refused = 0;
}

/* Print the state before the first event. */
static void
print_start(struct mhp__replay_reader *reader, struct pending *pending)
{
	struct mhp__replay_range range;
	bool more = true;
	printf("# from a recording of memplug monitor --json\n");
	sim_print_size("host", reader->geometry.nr_blocks * pending->block_bytes, "");
	sim_print_size("block", pending->block_bytes, "");
	for (size_t i = 0; mhp__replay_read_range(reader, i, &more, &range) && more; i++)
		if (range.state == MHP_ONLINE)
			step(pending, ADD, range.zone == MHP_ZONE_NORMAL, range.blocks.count);
	flush(pending);
	puts("# How much was in use is not recorded: say it here, for example: use 60%");
}

/* False: text says what is wrong. */
static bool
print_scenario(struct mhp__replay_reader *reader)
{
	struct mhp__replay_event event;
	if (!mhp__replay_read_first(reader))
		return false;
	struct pending pending = {
		.block_bytes = UINT64_C(1) << (reader->geometry.block_order +
					       reader->geometry.page_shift),
	};
	print_start(reader, &pending);
	while (reader->text[0] == 0 && pending.nr_printed < MHP__SCENARIO_STEPS - 16 &&
	       mhp__replay_read_event(reader, &event))
		take_event(&pending, &event.event);
	flush(&pending);
	if (pending.nr_printed >= MHP__SCENARIO_STEPS - 16)
		puts("# The recording goes on; a scenario has no room for more.");
	return reader->text[0] == 0;
}

int
sim_from_recording(const char *path)
{
	char text[MHP__REPLAY_TEXT] = "";
	struct mhp__replay_reader reader = {
		.file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r"), .text = text,
	};
	if (reader.file == NULL) {
		cli_say("cannot open %s: %s", path, strerror(errno));
		return CLI_REFUSED;
	}
	bool done = print_scenario(&reader);
	if (!done)
		cli_say("%s: %s", path, cli_clean(text));
	mhp__replay_close(&reader);
	if (reader.file != stdin)
		fclose(reader.file);
	return done ? CLI_DONE : CLI_REFUSED;
}
