/* SPDX-License-Identifier: MIT */
/*
 * pages_test.c - the page layer: bitmaps, zones' lists, caches, single pages and long ranges.
 *
 * What is handed out is held against a map of bytes, one for each frame: the book. It knows
 * nothing of arenas or caches, only which frames belong to which page, so whatever the layer
 * does, a frame that is handed out twice, or lies outside of the usable part, shows at once. Two
 * kinds of case look inside: those about isolation, for which there is no public call, and those
 * about how free frames lie (pageblocks kept whole).
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "memmap/memmap.h"
#include "pages/attach.h"
#include "pages/arena.h"
#include "pages/cache.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "state/hotplug.h"
#include "test.h"

/* ---- the book ---- */

#define NOBODYS 0xff

struct book {
	struct test_pool pool;
	struct mhp *m;
	struct mhp_geometry geo;
	uint64_t nr_pfns;
	uint8_t *order_of;             /* of the page that starts here, or NOBODYS */
	uint8_t *taken;                /* 1: part of a page */
	uint64_t *heads;               /* first frames, in no order */
	uint64_t nr_heads, nr_taken;
	uint16_t fixed, movable;       /* owners */
	uint64_t random;
};

static int
refuse(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return MHP_EBUSY;
}

static int
never_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx, (void)moves, (void)nr_moves;
	*ret_done = 0;
	return MHP_EBUSY;
}

static void
never_putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static const struct mhp_movable_ops movable_ops = { refuse, never_migrate, never_putback, NULL };

static void
book_open(struct book *book, const struct test_pool_opts *opts)
{
	*book = (struct book){ .random = test_seed() };
	test_pool_open(&book->pool, opts);
	book->m = book->pool.m;
	book->geo = *mhp_get_geometry(book->m);
	book->nr_pfns = (uint64_t)book->geo.nr_blocks << book->geo.block_order;
	book->order_of = malloc(book->nr_pfns);
	book->taken = calloc(book->nr_pfns, 1);
	book->heads = calloc(book->nr_pfns, sizeof(book->heads[0]));
	CHECK(book->order_of != NULL && book->taken != NULL && book->heads != NULL);
	memset(book->order_of, NOBODYS, book->nr_pfns);
	CHECK_OK(mhp_owner_register(book->m, "fixed", NULL, NULL, &book->fixed));
	CHECK_OK(mhp_owner_register(book->m, "movable", &movable_ops, NULL, &book->movable));
}

static void
book_shape(struct book *book, const char *shape)
{
	struct test_pool_opts opts = { .shape = shape };
	book_open(book, &opts);
}

/* Add and online blocks, self-hosted unless flags say otherwise. */
static void
book_plug(struct book *book, uint32_t first, uint32_t count, unsigned node, unsigned zone,
	  uint32_t flags)
{
	struct mhp_add_opts opts = { .flags = flags | MHP_ADD_ONLINE,
				     .node = (uint8_t)node,
				     .zone = (uint8_t)zone };
	if ((flags & MHP_ADD_BOOT) == 0)
		opts.flags |= MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE;
	CHECK_OK(mhp_add(book->m, (struct mhp_blocks){ first, count }, &opts, NULL));
}

static struct mhp_page_req
request(uint16_t owner, unsigned order, unsigned node)
{
	return (struct mhp_page_req){ .owner = owner,
				      .order = (uint8_t)order,
				      TEST_NEAR(node) };
}

static void
book_note(struct book *book, uint64_t pfn, unsigned order)
{
	uint64_t nr = UINT64_C(1) << order;
	CHECK_EQ(pfn % nr, 0); /* aligned */
	CHECK_CMP(pfn + nr, <=, book->nr_pfns);
	for (uint64_t i = 0; i < nr; i++) {
		CHECK_EQ(book->taken[pfn + i], 0); /* R1, R18: nobody else's, and no reserve's */
		book->taken[pfn + i] = 1;
	}
	book->order_of[pfn] = (uint8_t)order;
	book->heads[book->nr_heads++] = pfn;
	book->nr_taken += nr;
}

static void
book_forget(struct book *book, uint64_t index)
{
	uint64_t pfn = book->heads[index], nr = UINT64_C(1) << book->order_of[pfn];
	memset(book->taken + pfn, 0, nr);
	book->order_of[pfn] = NOBODYS;
	book->heads[index] = book->heads[--book->nr_heads];
	book->nr_taken -= nr;
}

static bool
book_alloc(struct book *book, uint16_t owner, unsigned order, unsigned node, uint64_t *ret_pfn)
{
	struct mhp_page_req req = request(owner, order, node);
	uint64_t pfn = MHP_PFN_NONE;
	req.cookie = test_random(&book->random) & MHP_COOKIE_MAX;
	int error = mhp_page_alloc(book->m, req, &pfn);
	if (error == MHP_ENOMEM)
		return false;
	CHECK_OK(error);
	book_note(book, pfn, order);
	struct mhp_frame frame = mhp_frame_peek(book->m, pfn);
	CHECK_EQ((int)frame.state, MHP_FRAME_USED);
	CHECK_EQ(frame.owner, owner);
	CHECK_EQ(frame.order, order);
	CHECK_EQ(frame.cookie, req.cookie);
	if (ret_pfn != NULL)
		*ret_pfn = pfn;
	return true;
}

static void
book_free(struct book *book, uint64_t index)
{
	CHECK_OK(mhp_page_free(book->m, book->heads[index]));
	book_forget(book, index);
}

static void
book_free_all(struct book *book)
{
	while (book->nr_heads > 0)
		book_free(book, test_random(&book->random) % book->nr_heads);
}

/* Usable frames of online blocks: where pages may lie. */
static uint64_t
book_usable(const struct book *book, uint32_t block)
{
	struct mhp_block_info info;
	CHECK_OK(mhp_block_get(book->m, block, &info));
	return info.state == MHP_ONLINE ? book->pool.block_pages - info.nr_vmemmap_pages : 0;
}

static uint64_t
book_total(const struct book *book)
{
	uint64_t nr = 0;
	for (uint32_t block = 0; block < book->geo.nr_blocks; block++)
		nr += book_usable(book, block);
	return nr;
}

/* Aligned pages of an order that fit in the usable parts. */
static uint64_t
book_room(const struct book *book, unsigned order)
{
	uint64_t nr = 0;
	for (uint32_t block = 0; block < book->geo.nr_blocks; block++)
		nr += book_usable(book, block) >> order;
	return nr;
}

/* Free frames as the zones count them. */
static uint64_t
zones_free(struct book *book)
{
	uint64_t nr = 0;
	for (unsigned node = 0; node < book->geo.nr_nodes; node++) {
		for (unsigned kind = MHP_ZONE_NORMAL; kind <= MHP_ZONE_MOVABLE; kind++) {
			struct mhp_zone_info info;
			CHECK_OK(mhp_zone_get(book->m, node, (enum mhp_zone_kind)kind, &info));
			nr += info.free;
		}
	}
	return nr;
}

/* The instance agrees with the book: verifier, counters, and each frame. */
static void
book_check(struct book *book)
{
	test_pool_check(&book->pool);
	CHECK_EQ(zones_free(book), book_total(book) - book->nr_taken);
	for (uint64_t pfn = 0; pfn < book->nr_pfns; pfn++) {
		struct mhp_frame frame = mhp_frame_peek(book->m, pfn);
		if (book->order_of[pfn] != NOBODYS) {
			CHECK_EQ((int)frame.state, MHP_FRAME_USED);
			CHECK_EQ(frame.order, book->order_of[pfn]);
		} else if (book->taken[pfn]) {
			CHECK_EQ((int)frame.state, MHP_FRAME_TAIL);
		} else {
			CHECK_NE((int)frame.state, MHP_FRAME_USED);
		}
	}
}

static void
book_close(struct book *book)
{
	mhp_sim_cpu = 0;
	book_free_all(book);
	CHECK_OK(mhp_owner_unregister(book->m, book->fixed));
	CHECK_OK(mhp_owner_unregister(book->m, book->movable));
	test_pool_empty_and_close(&book->pool);
	free(book->order_of);
	free(book->taken);
	free(book->heads);
}

