/* SPDX-License-Identifier: MIT */
/*
 * remove_test.c - removal: any union of whole blocks, all or none, and how one block is torn down.
 *
 * The blocks of a case come from different adds and have their metadata in different places; what
 * is removed is gone with everything that it had, what stays has not noticed. The order of the
 * teardown is watched from the port's side, and shown to matter by doing it the other way round.
 */
#include "physical/metadata.h"
#include "ledger.h"
#include "mover.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)

static void
add(struct test_pool *pool, uint32_t first, uint32_t count, uint32_t flags, uint8_t node,
    uint8_t zone)
{
	struct mhp_add_opts opts = {
		.flags = flags, .node = node, .metadata_node = 1, .zone = zone
	};
	CHECK_OK(mhp_add(pool->m, (struct mhp_blocks){ first, count }, &opts, NULL));
}

static int
take_out(struct test_pool *pool, uint32_t first, uint32_t count, struct mhp_why *reterr_why)
{
	struct mhp_blocks blocks = { first, count };
	return mhp_remove(pool->m, &blocks, 1, NULL, reterr_why);
}

/* ---- unions ---- */

#define ABSENT_BLOCK 4U
#define PLAYED 7U              /* blocks 0 to 6; block 7 stays */

/* One of each kind: boot, two of one self-hosted add, external, none, self-hosted and offline, on
 * another node; and a block that takes in the data of all. */
static void
open_mixture(struct test_pool *pool, struct test_mover *mover, const char *shape)
{
	struct test_pool_opts opts = { .shape = shape, .meta_bytes = 4 << 20 };
	test_pool_open(pool, &opts);
	test_mover_open(mover, pool, 256);
	add(pool, 7, 1, MHP_ADD_BOOT | MHP_ADD_ONLINE, 1, MHP_ZONE_NORMAL);
	add(pool, 0, 1, MHP_ADD_BOOT | MHP_ADD_ONLINE, 0, MHP_ZONE_NORMAL);
	add(pool, 1, 2, SELF | MHP_ADD_ONLINE, 0, MHP_ZONE_MOVABLE);
	add(pool, 3, 1, MHP_ADD_ONLINE, 1, MHP_ZONE_MOVABLE);
	add(pool, 5, 1, SELF, 0, MHP_ZONE_MOVABLE);
	add(pool, 6, 1, MHP_MEMMAP_ON_NODE, 0, MHP_ZONE_MOVABLE);
	/* Caches would fill up one block after the other: leave something in each. */
	for (unsigned i = 0; i < 4; i++)
		CHECK(test_mover_alloc(mover, 0, i % 2) != TEST_MOVER_NONE);
}

static void
close_mixture(struct test_pool *pool, struct test_mover *mover)
{
	test_mover_close(mover);
	test_pool_empty_and_close(pool);
}

/* One run a block, the highest first; what is absent is named together with what is below it. */
static unsigned
runs_of(unsigned set, struct mhp_blocks *ret_runs)
{
	unsigned nr = 0;
	for (unsigned block = PLAYED; block-- > 0;) {
		if ((set >> block & 1U) == 0)
			continue;
		bool with_gap = block == ABSENT_BLOCK && (set >> (block - 1) & 1U) != 0;
		ret_runs[nr++] = with_gap ? (struct mhp_blocks){ block - 1, 2 } :
					    (struct mhp_blocks){ block, 1 };
		if (with_gap)
			block--;
	}
	return nr;
}

