/* SPDX-License-Identifier: MIT */
/*
 * mover.c - the table of a movable owner, its pattern, and its four functions.
 *
 * A frame carries a word at its start and one at its end, made from the seed of its page and its
 * place in it; the frame itself is copied whole. Cookies are slot + 1 with a tag above, so that a
 * cookie of another owner, or of another time, is not taken for one of ours. The way back is kept
 * apart from the engine's descriptors: what migrate is told is checked against it.
 */
#include "mover.h"

#include <stdlib.h>

#define COOKIE_TAG (UINT64_C(0xc0de) << 32)

static uint64_t
cookie_of(uint32_t slot)
{
	return COOKIE_TAG | (slot + 1U);
}

static uint64_t
max_pfn(const struct test_mover *mover)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mover->m);
	return (uint64_t)geo->nr_blocks << geo->block_order;
}

/* ---- contents ---- */

static uint64_t
word_of(const struct test_mover_page *page, uint64_t frame, unsigned end)
{
	return (page->seed + frame * 2 + end) * UINT64_C(0x9e3779b97f4a7c15);
}

static unsigned char *
frame_at(const struct test_mover *mover, uint64_t pfn)
{
	return mhp_pfn_to_virt(mover->m, pfn);
}

static void
write_page(const struct test_mover *mover, const struct test_mover_page *page)
{
	size_t last = (size_t)mover->pool->page_bytes - sizeof(uint64_t);
	for (uint64_t i = 0; !mover->no_contents && i < UINT64_C(1) << page->order; i++) {
		unsigned char *frame = frame_at(mover, page->pfn + i);
		uint64_t words[2] = { word_of(page, i, 0), word_of(page, i, 1) };
		memcpy(frame, &words[0], sizeof(words[0]));
		memcpy(frame + last, &words[1], sizeof(words[1]));
	}
}

static void
check_contents(const struct test_mover *mover, const struct test_mover_page *page)
{
	size_t last = (size_t)mover->pool->page_bytes - sizeof(uint64_t);
	for (uint64_t i = 0; !mover->no_contents && i < UINT64_C(1) << page->order; i++) {
		const unsigned char *frame = frame_at(mover, page->pfn + i);
		uint64_t words[2];
		memcpy(&words[0], frame, sizeof(words[0]));
		memcpy(&words[1], frame + last, sizeof(words[1]));
		if (words[0] != word_of(page, i, 0) || words[1] != word_of(page, i, 1))
			FAIL("frame %" PRIu64 " of the page at pfn %#" PRIx64 " has changed", i,
			     page->pfn);
	}
}

/* ---- the owner's functions ---- */

static struct test_mover_page *
page_at(struct test_mover *mover, uint64_t pfn)
{
	uint32_t slot = test_mover_at(mover, pfn);
	return slot == TEST_MOVER_NONE ? NULL : &mover->pages[slot];
}

/* The page that the engine speaks of; it must be one that we have. */
static struct test_mover_page *
named_page(struct test_mover *mover, const char *call, uint64_t pfn, unsigned order,
	   uint64_t cookie)
{
	struct test_mover_page *page = page_at(mover, pfn);
	if (page == NULL || page->order != order ||
	    cookie != cookie_of((uint32_t)(page - mover->pages)))
		FAIL("%s of pfn %#" PRIx64 ", order %u, cookie %#" PRIx64 ": not one of ours", call,
		     pfn, order, cookie);
	return page;
}

static int
mover_isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct test_mover *mover = ctx;
	struct test_mover_page *page = named_page(mover, "isolate", pfn, order, cookie);
	if (page->held)
		FAIL("isolate of pfn %#" PRIx64 ", which is isolated", pfn);
	if (mover->on_isolate != NULL)
		mover->on_isolate(mover->on_isolate_ctx);
	if (page->pinned)
		return MHP_EBUSY;
	mover->nr_isolated++;
	if (mover->isolate_error != 0 && mover->isolate_after > 0) {
		mover->isolate_after--;
	} else if (mover->isolate_error != 0 && mover->isolate_times > 0) {
		mover->isolate_times--;
		return mover->isolate_error;
	}
	page->held = true;
	return 0;
}

static void
mover_putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct test_mover *mover = ctx;
	struct test_mover_page *page = named_page(mover, "putback", pfn, order, cookie);
	if (!page->held)
		FAIL("putback of pfn %#" PRIx64 ", which is not isolated", pfn);
	page->held = false;
	mover->nr_putback++;
}

