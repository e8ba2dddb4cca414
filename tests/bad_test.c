/* SPDX-License-Identifier: MIT */
/*
 * bad_test.c - pages with memory errors: out of use at once where that can be, remembered for ever.
 *
 * A frame can be met by its error in any condition: free, cached, used by somebody who can move or
 * cannot, part of a larger page, in a reserve, in a block that is offline or not there. In each the
 * answer says whether it is out of use now, and the next time its block comes it is gone around.
 * The last case mixes all of them at random and counts.
 */
#include "ledger.h"
#include "mover.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)
#define BLOCKS 8U

struct bed {
	struct test_pool pool;
	struct test_mover mover;
	uint64_t reserve;          /* pages of a self-hosted block */
};

static int
add(struct bed *bed, uint32_t first, uint32_t count, uint32_t flags,
    struct mhp_add_answer *ret_answer)
{
	struct mhp_add_opts opts = { .flags = flags, .zone = MHP_ZONE_MOVABLE };
	return mhp_add(bed->pool.m, (struct mhp_blocks){ first, count }, &opts, ret_answer);
}

static void
open_bed(struct bed *bed, const char *shape)
{
	struct test_pool_opts opts = { .shape = shape, .meta_bytes = 4 << 20 };
	struct mhp_memmap_answer answer;
	test_pool_open(&bed->pool, &opts);
	test_mover_open(&bed->mover, &bed->pool, 16384);
	struct mhp_memmap_shape block = mhp_memmap_shape(bed->pool.m);
	CHECK(mhp_supports_memmap_on_memory(&block, &answer));
	bed->reserve = answer.nr_vmemmap_pages;
}

static void
close_bed(struct bed *bed)
{
	test_mover_close(&bed->mover);
	test_pool_empty_and_close(&bed->pool);
}

static int
online(struct bed *bed, uint32_t block, unsigned zone)
{
	return test_online(bed->pool.m, (struct mhp_blocks){ block, 1 }, zone, NULL);
}

static int
take_out(struct bed *bed, uint32_t first, uint32_t count)
{
	struct mhp_blocks blocks = { first, count };
	return mhp_remove(bed->pool.m, &blocks, 1, NULL, NULL);
}

static bool
is_out_of_use(struct bed *bed, uint64_t pfn)
{
	struct mhp_frame frame = mhp_frame_peek(bed->pool.m, pfn);
	return frame.state == MHP_FRAME_USED && frame.owner == MHP_OWNER_BAD;
}

/* The first frame of the mover in a block. */
static uint64_t
data_in(struct bed *bed, uint32_t block)
{
	uint64_t first, start = block * bed->pool.block_pages;
	CHECK_CMP(test_mover_in(&bed->mover, start, start + bed->pool.block_pages, &first), >, 0U);
	return first;
}

/* ---- one frame ---- */

/* R33: a free frame is taken at once, and nobody ever gets it. */
TEST(bad__free_frame__is_out_of_use)
{
	struct bed bed;
	open_bed(&bed, "tiny2");
	CHECK_OK(add(&bed, 0, 2, SELF | MHP_ADD_ONLINE, NULL));
	uint64_t pfn = bed.reserve + 1, managed = test_zone(&bed.pool, 0, MHP_ZONE_MOVABLE).managed;
	CHECK(!mhp_bad_test(bed.pool.m, pfn));
	CHECK_OK(mhp_bad_add(bed.pool.m, pfn));
	CHECK(mhp_bad_test(bed.pool.m, pfn));
	CHECK(is_out_of_use(&bed, pfn));
	CHECK_EQ(mhp_bad_count(bed.pool.m, 0, bed.pool.block_pages), 1U);
	CHECK_EQ(test_block(&bed.pool, 0).nr_bad_pages, 1U);
	struct mhp_zone_info zone = test_zone(&bed.pool, 0, MHP_ZONE_MOVABLE);
	CHECK_EQ(zone.managed, managed - 1);
	CHECK_EQ(zone.present, managed);
	while (test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE)
		;
	CHECK_EQ(bed.mover.nr_frames, managed - 1);
	CHECK_EQ(test_mover_at(&bed.mover, pfn), TEST_MOVER_NONE);
	CHECK_RET(mhp_page_free(bed.pool.m, pfn), MHP_EBUSY);
	test_pool_check(&bed.pool);
	close_bed(&bed);
}

