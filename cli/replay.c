/* SPDX-License-Identifier: MIT */
/*
 * replay.c - memplug replay: does the engine still do what it did when this was recorded?
 *
 * It asks no pool: the recording is run on simulated memory in this process. Failures that could
 * not be made to happen again are named by cause, so that nobody takes them for checked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../replay/replay.h"
#include "cli.h"

static void
print_json(const struct mhp__replay_result *result)
{
	struct json_object *answer = json_object_new_object();
	struct json_object *missed = json_object_new_object();

	json_object_object_add(answer, "events", json_object_new_int64((int64_t)result->nr_events));
	json_object_object_add(answer, "failures",
			       json_object_new_int64((int64_t)result->nr_failures));
	for (unsigned i = 0; i <= MHP_CAUSE_POLICY; i++)
		if (result->nr_not_reproduced[i] != 0)
			json_object_object_add(
				missed, mhp_cause_name((enum mhp_cause)i),
				json_object_new_int64((int64_t)result->nr_not_reproduced[i]));
	json_object_object_add(answer, "not_reproduced", missed);
	if (result->text[0] != 0)
		json_object_object_add(answer, "text", json_object_new_string(result->text));
	json_object_object_add(answer, "ranges", json_object_get(result->ranges));
	cli_print_json(answer);
}

static void
print_text(const struct mhp__replay_result *result)
{
	uint64_t missed = 0;

	for (unsigned i = 0; i <= MHP_CAUSE_POLICY; i++)
		missed += result->nr_not_reproduced[i];
	printf("%" PRIu64 " events are as recorded, %" PRIu64 " of them refusals\n",
	       result->nr_events - missed, result->nr_failures);
	for (unsigned i = 0; i <= MHP_CAUSE_POLICY; i++)
		if (result->nr_not_reproduced[i] != 0)
			printf("not reproduced: %" PRIu64 " refusal%s (%s)\n",
			       result->nr_not_reproduced[i],
			       result->nr_not_reproduced[i] != 1 ? "s" : "",
			       i == MHP_CAUSE_NONE ? "the cause is not in the recording"
						   : mhp_cause_text((enum mhp_cause)i));
}

int
cli_replay(struct cli *cli)
{
	struct mhp__replay_result result;

	if (!CLI_OPTIONS(cli, 1, 1, { NULL, NULL, NULL }))
		return CLI_USAGE;
	FILE *file = strcmp(cli->argv[0], "-") == 0 ? stdin : fopen(cli->argv[0], "r");
	if (file == NULL) {
		cli_say("cannot open %s: %s", cli->argv[0], strerror(errno));
		return CLI_REFUSED;
	}
	enum mhp__replay_verdict verdict = mhp__replay(file, &result);
	if (file != stdin)
		fclose(file);
	if (cli->json)
		print_json(&result);
	else if (verdict == MHP__REPLAY_SAME)
		print_text(&result);
	if (verdict != MHP__REPLAY_SAME)
		cli_say("%s: %s", cli->argv[0], cli_clean(result.text));
	json_object_put(result.ranges);
	return verdict == MHP__REPLAY_SAME ? CLI_DONE : CLI_REFUSED;
}