/* A geometry of small blocks with pageblocks of any order: four pageblocks a block. */
static struct mhp_geometry
geometry_of(unsigned pageblock_order, unsigned pageblocks_order)
{
	struct mhp_geometry geo = { .page_shift = 12,
				    .pageblock_order = (uint8_t)pageblock_order,
				    .section_order = (uint8_t)(pageblock_order + pageblocks_order),
				    .block_order = (uint8_t)(pageblock_order + pageblocks_order),
				    .nr_nodes = 1,
				    .nr_cpus = 2,
				    .nr_blocks = 3 };
	while ((uint64_t)MHP_PAGE_BYTES << geo.section_order < UINT64_C(1) << geo.page_shift) {
		geo.section_order++;
		geo.block_order++;
	}
	return geo;
}

static uint64_t
pageblock_pages(const struct book *book)
{
	return UINT64_C(1) << book->geo.pageblock_order;
}

/* ---- orders and geometries ---- */

/* Fill with one order, count, free. */
static void
fill_and_empty(struct book *book, unsigned order)
{
	uint64_t nr = 0;

	test_at("pageblock order %u, order %u", book->geo.pageblock_order, order);
	while (book_alloc(book, book->fixed, order, MHP_NODE_ANY, NULL))
		nr++;
	CHECK_EQ(nr, book_room(book, order)); /* R19: no more, no less */
	book_check(book);
	book_free_all(book);
	book_check(book);
	CHECK_EQ(zones_free(book), book_total(book));
}

TEST(pages__each_order_in_each_geometry__all_of_the_usable_part) /* R1 R18 R19 */
{
	for (unsigned pageblock_order = 1; pageblock_order <= MHP_PAGEBLOCK_ORDER_MAX;
	     pageblock_order++) {
		struct mhp_geometry geo = geometry_of(pageblock_order, 2);
		struct test_pool_opts opts = { .geometry = &geo };
		struct book book;
		book_open(&book, &opts);
		book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
		book_plug(&book, 2, 1, 0, MHP_ZONE_NORMAL, MHP_ADD_ZEROED);
		for (unsigned order = 0; order <= pageblock_order; order++)
			fill_and_empty(&book, order);
		book_close(&book);
	}
}

TEST(pages__several_arenas_in_a_block__all_of_the_usable_part) /* R18 R19 R20 */
{
	/* 128 pageblocks of 4 pages: two arenas a block; with large descriptors the first one is
	 * nothing but reserve. */
	struct mhp_geometry geo = geometry_of(2, 7);
	struct test_pool_opts opts = { .geometry = &geo };
	struct book book;
	book_open(&book, &opts);
	book_plug(&book, 0, 2, 0, MHP_ZONE_MOVABLE, 0);
	struct mhp_block_info info;
	CHECK_OK(mhp_block_get(book.m, 1, &info));
	for (uint32_t i = 0; i < info.nr_vmemmap_pages; i++) {
		struct mhp_frame frame = mhp_frame_peek(book.m, book.pool.block_pages + i);
		CHECK_EQ((int)frame.state, MHP_FRAME_METADATA);
	}
	while (book_alloc(&book, book.movable, 0, MHP_NODE_ANY, NULL))
		;
	CHECK_EQ(book.nr_taken, book_total(&book));
	book_check(&book);
	book_close(&book);
}

/* ---- requests that are refused ---- */

TEST(page_alloc__bad_request__einval_and_nothing_changed) /* R17 */
{
	struct book book;
	uint64_t pfn = 7;
	book_shape(&book, "tiny2");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	uint64_t digest = mhp_digest(book.m);
	struct mhp_page_req good = request(book.fixed, 0, MHP_NODE_ANY), bad;
	uint16_t nobody = (uint16_t)(book.movable + 1);
	const uint16_t owners[] = { MHP_OWNER_NONE, MHP_OWNER_BAD, MHP_OWNER_MEMMAP,
				    MHP_OWNER_ROOM, nobody, MHP_OWNERS_MAX, UINT16_MAX };
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		bad = good;
		bad.owner = owners[i];
		CHECK_RET(mhp_page_alloc(book.m, bad, &pfn), MHP_EINVAL);
		CHECK_RET(mhp_pages_alloc_contig(book.m, bad, 1, &pfn), MHP_EINVAL);
	}
	for (unsigned i = 0; i < 3; i++) {
		bad = good;
		bad.zero[i] = 1;
		CHECK_RET(mhp_page_alloc(book.m, bad, &pfn), MHP_EINVAL);
	}
	CHECK_RET(mhp_page_alloc(book.m, request(book.fixed, book.geo.pageblock_order + 1U, 0),
				 &pfn), MHP_EINVAL);
	CHECK_RET(mhp_page_alloc(book.m, request(book.fixed, 255, 0), &pfn), MHP_EINVAL);
	CHECK_RET(mhp_page_alloc(book.m, request(book.fixed, 255, MHP_NODE_ANY), &pfn),
		  MHP_EINVAL);
	CHECK_RET(mhp_page_alloc(book.m, request(nobody, 0, MHP_NODE_ANY), &pfn), MHP_EINVAL);
	CHECK_RET(mhp_page_alloc(book.m, request(book.fixed, 0, 2), &pfn), MHP_ENODEV);
	CHECK_RET(mhp_page_alloc(book.m, request(book.fixed, 0, 254), &pfn), MHP_ENODEV);
	bad = good;
	bad.node = 1; /* and no flag */
	CHECK_RET(mhp_page_alloc(book.m, bad, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc_contig(book.m, bad, 1, &pfn), MHP_EINVAL);
	for (unsigned bit = 2; bit < 8; bit++) {
		bad = good;
		bad.flags = (uint8_t)(1U << bit);
		CHECK_RET(mhp_page_alloc(book.m, bad, &pfn), MHP_EINVAL);
	}
	bad = request(book.fixed, book.geo.block_order + 1U, MHP_NODE_ANY);
	CHECK_RET(mhp_pages_alloc_contig(book.m, bad, 1, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc_contig(book.m, good, 0, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc_contig(book.m, good, UINT64_MAX, &pfn), MHP_ENOMEM);
	CHECK_RET(mhp_pages_alloc_within(book.m, bad, 1, 0, 8, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc_within(book.m, good, 0, 0, 8, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc_within(book.m, good, 1, 8, 7, &pfn), MHP_EINVAL);
	CHECK_RET(mhp_pages_alloc_within(book.m, good, 1, 0, UINT64_MAX, &pfn), MHP_ENXIO);
	CHECK_RET(mhp_pages_alloc_within(book.m, good, UINT64_MAX, 0, 8, &pfn), MHP_ENOMEM);
	CHECK_EQ(pfn, 7);
	CHECK_EQ(mhp_digest(book.m), digest);
	book_close(&book);
}

/* Every call that takes a pfn says that there is no page of the caller's here. */
static void
check_no_page(struct book *book, uint64_t pfn, int error)
{
	test_at("pfn %" PRIu64, pfn);
	CHECK_RET(mhp_page_free(book->m, pfn), error);
	CHECK_RET(mhp_page_split(book->m, pfn, 0, NULL), error);
	CHECK_RET(mhp_page_set_cookie(book->m, pfn, 1), error);
	CHECK_RET(mhp_pages_free_contig(book->m, pfn, 1), error);
}

TEST(page_free__not_a_page_of_the_callers__error_and_nothing_changed) /* R17 */
{
	struct book book;
	uint64_t pfn;
	book_shape(&book, "small");
	book_plug(&book, 1, 1, 0, MHP_ZONE_NORMAL, 0);
	struct mhp_add_opts offline = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_OFFLINE };
	CHECK_OK(mhp_add(book.m, (struct mhp_blocks){ 2, 1 }, &offline, NULL));
	CHECK(book_alloc(&book, book.fixed, 3, 0, &pfn));
	uint64_t digest = mhp_digest(book.m), end = 4 * book.pool.block_pages;
	/* Absent, reserve, free, tail, offline, absent again, in this order. */
	for (uint64_t at = 0; at < end; at++)
		if (at != pfn)
			check_no_page(&book, at, MHP_EINVAL);
	check_no_page(&book, book.nr_pfns, MHP_EINVAL);
	check_no_page(&book, book.nr_pfns - 1, MHP_EINVAL);
	check_no_page(&book, UINT64_MAX, MHP_EINVAL);
	CHECK_EQ(mhp_digest(book.m), digest);
	book_free(&book, 0);
	check_no_page(&book, pfn, MHP_EINVAL); /* twice; in a cache */
	mhp_drain_caches(book.m);
	check_no_page(&book, pfn, MHP_EINVAL); /* in the bitmaps */
	test_pool_check(&book.pool);
	book_close(&book);
}

TEST(page_free__the_engines_page__ebusy) /* R17 R33 */
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	uint64_t bad = book.pool.block_pages - 3;
	CHECK_OK(mhp_bad_add(book.m, bad));
	check_no_page(&book, bad, MHP_EBUSY);
	/* The other block's metadata lies in this one. */
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_NODE, .node = 1 };
	CHECK_OK(mhp_add(book.m, (struct mhp_blocks){ 1, 1 }, &opts, NULL));
	unsigned nr = 0;
	for (uint64_t pfn = 0; pfn < book.pool.block_pages; pfn++) {
		struct mhp_frame frame = mhp_frame_peek(book.m, pfn);
		if (frame.state != MHP_FRAME_USED || frame.owner != MHP_OWNER_MEMMAP)
			continue;
		check_no_page(&book, pfn, MHP_EBUSY);
		nr++;
	}
	CHECK_CMP(nr, >, 0);
	test_pool_check(&book.pool);
	struct mhp_blocks guest = { 1, 1 };
	CHECK_OK(mhp_remove(book.m, &guest, 1, NULL, NULL));
	book_close(&book);
}

TEST(page_free__memory_of_unknown_content__descriptors_are_not_believed) /* R13 R17 */
{
	struct test_pool_opts opts = { .shape = "small", .fill = MHP_SIM_GARBAGE };
	struct book book;
	book_open(&book, &opts);
	book_plug(&book, 0, 2, 0, MHP_ZONE_NORMAL, 0);
	for (uint64_t pfn = 0; pfn < 2 * book.pool.block_pages; pfn++)
		check_no_page(&book, pfn, MHP_EINVAL);
	/* One page wakes one pageblock up; the others are as they were. */
	CHECK(book_alloc(&book, book.fixed, 0, 0, NULL));
	for (uint64_t pfn = 0; pfn < 2 * book.pool.block_pages; pfn++)
		if (!book.taken[pfn])
			check_no_page(&book, pfn, MHP_EINVAL);
	book_check(&book);
	for (unsigned order = 0; order <= book.geo.pageblock_order; order++) {
		book_free_all(&book);
		while (book_alloc(&book, book.fixed, order, 0, NULL))
			;
		CHECK_EQ(book.nr_heads, book_room(&book, order));
		book_check(&book);
	}
	book_close(&book);
}

/* ---- running out ---- */

TEST(page_alloc__nothing_free__enomem_until_a_page_comes_back) /* R21 */
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 2, 0, MHP_ZONE_NORMAL, 0);
	while (book_alloc(&book, book.fixed, 0, 0, NULL))
		;
	CHECK_EQ(book.nr_taken, book_total(&book));
	uint64_t digest = mhp_digest(book.m);
	for (unsigned order = 0; order <= book.geo.pageblock_order; order++)
		CHECK(!book_alloc(&book, book.fixed, order, MHP_NODE_ANY, NULL));
	CHECK_EQ(mhp_digest(book.m), digest);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t at = test_random(&book.random) % book.nr_heads, pfn = book.heads[at], got;
		book_free(&book, at);
		CHECK(book_alloc(&book, book.fixed, 0, 0, &got));
		CHECK_EQ(got, pfn);
		CHECK(!book_alloc(&book, book.fixed, 0, 0, NULL));
	}
	book_close(&book);
}

