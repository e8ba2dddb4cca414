/* SPDX-License-Identifier: MIT */
/*
 * refusals_test.c - what cannot be is refused, and is as it was: shapes of pools, ranges, numbers,
 * words, more of something than there is room for, a process with few addresses (R17, R36, R58).
 *
 * Tables of arguments, a row each. Must not know how the port stores any of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "../../ports/linux/text.h"
#include "fixture.h"

#define NR(rows) (sizeof(rows) / sizeof((rows)[0]))
#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)
#define BLOCK (4 * MIB)
#define POOLS_MAX 16U
#define REGIONS_MAX 64U
#define PINS_MAX 1024U

static struct mhp_pool *
make_pool(void)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	return fixture_pool(&opts);
}

static void
end_pool(struct mhp_pool *pool, struct mhp_region *region)
{
	fixture_end(pool, region);
}

TEST(pool__shape_that_cannot_be__refused_with_what_can)
{
	static const struct { struct mhp_pool_opts opts; const char *words; } rows[] = {
		{ { .block_bytes = 3 * BLOCK }, "a power of two from 4 MiB to 4 TiB" },
		{ { .block_bytes = 2 * MIB }, "a power of two from 4 MiB to 4 TiB" },
		{ { .block_bytes = 8 * TIB }, "a power of two from 4 MiB to 4 TiB" },
		{ { .max_bytes = 65 * TIB }, "at most 64 TiB" },
		{ { .max_bytes = 64 * TIB, .block_bytes = BLOCK }, "16 million blocks" },
		{ { .page_bytes = 12 * KIB }, "pages of a pool are a power of two" },
		{ { .page_bytes = 2 * KIB }, "pages of a pool are a power of two" },
		{ { .page_bytes = 4 * MIB }, "to 2 MiB" },
		{ { .nr_nodes = 65 }, "the engine did not start" },
	};
	for (size_t i = 0; i < NR(rows); i++) {
		struct mhp_pool *pool = NULL;
		struct mhp_text why = { "" };
		int err = mhp_pool_create(&rows[i].opts, &pool, &why);
		test_at("row %zu: %s", i, why.text);
		CHECK(err == MHP_EINVAL && pool == NULL);
		CHECK(strstr(why.text, rows[i].words) != NULL);
		CHECK_EQ(mhp_pool_create(&rows[i].opts, &pool, NULL), err);
	}
}

TEST(pool__one_too_many__refused_until_one_ends)
{
	struct mhp_pool *pool[POOLS_MAX], *more = NULL;
	struct mhp_text why = { "" };
	for (unsigned i = 0; i < POOLS_MAX; i++)
		pool[i] = make_pool();
	CHECK_RET(mhp_pool_create(NULL, &more, &why), MHP_ENOSPC);
	CHECK(more == NULL && strstr(why.text, "at most 16 pools") != NULL);
	CHECK_OK(mhp_pool_destroy(pool[7]));
	pool[7] = make_pool();
	mhp_pool_hold(pool[7]);
	CHECK_RET(mhp_pool_destroy(pool[7]), MHP_EBUSY);
	mhp_pool_release(pool[7]);
	for (unsigned i = 0; i < POOLS_MAX; i++)
		CHECK_OK(mhp_pool_destroy(pool[i]));
}

TEST(region__one_too_many__refused_until_one_ends)
{
	struct mhp_pool *pool = make_pool();
	struct mhp_region *region[REGIONS_MAX], *more = NULL;
	struct mhp_text why = { "" };
	CHECK_RET(mhp_region_create(pool, "none", 0, &more, &why), MHP_EINVAL);
	CHECK(strstr(why.text, "1 byte to 64 TiB") != NULL);
	CHECK_RET(mhp_region_create(pool, "endless", 64 * TIB + 1, &more, &why), MHP_EINVAL);
	for (unsigned i = 0; i < REGIONS_MAX; i++)
		region[i] = fixture_region(pool, 1);
	CHECK_RET(mhp_region_create(pool, "more", 1, &more, &why), MHP_ENOSPC);
	CHECK(more == NULL && strstr(why.text, "at most 64 regions") != NULL);
	CHECK_RET(mhp_pool_destroy(pool), MHP_EBUSY);
	mhp_region_destroy(region[3]);
	region[3] = fixture_region(pool, 1);
	for (unsigned i = 0; i < REGIONS_MAX; i++)
		mhp_region_destroy(region[i]);
	CHECK_OK(mhp_pool_destroy(pool));
}

static int
move(struct mhp_region *region, void *start, uint64_t size)
{
	return mhp_region_move(region, start, size, 0, NULL, NULL);
}

static int
advise(struct mhp_region *region, void *start, uint64_t size)
{
	(void)size;
	return mhp_region_set_huge(region, MHP_HUGE_OFF, start, NULL);
}

/* None of them takes what is not all inside; all but pins want whole pages. */
TEST(region__range_that_is_none__refused)
{
	static int (*const calls[])(struct mhp_region *region, void *start, uint64_t size) = {
		mhp_region_commit, mhp_region_decommit, mhp_region_purge, mhp_region_pin, move,
		mhp_region_unpin,
	};
	struct mhp_pool *pool = make_pool();
	fixture_add(pool, NULL, 2 * BLOCK, NULL);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	uint64_t page = mhp_region_granule(region);
	const struct { char *start; uint64_t size; bool aligned; } rows[] = {
		{ base - page, page, true }, { base - page, 2 * page, true },
		{ base + BLOCK, page, true }, { base + BLOCK + page, page, true },
		{ base + BLOCK - page, 2 * page, true }, { base, BLOCK + page, true },
		{ base, 0, true }, { base, UINT64_MAX - page + 1, true },
		{ base + 1, page, false }, { base, page + 1, false },
	};
	for (size_t i = 0; i < NR(rows); i++)
		for (size_t k = 0; k < NR(calls); k++) {
			test_at("row %zu, call %zu", i, k);
			if (!rows[i].aligned && k >= 3)
				continue;
			int err = calls[k](region, rows[i].start, rows[i].size);
			CHECK(err == MHP_EINVAL || (calls[k] == mhp_region_unpin && err != 0));
		}
	CHECK_RET(advise(region, base - page, 0), MHP_EINVAL);
	CHECK_RET(mhp_region_set_huge(region, MHP_HUGE_MODES, NULL, NULL), MHP_EINVAL);
	end_pool(pool, region);
}

