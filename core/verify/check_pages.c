/* SPDX-License-Identifier: MIT */
/*
 * check_pages.c - the verifier's look at arenas, pageblock bitmaps and descriptors.
 *
 * An arena is compared with its block first (INV 6): what zone it is in, how many of its frames are
 * not the allocator's, which bits exist. Then its counters against its bitmaps (INV 7, 8), and
 * every descriptor of a pageblock whose descriptors mean something against the frames that it
 * claims (INV 9 to 11). Frames that are taken and in no page are collected: the caches must hold
 * exactly those. With other threads about, descriptors of taken frames change under nobody's lock
 * and are left out, as are those of wholly free pageblocks, which may be memory that was never
 * touched.
 */
#include "base/bits.h"
#include "base/sum.h"
#include "memmap/memmap.h"
#include "pages/arena.h"
#include "pages/poison.h"
#include "pages/words.h"
#include "pages/zone.h"
#include "tables/owner.h"
#include "verify/verify.h"

/* A pageblock, taken apart. */
struct pageblock {
	uint64_t start, end;
	uint64_t managed;              /* first frame that is the allocator's; end: none is */
	const uint64_t *bitmap;        /* read when mixed */
	bool full, mixed, virgin;
};

static bool
is_taken(const struct pageblock *pb, uint64_t pfn)
{
	uint64_t at = pfn - pb->start;

	MHP_ASSERT_DEBUG(pfn >= pb->managed);
	MHP_ASSERT_DEBUG(pfn < pb->end);
	if (!pb->mixed)
		return pb->full;
	return (pb->bitmap[at / 64] >> at % 64 & 1) != 0;
}

static bool
is_clear(const struct mhp *m, uint64_t pfn)
{
	const struct mhp__page *page = mhp__pfn_to_page(m, pfn);

	return mhp__page_word(page) == 0;
}

void
mhp__check_clear(struct mhp__check *c, uint64_t start_pfn, uint64_t end_pfn)
{
	for (uint64_t pfn = start_pfn; pfn < end_pfn; pfn++)
		if (MHP_UNLIKELY(!is_clear(c->m, pfn)))
			(void)mhp__check_that(c, 9, "descriptor of a frame (pfn) that is no page's "
					      "first", pfn, false);
}

/* ---- pages ---- */

/* The order of the page that starts at pfn, or -1 when its descriptor makes no sense. */
static int
check_head(struct mhp__check *c, const struct pageblock *pb, uint64_t pfn)
{
	const struct mhp__page *page = mhp__pfn_to_page(c->m, pfn);
	uint64_t word = mhp__page_word(page);
	unsigned order = mhp__word_order(word), owner = mhp__word_owner(word);
	bool known = mhp__owner_known(c->m, owner) && (owner != MHP_OWNER_ROOM || c->inside);
	bool good = mhp__check_eq(c, 10, "parity of a descriptor (pfn)", pfn,
				  mhp__parity(word), 1);

	good &= mhp__check_that(c, 11, "owner of a page (pfn)", pfn, known);
	good &= mhp__check_that(c, 11, "order of a page (pfn)", pfn,
				order <= MHP_PAGEBLOCK_ORDER(c->m) &&
					(owner != MHP_OWNER_BAD || order == 0));
	if (!good)
		return -1;
	good = mhp__check_eq(c, 11, "alignment of a page (pfn)", pfn,
			     pfn & ((UINT64_C(1) << order) - 1), 0);
	good &= mhp__check_that(c, 8, "a page fills its pageblock (pfn), which has a bitmap", pfn,
				order < MHP_PAGEBLOCK_ORDER(c->m) || !pb->mixed);
	if (owner == MHP_OWNER_MEMMAP)
		c->nr_memmap += UINT64_C(1) << order;
	return good ? (int)order : -1;
}

/* A page, whose first frame is pfn; returns the frame after it. */
static uint64_t
check_page(struct mhp__check *c, const struct pageblock *pb, uint64_t pfn)
{
	int order = check_head(c, pb, pfn);
	uint64_t end = pfn + 1;

	MHP_ASSERT_DEBUG(order <= (int)MHP_PAGEBLOCK_ORDER(c->m));
	if (order < 0)
		return end; /* what it covers is unknown: its tails will be findings, too */
	end = pfn + (UINT64_C(1) << order);
	for (uint64_t frame = pfn; frame < end; frame++)
		if (MHP_UNLIKELY(!is_taken(pb, frame)))
			(void)mhp__check_that(c, 11, "a frame (pfn) of a page is free", frame,
					      false);
	mhp__check_clear(c, pfn + 1, end);
	return end;
}

