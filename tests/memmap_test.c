/* SPDX-License-Identifier: MIT */
/*
 * memmap_test.c - where descriptors live: the predicate, the reserve, the placements, the switch.
 *
 * What can be computed is computed here a second time, in another way. What a block says about
 * its metadata is held against what the ports saw. Every case runs in every memory model and
 * descriptor size; where one cannot show something, the case says so and checks the rest.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mover.h"
#include "state/instance.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)

static const char *const shapes[] = { "tiny1", "tiny2", "tiny8", "small", "dimm", "giga",
				      "k16", "k64" };
#define NR_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static struct mhp_block_info
info_of(struct test_pool *pool, uint32_t block)
{
	struct mhp_block_info info;
	CHECK_OK(mhp_block_get(pool->m, block, &info));
	return info;
}

static int
add(struct test_pool *pool, uint32_t first, uint32_t count, uint32_t flags,
    struct mhp_add_answer *ret_answer)
{
	struct mhp_add_opts opts = { .flags = flags, .metadata_node = 1 };
	return mhp_add(pool->m, (struct mhp_blocks){ first, count }, &opts, ret_answer);
}

/* ---- the predicate ---- */

static uint64_t
pages_for(uint64_t bytes, uint64_t page_bytes)
{
	return bytes / page_bytes + (bytes % page_bytes != 0 ? 1 : 0);
}

static void
check_predicate(const struct mhp_memmap_shape *shape)
{
	struct mhp_memmap_answer answer, again;
	uint64_t page_bytes = UINT64_C(1) << shape->page_shift;
	uint64_t pages = UINT64_C(1) << shape->block_order;
	uint64_t pageblock = UINT64_C(1) << shape->pageblock_order;
	uint64_t words = pages / pageblock * pages_for(pageblock, 64);
	uint64_t bytes = (pages + pages / pageblock) * shape->descriptor_bytes + words * 8;
	uint64_t granule = UINT64_C(1) << shape->caps.granule_shift;
	uint64_t reserve = pages_for(bytes, page_bytes);
	uint64_t waste = reserve * page_bytes - bytes;
	bool shared = shape->vmemmap && (granule < page_bytes ||
					 pages * shape->descriptor_bytes % granule != 0);
	memset(&answer, 0xff, sizeof(answer));
	memset(&again, 0, sizeof(again));
	bool can = mhp_supports_memmap_on_memory(shape, &answer);
	CHECK_EQ(can, mhp_supports_memmap_on_memory(shape, &again));
	CHECK_MEM(&answer, &again, sizeof(answer));
	if (shape->vmemmap)
		reserve += shape->caps.tables_per_block;
	CHECK_EQ(answer.nr_vmemmap_pages, reserve);
	CHECK_EQ(answer.waste_bytes, waste);
	CHECK_CMP(answer.waste_bytes, <, page_bytes);
	CHECK_EQ(answer.reason, shared ? MHP_MEMMAP_BAD_GEOMETRY :
				reserve >= pages ? MHP_MEMMAP_NO_USABLE_PAGE : MHP_MEMMAP_OK);
	CHECK_EQ(can, answer.reason == MHP_MEMMAP_OK);
}

static void
check_predicate_mapped(struct mhp_memmap_shape shape)
{
	static const uint8_t granules[] = { 10, 12, 14, 16, 21 };
	shape.vmemmap = true;
	for (size_t i = 0; i < sizeof(granules); i++)
		for (uint16_t tables = 0; tables <= 3; tables++) {
			shape.caps.granule_shift = granules[i];
			shape.caps.large_granule_shift = (uint8_t)(granules[i] + 9);
			shape.caps.tables_per_block = tables;
			check_predicate(&shape);
		}
}

/* R9: pages of 4, 16 and 64 KiB, descriptors of 16 to 128 bytes, blocks of 4 MiB to 64 GiB. */
TEST(memmap__predicate_over_all_shapes__agrees_with_arithmetic)
{
	for (uint8_t page_shift = 12; page_shift <= 16; page_shift += 2)
		for (uint16_t bytes = 16; bytes <= 128; bytes += 8)
			for (uint8_t block_shift = 22; block_shift <= 36; block_shift++)
				for (uint8_t pageblock = 1; pageblock <= 9; pageblock++) {
					struct mhp_memmap_shape shape = {
						.page_shift = page_shift,
						.block_order = block_shift - page_shift,
						.pageblock_order = pageblock,
						.descriptor_bytes = bytes,
					};
					if (pageblock > shape.block_order)
						continue;
					test_at("page 2^%u, descriptor %u, block 2^%u, order %u",
						page_shift, bytes, block_shift, pageblock);
					check_predicate(&shape);
					check_predicate_mapped(shape);
				}
}

