/* SPDX-License-Identifier: MIT */
/*
 * zone.c - arenas in a zone: which one to take from, and the life of an arena in a zone.
 *
 * Owns the lists of a zone and the fields of an arena that link it. An arena is on the list that
 * mhp__arena_classify() calls for; whoever changes an arena finds out under its lock that the
 * list is the wrong one, lets go of the lock and calls mhp__zone_refile(), so between the two a
 * list may be behind. An arena in which nothing can be taken is on no list.
 *
 * Small pages look in SMALL arenas and in used pageblocks of MIXED ones before they break up a
 * free pageblock, and whole pageblocks come from arenas in use before empty ones. A cache that
 * refills marks its arena as claimed and comes back to it without the zone's lock; the others look
 * for one that is not claimed first, so that CPUs do not fight for one arena's lock. What is chosen
 * follows from the sequence of calls alone. Must not know: what frames hold, why a range starts
 * where it starts.
 */
#include "pages/zone.h"

#include "memmap/memmap.h"
#include "pages/arena.h"
#include "pages/poison.h"

/* Frames given to arenas through one cache before the zone's own counter hears of it: a line that
 * all CPUs write is what two of them would wait for most. */
#define NR_GIVEN_MAX (INT64_C(1) << 16)
/* How many arenas of a list are looked at in one step. */
#define LOOK_MAX 16U
/* Pages sorted by arena in one go. */
#define GIVE_MAX 128U
#define GIVE_BUCKETS 64U

/* ---- lists: zone lock ---- */

static inline uint32_t
list_head(const struct mhp_zone *zone, unsigned class)
{
	return atomic_load_explicit(&zone->head[class], memory_order_relaxed);
}

static inline void
set_list_head(struct mhp_zone *zone, unsigned class, uint32_t id)
{
	atomic_store_explicit(&zone->head[class], id, memory_order_relaxed);
}

static void
unlink_arena(struct mhp *m, struct mhp_zone *zone, struct mhp_arena *arena)
{
	uint32_t id = mhp__arena_index(m, arena) + 1;

	if (arena->class == MHP_CLASS_NONE)
		return;
	if (arena->next == id) {
		set_list_head(zone, arena->class, 0);
	} else {
		m->arenas[arena->prev - 1].next = arena->next;
		m->arenas[arena->next - 1].prev = arena->prev;
		if (list_head(zone, arena->class) == id)
			set_list_head(zone, arena->class, arena->next);
	}
	arena->next = arena->prev = 0;
}

/* Put it at the end of its list; an empty arena that was in use goes first, as it is warm. */
static void
link_arena(struct mhp *m, struct mhp_zone *zone, struct mhp_arena *arena, bool first)
{
	uint32_t id = mhp__arena_index(m, arena) + 1, head;

	if (arena->class == MHP_CLASS_NONE)
		return;
	head = list_head(zone, arena->class);
	if (head == 0) {
		arena->next = arena->prev = id;
		first = true;
	} else {
		arena->next = head;
		arena->prev = m->arenas[head - 1].prev;
		m->arenas[arena->prev - 1].next = id;
		m->arenas[head - 1].prev = id;
	}
	if (first)
		set_list_head(zone, arena->class, id);
}

/* Zone and arena lock held. */
static void
file_arena(struct mhp *m, struct mhp_zone *zone, struct mhp_arena *arena)
{
	enum mhp_arena_class class = mhp__arena_classify(m, arena);
	bool first = class == MHP_CLASS_EMPTY && arena->class != MHP_CLASS_NONE;

	if (class == (enum mhp_arena_class)arena->class)
		return;
	unlink_arena(m, zone, arena);
	arena->class = (uint8_t)class;
	link_arena(m, zone, arena, first);
}

void
mhp__zone_refile(struct mhp *m, struct mhp_zone *zone, struct mhp_arena *arena)
{
	mhp__spin_lock(&zone->lock, MHP_RANK_ZONE);
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (arena->zone_id1 == mhp__zone_id(m, zone) + 1) /* it may have left meanwhile */
		file_arena(m, zone, arena);
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
}

