/* SPDX-License-Identifier: MIT */
/*
 * geometry.c - arithmetic that every block depends on, tried with every input there is and compared
 * with the same in words that cannot overflow: proof by enumeration.
 *
 * Covered: whether a block can host its metadata, for all orders, descriptor sizes and granules; what
 * a bitmap word of an arena is when its frames are free, for all pageblock orders up to 9 and all
 * numbers of frames that are not the allocator's; and the set of small numbers, for every set of up
 * to two members and every set that lacks up to two, in all sizes around the borders of its words.
 * Built with the sanitizers, so that nothing undefined passes either.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitset.h"
#include "memmap/memmap.h"
#include "pages/words.h"

/* 128 bits hold every product below. */
typedef unsigned __int128 wide;

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static unsigned long long nr_tried;

static wide
up(wide n, wide unit)
{
	return (n + unit - 1) / unit;
}

/* ---- can a block host its metadata? ---- */

static bool
orders_are_right(const struct mhp_memmap_shape *shape)
{
	return shape->page_shift >= 6 && shape->page_shift <= 16 && shape->block_order <= 30 &&
	       shape->pageblock_order <= MHP_PAGEBLOCK_ORDER_MAX &&
	       shape->pageblock_order <= shape->block_order;
}

static void
predict(const struct mhp_memmap_shape *shape)
{
	struct mhp_memmap_answer answer;
	wide frames = (wide)1 << shape->block_order, page = (wide)1 << shape->page_shift;
	wide pageblock = (wide)1 << shape->pageblock_order;
	wide descriptors = frames * shape->descriptor_bytes;
	wide heads = frames / pageblock * shape->descriptor_bytes;
	wide bytes = descriptors + heads + frames / pageblock * up(pageblock, 64) * 8;
	wide pages = up(bytes, page) + (shape->vmemmap ? shape->caps.tables_per_block : 0);
	unsigned shift = shape->caps.granule_shift;
	bool ours = !shape->vmemmap ||
		    (shift >= shape->page_shift && shift <= 40 &&
		     shape->caps.large_granule_shift <= 40 && descriptors % ((wide)1 << shift) == 0);
	bool can = mhp_supports_memmap_on_memory(shape, &answer);

	nr_tried++;
	MUST(can == (answer.reason == MHP_MEMMAP_OK));
	if (!orders_are_right(shape)) {
		MUST(answer.reason == MHP_MEMMAP_BAD_GEOMETRY);
		return;
	}
	MUST(answer.nr_vmemmap_pages == (pages < UINT32_MAX ? pages : UINT32_MAX));
	MUST(answer.waste_bytes == up(bytes, page) * page - bytes);
	MUST(answer.reason == (!ours ? MHP_MEMMAP_BAD_GEOMETRY :
			       pages >= frames ? MHP_MEMMAP_NO_USABLE_PAGE : MHP_MEMMAP_OK));
}

/* Every descriptor size; where they count, every granule that differs. */
static void
predict_sizes(struct mhp_memmap_shape shape)
{
	for (uint32_t bytes = 0; bytes <= UINT16_MAX; bytes++) {
		shape.descriptor_bytes = (uint16_t)bytes;
		predict(&shape);
	}
	if (shape.pageblock_order != 0)
		return;
	shape.vmemmap = true;
	for (uint32_t bytes = 0; bytes <= 4096; bytes++)
		for (uint8_t shift = 5; shift <= 42; shift++) {
			shape.descriptor_bytes = (uint16_t)bytes;
			shape.caps.granule_shift = shift;
			shape.caps.large_granule_shift = (uint8_t)(shift == 40 ? 41 : shift);
			shape.caps.tables_per_block = bytes % 2 != 0 ? UINT16_MAX : 1;
			predict(&shape);
		}
}