/* R9 R17: whatever it is asked, it answers; "yes" only where something is left to use. */
TEST(memmap__predicate_over_nonsense__refuses)
{
	uint64_t random = test_seed();
	for (uint64_t i = test_ops(200000); i > 0; i--) {
		struct mhp_memmap_shape shape;
		struct mhp_memmap_answer answer;
		uint64_t bits = test_random(&random);
		memset(&shape, 0, sizeof(shape));
		shape.page_shift = (uint8_t)bits;
		shape.block_order = (uint8_t)(bits >> 8);
		shape.pageblock_order = (uint8_t)(bits >> 16);
		shape.descriptor_bytes = (uint16_t)(bits >> 24);
		shape.vmemmap = (bits >> 40 & 1) != 0;
		shape.caps.granule_shift = (uint8_t)(bits >> 41);
		shape.caps.large_granule_shift = (uint8_t)(bits >> 49);
		test_at("shape %#" PRIx64, bits);
		if (!mhp_supports_memmap_on_memory(&shape, &answer))
			continue;
		CHECK_CMP(shape.block_order, <=, 30);
		CHECK_CMP(answer.nr_vmemmap_pages, <, UINT64_C(1) << shape.block_order);
	}
}

/* R9 R17: shapes that no instance has: the largest of all, and those that do not fit together. */
TEST(memmap__predicate_at_the_edges__refuses)
{
	struct mhp_memmap_shape shape = { .page_shift = 6, .block_order = 30, .pageblock_order = 9,
					  .descriptor_bytes = UINT16_MAX };
	struct mhp_memmap_answer answer;
	CHECK(!mhp_supports_memmap_on_memory(&shape, &answer));
	CHECK_EQ(answer.nr_vmemmap_pages, UINT32_MAX);
	shape = (struct mhp_memmap_shape){ 12, 8, 9, 16, false, { 0, 0, 0 } };
	CHECK(!mhp_supports_memmap_on_memory(&shape, &answer));
	CHECK_EQ(answer.reason, MHP_MEMMAP_BAD_GEOMETRY);
	shape = (struct mhp_memmap_shape){ 12, 15, 9, 16, true, { 12, 40, 0 } };
	CHECK(mhp_supports_memmap_on_memory(&shape, &answer));
	shape.caps.large_granule_shift = 41;
	CHECK(!mhp_supports_memmap_on_memory(&shape, &answer));
	CHECK_EQ(answer.reason, MHP_MEMMAP_BAD_GEOMETRY);
}

/* R3 R5 R9: what a self-hosted block has is what the predicate says, on its own node. */
TEST(memmap__self_hosted_blocks__are_as_predicted)
{
	for (size_t i = 0; i < NR_SHAPES; i++) {
		struct test_pool_opts opts = { .shape = shapes[i] };
		struct test_pool pool;
		struct mhp_memmap_answer predicted;
		struct mhp_add_answer answer;
		test_at("shape %s", shapes[i]);
		test_pool_open(&pool, &opts);
		struct mhp_memmap_shape shape = mhp_memmap_shape(pool.m);
		CHECK(mhp_supports_memmap_on_memory(&shape, &predicted));
		struct mhp_add_opts on_node_1 = { .flags = SELF, .node = 1 };
		CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 3, 2 }, &on_node_1, &answer));
		CHECK_EQ(answer.placement, MHP_PLACE_SELF);
		CHECK_EQ(answer.reason, MHP_MEMMAP_OK);
		CHECK_EQ(answer.nr_vmemmap_pages, predicted.nr_vmemmap_pages);
		CHECK_EQ(answer.metadata_node, 1);
		for (uint32_t block = 3; block < 5; block++) {
			struct mhp_block_info info = info_of(&pool, block);
			CHECK_EQ(info.nr_vmemmap_pages, predicted.nr_vmemmap_pages);
			CHECK_EQ(info.waste_bytes, predicted.waste_bytes);
			CHECK_EQ(info.metadata_bytes, info.nr_vmemmap_pages * pool.page_bytes);
			CHECK_EQ(info.metadata_node, 1);
			CHECK_EQ(info.altmap.base_pfn, block * pool.block_pages);
			CHECK_EQ(info.altmap.capacity, info.nr_vmemmap_pages);
			CHECK_EQ(info.altmap.allocated, info.altmap.capacity);
		}
		test_pool_empty_and_close(&pool);
	}
}