/* Let go of an arena that has changed. */
static void
unlock_arena(struct mhp *m, struct mhp_arena *arena)
{
	unsigned zone_id1 = arena->zone_id1;
	bool stale = zone_id1 != 0 && mhp__arena_classify(m, arena) != arena->class;

	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	if (MHP_UNLIKELY(stale))
		mhp__zone_refile(m, &m->zones[zone_id1 - 1], arena);
}

/* ---- counting ---- */

static void
count(struct mhp_zone *zone, struct mhp_cache *cache, int64_t nr_given)
{
	if (cache != NULL) {
		nr_given += atomic_load_explicit(&cache->nr_given, memory_order_relaxed);
		bool keep = nr_given < NR_GIVEN_MAX && nr_given > -NR_GIVEN_MAX;
		atomic_store_explicit(&cache->nr_given, keep ? nr_given : 0, memory_order_relaxed);
		if (keep)
			return;
	}
	atomic_fetch_add_explicit(&zone->nr_free, nr_given, memory_order_relaxed);
}

void
mhp__zone_settle(struct mhp_zone *zone, struct mhp_cache *cache)
{
	int64_t nr = atomic_load_explicit(&cache->nr_given, memory_order_relaxed);
	atomic_store_explicit(&cache->nr_given, 0, memory_order_relaxed);
	if (nr != 0)
		atomic_fetch_add_explicit(&zone->nr_free, nr, memory_order_relaxed);
}

uint64_t
mhp__zone_nr_free(const struct mhp *m, const struct mhp_zone *zone)
{
	const struct mhp_cache *caches = mhp__zone_caches(m, zone);
	int64_t nr = atomic_load_explicit(&zone->nr_free, memory_order_relaxed);

	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++)
		nr += atomic_load_explicit(&caches[cpu].nr_given, memory_order_relaxed);
	return nr > 0 ? (uint64_t)nr : 0;
}

/* ---- take ---- */

struct want {
	struct mhp_zone *zone;
	struct mhp_cache *cache;
	unsigned order, nr_max;
	uint64_t *ret_pfns;
};

/* One step of a search. */
struct look {
	uint8_t class;
	bool claimed;                  /* also where another cache refills from */
	bool keep;                     /* break up no pageblock */
};

static const struct look looks_small[] = {
	{ MHP_CLASS_SMALL, false, false }, { MHP_CLASS_SMALL, true, false },
	{ MHP_CLASS_MIXED, false, true },  { MHP_CLASS_MIXED, false, false },
	{ MHP_CLASS_HUGE, false, false },  { MHP_CLASS_EMPTY, false, false },
	{ MHP_CLASS_MIXED, true, false },  { MHP_CLASS_HUGE, true, false },
	{ MHP_CLASS_EMPTY, true, false },
};

static const struct look looks_huge[] = {
	{ MHP_CLASS_MIXED, false, false }, { MHP_CLASS_HUGE, false, false },
	{ MHP_CLASS_EMPTY, false, false }, { MHP_CLASS_MIXED, true, false },
	{ MHP_CLASS_HUGE, true, false },   { MHP_CLASS_EMPTY, true, false },
};

/* Take from the arena that this cache refilled from last, but break up no pageblock: where to do
 * that is for the lists to say. */
static unsigned
take_hinted(struct mhp *m, const struct want *want)
{
	uint32_t hint = want->cache != NULL ? want->cache->hint : 0;
	unsigned nr = 0;

	if (hint == 0)
		return 0;
	struct mhp_arena *arena = &m->arenas[hint - 1];
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (MHP_LIKELY(arena->zone_id1 == mhp__zone_id(m, want->zone) + 1)) {
		uint64_t mask = want->order == MHP_PAGEBLOCK_ORDER(m) ?
					UINT64_MAX : mhp__arena_partial(m, arena);
		nr = mhp__arena_take(m, arena, want->order, mask, want->nr_max, want->ret_pfns);
	}
	unlock_arena(m, arena);
	return nr;
}