TEST(page_alloc__last_frames_in_caches_of_other_cpus__found)
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	while (book_alloc(&book, book.fixed, 0, 0, NULL))
		;
	mhp_sim_cpu = 1;
	book_free(&book, 0);
	mhp_sim_cpu = 0;
	CHECK(book_alloc(&book, book.fixed, 0, 0, NULL));
	CHECK(!book_alloc(&book, book.fixed, 0, 0, NULL));
	/* Single frames in two caches make up a large page. */
	uint64_t nr = book.nr_heads;
	for (uint64_t i = 0; i < nr; i++) {
		mhp_sim_cpu = (unsigned)(i & 1);
		book_free(&book, 0);
	}
	CHECK(book_alloc(&book, book.fixed, book.geo.pageblock_order, 0, NULL));
	book_check(&book);
	book_close(&book);
}

/* ---- caches ---- */

TEST(drain_caches__frames_cached__all_in_the_bitmaps)
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 2, 0, MHP_ZONE_NORMAL, 0);
	struct mhp_zone_info info;
	for (unsigned order = 0; order <= book.geo.pageblock_order; order++) {
		mhp_sim_cpu = order & 1;
		CHECK(book_alloc(&book, book.fixed, order, 0, NULL));
	}
	book_free_all(&book);
	CHECK_OK(mhp_zone_get(book.m, 0, MHP_ZONE_NORMAL, &info));
	CHECK_CMP(info.cached, >, 0);
	CHECK_EQ(info.free, book_total(&book));
	mhp_drain_caches(book.m);
	CHECK_OK(mhp_zone_get(book.m, 0, MHP_ZONE_NORMAL, &info));
	CHECK_EQ(info.cached, 0);
	CHECK_EQ(info.free, book_total(&book));
	CHECK_EQ(mhp__pages_nr_free(book.m, 0, 2 * book.pool.block_pages), book_total(&book));
	for (uint64_t pfn = 0; pfn < 2 * book.pool.block_pages; pfn++)
		CHECK_NE((int)mhp_frame_peek(book.m, pfn).state, MHP_FRAME_CACHED);
	book_check(&book);
	book_close(&book);
}

TEST(cache__held_by_somebody_else__pages_pass_it_by)
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 2, 0, MHP_ZONE_NORMAL, 0);
	CHECK(book_alloc(&book, book.fixed, 0, 0, NULL));
	struct mhp_cache *cache = mhp__zone_caches(book.m, mhp__zone(book.m, 0, MHP_ZONE_NORMAL));
	uint32_t count = cache->count[0];
	CHECK(mhp_port_cache_close(cache));
	CHECK(!mhp_port_cache_close(cache));
	uint64_t free = mhp__pages_nr_free(book.m, 0, 2 * book.pool.block_pages);
	for (unsigned i = 0; i < 10; i++)
		CHECK(book_alloc(&book, book.fixed, 0, 0, NULL));
	CHECK_EQ(mhp__pages_nr_free(book.m, 0, 2 * book.pool.block_pages), free - 10);
	while (book.nr_heads > 1)
		book_free(&book, 1);
	CHECK_EQ(mhp__pages_nr_free(book.m, 0, 2 * book.pool.block_pages), free);
	CHECK_EQ(cache->count[0], count);
	mhp_port_cache_open(cache);
	book_check(&book);
	book_close(&book);
}

/* What only a race brings about, done by hand: a refill that somebody else was faster with. */
TEST(cache__filled_meanwhile__a_refill_takes_from_it)
{
	struct book book;
	uint64_t pfn;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	CHECK(book_alloc(&book, book.fixed, 0, 0, NULL));
	struct mhp__zone *zone = mhp__zone(book.m, 0, MHP_ZONE_NORMAL);
	struct mhp_cache *cache = mhp__zone_caches(book.m, zone);
	uint32_t count = cache->count[0];
	CHECK_CMP(count, >, 0U);
	CHECK(mhp__cache_refill(book.m, zone, 0, &pfn));
	CHECK_EQ(cache->count[0], count - 1);
	CHECK_EQ((int)mhp_frame_peek(book.m, pfn).state, MHP_FRAME_CACHED);
	mhp__zone_give(book.m, NULL, 0, 1, &pfn);
	book_check(&book);
	book_close(&book);
}

/* And an arena that has left, or changed zones, before it was come back to. */
TEST(zone__arena_that_has_left__is_passed_by)
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	book_plug(&book, 1, 1, 0, MHP_ZONE_MOVABLE, 0);
	struct mhp__zone *normal = mhp__zone(book.m, 0, MHP_ZONE_NORMAL);
	struct mhp__arena *other = &book.m->arenas[mhp__pfn_arena(book.m, book.pool.block_pages)];
	uint64_t last = 2 * book.pool.block_pages - 1, digest = mhp_digest(book.m);
	uint64_t pfn;
	CHECK(book_alloc(&book, book.fixed, 0, 0, &pfn));
	CHECK(!mhp__zone_take_part(book.m, normal, pfn,
				   (uint32_t)(book.pool.block_pages - pfn)));
	book_free(&book, 0);
	CHECK(!mhp__zone_take_part(book.m, normal, last, 1));
	CHECK_EQ(mhp__zone_take_packed(book.m, normal, mhp__arena_index(book.m, other), last + 1,
				       0, 1, &last), 0U);
	CHECK_EQ(mhp_digest(book.m), digest);
	book_check(&book);
	book_close(&book);
}