/* R4: 8 bytes a descriptor, all metadata of 128 MiB within 0.21 % of them. */
TEST(memmap__metadata_of_128_mib__is_0_21_percent_at_most)
{
	struct test_pool_opts opts = { .shape = "dimm" };
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	CHECK_OK(add(&pool, 0, 1, SELF, NULL));
	struct mhp_block_info info = info_of(&pool, 0);
	CHECK_EQ(pool.block_bytes, UINT64_C(128) << 20);
	CHECK_EQ(mhp_memmap_shape(pool.m).descriptor_bytes, MHP_PAGE_BYTES);
	if (MHP_PAGE_BYTES == 8)
		CHECK_CMP(info.metadata_bytes * 10000, <=, pool.block_bytes * 21);
	else
		CHECK_CMP(info.metadata_bytes, >, pool.block_pages * MHP_PAGE_BYTES);
	test_pool_empty_and_close(&pool);
}

/* ---- the altmap ---- */

/* R5: its capacity is exactly the reserve. */
TEST(altmap__allocation_beyond_capacity__fails_and_takes_nothing)
{
	struct mhp_altmap altmap = { .base_pfn = 100, .capacity = 5 };
	uint64_t pfn = 0;
	CHECK_OK(mhp_altmap_alloc(&altmap, 2, &pfn));
	CHECK_EQ(pfn, 100U);
	CHECK_RET(mhp_altmap_alloc(&altmap, 4, &pfn), MHP_ENOMEM);
	CHECK_EQ(altmap.allocated, 2U);
	CHECK_OK(mhp_altmap_alloc(&altmap, 3, &pfn));
	CHECK_EQ(pfn, 102U);
	CHECK_EQ(mhp_altmap_nr_free(&altmap), 0U);
	CHECK_RET(mhp_altmap_alloc(&altmap, 1, &pfn), MHP_ENOMEM);
	CHECK_RET(mhp_altmap_alloc(&altmap, UINT32_MAX, &pfn), MHP_ENOMEM);
	CHECK_EQ(pfn, 102U);
	mhp_altmap_free(&altmap, 3);
	mhp_altmap_free(&altmap, 2);
	CHECK_EQ(altmap.allocated, 0U);
	CHECK_EQ(altmap.base_pfn, 100U);
	CHECK_EQ(altmap.capacity, 5U);
}

static const struct mhp_port_ops *greedy_next;

/* A port that wants one page-table page more than it said that it would. */
static int
greedy_memmap_map(void *port, void *virt, struct mhp_phys backing, uint64_t nr,
		  unsigned granule_shift, struct mhp_altmap *altmap)
{
	uint64_t pfn;
	int error = mhp_altmap_alloc(altmap, altmap->capacity - altmap->allocated + 1, &pfn);
	CHECK_RET(error, MHP_ENOMEM);
	(void)port, (void)virt, (void)backing, (void)nr, (void)granule_shift;
	return error;
}