/* Zone lock held: the cache will refill from elsewhere. */
static void
drop_claim(struct mhp *m, const struct want *want)
{
	if (want->cache == NULL || want->cache->hint == 0)
		return;
	struct mhp_arena *arena = &m->arenas[want->cache->hint - 1];
	want->cache->hint = 0;
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (arena->zone_id1 == mhp__zone_id(m, want->zone) + 1)
		arena->claimed = 0;
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
}

/* Zone lock held: try one arena of a list. */
static unsigned
take_from(struct mhp *m, const struct want *want, struct look look, struct mhp_arena *arena)
{
	unsigned nr = 0;

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (arena->claimed == 0 || look.claimed) {
		uint64_t mask = look.keep ? mhp__arena_partial(m, arena) : UINT64_MAX;
		nr = mhp__arena_take(m, arena, want->order, mask, want->nr_max, want->ret_pfns);
	}
	if (nr != 0) {
		if (want->cache != NULL) {
			arena->claimed = 1;
			want->cache->hint = mhp__arena_index(m, arena) + 1;
		}
		/* All are claimed: the next one who comes shares with another. */
		if (look.claimed)
			set_list_head(want->zone, look.class, arena->next);
		file_arena(m, want->zone, arena);
	}
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	return nr;
}

/* Zone lock held. */
static unsigned
take_listed(struct mhp *m, const struct want *want, struct look look)
{
	uint32_t head = list_head(want->zone, look.class), id = head;

	for (unsigned i = 0; i < LOOK_MAX && id != 0; i++) {
		struct mhp_arena *arena = &m->arenas[id - 1];
		unsigned nr = take_from(m, want, look, arena);
		if (nr != 0)
			return nr;
		id = arena->next != head ? arena->next : 0;
	}
	return 0;
}

static unsigned
take_by_lists(struct mhp *m, const struct want *want)
{
	bool huge = want->order == MHP_PAGEBLOCK_ORDER(m);
	const struct look *looks = huge ? looks_huge : looks_small;
	unsigned nr_looks = huge ? sizeof(looks_huge) / sizeof(looks_huge[0]) :
				   sizeof(looks_small) / sizeof(looks_small[0]);
	unsigned nr = 0;

	mhp__spin_lock(&want->zone->lock, MHP_RANK_ZONE);
	drop_claim(m, want);
	for (unsigned i = 0; i < nr_looks && nr == 0; i++)
		nr = take_listed(m, want, looks[i]);
	mhp__spin_unlock(&want->zone->lock, MHP_RANK_ZONE);
	return nr;
}

/* The last resort of orders in between: a list does not say which of its arenas has a run of that
 * length, so ask them all, without the zone's lock. */
static unsigned
take_anywhere(struct mhp *m, const struct want *want)
{
	uint64_t pfn = atomic_load_explicit(&want->zone->start_pfn, memory_order_relaxed);
	uint64_t end = atomic_load_explicit(&want->zone->end_pfn, memory_order_relaxed);
	unsigned nr = 0;

	/* Bound: the arenas that the zone spans. */
	for (; pfn < end && nr == 0; pfn = mhp__arena_next(m, pfn)) {
		struct mhp_arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		if (arena->zone_id1 == mhp__zone_id(m, want->zone) + 1)
			nr = mhp__arena_take(m, arena, want->order, UINT64_MAX, want->nr_max,
					     want->ret_pfns);
		unlock_arena(m, arena);
	}
	return nr;
}

unsigned
mhp__zone_take(struct mhp *m, struct mhp_zone *zone, unsigned order, unsigned nr_max,
	       struct mhp_cache *cache, uint64_t *ret_pfns)
{
	const struct want want = { zone, cache, order, nr_max, ret_pfns };
	bool huge = order == MHP_PAGEBLOCK_ORDER(m);
	bool any = (list_head(zone, MHP_CLASS_MIXED) | list_head(zone, MHP_CLASS_HUGE) |
		    list_head(zone, MHP_CLASS_EMPTY)) != 0;
	bool small = !huge && list_head(zone, MHP_CLASS_SMALL) != 0;