static void
predict_all(void)
{
	struct mhp_memmap_shape shape = { .descriptor_bytes = 8 };

	for (unsigned page = 0; page <= UINT8_MAX; page++)
		for (unsigned block = 0; block <= UINT8_MAX; block++)
			for (unsigned pageblock = 0; pageblock <= UINT8_MAX; pageblock++) {
				shape.page_shift = (uint8_t)page;
				shape.block_order = (uint8_t)block;
				shape.pageblock_order = (uint8_t)pageblock;
				if (orders_are_right(&shape))
					predict_sizes(shape);
				else
					(void)!mhp_supports_memmap_on_memory(
						&shape, &(struct mhp_memmap_answer){ 0 });
			}
}

/* ---- words of an arena ---- */

static void
free_words(unsigned order, unsigned arena_order)
{
	struct mhp *m = calloc(1, sizeof(*m));
	struct mhp__arena *arena = calloc(1, sizeof(*arena));
	unsigned bits = order < 6 ? 1U << order : 64;

	MUST(m != NULL && arena != NULL);
	m->geo.pageblock_order = (uint8_t)order;
	m->arena_order = (uint8_t)arena_order;
	for (uint32_t nr = 0; nr <= 1U << arena_order; nr++) {
		arena->nr_unmanaged = nr;
		for (uint32_t index = 0; index < (1U << arena_order) / bits; index++) {
			uint64_t first = (uint64_t)index * bits;
			uint64_t taken = nr <= first ? 0 : nr - first >= bits ? bits : nr - first;
			uint64_t word = 0;
			for (uint64_t i = 0; i < taken; i++)
				word |= UINT64_C(1) << i;
			MUST(mhp__free_word(m, arena, index) == word);
			nr_tried++;
		}
	}
	free(arena);
	free(m);
}

/* ---- the set of small numbers ---- */

static void
look_at(const struct mhp__bitset *set, const uint8_t *members, uint32_t bit)
{
	uint32_t nr_bits = set->nr_bits, next = bit, prev = bit < nr_bits ? bit : nr_bits - 1;

	while (next < nr_bits && !members[next])
		next++;
	while (prev != 0 && !members[prev])
		prev--;
	MUST(mhp__bitset_next(set, bit) == (next < nr_bits ? next : nr_bits));
	MUST(mhp__bitset_prev(set, bit) == (members[prev] ? prev : nr_bits));
	MUST(bit >= nr_bits || mhp__bitset_test(set, bit) == members[bit]);
	nr_tried++;
}

static void
change(struct mhp__bitset *set, uint8_t *members, uint32_t bit, bool member)
{
	mhp__bitset_put(set, bit, member);
	members[bit] = member;
}

/* All that differ in at most two members from the empty set, or the full one. */
static void
sets(uint32_t nr_bits, bool full, uint32_t step)
{
	uint64_t *words = calloc(mhp__bitset_words(nr_bits), sizeof(*words));
	uint8_t *members = calloc(nr_bits, 1);
	struct mhp__bitset set;

	MUST(words != NULL && members != NULL);
	mhp__bitset_init(&set, words, nr_bits);
	for (uint32_t bit = 0; full && bit < nr_bits; bit++)
		change(&set, members, bit, true);
	for (uint32_t a = 0; a < nr_bits; a += step)
		for (uint32_t b = a; b < nr_bits; b += step) {
			change(&set, members, a, !full);
			change(&set, members, b, !full);
			MUST(mhp__bitset_sound(&set));
			for (uint32_t bit = 0; bit <= nr_bits; bit += step)
				look_at(&set, members, bit);
			change(&set, members, a, full);
			change(&set, members, b, full);
		}
	MUST(mhp__bitset_sound(&set));
	free(members);
	free(words);
}

int
main(void)
{
	static const uint32_t sizes[] = { 1, 2, 63, 64, 65, 127, 128, 129, 191, 192, 193 };
	static const uint32_t large[] = { 4095, 4096, 4097, 4160, 8192, 8193 };

	for (unsigned order = 0; order <= 9; order++)
		for (unsigned arena_order = order; arena_order <= order + 6; arena_order++)
			free_words(order, arena_order);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned full = 0; full < 2; full++)
			sets(sizes[i], full, 1);
	for (unsigned i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		for (unsigned full = 0; full < 2; full++)
			sets(large[i], full, 63); /* each place in a word, and each word */
	predict_all();
	printf("%llu inputs\n", nr_tried);
	return 0;
}
