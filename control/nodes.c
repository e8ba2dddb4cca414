/* SPDX-License-Identifier: MIT */
/*
 * nodes.c - requests about the nodes of a pool: what is where, and what shall go elsewhere.
 *
 * move empties blocks, which stay, into a node; evacuate removes all blocks of a node, all or none.
 * Both are one call of the engine, with its deadline, progress, cancelling and dry run. A refusal
 * names the node where that is what is missing.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "attr.h"
#include "leave.h"

#define NS_PER_MS UINT64_C(1000000)
#define ALL_NODES ((UINT64_C(1) << MHP_POOL_NODES) - 1)
#define GUESS_BYTES_PER_MS (UINT64_C(1) << 20) /* 1 GiB/s, before anything was measured */

/* ---- looking ---- */

static void
out_node(struct mhp__out *out, unsigned node, const struct mhp_node_info *info,
	 const struct mhp_tiering_stats *heat, const char *comma)
{
	mhp__out(out, "%s{\"node\":%u,\"kind\":\"%s\",\"rank\":%d,\"numa_node\":%d,"
		 "\"granule_bytes\":%llu,\"blocks\":%u,\"online\":%u,\"size_bytes\":%llu,"
		 "\"used_bytes\":%llu,\"free_bytes\":%llu,", comma, node,
		 info->device ? "device" : "ram", info->rank, info->numa,
		 (unsigned long long)info->granule_bytes, info->nr_blocks, info->nr_online,
		 (unsigned long long)info->size_bytes, (unsigned long long)info->used_bytes,
		 (unsigned long long)info->free_bytes);
	mhp__out(out, "\"hot_bytes\":%llu,\"cold_bytes\":%llu,\"uses_per_second\":%llu,",
		 (unsigned long long)heat->node[node].hot_bytes,
		 (unsigned long long)heat->node[node].cold_bytes,
		 (unsigned long long)heat->node[node].uses_per_s);
	mhp__out_string(out, "", "place", info->place);
	mhp__out(out, "}");
}

void
mhp__request_nodes(struct mhp__out *out, const struct mhp__fields *fields)
{
	char text[MHP_SPREAD_TEXT], word[MHP_TIERING_TEXT];
	const char *comma = "";
	struct mhp_spread spread;
	struct mhp_tiering tiering;
	struct mhp_tiering_stats heat;
	(void)fields;
	mhp_pool_get_spread(mhp__control.pool, &spread);
	mhp_spread_text(&spread, text);
	mhp__out_string(out, "{", "placement", text);
	mhp_pool_get_tiering(mhp__control.pool, &tiering);
	mhp_tiering_text(&tiering, word);
	mhp__out_string(out, ",", "tiering", word);
	mhp_pool_get_tiering_stats(mhp__control.pool, &heat);
	mhp__out(out, ",\"nodes\":[");
	for (unsigned node = 0; node < MHP_POOL_NODES; node++) {
		struct mhp_node_info info;
		if (mhp_pool_node_get(mhp__control.pool, node, &info) != 0)
			continue;
		out_node(out, node, &info, &heat, comma);
		comma = ",";
	}
	mhp__out(out, "]}\n");
}

/* ---- moving ---- */

/* A node of a request that has blocks. */
static bool
read_node(const struct mhp__fields *fields, enum mhp__field field, struct mhp__out *out,
	  unsigned *ret_node, struct mhp_node_info *ret_info)
{
	uint64_t node = mhp__number(fields, field);
	if (node < MHP_POOL_NODES &&
	    mhp_pool_node_get(mhp__control.pool, (unsigned)node, ret_info) == 0) {
		*ret_node = (unsigned)node;
		return true;
	}
	mhp__out_error(out, MHP_ENODEV, "the pool has no node %llu; memplug nodes lists them",
		       (unsigned long long)node);
	return false;
}

/* Numbers of a device are given to anybody, but its memory is reached with permission only. */
static bool
can_reach(const struct mhp_node_info *to, const char *verb, struct mhp__out *out)
{
	struct mhp_text why = { "" };
	if (!to->device || mhp_pool_can_move(mhp__control.pool, &why))
		return true;
	mhp__out_error(out, MHP_EPERM, "cannot %s: %s", verb, why.text);
	return false;
}

static uint64_t
pages_moved(void)
{
	struct mhp_stats stats;
	mhp_get_stats(mhp__control.m, &stats);
	return stats.pages_moved;
}

/* How long it takes to copy so much, as far as the pool has copied before. */
static uint64_t
estimate_ms(uint64_t bytes, bool *ret_measured)
{
	struct mhp_pool_stats stats;
	mhp_pool_get_stats(mhp__control.pool, &stats);
	uint64_t copied = stats.moved_pages << 12;
	*ret_measured = copied != 0 && stats.stall_sum_ns > NS_PER_MS;
	uint64_t per_ms = *ret_measured ? copied / (stats.stall_sum_ns / NS_PER_MS) : 0;
	return bytes / (per_ms != 0 ? per_ms : GUESS_BYTES_PER_MS);
}

