/* SPDX-License-Identifier: MIT */
/*
 * pack.c - room for huge pages, where what is free is scattered.
 *
 * Only asks the engine to compact the zones of some nodes, one after the other; what may move, and
 * how, is the engine's and the pool's business as in any move.
 */
#include "pool.h"

static uint64_t
now_ms(struct mhp_pool *pool)
{
	return mhp__linux_ops.now_ns(pool) / 1000000;
}

/* Adds the pageblocks that came free; less than one is free: there is nothing to win. False: it was
 * cancelled. */
static bool
pack_zone(struct mhp *m, unsigned node, enum mhp_zone_kind kind, uint32_t deadline_ms,
	  uint64_t *nr_huge)
{
	struct mhp_compact_result won = { 0 };
	struct mhp_zone_info zone;
	int err = 0;
	if (mhp_zone_get(m, node, kind, &zone) == 0 &&
	    zone.free >= UINT64_C(1) << mhp_get_geometry(m)->pageblock_order)
		err = mhp_compact(m, node, kind, deadline_ms, &won);
	*nr_huge += won.nr_huge; /* whatever it ended with */
	return err != MHP_ECANCELED;
}

uint64_t
mhp_pool_pack(struct mhp_pool *pool, uint64_t nodes, uint32_t deadline_ms)
{
	uint64_t end = now_ms(pool) + deadline_ms, nr_huge = 0;
	for (unsigned node = 0; node < MHP_POOL_NODES; node++) {
		if (nodes != 0 && (nodes >> node & 1U) == 0)
			continue;
		for (int kind = MHP_ZONE_NORMAL; kind <= MHP_ZONE_MOVABLE; kind++) {
			uint64_t now = now_ms(pool);
			if (now >= end ||
			    !pack_zone(pool->m, node, (enum mhp_zone_kind)kind,
				       (uint32_t)(end - now), &nr_huge))
				return nr_huge;
		}
	}
	return nr_huge;
}