/* A reserve as long as whole arenas: none of its frames has an arena that says so. */
TEST(frame_peek__reserve_longer_than_an_arena__metadata)
{
	struct mhp_geometry geo = { 12, 1, 10, 10, 1, 1, 2, 0 };
	struct book book;
	book_open(&book, &(struct test_pool_opts){ .geometry = &geo });
	book_plug(&book, 1, 1, 0, MHP_ZONE_NORMAL, 0);
	uint64_t reserve = book.m->blocks[1].altmap.capacity, none;
	/* One node: "any" is that one, and a request is looked at all the same. */
	CHECK_RET(mhp_page_alloc(book.m, request(book.fixed, 255, MHP_NODE_ANY), &none),
		  MHP_EINVAL);
	CHECK_RET(mhp_page_alloc(book.m, request(0, 0, MHP_NODE_ANY), &none), MHP_EINVAL);
	for (uint64_t pfn = 0; pfn < 1024; pfn++)
		CHECK_EQ((int)mhp_frame_peek(book.m, pfn).state, MHP_FRAME_ABSENT);
	for (uint64_t pfn = 0; pfn < 1024; pfn++)
		CHECK_EQ((int)mhp_frame_peek(book.m, 1024 + pfn).state,
			 pfn < reserve ? MHP_FRAME_METADATA : MHP_FRAME_FREE);
	book_check(&book);
	book_close(&book);
}

/* Who writes to the first word of a page that he has freed, and its block leaves then. */
TEST(poison__first_word_overwritten__block_leaves_all_the_same)
{
	struct mhp_blocks block = { 0, 1 };
	struct book book;
	uint64_t pfn;
	book_shape(&book, "tiny2");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	CHECK(book_alloc(&book, book.fixed, 0, 0, &pfn));
	book_free(&book, 0);
	*(uint64_t *)mhp_pfn_to_virt(book.m, pfn) = 1;
	CHECK_OK(mhp_offline(book.m, &block, 1, NULL, NULL));
	CHECK_OK(test_online(book.m, block, MHP_ZONE_NORMAL, NULL));
	book_check(&book);
	book_close(&book);
}

/* ---- how free frames lie ---- */

static bool
is_whole(const struct book *book, uint64_t pfn)
{
	return memchr(book->taken + pfn, 1, pageblock_pages(book)) == NULL;
}

/* Free pageblocks that can be a page. */
static uint64_t
nr_whole_pageblocks(const struct book *book)
{
	uint64_t nr = 0, size = pageblock_pages(book);

	for (uint32_t block = 0; block < book->geo.nr_blocks; block++) {
		uint64_t end = (block + 1) * book->pool.block_pages;
		uint64_t usable = end - book_usable(book, block);
		for (uint64_t pfn = (usable + size - 1) / size * size; pfn < end; pfn += size)
			nr += is_whole(book, pfn);
	}
	return nr;
}

/* The same by the bitmaps: frames in caches count as taken. */
static uint64_t
nr_untouched_pageblocks(const struct book *book)
{
	uint64_t nr = 0, size = pageblock_pages(book), i;

	for (uint64_t pfn = 0; pfn < book->nr_pfns; pfn += size) {
		for (i = 0; i < size; i++)
			if (mhp_frame_peek(book->m, pfn + i).state != MHP_FRAME_FREE)
				break;
		nr += i == size;
	}
	return nr;
}

/* Free frames of used pageblocks. */
static uint64_t
nr_partial_frames(const struct book *book)
{
	uint64_t nr = 0, size = pageblock_pages(book);

	for (uint64_t pfn = 0; pfn < book->nr_pfns; pfn += size)
		for (uint64_t i = 0; !is_whole(book, pfn) && i < size; i++)
			nr += book->taken[pfn + i] == 0 &&
			      mhp_frame_peek(book->m, pfn + i).state != MHP_FRAME_METADATA;
	return nr;
}

TEST(page_alloc__after_random_frees__every_wholly_free_pageblock_is_found) /* AIMS */
{
	struct book book;
	book_shape(&book, "dimm");
	book_plug(&book, 0, 4, 0, MHP_ZONE_MOVABLE, 0);
	struct mhp_page_req req = request(book.movable, 0, 0);
	for (uint64_t pfn; mhp_page_alloc(book.m, req, &pfn) == 0;)
		book_note(&book, pfn, 0);
	CHECK_EQ(book.nr_taken, book_total(&book));
	uint64_t keep = book.nr_heads / 512;
	while (book.nr_heads > keep) {
		mhp_sim_cpu = (unsigned)book.nr_heads & 1;
		book_free(&book, test_random(&book.random) % book.nr_heads);
	}
	uint64_t want = nr_whole_pageblocks(&book), nr = 0;
	CHECK_CMP(want, >, 0);
	while (book_alloc(&book, book.movable, book.geo.pageblock_order, 0, NULL))
		nr++;
	CHECK_EQ(nr, want);
	test_pool_check(&book.pool);
	book_close(&book);
}

/* Of each pageblock keep all pages, none, or some. */
static void
thin_out(struct book *book)
{
	uint64_t salt = test_random(&book->random);

	for (uint64_t i = book->nr_heads; i-- > 0;) {
		uint64_t choice = (book->heads[i] >> book->geo.pageblock_order) + salt;
		choice = test_random(&choice) % 3;
		if (choice == 0 || (choice == 1 && test_random(&book->random) % 2 != 0))
			book_free(book, i);
	}
}

TEST(page_alloc__room_in_used_pageblocks__whole_ones_are_kept)
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 6, 0, MHP_ZONE_NORMAL, 0);
	for (unsigned round = 0; round < 60; round++) {
		for (uint64_t nr = test_random(&book.random) % book_total(&book); nr > 0; nr--)
			(void)book_alloc(&book, book.fixed, 0, 0, NULL);
		thin_out(&book);
		uint64_t whole = nr_whole_pageblocks(&book), partial = nr_partial_frames(&book);
		mhp_drain_caches(book.m);
		for (; partial > 0; partial--)
			CHECK(book_alloc(&book, book.fixed, 0, 0, NULL));
		CHECK_EQ(nr_whole_pageblocks(&book), whole);
		CHECK_EQ(nr_untouched_pageblocks(&book), whole);
	}
	book_close(&book);
}

TEST(page_alloc__orders_in_between__a_free_run_is_found_wherever_it_is)
{
	/* More blocks than are looked at in a list. */
	struct mhp_geometry geo = test_geometry("small");
	struct test_pool_opts opts = { .geometry = &geo };
	struct book book;
	geo.nr_blocks = 36;
	book_open(&book, &opts);
	book_plug(&book, 0, 36, 0, MHP_ZONE_NORMAL, 0);
	while (book_alloc(&book, book.fixed, 0, 0, NULL))
		;
	/* A hole in every pageblock, and one run of eight in a random place. */
	for (unsigned round = 0; round < 6; round++) {
		uint64_t run = 0;
		for (uint64_t i = 0; i < book.nr_heads;) {
			if (book.heads[i] % pageblock_pages(&book) == 9)
				book_free(&book, i);
			else
				i++;
		}
		mhp_drain_caches(book.m);
		CHECK(!book_alloc(&book, book.fixed, 3, 0, NULL));
		while (!book.taken[run] || !book.taken[run + 7])
			run = test_random(&book.random) % book.nr_pfns & ~UINT64_C(7);
		for (uint64_t i = 0; i < book.nr_heads;) {
			if (book.heads[i] / 8 == run / 8)
				book_free(&book, i);
			else
				i++;
		}
		uint64_t pfn;
		CHECK(book_alloc(&book, book.fixed, 3, 0, &pfn));
		CHECK_EQ(pfn, run);
		book_check(&book);
		book_free(&book, book.nr_heads - 1);
		while (book_alloc(&book, book.fixed, 0, 0, NULL))
			;
	}
	book_close(&book);
}

/* ---- isolation ---- */

static void
isolate(struct book *book, uint64_t pfn, uint64_t nr_pages)
{
	CHECK_OK(mhp__hotplug_lock(book->m));
	mhp__pages_isolate(book->m, pfn, nr_pages);
	mhp__hotplug_unlock(book->m);
}

static void
open_again(struct book *book, uint64_t pfn, uint64_t nr_pages)
{
	CHECK_OK(mhp__hotplug_lock(book->m));
	mhp__pages_open(book->m, pfn, nr_pages);
	mhp__hotplug_unlock(book->m);
}