/* All descriptors of a pageblock that is not virgin. */
static void
check_descriptors(struct mhp__check *c, struct mhp__zone_tally *tally, const struct pageblock *pb)
{
	uint64_t pfn = pb->managed;

	MHP_ASSERT_DEBUG(c->quiescent);
	MHP_ASSERT_DEBUG(!pb->virgin); /* nobody writes them, and they mean something */
	mhp__check_clear(c, pb->start, pfn);
	while (pfn < pb->end) {
		if (!is_clear(c->m, pfn)) {
			pfn = check_page(c, pb, pfn);
			continue;
		}
		if (is_taken(pb, pfn))
			mhp__frame_set_add(&tally->ownerless, pfn);
		pfn++;
	}
}

/* With others about: only descriptors of frames that are free, and held so by the arena's lock. */
static void
check_free_descriptors(struct mhp__check *c, const struct pageblock *pb)
{
	for (uint64_t pfn = pb->managed; pb->mixed && pfn < pb->end; pfn++)
		if (!is_taken(pb, pfn))
			mhp__check_clear(c, pfn, pfn + 1);
}

/* ---- pageblocks ---- */

/* Bits of word i that are frames of the allocator's, and bits that are frames at all. */
static void
word_masks(const struct mhp *m, const struct pageblock *pb, unsigned i, uint64_t *ret_managed,
	   uint64_t *ret_all)
{
	unsigned order = MHP_PAGEBLOCK_ORDER(m);

	MHP_ASSERT_DEBUG(i < 1U << m->pageblock_words_shift);
	uint64_t unmanaged = pb->managed - pb->start, first = (uint64_t)i * 64;

	*ret_all = order < 6 ? (UINT64_C(1) << (1U << order)) - 1 : UINT64_MAX;
	*ret_managed = *ret_all;
	if (unmanaged >= first + 64)
		*ret_managed = 0;
	else if (unmanaged > first)
		*ret_managed &= UINT64_MAX << (unmanaged - first);
}

/* A pageblock whose bitmap says it; returns its free frames. */
static uint64_t
check_bitmap(struct mhp__check *c, const struct pageblock *pb)
{
	unsigned nr_words = 1U << c->m->pageblock_words_shift;
	uint64_t nr_free = 0, nr_taken = 0;

	MHP_ASSERT_DEBUG(pb->mixed); /* else it is nobody's truth */
	for (unsigned i = 0; i < nr_words; i++) {
		uint64_t word = pb->bitmap[i], managed, all;

		word_masks(c->m, pb, i, &managed, &all);
		(void)mhp__check_eq(c, 8, "bits of a bitmap (pageblock's pfn) without a frame",
				    pb->start, word & ~all, 0);
		(void)mhp__check_eq(c, 8, "bits of a bitmap (pageblock's pfn) before the first "
				    "usable frame", pb->start, ~word & all & ~managed, 0);
		nr_taken += mhp__count_bits(word & managed);
		nr_free += mhp__count_bits(~word & managed);
	}
	(void)mhp__check_that(c, 8, "a wholly free pageblock (pfn) has a bitmap", pb->start,
			      nr_taken != 0);
	(void)mhp__check_eq(c, 7, "full bit of a pageblock (pfn) with a bitmap", pb->start,
			    pb->full, nr_free == 0);
	return nr_free;
}

/* A pageblock before the first usable frame: taken whole while the block is online. Whether its
 * descriptors mean something is for the block's record to say; if so, they are nobody's. */
static uint64_t
check_unmanaged_pageblock(struct mhp__check *c, const struct pageblock *pb)
{
	const struct mhp__block *slot = &c->m->blocks[mhp__pfn_block(c->m, pb->start)];

	(void)mhp__check_that(c, 7, "a pageblock (pfn) before the first usable frame is not taken "
			      "whole", pb->start, pb->full && !pb->mixed);
	(void)mhp__check_eq(c, 7, "virgin bit of a pageblock (pfn) before the first usable frame",
			    pb->start, pb->virgin, (slot->flags & MHP_BLOCK_ZEROED) == 0);
	if (c->quiescent && !pb->virgin)
		mhp__check_clear(c, pb->start, pb->end);
	return 0;
}