/* R33: a frame that lies in a per-CPU cache, where no bitmap shows it as free. */
TEST(bad__cached_frame__is_out_of_use)
{
	struct bed bed;
	open_bed(&bed, "tiny8");
	CHECK_OK(add(&bed, 0, 1, SELF | MHP_ADD_ONLINE, NULL));
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		test_at("in the cache of CPU %u", cpu);
		mhp_sim_cpu = cpu;
		uint32_t slot = test_mover_alloc(&bed.mover, 0, 0);
		uint64_t pfn = bed.mover.pages[slot].pfn;
		test_mover_free(&bed.mover, slot);
		CHECK_EQ(mhp_frame_peek(bed.pool.m, pfn).state, MHP_FRAME_CACHED);
		mhp_sim_cpu = 0;
		CHECK_OK(mhp_bad_add(bed.pool.m, pfn));
		CHECK(is_out_of_use(&bed, pfn));
		test_pool_check(&bed.pool);
	}
	close_bed(&bed);
}

/* R33: a page in use moves away first, whole, whichever of its frames it is. */
TEST(bad__frame_in_use__its_page_moves_away)
{
	for (unsigned order = 0; order <= 2; order++)
		for (unsigned frame = 0; frame < 1U << order; frame++) {
			struct bed bed;
			test_at("order %u, frame %u", order, frame);
			open_bed(&bed, "tiny8");
			CHECK_OK(add(&bed, 0, 2, SELF | MHP_ADD_ONLINE, NULL));
			CHECK(test_mover_fill(&bed.mover, 9, 2, 0));
			uint32_t slot = test_mover_alloc(&bed.mover, order, 0);
			uint64_t pfn = bed.mover.pages[slot].pfn + frame;
			CHECK_OK(mhp_bad_add(bed.pool.m, pfn));
			CHECK(is_out_of_use(&bed, pfn));
			CHECK_EQ(bed.mover.nr_frames_moved, 1U << order);
			test_mover_check(&bed.mover);
			test_pool_check(&bed.pool);
			close_bed(&bed);
		}
}

/* R33: an owner that cannot move keeps it; it is remembered, and gone around next time. */
TEST(bad__unmovable_frame__is_remembered)
{
	struct bed bed;
	uint16_t kernel;
	uint64_t pfn;
	open_bed(&bed, "tiny2");
	CHECK_OK(mhp_owner_register(bed.pool.m, "kernel", NULL, NULL, &kernel));
	CHECK_OK(add(&bed, 0, 1, SELF, NULL));
	CHECK_OK(online(&bed, 0, MHP_ZONE_NORMAL));
	uint64_t managed = test_zone(&bed.pool, 0, MHP_ZONE_NORMAL).managed;
	struct mhp_page_req req = { .owner = kernel };
	CHECK_OK(mhp_page_alloc(bed.pool.m, req, &pfn));
	CHECK_RET(mhp_bad_add(bed.pool.m, pfn), MHP_EBUSY);
	CHECK(mhp_bad_test(bed.pool.m, pfn));
	CHECK_EQ(mhp_frame_peek(bed.pool.m, pfn).owner, kernel);
	CHECK_EQ(test_zone(&bed.pool, 0, MHP_ZONE_NORMAL).managed, managed);
	test_pool_check(&bed.pool);
	CHECK_OK(mhp_page_free(bed.pool.m, pfn));
	CHECK_OK(mhp_block_offline(bed.pool.m, 0, NULL, NULL));
	CHECK_OK(online(&bed, 0, MHP_ZONE_NORMAL));
	CHECK(is_out_of_use(&bed, pfn));
	CHECK_EQ(test_zone(&bed.pool, 0, MHP_ZONE_NORMAL).managed, managed - 1);
	test_pool_check(&bed.pool);
	close_bed(&bed);
}