TEST(pages_isolate__free_and_cached_frames__never_handed_out) /* R29 */
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 2, 0, MHP_ZONE_NORMAL, 0);
	uint64_t size = pageblock_pages(&book), first = book.pool.block_pages - 2 * size;
	CHECK(book_alloc(&book, book.fixed, 0, 0, NULL)); /* so that caches hold something */
	for (unsigned order = 1; order <= book.geo.pageblock_order; order++)
		CHECK(book_alloc(&book, book.fixed, order, 0, NULL));
	book_free_all(&book);
	isolate(&book, first + 1, size); /* in part two pageblocks */
	CHECK(mhp_frame_peek(book.m, first).isolated);
	CHECK(mhp_frame_peek(book.m, first + 2 * size - 1).isolated);
	CHECK(!mhp_frame_peek(book.m, first - 1).isolated);
	CHECK(!mhp_frame_peek(book.m, first + 2 * size).isolated);
	for (unsigned order = 0; order <= book.geo.pageblock_order; order++) {
		while (book_alloc(&book, book.fixed, order, 0, NULL))
			;
		for (uint64_t pfn = first; pfn < first + 2 * size; pfn++)
			CHECK_EQ(book.taken[pfn], 0);
		if (order == 0)
			CHECK_EQ(book.nr_taken, book_total(&book) - 2 * size);
		book_free_all(&book);
	}
	open_again(&book, first + 1, size);
	while (book_alloc(&book, book.fixed, 0, 0, NULL))
		;
	CHECK_EQ(book.nr_taken, book_total(&book));
	book_check(&book);
	book_close(&book);
}

TEST(pages_isolate__pages_freed_meanwhile__stay_in_the_bitmaps) /* R29 */
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	while (book_alloc(&book, book.fixed, 0, 0, NULL))
		;
	uint64_t size = pageblock_pages(&book), first = book.pool.block_pages - size;
	isolate(&book, first, size);
	for (uint64_t i = 0; i < book.nr_heads;) {
		if (book.heads[i] >= first)
			book_free(&book, i);
		else
			i++;
	}
	CHECK_EQ(mhp__pages_nr_free(book.m, first, size), size);
	CHECK(!book_alloc(&book, book.fixed, 0, 0, NULL));
	struct mhp__walk walk;
	mhp__walk_begin(&walk, first, size);
	CHECK(mhp__walk_next(book.m, &walk) == NULL);
	open_again(&book, first, size);
	CHECK(book_alloc(&book, book.fixed, book.geo.pageblock_order, 0, NULL));
	book_check(&book);
	book_close(&book);
}

TEST(walk__a_range__its_pages_in_order_and_nothing_else)
{
	struct book book;
	book_shape(&book, "small");
	book_plug(&book, 0, 3, 0, MHP_ZONE_NORMAL, 0);
	for (unsigned i = 0; i < 60; i++) {
		unsigned order = (unsigned)test_random(&book.random) %
				 (book.geo.pageblock_order + 1U);
		CHECK(book_alloc(&book, book.fixed, order, 0, NULL));
	}
	for (unsigned i = 0; i < 30; i++)
		book_free(&book, test_random(&book.random) % book.nr_heads);
	mhp_drain_caches(book.m);
	uint64_t nr = 0, last = 0;
	const struct mhp__chunk *chunk;
	struct mhp__walk walk;
	mhp__walk_begin(&walk, 0, book.nr_pfns);
	while ((chunk = mhp__walk_next(book.m, &walk)) != NULL) {
		CHECK_EQ(chunk->owner, book.fixed);
		CHECK_EQ(chunk->order, book.order_of[chunk->pfn]);
		CHECK_EQ(chunk->cookie, mhp_frame_peek(book.m, chunk->pfn).cookie);
		CHECK(nr == 0 || chunk->pfn > last);
		last = chunk->pfn;
		nr++;
		if (test_random(&book.random) % 4 == 0)
			mhp__walk_refresh(&walk);
	}
	CHECK_EQ(nr, book.nr_heads);
	CHECK(mhp__walk_next(book.m, &walk) == NULL);
	/* Any part of it: free frames are counted one by one. */
	for (unsigned i = 0; i < 200; i++) {
		uint64_t from = test_random(&book.random) % (3 * book.pool.block_pages), want = 0;
		uint64_t len = test_random(&book.random) % (3 * book.pool.block_pages - from) + 1;
		for (uint64_t pfn = from; pfn < from + len; pfn++)
			want += mhp_frame_peek(book.m, pfn).state == MHP_FRAME_FREE;
		CHECK_EQ(mhp__pages_nr_free(book.m, from, len), want);
	}
	book_close(&book);
}

/* ---- nodes and kinds of zone ---- */

static unsigned
block_of(const struct book *book, uint64_t pfn)
{
	return (unsigned)(pfn >> book->geo.block_order);
}

TEST(page_alloc__two_nodes__own_node_first_then_the_other)
{
	struct book book;
	uint64_t pfn;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	book_plug(&book, 1, 1, 1, MHP_ZONE_NORMAL, 0);
	uint64_t each = book_usable(&book, 0);
	for (uint64_t i = 0; i < 2 * each; i++) {
		CHECK(book_alloc(&book, book.fixed, 0, 1, &pfn));
		CHECK_EQ(block_of(&book, pfn), i < each ? 1 : 0);
	}
	CHECK(!book_alloc(&book, book.fixed, 0, 1, NULL));
	book_free_all(&book);
	/* This node and no other. */
	struct mhp_page_req req = request(book.fixed, 0, 0);
	req.flags = MHP_PAGE_THIS_NODE;
	for (uint64_t i = 0; i < each; i++) {
		CHECK_OK(mhp_page_alloc(book.m, req, &pfn));
		CHECK_EQ(block_of(&book, pfn), 0);
		book_note(&book, pfn, 0);
	}
	CHECK_RET(mhp_page_alloc(book.m, req, &pfn), MHP_ENOMEM);
	req.order = 1;
	CHECK_RET(mhp_pages_alloc_contig(book.m, req, 1, &pfn), MHP_ENOMEM);
	book_free_all(&book);
	/* Wherever the CPU stands. */
	CHECK_OK(mhp_set_cpu_node(book.m, 0, 0));
	CHECK_OK(mhp_set_cpu_node(book.m, 1, 1));
	for (unsigned i = 0; i < 100; i++) {
		mhp_sim_cpu = i & 1;
		CHECK(book_alloc(&book, book.fixed, 0, MHP_NODE_ANY, &pfn));
		CHECK_EQ(block_of(&book, pfn), i & 1);
	}
	book_check(&book);
	book_close(&book);
}

TEST(page_alloc__movable_and_not__movable_zone_is_for_movable_pages)
{
	struct book book;
	uint64_t pfn;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	book_plug(&book, 1, 1, 0, MHP_ZONE_MOVABLE, 0);
	uint64_t each = book_usable(&book, 0);
	for (uint64_t i = 0; i < each; i++) {
		CHECK(book_alloc(&book, book.fixed, 0, 0, &pfn));
		CHECK_EQ(block_of(&book, pfn), 0);
	}
	for (unsigned order = 0; order <= book.geo.pageblock_order; order++)
		CHECK(!book_alloc(&book, book.fixed, order, 0, NULL));
	CHECK_RET(mhp_pages_alloc_contig(book.m, request(book.fixed, 0, 0), 1, &pfn), MHP_ENOMEM);
	book_free_all(&book);
	for (uint64_t i = 0; i < 2 * each; i++) {
		CHECK(book_alloc(&book, book.movable, 0, 0, &pfn));
		CHECK_EQ(block_of(&book, pfn), i < each ? 1 : 0);
	}
	book_close(&book);
}

/* ---- split, cookies ---- */