/* R5 R28: a port that asks for more than the reserve gets an error, and the add undoes all. */
TEST(altmap__port_asks_for_more_than_the_reserve__add_fails)
{
	struct mhp_sim_opts opts = { .geometry = test_geometry("tiny8"),
				     .mode = MHP_SIM_UNMAP,
				     .vmemmap = MHP_VMEMMAP != 0,
				     .descriptor_bytes = MHP_PAGE_BYTES,
				     .caps = { .tables_per_block = 1 } };
	struct test_pool pool;
	struct mhp_port_ops ops;
	greedy_next = test_pool_prepare(&pool, &opts, &ops);
	ops.memmap_map = greedy_memmap_map;
	test_pool_start(&pool);
	uint64_t before = mhp_digest(pool.m);
	CHECK_RET(add(&pool, 0, 1, SELF, NULL), MHP_VMEMMAP ? MHP_ENOMEM : 0);
	if (MHP_VMEMMAP)
		CHECK_EQ(mhp_digest(pool.m), before);
	ops.memmap_map = greedy_next->memmap_map;
	if (MHP_VMEMMAP)
		CHECK_OK(add(&pool, 0, 1, SELF, NULL));
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* ---- the record ---- */

static void
check_record(struct test_pool *pool, const struct mhp_block_info *first, const char *when)
{
	struct mhp_block_info now = info_of(pool, first->block);
	test_at("%s", when);
	CHECK_EQ(now.placement, first->placement);
	CHECK_EQ(now.nr_vmemmap_pages, first->nr_vmemmap_pages);
	CHECK_EQ(now.metadata_bytes, first->metadata_bytes);
	CHECK_EQ(now.metadata_node, first->metadata_node);
	CHECK_EQ(now.waste_bytes, first->waste_bytes);
	CHECK_EQ(now.nr_large_mappings, first->nr_large_mappings);
	CHECK_EQ(now.nr_base_mappings, first->nr_base_mappings);
	CHECK_MEM(&now.altmap, &first->altmap, sizeof(now.altmap));
}

/* R6 R8: add writes the record, nothing changes it until remove, and the switch is not asked. */
TEST(memmap__record_of_a_block__unchanged_until_remove)
{
	struct test_pool_opts opts = { .shape = "tiny8", .meta_bytes = 1 << 20 };
	struct mhp_offline_opts rehearsal = { .dry_run = true };
	struct test_pool pool;
	struct test_mover mover;
	test_pool_open(&pool, &opts);
	test_mover_open(&mover, &pool, 4096);
	CHECK_OK(add(&pool, 0, 1, SELF | MHP_ADD_ONLINE, NULL));
	CHECK_OK(add(&pool, 1, 1, SELF, NULL));
	struct mhp_block_info first = info_of(&pool, 1);
	CHECK_OK(mhp_set_memmap_on_memory(pool.m, MHP_MEMMAP_OFF));
	check_record(&pool, &first, "switched off");
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 1, 1 }, MHP_ZONE_MOVABLE, NULL));
	check_record(&pool, &first, "online");
	CHECK(test_mover_fill(&mover, pool.block_pages / 4, 1, 0));
	check_record(&pool, &first, "in use");
	CHECK_OK(mhp_block_offline(pool.m, 1, &rehearsal, NULL));
	check_record(&pool, &first, "rehearsed");
	mover.pages[0].pinned = true;
	CHECK_RET(mhp_block_offline(pool.m, 1, NULL, NULL), MHP_EBUSY);
	mover.pages[0].pinned = false;
	check_record(&pool, &first, "not taken offline");
	CHECK_OK(mhp_block_offline(pool.m, 1, NULL, NULL));
	check_record(&pool, &first, "offline");
	CHECK_OK(mhp_set_memmap_on_memory(pool.m, MHP_MEMMAP_FORCE));
	check_record(&pool, &first, "forced");
	test_mover_check(&mover);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* ---- asking for it ---- */

/* R7 R8 R12: what is asked and what the switch says decide, and the answer says why. */
TEST(memmap__switch_and_flags__decide_the_placement)
{
	static const struct {
		enum mhp_memmap_switch value;
		uint32_t flags;
		int error;
		enum mhp_placement placement;
		enum mhp_memmap_reason reason;
	} cases[] = {
		{ MHP_MEMMAP_ON, 0, 0, MHP_PLACE_EXTERNAL, MHP_MEMMAP_NOT_ASKED },
		{ MHP_MEMMAP_ON, MHP_MEMMAP_ON_MEMORY, 0, MHP_PLACE_SELF, MHP_MEMMAP_OK },
		{ MHP_MEMMAP_ON, SELF, 0, MHP_PLACE_SELF, MHP_MEMMAP_OK },
		{ MHP_MEMMAP_OFF, 0, 0, MHP_PLACE_EXTERNAL, MHP_MEMMAP_NOT_ASKED },
		{ MHP_MEMMAP_OFF, MHP_MEMMAP_ON_MEMORY, 0, MHP_PLACE_EXTERNAL,
		  MHP_MEMMAP_SWITCHED_OFF },
		{ MHP_MEMMAP_OFF, SELF, MHP_EPERM, MHP_PLACE_SELF, MHP_MEMMAP_SWITCHED_OFF },
		{ MHP_MEMMAP_FORCE, 0, 0, MHP_PLACE_SELF, MHP_MEMMAP_OK },
		{ MHP_MEMMAP_FORCE, MHP_MEMMAP_ON_MEMORY, 0, MHP_PLACE_SELF, MHP_MEMMAP_OK },
		{ MHP_MEMMAP_FORCE, MHP_ADD_BOOT, 0, MHP_PLACE_EXTERNAL, MHP_MEMMAP_BOOT },
		{ MHP_MEMMAP_ON, MHP_ADD_BOOT, 0, MHP_PLACE_EXTERNAL, MHP_MEMMAP_BOOT },
	};
	struct test_pool_opts opts = { .meta_bytes = 1 << 20 };
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	CHECK_EQ(mhp_get_memmap_on_memory(pool.m), MHP_MEMMAP_ON);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mhp_add_answer answer;
		test_at("case %zu", i);
		CHECK_OK(mhp_set_memmap_on_memory(pool.m, cases[i].value));
		CHECK_EQ(mhp_get_memmap_on_memory(pool.m), cases[i].value);
		uint64_t before = mhp_digest(pool.m);
		CHECK_RET(add(&pool, 2, 2, cases[i].flags, &answer), cases[i].error);
		CHECK_EQ(answer.reason, cases[i].reason);
		if (cases[i].error != 0) {
			CHECK_EQ(mhp_digest(pool.m), before);
			continue;
		}
		CHECK_EQ(answer.placement, cases[i].placement);
		CHECK_EQ(info_of(&pool, 3).placement, cases[i].placement);
		CHECK_EQ(answer.nr_vmemmap_pages != 0, cases[i].placement == MHP_PLACE_SELF);
		/* Whatever it is switched to now, the blocks go the way they came. */
		CHECK_OK(mhp_set_memmap_on_memory(pool.m, (cases[i].value + 1) % 3));
		CHECK_OK(mhp_remove(pool.m, &answer.blocks, 1, NULL, NULL));
		CHECK_EQ(mhp_sim_meta_used(pool.sim), 0U);
		test_pool_check(&pool);
	}
	CHECK_RET(mhp_set_memmap_on_memory(pool.m, 3), MHP_EINVAL);
	test_pool_close(&pool);
}

