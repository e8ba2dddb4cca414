/* SPDX-License-Identifier: MIT */
/*
 * stats.c - what the port counts, as one snapshot.
 *
 * Counters are kept where things happen; this file only adds up what is kept per region or per
 * child.
 */
#include "pool.h"

void
mhp_pool_get_stats(struct mhp_pool *pool, struct mhp_pool_stats *ret_stats)
{
	pthread_mutex_lock(&pool->mutex);
	struct mhp_pool_stats stats = pool->stats;
	stats.committed_bytes = stats.mappings = stats.quarantined_pages = 0;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		if (!pool->region[i].live)
			continue;
		stats.committed_bytes += pool->region[i].nr_committed << MHP__PAGE_SHIFT;
		stats.mappings += pool->region[i].nr_runs;
	}
	for (unsigned i = 0; i < MHP__CHILDREN_MAX; i++)
		if (pool->child[i].epoch != 0)
			stats.quarantined_pages += pool->child[i].nr_quarantined;
	stats.children = pool->nr_children;
	pthread_mutex_unlock(&pool->mutex);
	*ret_stats = stats;
}