TEST(page_split__each_order__frames_are_freed_one_by_one)
{
	struct book book;
	uint64_t pfn;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	for (unsigned order = 0; order <= book.geo.pageblock_order; order++) {
		CHECK(book_alloc(&book, book.fixed, order, 0, &pfn));
		uint64_t cookie = mhp_frame_peek(book.m, pfn).cookie;
		CHECK_OK(mhp_page_split(book.m, pfn, 0, NULL));
		book_forget(&book, 0);
		for (uint64_t i = 0; i < UINT64_C(1) << order; i++) {
			struct mhp_frame frame = mhp_frame_peek(book.m, pfn + i);
			CHECK_EQ((int)frame.state, MHP_FRAME_USED);
			CHECK_EQ(frame.owner, book.fixed);
			CHECK_EQ(frame.order, 0);
			CHECK_EQ(frame.cookie, cookie);
			book_note(&book, pfn + i, 0);
		}
		book_check(&book);
		while (book.nr_heads > 0) {
			book_free(&book, test_random(&book.random) % book.nr_heads);
			mhp_drain_caches(book.m);
			test_pool_check(&book.pool);
		}
		/* They have merged again. */
		CHECK_EQ(nr_whole_pageblocks(&book), book_room(&book, book.geo.pageblock_order));
		while (book_alloc(&book, book.fixed, book.geo.pageblock_order, 0, NULL))
			;
		CHECK_EQ(book.nr_heads, book_room(&book, book.geo.pageblock_order));
		book_free_all(&book);
	}
	book_close(&book);
}

TEST(page_set_cookie__an_allocated_page__walkers_see_it)
{
	struct book book;
	uint64_t pfn;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	CHECK(book_alloc(&book, book.fixed, 2, 0, &pfn));
	for (unsigned i = 0; i < MHP_COOKIE_BITS; i++) {
		CHECK_OK(mhp_page_set_cookie(book.m, pfn, UINT64_C(1) << i));
		CHECK_EQ(mhp_frame_peek(book.m, pfn).cookie, UINT64_C(1) << i);
		test_pool_check(&book.pool);
	}
	book_close(&book);
}

TEST(page_cookie__more_bits_than_there_are__typed_error_and_nothing_changed) /* R4 R17 */
{
	struct mhp_page_req req;
	struct book book;
	uint64_t pfn, other, too_large = MHP_COOKIE_MAX + 1U;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	CHECK(book_alloc(&book, book.fixed, 2, 0, &pfn));
	CHECK_OK(mhp_page_set_cookie(book.m, pfn, MHP_COOKIE_MAX));
	uint64_t digest = mhp_digest(book.m);
	CHECK_RET(mhp_page_set_cookie(book.m, pfn, too_large), MHP_EOVERFLOW);
	CHECK_RET(mhp_page_split(book.m, pfn, 0, &too_large), MHP_EOVERFLOW);
	req = request(book.fixed, 0, 0);
	req.cookie = too_large;
	CHECK_RET(mhp_page_alloc(book.m, req, &other), MHP_EOVERFLOW);
	CHECK_RET(mhp_pages_alloc_contig(book.m, req, 3, &other), MHP_EOVERFLOW);
	CHECK_EQ(mhp_digest(book.m), digest);
	CHECK_EQ(mhp_frame_peek(book.m, pfn).cookie, MHP_COOKIE_MAX);
	book_close(&book);
}

/* ---- long ranges ---- */

static bool
book_alloc_contig(struct book *book, unsigned align_order, uint64_t nr_pages, uint64_t *ret_pfn)
{
	struct mhp_page_req req = request(book->fixed, align_order, MHP_NODE_ANY);
	uint64_t pfn;
	req.cookie = test_random(&book->random) & MHP_COOKIE_MAX;
	int error = mhp_pages_alloc_contig(book->m, req, nr_pages, &pfn);
	if (error == MHP_ENOMEM)
		return false;
	CHECK_OK(error);
	CHECK_EQ(pfn & ((UINT64_C(1) << align_order) - 1), 0);
	*ret_pfn = pfn;
	for (uint64_t at = pfn; at < pfn + nr_pages;) {
		struct mhp_frame frame = mhp_frame_peek(book->m, at);
		CHECK_EQ((int)frame.state, MHP_FRAME_USED);
		CHECK_EQ(frame.owner, book->fixed);
		CHECK_EQ(frame.cookie, req.cookie);
		book_note(book, at, frame.order);
		at += UINT64_C(1) << frame.order;
		CHECK_CMP(at, <=, pfn + nr_pages);
	}
	return true;
}

static void
book_forget_range(struct book *book, uint64_t pfn, uint64_t nr_pages)
{
	for (uint64_t i = 0; i < book->nr_heads;) {
		if (book->heads[i] >= pfn && book->heads[i] < pfn + nr_pages)
			book_forget(book, i);
		else
			i++;
	}
}

TEST(alloc_contig__lengths_and_alignments__found_and_cut_at_natural_alignment)
{
	struct book book;
	uint64_t pfn;
	book_shape(&book, "small");
	book_plug(&book, 0, 4, 0, MHP_ZONE_NORMAL, 0);
	for (unsigned align = 0; align < book.geo.block_order; align++) {
		for (uint64_t nr = 1; nr <= book_usable(&book, 0); nr += nr / 5 + 1) {
			test_at("%" PRIu64 " pages, alignment %u", nr, align);
			/* The reserve is in the way of the first page of every block. */
			uint64_t start = book.pool.block_pages - book_usable(&book, 0);
			start = (start + (UINT64_C(1) << align) - 1) >> align << align;
			bool fits = start + nr <= book.pool.block_pages;
			CHECK_EQ(book_alloc_contig(&book, align, nr, &pfn), fits);
			if (!fits)
				break;
			CHECK_OK(mhp_pages_free_contig(book.m, pfn, nr));
			book_forget_range(&book, pfn, nr);
			CHECK_EQ(zones_free(&book), book_total(&book));
		}
	}
	book_check(&book);
	book_close(&book);
}

TEST(alloc_contig__blocks_without_reserve__runs_cross_blocks)
{
	struct test_pool_opts opts = { .shape = "small", .meta_bytes = 64 << 20 };
	struct book book;
	uint64_t pfn;
	book_open(&book, &opts);
	book_plug(&book, 1, 6, 0, MHP_ZONE_NORMAL, MHP_ADD_BOOT);
	uint64_t block = book.pool.block_pages;
	CHECK(!book_alloc_contig(&book, 0, 6 * block + 1, &pfn));
	CHECK(book_alloc_contig(&book, 0, 6 * block, &pfn));
	CHECK_EQ(pfn, block);
	CHECK(!book_alloc_contig(&book, 0, 1, &pfn));
	book_check(&book);
	CHECK_OK(mhp_pages_free_contig(book.m, block, 6 * block));
	book_forget_range(&book, block, 6 * block);
	mhp_drain_caches(book.m);
	/* A page in the middle: what is before it is too short, and is given back. */
	CHECK(book_alloc_contig(&book, 0, 3 * block - 1, &pfn));
	CHECK(book_alloc_contig(&book, 0, 1, &pfn));
	CHECK_EQ(pfn, 4 * block - 1);
	CHECK_OK(mhp_pages_free_contig(book.m, block, 3 * block - 1));
	book_forget_range(&book, block, 3 * block - 1);
	CHECK(book_alloc_contig(&book, 0, 3 * block, &pfn));
	CHECK_EQ(pfn, 4 * block);
	CHECK(!book_alloc_contig(&book, 0, 3 * block, &pfn));
	/* The largest alignment there is. */
	CHECK(book_alloc_contig(&book, book.geo.block_order, block + 3, &pfn));
	CHECK_EQ(pfn, block);
	book_check(&book);
	book_close(&book);
}

TEST(alloc_within__a_range_of_frames__all_lie_in_it)
{
	struct test_pool_opts opts = { .shape = "small", .meta_bytes = 64 << 20 };
	struct book book;
	uint64_t pfn;
	book_open(&book, &opts);
	book_plug(&book, 1, 4, 0, MHP_ZONE_NORMAL, MHP_ADD_BOOT);
	uint64_t block = book.pool.block_pages, start = 3 * block + 5;
	struct mhp_page_req req = request(book.fixed, 0, MHP_NODE_ANY);
	/* One certain frame, which others below it would do for anywhere else. */
	CHECK_OK(mhp_pages_alloc_within(book.m, req, 1, start, start + 1, &pfn));
	CHECK_EQ(pfn, start);
	CHECK_RET(mhp_pages_alloc_within(book.m, req, 1, start, start + 1, &pfn), MHP_ENOMEM);
	CHECK_RET(mhp_pages_alloc_within(book.m, req, 5, start, start + 5, &pfn), MHP_ENOMEM);
	CHECK_OK(mhp_pages_alloc_within(book.m, req, 5, start, start + 6, &pfn));
	CHECK_EQ(pfn, start + 1);
	/* In a cache: found after a drain. Across blocks. */
	CHECK_OK(mhp_page_free(book.m, start));
	CHECK_OK(mhp_pages_alloc_within(book.m, req, start - 2 * block + 1, 2 * block, start + 1,
					&pfn));
	CHECK_EQ(pfn, 2 * block);
	/* Aligned; no block; nothing. */
	req.order = 3;
	CHECK_OK(mhp_pages_alloc_within(book.m, req, 2, start + 6, start + 14, &pfn));
	CHECK_EQ(pfn, start + 11);
	CHECK_RET(mhp_pages_alloc_within(book.m, req, 1, 0, block, &pfn), MHP_ENOMEM);
	CHECK_RET(mhp_pages_alloc_within(book.m, req, 1, block, block, &pfn), MHP_ENOMEM);
	CHECK_OK(mhp_pages_free_contig(book.m, 2 * block, start + 6 - 2 * block));
	CHECK_OK(mhp_pages_free_contig(book.m, start + 11, 2));
	CHECK_EQ(zones_free(&book), book_total(&book));
	book_close(&book);
}

