/* SPDX-License-Identifier: MIT */
/*
 * ledger.c - taking and comparing ledgers.
 *
 * A ledger is filled over zeros, so that two of equal states are equal byte by byte. Comparing
 * goes from the particular to the general: the first field that differs names itself, and the
 * digest comes last.
 */
#include "ledger.h"

struct mhp_block_info
test_block(struct test_pool *pool, uint32_t block)
{
	struct mhp_block_info info;
	CHECK_OK(mhp_block_get(pool->m, block, &info));
	return info;
}

struct mhp_zone_info
test_zone(struct test_pool *pool, unsigned node, enum mhp_zone_kind kind)
{
	struct mhp_zone_info zone;
	memset(&zone, 0, sizeof(zone));
	CHECK_OK(mhp_zone_get(pool->m, node, kind, &zone));
	return zone;
}

static void
take_zones(struct test_pool *pool, struct test_ledger *ledger)
{
	for (unsigned node = 0; node < TEST_LEDGER_NODES; node++) {
		ledger->states[node] = mhp_node_states(pool->m, node);
		for (unsigned kind = MHP_ZONE_NORMAL; kind <= MHP_ZONE_MOVABLE; kind++) {
			struct mhp_zone_info *zone = &ledger->zones[node][kind];
			CHECK_OK(mhp_zone_get(pool->m, node, kind, zone));
			CHECK_CMP(zone->free, <=, zone->managed);
			CHECK_CMP(zone->managed, <=, zone->present);
			CHECK_CMP(zone->present, <=, zone->spanned);
			ledger->in_use += zone->managed - zone->free;
			zone->cached = 0;
		}
	}
}

static void
take_blocks(struct test_pool *pool, struct test_ledger *ledger)
{
	uint64_t external = 0, all = 0, waste = 0;
	uint32_t nr_blocks = pool->config.geometry.nr_blocks;
	CHECK_CMP(nr_blocks, <=, TEST_LEDGER_BLOCKS);
	for (uint32_t i = 0; i < nr_blocks; i++) {
		struct mhp_block_info *info = &ledger->blocks[i];
		CHECK_OK(mhp_block_get(pool->m, i, info));
		all += info->metadata_bytes;
		waste += info->waste_bytes;
		if (info->placement == MHP_PLACE_EXTERNAL)
			external += info->metadata_bytes;
		if (info->placement == MHP_PLACE_NODE)
			ledger->on_node += info->metadata_bytes / pool->page_bytes;
		info->used_bytes = info->free_bytes = 0;
	}
	CHECK_EQ(ledger->meta_used, external);
	CHECK_EQ(ledger->stats.metadata_bytes, all);
	CHECK_EQ(ledger->stats.waste_bytes, waste);
}

void
test_ledger_take(struct test_pool *pool, struct test_ledger *ret_ledger)
{
	memset(ret_ledger, 0, sizeof(*ret_ledger));
	ret_ledger->digest = mhp_digest(pool->m);
	ret_ledger->meta_used = mhp_sim_meta_used(pool->sim);
	mhp_get_stats(pool->m, &ret_ledger->stats);
	memset(ret_ledger->stats.events, 0, sizeof(ret_ledger->stats.events));
	ret_ledger->stats.auto_online_retries = 0;
	ret_ledger->stats.cached_pages = 0;
	take_zones(pool, ret_ledger);
	take_blocks(pool, ret_ledger);
}

static void
compare_block(const struct mhp_block_info *now, const struct mhp_block_info *before)
{
	if (memcmp(now, before, sizeof(*now)) == 0)
		return;
	CHECK_EQ(now->state, before->state);
	CHECK_EQ(now->placement, before->placement);
	CHECK_EQ(now->zone, before->zone);
	CHECK_EQ(now->nr_bad_pages, before->nr_bad_pages);
	CHECK_EQ(now->altmap.allocated, before->altmap.allocated);
	FAIL("block %u differs", now->block);
}

void
test_ledger_check(struct test_pool *pool, const struct test_ledger *before)
{
	struct test_ledger now;
	test_pool_check(pool);
	test_ledger_take(pool, &now);
	for (uint32_t i = 0; i < TEST_LEDGER_BLOCKS; i++)
		compare_block(&now.blocks[i], &before->blocks[i]);
	for (unsigned node = 0; node < TEST_LEDGER_NODES; node++)
		for (unsigned kind = MHP_ZONE_NORMAL; kind <= MHP_ZONE_MOVABLE; kind++) {
			CHECK_EQ(now.zones[node][kind].free, before->zones[node][kind].free);
			CHECK_EQ(now.zones[node][kind].managed, before->zones[node][kind].managed);
		}
	CHECK_EQ(now.meta_used, before->meta_used);
	CHECK_EQ(now.digest, before->digest);
	CHECK_MEM(&now, before, sizeof(now));
}
