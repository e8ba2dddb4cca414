/* SPDX-License-Identifier: MIT */
/*
 * bulk_test.c - many pages in one call, pages cut into parts, and where pages come from.
 *
 * What is taken and given in bulk must be as good as page by page, down to the last free page and
 * with every mistake in the list found. Nodes have distances here.
 */
#include "ledger.h"
#include "test.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)
#define MAX 4096U

struct bed {
	struct test_pool pool;
	struct mhp *m;
	uint16_t owner;
	uint64_t pfns[MAX];
};

static struct bed bed;

static void
open_bed(uint32_t nr)
{
	struct mhp_add_opts opts = { .flags = SELF | MHP_ADD_ONLINE };
	test_pool_open(&bed.pool, &(struct test_pool_opts){ .shape = "small" });
	bed.m = bed.pool.m;
	CHECK_OK(mhp_owner_register(bed.m, "bulk", NULL, NULL, &bed.owner));
	CHECK_OK(mhp_add(bed.m, (struct mhp_blocks){ 0, nr }, &opts, NULL));
}

static struct mhp_page_req
request(unsigned order, uint64_t cookie)
{
	return (struct mhp_page_req){ .owner = bed.owner, .order = (uint8_t)order,
				      .cookie = cookie };
}

/* All that there is, to the last page, wherever it lies; and all of it back. */
TEST(bulk__every_page__taken_and_given_back)
{
	for (unsigned order = 0; order <= 3; order++) {
		struct mhp_zone_info zone;
		uint64_t pfn;
		test_at("order %u", order);
		open_bed(3);
		/* One page of each kind sits in a cache. */
		CHECK_OK(mhp_page_alloc(bed.m, request(order, 1), &pfn));
		CHECK_OK(mhp_page_free(bed.m, pfn));
		zone = test_zone(&bed.pool, 0, MHP_ZONE_NORMAL);
		int nr = mhp_pages_alloc(bed.m, request(order, 77), MAX, bed.pfns);
		CHECK_CMP(nr, >, 0);
		CHECK_RET(mhp_pages_alloc(bed.m, request(order, 0), 1, &pfn), MHP_ENOMEM);
		CHECK_RET(mhp_page_alloc(bed.m, request(order, 0), &pfn), MHP_ENOMEM);
		CHECK_CMP((uint64_t)nr << order, >, zone.free - 3 * (1U << order));
		for (int i = 0; i < nr; i++) {
			struct mhp_frame frame = mhp_frame_peek(bed.m, bed.pfns[i]);
			CHECK_EQ(frame.state, MHP_FRAME_USED);
			CHECK_EQ(frame.order, order);
			CHECK_EQ(frame.cookie, 77U);
			if (order != 0)
				CHECK_EQ(mhp_frame_peek(bed.m, bed.pfns[i] + 1).state,
					 MHP_FRAME_TAIL);
		}
		test_pool_check(&bed.pool);
		CHECK_EQ(mhp_pages_free(bed.m, bed.pfns, (unsigned)nr), nr);
		CHECK_EQ(test_zone(&bed.pool, 0, MHP_ZONE_NORMAL).free, zone.free);
		test_pool_empty_and_close(&bed.pool);
	}
}

/* Fewer than asked for when that is all; orders mixed in one list. */
TEST(bulk__some_pages__as_many_as_asked_for)
{
	open_bed(2);
	CHECK_EQ(mhp_pages_alloc(bed.m, request(0, 1), 100, bed.pfns), 100);
	CHECK_EQ(mhp_pages_alloc(bed.m, request(2, 2), 30, bed.pfns + 100), 30);
	CHECK_EQ(mhp_pages_alloc(bed.m, request(0, 3), 1, bed.pfns + 130), 1);
	test_pool_check(&bed.pool);
	CHECK_EQ(mhp_pages_free(bed.m, bed.pfns, 131), 131);
	for (unsigned i = 0; i < 131; i++)
		CHECK_NE(mhp_frame_peek(bed.m, bed.pfns[i]).state, MHP_FRAME_USED);
	test_pool_empty_and_close(&bed.pool);
}

/* R17: what is malformed is refused; a list is freed up to what is wrong in it. */
TEST(bulk__mistakes__typed_errors)
{
	struct mhp_page_req req;
	struct test_ledger before;
	open_bed(2);
	CHECK_EQ(mhp_pages_alloc(bed.m, request(0, 1), 10, bed.pfns), 10);
	test_ledger_take(&bed.pool, &before);
	CHECK_RET(mhp_pages_alloc(bed.m, request(0, 1), 0, bed.pfns + 10), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc(bed.m, request(0, 1), UINT_MAX, bed.pfns + 10), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc(bed.m, request(10, 1), 1, bed.pfns + 10), MHP_EINVAL);
	req = request(0, 1);
	req.node = 2;
	CHECK_RET(mhp_pages_alloc(bed.m, req, 1, bed.pfns + 10), MHP_EINVAL);
	req.flags = MHP_PAGE_NODE;
	CHECK_RET(mhp_pages_alloc(bed.m, req, 1, bed.pfns + 10), MHP_ENODEV);
	CHECK_EQ(mhp_pages_free(bed.m, bed.pfns, 0), 0);
	CHECK_RET(mhp_pages_free(bed.m, bed.pfns, UINT_MAX), MHP_EINVAL);
	test_ledger_check(&bed.pool, &before);
	uint64_t good = bed.pfns[5];
	bed.pfns[5] = UINT64_MAX;
	CHECK_EQ(mhp_pages_free(bed.m, bed.pfns, 10), 5);
	CHECK_RET(mhp_pages_free(bed.m, bed.pfns + 5, 5), MHP_EINVAL);
	bed.pfns[5] = good;
	CHECK_EQ(mhp_pages_free(bed.m, bed.pfns + 5, 5), 5);
	CHECK_RET(mhp_pages_free(bed.m, bed.pfns, 10), MHP_EINVAL); /* twice */
	test_pool_check(&bed.pool);
	test_pool_empty_and_close(&bed.pool);
}

