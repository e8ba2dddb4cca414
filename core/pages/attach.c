/* SPDX-License-Identifier: MIT */
/*
 * attach.c - the life of a range of usable pages in a zone.
 *
 * An arena comes with everything free and isolated, and goes when nothing but bad frames is in use
 * and all of it is isolated; so between the two nobody can take from it what its zone does not
 * count. Coming writes O(1) memory an arena: descriptors are cleared when their frames are first
 * taken. zone_id1 changes under both locks, so either is enough to know that it stays.
 *
 * Must not know: why a range starts where it starts, what frames hold.
 */
#include "pages/attach.h"

#include "memmap/memmap.h"
#include "pages/arena.h"
#include "pages/poison.h"
#include "pages/scan.h"
#include "pages/zone.h"

/* The pageblocks of pfn's arena that [pfn, end_pfn) touches. */
static uint64_t
touched(const struct mhp *m, uint64_t pfn, uint64_t end_pfn)
{
	uint64_t start = pfn & ~m->arena_mask, end = mhp__arena_next(m, pfn);
	unsigned first = (unsigned)((pfn - start) >> MHP_PAGEBLOCK_ORDER(m));
	unsigned last = (unsigned)(((end_pfn < end ? end_pfn : end) - 1 - start) >>
				   MHP_PAGEBLOCK_ORDER(m));

	return (UINT64_MAX >> (63U - last)) & (UINT64_MAX << first);
}

/* Log: an arena comes to its zone, or goes from it, which counts its free frames afterwards. */
static void
log_uncounted(struct mhp *m, const struct mhp__arena *arena, const struct mhp__zone *zone,
	      int64_t nr_frames)
{
	struct mhp__log *log = &m->work.log;

	mhp__log(&log->arena1, 0);
	mhp__log(&log->zone, mhp__zone_id(m, zone));
	mhp__log(&log->nr_uncounted, (uint64_t)nr_frames);
	mhp__log(&log->arena1, mhp__arena_index(m, arena) + 1);
}

static void
count_arena(struct mhp *m, struct mhp__zone *zone, int64_t nr_frames)
{
	mhp__zone_count(zone, NULL, nr_frames);
	mhp__log(&m->work.log.arena1, 0);
}

static void
attach_arena(struct mhp *m, struct mhp__zone *zone, struct mhp__arena *arena, uint32_t nr_unmanaged,
	     bool zeroed)
{
	uint64_t all = mhp__arena_mask(m);

	log_uncounted(m, arena, zone, (int64_t)(mhp__arena_pages(m) - nr_unmanaged));
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	mhp__spin_lock(&zone->lock, MHP_RANK_ZONE);
	MHP_ASSERT(arena->zone_id1 == 0);
	MHP_ASSERT_DEBUG(arena->nr_free == 0);
	MHP_ASSERT_DEBUG(arena->full == 0);
	MHP_ASSERT_DEBUG(arena->mixed == 0);
	/* Pageblocks that lie before the range as a whole are full for ever; the one in which the
	 * range begins is told from others by nr_unmanaged alone. */
	arena->nr_unmanaged = nr_unmanaged;
	arena->nr_free = (uint32_t)mhp__arena_pages(m) - nr_unmanaged;
	arena->full = (UINT64_C(1) << (nr_unmanaged >> MHP_PAGEBLOCK_ORDER(m))) - 1;
	arena->mixed = 0;
	/* Descriptors of pageblocks before the first usable frame are never cleared, either. */
	atomic_store_explicit(&arena->virgin, zeroed ? 0 : all, memory_order_relaxed);
	atomic_store_explicit(&arena->isolated, all, memory_order_relaxed);
	arena->zone_id1 = (uint8_t)(mhp__zone_id(m, zone) + 1);
	mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	count_arena(m, zone, (int64_t)(mhp__arena_pages(m) - nr_unmanaged));
}

/* A range may begin anywhere in an arena, but ends where one does: only its start is another
 * layer's business. */
void
mhp__pages_attach(struct mhp *m, struct mhp__zone *zone, uint64_t start_pfn, uint64_t nr_pages,
		  bool zeroed)
{
	uint64_t end = start_pfn + nr_pages;

	MHP_ASSERT(nr_pages > 0 && (end & m->arena_mask) == 0);
	for (uint64_t pfn = start_pfn; pfn < end; pfn = mhp__arena_next(m, pfn))
		attach_arena(m, zone, &m->arenas[mhp__pfn_arena(m, pfn)],
			     (uint32_t)(pfn & m->arena_mask), zeroed);
}

/* Only bad frames are left. Their descriptors go too: metadata that is known to be zero is all-zero
 * again when the block is out of use (INV 9). Arena lock held. */
static void
end_bad_pages(struct mhp *m, const struct mhp__arena *arena)
{
	uint32_t frame = 0, end = (uint32_t)mhp__arena_pages(m), run_end;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	while ((frame = mhp__arena_next_taken(m, arena, frame, &run_end)) < end) {
		struct mhp__page *page =
			mhp__pfn_to_page(m, mhp__arena_start(m, arena) + frame++);
		MHP_ASSERT_DEBUG(mhp__word_owner(mhp__page_word(page)) == MHP_OWNER_BAD ||
				 mhp__page_word(page) == 0); /* a kill came in between */
		mhp__page_end(page);
	}
}

