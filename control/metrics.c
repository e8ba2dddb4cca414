/* SPDX-License-Identifier: MIT */
/*
 * metrics.c - counters, gauges and histograms of a pool, as one JSON object.
 *
 * Counts of events are kept as they happen, by the one thread that is in the callback, and read
 * without a lock; the rest is asked of the engine. Neither waits for an offline that takes long.
 * The command makes OpenMetrics text of it.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "events.h"

/* Bucket i holds what took up to 1 us << i; the last one everything longer (33 s is the last). */
#define BUCKETS 27U
#define BUCKET_NS UINT64_C(1000)

struct histogram {
	_Atomic uint64_t count[BUCKETS];
	_Atomic uint64_t sum_ns;
};

enum { OFFLINE_BLOCKS, NORMAL_BLOCKS, MOVABLE_BLOCKS, BLOCK_KINDS };

static struct {
	_Atomic uint64_t events[MHP_EV_KINDS];
	_Atomic uint64_t moved[MHP_EV_KINDS]; /* pages; OFFLINE, COMPACT, MOVE */
	_Atomic uint32_t blocks[MHP_NODES_MAX][BLOCK_KINDS];
	struct histogram took[MHP_EV_KINDS];
	struct histogram phase[MHP_EV_KINDS][MHP_PHASES];
} metrics;

