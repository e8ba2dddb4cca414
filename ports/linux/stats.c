/* SPDX-License-Identifier: MIT */
/*
 * stats.c - what the port counts, as one snapshot.
 *
 * Counters are kept where things happen; this file only adds up those of the regions, and what the
 * engine knows about the blocks of a node. A snapshot of the pool is taken under the region mutex;
 * that of a node is made range by range, so that blocks may come and go while it is made.
 * Must not know: how a counter comes about.
 */
#include "pool.h"

void
mhp_pool_get_stats(struct mhp_pool *pool, struct mhp_pool_stats *ret_stats)
{
	mhp__pool_lock(pool);
	struct mhp_pool_stats stats = pool->stats;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		if (!pool->region[i].live)
			continue;
		stats.committed_bytes += pool->region[i].nr_committed << MHP__PAGE_SHIFT;
		stats.settled_bytes += pool->region[i].nr_settled << MHP__PAGE_SHIFT;
	}
	stats.mappings = mhp__regions_mappings(pool);
	stats.mappings_max = pool->budget.limit;
	pthread_mutex_unlock(&pool->mutex);
	*ret_stats = stats;
}

static void
add_run(struct mhp *m, struct mhp_blocks run, const struct mhp_block_info *info,
	struct mhp_node_info *node)
{
	uint64_t used, free;
	node->nr_blocks += run.count;
	node->size_bytes += run.count * info->span.size;
	if (info->state != MHP_ONLINE || mhp_range_usage(m, run, &used, &free) != 0)
		return;
	node->nr_online += run.count;
	node->used_bytes += used;
	node->free_bytes += free;
}

int
mhp_pool_node_get(struct mhp_pool *pool, unsigned node, struct mhp_node_info *ret_info)
{
	struct mhp_node_info found = { .numa = -1 };
	struct mhp_block_info info;
	struct mhp_blocks run;
	if (node >= MHP_POOL_NODES)
		return MHP_ENODEV;
	for (uint32_t block = 0; mhp_range_get(pool->m, block, &run) == 0;
	     block = run.first + run.count)
		if (mhp_block_get(pool->m, run.first, &info) == 0 && info.state != MHP_ABSENT &&
		    info.node == node)
			add_run(pool->m, run, &info, &found);
	if (found.nr_blocks == 0)
		return MHP_ENODEV;
	mhp__place_describe(&pool->space, node, &found);
	*ret_info = found;
	return 0;
}
