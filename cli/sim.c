/* SPDX-License-Identifier: MIT */
/*
 * sim.c - memplug sim: rehearse on simulated memory what a file says.
 *
 * It asks no pool. Everything that it reports the engine has really done; who uses the memory, and
 * what of it can move, is as the scenario has it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../replay/scenario.h"
#include "cli.h"
#include "sim_from.h"
#include "sim_svg.h"

static void
add_number(struct json_object *object, const char *name, uint64_t number)
{
	json_object_object_add(object, name, json_object_new_int64((int64_t)number));
}

static struct json_object *
sample_json(const struct mhp__scenario_sample *sample)
{
	struct json_object *object = json_object_new_object();
	add_number(object, "line", sample->line);
	add_number(object, "plugged_bytes", sample->plugged_bytes);
	add_number(object, "used_bytes", sample->used_bytes);
	add_number(object, "metadata_bytes", sample->metadata_bytes);
	add_number(object, "empty_bytes", sample->empty_bytes);
	add_number(object, "moved_bytes", sample->moved_bytes);
	add_number(object, "asked_blocks", sample->asked_blocks);
	add_number(object, "left_blocks", sample->left_blocks);
	return object;
}

static struct json_object *
nodes_json(const struct mhp__rehearsal *rehearsal)
{
	struct json_object *nodes = json_object_new_array();
	for (unsigned i = 0; i < rehearsal->nr_nodes; i++) {
		struct json_object *object = json_object_new_object();
		add_number(object, "node", i);
		add_number(object, "plugged_bytes", rehearsal->node[i].plugged_bytes);
		add_number(object, "used_bytes", rehearsal->node[i].used_bytes);
		add_number(object, "empty_bytes", rehearsal->node[i].empty_bytes);
		json_object_array_add(nodes, object);
	}
	return nodes;
}

static void
print_json(const struct mhp__rehearsal *rehearsal)
{
	struct json_object *answer = json_object_new_object();
	struct json_object *samples = json_object_new_array();
	struct json_object *refused = json_object_new_object();
	for (size_t i = 0; i < rehearsal->nr_samples; i++)
		json_object_array_add(samples, sample_json(&rehearsal->sample[i]));
	for (unsigned i = 0; i <= MHP_CAUSE_POLICY; i++)
		if (rehearsal->refused[i] != 0)
			add_number(refused, mhp_cause_name((enum mhp_cause)i),
				   rehearsal->refused[i]);
	json_object_object_add(answer, "nodes", nodes_json(rehearsal));
	json_object_object_add(answer, "refused", refused);
	add_number(answer, "missing_bytes", rehearsal->missing_bytes);
	json_object_object_add(answer, "steps", samples);
	cli_print_json(answer);
}

static void
print_text(const struct mhp__rehearsal *rehearsal)
{
	const struct mhp__scenario_sample *last = &rehearsal->sample[rehearsal->nr_samples - 1];
	printf("%zu steps\n", rehearsal->nr_samples);
	printf("memory    %s plugged, %s used, %s in blocks that are empty\n",
	       cli_size(last->plugged_bytes), cli_size(last->used_bytes),
	       cli_size(last->empty_bytes));
	for (unsigned i = 0; i < rehearsal->nr_nodes && rehearsal->nr_nodes > 1; i++)
		printf("node %-4u %s plugged, %s used, %s in blocks that are empty\n", i,
		       cli_size(rehearsal->node[i].plugged_bytes),
		       cli_size(rehearsal->node[i].used_bytes),
		       cli_size(rehearsal->node[i].empty_bytes));
	printf("metadata  %s\n", cli_size(last->metadata_bytes));
	printf("unplug    %" PRIu64 " of %" PRIu64 " blocks could leave; %s moved for it\n",
	       last->left_blocks, last->asked_blocks, cli_size(last->moved_bytes));
	for (unsigned i = 0; i <= MHP_CAUSE_POLICY; i++)
		if (rehearsal->refused[i] != 0)
			printf("refused   %" PRIu64 " times: %s\n", rehearsal->refused[i],
			       mhp_cause_text((enum mhp_cause)i));
	if (rehearsal->missing_bytes != 0)
		printf("no room   for %s that were to be used\n",
		       cli_size(rehearsal->missing_bytes));
}

static int
cannot(const char *path)
{
	cli_say("cannot write %s: %s", path, strerror(errno));
	return CLI_REFUSED;
}

static int
write_svg(const char *path, const char *name, const struct mhp__rehearsal *rehearsal)
{
	FILE *file = fopen(path, "w");
	if (file == NULL)
		return cannot(path);
	sim_svg_write(name, rehearsal, file);
	bool failed = ferror(file) != 0;
	return fclose(file) != 0 || failed ? cannot(path) : CLI_DONE;
}

static bool
read_scenario(const char *path, struct mhp__scenario *scenario)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	if (file == NULL) {
		cli_say("cannot open %s: %s", path, strerror(errno));
		return false;
	}
	bool good = mhp__scenario_read(file, scenario);
	if (file != stdin)
		fclose(file);
	if (!good)
		cli_say("%s: %s", path, cli_clean(scenario->text));
	return good;
}

static bool
is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int
cli_sim(struct cli *cli)
{
	static struct mhp__scenario scenario;
	struct mhp__rehearsal rehearsal;
	const char *svg = NULL, *from = NULL;
	int status = CLI_DONE;
	if (!CLI_OPTIONS(cli, 0, 1, { "--svg", &svg, NULL }, { "--from", &from, NULL }))
		return CLI_USAGE;
	if ((from != NULL) == (cli->argc != 0))
		return cli_usage(cli, "either a scenario, or --from a folder or a recording");
	if (from != NULL)
		return is_folder(from) ? sim_from(from) : sim_from_recording(from);
	if (!read_scenario(cli->argv[0], &scenario))
		return CLI_REFUSED;
	bool done = mhp__rehearse(&scenario, &rehearsal);
	if (!done) {
		cli_say("%s: %s", cli->argv[0], rehearsal.text);
		status = CLI_REFUSED;
	}
	if (cli->json)
		print_json(&rehearsal);
	else if (done)
		print_text(&rehearsal);
	if (done && svg != NULL)
		status = write_svg(svg, cli->argv[0], &rehearsal);
	mhp__rehearsal_close(&rehearsal);
	return status;
}
