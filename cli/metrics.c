/* SPDX-License-Identifier: MIT */
/*
 * metrics.c - what pools count, as OpenMetrics text (version 1.0).
 *
 * Pools answer with JSON; this file owns the names, units and help of the metrics, and nothing else
 * does. Samples of one metric stand together, of all pools, each with the pool and its process as
 * labels; counters end in _total, times are seconds, and the text ends with # EOF, as the format
 * wants it. Values that a pool left out are left out here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "metrics.h"

/* One pool, and the labels that all of its samples have. */
struct source {
	struct json_object *answer;
	char labels[2 * 64 + 48];
};

static struct source sources[METRICS_POOLS_MAX];
static unsigned nr_sources;
static FILE *to;

/* ---- labels ---- */

static void
set_labels(struct source *source, const struct mhp__peer *pool)
{
	char name[2 * sizeof(pool->name)];
	size_t used = 0;
	for (const char *c = pool->name; *c != 0; c++) {
		if (*c == '"' || *c == '\\')
			name[used++] = '\\';
		name[used++] = *c;
	}
	name[used] = 0;
	snprintf(source->labels, sizeof(source->labels), "pool=\"%s\",pid=\"%d\"", name, pool->pid);
}

/* A value of a label that a pool made up: letters, digits, - and _ stay. */
static const char *
label(struct json_object *object, const char *name)
{
	static char buffers[4][64];
	static unsigned next;
	char *text = buffers[next++ % 4];
	snprintf(text, sizeof(buffers[0]), "%s", cli_string(object, name));
	for (char *c = text; *c != 0; c++)
		if (strchr("\"\\\n", *c) != NULL)
			*c = '?';
	return text;
}

static void
head(const char *name, const char *type, const char *unit, const char *help)
{
	fprintf(to, "# TYPE memplug_%s %s\n", name, type);
	if (*unit != 0)
		fprintf(to, "# UNIT memplug_%s %s\n", name, unit);
	fprintf(to, "# HELP memplug_%s %s\n", name, help);
}