/* R33: the same for a page that its owner holds on to, or fails to move, or has no room for. */
TEST(bad__frame_that_cannot_move_now__is_remembered)
{
	for (unsigned why = 0; why < 3; why++) {
		struct bed bed;
		test_at("%s", why == 0 ? "pinned" : why == 1 ? "migrate fails" : "no room");
		open_bed(&bed, "tiny2");
		CHECK_OK(add(&bed, 0, 1, SELF | MHP_ADD_ONLINE, NULL));
		CHECK(test_mover_alloc(&bed.mover, 0, 0) == 0);
		while (why == 2 && test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE)
			;
		bed.mover.pages[0].pinned = why == 0;
		bed.mover.migrate_error = MHP_EIO;
		bed.mover.migrate_times = why == 1;
		uint64_t pfn = bed.mover.pages[0].pfn;
		CHECK_RET(mhp_bad_add(bed.pool.m, pfn), MHP_EBUSY);
		CHECK_EQ(bed.mover.pages[0].pfn, pfn);
		test_mover_check(&bed.mover);
		test_pool_check(&bed.pool);
		test_mover_free_all(&bed.mover);
		CHECK_OK(mhp_block_offline(bed.pool.m, 0, NULL, NULL));
		CHECK_OK(online(&bed, 0, MHP_ZONE_MOVABLE));
		CHECK(is_out_of_use(&bed, pfn));
		close_bed(&bed);
	}
}

/* ---- blocks come and go ---- */

/* R33: remembered across offline, remove and the next add; and no block is kept from leaving. */
TEST(bad__block_comes_and_goes__is_gone_around_each_time)
{
	static const char *const shapes[] = { "tiny1", "tiny2", "tiny8" };
	for (unsigned i = 0; i < 6; i++) {
		struct bed bed;
		uint32_t flags = i < 3 ? SELF : 0;
		test_at("shape %s, %s", shapes[i % 3], i < 3 ? "self-hosted" : "external");
		open_bed(&bed, shapes[i % 3]);
		uint64_t reserve = i < 3 ? bed.reserve : 0, pages = bed.pool.block_pages;
		/* The first usable frame, one in the middle, the last; not there yet. */
		uint64_t pfns[] = { pages + reserve, pages + pages * 3 / 4, 2 * pages - 1 };
		for (unsigned k = 0; k < 3; k++)
			CHECK_OK(mhp_bad_add(bed.pool.m, pfns[k]));
		for (unsigned turn = 0; turn < 4; turn++) {
			if (turn % 2 == 0)
				CHECK_OK(add(&bed, 1, 1, flags, NULL));
			CHECK_OK(online(&bed, 1, MHP_ZONE_MOVABLE));
			struct mhp_zone_info zone = test_zone(&bed.pool, 0, MHP_ZONE_MOVABLE);
			CHECK_EQ(zone.present, pages - reserve);
			CHECK_EQ(zone.managed, pages - reserve - 3);
			for (unsigned k = 0; k < 3; k++)
				CHECK(is_out_of_use(&bed, pfns[k]));
			while (test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE)
				;
			CHECK_EQ(bed.mover.nr_frames, pages - reserve - 3);
			test_pool_check(&bed.pool);
			test_mover_free_all(&bed.mover);
			CHECK_OK(mhp_block_offline(bed.pool.m, 1, NULL, NULL));
			test_pool_check(&bed.pool);
			if (turn % 2 != 0)
				CHECK_OK(take_out(&bed, 1, 1));
		}
		CHECK_EQ(mhp_bad_count(bed.pool.m, 0, UINT64_MAX), 3U);
		close_bed(&bed);
	}
}