/* R7 R16: where the reserve would fill the block, PREFER falls back and REQUIRE refuses. */
TEST(memmap__reserve_fills_the_block__not_self_hosted)
{
	/* A page for each descriptor, or page tables as large as the block. */
	bool fat = MHP_PAGE_BYTES >= 64 && !MHP_VMEMMAP;
	struct test_pool_opts opts = { .shape = fat ? "micro1" : "tiny1", .meta_bytes = 1 << 20 };
	struct mhp_add_answer answer;
	struct test_pool pool;
	opts.caps.tables_per_block = UINT16_MAX;
	test_pool_open(&pool, &opts);
	bool fits = !fat && !MHP_VMEMMAP; /* small descriptors in a table: it always fits */
	uint64_t before = mhp_digest(pool.m);
	CHECK_RET(add(&pool, 0, 1, SELF, &answer), fits ? 0 : MHP_EOPNOTSUPP);
	if (!fits) {
		CHECK_EQ(answer.reason, MHP_MEMMAP_NO_USABLE_PAGE);
		CHECK_EQ(mhp_digest(pool.m), before);
		CHECK_OK(add(&pool, 0, 1, MHP_MEMMAP_ON_MEMORY, &answer));
		CHECK_EQ(answer.reason, MHP_MEMMAP_NO_USABLE_PAGE);
		CHECK_EQ(answer.placement, MHP_PLACE_EXTERNAL);
		CHECK_EQ(info_of(&pool, 0).nr_vmemmap_pages, 0U);
	}
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 0, 1 }, MHP_ZONE_NORMAL, NULL));
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* ---- the other placements ---- */

/* R3 R12: external metadata says where it went, which need not be where it was wanted. */
TEST(memmap__external__says_where_it_went)
{
	struct test_pool_opts opts = { .meta_bytes = 1 << 20, .meta_nodes = 1U << 1 };
	struct mhp_add_answer answer;
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	CHECK_OK(add(&pool, 0, 1, 0, &answer));
	CHECK_EQ(answer.placement, MHP_PLACE_EXTERNAL);
	CHECK_EQ(answer.metadata_node, 1);
	struct mhp_block_info info = info_of(&pool, 0);
	CHECK_EQ(info.node, 0);
	CHECK_EQ(info.metadata_node, 1);
	CHECK_EQ(info.nr_vmemmap_pages, 0U);
	CHECK_EQ(info.altmap.capacity, 0U);
	CHECK_EQ(info.metadata_bytes, mhp_sim_meta_used(pool.sim));
	test_pool_empty_and_close(&pool);
}

