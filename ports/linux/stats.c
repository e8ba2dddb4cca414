/* SPDX-License-Identifier: MIT */
/*
 * stats.c - what the port counts, as one snapshot.
 *
 * Counters are kept where things happen; this file only adds up what is kept per region.
 */
#include "pool.h"

void
mhp_pool_get_stats(struct mhp_pool *pool, struct mhp_pool_stats *ret_stats)
{
	pthread_mutex_lock(&pool->mutex);
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