static void
add(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static uint64_t
get(_Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- counting ---- */

static unsigned
bucket_of(uint64_t ns)
{
	uint64_t units = (ns + BUCKET_NS - 1) / BUCKET_NS;
	unsigned bucket = units <= 1 ? 0 : 64U - (unsigned)__builtin_clzll(units - 1);
	return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static void
observe(struct histogram *histogram, uint64_t ns)
{
	add(&histogram->count[bucket_of(ns)], 1);
	add(&histogram->sum_ns, ns);
}

static void
move_blocks(const struct mhp_event *event, int from, int to)
{
	_Atomic uint32_t *blocks = metrics.blocks[event->node % MHP_NODES_MAX];
	if (from >= 0)
		atomic_fetch_sub_explicit(&blocks[from], event->nr_blocks, memory_order_relaxed);
	if (to >= 0)
		atomic_fetch_add_explicit(&blocks[to], event->nr_blocks, memory_order_relaxed);
}

void
mhp__metrics_count(const struct mhp_event *event)
{
	int zone = event->zone == MHP_ZONE_MOVABLE ? MOVABLE_BLOCKS : NORMAL_BLOCKS;

	add(&metrics.events[event->kind], 1);
	if (event->kind == MHP_EV_ADD)
		move_blocks(event, -1, OFFLINE_BLOCKS);
	else if (event->kind == MHP_EV_ONLINE)
		move_blocks(event, OFFLINE_BLOCKS, zone);
	else if (event->kind == MHP_EV_OFFLINE)
		move_blocks(event, zone, OFFLINE_BLOCKS);
	else if (event->kind == MHP_EV_REMOVE)
		move_blocks(event, OFFLINE_BLOCKS, -1);
	if (event->kind == MHP_EV_OFFLINE || event->kind == MHP_EV_COMPACT ||
	    event->kind == MHP_EV_MOVE)
		add(&metrics.moved[event->kind], event->pages);
	if (event->took_ns != 0)
		observe(&metrics.took[event->kind], event->took_ns);
	for (unsigned i = 0; i < MHP_PHASES; i++)
		if (event->phase_ns[i] != 0)
			observe(&metrics.phase[event->kind][i], event->phase_ns[i]);
}

static uint32_t
get_blocks(unsigned node, unsigned kind)
{
	return atomic_load_explicit(&metrics.blocks[node][kind], memory_order_relaxed);
}

uint32_t
mhp__metrics_blocks(void)
{
	uint32_t nr = 0;
	for (unsigned node = 0; node < MHP_NODES_MAX; node++)
		for (unsigned kind = 0; kind < BLOCK_KINDS; kind++)
			nr += get_blocks(node, kind);
	return nr;
}

/* ---- telling ---- */

static const char *const op_names[MHP_EV_KINDS] = {
	[MHP_EV_ADD] = "add", [MHP_EV_ADD_FAILED] = "add",
	[MHP_EV_ONLINE] = "online", [MHP_EV_ONLINE_FAILED] = "online",
	[MHP_EV_OFFLINE] = "offline", [MHP_EV_OFFLINE_FAILED] = "offline",
	[MHP_EV_REMOVE] = "remove", [MHP_EV_COMPACT] = "compact", [MHP_EV_BAD_PAGE] = "bad-page",
	[MHP_EV_MOVE] = "move", [MHP_EV_MOVE_FAILED] = "move",
};

static bool
failed(unsigned kind)
{
	return kind == MHP_EV_ADD_FAILED || kind == MHP_EV_ONLINE_FAILED ||
	       kind == MHP_EV_OFFLINE_FAILED || kind == MHP_EV_MOVE_FAILED;
}

static void
out_histogram(struct mhp__out *out, struct histogram *histogram, unsigned kind, const char *phase)
{
	uint64_t count[BUCKETS], sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		sum += count[i] = get(&histogram->count[i]);
	if (sum == 0)
		return;
	mhp__out(out, "%s{\"operation\":\"%s\",\"result\":\"%s\"",
		 out->text[out->used - 1] == '[' ? "" : ",", op_names[kind],
		 failed(kind) ? "failed" : "done");
	if (phase != NULL)
		mhp__out(out, ",\"phase\":\"%s\"", phase);
	mhp__out(out, ",\"sum_ns\":%" PRIu64 ",\"buckets\":[", get(&histogram->sum_ns));
	for (unsigned i = 0; i < BUCKETS; i++)
		mhp__out(out, "%s%" PRIu64, i == 0 ? "" : ",", count[i]);
	mhp__out(out, "]}");
}

static void
out_histograms(struct mhp__out *out)
{
	mhp__out(out, ",\"bounds_ns\":[");
	for (unsigned i = 0; i + 1 < BUCKETS; i++)
		mhp__out(out, "%s%" PRIu64, i == 0 ? "" : ",", BUCKET_NS << i);
	mhp__out(out, "],\"took\":[");
	for (unsigned kind = 0; kind < MHP_EV_KINDS; kind++)
		if (op_names[kind] != NULL)
			out_histogram(out, &metrics.took[kind], kind, NULL);
	mhp__out(out, "],\"phases\":[");
	for (unsigned kind = 0; kind < MHP_EV_KINDS; kind++)
		for (unsigned i = 0; op_names[kind] != NULL && i < MHP_PHASES; i++)
			out_histogram(out, &metrics.phase[kind][i], kind,
				      mhp_phase_name((enum mhp_phase)i));
	mhp__out(out, "]");
}

static void
out_events(struct mhp__out *out)
{
	for (unsigned kind = 0; kind < MHP_EV_KINDS; kind++)
		mhp__out(out, "%s\"%s\":%" PRIu64, kind == 0 ? "\"events\":{" : ",",
			 mhp_event_name((enum mhp_event_kind)kind), get(&metrics.events[kind]));
	mhp__out(out, "},\"moved_pages\":{\"offline\":%" PRIu64 ",\"compact\":%" PRIu64
		 ",\"move\":%" PRIu64 "}", get(&metrics.moved[MHP_EV_OFFLINE]),
		 get(&metrics.moved[MHP_EV_COMPACT]), get(&metrics.moved[MHP_EV_MOVE]));
}

/* Most nodes of a pool are never used; the first always is. */
static bool
node_is_there(unsigned node)
{
	bool there = node == 0;
	for (unsigned kind = 0; kind < BLOCK_KINDS; kind++)
		there |= get_blocks(node, kind) != 0;
	return there;
}

static void
out_blocks(struct mhp__out *out, unsigned nr_nodes)
{
	static const char *const states[] = { "offline", "online", "online" };
	static const char *const zones[] = { "none", "Normal", "Movable" };

	mhp__out(out, ",\"blocks\":[");
	for (unsigned i = 0; i < nr_nodes * BLOCK_KINDS; i++) {
		unsigned node = i / BLOCK_KINDS, kind = i % BLOCK_KINDS;
		if (!node_is_there(node))
			continue;
		mhp__out(out, "%s{\"node\":%u,\"state\":\"%s\",\"zone\":\"%s\",\"count\":%u}",
			 i == 0 ? "" : ",", node, states[kind], zones[kind],
			 get_blocks(node, kind));
	}
	mhp__out(out, "]");
}

static void
out_port(struct mhp__out *out)
{
	struct mhp_pool_stats stats;

	mhp_pool_get_stats(mhp__control.pool, &stats);
	mhp__out(out, ",\"port\":{\"committed_bytes\":%" PRIu64 ",\"moved_pages\":%" PRIu64
		 ",\"untouched_pages\":%" PRIu64 ",\"move_batches\":%" PRIu64
		 ",\"stall_max_ns\":%" PRIu64 ",\"stall_sum_ns\":%" PRIu64, stats.committed_bytes,
		 stats.moved_pages, stats.untouched_pages, stats.move_batches, stats.stall_max_ns,
		 stats.stall_sum_ns);
	mhp__out(out, ",\"map_retries\":%" PRIu64 ",\"mappings\":%" PRIu64 ",\"mappings_max\":%"
		 PRIu64 ",\"forks\":%" PRIu64 ",\"settled_bytes\":%" PRIu64
		 ",\"relabelled_pages\":%" PRIu64 "}", stats.map_retries, stats.mappings,
		 stats.mappings_max, stats.forks, stats.settled_bytes, stats.relabelled_pages);
}

static void
out_tiering(struct mhp__out *out)
{
	struct mhp_tiering_stats stats;

	mhp_pool_get_tiering_stats(mhp__control.pool, &stats);
	mhp__out(out, ",\"tiering\":{\"looks\":%" PRIu64 ",\"moved_pages\":%" PRIu64
		 ",\"refused\":%" PRIu64 ",\"look_cpu_ns\":%" PRIu64 ",\"move_cpu_ns\":%" PRIu64
		 ",\"nodes\":[", stats.looks, stats.moved_pages, stats.refused, stats.look_cpu_ns,
		 stats.move_cpu_ns);
	for (unsigned node = 0; node < MHP_POOL_NODES; node++)
		if (node == 0 || node_is_there(node))
			mhp__out(out, "%s{\"node\":%u,\"hot_bytes\":%" PRIu64 ",\"cold_bytes\":%"
				 PRIu64 ",\"uses_per_second\":%" PRIu64 "}", node == 0 ? "" : ",",
				 node, stats.node[node].hot_bytes, stats.node[node].cold_bytes,
				 stats.node[node].uses_per_s);
	mhp__out(out, "]}");
}

/* ---- what the engine knows ---- */

static void
out_zones(struct mhp__out *out, struct mhp *m)
{
	const struct mhp_geometry *geo = mhp_get_geometry(m);
	struct mhp_zone_info zone;

	mhp__out(out, ",\"page_bytes\":%u,\"zones\":[", 1U << geo->page_shift);
	for (unsigned i = 0; i < geo->nr_nodes * 2U; i++) {
		unsigned node = i / 2, kind = MHP_ZONE_NORMAL + i % 2;
		if (!node_is_there(node) ||
		    mhp_zone_get(m, node, (enum mhp_zone_kind)kind, &zone) != 0)
			continue;
		mhp__out(out, "%s{\"node\":%u,\"zone\":\"%s\",\"spanned\":%" PRIu64
			 ",\"present\":%" PRIu64 ",\"managed\":%" PRIu64 ",\"free\":%" PRIu64
			 ",\"cached\":%" PRIu64 "}", i == 0 ? "" : ",", node, mhp__event_zone(kind),
			 zone.spanned, zone.present, zone.managed, zone.free, zone.cached);
	}
	mhp__out(out, "]");
}

/* By the node that it lies on. */
static void
out_metadata(struct mhp__out *out, struct mhp *m)
{
	uint64_t bytes[MHP_NODES_MAX] = { 0 };
	unsigned nr_nodes = mhp_get_geometry(m)->nr_nodes;
	struct mhp_block_info info;
	struct mhp_blocks run;

	for (uint32_t cursor = 0; mhp__next_run(&cursor, &run, &info);)
		bytes[info.metadata_node % MHP_NODES_MAX] += run.count * info.metadata_bytes;
	mhp__out(out, ",\"metadata\":[");
	for (unsigned node = 0; node < nr_nodes; node++)
		if (node == 0 || bytes[node] != 0)
			mhp__out(out, "%s{\"node\":%u,\"bytes\":%" PRIu64 "}",
				 node == 0 ? "" : ",", node, bytes[node]);
	mhp__out(out, "]");
}

static void
out_engine(struct mhp__out *out, struct mhp *m)
{
	struct mhp_stats stats;

	mhp_get_stats(m, &stats);
	mhp__out(out, ",\"engine\":{\"footprint_bytes\":%" PRIu64 ",\"waste_bytes\":%" PRIu64
		 ",\"bad_pages\":%u,\"auto_online_retries\":%" PRIu64 "}", stats.footprint_bytes,
		 stats.waste_bytes, (unsigned)stats.bad_pages, stats.auto_online_retries);
	out_zones(out, m);
	out_metadata(out, m);
}

void
mhp__request_metrics(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp *m = mhp__control.m;
	struct mhp_progress progress = mhp_progress(m);
	struct mhp_followed followed = mhp__followed();
	uint64_t used_bytes, free_bytes;
	(void)fields;

	mhp__usage(&used_bytes, &free_bytes);
	mhp__out(out, "{\"pid\":%d", mhp__control.pid);
	mhp__out_string(out, ",", "name", mhp__control.name);
	mhp__out(out, ",\"block_size_bytes\":%" PRIu64 ",\"last_event\":%" PRIu64
		 ",\"offlining_blocks\":%u,\"offlining_left_pages\":%" PRIu64 ",",
		 mhp__block_bytes(), mhp__events_last(), (unsigned)progress.blocks.count,
		 progress.left_pages);
	mhp__out(out, "\"used_bytes\":%" PRIu64 ",\"free_bytes\":%" PRIu64 ",\"max_bytes\":%" PRIu64
		 ",", used_bytes, free_bytes,
		 mhp__control.opts.get_max != NULL ? mhp__control.opts.get_max() : 0);
	mhp__out(out, "\"limit_bytes\":%" PRIu64 ",\"safe_bytes\":%" PRIu64 ",",
		 followed.limit_bytes, followed.safe_bytes);
	out_events(out);
	out_blocks(out, mhp_get_geometry(m)->nr_nodes);
	out_port(out);
	out_tiering(out);
	out_engine(out, m);
	out_histograms(out);
	mhp__out(out, "}\n");
}