/* ---- parts of pages ---- */

TEST(bulk__split__parts_have_orders_and_cookies)
{
	uint64_t cookies[16], pfn;
	open_bed(1);
	for (unsigned i = 0; i < 16; i++)
		cookies[i] = 100 + i;
	for (unsigned to = 0; to <= 4; to++) {
		test_at("to order %u", to);
		CHECK_OK(mhp_page_alloc(bed.m, request(4, 9), &pfn));
		CHECK_RET(mhp_page_split(bed.m, pfn, 5, NULL), MHP_EINVAL);
		CHECK_RET(mhp_page_split(bed.m, pfn + 1, 0, NULL), MHP_EINVAL);
		CHECK_OK(mhp_page_split(bed.m, pfn, to, to % 2 == 0 ? cookies : NULL));
		for (uint64_t i = 0; i < 16; i++) {
			struct mhp_frame frame = mhp_frame_peek(bed.m, pfn + i);
			bool head = i % (1U << to) == 0;
			CHECK_EQ(frame.state, head ? MHP_FRAME_USED : MHP_FRAME_TAIL);
			if (head) {
				CHECK_EQ(frame.order, to);
				CHECK_EQ(frame.cookie, to % 2 == 0 ? 100 + (i >> to) : 9);
			}
		}
		test_pool_check(&bed.pool);
		for (uint64_t i = 0; i < 16; i += 1U << to)
			CHECK_OK(mhp_page_free(bed.m, pfn + i));
	}
	test_pool_empty_and_close(&bed.pool);
}

/* ---- the instance as a whole ---- */

TEST(bulk__totals__are_the_sum_of_the_zones)
{
	struct mhp_add_opts opts = { .flags = SELF | MHP_ADD_ONLINE, .node = 1,
				     .zone = MHP_ZONE_MOVABLE };
	struct mhp_stats stats;
	uint64_t present = 0, managed = 0, nr_free = 0;
	open_bed(2);
	CHECK_OK(mhp_add(bed.m, (struct mhp_blocks){ 4, 3 }, &opts, NULL));
	CHECK_OK(mhp_bad_add(bed.m, 5 * bed.pool.block_pages - 1));
	CHECK_EQ(mhp_pages_alloc(bed.m, request(0, 1), 100, bed.pfns), 100);
	for (unsigned node = 0; node < 2; node++)
		for (unsigned kind = MHP_ZONE_NORMAL; kind <= MHP_ZONE_MOVABLE; kind++) {
			struct mhp_zone_info zone = test_zone(&bed.pool, node, kind);
			present += zone.present;
			managed += zone.managed;
			nr_free += zone.free;
		}
	mhp_get_stats(bed.m, &stats);
	CHECK_EQ(stats.present_pages, present);
	CHECK_EQ(stats.managed_pages, managed);
	CHECK_EQ(stats.managed_pages, present - 1);
	CHECK_EQ(stats.free_pages, nr_free);
	CHECK_CMP(stats.cached_pages, <=, stats.free_pages);
	CHECK_EQ(mhp_pages_free(bed.m, bed.pfns, 100), 100);
	test_pool_empty_and_close(&bed.pool);
}

/* Four nodes: the fallback of each is the nearest one that has memory. */
TEST(bulk__distances__the_nearest_node_has_the_page)
{
	static const uint8_t distances[] = {
		10, 40, 20, 30,
		40, 10, 30, 20,
		20, 30, 10, 20,
		30, 20, 20, 10,
	};
	static const uint8_t order_of[4][4] = {
		{ 0, 2, 3, 1 }, { 1, 3, 2, 0 }, { 2, 3, 0, 1 }, { 3, 1, 2, 0 }
	};
	struct test_pool_opts opts = { .shape = "small" };
	struct mhp_geometry geo = test_geometry("small");
	geo.nr_nodes = 4;
	opts.geometry = &geo;
	opts.node_distances = distances;
	test_pool_open(&bed.pool, &opts);
	bed.m = bed.pool.m;
	CHECK_OK(mhp_owner_register(bed.m, "bulk", NULL, NULL, &bed.owner));
	for (uint8_t node = 0; node < 4; node++) {
		struct mhp_add_opts add = { .flags = SELF | MHP_ADD_ONLINE, .node = node };
		CHECK_OK(mhp_add(bed.m, (struct mhp_blocks){ node, 1 }, &add, NULL));
	}
	for (uint8_t home = 0; home < 4; home++)
		for (unsigned step = 0; step < 4; step++) {
			struct mhp_page_req req = request(0, 0);
			struct mhp_blocks block = { order_of[home][step], 1 };
			uint64_t pfn;
			test_at("node %u, %u are gone", home, step);
			req.node = home;
			req.flags = MHP_PAGE_NODE;
			CHECK_OK(mhp_page_alloc(bed.m, req, &pfn));
			CHECK_EQ(pfn / bed.pool.block_pages, order_of[home][step]);
			CHECK_OK(mhp_page_free(bed.m, pfn));
			if (step < 3)
				CHECK_OK(mhp_offline(bed.m, &block, 1, NULL, NULL));
			for (unsigned i = 0; step == 3 && i < 3; i++) {
				block.first = order_of[home][i];
				CHECK_OK(test_online(bed.m, block, MHP_ZONE_NORMAL, NULL));
			}
		}
	test_pool_empty_and_close(&bed.pool);
}
