/* SPDX-License-Identifier: MIT */
/*
 * look.c - requests that only look: info, list, ranges, check, progress.
 *
 * A listing takes the engine's lock once per block or range, so that a long one holds nobody up; it
 * is a picture of many moments. list costs as much as there are blocks, ranges as there are ranges.
 */
#define _GNU_SOURCE
#include <stdio.h>

#include "server.h"

static const char *
zone_name(const struct mhp_block_info *info)
{
	if (info->state != MHP_ONLINE)
		return "none";
	return info->zone == MHP_ZONE_MOVABLE ? "Movable" : "Normal";
}

static const char *
backing_name(const struct mhp_block_info *info)
{
	const struct mhp_backing *backing = mhp_pool_backing(mhp__control.pool, info->backing);
	return backing != NULL ? mhp_backing_name(backing->kind) : "none";
}

static const char *
place_name(const struct mhp_block_info *info)
{
	static const char *const places[] = { "self", "node", "external" };
	return places[info->placement % 3];
}

static void
list_block(struct mhp__out *out, const struct mhp_block_info *info, const char *comma)
{
	mhp__out(out,
		 "%s{\"index\":%u,\"generation\":%u,\"start\":%llu,\"size\":%llu,\"state\":\"%s\","
		 "\"zone\":\"%s\",\"node\":%u,\"memmap\":\"%s\",\"nr_vmemmap_pages\":%u,\"metadata_"
		 "bytes\":%llu,"
		 "\"used_bytes\":%llu,\"free_bytes\":%llu,\"backing\":\"%s\"}",
		 comma, info->block, info->generation,
		 (unsigned long long)info->span.start.addr,
		 (unsigned long long)info->span.size, mhp__state_name(info->state), zone_name(info),
		 info->node, place_name(info), info->nr_vmemmap_pages,
		 (unsigned long long)info->metadata_bytes, (unsigned long long)info->used_bytes,
		 (unsigned long long)info->free_bytes, backing_name(info));
}

/* The memory of the process that is not in the pool. */
static void
list_outside(struct mhp__out *out)
{
	struct mhp_outside outside[MHP_OUTSIDE_KINDS];
	const char *comma = "";
	int err = mhp_pool_outside(mhp__control.pool, outside);
	mhp__out(out, ",\"outside\":[");
	for (unsigned i = 0; err == 0 && i < MHP_OUTSIDE_KINDS; i++) {
		const struct mhp_outside *one = &outside[i];
		if (one->nr_mappings == 0)
			continue;
		mhp__out(out, "%s{\"what\":\"%s\",\"mappings\":%u,\"size_bytes\":%llu,"
			 "\"resident_bytes\":%llu", comma,
			 mhp_outside_name((enum mhp_outside_kind)i), one->nr_mappings,
			 (unsigned long long)one->size_bytes,
			 (unsigned long long)one->resident_bytes);
		mhp__out_string(out, ",", "why", one->why);
		mhp__out(out, "}");
		comma = ",";
	}
	mhp__out(out, "]");
}

void
mhp__request_list(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp *m = mhp__control.m;
	struct mhp_blocks run;
	const char *comma = "";

	mhp__out(out, "{\"block_size_bytes\":%llu,\"blocks\":[",
		 (unsigned long long)mhp__block_bytes());
	for (uint32_t block = 0; mhp_range_get(m, block, &run) == 0 && !out->broken;
	     block = run.first + run.count) {
		struct mhp_block_info info;
		for (uint32_t i = run.first; i < run.first + run.count; i++) {
			if (mhp_block_get(m, i, &info) != 0 || info.state == MHP_ABSENT)
				break;
			list_block(out, &info, comma);
			comma = ",";
		}
	}
	mhp__out(out, "]");
	if (mhp__flag(fields, MHP__F_ALL))
		list_outside(out);
	mhp__out(out, "}\n");
}

static void
list_range(struct mhp__out *out, struct mhp_blocks run, const struct mhp_block_info *info,
	   const char *comma)
{
	uint64_t used_bytes = 0, free_bytes = 0;
	(void)!mhp_range_usage(mhp__control.m, run, &used_bytes, &free_bytes);
	mhp__out(out, "%s{\"first\":%u,\"count\":%u,\"start\":%llu,\"size\":%llu,"
		 "\"state\":\"%s\",\"zone\":\"%s\",\"node\":%u,\"memmap\":\"%s\","
		 "\"backing\":\"%s\",\"nr_vmemmap_pages\":%u,\"used_bytes\":%llu,"
		 "\"free_bytes\":%llu}",
		 comma, run.first, run.count, (unsigned long long)info->span.start.addr,
		 (unsigned long long)(run.count * mhp__block_bytes()), mhp__state_name(info->state),
		 zone_name(info), info->node, place_name(info), backing_name(info),
		 info->nr_vmemmap_pages, (unsigned long long)used_bytes,
		 (unsigned long long)free_bytes);
}