/* R3 R12: metadata on another node takes pages there, and gives them back. */
TEST(memmap__on_another_node__takes_pages_there)
{
	struct test_pool_opts opts = { .shape = "tiny8" };
	struct mhp_zone_info before, with, after;
	struct mhp_add_answer answer;
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	CHECK_RET(add(&pool, 0, 1, MHP_MEMMAP_ON_NODE, &answer), MHP_ENOMEM);
	struct mhp_add_opts host = { .flags = SELF | MHP_ADD_ONLINE, .node = 1 };
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 7, 1 }, &host, NULL));
	CHECK_OK(mhp_zone_get(pool.m, 1, MHP_ZONE_NORMAL, &before));
	uint64_t digest = mhp_digest(pool.m);
	CHECK_OK(add(&pool, 0, 1, MHP_MEMMAP_ON_NODE | MHP_ADD_ONLINE, &answer));
	CHECK_EQ(answer.placement, MHP_PLACE_NODE);
	CHECK_EQ(answer.metadata_node, 1);
	CHECK_EQ(answer.nr_vmemmap_pages, 0U);
	CHECK_OK(mhp_zone_get(pool.m, 1, MHP_ZONE_NORMAL, &with));
	struct mhp_block_info info = info_of(&pool, 0);
	CHECK_EQ(info.metadata_node, 1);
	CHECK_EQ(before.free - with.free, info.metadata_bytes / pool.page_bytes);
	test_pool_check(&pool);
	/* The host cannot go before its guest. */
	struct mhp_blocks blocks = { 7, 1 };
	struct mhp_why why;
	CHECK_RET(mhp_remove(pool.m, &blocks, 1, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_UNMOVABLE);
	CHECK_EQ(why.owner, MHP_OWNER_MEMMAP);
	CHECK_STR(why.text, "metadata of block 0");
	blocks = (struct mhp_blocks){ 0, 1 };
	CHECK_OK(mhp_remove(pool.m, &blocks, 1, NULL, NULL));
	CHECK_OK(mhp_zone_get(pool.m, 1, MHP_ZONE_NORMAL, &after));
	CHECK_EQ(after.free, before.free);
	CHECK_EQ(mhp_digest(pool.m), digest);
	test_pool_empty_and_close(&pool);
}

/* R10 R12: metadata on another node is mapped in granules, and starts where one does. */
TEST(memmap__on_another_node_with_coarse_granule__is_aligned)
{
	struct test_pool_opts opts = { .shape = "tiny8", .caps = { .granule_shift = 14 } };
	struct mhp_add_opts host = { .flags = SELF | MHP_ADD_ONLINE, .node = 1 };
	struct mhp_page_req req = { .node = 1, .flags = MHP_PAGE_NODE };
	struct test_pool pool;
	uint64_t pfn;
	if (MHP_PAGE_BYTES > 64) /* metadata would fill the host */
		return;
	test_pool_open(&pool, &opts);
	CHECK_OK(mhp_owner_register(pool.m, "odd", NULL, NULL, &req.owner));
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 7, 1 }, &host, NULL));
	for (uint32_t i = 0; i < 3; i++) { /* so that free frames start at an odd one */
		CHECK_OK(mhp_page_alloc(pool.m, req, &pfn));
		CHECK_OK(add(&pool, i, 1, MHP_MEMMAP_ON_NODE | MHP_ADD_ONLINE, NULL));
		CHECK_EQ(pool.m->blocks[i].meta_addr & (MHP_VMEMMAP ? (1U << 14) - 1 : 0), 0U);
		test_pool_check(&pool);
	}
	test_pool_discard(&pool);
}

/* R11: no reserve in boot blocks, and from then on they are blocks like any other. */
TEST(memmap__boot_block__has_no_reserve_and_leaves_like_others)
{
	struct test_pool_opts opts = { .shape = "tiny2", .meta_bytes = 1 << 20 };
	struct test_pool pool;
	struct test_mover mover;
	test_pool_open(&pool, &opts);
	test_mover_open(&mover, &pool, 4096);
	CHECK_RET(add(&pool, 0, 1, MHP_ADD_BOOT | MHP_MEMMAP_ON_MEMORY, NULL), MHP_EINVAL);
	CHECK_RET(add(&pool, 0, 1, MHP_ADD_BOOT | SELF, NULL), MHP_EINVAL);
	CHECK_OK(add(&pool, 0, 2, MHP_ADD_BOOT | MHP_ADD_ONLINE, NULL));
	struct mhp_block_info info = info_of(&pool, 0);
	CHECK(info.boot);
	CHECK_EQ(info.nr_vmemmap_pages, 0U);
	CHECK_EQ(info.free_bytes + info.used_bytes, pool.block_bytes);
	CHECK(test_mover_fill(&mover, pool.block_pages / 2, 0, 0));
	CHECK_OK(mhp_block_offline(pool.m, 0, NULL, NULL));
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 0, 1 }, MHP_ZONE_DEFAULT, NULL));
	struct mhp_blocks blocks = { 1, 1 };
	CHECK_OK(mhp_remove(pool.m, &blocks, 1, NULL, NULL));
	CHECK_EQ(info_of(&pool, 1).state, MHP_ABSENT);
	test_mover_check(&mover);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