/* Returns the free frames of a pageblock. */
static uint64_t
check_pageblock(struct mhp__check *c, struct mhp__zone_tally *tally, const struct pageblock *pb)
{
	bool free = !pb->full && !pb->mixed;
	uint64_t nr_free = free ? pb->end - pb->managed : 0;

	MHP_ASSERT_DEBUG(pb->start <= pb->managed);
	MHP_ASSERT_DEBUG(pb->managed <= pb->end);
	if (pb->managed == pb->end)
		return check_unmanaged_pageblock(c, pb);
	(void)mhp__check_that(c, 7, "a virgin pageblock (pfn) is in use", pb->start,
			      free || !pb->virgin);
	if (pb->mixed)
		nr_free = check_bitmap(c, pb);
	if (!c->quiescent)
		check_free_descriptors(c, pb);
	else if (!pb->virgin)
		check_descriptors(c, tally, pb);
	return nr_free;
}

/* ---- arenas ---- */

static uint64_t
clamp(uint64_t n, uint64_t low, uint64_t high)
{
	MHP_ASSERT_DEBUG(low <= high);
	if (n < low)
		return low;
	return n < high ? n : high;
}

/* Does a cache of the zone refill from this arena? */
static bool
is_hinted(const struct mhp *m, unsigned zone_id, uint32_t index)
{
	const struct mhp_cache *caches = mhp__zone_caches(m, &m->zones[zone_id]);
	unsigned cpu = 0;

	while (cpu < m->geo.nr_cpus && caches[cpu].hint != index + 1)
		cpu++;
	return cpu < m->geo.nr_cpus;
}

/* Nobody else there. */
static bool
check_claim(struct mhp__check *c, const struct mhp__zone_tally *tally, uint32_t index)
{
	uint8_t claimed = c->m->arenas[index].claimed;
	bool good = mhp__check_that(c, 6, "claim of an arena", index, claimed <= 1);
	if (claimed != 0)
		good &= mhp__check_that(c, 7, "an arena is claimed for no cache", index,
					is_hinted(c->m, tally->id, index));
	return good;
}

/* Hold the arena against its block; true: its counters and bits may be used. */
static bool
check_shape(struct mhp__check *c, const struct mhp__zone_tally *tally, uint32_t index,
	    uint64_t usable_pfn)
{
	const struct mhp__arena *arena = &c->m->arenas[index];
	uint64_t start = mhp__arena_start(c->m, arena);
	uint64_t unmanaged =
		clamp(usable_pfn, start, start + mhp__arena_pages(c->m)) - start;
	uint64_t isolated = atomic_load_explicit(&arena->isolated, memory_order_relaxed);
	uint64_t virgin = atomic_load_explicit(&arena->virgin, memory_order_relaxed);
	uint64_t poisoned = atomic_load_explicit(&arena->poisoned, memory_order_relaxed);
	uint64_t bits = arena->full | arena->mixed | virgin | isolated;
	bool good = mhp__check_eq(c, 6, "zone of an arena", index, arena->zone_id1, tally->id + 1);

	good &= mhp__check_eq(c, 6, "unmanaged frames of an arena", index, arena->nr_unmanaged,
			      unmanaged);
	good &= mhp__check_eq(c, 6, "bits of pageblocks that an arena does not have", index,
			      bits & ~mhp__arena_mask(c->m), 0);
	good &= mhp__check_that(c, 6, "list of an arena", index, arena->list < MHP_LISTS);
	if (c->quiescent) /* else others change it, under the zone's lock */
		good &= check_claim(c, tally, index);
	good &= mhp__check_eq(c, 6, "poisoned pageblocks of an arena", index,
			      poisoned & ~(MHP_POISON ? mhp__arena_mask(c->m) : 0), 0);
	/* Those before the first usable frame came isolated, and nobody opens them. */
	if (!c->inside)
		good &= mhp__check_eq(c, 5, "isolated pageblocks of an arena", index, isolated,
				      (UINT64_C(1) << (unmanaged >> MHP_PAGEBLOCK_ORDER(c->m))) -
					      1);
	return good;
}