void
mhp__request_ranges(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp_block_info info;
	struct mhp_blocks run;
	const char *comma = "";
	uint32_t cursor = 0;
	(void)fields;

	mhp__out(out, "{\"block_size_bytes\":%llu,\"ranges\":[",
		 (unsigned long long)mhp__block_bytes());
	while (!out->broken && mhp__next_run(&cursor, &run, &info)) {
		list_range(out, run, &info, comma);
		comma = ",";
	}
	mhp__out(out, "]}\n");
}

/* Of all blocks; "used" is what is not free, everywhere. */
void
mhp__usage(uint64_t *used_bytes, uint64_t *free_bytes)
{
	*used_bytes = *free_bytes = 0;
	struct mhp_blocks run;
	for (uint32_t block = 0; mhp_range_get(mhp__control.m, block, &run) == 0;
	     block = run.first + run.count) {
		uint64_t used = 0, unused = 0;
		(void)!mhp_range_usage(mhp__control.m, run, &used, &unused);
		*used_bytes += used;
		*free_bytes += unused;
	}
}

struct mhp_followed
mhp__followed(void)
{
	struct mhp_followed now = { 0 };
	if (mhp__control.opts.get_followed != NULL)
		mhp__control.opts.get_followed(&now);
	if (!now.on)
		return (struct mhp_followed){ 0 };
	if (now.limit_bytes == UINT64_MAX)
		now.limit_bytes = 0;
	return now;
}

/* Each node's memory, in short; the request nodes says the rest. */
static void
out_nodes(struct mhp__out *out)
{
	const char *comma = "";
	for (unsigned node = 0; node < MHP_POOL_NODES; node++) {
		struct mhp_node_info info;
		if (mhp_pool_node_get(mhp__control.pool, node, &info) != 0)
			continue;
		mhp__out(out, "%s{\"node\":%u,\"size_bytes\":%llu,\"used_bytes\":%llu}", comma,
			 node, (unsigned long long)info.size_bytes,
			 (unsigned long long)info.used_bytes);
		comma = ",";
	}
}

void
mhp__request_info(struct mhp__out *out, const struct mhp__fields *fields)
{
	const struct mhp__control *control = &mhp__control;
	struct mhp_stats stats;
	struct mhp_followed followed = mhp__followed();
	uint64_t used_bytes, free_bytes;
	(void)fields;

	mhp_get_stats(control->m, &stats);
	mhp__usage(&used_bytes, &free_bytes);
	mhp__out(out, "{\"pid\":%d", control->pid);
	mhp__out_string(out, ",", "name", control->name);
	mhp__out(out, ",\"block_size_bytes\":%llu,\"blocks\":%u,\"blocks_online\":%u,"
		 "\"max_bytes\":%llu,\"used_bytes\":%llu,\"free_bytes\":%llu,"
		 "\"metadata_bytes\":%llu,\"bad_pages\":%u,\"limit_bytes\":%llu,"
		 "\"safe_bytes\":%llu,\"nodes\":[",
		 (unsigned long long)mhp__block_bytes(), stats.blocks_present, stats.blocks_online,
		 (unsigned long long)(control->opts.get_max != NULL ? control->opts.get_max() : 0),
		 (unsigned long long)used_bytes, (unsigned long long)free_bytes,
		 (unsigned long long)stats.metadata_bytes, stats.bad_pages,
		 (unsigned long long)followed.limit_bytes,
		 (unsigned long long)followed.safe_bytes);
	out_nodes(out);
	mhp__out(out, "]}\n");
}

static void
report(void *ctx, const struct mhp_finding *finding)
{
	struct mhp__out *out = ctx;
	mhp__out(out, "%s{\"invariant\":%u,\"where\":%llu,\"have\":%llu,\"want\":%llu",
		 out->text[out->used - 1] == '[' ? "" : ",", finding->invariant,
		 (unsigned long long)finding->where, (unsigned long long)finding->have,
		 (unsigned long long)finding->want);
	mhp__out_string(out, ",", "what", finding->what);
	mhp__out(out, "}");
}

void
mhp__request_check(struct mhp__out *out, const struct mhp__fields *fields)
{
	(void)fields;
	mhp__out(out, "{\"findings\":[");
	int found = mhp_check(mhp__control.m, false, report, out);
	mhp__out(out, "],\"count\":%d}\n", found);
}

void
mhp__request_progress(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp_progress now = mhp_progress(mhp__control.m);
	(void)fields;
	mhp__out(out, "{\"first\":%u,\"count\":%u,\"moved_pages\":%llu,\"left_pages\":%llu,"
		 "\"page_bytes\":%u,\"elapsed_ns\":%llu}\n", now.blocks.first, now.blocks.count,
		 (unsigned long long)now.moved_pages, (unsigned long long)now.left_pages,
		 1U << mhp_get_geometry(mhp__control.m)->page_shift,
		 (unsigned long long)now.elapsed_ns);
}