static void
check_union(const char *shape, unsigned set)
{
	struct mhp_block_info before[PLAYED];
	struct mhp_blocks runs[PLAYED];
	struct test_pool pool;
	struct test_mover mover;
	open_mixture(&pool, &mover, shape);
	for (uint32_t i = 0; i < PLAYED; i++)
		before[i] = test_block(&pool, i);
	unsigned nr = runs_of(set, runs);
	bool only_gap = false;
	for (unsigned i = 0; i < nr; i++)
		only_gap |= runs[i].first == ABSENT_BLOCK && runs[i].count == 1;
	CHECK_RET(mhp_remove(pool.m, runs, nr, NULL, NULL), only_gap ? MHP_ENOENT : 0);
	for (uint32_t i = 0; i < PLAYED; i++) {
		bool gone = !only_gap && (set >> i & 1U) != 0;
		struct mhp_block_info now = test_block(&pool, i);
		CHECK_EQ(now.state, gone ? MHP_ABSENT : before[i].state);
		CHECK_EQ(now.metadata_bytes, gone ? 0 : before[i].metadata_bytes);
	}
	struct test_ledger ledger;
	test_pool_check(&pool);
	test_ledger_take(&pool, &ledger);
	test_mover_check(&mover);
	close_mixture(&pool, &mover);
}

/* R25: every union of blocks of all kinds, with gaps, whatever adds they came from. */
TEST(remove__every_union__exactly_those_are_gone)
{
	static const char *const shapes[] = { "tiny2", "tiny8" };
	for (unsigned i = 0; i < 2; i++)
		for (unsigned set = 1; set < 1U << PLAYED; set++) {
			test_at("shape %s, set %#x", shapes[i], set);
			check_union(shapes[i], set);
		}
}

/* R25: one run over all of them, the gap included. */
TEST(remove__one_span_with_gaps__all_of_it_is_gone)
{
	struct test_pool pool;
	struct test_mover mover;
	open_mixture(&pool, &mover, "tiny2");
	CHECK_OK(take_out(&pool, 0, PLAYED, NULL));
	for (uint32_t i = 0; i < PLAYED; i++)
		CHECK_EQ(test_block(&pool, i).state, MHP_ABSENT);
	test_mover_check(&mover);
	close_mixture(&pool, &mover);
}

/* R17 R25: what is no union of whole blocks, or names a block twice, gets a typed error. */
TEST(remove__malformed__typed_error_and_nothing_changed)
{
	struct test_pool pool;
	struct test_mover mover;
	struct test_ledger before;
	open_mixture(&pool, &mover, "tiny2");
	uint32_t end = pool.config.geometry.nr_blocks;
	const struct {
		struct mhp_blocks sets[2];
		unsigned nr;
		int error;
	} cases[] = {
		{ { { 0, 0 } }, 1, MHP_EINVAL },
		{ { { 0, 1 } }, 0, MHP_EINVAL },
		{ { { end, 1 } }, 1, MHP_ENXIO },
		{ { { end - 1, 2 } }, 1, MHP_ENXIO },
		{ { { UINT32_MAX, 1 } }, 1, MHP_ENXIO },
		{ { { UINT32_MAX, 2 } }, 1, MHP_ENXIO },
		{ { { 1, UINT32_MAX } }, 1, MHP_ENXIO },
		{ { { ABSENT_BLOCK, 1 } }, 1, MHP_ENOENT },
		{ { { 0, 1 }, { ABSENT_BLOCK, 1 } }, 2, MHP_ENOENT },
		{ { { 0, 1 }, { 0, 1 } }, 2, MHP_EINVAL },
		{ { { 0, 2 }, { 1, 1 } }, 2, MHP_EINVAL },
		{ { { 0, 1 }, { 1, 0 } }, 2, MHP_EINVAL },
	};
	test_ledger_take(&pool, &before);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		test_at("case %zu", i);
		CHECK_RET(mhp_remove(pool.m, cases[i].sets, cases[i].nr, NULL, NULL),
			  cases[i].error);
		test_ledger_check(&pool, &before);
	}
	close_mixture(&pool, &mover);
}

/* R17: the block that is in the way of a removal is named. */
TEST(remove__named_twice_or_absent__says_which)
{
	struct test_pool pool;
	struct test_mover mover;
	struct mhp_why why = { 0 };
	open_mixture(&pool, &mover, "tiny1");
	struct mhp_blocks twice[] = { { 0, 2 }, { 1, 2 } };
	CHECK_RET(mhp_remove(pool.m, twice, 2, NULL, &why), MHP_EINVAL);
	CHECK_EQ(why.cause, MHP_CAUSE_STATE);
	CHECK_EQ(why.block, 1U);
	CHECK_RET(take_out(&pool, ABSENT_BLOCK, 1, &why), MHP_ENOENT);
	CHECK_EQ(why.block, ABSENT_BLOCK);
	close_mixture(&pool, &mover);
}