/* R33: where the reserve would be, the block does not host itself; and the answer says why. */
TEST(bad__frame_in_a_reserve__no_metadata_there)
{
	struct bed bed;
	struct mhp_add_answer answer;
	struct test_ledger before;
	open_bed(&bed, "tiny8");
	uint64_t pfns[] = { 2 * bed.pool.block_pages, 2 * bed.pool.block_pages + bed.reserve - 1 };
	for (unsigned i = 0; i < 2; i++) {
		test_at("bad pfn %" PRIu64, pfns[i]);
		CHECK_OK(mhp_bad_add(bed.pool.m, pfns[i]));
		test_ledger_take(&bed.pool, &before);
		CHECK_RET(add(&bed, 2, 1, SELF, &answer), MHP_EHWPOISON);
		CHECK_EQ(answer.reason, MHP_MEMMAP_BAD_PAGE);
		CHECK_RET(add(&bed, 1, 3, SELF, NULL), MHP_EHWPOISON);
		test_ledger_check(&bed.pool, &before);
		CHECK_OK(add(&bed, 1, 1, SELF, NULL));
		CHECK_OK(add(&bed, 2, 1, MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, &answer));
		CHECK_EQ(answer.placement, MHP_PLACE_EXTERNAL);
		CHECK_EQ(answer.reason, MHP_MEMMAP_BAD_PAGE);
		CHECK(is_out_of_use(&bed, pfns[i])); /* it is usable memory there, and bad */
		test_pool_check(&bed.pool);
		CHECK_OK(take_out(&bed, 1, 2));
		CHECK_OK(mhp_bad_remove(bed.pool.m, pfns[i]));
	}
	CHECK_OK(mhp_bad_add(bed.pool.m, 2 * bed.pool.block_pages + bed.reserve));
	CHECK_OK(add(&bed, 2, 1, SELF, NULL));
	close_bed(&bed);
}

/* R33 R7: one bad frame is about one block: the others of the add host themselves. */
TEST(bad__frame_in_one_reserve_of_many__that_block_is_external)
{
	struct bed bed;
	struct mhp_add_answer answer;
	struct mhp_blocks blocks;
	open_bed(&bed, "tiny8");
	uint64_t reserve = bed.reserve * bed.pool.page_bytes;
	CHECK_OK(mhp_bad_add(bed.pool.m, 4 * bed.pool.block_pages));
	CHECK_OK(mhp_bad_add(bed.pool.m, 5 * bed.pool.block_pages + bed.reserve));
	CHECK_RET(add(&bed, 2, 5, SELF, &answer), MHP_EHWPOISON);
	CHECK_EQ(answer.conflict.start.addr, 4 * bed.pool.block_bytes);
	CHECK_EQ(answer.conflict.size, bed.pool.page_bytes);
	CHECK_OK(add(&bed, 2, 5, MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, &answer));
	CHECK_EQ(answer.nr_self, 4U);
	CHECK_EQ(answer.placement, MHP_PLACE_EXTERNAL);
	CHECK_EQ(answer.reason, MHP_MEMMAP_BAD_PAGE);
	CHECK_EQ(answer.nr_vmemmap_pages, bed.reserve);
	for (uint32_t block = 2; block < 7; block++) {
		struct mhp_block_info info = test_block(&bed.pool, block);
		bool self = block != 4;
		test_at("block %u", block);
		CHECK_EQ(info.placement, self ? MHP_PLACE_SELF : MHP_PLACE_EXTERNAL);
		CHECK_EQ(info.nr_vmemmap_pages, self ? bed.reserve : 0);
		CHECK_EQ(info.state, MHP_ONLINE);
	}
	CHECK_CMP(mhp_sim_meta_used(bed.pool.sim), >, 0U);
	CHECK_CMP(mhp_sim_meta_used(bed.pool.sim), <=, reserve); /* one block's */
	test_pool_check(&bed.pool);
	blocks = (struct mhp_blocks){ 2, 5 };
	CHECK_OK(mhp_remove(bed.pool.m, &blocks, 1, NULL, NULL));
	CHECK_EQ(mhp_sim_meta_used(bed.pool.sim), 0U);
	close_bed(&bed);
}

/* R33: a frame that is out of range has no error to forget. */
TEST(bad__out_of_range__same_error_for_all)
{
	struct bed bed;
	open_bed(&bed, "tiny1");
	uint64_t max = bed.pool.config.geometry.nr_blocks * bed.pool.block_pages;
	CHECK_RET(mhp_bad_add(bed.pool.m, max), MHP_ENXIO);
	CHECK_RET(mhp_bad_remove(bed.pool.m, max), MHP_ENXIO);
	CHECK_RET(mhp_bad_remove(bed.pool.m, max - 1), MHP_ENOENT);
	close_bed(&bed);
}