	MHP_ASSERT_DEBUG(nr_max > 0 && order <= MHP_PAGEBLOCK_ORDER(m));
	if (!any && !small)
		return 0;
	unsigned nr = take_hinted(m, &want);
	if (nr == 0)
		nr = take_by_lists(m, &want);
	if (nr == 0 && small && order != 0)
		nr = take_anywhere(m, &want);
	if (nr != 0)
		count(zone, cache, -(int64_t)((uint64_t)nr << order));
	return nr;
}

unsigned
mhp__zone_take_packed(struct mhp *m, struct mhp_zone *zone, uint32_t index, uint64_t end_pfn,
		      unsigned order, unsigned nr_max, uint64_t *ret_pfns)
{
	struct mhp_arena *arena = &m->arenas[index];
	uint64_t start = mhp__arena_start(m, arena), mask = UINT64_MAX;
	unsigned nr = 0;

	if (end_pfn <= start)
		return 0;
	if (end_pfn - start < mhp__arena_pages(m))
		mask = (UINT64_C(1) << ((end_pfn - start) >> MHP_PAGEBLOCK_ORDER(m))) - 1;
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (arena->zone_id1 == mhp__zone_id(m, zone) + 1)
		nr = mhp__arena_take(m, arena, order, mask & mhp__arena_partial(m, arena), nr_max,
				     ret_pfns);
	unlock_arena(m, arena);
	if (nr != 0)
		count(zone, NULL, -(int64_t)((uint64_t)nr << order));
	return nr;
}

bool
mhp__zone_take_part(struct mhp *m, struct mhp_zone *zone, uint64_t pfn, uint32_t nr_pages)
{
	struct mhp_arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
	uint32_t frame = (uint32_t)(pfn & m->arena_mask);

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	bool taken = arena->zone_id1 == mhp__zone_id(m, zone) + 1 &&
		     mhp__arena_take_range(m, arena, frame, frame + nr_pages);
	unlock_arena(m, arena);
	if (taken)
		count(zone, NULL, -(int64_t)nr_pages);
	return taken;
}

/* ---- give ---- */

/* Give pages of one arena. */
static void
give_run(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr, const uint64_t *pfns)
{
	struct mhp_arena *arena = &m->arenas[mhp__pfn_arena(m, pfns[0])];

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	MHP_ASSERT(arena->zone_id1 != 0);
	struct mhp_zone *zone = &m->zones[arena->zone_id1 - 1];
	mhp__arena_give_many(m, arena, order, nr, pfns);
	unlock_arena(m, arena);
	MHP_ASSERT_DEBUG(cache == NULL || zone == &m->zones[(cache - m->caches) / m->geo.nr_cpus]);
	count(zone, cache, (int64_t)((uint64_t)nr << order));
}

/* Copy pfns so that those of an arena stand together, but for chance meetings in a bucket. Two
 * passes without a branch on the data: for random frees that costs less than a lock for each. */
static void
group_by_arena(const struct mhp *m, unsigned nr, const uint64_t *pfns, uint64_t *ret_pfns)
{
	uint16_t at[GIVE_BUCKETS + 1U] = { 0 };

	for (unsigned i = 0; i < nr; i++)
		at[mhp__pfn_arena(m, pfns[i]) % GIVE_BUCKETS + 1U]++;
	for (unsigned i = 1; i < GIVE_BUCKETS; i++)
		at[i] = (uint16_t)(at[i] + at[i - 1]);
	for (unsigned i = 0; i < nr; i++)
		ret_pfns[at[mhp__pfn_arena(m, pfns[i]) % GIVE_BUCKETS]++] = pfns[i];
}

