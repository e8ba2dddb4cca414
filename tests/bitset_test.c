/* SPDX-License-Identifier: MIT */
/*
 * bitset_test.c - the set of small numbers against an array of bytes, and runs of blocks on top.
 *
 * Every size around the borders of words and levels, members put and taken at random: after each
 * step the neighbours of a random number are what a linear search finds, and the levels agree. The
 * largest set, with a few members far apart, goes through all levels.
 */
#include "base/bitset.h"

#include <stdlib.h>

#include "state/runs.h"
#include "test.h"

#define BITS_MAX 5000U

static struct mhp__bitset
make_set(uint32_t nr_bits, uint64_t **ret_words)
{
	struct mhp__bitset set;

	*ret_words = calloc(mhp__bitset_words(nr_bits), sizeof(uint64_t));
	CHECK(*ret_words != NULL);
	mhp__bitset_init(&set, *ret_words, nr_bits);
	return set;
}

static uint32_t
next_in(const unsigned char *members, uint32_t nr_bits, uint32_t bit)
{
	while (bit < nr_bits && !members[bit])
		bit++;
	return bit < nr_bits ? bit : nr_bits;
}

static uint32_t
prev_in(const unsigned char *members, uint32_t nr_bits, uint32_t bit)
{
	bit = bit < nr_bits ? bit : nr_bits - 1;
	while (!members[bit]) {
		if (bit == 0)
			return nr_bits;
		bit--;
	}
	return bit;
}

static void
compare_at(const struct mhp__bitset *set, const unsigned char *members, uint32_t bit)
{
	uint32_t nr_bits = set->nr_bits;

	CHECK_EQ(mhp__bitset_next(set, bit), next_in(members, nr_bits, bit));
	CHECK_EQ(mhp__bitset_prev(set, bit), prev_in(members, nr_bits, bit));
	if (bit < nr_bits)
		CHECK_EQ(mhp__bitset_test(set, bit), members[bit]);
}

static void
exercise(uint32_t nr_bits, uint64_t ops)
{
	static unsigned char members[BITS_MAX];
	uint64_t random = test_seed() + nr_bits, *words;
	struct mhp__bitset set = make_set(nr_bits, &words);

	memset(members, 0, sizeof(members));
	for (uint64_t i = 0; i < ops; i++) {
		uint32_t bit = (uint32_t)(test_random(&random) % nr_bits);
		/* Mostly full for a while, then mostly empty. */
		bool member = test_random(&random) % 16 < (i / 500 % 2 ? 1U : 15U);

		test_at("%" PRIu32 " bits, step %" PRIu64 ": bit %" PRIu32, nr_bits, i, bit);
		mhp__bitset_put(&set, bit, member);
		members[bit] = member;
		compare_at(&set, members, bit);
		compare_at(&set, members, (uint32_t)(test_random(&random) % (nr_bits + 2)));
		if (i % 64 == 0)
			CHECK(mhp__bitset_sound(&set));
	}
	free(words);
}

