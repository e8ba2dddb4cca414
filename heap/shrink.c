/* SPDX-License-Identifier: MIT */
/*
 * shrink.c - blocks of ordinary memory leave the pool until it is within a bound.
 *
 * The least used block leaves first. A removal that fails for scattered free memory has that
 * brought together, and is tried once more. Any other refusal ends the call: the blocks that are
 * left have more in them.
 */
#include "shrink.h"

#include "heap.h"

#define DEADLINE_MS 200U /* of each removal */
#define LEAVE_MAX 64U    /* blocks a call */

uint64_t
mhp__plugged_block(const struct mhp *m)
{
	const struct mhp_geometry *geo = mhp_get_geometry(m);
	return UINT64_C(1) << (geo->block_order + geo->page_shift);
}

void
mhp__plugged_get(struct mhp__plugged *ret_plugged)
{
	struct mhp_node_info info;
	*ret_plugged = (struct mhp__plugged){ 0 };
	for (unsigned node = 0; node < MHP_POOL_NODES; node++) {
		if (mhp_pool_node_get(mhp__heap.pool, node, &info) != 0)
			continue;
		if (info.device) {
			ret_plugged->device_bytes += info.size_bytes;
			ret_plugged->device_used_bytes += info.used_bytes;
			continue;
		}
		ret_plugged->ordinary_nodes |= UINT64_C(1) << node;
		ret_plugged->ordinary_bytes += info.size_bytes;
		ret_plugged->ordinary_used_bytes += info.used_bytes;
	}
}

/* The block of ordinary memory with the least in it, the highest among equals; false: there is
 * none. */
static bool
find_least(struct mhp *m, const struct mhp__plugged *plugged, struct mhp_block_info *ret_info)
{
	struct mhp_blocks run;
	bool found = false;
	for (uint32_t block = 0; mhp_range_get(m, block, &run) == 0;
	     block = run.first + run.count)
		for (uint32_t i = run.first; i < run.first + run.count; i++) {
			struct mhp_block_info info;
			/* Untaken: a run lies within the addresses. */
			if (mhp_block_get(m, i, &info) != 0 || info.state == MHP_ABSENT ||
			    (plugged->ordinary_nodes >> info.node % 64 & 1U) == 0)
				break;
			uint64_t used = info.state == MHP_ONLINE ? info.used_bytes : 0;
			if (!found || used <= ret_info->used_bytes) {
				*ret_info = info;
				ret_info->used_bytes = used;
				found = true;
			}
		}
	return found;
}

/* Where room lacks because what is free is scattered, that is brought together, once a call. */
static bool
remove_one(struct mhp *m, const struct mhp__plugged *plugged, uint32_t block, bool *packed)
{
	struct mhp_offline_opts opts = { .deadline_ms = DEADLINE_MS };
	struct mhp_blocks one = { block, 1 };
	struct mhp_why why = { .cause = MHP_CAUSE_NONE };
	int err = mhp_remove(m, &one, 1, &opts, &why);
	if (err != 0 && why.cause == MHP_CAUSE_ROOM && why.order != 0 && !*packed) {
		*packed = true;
		if (mhp_pool_pack(mhp__heap.pool, plugged->ordinary_nodes, DEADLINE_MS) != 0)
			err = mhp_remove(m, &one, 1, &opts, NULL);
	}
	return err == 0;
}

unsigned
mhp__shrink(struct mhp *m, const struct mhp__plugged *plugged, uint64_t bound)
{
	uint64_t block = mhp__plugged_block(m), left = plugged->ordinary_bytes;
	bool packed = false;
	unsigned nr = 0;
	for (; nr < LEAVE_MAX && left > bound; nr++) {
		struct mhp_block_info info;
		if (left <= block || mhp_progress(m).blocks.count != 0 ||
		    !find_least(m, plugged, &info) ||
		    !remove_one(m, plugged, info.block, &packed))
			break;
		left -= block;
	}
	return nr;
}
