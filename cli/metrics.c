/* SPDX-License-Identifier: MIT */
/*
 * metrics.c - memplug metrics: what the pool counts, as OpenMetrics text (version 1.0).
 *
 * The pool answers with JSON; this file owns the names, units and help of the metrics, and nothing
 * else does. Samples of one metric stand together, counters end in _total, times are seconds, and
 * the text ends with # EOF, as the format wants it. What the pool left out is left out here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static struct json_object *
member(struct json_object *object, const char *name)
{
	struct json_object *found = NULL;
	json_object_object_get_ex(object, name, &found);
	return found;
}

static size_t
length(struct json_object *array)
{
	return array != NULL ? json_object_array_length(array) : 0;
}

static uint64_t
number_at(struct json_object *array, size_t i)
{
	return (uint64_t)json_object_get_int64(json_object_array_get_idx(array, i));
}

static void
head(const char *name, const char *type, const char *unit, const char *help)
{
	printf("# TYPE memplug_%s %s\n", name, type);
	if (*unit != 0)
		printf("# UNIT memplug_%s %s\n", name, unit);
	printf("# HELP memplug_%s %s\n", name, help);
}

/* 1234567890 -> 1.234567890 */
static void
print_seconds(uint64_t ns)
{
	printf("%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}

/* ---- single values ---- */

struct single {
	const char *group, *member;    /* where it is in the answer; group "": at the top */
	const char *name, *type, *unit, *help;
};

static const struct single singles[] = {
	{ "", "block_size_bytes", "block_size_bytes", "gauge", "bytes", "Size of a memory block." },
	{ "", "last_event", "last_event", "gauge", "", "Number of the last event." },
	{ "", "offlining_blocks", "offlining_blocks", "gauge", "",
	  "Blocks in the first run that is being taken offline now." },
	{ "", "offlining_left_pages", "offlining_left_pages", "gauge", "pages",
	  "Pages that have still to leave them." },
	{ "engine", "footprint_bytes", "footprint_bytes", "gauge", "bytes",
	  "Memory that the engine has outside of blocks." },
	{ "engine", "waste_bytes", "waste_bytes", "gauge", "bytes",
	  "Memory in reserves that nothing uses." },
	{ "engine", "bad_pages", "bad_pages", "gauge", "pages",
	  "Pages with memory errors that are remembered." },
	{ "engine", "auto_online_retries", "auto_online_retries", "counter", "",
	  "Attempts to bring blocks online by themselves that were repeated." },
	{ "port", "committed_bytes", "committed_bytes", "gauge", "bytes",
	  "Memory of the pool that the program has." },
	{ "port", "moved_pages", "copied_pages", "counter", "pages",
	  "Pages of 4 KiB that moved, for whatever reason." },
	{ "port", "untouched_pages", "untouched_pages", "counter", "pages",
	  "Part of those: there was nothing to copy." },
	{ "port", "move_batches", "stalls", "counter", "",
	  "Times that writers to some pages had to wait for a move." },
	{ "port", "map_retries", "map_retries", "counter", "",
	  "Times that the kernel refused a mapping to a move at first." },
	{ "port", "mappings", "mappings", "gauge", "", "Kernel mappings that the heap takes." },
	{ "port", "mappings_max", "mappings_max", "gauge", "",
	  "The kernel's limit of mappings for the process." },
	{ "port", "forks", "forks", "counter", "", "Forks of the program." },
	{ "port", "children", "children", "gauge", "",
	  "Forked children that still see memory of the pool." },
	{ "port", "cow_pages", "cow_pages", "counter", "pages",
	  "Pages that were copied on write because of them." },
	{ "port", "quarantined_pages", "quarantined_pages", "gauge", "pages",
	  "Pages that are kept for them now." },
};

static void
print_single(struct json_object *answer, const struct single *single)
{
	struct json_object *group =
		*single->group != 0 ? member(answer, single->group) : answer;
	if (member(group, single->member) == NULL)
		return;
	head(single->name, single->type, single->unit, single->help);
	printf("memplug_%s%s %" PRIu64 "\n", single->name,
	       strcmp(single->type, "counter") == 0 ? "_total" : "",
	       cli_number(group, single->member));
}

static void
print_stalls(struct json_object *answer)
{
	struct json_object *port = member(answer, "port");
	head("stall_seconds", "counter", "seconds", "Time that writers may have waited for moves.");
	printf("memplug_stall_seconds_total ");
	print_seconds(cli_number(port, "stall_sum_ns"));
	printf("\n");
	head("stall_max_seconds", "gauge", "seconds", "The longest such wait.");
	printf("memplug_stall_max_seconds ");
	print_seconds(cli_number(port, "stall_max_ns"));
	printf("\n");
}

/* ---- families ---- */

static void
print_events(struct json_object *answer)
{
	struct json_object *events = member(answer, "events");
	struct json_object *moved = member(answer, "moved_pages");
	head("events", "counter", "", "Events since the pool was made, by kind.");
	json_object_object_foreach(events, kind, count)
		printf("memplug_events_total{event=\"%s\"} %" PRId64 "\n", kind,
		       json_object_get_int64(count));
	head("moved_pages", "counter", "pages", "Pages that operations moved.");
	json_object_object_foreach(moved, operation, pages)
		printf("memplug_moved_pages_total{operation=\"%s\"} %" PRId64 "\n", operation,
		       json_object_get_int64(pages));
}

static void
print_blocks(struct json_object *answer)
{
	struct json_object *blocks = member(answer, "blocks");
	head("blocks", "gauge", "", "Memory blocks, by node, state and zone.");
	for (size_t i = 0; i < length(blocks); i++) {
		struct json_object *one = json_object_array_get_idx(blocks, i);
		printf("memplug_blocks{node=\"%u\",state=\"%s\",zone=\"%s\"} %" PRIu64 "\n",
		       (unsigned)cli_number(one, "node"), cli_string(one, "state"),
		       cli_string(one, "zone"), cli_number(one, "count"));
	}
}

static void
print_metadata(struct json_object *answer)
{
	struct json_object *metadata = member(answer, "metadata");
	if (metadata == NULL)
		return;
	head("metadata_bytes", "gauge", "bytes", "Metadata of blocks, by the node that it is on.");
	for (size_t i = 0; i < length(metadata); i++) {
		struct json_object *one = json_object_array_get_idx(metadata, i);
		printf("memplug_metadata_bytes{node=\"%u\"} %" PRIu64 "\n",
		       (unsigned)cli_number(one, "node"), cli_number(one, "bytes"));
	}
}

static void
print_zones(struct json_object *answer)
{
	static const char *const kinds[] = { "spanned", "present", "managed", "free", "cached" };
	struct json_object *zones = member(answer, "zones");
	if (zones == NULL)
		return;
	head("zone_bytes", "gauge", "bytes",
	     "Memory of zones: spanned, present, managed, free, and free in caches.");
	for (size_t i = 0; i < length(zones); i++) {
		struct json_object *one = json_object_array_get_idx(zones, i);
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			printf("memplug_zone_bytes{node=\"%u\",zone=\"%s\",kind=\"%s\"} %" PRIu64
			       "\n", (unsigned)cli_number(one, "node"), cli_string(one, "zone"),
			       kinds[k],
			       cli_number(one, kinds[k]) * cli_number(answer, "page_bytes"));
	}
}

/* ---- histograms ---- */

static void
print_histogram(const char *name, struct json_object *one, struct json_object *bounds)
{
	struct json_object *buckets = member(one, "buckets");
	char labels[128];
	uint64_t sum = 0;
	bool phase = member(one, "phase") != NULL;
	snprintf(labels, sizeof(labels), "operation=\"%s\",result=\"%s\"%s%s%s",
		 cli_string(one, "operation"), cli_string(one, "result"),
		 phase ? ",phase=\"" : "", cli_string(one, "phase"), phase ? "\"" : "");
	for (size_t i = 0; i < length(buckets); i++) {
		sum += number_at(buckets, i);
		printf("memplug_%s_bucket{%s,le=\"", name, labels);
		if (i < length(bounds))
			printf("%.9g", (double)number_at(bounds, i) / 1e9);
		else
			printf("+Inf");
		printf("\"} %" PRIu64 "\n", sum);
	}
	printf("memplug_%s_count{%s} %" PRIu64 "\nmemplug_%s_sum{%s} ", name, labels, sum, name,
	       labels);
	print_seconds(cli_number(one, "sum_ns"));
	printf("\n");
}

static void
print_histograms(struct json_object *answer, const char *group, const char *name, const char *help)
{
	struct json_object *all = member(answer, group);
	head(name, "histogram", "seconds", help);
	for (size_t i = 0; i < length(all); i++)
		print_histogram(name, json_object_array_get_idx(all, i),
				member(answer, "bounds_ns"));
}

int
cli_metrics(struct cli *cli)
{
	int status;
	if (cli->argc != 0)
		return cli_usage("metrics [--json]");
	struct json_object *answer = cli_ask(cli, &status, "metrics\n");
	if (answer == NULL)
		return status;
	if (cli->json) {
		puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(answer);
		return CLI_DONE;
	}
	print_events(answer);
	print_blocks(answer);
	for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++)
		print_single(answer, &singles[i]);
	print_stalls(answer);
	print_metadata(answer);
	print_zones(answer);
	print_histograms(answer, "took", "operation_seconds",
			 "How long operations on blocks took.");
	print_histograms(answer, "phases", "phase_seconds",
			 "What the time of operations on blocks went to.");
	puts("# EOF");
	json_object_put(answer);
	return CLI_DONE;
}
