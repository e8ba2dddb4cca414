/* SPDX-License-Identifier: MIT */
/*
 * ledger.h - everything that can be seen of an instance, written down to be compared later.
 *
 * The digest says whether anything differs; the rest says what. Frames in per-CPU caches are free
 * ones wherever they lie, so fields that tell them apart are left out, and so are counts of events.
 */
#ifndef MEMPLUG_TEST_LEDGER_H
#define MEMPLUG_TEST_LEDGER_H

#include "test.h"

#define TEST_LEDGER_BLOCKS 16U
#define TEST_LEDGER_NODES 2U

struct test_ledger {
	uint64_t digest;
	uint64_t meta_used;        /* external metadata that is out, says the simulator */
	struct mhp_stats stats;
	struct mhp_zone_info zones[TEST_LEDGER_NODES][MHP_ZONE_MOVABLE + 1];
	unsigned states[TEST_LEDGER_NODES];
	struct mhp_block_info blocks[TEST_LEDGER_BLOCKS];
	uint64_t in_use;           /* pages of all zones that are managed and not free */
	uint64_t on_node;          /* of them: metadata of other blocks */
};

/** Write everything down; what adds up must add up to the page and to the byte. Two nodes and up to
 *  TEST_LEDGER_BLOCKS blocks. */
void test_ledger_take(struct test_pool *pool, struct test_ledger *ret_ledger);

/** The verifier is content, and nothing differs from @before. Fails the case. */
void test_ledger_check(struct test_pool *pool, const struct test_ledger *before);

/** mhp_block_get() of a block that must be in range. */
struct mhp_block_info test_block(struct test_pool *pool, uint32_t block);

/** mhp_zone_get() of a zone that must be there. */
struct mhp_zone_info test_zone(struct test_pool *pool, unsigned node, enum mhp_zone_kind kind);

#endif
