/* SPDX-License-Identifier: MIT */
/*
 * table_test.c - what the table of a region says of the kernel's mappings, and who holds a page.
 *
 * The table of the first case is made by hand, over a space of two files; nothing is mapped there.
 */
#define _GNU_SOURCE
#include <memplug/block.h>
#include <memplug/linux.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../ports/linux/pool.h"
#include "../../ports/linux/region.h"
#include "../test.h"

#define PAGE UINT64_C(4096)
#define BLOCK (UINT64_C(4) << 20)
#define BLOCK_PAGES (BLOCK / PAGE)

/* Mappings of two pages, one on each side of where block 1 begins. */
static uint64_t
runs_across(struct mhp__slot first, struct mhp__slot second)
{
	struct mhp__slot slot[2] = { first, second };
	struct mhp__space space = { .block_bytes = BLOCK, .nr_blocks = 2, .slot = slot };
	mhp__entry entry[3] = { 0 };
	struct mhp_region region = { .space = &space, .nr_pages = 2, .nr_writable = 2,
				     .entry = entry };
	mhp__table_set(&region, 0, 2, mhp__entry_make(BLOCK_PAGES - 1, 0));
	mhp__table_mark(&region, 0, 2, MHP__ENTRY_OPEN, true);
	mhp__table_mark(&region, 0, 2, MHP__ENTRY_SETTLED, true);
	mhp__table_recount(&region);
	return region.nr_runs;
}

/* R39: frames that follow each other are one mapping only if they do so in one file. */
TEST(runs__two_blocks__one_mapping_if_their_file_goes_on)
{
	struct mhp__slot at_0 = { .file1 = 1 }, at_1 = { .file1 = 1, .offset_blocks = 1 };
	struct mhp__slot other = { .file1 = 2, .offset_blocks = 1 };
	struct mhp__slot far = { .file1 = 1, .offset_blocks = 5 };
	CHECK_EQ(runs_across(at_0, at_1), 1);
	CHECK_EQ(runs_across(at_0, other), 2);
	CHECK_EQ(runs_across(at_0, far), 2);
}

/* R73: whoever asks second for a page is told that it is on its way already. */
TEST(isolate__a_page_that_is_isolated__later)
{
	struct mhp_pool_opts opts = { .max_bytes = 8 * BLOCK, .block_bytes = BLOCK };
	struct mhp_backing ram = { .kind = MHP_BACKING_RAM };
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_blocks all = { 0, 8 };
	CHECK_EQ(mhp_pool_create(&opts, &pool, NULL), 0);
	CHECK_EQ(mhp_pool_add(pool, &ram, BLOCK, NULL, NULL, NULL), 0);
	CHECK_EQ(mhp_region_create(pool, "table", BLOCK, &region, NULL), 0);
	CHECK_EQ(mhp_region_commit(region, mhp_region_base(region), PAGE), 0);
	uint64_t pfn = mhp__entry_pfn(region->entry[0]), cookie = region->base;
	unsigned order = mhp__entry_order(region->entry[0]);
	CHECK_EQ(mhp__region_ops.isolate(pool, pfn, order, cookie), 0);
	CHECK_EQ(mhp__region_ops.isolate(pool, pfn, order, cookie), MHP_EAGAIN);
	mhp__region_ops.putback(pool, pfn, order, cookie);
	CHECK_EQ(mhp__region_ops.isolate(pool, pfn, order, cookie), 0);
	mhp__region_ops.putback(pool, pfn, order, cookie);
	mhp_region_destroy(region);
	CHECK_EQ(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL), 0);
	CHECK_EQ(mhp_pool_destroy(pool), 0);
}

/* The next stretch from page on, below end, or 0 for none; its length is checked. */
static uint64_t
stretch(const struct mhp_region *region, uint64_t page, uint64_t end, uint64_t nr)
{
	uint64_t got;
	if (!mhp__table_next_settled(region, &page, end, &got))
		return 0;
	CHECK_EQ(got, nr);
	return page;
}