TEST(pins__each_range__counted_and_bounded)
{
	struct mhp_pool *pool = make_pool();
	fixture_add(pool, NULL, BLOCK, NULL);
	struct mhp_region *region = fixture_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK_RET(mhp_region_unpin(region, base, 1), MHP_ENOENT);
	for (unsigned i = 0; i < PINS_MAX; i++)
		CHECK_OK(mhp_region_pin(region, base + i, 1 + i));
	CHECK_OK(mhp_region_pin(region, base, 1)); /* the same once more */
	CHECK_RET(mhp_region_pin(region, base, 2), MHP_ENOSPC);
	CHECK_OK(mhp_region_unpin(region, base, 1));
	CHECK_RET(mhp_region_pin(region, base, 2), MHP_ENOSPC);
	CHECK_OK(mhp_region_unpin(region, base, 1));
	CHECK_OK(mhp_region_pin(region, base, 2));
	CHECK_RET(mhp_region_unpin(region, base, 1), MHP_ENOENT);
	end_pool(pool, region);
}

TEST(backing__words__read_or_refused_with_the_fault)
{
	static const struct { const char *words, *refusal; } rows[] = {
		{ "", "is no backing" }, { "ramp", "is no backing" }, { "dax:", "is no backing" },
		{ "file:", "is no backing" }, { "hugetlb:4M", "is no backing" },
		{ "ram,node=", "does not end in a node number" },
		{ "ram,node=1024", "does not end in a node number" },
		{ "ram,node=1x", "does not end in a node number" },
		{ "ram,node=99999999999999999999", "does not end in a node number" },
		{ "ram,rank=201", "a rank is 0 to 200" }, { "ram,rank=-1", "a rank is 0 to 200" },
		{ "ram,node=1,node=", "does not end in a node number" },
		{ "ram", NULL }, { "memfd,node=1,rank=200", NULL }, { "file:a,b,rank=0", NULL },
	};
	char longest[4096 + 64];
	struct mhp_backing backing;
	struct mhp_text why;
	for (size_t i = 0; i < NR(rows); i++) {
		int err = mhp_backing_parse(rows[i].words, &backing, &why);
		test_at("'%s': %s", rows[i].words, why.text);
		CHECK_EQ(err, rows[i].refusal != NULL ? MHP_EINVAL : 0);
		CHECK(err == 0 || strstr(why.text, rows[i].refusal) != NULL);
	}
	CHECK_STR(backing.path, "a,b");
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "file:", 5);
	for (size_t cut = 64; cut < sizeof(longest); cut++) {
		longest[cut] = 0;
		int err = mhp_backing_parse(longest, &backing, &why);
		test_at("%zu characters", cut);
		CHECK(err == 0 || strstr(why.text, "too long") != NULL);
		longest[cut] = 'x';
	}
	CHECK_STR(mhp_backing_name(MHP_BACKING_KINDS), "?");
	CHECK_STR(mhp_outside_name(MHP_OUTSIDE_KINDS), "unknown");
}