/* The room that lacks is that of the node that was named. */
static void
out_no_room(struct mhp__out *out, int err, const char *verb, const struct mhp_why *why,
	    unsigned to)
{
	char room[MHP__SIZE_TEXT], piece[MHP__SIZE_TEXT];
	mhp__size_text(why->room_missing << 12, room);
	mhp__size_text(UINT64_C(4096) << why->order, piece);
	mhp__out_error(out, err, "cannot %s: there is not enough room on node %u: it lacks at "
		       "least %s in pieces of %s", verb, to, room, piece);
}

struct work {
	const char *verb;
	struct mhp__leave leave;
	uint64_t bytes;                /* in use before */
	bool copies;                   /* they have to be copied */
	bool to_one;                   /* node `to` alone takes them */
	unsigned to;
};

static void
carry_out(struct mhp__out *out, const struct work *work)
{
	struct mhp_why why;
	bool measured = false;
	uint64_t before = pages_moved();
	int err = mhp__leave(&work->leave, &why);
	uint64_t ms = work->copies ? estimate_ms(work->bytes, &measured) : 0;
	if (err != 0 && why.cause == MHP_CAUSE_ROOM && work->to_one)
		out_no_room(out, err, work->verb, &why, work->to);
	else if (err != 0)
		mhp__out_refusal(out, err, work->verb, &why);
	else if (work->leave.dry_run)
		mhp__out(out, "{\"bytes\":%llu,\"estimated_ms\":%llu,\"measured\":%s}\n",
			 (unsigned long long)work->bytes, (unsigned long long)ms,
			 measured ? "true" : "false");
	else
		mhp__out(out, "{\"moved_bytes\":%llu}\n",
			 (unsigned long long)((pages_moved() - before) << 12));
}

static uint64_t
used_in(const struct mhp__sets *sets)
{
	uint64_t sum = 0, used, free;
	for (unsigned i = 0; i < sets->nr; i++)
		if (mhp_range_usage(mhp__control.m, sets->run[i], &used, &free) == 0)
			sum += used;
	return sum;
}

static bool
is_device(uint32_t block)
{
	struct mhp_block_info info;
	struct mhp_node_info node;
	return mhp_block_get(mhp__control.m, block, &info) == 0 &&
	       mhp_pool_node_get(mhp__control.pool, info.node, &node) == 0 && node.device;
}

void
mhp__request_move(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct work work = { .verb = "move", .to_one = true };
	struct mhp_node_info info;
	struct mhp__sets sets;
	if (!read_node(fields, MHP__F_TO, out, &work.to, &info) ||
	    !can_reach(&info, work.verb, out) ||
	    !mhp__sets_open(fields, work.verb, out, &sets))
		return;
	work.bytes = used_in(&sets);
	work.copies = info.device || is_device(sets.run[0].first);
	work.leave = (struct mhp__leave){
		.kind = MHP__LEAVE_EMPTY, .runs = sets.run, .nr = sets.nr,
		.to_nodes = UINT64_C(1) << work.to,
		.dry_run = mhp__flag(fields, MHP__F_DRY_RUN),
		.as_of = mhp__number(fields, MHP__F_AS_OF),
		.deadline_ms = mhp__deadline_ms(fields), .client_fd = out->fd,
	};
	carry_out(out, &work);
	mhp__sets_close(&sets);
}

/* The blocks of a node, as runs; returns how many, with room for max of them. */
static unsigned
list_node(unsigned node, struct mhp_blocks *runs, unsigned max)
{
	struct mhp_block_info info;
	struct mhp_blocks run;
	unsigned nr = 0;
	for (uint32_t cursor = 0; mhp__next_run(&cursor, &run, &info);) {
		if (info.node != node)
			continue;
		if (nr < max)
			runs[nr] = run;
		nr++;
	}
	return nr;
}

void
mhp__request_evacuate(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct work work = { .verb = "evacuate" };
	struct mhp_node_info info, to_info = { .device = false };
	unsigned node;
	work.to_one = mhp__has(fields, MHP__F_TO);
	if (!read_node(fields, MHP__F_NODE, out, &node, &info) ||
	    (work.to_one && !read_node(fields, MHP__F_TO, out, &work.to, &to_info)) ||
	    !can_reach(&to_info, work.verb, out))
		return;
	if (work.to_one && work.to == node) {
		mhp__out_error(out, MHP_EINVAL, "cannot evacuate node %u to itself", node);
		return;
	}
	unsigned nr = list_node(node, NULL, 0) + 16; /* some more, if it changes just now */
	size_t size = nr * sizeof(struct mhp_blocks);
	struct mhp_blocks *runs = mmap(NULL, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (runs == MAP_FAILED) {
		mhp__out_error(out, MHP_ENOMEM, "the process has no memory left for the list");
		return;
	}
	unsigned found = list_node(node, runs, nr);
	work.bytes = info.used_bytes;
	work.copies = info.device || to_info.device;
	work.leave = (struct mhp__leave){
		.kind = MHP__LEAVE_REMOVE, .runs = runs, .nr = found < nr ? found : nr,
		.to_nodes = work.to_one ? UINT64_C(1) << work.to
					 : ALL_NODES & ~(UINT64_C(1) << node),
		.dry_run = mhp__flag(fields, MHP__F_DRY_RUN),
		.as_of = mhp_generation(mhp__control.m),
		.deadline_ms = mhp__deadline_ms(fields), .client_fd = out->fd,
	};
	carry_out(out, &work);
	munmap(runs, size);
}
