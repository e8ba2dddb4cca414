/* SPDX-License-Identifier: MIT */
/*
 * scale_test.c - as much memory as there are addresses for: 64 TiB in blocks of 128 MiB.
 *
 * The memory does not exist and is never touched, so what the process grows by is what the engine
 * and the simulator keep. Cost is shown in work that can be counted, calls of the port and reads
 * of its clock, and in resident memory; times are printed and judged by nobody here.
 */
#include <stdlib.h>
#include <time.h>

#include "ledger.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const uint64_t resident_max = UINT64_C(100) << 20;

static uint64_t
resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	CHECK(file != NULL && fscanf(file, "%*u %llu", &pages) == 1);
	fclose(file);
	return pages * 4096;
}

static uint64_t
time_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* All the memory that can be; sanitizers leave room for a TiB. */
static void
open_large(struct test_pool *pool)
{
	struct mhp_geometry geo = test_geometry("tera");
	struct test_pool_opts opts = { .geometry = &geo, .plain = true, .no_fault = true,
				       .fill = MHP_SIM_KEEP };
	if (SANITIZED)
		geo.nr_blocks = 1U << 13;
	test_pool_open(pool, &opts);
}

static int
add(struct test_pool *pool, uint32_t first, uint32_t count)
{
	struct mhp_add_opts opts = { .flags = SELF };
	return mhp_add(pool->m, (struct mhp_blocks){ first, count }, &opts, NULL);
}

static int
take_out(struct test_pool *pool, uint32_t first, uint32_t count)
{
	struct mhp_blocks blocks = { first, count };
	return mhp_remove(pool->m, &blocks, 1, NULL, NULL);
}

static unsigned
nr_ranges(struct test_pool *pool)
{
	struct mhp_blocks range;
	unsigned nr = 0;
	for (uint32_t block = 0; mhp_range_get(pool->m, block, &range) == 0;
	     block = range.first + range.count)
		nr++;
	return nr;
}

/* AIMS, R13: 64 TiB plugged, online, offline, removed; the process stays below 100 MB. */
TEST(scale__all_addresses__little_memory)
{
	struct test_pool pool;
	struct mhp_stats stats;
	struct mhp_page_req req = { .cookie = 0 };
	uint64_t pfn, before = resident_bytes();
	open_large(&pool);
	uint32_t nr = pool.config.geometry.nr_blocks;
	struct mhp_blocks all = { 0, nr };
	CHECK_OK(mhp_owner_register(pool.m, "data", NULL, NULL, &req.owner));
	uint64_t start = time_ns();
	CHECK_OK(add(&pool, 0, nr));
	uint64_t added = time_ns();
	CHECK_OK(test_online(pool.m, all, MHP_ZONE_NORMAL, NULL));
	uint64_t onlined = time_ns();
	uint64_t resident = resident_bytes() - before;
	CHECK_EQ(nr_ranges(&pool), 1U);
	mhp_get_stats(pool.m, &stats);
	CHECK_EQ(stats.blocks_online, nr);
	struct mhp_zone_info zone = test_zone(&pool, 0, MHP_ZONE_NORMAL);
	uint64_t reserve = test_block(&pool, nr - 1).nr_vmemmap_pages;
	CHECK_EQ(zone.present, nr * (pool.block_pages - reserve));
	CHECK_EQ(zone.free, zone.present);
	if (!SANITIZED)
		CHECK_CMP(resident, <=, resident_max);
	test_pool_check(&pool);
	CHECK_OK(mhp_page_alloc(pool.m, req, &pfn));
	CHECK_RET(mhp_offline(pool.m, &all, 1, NULL, NULL), MHP_EBUSY);
	CHECK_OK(mhp_page_free(pool.m, pfn));
	uint64_t leaving = time_ns();
	CHECK_OK(mhp_offline(pool.m, &all, 1, NULL, NULL));
	uint64_t offline = time_ns();
	CHECK_OK(take_out(&pool, 0, nr));
	uint64_t gone = time_ns();
	test_pool_check(&pool);
	test_say("%u blocks: ns a block: add %.0f, online %.0f, offline %.0f, remove %.0f; %.1f MB",
		 nr, (double)(added - start) / nr, (double)(onlined - added) / nr,
		 (double)(offline - leaving) / nr, (double)(gone - offline) / nr,
		 (double)resident / 1e6);
	test_pool_close(&pool);
}