/* R66, R80: of machines other than this one, too; the top of a stack is a random one. */
TEST(addresses__of_any_kernel__end_above_its_stack)
{
	static const struct { uint64_t on_stack; unsigned bits; } rows[] = {
		{ 0x3fffbb8ea9, 38 }, /* RISC-V, three levels of tables */
		{ 0x7fc1a2b4e9, 39 }, /* AArch64, three levels */
		{ 0x3ffc0a5b3f9, 42 }, /* AArch64, pages of 64 KiB, two levels */
		{ 0x7ffc5a1be0b9, 47 }, /* x86-64 */
		{ 0xffffc0000009, 48 }, /* AArch64, as most have it */
		{ 0xfffffffffff9, 48 },
		{ 0x800000000000, 48 },
	};
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		test_at("row %u", i);
		CHECK_EQ(mhp__region_address_end(rows[i].on_stack), UINT64_C(1) << rows[i].bits);
	}
}

/* R66, R80: each mapping of this process is in a table of all addresses. */
TEST(addresses__of_this_kernel__are_all_in_the_table)
{
	struct mhp_region *region = calloc(1, sizeof(*region));
	unsigned long start, end;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	CHECK(maps != NULL);
	CHECK_EQ(mhp__region_build_over(region, NULL), 0);
	while (fgets(line, sizeof(line), maps) != NULL) {
		CHECK_EQ(sscanf(line, "%lx-%lx", &start, &end), 2);
		test_at("%s", line);
		if (strstr(line, "[vsyscall]") == NULL) /* the kernel's */
			CHECK_CMP(end, <=, region->nr_pages * PAGE);
	}
	fclose(maps);
	mhp__region_free(region);
	free(region);
}

/* R66: a table of all addresses is gone through by the few windows that have pages. */
TEST(windows__of_all_addresses__those_with_pages)
{
	enum { WINDOW = 512 };
	struct mhp__slot slot[1] = { { .file1 = 1 } };
	struct mhp__space space = { .block_bytes = BLOCK, .nr_blocks = 1, .slot = slot };
	struct mhp_region *region = calloc(1, sizeof(*region));
	CHECK_EQ(mhp__region_build_over(region, NULL), 0);
	region->space = &space;
	/* Window 3 of the first word of bits, and 5 of the last one. */
	const uint64_t low = 3 * WINDOW, high = region->nr_pages - 59 * WINDOW;
	CHECK_CMP(mhp__table_next_window(region, 0), >=, mhp__table_windows(region));
	mhp__table_set(region, low + 7, 1, mhp__entry_make(0, 0));
	mhp__table_set(region, high - 16, 32, mhp__entry_make(16, 0));
	CHECK_EQ(mhp__table_next_window(region, 0), low / WINDOW);
	CHECK_EQ(mhp__table_next_window(region, low / WINDOW), low / WINDOW);
	CHECK_EQ(mhp__table_next_window(region, low / WINDOW + 1), high / WINDOW - 1);
	CHECK_EQ(mhp__table_next_window(region, high / WINDOW), high / WINDOW);
	CHECK_CMP(mhp__table_next_window(region, high / WINDOW + 1), >=,
		  mhp__table_windows(region));
	CHECK_EQ(stretch(region, 0, UINT64_MAX, 0), 0);
	mhp__table_mark(region, high - 16, 32, MHP__ENTRY_SETTLED, true);
	CHECK_EQ(stretch(region, 0, UINT64_MAX, 32), high - 16);
	CHECK_EQ(stretch(region, 0, high - 12, 4), high - 16);
	CHECK_EQ(stretch(region, high, UINT64_MAX, 16), high);
	CHECK_EQ(stretch(region, 0, high - 16, 0), 0);
	CHECK_EQ(stretch(region, high + 16, UINT64_MAX, 0), 0);
	mhp__table_mark(region, high - 16, 32, MHP__ENTRY_SETTLED, false);
	/* A window is passed by once all of it is known to be empty. */
	mhp__table_set(region, high - WINDOW, WINDOW, 0);
	CHECK_EQ(mhp__table_next_window(region, low / WINDOW + 1), high / WINDOW);
	mhp__table_set(region, low + 7, 1, 0);
	CHECK_EQ(mhp__table_next_window(region, 0), low / WINDOW);
	mhp__region_free(region);
	free(region);
}