/* Give pages, a lock for each run of one arena. */
static void
give_runs(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr, const uint64_t *pfns)
{
	for (unsigned begin = 0, end; begin < nr; begin = end) {
		uint32_t arena = mhp__pfn_arena(m, pfns[begin]);
		for (end = begin + 1; end < nr && mhp__pfn_arena(m, pfns[end]) == arena;)
			end++;
		give_run(m, cache, order, end - begin, pfns + begin);
	}
}

void
mhp__zone_give(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr,
	       const uint64_t *pfns)
{
	uint64_t grouped[GIVE_MAX];

	for (unsigned step; nr != 0; nr -= step, pfns += step) {
		step = nr < GIVE_MAX ? nr : GIVE_MAX;
		uint64_t differ = 0;
		for (unsigned i = 1; i < step; i++)
			differ |= pfns[i] ^ pfns[0];
		if (step < GIVE_MAX / 8U || differ >> m->arena_order == 0) {
			give_runs(m, cache, order, step, pfns);
		} else {
			group_by_arena(m, step, pfns, grouped);
			give_runs(m, cache, order, step, grouped);
		}
	}
}

void
mhp__zone_give_range(struct mhp *m, uint64_t pfn, uint64_t nr_pages)
{
	uint64_t end = pfn + nr_pages, stop;

	for (; pfn < end; pfn = stop) {
		struct mhp_arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
		uint64_t start = mhp__arena_start(m, arena);

		stop = mhp__arena_next(m, pfn) < end ? mhp__arena_next(m, pfn) : end;
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		MHP_ASSERT(arena->zone_id1 != 0);
		struct mhp_zone *zone = &m->zones[arena->zone_id1 - 1];
		mhp__arena_give_range(m, arena, (uint32_t)(pfn - start), (uint32_t)(stop - start));
		unlock_arena(m, arena);
		count(zone, NULL, (int64_t)(stop - pfn));
	}
}

/* ---- the life of an arena in a zone ---- */

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

static void
attach_arena(struct mhp *m, struct mhp_zone *zone, struct mhp_arena *arena, uint32_t nr_head,
	     bool zeroed)
{
	uint64_t all = mhp__arena_mask(m);

	mhp__spin_lock(&zone->lock, MHP_RANK_ZONE);
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	MHP_ASSERT(arena->zone_id1 == 0);
	arena->nr_head = nr_head;
	arena->nr_free = (uint32_t)mhp__arena_pages(m) - nr_head;
	arena->full = (UINT64_C(1) << (nr_head >> MHP_PAGEBLOCK_ORDER(m))) - 1;
	arena->mixed = 0;
	arena->fail_order = arena->claimed = 0;
	/* Nobody ever clears descriptors of pageblocks before the first usable frame, either. */
	atomic_store_explicit(&arena->virgin, zeroed ? 0 : all, memory_order_relaxed);
	atomic_store_explicit(&arena->isolated, all, memory_order_relaxed);
	arena->class = MHP_CLASS_NONE;
	arena->zone_id1 = (uint8_t)(mhp__zone_id(m, zone) + 1);
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
	count(zone, NULL, (int64_t)(mhp__arena_pages(m) - nr_head));
}

void
mhp__pages_attach(struct mhp *m, struct mhp_zone *zone, uint64_t start_pfn, uint64_t nr_pages,
		  bool zeroed)
{
	uint64_t end = start_pfn + nr_pages;

	MHP_ASSERT(nr_pages > 0 && (end & m->arena_mask) == 0);
	for (uint64_t pfn = start_pfn; pfn < end; pfn = mhp__arena_next(m, pfn))
		attach_arena(m, zone, &m->arenas[mhp__pfn_arena(m, pfn)],
			     (uint32_t)(pfn & m->arena_mask), zeroed);
}

/* What is left are bad frames. Their descriptors go too: where metadata is known to be zero, it is
 * all-zero again when nobody uses the block (INV 9). Arena lock held. */