/* ---- taking nothing ---- */

/* R2 R21: not one page is free and nothing external is to be had: plugging works all the same. */
TEST(memmap__no_page_is_free__self_hosted_add_and_online_work)
{
	for (size_t i = 0; i < 4; i++) {
		struct test_pool_opts opts = { .shape = shapes[i], .meta_bytes = 0 };
		struct mhp_zone_info zone;
		struct test_pool pool;
		struct test_mover mover;
		test_at("shape %s", shapes[i]);
		test_pool_open(&pool, &opts);
		test_mover_open(&mover, &pool, 16384);
		for (uint32_t block = 0; block < 4; block++) {
			CHECK_RET(add(&pool, block, 1, 0, NULL), MHP_ENOMEM);
			uint64_t asked = mhp_fault_calls_of(pool.fault, MHP_FAULT_META_ALLOC);
			CHECK_OK(add(&pool, block, 1, SELF, NULL));
			CHECK_OK(test_online(pool.m, (struct mhp_blocks){ block, 1 },
					    MHP_ZONE_NORMAL, NULL));
			CHECK_EQ(mhp_fault_calls_of(pool.fault, MHP_FAULT_META_ALLOC), asked);
			while (test_mover_alloc(&mover, 0, 0) != TEST_MOVER_NONE)
				;
			CHECK_OK(mhp_zone_get(pool.m, 0, MHP_ZONE_NORMAL, &zone));
			CHECK_EQ(zone.free, 0U);
			/* Every usable page of every block is in use now. */
			CHECK_EQ(mover.nr_frames, zone.managed);
			CHECK_EQ(zone.managed, (block + 1) * (pool.block_pages -
							      info_of(&pool, 0).nr_vmemmap_pages));
		}
		test_mover_check(&mover);
		test_pool_check(&pool);
		CHECK_EQ(mhp_sim_meta_used(pool.sim), 0U);
		test_mover_close(&mover);
		test_pool_empty_and_close(&pool);
	}
}

/* Pages of a block that there is memory for. */
static uint64_t
resident(const struct test_pool *pool, uint32_t block)
{
	size_t nr = (size_t)pool->block_bytes / 4096;
	unsigned char *seen = malloc(nr);
	unsigned char *start =
		mhp_sim_backdoor(pool->sim, (struct mhp_phys){ block * pool->block_bytes });
	uint64_t sum = 0;
	CHECK(seen != NULL && mincore(start, (size_t)pool->block_bytes, seen) == 0);
	for (size_t i = 0; i < nr; i++)
		sum += seen[i] & 1U;
	free(seen);
	return sum;
}

/* Bytes of the instance that bringing a block online changes. */
static uint64_t
changed_by_online(struct test_pool *pool, uint32_t block)
{
	size_t bytes = 0;
	uint64_t nr = 0;
	CHECK_OK(mhp_footprint(&pool->config.geometry, &bytes));
	unsigned char *before = malloc(bytes);
	CHECK(before != NULL);
	memcpy(before, pool->m, bytes);
	CHECK_OK(test_online(pool->m, (struct mhp_blocks){ block, 1 }, MHP_ZONE_NORMAL, NULL));
	for (size_t i = 0; i < bytes; i++)
		nr += before[i] != ((const unsigned char *)pool->m)[i];
	free(before);
	return nr;
}

/* R13: coming online writes nothing into the block, and O(1) into the instance. */
TEST(memmap__online_of_fresh_memory__touches_constant_memory)
{
	static const char *const large[] = { "dimm", "giga" };
	for (size_t i = 0; i < 2; i++)
		for (unsigned known = 0; known < 2; known++) {
			struct test_pool_opts opts = { .shape = large[i], .plain = true };
			uint32_t zeroed = known != 0 ? MHP_ADD_ZEROED : 0U;
			struct test_pool pool;
			test_at("shape %s, zeroed %u", large[i], known);
			test_pool_open(&pool, &opts);
			uint64_t arenas = pool.block_pages >> 15;
			CHECK_OK(add(&pool, 0, 1, SELF | zeroed, NULL));
			CHECK_OK(add(&pool, 12, 1, SELF | zeroed, NULL));
			CHECK_EQ(resident(&pool, 12), 0U);
			CHECK_CMP(changed_by_online(&pool, 0), <=, 256 + 64 * arenas);
			CHECK_CMP(changed_by_online(&pool, 12), <=, 256 + 64 * arenas);
			CHECK_EQ(resident(&pool, 0), 0U);
			CHECK_EQ(resident(&pool, 12), 0U);
			struct mhp_blocks both[] = { { 0, 1 }, { 12, 1 } };
			CHECK_OK(mhp_offline(pool.m, both, 2, NULL, NULL));
			CHECK_EQ(resident(&pool, 12), 0U);
			test_pool_empty_and_close(&pool);
		}
}