/* ---- one block more ---- */

static struct {
	const struct mhp_port_ops *next;
	uint64_t calls, clock;
} work;

static int
count_map(void *port, struct mhp_phys start, uint64_t size, unsigned node)
{
	work.calls++;
	return work.next->map(port, start, size, node);
}

static void
count_unmap(void *port, struct mhp_phys start, uint64_t size)
{
	work.calls++;
	work.next->unmap(port, start, size);
}

static int
count_check_ram(void *port, struct mhp_phys start, uint64_t size)
{
	work.calls++;
	return work.next->check_ram(port, start, size);
}

static uint64_t
count_now_ns(void *port)
{
	work.clock++;
	return work.next->now_ns(port);
}

/* A pool whose port is counted. */
static void
open_counted(struct test_pool *pool, struct mhp_port_ops *ops)
{
	struct mhp_sim_opts opts = { .geometry = test_geometry("tera"), .fill = MHP_SIM_KEEP };
	if (SANITIZED)
		opts.geometry.nr_blocks = 1U << 13;
	work.next = test_pool_prepare(pool, &opts, ops);
	ops->map = count_map;
	ops->unmap = count_unmap;
	ops->check_ram = count_check_ram;
	ops->now_ns = count_now_ns;
	test_pool_start(pool);
}

struct turn {
	uint64_t calls, clock, changed;
};

static uint64_t
differing_words(const void *a, const void *b, size_t bytes)
{
	const unsigned char *one = a, *two = b;
	uint64_t nr = 0;
	for (size_t i = 0; i < bytes; i += 4096) {
		size_t part = bytes - i < 4096 ? bytes - i : 4096;
		if (memcmp(one + i, two + i, part) == 0)
			continue;
		for (size_t k = 0; k < part; k += 8)
			nr += memcmp(one + i + k, two + i + k, 8) != 0;
	}
	return nr;
}

/* A block comes, is put into use, leaves, goes: what that takes, up to where it is in use. */
static struct turn
one_more(struct test_pool *pool, uint32_t block, void *copy, size_t bytes)
{
	struct turn turn;
	memcpy(copy, pool->m, bytes);
	work.calls = work.clock = 0;
	CHECK_OK(add(pool, block, 1));
	CHECK_OK(test_online(pool->m, (struct mhp_blocks){ block, 1 }, MHP_ZONE_NORMAL, NULL));
	turn.changed = differing_words(copy, pool->m, bytes);
	CHECK_OK(mhp_block_offline(pool->m, block, NULL, NULL));
	CHECK_OK(take_out(pool, block, 1));
	turn.calls = work.calls;
	turn.clock = work.clock;
	return turn;
}

/* AIMS: the work for one block is the same, be it the only one or the last of half a million. */
TEST(scale__one_block_more__same_work)
{
	struct mhp_port_ops ops;
	struct test_pool pool;
	size_t bytes = 0;
	open_counted(&pool, &ops);
	CHECK_OK(mhp_footprint(&pool.config.geometry, &bytes));
	uint32_t last = pool.config.geometry.nr_blocks - 1;
	void *copy = malloc(bytes);
	CHECK(copy != NULL);
	struct turn alone = one_more(&pool, last / 2, copy, bytes);
	CHECK_OK(add(&pool, 0, last / 2));
	CHECK_OK(add(&pool, last / 2 + 1, last - last / 2));
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 0, last / 2 }, MHP_ZONE_NORMAL, NULL));
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ last / 2 + 1, last - last / 2 },
			    MHP_ZONE_NORMAL, NULL));
	CHECK_EQ(nr_ranges(&pool), 3U);
	struct turn many = one_more(&pool, last / 2, copy, bytes);
	CHECK_EQ(many.calls, alone.calls);
	CHECK_CMP(many.clock, <=, alone.clock + 4);
	CHECK_CMP(many.changed, <=, alone.changed + 16);
	CHECK_CMP(alone.changed, <=, 64U);
	free(copy);
	CHECK_OK(take_out(&pool, 0, last / 2));
	CHECK_OK(take_out(&pool, last / 2 + 1, last - last / 2));
	test_pool_close(&pool);
}