/* 1234567890 -> 1.234567890 */
static void
print_seconds(uint64_t ns)
{
	fprintf(to, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}

/* ---- single values ---- */

struct single {
	const char *group, *member;    /* where it is in the answer; group "": at the top */
	const char *name, *type, *unit, *help;
};

static const struct single singles[] = {
	{ "", "block_size_bytes", "block_size_bytes", "gauge", "bytes", "Size of a memory block." },
	{ "", "max_bytes", "max_bytes", "gauge", "bytes",
	  "How far the pool grows by itself; 0: it does not." },
	{ "", "limit_bytes", "limit_bytes", "gauge", "bytes",
	  "The limit of the cgroup that the pool follows; 0: none." },
	{ "", "safe_bytes", "safe_bytes", "gauge", "bytes",
	  "What that limit can safely be lowered to; 0: not followed." },
	{ "", "used_bytes", "used_bytes", "gauge", "bytes",
	  "Memory of online blocks that is not free." },
	{ "", "free_bytes", "free_bytes", "gauge", "bytes",
	  "Memory of online blocks that is free." },
	{ "", "last_event", "last_event", "gauge", "", "Number of the last event." },
	{ "", "offlining_blocks", "offlining_blocks", "gauge", "",
	  "Blocks in the first run that is being taken offline now." },
	{ "", "offlining_left_pages", "offlining_left_pages", "gauge", "pages",
	  "Pages that still have to leave them." },
	{ "engine", "footprint_bytes", "footprint_bytes", "gauge", "bytes",
	  "Memory that the engine uses outside of blocks." },
	{ "engine", "waste_bytes", "waste_bytes", "gauge", "bytes",
	  "Memory in reserves that nothing uses." },
	{ "engine", "bad_pages", "bad_pages", "gauge", "pages",
	  "Pages with memory errors that are remembered." },
	{ "engine", "auto_online_retries", "auto_online_retries", "counter", "",
	  "Repeated attempts to bring blocks online automatically." },
	{ "port", "committed_bytes", "committed_bytes", "gauge", "bytes",
	  "Memory of the pool that the program has." },
	{ "port", "settled_bytes", "settled_bytes", "gauge", "bytes",
	  "Part of that memory that lies on devices." },
	{ "port", "relabelled_pages", "relabelled_pages", "counter", "pages",
	  "Pages of 4 KiB that got another number in the pool; nothing was copied." },
	{ "port", "moved_pages", "copied_pages", "counter", "pages",
	  "Pages of 4 KiB that were copied to a device or from it." },
	{ "port", "untouched_pages", "untouched_pages", "counter", "pages",
	  "Part of those: there was nothing to copy." },
	{ "port", "move_batches", "stalls", "counter", "",
	  "Times that writers to some pages had to wait for a move." },
	{ "port", "map_retries", "map_retries", "counter", "",
	  "Times that the kernel at first refused a move its mapping." },
	{ "port", "mappings", "mappings", "gauge", "", "Kernel mappings that the heap takes." },
	{ "port", "mappings_max", "mappings_max", "gauge", "",
	  "The kernel's limit of mappings for the process." },
	{ "port", "forks", "forks", "counter", "", "Forks of the program." },
	{ "tiering", "looks", "tiering_looks", "counter", "",
	  "Windows that tiering has looked at." },
	{ "tiering", "moved_pages", "tiering_moved_pages", "counter", "pages",
	  "Pages of 4 KiB that tiering has moved, up and down." },
	{ "tiering", "refused", "tiering_refused", "counter", "",
	  "Moves that tiering wanted but could not make." },
	{ "", "resident_bytes", "resident_bytes", "gauge", "bytes",
	  "Memory that the process has resident, of the pool or not." },
};

/* Where a single value is, in an answer; NULL: the pool left it out. */
static struct json_object *
group_of(const struct single *single, const struct source *source)
{
	struct json_object *group =
		*single->group != 0 ? cli_member(source->answer, single->group) : source->answer;
	return cli_has(group, single->member) ? group : NULL;
}

static void
print_single(const struct single *single)
{
	bool counter = strcmp(single->type, "counter") == 0, headed = false;
	for (unsigned i = 0; i < nr_sources; i++) {
		struct json_object *group = group_of(single, &sources[i]);
		if (group == NULL)
			continue;
		if (!headed)
			head(single->name, single->type, single->unit, single->help);
		headed = true;
		fprintf(to, "memplug_%s%s{%s} %" PRIu64 "\n", single->name,
			counter ? "_total" : "", sources[i].labels,
			cli_number(group, single->member));
	}
}

static void
print_times(const char *member, const char *name, const char *type, const char *help)
{
	bool counter = strcmp(type, "counter") == 0;
	head(name, type, "seconds", help);
	for (unsigned i = 0; i < nr_sources; i++) {
		fprintf(to, "memplug_%s%s{%s} ", name, counter ? "_total" : "",
			sources[i].labels);
		print_seconds(cli_number(cli_member(sources[i].answer, "port"), member));
		fputc('\n', to);
	}
}

/* ---- families ---- */

/* A member that is an object: its names are the values of a label. */
static void
print_named(const char *group, const char *name, const char *unit, const char *key,
	    const char *help)
{
	head(name, "counter", unit, help);
	for (unsigned i = 0; i < nr_sources; i++) {
		struct json_object *all = cli_member(sources[i].answer, group);
		if (all == NULL)
			continue;
		json_object_object_foreach(all, one, count) {
			(void)count;
			fprintf(to, "memplug_%s_total{%s,%s=\"%s\"} %" PRIu64 "\n", name,
				sources[i].labels, key, one, cli_number(all, one));
		}
	}
}

static void
print_blocks(void)
{
	head("blocks", "gauge", "", "Memory blocks, by node, state and zone.");
	for (unsigned i = 0; i < nr_sources; i++) {
		struct json_object *blocks = cli_array(sources[i].answer, "blocks");
		for (size_t k = 0; k < cli_length(blocks); k++) {
			struct json_object *one = cli_at(blocks, k);
			fprintf(to, "memplug_blocks{%s,node=\"%u\",state=\"%s\",zone=\"%s\"} %"
				PRIu64 "\n", sources[i].labels, (unsigned)cli_number(one, "node"),
				label(one, "state"), label(one, "zone"), cli_number(one, "count"));
		}
	}
}

static void
print_metadata(void)
{
	head("metadata_bytes", "gauge", "bytes", "Metadata of blocks, by the node that it is on.");
	for (unsigned i = 0; i < nr_sources; i++) {
		struct json_object *metadata = cli_array(sources[i].answer, "metadata");
		for (size_t k = 0; k < cli_length(metadata); k++)
			fprintf(to, "memplug_metadata_bytes{%s,node=\"%u\"} %" PRIu64 "\n",
				sources[i].labels,
				(unsigned)cli_number(cli_at(metadata, k), "node"),
				cli_number(cli_at(metadata, k), "bytes"));
	}
}

static void
print_zone(const struct source *source, struct json_object *zone)
{
	static const char *const kinds[] = { "spanned", "present", "managed", "free", "cached" };
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		fprintf(to, "memplug_zone_bytes{%s,node=\"%u\",zone=\"%s\",kind=\"%s\"} %" PRIu64
			"\n", source->labels, (unsigned)cli_number(zone, "node"),
			label(zone, "zone"), kinds[k],
			cli_number(zone, kinds[k]) * cli_number(source->answer, "page_bytes"));
}

static void
print_zones(void)
{
	head("zone_bytes", "gauge", "bytes",
	     "Memory of zones: spanned, present, managed, free, and free in caches.");
	for (unsigned i = 0; i < nr_sources; i++) {
		struct json_object *zones = cli_array(sources[i].answer, "zones");
		for (size_t k = 0; k < cli_length(zones); k++)
			print_zone(&sources[i], cli_at(zones, k));
	}
}

/* ---- histograms ---- */

static void
print_histogram(const struct source *source, const char *name, struct json_object *one)
{
	struct json_object *buckets = cli_array(one, "buckets");
	struct json_object *bounds = cli_array(source->answer, "bounds_ns");
	char labels[400];
	uint64_t sum = 0;
	bool phase = cli_has(one, "phase");
	snprintf(labels, sizeof(labels), "%s,operation=\"%s\",result=\"%s\"%s%s%s", source->labels,
		 label(one, "operation"), label(one, "result"), phase ? ",phase=\"" : "",
		 label(one, "phase"), phase ? "\"" : "");
	for (size_t i = 0; i < cli_length(buckets); i++) {
		sum += cli_number_at(buckets, i);
		fprintf(to, "memplug_%s_bucket{%s,le=\"", name, labels);
		if (i < cli_length(bounds))
			fprintf(to, "%.9g", (double)cli_number_at(bounds, i) / 1e9);
		else
			fputs("+Inf", to);
		fprintf(to, "\"} %" PRIu64 "\n", sum);
	}
	fprintf(to, "memplug_%s_count{%s} %" PRIu64 "\nmemplug_%s_sum{%s} ", name, labels, sum,
		name, labels);
	print_seconds(cli_number(one, "sum_ns"));
	fputc('\n', to);
}

static void
print_histograms(const char *group, const char *name, const char *help)
{
	head(name, "histogram", "seconds", help);
	for (unsigned i = 0; i < nr_sources; i++) {
		struct json_object *all = cli_array(sources[i].answer, group);
		for (size_t k = 0; k < cli_length(all); k++)
			print_histogram(&sources[i], name, cli_at(all, k));
	}
}

static void
print_all(void)
{
	head("up", "gauge", "", "Pools that answered.");
	for (unsigned i = 0; i < nr_sources; i++)
		fprintf(to, "memplug_up{%s} 1\n", sources[i].labels);
	print_named("events", "events", "", "event", "Events since the pool was made, by kind.");
	print_named("moved_pages", "moved_pages", "pages", "operation",
		    "Pages that operations moved.");
	print_blocks();
	for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++)
		print_single(&singles[i]);
	print_times("stall_sum_ns", "stall_seconds", "counter",
		    "Time that writers may have waited for moves.");
	print_times("stall_max_ns", "stall_max_seconds", "gauge", "The longest such wait.");
	print_metadata();
	print_zones();
	print_histograms("took", "operation_seconds", "How long operations on blocks took.");
	print_histograms("phases", "phase_seconds",
			 "Where the time of operations on blocks went.");
	fputs("# EOF\n", to);
}

void
metrics_print(FILE *file, const struct mhp__peer *pools, struct json_object **answers, unsigned nr)
{
	to = file;
	nr_sources = 0;
	for (unsigned i = 0; i < nr && nr_sources < METRICS_POOLS_MAX; i++) {
		if (answers[i] == NULL)
			continue;
		sources[nr_sources].answer = answers[i];
		set_labels(&sources[nr_sources++], &pools[i]);
	}
	print_all();
}