/* ---- mappings ---- */

/* Mappings of block 0 for a large granule; 0 bytes where this build has no memmap to map. */
static void
check_mappings(uint8_t large_shift, uint32_t flags, bool may_be_large)
{
	struct test_pool_opts opts = { .shape = "tiny8", .meta_bytes = 4 << 20 };
	struct test_pool pool;
	opts.caps.large_granule_shift = large_shift;
	test_at("large granule 2^%u, flags %#x", large_shift, flags);
	test_pool_open(&pool, &opts);
	CHECK_OK(add(&pool, 1, 1, flags, NULL));
	struct mhp_block_info info = info_of(&pool, 1);
	uint64_t slice = MHP_VMEMMAP ? pool.block_pages * MHP_PAGE_BYTES : 0;
	uint64_t large = large_shift == 0 ? 0 : slice >> large_shift;
	CHECK_EQ(info.nr_large_mappings, may_be_large ? large : 0);
	CHECK_EQ(((uint64_t)info.nr_large_mappings << large_shift) +
			 ((uint64_t)info.nr_base_mappings << 12),
		 slice);
	CHECK_EQ(mhp_fault_calls_of(pool.fault, MHP_FAULT_MEMMAP_MAP) != 0, MHP_VMEMMAP != 0);
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* R10: large mappings where a slice fills them, base mappings elsewhere, both counted. */
TEST(memmap__mappings__large_where_they_fit_else_base)
{
	for (uint8_t large = 12; large <= 22; large++) {
		check_mappings(large, SELF, large > 12);
		check_mappings(large, 0, large > 12);
	}
	check_mappings(0, SELF, false);
}

/* R10 R28: whichever of the two mappings fails, nothing is left of the other. */
TEST(memmap__mapping_fails__nothing_is_left)
{
	struct test_pool_opts opts = { .shape = "tiny8", .meta_bytes = 4 << 20 };
	struct test_pool pool;
	int error;
	uint64_t nth = 0;
	opts.caps.large_granule_shift = 13;
	test_pool_open(&pool, &opts);
	mhp_fault_set_kinds(pool.fault, 1U << MHP_FAULT_MEMMAP_MAP);
	do {
		test_at("mapping %" PRIu64 " fails", ++nth);
		mhp_fault_arm(pool.fault, nth, false, MHP_EIO);
		error = mhp_add(pool.m, (struct mhp_blocks){ 1, 2 },
				&(struct mhp_add_opts){ .flags = SELF }, NULL);
		CHECK(error == 0 || error == MHP_EIO);
		CHECK_EQ(info_of(&pool, 1).state, error == 0 ? MHP_OFFLINE : MHP_ABSENT);
		test_pool_check(&pool);
	} while (error != 0);
	CHECK_EQ(nth > 1, MHP_VMEMMAP != 0);
	test_pool_empty_and_close(&pool);
}

/* R10: an instance in which a granule would serve two blocks does not start. */
TEST(memmap__granule_larger_than_a_slice__is_refused)
{
	struct mhp_sim_opts opts = { .geometry = test_geometry("tiny1"),
				     .vmemmap = MHP_VMEMMAP != 0,
				     .descriptor_bytes = MHP_PAGE_BYTES,
				     .caps = { .granule_shift = 12 } };
	uint64_t slice = (UINT64_C(1) << opts.geometry.block_order) * MHP_PAGE_BYTES;
	struct test_pool pool = { 0 };
	size_t bytes = 0;
	while (slice >> opts.caps.granule_shift != 0)
		opts.caps.granule_shift++;
	CHECK_OK(mhp_sim_create(&opts, &pool.sim));
	mhp_sim_config(pool.sim, &pool.config);
	CHECK_OK(mhp_footprint(&opts.geometry, &bytes));
	unsigned char *memory = mhp_sim_instance_memory(pool.sim, bytes);
	CHECK_RET(mhp_init(memory, bytes, &pool.config, &pool.m), MHP_VMEMMAP ? MHP_EINVAL : 0);
	for (size_t i = 0; MHP_VMEMMAP && i < bytes; i++)
		CHECK_EQ(memory[i], 0);
	mhp_sim_destroy(pool.sim);
}