static void
move_page(struct test_mover *mover, struct test_mover_page *page, uint64_t dst_pfn)
{
	uint64_t nr_frames = UINT64_C(1) << page->order;
	if (!page->held)
		FAIL("migrate of pfn %#" PRIx64 ", which is not isolated", page->pfn);
	if (dst_pfn % nr_frames != 0)
		FAIL("migrate of an order-%u page to pfn %#" PRIx64, page->order, dst_pfn);
	if (!mover->no_contents)
		memcpy(frame_at(mover, dst_pfn), frame_at(mover, page->pfn),
		       (size_t)(nr_frames * mover->pool->page_bytes));
	mover->slot_of[page->pfn] = 0;
	mover->slot_of[dst_pfn] = (uint32_t)(page - mover->pages) + 1U;
	page->pfn = dst_pfn;
	page->held = false;
	mover->nr_frames_moved += nr_frames;
}

static void
move_run(struct test_mover *mover, const struct mhp_move *move)
{
	uint64_t offset = 0;
	while (offset < move->nr_pages) {
		struct test_mover_page *page = page_at(mover, move->src_pfn + offset);
		if (page == NULL)
			FAIL("migrate of pfn %#" PRIx64 ", no page of ours",
			     move->src_pfn + offset);
		uint64_t nr_frames = UINT64_C(1) << page->order;
		move_page(mover, page, move->dst_pfn + offset);
		offset += nr_frames;
	}
	if (offset != move->nr_pages)
		FAIL("migrate of a part of a page at pfn %#" PRIx64, move->src_pfn);
}

static int
mover_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct test_mover *mover = ctx;
	unsigned nr = nr_moves;
	int error = 0;
	mover->nr_migrated++;
	if (mover->on_migrate != NULL)
		mover->on_migrate(mover->on_migrate_ctx);
	if (mover->migrate_times > 0) {
		mover->migrate_times--;
		error = mover->migrate_error;
		nr = mover->migrate_runs < nr_moves ? mover->migrate_runs : nr_moves - 1;
	}
	for (unsigned i = 0; i < nr; i++)
		move_run(mover, &moves[i]);
	*ret_done = nr + mover->claims;
	return error;
}

static void
mover_describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	struct test_mover *mover = ctx;
	mover->nr_described++;
	snprintf(text, size, "test page %" PRIu64 " at pfn %" PRIu64, (cookie & UINT32_MAX) - 1,
		 pfn);
}

static const struct mhp_movable_ops mover_ops = {
	.isolate = mover_isolate,
	.migrate = mover_migrate,
	.putback = mover_putback,
	.describe = mover_describe,
};

/* ---- life ---- */

void
test_mover_open(struct test_mover *mover, struct test_pool *pool, uint32_t nr_slots)
{
	*mover = (struct test_mover){ .pool = pool, .m = pool->m, .nr_slots = nr_slots };
	mover->pages = calloc(nr_slots, sizeof(mover->pages[0]));
	mover->slot_of = calloc((size_t)max_pfn(mover), sizeof(mover->slot_of[0]));
	CHECK(mover->pages != NULL && mover->slot_of != NULL);
	mover->random = test_seed();
	CHECK_OK(mhp_owner_register(pool->m, "mover", &mover_ops, mover, &mover->owner));
}

void
test_mover_close(struct test_mover *mover)
{
	test_mover_free_all(mover);
	CHECK_OK(mhp_owner_unregister(mover->m, mover->owner));
	free(mover->pages);
	free(mover->slot_of);
	*mover = (struct test_mover){ 0 };
}

uint32_t
test_mover_alloc(struct test_mover *mover, unsigned order, unsigned node)
{
	uint32_t slot = mover->next;
	while (slot < mover->nr_slots && mover->pages[slot].live)
		slot++;
	CHECK(slot < mover->nr_slots);
	mover->next = slot;
	struct test_mover_page *page = &mover->pages[slot];
	struct mhp_page_req req = { .cookie = cookie_of(slot),
				    .owner = mover->owner,
				    .order = (uint8_t)order,
				    TEST_NEAR(node) };
	uint64_t pfn = MHP_PFN_NONE;
	int error = mhp_page_alloc(mover->m, req, &pfn);
	if (error == MHP_ENOMEM)
		return TEST_MOVER_NONE;
	CHECK_OK(error);
	CHECK_CMP(pfn, <, max_pfn(mover));
	CHECK_EQ(pfn % (UINT64_C(1) << order), 0U);
	CHECK_EQ(mover->slot_of[pfn], 0U);
	*page = (struct test_mover_page){ .pfn = pfn,
					  .seed = test_random(&mover->random),
					  .order = (uint8_t)order,
					  .live = true };
	mover->slot_of[pfn] = slot + 1U;
	mover->nr_live++;
	mover->nr_frames += UINT64_C(1) << order;
	write_page(mover, page);
	return slot;
}