/* R26: one page that cannot move keeps all named blocks, and nothing has moved. */
TEST(remove__one_block_cannot_leave__none_does)
{
	struct test_pool pool;
	struct test_mover mover;
	struct test_ledger before;
	struct mhp_why why;
	uint64_t pfn = 0;
	uint16_t kernel;
	open_mixture(&pool, &mover, "tiny2");
	CHECK_OK(mhp_owner_register(pool.m, "kernel", NULL, NULL, &kernel));
	struct mhp_page_req req = { .owner = kernel, .node = 0 };
	CHECK_OK(mhp_page_alloc(pool.m, req, &pfn));
	CHECK_CMP(pfn, <, pool.block_pages); /* in block 0, the only NORMAL one of node 0 */
	test_ledger_take(&pool, &before);
	CHECK_RET(take_out(&pool, 0, PLAYED, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_UNMOVABLE);
	CHECK_EQ(why.pfn, pfn);
	CHECK_EQ(mover.nr_frames_moved, 0U);
	test_ledger_check(&pool, &before);
	CHECK_OK(mhp_page_free(pool.m, pfn));
	CHECK_OK(take_out(&pool, 0, PLAYED, NULL));
	test_mover_check(&mover);
	close_mixture(&pool, &mover);
}

/* R26 R30: the dry run of a removal says the same, and removes nothing. */
TEST(remove__dry_run__changes_nothing)
{
	struct mhp_offline_opts rehearsal = { .dry_run = true };
	struct test_pool pool;
	struct test_mover mover;
	struct test_ledger before;
	open_mixture(&pool, &mover, "tiny2");
	struct mhp_blocks blocks = { 0, PLAYED };
	test_ledger_take(&pool, &before);
	CHECK_OK(mhp_remove(pool.m, &blocks, 1, &rehearsal, NULL));
	test_ledger_check(&pool, &before);
	CHECK_EQ(mover.nr_frames_moved, 0U);
	close_mixture(&pool, &mover);
}

/* R26 R48: as the kernel's own removal, which takes nothing out of use. */
TEST(remove__offline_only__what_is_online_stays)
{
	struct mhp_offline_opts opts = { .offline_only = true };
	struct test_pool pool;
	struct test_mover mover;
	struct test_ledger before;
	struct mhp_why why;
	open_mixture(&pool, &mover, "tiny2");
	struct mhp_blocks all = { 3, 4 }, offline = { 4, 2 };
	test_ledger_take(&pool, &before);
	for (int dry = 0; dry < 2; dry++) {
		opts.dry_run = dry != 0;
		CHECK_RET(mhp_remove(pool.m, &all, 1, &opts, &why), MHP_EBUSY);
		CHECK_EQ(why.cause, MHP_CAUSE_STATE);
		CHECK_EQ(why.block, 3U);
	}
	CHECK_EQ(mover.nr_frames_moved, 0U);
	test_ledger_check(&pool, &before);
	opts.dry_run = false;
	CHECK_OK(mhp_remove(pool.m, &offline, 1, &opts, NULL));
	CHECK_RET(mhp_remove(pool.m, &offline, 1, &opts, &why), MHP_ENOENT);
	close_mixture(&pool, &mover);
}

/* ---- blocks that hold the metadata of others ---- */

struct chain {
	struct test_pool pool;
	struct test_mover mover;
	unsigned nr_removed;
	uint32_t removed[8];       /* first blocks of what was removed, in order */
};

static void
note_removal(void *ctx, const struct mhp_event *event)
{
	struct chain *chain = ctx;
	if (event->kind == MHP_EV_REMOVE && chain->nr_removed < 8)
		chain->removed[chain->nr_removed++] = event->block;
}

/* The metadata of block 5 lies in block 0, that of block 0 in block 3; block 6 has room. */
static void
open_chain(struct chain *chain)
{
	struct test_pool_opts opts = { .shape = "tiny8", .trace = note_removal,
				       .trace_ctx = chain, .fill = MHP_SIM_KEEP };
	struct mhp_add_opts on_node = { .flags = MHP_MEMMAP_ON_NODE | MHP_ADD_ONLINE,
					.zone = MHP_ZONE_NORMAL };
	test_pool_open(&chain->pool, &opts);
	test_mover_open(&chain->mover, &chain->pool, 4096);
	add(&chain->pool, 3, 1, SELF | MHP_ADD_ONLINE, 0, MHP_ZONE_NORMAL);
	on_node.node = 1;
	CHECK_OK(mhp_add(chain->pool.m, (struct mhp_blocks){ 0, 1 }, &on_node, NULL));
	on_node.node = 0;
	on_node.metadata_node = 1;
	CHECK_OK(mhp_add(chain->pool.m, (struct mhp_blocks){ 5, 1 }, &on_node, NULL));
	for (unsigned i = 0; i < 8; i++)
		CHECK(test_mover_alloc(&chain->mover, i % 3, i % 2) != TEST_MOVER_NONE);
	add(&chain->pool, 6, 1, SELF | MHP_ADD_ONLINE, 1, MHP_ZONE_MOVABLE);
	chain->nr_removed = 0;
}

static void
close_chain(struct chain *chain)
{
	test_mover_check(&chain->mover);
	test_mover_close(&chain->mover);
	test_pool_empty_and_close(&chain->pool);
}

/* R25 R26: who holds the metadata of others leaves with them, and after them. */
TEST(remove__hosts_and_those_they_serve__leave_together)
{
	struct mhp_offline_opts rehearsal = { .dry_run = true };
	struct test_ledger before;
	struct chain chain = { .nr_removed = 0 };
	open_chain(&chain);
	struct mhp_blocks sets[] = { { 3, 1 }, { 5, 1 }, { 0, 1 } };
	test_ledger_take(&chain.pool, &before);
	CHECK_OK(mhp_remove(chain.pool.m, sets, 3, &rehearsal, NULL));
	test_ledger_check(&chain.pool, &before);
	CHECK_OK(mhp_remove(chain.pool.m, sets, 3, NULL, NULL));
	CHECK_EQ(chain.nr_removed, 3U);
	CHECK_EQ(chain.removed[0], 5U);
	CHECK_EQ(chain.removed[1], 0U);
	CHECK_EQ(chain.removed[2], 3U);
	test_pool_check(&chain.pool);
	close_chain(&chain);
}

static bool
all_zero(struct test_pool *pool, uint32_t block)
{
	const unsigned char *bytes =
		mhp_sim_backdoor(pool->sim, (struct mhp_phys){ block * pool->block_bytes });
	for (uint64_t i = 0; i < pool->block_bytes; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* R26 R34: nothing can be read of those that hold metadata of each other, either. */
TEST(remove__hosts_scrubbed__memory_is_zeros)
{
	static const struct mhp_blocks sets[] = { { 3, 1 }, { 5, 1 }, { 0, 1 } };
	struct mhp_offline_opts leave = { .scrub = true };
	struct chain chain = { .nr_removed = 0 };
	open_chain(&chain);
	CHECK_OK(mhp_remove(chain.pool.m, sets, 3, &leave, NULL));
	for (unsigned i = 0; i < 3; i++)
		CHECK(all_zero(&chain.pool, sets[i].first));
	CHECK_EQ(chain.nr_removed, 3U);
	close_chain(&chain);
}

/* R26 R30: without all that it serves a host stays, and so do they: offline they still need it. */
TEST(remove__host_without_those_it_serves__stays)
{
	struct mhp_blocks all[] = { { 0, 1 }, { 3, 1 }, { 5, 1 } };
	struct test_ledger before;
	struct mhp_why why;
	struct chain chain = { .nr_removed = 0 };
	open_chain(&chain);
	struct mhp_blocks sets[] = { { 3, 1 }, { 0, 1 }, { 5, 1 } };
	test_ledger_take(&chain.pool, &before);
	CHECK_RET(mhp_remove(chain.pool.m, sets, 1, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.block, 3U);
	CHECK_STR(why.text, "metadata of block 0");
	CHECK_RET(mhp_remove(chain.pool.m, sets, 2, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.block, 0U);
	CHECK_STR(why.text, "metadata of block 5");
	CHECK_RET(mhp_offline(chain.pool.m, all, 3, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_UNMOVABLE);
	test_ledger_check(&chain.pool, &before);
	CHECK_OK(mhp_remove(chain.pool.m, sets, 3, NULL, NULL));
	close_chain(&chain);
}

/* R31: a plan may keep the host, offline. */
TEST(remove__plan_that_only_offlines_the_host__done_after_the_others)
{
	struct mhp_blocks host = { 3, 1 };
	struct chain chain = { .nr_removed = 0 };
	open_chain(&chain);
	struct mhp_step steps[] = {
		{ .kind = MHP_STEP_OFFLINE, .blocks = { 3, 1 } },
		{ .kind = MHP_STEP_REMOVE, .blocks = { 0, 1 } },
		{ .kind = MHP_STEP_REMOVE, .blocks = { 5, 1 } },
	};
	CHECK_RET(mhp_plan_preview(chain.pool.m, steps, 2, NULL), MHP_EBUSY);
	CHECK_OK(mhp_plan_preview(chain.pool.m, steps, 3, NULL));
	CHECK_OK(mhp_plan_commit(chain.pool.m, steps, 3, NULL, NULL));
	CHECK_EQ(test_block(&chain.pool, 3).state, MHP_OFFLINE);
	CHECK_EQ(test_block(&chain.pool, 0).state, MHP_ABSENT);
	CHECK_EQ(test_block(&chain.pool, 5).state, MHP_ABSENT);
	test_pool_check(&chain.pool);
	CHECK_OK(test_online(chain.pool.m, host, MHP_ZONE_NORMAL, NULL));
	test_pool_check(&chain.pool);
	close_chain(&chain);
}

/* ---- a failed add ---- */

/* No page that the allocator hands out lies in these blocks. */
static void
check_not_in_allocator(struct test_pool *pool, struct test_mover *mover, uint32_t first,
		       uint32_t count)
{
	uint64_t pfn;
	while (test_mover_alloc(mover, 0, MHP_NODE_ANY) != TEST_MOVER_NONE)
		;
	CHECK_EQ(test_mover_in(mover, first * pool->block_pages,
			       (first + count) * pool->block_pages, &pfn), 0U);
	test_mover_free_all(mover);
}

/* R28: block k of n fails, whatever k: reserves go back to their altmaps, not to the allocator. */
TEST(remove__add_of_block_k_of_n_fails__reserves_are_given_back)
{
	static const char *const shapes[] = { "tiny1", "tiny2", "tiny8" };
	for (unsigned i = 0; i < 3; i++) {
		struct test_pool_opts opts = { .shape = shapes[i] };
		struct test_pool pool;
		struct test_mover mover;
		struct test_ledger before;
		uint64_t nth = 0;
		int error;
		test_pool_open(&pool, &opts);
		test_mover_open(&mover, &pool, 8192);
		add(&pool, 0, 1, SELF | MHP_ADD_ONLINE, 0, MHP_ZONE_NORMAL);
		test_ledger_take(&pool, &before);
		struct mhp_add_opts four = { .flags = SELF | MHP_ADD_ONLINE };
		do {
			test_at("shape %s, call %" PRIu64 " fails", shapes[i], ++nth);
			mhp_fault_arm(pool.fault, nth, false, MHP_EIO);
			mhp_fault_begin(pool.fault, false);
			error = mhp_add(pool.m, (struct mhp_blocks){ 2, 4 }, &four, NULL);
			mhp_fault_end(pool.fault);
			if (error == 0)
				break;
			CHECK_RET(error, MHP_EIO);
			test_ledger_check(&pool, &before);
			check_not_in_allocator(&pool, &mover, 2, 4);
		} while (error != 0);
		CHECK_CMP(nth, >, 8U); /* a map and a check_ram of each block at least */
		test_mover_close(&mover);
		test_pool_empty_and_close(&pool);
	}
}

/* ---- teardown of one block ---- */

/* The calls of a teardown in their order, seen below the fault port. */
#define CALLS_MAX 64U

static struct {
	const struct mhp_port_ops *next;
	struct {
		bool memmap;           /* memmap_unmap, else unmap */
		uint64_t addr;
	} calls[CALLS_MAX];
	unsigned nr;
} seen;

static void
seen_unmap(void *port, struct mhp_phys start, uint64_t size)
{
	CHECK_CMP(seen.nr, <, CALLS_MAX);
	seen.calls[seen.nr].memmap = false;
	seen.calls[seen.nr++].addr = start.addr;
	seen.next->unmap(port, start, size);
}

static void
seen_memmap_unmap(void *port, void *virt, uint64_t nr, unsigned granule_shift,
		  struct mhp_altmap *altmap)
{
	CHECK_CMP(seen.nr, <, CALLS_MAX);
	seen.calls[seen.nr].memmap = true;
	seen.calls[seen.nr++].addr = (uint64_t)(uintptr_t)virt;
	seen.next->memmap_unmap(port, virt, nr, granule_shift, altmap);
}

/* A pool whose port tells what is unmapped when. */
static void
open_watched(struct test_pool *pool, struct mhp_port_ops *ops)
{
	struct mhp_sim_opts opts = { .geometry = test_geometry("tiny8"),
				     .mode = MHP_SIM_UNMAP,
				     .vmemmap = MHP_VMEMMAP != 0,
				     .descriptor_bytes = MHP_PAGE_BYTES };
	seen.next = test_pool_prepare(pool, &opts, ops);
	seen.nr = 0;
	ops->unmap = seen_unmap;
	ops->memmap_unmap = seen_memmap_unmap;
	test_pool_start(pool);
}

/* R27: the memmap goes before any section, and sections from the last to the first. */
TEST(remove__block_of_8_sections__torn_down_from_the_end)
{
	struct mhp_port_ops ops;
	struct test_pool pool;
	open_watched(&pool, &ops);
	add(&pool, 1, 1, SELF | MHP_ADD_ZEROED | MHP_ADD_ONLINE, 0, MHP_ZONE_NORMAL);
	CHECK_EQ(seen.nr, 0U);
	CHECK_OK(take_out(&pool, 1, 1, NULL));
	uint64_t section = pool.block_bytes / 8;
	CHECK_EQ(seen.nr, MHP_VMEMMAP ? 9U : 8U);
	for (unsigned i = 0; i < 8; i++) {
		CHECK(!seen.calls[seen.nr - 8 + i].memmap);
		CHECK_EQ(seen.calls[seen.nr - 8 + i].addr, pool.block_bytes + (7 - i) * section);
	}
	CHECK_EQ(seen.calls[0].memmap, MHP_VMEMMAP != 0);
	test_pool_close(&pool);
}

/* Read the descriptors of section 1, which lie in section 0, before or after that is gone. */
static void
look_at_section_1(struct test_pool *pool, bool first_is_gone)
{
	const struct mhp__block *slot = &pool->m->blocks[1];
	if (first_is_gone && MHP_VMEMMAP) {
		uint64_t slice = pool->block_pages * MHP_PAGE_BYTES;
		pool->config.ops->memmap_unmap(pool->config.port, slot->pages, slice >> 12, 12,
					       &pool->m->blocks[1].altmap);
	} else if (first_is_gone) {
		struct mhp_phys start = { pool->block_bytes };
		pool->config.ops->unmap(pool->config.port, start, pool->block_bytes / 8);
	}
	mhp__memmap_retire_section(pool->m, 1, 1);
}

static void
look_forward(void *ctx)
{
	look_at_section_1(ctx, true);
}

static void
look_backward(void *ctx)
{
	look_at_section_1(ctx, false);
}

/* R27: from the first section to the last, the look at the second one would have faulted. */
TEST(remove__forward_order__would_have_faulted)
{
	struct test_pool_opts opts = { .shape = "tiny8" };
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	add(&pool, 1, 1, SELF | MHP_ADD_ZEROED, 0, MHP_ZONE_NORMAL);
	CHECK_EQ(test_signal_of(look_backward, &pool), 0);
	CHECK_EQ(test_signal_of(look_forward, &pool), SIGSEGV);
	CHECK_OK(take_out(&pool, 1, 1, NULL));
	test_pool_close(&pool);
}

/* ---- what is left in the memory ---- */

/* R34: with scrub nothing of what was in the block can be read afterwards, reserve included. */
TEST(remove__scrub__memory_is_zeros)
{
	for (unsigned scrub = 0; scrub < 2; scrub++) {
		struct test_pool_opts opts = { .shape = "tiny8", .fill = MHP_SIM_KEEP };
		struct mhp_offline_opts leave = { .scrub = scrub != 0 };
		struct test_pool pool;
		struct test_mover mover;
		test_at("scrub %u", scrub);
		test_pool_open(&pool, &opts);
		test_mover_open(&mover, &pool, 4096);
		add(&pool, 0, 2, SELF | MHP_ADD_ONLINE, 0, MHP_ZONE_MOVABLE);
		CHECK(test_mover_fill(&mover, pool.block_pages / 4, 1, 0));
		struct mhp_blocks blocks = { 0, 1 };
		CHECK_OK(mhp_remove(pool.m, &blocks, 1, &leave, NULL));
		CHECK_EQ(all_zero(&pool, 0), scrub != 0);
		CHECK(!all_zero(&pool, 1));
		test_mover_check(&mover);
		test_mover_close(&mover);
		test_pool_empty_and_close(&pool);
	}
}

/* R33 R34: even a write may hurt in a frame that is known to be bad: scrubbing goes around it. */
TEST(remove__scrub_with_bad_frames__all_but_those_are_zeros)
{
	struct test_pool_opts opts = { .shape = "tiny8", .fill = MHP_SIM_GARBAGE };
	struct mhp_offline_opts leave = { .scrub = true };
	struct test_pool pool;
	test_pool_open(&pool, &opts);
	add(&pool, 0, 1, SELF | MHP_ADD_ONLINE, 0, MHP_ZONE_MOVABLE);
	uint64_t last = pool.block_pages - 1, bad[] = { last - 9, last - 8, last };
	unsigned char before[3][4096], after[4096];
	for (unsigned i = 0; i < 3; i++) {
		CHECK_OK(mhp_bad_add(pool.m, bad[i]));
		memcpy(before[i], mhp_pfn_to_virt(pool.m, bad[i]), sizeof(before[i]));
		CHECK(before[i][0] != 0 || before[i][1] != 0); /* garbage, or a free page's */
	}
	struct mhp_blocks blocks = { 0, 1 };
	CHECK_OK(mhp_remove(pool.m, &blocks, 1, &leave, NULL));
	for (uint64_t pfn = 0; pfn <= last; pfn++) {
		struct mhp_phys phys = { pfn * pool.page_bytes };
		unsigned i = pfn == bad[0] ? 0 : pfn == bad[1] ? 1 : 2;
		memcpy(after, mhp_sim_backdoor(pool.sim, phys), sizeof(after));
		if (pfn == bad[i])
			CHECK_MEM(after, before[i], sizeof(after));
		for (unsigned byte = 0; pfn != bad[i] && byte < sizeof(after); byte++)
			CHECK_EQ(after[byte], 0);
	}
	test_pool_close(&pool);
}