TEST(bitset__random_steps__like_an_array)
{
	static const uint32_t sizes[] = { 1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, BITS_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		exercise(sizes[i], test_ops(20000));
}

TEST(bitset__largest__found_through_all_levels)
{
	static const uint32_t far[] = { 0, 63, 64, 4096, 262143, 262144, 9999999, (1U << 24) - 1 };
	const uint32_t nr_bits = 1U << 24, nr = sizeof(far) / sizeof(far[0]);
	uint64_t *words;
	struct mhp__bitset set = make_set(nr_bits, &words);

	CHECK_EQ(mhp__bitset_next(&set, 0), nr_bits);
	CHECK_EQ(mhp__bitset_prev(&set, UINT32_MAX), nr_bits);
	for (uint32_t i = 0; i < nr; i++)
		mhp__bitset_put(&set, far[i], true);
	CHECK(mhp__bitset_sound(&set));
	for (uint32_t i = 0; i + 1 < nr; i++) {
		CHECK_EQ(mhp__bitset_next(&set, far[i] + 1), far[i + 1]);
		CHECK_EQ(mhp__bitset_prev(&set, far[i + 1] - 1), far[i]);
	}
	CHECK_EQ(mhp__bitset_next(&set, far[nr - 1] + 1), nr_bits);
	for (uint32_t i = 0; i < nr; i++)
		mhp__bitset_put(&set, far[i], false);
	for (size_t i = 0; i < mhp__bitset_words(nr_bits); i++)
		CHECK_EQ(words[i], 0); /* all-zero memory is the empty set again */
	free(words);
}

TEST(bitset__any_bit_flipped__unsound_or_another_set)
{
	const uint32_t nr_bits = 200;
	uint64_t *words, *before;
	struct mhp__bitset set = make_set(nr_bits, &words);
	size_t nr_words = mhp__bitset_words(nr_bits);

	for (uint32_t bit = 3; bit < nr_bits; bit += 70)
		mhp__bitset_put(&set, bit, true);
	before = malloc(nr_words * sizeof(words[0]));
	CHECK(before != NULL);
	memcpy(before, words, nr_words * sizeof(words[0]));
	for (size_t bit = 0; bit < nr_words * 64; bit++) {
		words[bit / 64] ^= UINT64_C(1) << bit % 64;
		/* A flip of a member that leaves its word not empty makes a good set. */
		if (mhp__bitset_sound(&set))
			CHECK(bit < nr_bits && words[bit / 64] != 0 && before[bit / 64] != 0);
		words[bit / 64] = before[bit / 64];
	}
	free(before);
	free(words);
}

/* A put is cut when it has written the levels below k; the set is mended to what it would be. */
static void
cut_put(struct mhp__bitset *set, uint64_t *words, uint64_t *scratch, uint32_t bit, bool member)
{
	size_t bytes = mhp__bitset_words(set->nr_bits) * sizeof(words[0]);
	uint64_t *before = scratch, *after = scratch + bytes / sizeof(words[0]);

	memcpy(before, words, bytes);
	mhp__bitset_put(set, bit, member);
	memcpy(after, words, bytes);
	for (unsigned k = 1; k < set->nr_levels; k++) {
		size_t nr_written = (size_t)(set->level[k] - words);
		memcpy(words, after, nr_written * sizeof(words[0]));
		memcpy(words + nr_written, before + nr_written,
		       bytes - nr_written * sizeof(words[0]));
		mhp__bitset_mend(set);
		CHECK_EQ(memcmp(words, after, bytes), 0);
	}
}

/* R37 */
TEST(bitset__a_kill_cuts_a_put__upper_levels_follow_the_lowest)
{
	static const uint32_t sizes[] = { 64, 65, 4096, 4097, 300000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t *words, *scratch, random = test_seed() + i;
		struct mhp__bitset set = make_set(sizes[i], &words);

		scratch = calloc(2 * mhp__bitset_words(sizes[i]), sizeof(words[0]));
		CHECK(scratch != NULL);
		for (unsigned n = 0; n < 50; n++) {
			uint32_t bit = (uint32_t)(test_random(&random) % sizes[i]);
			test_at("%" PRIu32 " bits: bit %" PRIu32, sizes[i], bit);
			cut_put(&set, words, scratch, bit, true);
			if (n % 3 != 0)
				cut_put(&set, words, scratch, bit, false);
		}
		free(scratch);
		free(words);
	}
}

/* ---- runs of like blocks ---- */

/* What mhp_range_get() should say, block by block. */
static uint32_t
run_end_of(struct mhp *m, uint32_t block)
{
	uint32_t end = block + 1, nr_blocks = mhp_get_geometry(m)->nr_blocks;

	while (end < nr_blocks && mhp__blocks_alike(m, block, end))
		end++;
	return end;
}

static void
compare_runs(struct mhp *m)
{
	uint32_t nr_blocks = mhp_get_geometry(m)->nr_blocks, start = 0;

	for (uint32_t block = 0; block < nr_blocks; block++) {
		struct mhp_blocks run;

		CHECK_OK(mhp_range_get(m, block, &run));
		CHECK_EQ(run.first, block);
		CHECK_EQ(run.first + run.count, run_end_of(m, block));
		if (block > 0 && !mhp__blocks_alike(m, block - 1, block))
			start = block;
		CHECK_EQ(mhp__run_start(m, block), start);
	}
	CHECK_RET(mhp_range_get(m, nr_blocks, &(struct mhp_blocks){ 0, 0 }), MHP_ENXIO);
}

static void
change_a_block(struct test_pool *pool, uint64_t *random)
{
	uint32_t block = (uint32_t)(test_random(random) % pool->config.geometry.nr_blocks);
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_OFFLINE,
				     .node = test_random(random) % 2,
				     .backing = test_random(random) % 2 };
	struct mhp_blocks blocks = { block, 1 };
	struct mhp_blocks one = { block, 1 };
	struct mhp_block_info info;

	CHECK_OK(mhp_block_get(pool->m, block, &info));
	if (info.state == MHP_ABSENT)
		CHECK_OK(mhp_add(pool->m, blocks, &opts, NULL));
	else if (info.state == MHP_OFFLINE && test_random(random) % 3 != 0)
		CHECK_OK(test_online(pool->m, one, MHP_ZONE_NORMAL + test_random(random) % 2,
				     NULL));
	else if (info.state == MHP_ONLINE && test_random(random) % 2 != 0)
		CHECK_OK(mhp_offline(pool->m, &one, 1, NULL, NULL));
	else
		CHECK_OK(mhp_remove(pool->m, &blocks, 1, NULL, NULL));
}

/* Whoever changes a block keeps the runs (INV 3). */
TEST(runs__blocks_come_and_go__ranges_are_maximal)
{
	uint64_t random = test_seed();
	struct test_pool pool;

	test_pool_open(&pool, NULL);
	compare_runs(pool.m);
	for (uint64_t i = 0; i < test_ops(2000); i++) {
		test_at("step %" PRIu64, i);
		change_a_block(&pool, &random);
		compare_runs(pool.m);
	}
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}