void
test_mover_free(struct test_mover *mover, uint32_t slot)
{
	struct test_mover_page *page = &mover->pages[slot];
	CHECK(slot < mover->nr_slots && page->live);
	check_contents(mover, page);
	mover->slot_of[page->pfn] = 0;
	mover->nr_live--;
	mover->nr_frames -= UINT64_C(1) << page->order;
	page->live = false;
	if (slot < mover->next)
		mover->next = slot;
	CHECK_OK(mhp_page_free(mover->m, page->pfn));
}

void
test_mover_free_all(struct test_mover *mover)
{
	for (uint32_t slot = 0; mover->nr_live > 0; slot++)
		if (mover->pages[slot].live)
			test_mover_free(mover, slot);
}

void
test_mover_thin_out(struct test_mover *mover, unsigned percent)
{
	uint64_t nr = mover->nr_live, drop = nr * percent / 100;
	/* Selection sampling (Knuth, vol. 2, 3.4.2 S): all choices are equally likely. */
	for (uint32_t slot = 0; drop > 0; slot++) {
		if (!mover->pages[slot].live)
			continue;
		if (test_random(&mover->random) % nr-- < drop) {
			test_mover_free(mover, slot);
			drop--;
		}
	}
}

bool
test_mover_fill(struct test_mover *mover, uint64_t nr_frames, unsigned order_max, unsigned node)
{
	while (mover->nr_frames < nr_frames) {
		unsigned order = (unsigned)(test_random(&mover->random) % (order_max + 1));
		while (order > 0 && mover->nr_frames + (UINT64_C(1) << order) > nr_frames)
			order--;
		while (test_mover_alloc(mover, order, node) == TEST_MOVER_NONE)
			if (order-- == 0)
				return false;
	}
	return true;
}

/* ---- looking ---- */

uint32_t
test_mover_at(const struct test_mover *mover, uint64_t pfn)
{
	uint32_t slot1 = pfn < max_pfn(mover) ? mover->slot_of[pfn] : 0;
	return slot1 == 0 ? TEST_MOVER_NONE : slot1 - 1U;
}

static void
check_page(struct test_mover *mover, const struct test_mover_page *page)
{
	struct mhp_frame frame = mhp_frame_peek(mover->m, page->pfn);
	uint32_t slot = (uint32_t)(page - mover->pages);
	if (frame.state != MHP_FRAME_USED || frame.owner != mover->owner ||
	    frame.order != page->order || frame.cookie != cookie_of(slot))
		FAIL("pfn %#" PRIx64 " is in state %d, owner %u, order %u, cookie %#" PRIx64
		     ", not page %u of order %u",
		     page->pfn, (int)frame.state, frame.owner, frame.order, frame.cookie, slot,
		     page->order);
	if (page->held)
		FAIL("pfn %#" PRIx64 " is still isolated", page->pfn);
	check_contents(mover, page);
}

void
test_mover_check(struct test_mover *mover)
{
	uint32_t nr = 0;
	for (uint32_t slot = 0; nr < mover->nr_live; slot++) {
		if (!mover->pages[slot].live)
			continue;
		check_page(mover, &mover->pages[slot]);
		nr++;
	}
}

uint64_t
test_mover_in(const struct test_mover *mover, uint64_t start_pfn, uint64_t end_pfn,
	      uint64_t *ret_first)
{
	uint64_t nr = 0;
	*ret_first = MHP_PFN_NONE;
	for (uint64_t pfn = start_pfn; pfn < end_pfn; pfn++) {
		uint32_t slot = test_mover_at(mover, pfn);
		if (slot == TEST_MOVER_NONE)
			continue;
		if (nr == 0)
			*ret_first = pfn;
		nr += UINT64_C(1) << mover->pages[slot].order;
	}
	return nr;
}