/* R33: an error in a reserve that is in use is remembered; the next add does not use it. */
TEST(bad__reserve_in_use_goes_bad__remembered)
{
	for (unsigned is_online = 0; is_online < 2; is_online++) {
		struct bed bed;
		test_at("online %u", is_online);
		open_bed(&bed, "tiny2");
		CHECK_OK(add(&bed, 1, 1, SELF, NULL));
		if (is_online != 0)
			CHECK_OK(online(&bed, 1, MHP_ZONE_NORMAL));
		uint64_t pfn = bed.pool.block_pages;
		CHECK_RET(mhp_bad_add(bed.pool.m, pfn), is_online != 0 ? MHP_EBUSY : 0);
		test_pool_check(&bed.pool);
		CHECK_OK(take_out(&bed, 1, 1));
		CHECK_RET(add(&bed, 1, 1, SELF, NULL), MHP_EHWPOISON);
		CHECK_OK(add(&bed, 1, 1, MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, NULL));
		CHECK(is_out_of_use(&bed, pfn));
		close_bed(&bed);
	}
}

/* R20 R33: an error is mended: counters stay right, the next online uses the frame again. */
TEST(bad__mended__used_again_after_the_next_online)
{
	struct bed bed;
	open_bed(&bed, "tiny2");
	CHECK_OK(add(&bed, 0, 2, SELF | MHP_ADD_ONLINE, NULL));
	uint64_t managed = test_zone(&bed.pool, 0, MHP_ZONE_MOVABLE).managed;
	uint64_t pfn = bed.pool.block_pages - 1;
	struct test_ledger before;
	test_ledger_take(&bed.pool, &before);
	CHECK_OK(mhp_bad_add(bed.pool.m, pfn));
	CHECK_OK(mhp_bad_remove(bed.pool.m, pfn));
	CHECK_RET(mhp_bad_remove(bed.pool.m, pfn), MHP_ENOENT);
	CHECK(is_out_of_use(&bed, pfn));
	test_pool_check(&bed.pool);
	CHECK_OK(mhp_bad_add(bed.pool.m, pfn));
	CHECK_EQ(test_zone(&bed.pool, 0, MHP_ZONE_MOVABLE).managed, managed - 1);
	CHECK_OK(mhp_bad_remove(bed.pool.m, pfn));
	test_pool_check(&bed.pool);
	CHECK_OK(mhp_block_offline(bed.pool.m, 0, NULL, NULL));
	test_pool_check(&bed.pool);
	CHECK_OK(online(&bed, 0, MHP_ZONE_MOVABLE));
	test_ledger_check(&bed.pool, &before);
	close_bed(&bed);
}