/* Whoever takes and gives a range in turn uses the same frames, and does not wander through memory
 * that nobody has touched. */
TEST(free_contig__the_last_range__is_taken_again)
{
	struct book book;
	uint64_t first, pfn;
	book_shape(&book, "small");
	book_plug(&book, 0, 4, 0, MHP_ZONE_NORMAL, 0);
	struct mhp_page_req req = request(book.fixed, 0, MHP_NODE_ANY);
	CHECK_OK(mhp_pages_alloc_contig(book.m, req, 9, &first));
	CHECK_OK(mhp_pages_free_contig(book.m, first, 9));
	mhp_drain_caches(book.m);
	for (unsigned i = 0; i < 100; i++) {
		CHECK_OK(mhp_pages_alloc_contig(book.m, req, 9, &pfn));
		CHECK_EQ(pfn, first);
		CHECK_OK(mhp_pages_free_contig(book.m, pfn, 9));
		mhp_drain_caches(book.m);
	}
	book_close(&book);
}

TEST(alloc_contig__frames_in_caches__found_after_a_drain)
{
	struct book book;
	uint64_t pfn;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	for (unsigned order = 0; order <= book.geo.pageblock_order; order++) {
		mhp_sim_cpu = order & 1;
		CHECK(book_alloc(&book, book.fixed, order, 0, NULL));
	}
	book_free_all(&book);
	CHECK(book_alloc_contig(&book, 0, book_total(&book), &pfn));
	book_check(&book);
	book_close(&book);
}

TEST(free_contig__a_frame_that_is_not_allocated__nothing_is_freed)
{
	struct book book;
	uint64_t pfn, big;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	CHECK(book_alloc_contig(&book, 4, 40, &pfn));
	CHECK(book_alloc(&book, book.fixed, 5, 0, &big));
	uint64_t digest = mhp_digest(book.m);
	CHECK_RET(mhp_pages_free_contig(book.m, pfn, 41), MHP_EINVAL);
	CHECK_RET(mhp_pages_free_contig(book.m, pfn - 1, 41), MHP_EINVAL);
	CHECK_RET(mhp_pages_free_contig(book.m, pfn + 1, 39), MHP_EINVAL); /* a tail */
	CHECK_RET(mhp_pages_free_contig(book.m, big, 31), MHP_EINVAL);     /* a part of a page */
	CHECK_RET(mhp_pages_free_contig(book.m, pfn, 0), MHP_EINVAL);
	CHECK_RET(mhp_pages_free_contig(book.m, pfn, UINT64_MAX), MHP_EINVAL);
	CHECK_RET(mhp_pages_free_contig(book.m, book.nr_pfns, 1), MHP_EINVAL);
	CHECK_RET(mhp_pages_free_contig(book.m, UINT64_MAX, 2), MHP_EINVAL);
	CHECK_EQ(mhp_digest(book.m), digest);
	CHECK_OK(mhp_pages_free_contig(book.m, big, 32));
	CHECK_OK(mhp_pages_free_contig(book.m, pfn, 40));
	book.nr_heads = 0;
	book_close(&book);
}

/* ---- at random ---- */

static void
random_step(struct book *book)
{
	uint64_t pfn, nr;
	unsigned order = (unsigned)test_random(&book->random) % (book->geo.pageblock_order + 1U);
	uint16_t owner = test_random(&book->random) & 1 ? book->fixed : book->movable;
	uint64_t at = book->nr_heads > 0 ? test_random(&book->random) % book->nr_heads : 0;

	mhp_sim_cpu = (unsigned)test_random(&book->random) % 3; /* one more than there are */
	switch (test_random(&book->random) % 16) {
	case 0:
		mhp_drain_caches(book->m);
		return;
	case 1:
		nr = test_random(&book->random) % (2 * pageblock_pages(book)) + 1;
		(void)book_alloc_contig(book, order, nr, &pfn);
		return;
	case 2:
		if (book->nr_heads == 0)
			return;
		pfn = book->heads[at];
		nr = UINT64_C(1) << book->order_of[pfn];
		CHECK_OK(mhp_page_split(book->m, pfn, 0, NULL));
		book_forget(book, at);
		for (uint64_t i = 0; i < nr; i++)
			book_note(book, pfn + i, 0);
		return;
	case 3:
		pfn = test_random(&book->random) % book->nr_pfns;
		if (book->order_of[pfn] == NOBODYS)
			CHECK_RET(mhp_page_free(book->m, pfn), MHP_EINVAL);
		return;
	case 4: case 5: case 6: case 7: case 8: case 9:
		if (test_random(&book->random) % 4 != 0)
			order = 0;
		(void)book_alloc(book, owner, order, MHP_NODE_ANY, NULL);
		return;
	default:
		if (book->nr_heads > 0)
			book_free(book, at);
		return;
	}
}

static void
random_walk(const char *shape, unsigned plug, uint64_t nr_steps)
{
	struct test_pool_opts opts = { .shape = shape, .fill = MHP_SIM_GARBAGE };
	struct book book;
	if (!test_shape_works(shape))
		return;
	book_open(&book, &opts);
	book_plug(&book, 0, plug, 0, MHP_ZONE_NORMAL, 0);
	book_plug(&book, plug, 1, 1, MHP_ZONE_MOVABLE, 0);
	for (uint64_t step = 0; step < nr_steps; step++) {
		test_at("%s, step %" PRIu64, shape, step);
		random_step(&book);
		if (step % 512 == 0)
			book_check(&book);
		if (step % 4096 == 0)
			book_free_all(&book); /* from time to time from the start */
	}
	book_check(&book);
	book_close(&book);
}

TEST(pages__random_calls__agree_with_a_map_of_bytes) /* R1 R18 R19 R20 */
{
	uint64_t steps = test_ops(200000);
	random_walk("tiny8", 4, steps / 4);
	random_walk("small", 6, steps / 2);
	random_walk("k16", 1, steps / 4);
}

TEST(pages__same_calls__same_pages) /* R47 */
{
	struct test_pool_opts opts[2] = { { .shape = "small" },
					  { .shape = "small", .fill = MHP_SIM_GARBAGE } };
	struct book book[2];
	for (unsigned i = 0; i < 2; i++) {
		book_open(&book[i], &opts[i]);
		book_plug(&book[i], 0, 8, 0, MHP_ZONE_NORMAL, 0);
		for (uint64_t step = 0; step < test_ops(20000); step++)
			random_step(&book[i]);
	}
	CHECK_EQ(book[0].nr_heads, book[1].nr_heads);
	CHECK_EQ(mhp_digest(book[0].m), mhp_digest(book[1].m));
	for (uint64_t i = 0; i < book[0].nr_heads; i++)
		CHECK_EQ(book[0].heads[i], book[1].heads[i]);
	book_close(&book[0]);
	book_close(&book[1]);
}

/* ---- threads ---- */

#define THREADS 4
#define HELD_MAX 400

struct crowd {
	struct book *book;
	_Atomic uint8_t *owned;        /* one a frame */
	_Atomic uint64_t quiet;        /* round << 32 | pageblock that is isolated + 1; 0: none */
	_Atomic bool stop;
	uint64_t nr_ops;
};

struct worker {
	struct crowd *crowd;
	unsigned number;
	uint64_t random;
	unsigned nr_held;
	struct {
		uint64_t pfn;
		unsigned order;
	} held[HELD_MAX];
};