static struct pageblock
take_apart(const struct mhp *m, const struct mhp__arena *arena, unsigned i, uint64_t usable_pfn)
{
	struct pageblock pb;

	MHP_ASSERT_DEBUG(i < mhp__arena_pageblocks(m));
	pb.start = mhp__arena_start(m, arena) + ((uint64_t)i << MHP_PAGEBLOCK_ORDER(m));
	pb.end = pb.start + (UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m));
	pb.managed = clamp(usable_pfn, pb.start, pb.end);
	pb.bitmap = mhp__pfn_bitmap(m, pb.start);
	pb.full = (arena->full >> i & 1) != 0;
	pb.mixed = (arena->mixed >> i & 1) != 0;
	pb.virgin = (atomic_load_explicit(&arena->virgin, memory_order_relaxed) >> i & 1) != 0;
	return pb;
}

/* Arena lock held, or nobody else there. */
static void
check_arena(struct mhp__check *c, struct mhp__zone_tally *tally, uint32_t index,
	    uint64_t usable_pfn)
{
	const struct mhp__arena *arena = &c->m->arenas[index];
	uint64_t nr_free = 0;

	MHP_ASSERT_DEBUG(c->quiescent || mhp__rank_held(MHP_RANK_ARENA));
	if (!check_shape(c, tally, index, usable_pfn))
		return;
	for (unsigned i = 0; i < mhp__arena_pageblocks(c->m); i++) {
		struct pageblock pb = take_apart(c->m, arena, i, usable_pfn);

		nr_free += check_pageblock(c, tally, &pb);
	}
	(void)mhp__check_eq(c, 7, "free frames of an arena", index, arena->nr_free, nr_free);
	(void)mhp__check_eq(c, 7, "orders of the holes of an arena", index, arena->holes,
			    mhp__arena_holes(c->m, arena, MHP_ORDERS));
	(void)mhp__check_eq(c, 7, "list of an arena against its contents", index, arena->list,
			    mhp__arena_list(c->m, arena));
	tally->nr_free += nr_free;
	if (!c->quiescent)
		return;
	tally->nr_of_list[arena->list]++;
	if (arena->list == MHP_LIST_NONE)
		(void)mhp__check_eq(c, 12, "links of an arena that is on no list", index,
				    arena->next | arena->prev, 0);
}

/* Everything but the lock, which a late reader may hold. */
static bool
is_blank(const struct mhp__arena *arena)
{
	uint64_t bits = arena->full | arena->mixed |
			atomic_load_explicit(&arena->virgin, memory_order_relaxed) |
			atomic_load_explicit(&arena->isolated, memory_order_relaxed) |
			atomic_load_explicit(&arena->poisoned, memory_order_relaxed);
	uint32_t numbers = arena->next | arena->prev | arena->nr_free | arena->nr_unmanaged |
			   arena->zone_id1 | arena->list | arena->holes | arena->claimed;

	return bits == 0 && numbers == 0;
}

/* With others about, look under the lock; else it must be free, and a stuck one must not stop
 * us. */
static void
lock_arena(struct mhp__check *c, uint32_t index)
{
	struct mhp__arena *arena = &c->m->arenas[index];

	if (c->quiescent)
		(void)mhp__check_eq(c, 5, "lock of an arena", index,
				    atomic_load(&arena->lock.held), 0);
	else
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
}

static void
unlock_arena(struct mhp__check *c, uint32_t index)
{
	if (!c->quiescent)
		mhp__spin_unlock(&c->m->arenas[index].lock, MHP_RANK_ARENA);
}

void
mhp__check_blank(struct mhp__check *c, uint64_t start_pfn, uint64_t end_pfn)
{
	uint32_t end = mhp__pfn_arena(c->m, end_pfn);

	for (uint32_t index = mhp__pfn_arena(c->m, start_pfn); index < end; index++) {
		lock_arena(c, index);
		(void)mhp__check_that(c, 6, "an arena that is not online is not all-zero", index,
				      is_blank(&c->m->arenas[index]));
		unlock_arena(c, index);
	}
}

void
mhp__check_arenas(struct mhp__check *c, struct mhp__zone_tally *tally, uint32_t block)
{
	uint64_t usable_pfn = mhp__check_usable(c->m, block);
	uint32_t end = mhp__pfn_arena(c->m, mhp__block_start(c->m, block + 1));

	mhp__check_blank(c, mhp__block_start(c->m, block), usable_pfn);
	for (uint32_t index = mhp__pfn_arena(c->m, usable_pfn); index < end; index++) {
		lock_arena(c, index);
		check_arena(c, tally, index, usable_pfn);
		unlock_arena(c, index);
	}
}