/* R30 R33: bad frames do not keep a block from leaving; they are counted in the explanation. */
TEST(bad__in_a_block_that_leaves__counted_but_not_blamed)
{
	struct bed bed;
	struct mhp_why why;
	open_bed(&bed, "tiny8");
	CHECK_OK(add(&bed, 0, 2, SELF | MHP_ADD_ONLINE, NULL));
	CHECK(test_mover_fill(&bed.mover, 6, 0, 0));
	uint64_t data = data_in(&bed, bed.mover.pages[0].pfn < bed.pool.block_pages ? 0 : 1);
	uint32_t block = data < bed.pool.block_pages ? 0 : 1;
	CHECK_OK(mhp_bad_add(bed.pool.m, (block + 1) * bed.pool.block_pages - 1));
	CHECK_OK(mhp_bad_add(bed.pool.m, (block + 1) * bed.pool.block_pages - 3));
	bed.mover.pages[test_mover_at(&bed.mover, data)].pinned = true;
	CHECK_RET(mhp_block_offline(bed.pool.m, block, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_REFUSED);
	CHECK_EQ(why.nr_bad, 2U);
	CHECK_EQ(why.nr_owners, 1);
	bed.mover.pages[test_mover_at(&bed.mover, data)].pinned = false;
	CHECK_OK(mhp_block_offline(bed.pool.m, block, NULL, NULL));
	test_mover_check(&bed.mover);
	close_bed(&bed);
}

/* ---- the table ---- */

static struct bed *deaf_bed;

static int
add_from_listener(void *ctx, const struct mhp_notice *notice)
{
	(void)ctx, (void)notice;
	CHECK_RET(mhp_bad_add(deaf_bed->pool.m, 1), MHP_EDEADLK);
	CHECK_RET(mhp_bad_remove(deaf_bed->pool.m, 1), MHP_EDEADLK);
	CHECK(!mhp_bad_test(deaf_bed->pool.m, 1));
	CHECK_EQ(mhp_bad_count(deaf_bed->pool.m, 0, UINT64_MAX), 0U);
	return 0;
}

/* R17 R33: out of range, known, full, not there, from a listener: typed errors. */
TEST(bad__table__typed_errors)
{
	struct bed bed;
	struct test_ledger before;
	uint16_t id;
	open_bed(&bed, "tiny2");
	deaf_bed = &bed;
	CHECK_OK(mhp_listener_add(bed.pool.m, add_from_listener, NULL, 0, &id));
	CHECK_OK(add(&bed, 0, 1, SELF | MHP_ADD_ONLINE, NULL));
	CHECK_OK(mhp_listener_remove(bed.pool.m, id));
	uint64_t end = BLOCKS * bed.pool.block_pages;
	uint32_t max = bed.pool.config.geometry.nr_bad_pages;
	CHECK_RET(mhp_bad_add(bed.pool.m, end), MHP_ENXIO);
	CHECK_RET(mhp_bad_add(bed.pool.m, MHP_PFN_NONE), MHP_ENXIO);
	CHECK_RET(mhp_bad_remove(bed.pool.m, end), MHP_ENXIO);
	for (uint32_t i = 0; i < max; i++) {
		CHECK_OK(mhp_bad_add(bed.pool.m, end - 1 - i * 5));
		CHECK_RET(mhp_bad_add(bed.pool.m, end - 1 - i * 5), MHP_EHWPOISON);
	}
	test_ledger_take(&bed.pool, &before);
	CHECK_RET(mhp_bad_add(bed.pool.m, bed.reserve), MHP_ENOSPC);
	CHECK(!is_out_of_use(&bed, bed.reserve));
	test_ledger_check(&bed.pool, &before);
	CHECK_EQ(mhp_bad_count(bed.pool.m, 0, end), max);
	CHECK_EQ(mhp_bad_count(bed.pool.m, end - 6, end), 2U);
	CHECK_EQ(mhp_bad_count(bed.pool.m, end, 0), 0U);
	close_bed(&bed);
}

/* ---- everything at random ---- */

struct world {
	struct bed bed;
	uint64_t random;
	uint64_t max_pfn;
};

static void
random_blocks(struct world *world)
{
	static const uint32_t flags[] = { SELF, 0, MHP_MEMMAP_ON_MEMORY };
	uint32_t block = (uint32_t)(test_random(&world->random) % BLOCKS);
	struct bed *bed = &world->bed;
	int error;
	switch (test_block(&bed->pool, block).state) {
	case MHP_ABSENT:
		error = add(bed, block, 1, flags[test_random(&world->random) % 3], NULL);
		CHECK(error == 0 || error == MHP_EHWPOISON);
		break;
	case MHP_OFFLINE:
		if (test_random(&world->random) % 3 == 0)
			CHECK_OK(take_out(bed, block, 1));
		else
			CHECK_OK(online(bed, block, (unsigned)(test_random(&world->random) % 2)));
		break;
	default:
		error = mhp_block_offline(bed->pool.m, block, NULL, NULL);
		CHECK(error == 0 || error == MHP_ENOMEM);
		break;
	}
}

static void
random_error(struct world *world)
{
	uint64_t pfn = test_random(&world->random) % world->max_pfn;
	struct mhp *m = world->bed.pool.m;
	bool known = mhp_bad_test(m, pfn);
	if (!known && test_random(&world->random) % 4 != 0) {
		int error = mhp_bad_add(m, pfn);
		CHECK(error == 0 || error == MHP_EBUSY || error == MHP_ENOSPC);
		CHECK_EQ(mhp_bad_test(m, pfn), error != MHP_ENOSPC);
		return;
	}
	/* Mend one that is known: the next at or behind a random one. */
	for (uint64_t i = 0; i < world->max_pfn; i++) {
		uint64_t other = (pfn + i) % world->max_pfn;
		if (!mhp_bad_test(m, other))
			continue;
		CHECK_OK(mhp_bad_remove(m, other));
		return;
	}
}

/* Managed is present less the known bad frames that are out of use. */
static void
check_counts(struct world *world)
{
	uint64_t present = 0, managed = 0, bad = 0;
	for (unsigned id = 0; id < 4; id++) {
		struct mhp_zone_info zone = test_zone(&world->bed.pool, id / 2,
						     MHP_ZONE_NORMAL + id % 2);
		present += zone.present;
		managed += zone.managed;
	}
	for (uint64_t pfn = 0; pfn < world->max_pfn; pfn++)
		bad += is_out_of_use(&world->bed, pfn) && mhp_bad_test(world->bed.pool.m, pfn);
	CHECK_EQ(managed, present - bad);
}

/* R33: errors and mendings anywhere, blocks of all kinds coming and going, data all over. */
TEST(bad__errors_at_random__counters_and_data_stay_right)
{
	struct world world = { .random = test_seed() };
	open_bed(&world.bed, "tiny2");
	world.max_pfn = BLOCKS * world.bed.pool.block_pages;
	for (uint64_t left = test_ops(20000); left > 0; left--) {
		test_at("%" PRIu64 " to go", left);
		unsigned what = (unsigned)(test_random(&world.random) % 8);
		if (what < 2)
			random_blocks(&world);
		else if (what < 4)
			random_error(&world);
		else if (what < 7)
			(void)test_mover_alloc(&world.bed.mover, what - 4, 0);
		else
			test_mover_thin_out(&world.bed.mover, 30);
		test_pool_check(&world.bed.pool);
		test_mover_check(&world.bed.mover);
		check_counts(&world);
	}
	close_bed(&world.bed);
}

/* ---- the test pattern ---- */

/* R34: memory that does not hold what is written to it is not added; its page is named. */
TEST(bad__test_pattern__finds_a_page_that_shows_another)
{
	struct bed bed;
	struct mhp_add_answer answer;
	struct test_ledger before;
	open_bed(&bed, "tiny8");
	uint64_t start = 2 * bed.pool.block_pages;
	const uint64_t pairs[][2] = { { start + 5, start + 6 },
				      { start + 6, start + 5 },
				      { start + bed.pool.block_pages - 1, start } };
	test_ledger_take(&bed.pool, &before);
	for (unsigned i = 0; i < 3; i++) {
		test_at("pair %u", i);
		CHECK(mhp_sim_set_stuck(bed.pool.sim, pairs[i][0], pairs[i][1]));
		CHECK_RET(add(&bed, 1, 2, SELF | MHP_ADD_TEST, &answer), MHP_EIO);
		uint64_t found = answer.conflict.start.addr / bed.pool.page_bytes;
		CHECK(found == pairs[i][0] || found == pairs[i][1]);
		CHECK_EQ(answer.conflict.size, bed.pool.page_bytes);
		test_ledger_check(&bed.pool, &before);
		/* Known to be bad, it is not in the way any more. */
		CHECK_OK(mhp_bad_add(bed.pool.m, found));
		bool in_reserve = found < start + bed.reserve;
		CHECK_OK(add(&bed, 1, 2,
			     (in_reserve ? MHP_MEMMAP_ON_MEMORY : SELF) | MHP_ADD_TEST |
				     MHP_ADD_ONLINE, NULL));
		CHECK(is_out_of_use(&bed, found));
		CHECK_OK(take_out(&bed, 1, 2));
		CHECK_OK(mhp_bad_remove(bed.pool.m, found));
		CHECK(mhp_sim_set_stuck(bed.pool.sim, MHP_PFN_NONE, 0));
	}
	CHECK_OK(add(&bed, 1, 2, SELF | MHP_ADD_TEST | MHP_ADD_ONLINE, NULL));
	test_pool_check(&bed.pool);
	close_bed(&bed);
}