static void
worker_alloc(struct worker *worker)
{
	struct crowd *crowd = worker->crowd;
	struct book *book = crowd->book;
	unsigned order = (unsigned)test_random(&worker->random) % 64;
	uint64_t quiet = atomic_load(&crowd->quiet), pfn;

	order = order < 48 ? 0 : order % (book->geo.pageblock_order + 1U);
	if (mhp_page_alloc(book->m, request(book->fixed, order, MHP_NODE_ANY), &pfn) != 0)
		return;
	/* Isolated before we asked, and still the same time. */
	if (pfn >> book->geo.pageblock_order == (uint32_t)quiet - 1)
		CHECK_NE(atomic_load(&crowd->quiet), quiet);
	for (uint64_t i = 0; i < UINT64_C(1) << order; i++)
		CHECK_EQ(atomic_exchange(&crowd->owned[pfn + i], 1), 0);
	worker->held[worker->nr_held].pfn = pfn;
	worker->held[worker->nr_held++].order = order;
}

static void
worker_free(struct worker *worker)
{
	unsigned at = (unsigned)(test_random(&worker->random) % worker->nr_held);
	uint64_t pfn = worker->held[at].pfn;

	for (uint64_t i = 0; i < UINT64_C(1) << worker->held[at].order; i++)
		CHECK_EQ(atomic_exchange(&worker->crowd->owned[pfn + i], 0), 1);
	CHECK_OK(mhp_page_free(worker->crowd->book->m, pfn));
	worker->held[at] = worker->held[--worker->nr_held];
}

static void *
worker_run(void *ctx)
{
	struct worker *worker = ctx;

	for (uint64_t op = 0; op < worker->crowd->nr_ops; op++) {
		if (op % 64 == 0) /* as if the scheduler moved us */
			mhp_sim_cpu = (unsigned)(test_random(&worker->random) % 2);
		bool grow = test_random(&worker->random) % 2 != 0;
		if (worker->nr_held < HELD_MAX && (grow || worker->nr_held == 0))
			worker_alloc(worker);
		else
			worker_free(worker);
	}
	while (worker->nr_held > 0)
		worker_free(worker);
	return NULL;
}

static void
crowd_run(struct crowd *crowd, struct worker *workers, pthread_t *threads)
{
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].crowd = crowd;
		workers[i].number = i;
		workers[i].nr_held = 0;
		workers[i].random = test_seed() + i;
		CHECK_EQ(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
	}
}

TEST(pages__threads_isolating_and_draining__no_frame_twice_none_isolated) /* R29 */
{
	static struct worker workers[THREADS];
	struct book book;
	pthread_t threads[THREADS];
	book_shape(&book, "small");
	book_plug(&book, 0, 3, 0, MHP_ZONE_NORMAL, 0);
	struct crowd crowd = { .book = &book, .nr_ops = test_ops(40000) };
	crowd.owned = calloc(book.nr_pfns, sizeof(crowd.owned[0]));
	CHECK(crowd.owned != NULL);
	crowd_run(&crowd, workers, threads);
	uint64_t size = pageblock_pages(&book), nr = 3 * book.pool.block_pages / size;
	for (unsigned i = 0; i < 200; i++) {
		uint64_t at = test_random(&book.random) % nr;
		if (mhp_frame_peek(book.m, at * size).state == MHP_FRAME_METADATA)
			continue;
		isolate(&book, at * size, size);
		mhp_drain_caches(book.m); /* until then caches may hand out what they hold */
		atomic_store(&crowd.quiet, (uint64_t)(i + 1) << 32 | (at + 1));
		uint64_t free = 0, now;
		for (unsigned look = 0; look < 50; look++, free = now) {
			now = mhp__pages_nr_free(book.m, at * size, size);
			CHECK_CMP(now, >=, free); /* they only ever come back */
			if (look % 16 == 15)
				mhp_drain_caches(book.m);
		}
		atomic_store(&crowd.quiet, 0);
		open_again(&book, at * size, size);
		(void)mhp_check(book.m, false, NULL, NULL);
	}
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	book_check(&book);
	CHECK_EQ(zones_free(&book), book_total(&book));
	free((void *)crowd.owned);
	book_close(&book);
}

/* ---- failure needs a stronger proof than success ---- */

struct asker {
	struct book *book;
	uint64_t pfn;
	_Atomic int error;             /* 2: not begun, 1: no answer yet */
	_Atomic bool go;               /* it may begin */
};

static void *
asker_run(void *ctx)
{
	struct asker *asker = ctx;
	struct mhp_page_req req = request(asker->book->fixed, 0, MHP_NODE_ANY);

	while (!atomic_load(&asker->go))
		sched_yield();
	atomic_store(&asker->error, 1);
	atomic_store(&asker->error, mhp_page_alloc(asker->book->m, req, &asker->pfn));
	return NULL;
}

/* Somebody loses the CPU while he moves the only arena from one list to another: it is on neither.
 * Once the heads of lists were read without the zone's lock, and nothing free was found. */
TEST(page_alloc__the_arena_is_between_two_lists__waits_for_it)
{
	struct asker asker = { .error = 2 };
	struct book book;
	pthread_t thread;
	book_shape(&book, "small");
	book_plug(&book, 0, 1, 0, MHP_ZONE_NORMAL, 0);
	struct mhp__zone *zone = mhp__zone(book.m, 0, MHP_ZONE_NORMAL);
	uint32_t lists = zone->lists;
	asker.book = &book;
	/* Before the lock: where there are no threads the case ends here, and must hold none. */
	CHECK_EQ(pthread_create(&thread, NULL, asker_run, &asker), 0);
	mhp__spin_lock(&zone->lock, MHP_RANK_ZONE);
	zone->lists = 0;
	atomic_store(&asker.go, true);
	while (atomic_load(&asker.error) == 2)
		sched_yield();
	for (unsigned i = 0; i < 10000 && atomic_load(&asker.error) == 1; i++)
		sched_yield();
	zone->lists = lists;
	mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_OK(atomic_load(&asker.error));
	book_note(&book, asker.pfn, 0);
	book_check(&book);
	book_close(&book);
}

struct stretch {
	struct book *book;
	uint64_t random, nr_got;
};

/* Take and free the first frames of all blocks in turn. */
static void
pick_starts(struct stretch *stretch)
{
	struct book *book = stretch->book;
	struct mhp_page_req req = request(book->fixed, book->geo.block_order, MHP_NODE_ANY);
	uint64_t pfns[6], nr = 0;

	while (nr < 6 && mhp_pages_alloc_contig(book->m, req, 1, &pfns[nr]) == 0)
		nr++;
	for (uint64_t i = 0; i < nr; i++)
		CHECK_OK(mhp_page_free(book->m, pfns[i]));
	mhp_drain_caches(book->m);
}

/* Long ranges come and go; between a look and the taking, the others take something. */
static void *
stretch_run(void *ctx)
{
	struct stretch *stretch = ctx;
	struct mhp *m = stretch->book->m;
	struct mhp_page_req req = request(stretch->book->fixed, 0, MHP_NODE_ANY);
	uint64_t block = stretch->book->pool.block_pages, nr, pfn;

	mhp_sim_cpu = (unsigned)(stretch->random & 1);
	for (uint64_t op = 0; op < test_ops(10000); op++) {
		if (test_random(&stretch->random) % 2 != 0) {
			pick_starts(stretch);
			continue;
		}
		nr = test_random(&stretch->random) % block + block;
		if (mhp_pages_alloc_contig(m, req, nr, &pfn) != 0)
			continue;
		stretch->nr_got++;
		CHECK_OK(mhp_pages_free_contig(m, pfn, nr));
	}
	return NULL;
}

TEST(alloc_contig__others_take_part_of_the_run__what_was_got_is_given_back)
{
	/* Small pages, as debug builds write to all of each page that is freed. */
	struct mhp_geometry geo = test_geometry("small");
	struct test_pool_opts opts = { .geometry = &geo, .meta_bytes = 64 << 20 };
	struct stretch stretches[THREADS];
	pthread_t threads[THREADS];
	struct book book;
	geo.page_shift = MHP_VMEMMAP ? 12 : 6;
	book_open(&book, &opts);
	book_plug(&book, 0, 6, 0, MHP_ZONE_NORMAL, MHP_ADD_BOOT);
	for (unsigned i = 0; i < THREADS; i++) {
		stretches[i] = (struct stretch){ &book, test_seed() + i, 0 };
		CHECK_EQ(pthread_create(&threads[i], NULL, stretch_run, &stretches[i]), 0);
	}
	uint64_t nr_got = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
		nr_got += stretches[i].nr_got;
	}
	CHECK_CMP(nr_got, >, 0);
	book_check(&book);
	CHECK_EQ(zones_free(&book), book_total(&book));
	book_close(&book);
}