TEST(placement__that_cannot_be__refused_with_a_sentence)
{
	static const struct { struct mhp_spread spread; int error; const char *words; } rows[] = {
		{ { .mode = MHP_SPREAD_MODES }, MHP_EINVAL, "no such placement" },
		{ { .mode = MHP_SPREAD_LOCAL, .weight = { 1 } }, MHP_EINVAL, "names no node" },
		{ { .mode = MHP_SPREAD_BIND }, MHP_EINVAL, "bind needs a node" },
		{ { .mode = MHP_SPREAD_PREFER }, MHP_EINVAL, "prefer needs a node" },
		{ { .mode = MHP_SPREAD_BIND, .weight = { [9] = 1 } }, MHP_ENODEV, "node 9" },
	};
	struct mhp_pool *pool = make_pool();
	fixture_add(pool, NULL, BLOCK, NULL);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	struct mhp_spread bind = { .mode = MHP_SPREAD_BIND, .weight = { 1 } };
	struct mhp_tiering tiering = { .look_permille = 1001 };
	struct mhp_backing backing;
	struct mhp_text why;
	for (size_t i = 0; i < NR(rows); i++) {
		test_at("row %zu", i);
		CHECK_RET(mhp_pool_set_spread(pool, &rows[i].spread, &why), rows[i].error);
		CHECK(strstr(why.text, rows[i].words) != NULL);
		CHECK_RET(mhp_region_set_spread(region, &rows[i].spread, NULL), rows[i].error);
	}
	CHECK_OK(mhp_region_set_spread(region, &bind, NULL));
	CHECK(mhp_region_wants(region, 0, &backing) && backing.kind == MHP_BACKING_RAM);
	CHECK(!mhp_region_wants(region, 1, &backing));
	CHECK_OK(mhp_region_set_spread(region, NULL, NULL)); /* the pool's again */
	CHECK(!mhp_region_wants(region, 0, &backing));
	CHECK_RET(mhp_pool_set_tiering(pool, &tiering, &why), MHP_EINVAL);
	CHECK(strstr(why.text, "1000 thousandths") != NULL);
	CHECK(mhp_pool_backing(pool, 0) != NULL && mhp_pool_backing(pool, 1) == NULL);
	CHECK(mhp_pool_backing(pool, UINT16_MAX) == NULL);
	end_pool(pool, region);
}

TEST(errno__of_the_kernel__has_a_word_of_the_engine)
{
	static const struct { int error, code; } rows[] = {
		{ EPERM, MHP_EPERM }, { EACCES, MHP_EPERM }, { ENOENT, MHP_ENOENT },
		{ ENOMEM, MHP_ENOMEM }, { EMFILE, MHP_ENOMEM }, { ENFILE, MHP_ENOMEM },
		{ EBUSY, MHP_EBUSY }, { ENODEV, MHP_ENODEV }, { ENXIO, MHP_ENODEV },
		{ ENOSPC, MHP_ENOSPC }, { ENOSYS, MHP_EOPNOTSUPP },
		{ EOPNOTSUPP, MHP_EOPNOTSUPP }, { EAGAIN, MHP_EAGAIN }, { EIO, MHP_EINVAL },
	};
	for (size_t i = 0; i < NR(rows); i++)
		CHECK_EQ(mhp__errno(rows[i].error), rows[i].code);
}

/* Nothing of what was begun is left: with a little more, the next attempt gets further. */
static void
try_with(uint64_t more)
{
	struct mhp_pool_opts opts = { .max_bytes = 16 * BLOCK, .block_bytes = BLOCK };
	uint64_t used = fixture_status_kib("VmSize") * KIB;
	struct mhp_pool *pool = NULL;
	struct mhp_region *region = NULL, *over = NULL;
	struct mhp_text why = { "" };
	struct rlimit before, few;
	CHECK(getrlimit(RLIMIT_AS, &before) == 0);
	few = (struct rlimit){ used + more, before.rlim_max };
	CHECK(setrlimit(RLIMIT_AS, &few) == 0);
	int err = mhp_pool_create(&opts, &pool, &why);
	if (err == 0)
		err = mhp_region_create(pool, "few", 64 * MIB, &region, &why);
	if (err == 0)
		err = mhp_region_create_over(pool, "over", &over, &why);
	CHECK(setrlimit(RLIMIT_AS, &before) == 0);
	test_at("%llu KiB more: %s", (unsigned long long)(more / KIB), why.text);
	CHECK(err == 0 || err == MHP_ENOMEM);
	mhp_region_destroy(over);
	mhp_region_destroy(region);
	CHECK_OK(mhp_pool_destroy(pool));
}

TEST(pool__few_addresses__refused_at_any_point)
{
	if (TEST_ASAN || TEST_TSAN)
		test_skip("needs plain-build");
	uint64_t before = 0;
	for (uint64_t more = 4 * KIB; more < TIB; more += more / 4 < 4 * KIB ? 4 * KIB : more / 4) {
		try_with(more);
		/* What is learnt once for all stays. */
		uint64_t now = fixture_status_kib("VmSize");
		before = before > now ? before : now;
	}
	try_with(MIB);
	CHECK(fixture_status_kib("VmSize") <= before);
}