static void
end_bad_pages(struct mhp *m, const struct mhp_arena *arena)
{
	uint32_t frame = 0, end = (uint32_t)mhp__arena_pages(m), run_end;

	while ((frame = mhp__arena_next_taken(m, arena, frame, &run_end)) < end) {
		struct mhp_page *page =
			mhp__pfn_to_page(m, mhp__arena_start(m, arena) + frame++);
		MHP_ASSERT_DEBUG(mhp__word_owner(page->word) == MHP_OWNER_BAD);
		mhp__page_end(page);
	}
}

/* Whoever gets this memory next may write to it. Arena lock held. */
static void
unpoison_arena(struct mhp *m, struct mhp_arena *arena)
{
	uint64_t left = atomic_load_explicit(&arena->poisoned, memory_order_relaxed);
	uint64_t start = mhp__arena_start(m, arena), nr = UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m);

	for (; left != 0; left &= left - 1)
		mhp__unpoison(m, start + (uint64_t)__builtin_ctzll(left) * nr, nr, false);
	atomic_store_explicit(&arena->poisoned, 0, memory_order_relaxed);
}

static void
detach_arena(struct mhp *m, struct mhp_arena *arena)
{
	struct mhp_zone *zone = &m->zones[arena->zone_id1 - 1]; /* stays: hotplug lock */
	uint32_t nr_free;

	mhp__spin_lock(&zone->lock, MHP_RANK_ZONE);
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	MHP_ASSERT(atomic_load_explicit(&arena->isolated, memory_order_relaxed) ==
		   mhp__arena_mask(m));
	end_bad_pages(m, arena);
	unpoison_arena(m, arena);
	unlink_arena(m, zone, arena);
	nr_free = arena->nr_free;
	arena->nr_free = arena->nr_head = 0;
	arena->full = arena->mixed = 0;
	arena->class = arena->fail_order = arena->claimed = 0;
	atomic_store_explicit(&arena->virgin, 0, memory_order_relaxed);
	atomic_store_explicit(&arena->isolated, 0, memory_order_relaxed);
	arena->zone_id1 = 0;
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
	count(zone, NULL, -(int64_t)nr_free);
}

void
mhp__pages_detach(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	uint64_t end = start_pfn + nr_pages;

	for (uint64_t pfn = start_pfn; pfn < end; pfn = mhp__arena_next(m, pfn))
		detach_arena(m, &m->arenas[mhp__pfn_arena(m, pfn)]);
}

void
mhp__pages_isolate(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	uint64_t end = start_pfn + nr_pages;

	for (uint64_t pfn = start_pfn; pfn < end; pfn = mhp__arena_next(m, pfn)) {
		struct mhp_arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		MHP_ASSERT(arena->zone_id1 != 0);
		atomic_fetch_or_explicit(&arena->isolated, touched(m, pfn, end),
					 memory_order_seq_cst);
		unlock_arena(m, arena);
	}
}

void
mhp__pages_open(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	uint64_t end = start_pfn + nr_pages;

	for (uint64_t pfn = start_pfn; pfn < end; pfn = mhp__arena_next(m, pfn)) {
		struct mhp_arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		MHP_ASSERT(arena->zone_id1 != 0);
		atomic_fetch_and_explicit(&arena->isolated, ~touched(m, pfn, end),
					  memory_order_relaxed);
		arena->fail_order = 0;
		unlock_arena(m, arena);
	}
}

bool
mhp__pages_take_bad(struct mhp *m, uint64_t pfn)
{
	struct mhp_arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
	struct mhp_zone *zone = NULL;

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	MHP_ASSERT(arena->zone_id1 != 0);
	if (mhp__arena_take_frame(m, arena, pfn)) {
		mhp__page_begin(mhp__pfn_to_page(m, pfn), MHP_OWNER_BAD, 0, 0);
		zone = &m->zones[arena->zone_id1 - 1];
	}
	unlock_arena(m, arena);
	if (zone != NULL)
		count(zone, NULL, -1);
	return zone != NULL;
}