/* The next user of this memory may write to it. Arena lock held. */
static void
unpoison_arena(struct mhp *m, struct mhp__arena *arena)
{
	uint64_t left = atomic_load_explicit(&arena->poisoned, memory_order_relaxed);
	uint64_t start = mhp__arena_start(m, arena), nr = UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m);

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	for (; left != 0; left &= left - 1)
		mhp__unpoison(m, start + (uint64_t)__builtin_ctzll(left) * nr, nr, false);
	atomic_store_explicit(&arena->poisoned, 0, memory_order_relaxed);
}

/* Back to zeros, which is what an arena that was never used is made of: nothing tells the next add
 * that there was a block here. Its lock held. */
static void
blank(struct mhp__arena *arena)
{
	MHP_ASSERT(arena->zone_id1 == 0);
	arena->nr_free = arena->nr_unmanaged = 0;
	arena->full = arena->mixed = 0;
	arena->claimed = 0;
	atomic_store_explicit(&arena->virgin, 0, memory_order_relaxed);
	atomic_store_explicit(&arena->isolated, 0, memory_order_relaxed);
	atomic_store_explicit(&arena->poisoned, 0, memory_order_relaxed);
}

static void
detach_arena(struct mhp *m, struct mhp__arena *arena)
{
	struct mhp__zone *zone = &m->zones[arena->zone_id1 - 1]; /* stays: hotplug lock */
	uint32_t nr_free;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(arena->zone_id1 != 0);
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	mhp__spin_lock(&zone->lock, MHP_RANK_ZONE);
	MHP_ASSERT(atomic_load_explicit(&arena->isolated, memory_order_relaxed) ==
			   mhp__arena_mask(m) &&
		   arena->list == MHP_LIST_NONE && arena->holes == 0);
	end_bad_pages(m, arena);
	unpoison_arena(m, arena);
	nr_free = arena->nr_free;
	log_uncounted(m, arena, zone, -(int64_t)nr_free);
	arena->zone_id1 = 0; /* first: then a kill leaves nothing that looks like a free arena */
	blank(arena);
	mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	count_arena(m, zone, -(int64_t)nr_free);
}

void
mhp__pages_detach(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	uint64_t end = start_pfn + nr_pages;

	MHP_ASSERT_DEBUG(nr_pages > 0);
	MHP_ASSERT_DEBUG(((start_pfn + nr_pages) & m->arena_mask) == 0);
	for (uint64_t pfn = start_pfn; pfn < end; pfn = mhp__arena_next(m, pfn))
		detach_arena(m, &m->arenas[mhp__pfn_arena(m, pfn)]);
}

void
mhp__pages_repair(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	uint64_t end = start_pfn + nr_pages;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	for (uint64_t pfn = start_pfn; pfn < end; pfn = mhp__arena_next(m, pfn)) {
		struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		if (arena->zone_id1 == 0)
			blank(arena);
		mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	}
}

void
mhp__pages_recount(struct mhp *m)
{
	struct mhp__log *log = &m->work.log;
	uint64_t arena1 = atomic_load(&log->arena1);
	int64_t nr_frames = (int64_t)atomic_load(&log->nr_uncounted);

	if (arena1 != 0 && (m->arenas[arena1 - 1].zone_id1 != 0) == (nr_frames > 0))
		mhp__zone_count(&m->zones[atomic_load(&log->zone)], NULL, nr_frames);
	atomic_store(&log->arena1, 0);
}

/* Arena by arena, so pages still come and go in the later ones. A caller asks what is in use only
 * when all of its range is isolated. */
static void
set_isolated(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages, bool isolate)
{
	uint64_t end = start_pfn + nr_pages;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(nr_pages > 0);
	for (uint64_t pfn = start_pfn; pfn < end; pfn = mhp__arena_next(m, pfn)) {
		struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		MHP_ASSERT(arena->zone_id1 != 0);
		mhp__arena_isolate(m, arena, touched(m, pfn, end), isolate);
		mhp__zone_unlock(m, arena);
	}
}

void
mhp__pages_isolate(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	set_isolated(m, start_pfn, nr_pages, true);
}

void
mhp__pages_open(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	set_isolated(m, start_pfn, nr_pages, false);
}

/* False: the frame is taken, be it in use or in a cache. */
bool
mhp__pages_take_bad(struct mhp *m, uint64_t pfn)
{
	struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
	struct mhp__zone *zone = NULL;

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	MHP_ASSERT(arena->zone_id1 != 0);
	if (mhp__arena_take_frame(m, arena, pfn)) {
		mhp__page_begin(mhp__pfn_to_page(m, pfn), MHP_OWNER_BAD, 0, 0);
		zone = &m->zones[arena->zone_id1 - 1];
	}
	mhp__zone_unlock(m, arena);
	if (zone != NULL)
		mhp__zone_count(zone, NULL, -1);
	return zone != NULL;
}

struct mhp__zone *
mhp__zone_of(struct mhp *m, uint64_t pfn)
{
	struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
	struct mhp__zone *zone = NULL;

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (arena->zone_id1 != 0 && (pfn & m->arena_mask) >= arena->nr_unmanaged)
		zone = &m->zones[arena->zone_id1 - 1];
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	return zone;
}
