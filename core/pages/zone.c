/* SPDX-License-Identifier: MIT */
/*
 * zone.c - arenas in a zone: which one to take from, and the life of an arena in a zone.
 *
 * Owns the lists of a zone and the fields of an arena that link it. While an arena's lock is free,
 * the arena is on the list that mhp__arena_list() calls for: a thread that changes an arena files
 * it before it lets go, with the zone's lock inside of the arena's. So an arena that is on no list
 * has nothing to give (INV 12), and finding one costs the same in a zone of one as in a zone of
 * half a million.
 *
 * Holes are used before a free pageblock is broken up, the smallest that will do, and whole
 * pageblocks come from arenas in use before empty ones. A cache that refills claims its arena and
 * comes back to it without the zone's lock; others prefer an arena that is not claimed, so that
 * CPUs do not fight for one arena's lock. For single frames they even break up a pageblock before
 * they use the holes of a claimed arena. The choice follows from the sequence of calls alone. Must
 * not know: what frames hold, why a range starts where it starts.
 */
#include "pages/zone.h"

#include "memmap/memmap.h"
#include "pages/arena.h"
#include "pages/poison.h"

/* Frames that one cache gives to arenas before it adds them to the zone's own counter: CPUs would
 * wait longest for a line that all of them write. */
#define NR_GIVEN_MAX (INT64_C(1) << 16)
/* Pages sorted by arena in one go. */
#define GIVE_MAX 128U
#define GIVE_BUCKETS 64U

/* ---- lists: zone lock ---- */

static void
unlink_arena(struct mhp *m, struct mhp__zone *zone, struct mhp__arena *arena)
{
	uint32_t id = mhp__arena_index(m, arena) + 1, *first = &zone->first[arena->list];

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ZONE));
	MHP_ASSERT_DEBUG(arena->list != MHP_LIST_NONE);
	MHP_ASSERT_DEBUG(*first != 0);
	MHP_ASSERT_DEBUG(m->arenas[arena->prev - 1].next == id); /* INV 12 */
	MHP_ASSERT_DEBUG(m->arenas[arena->next - 1].prev == id);
	if (arena->next == id) {
		*first = 0;
	} else {
		m->arenas[arena->prev - 1].next = arena->next;
		m->arenas[arena->next - 1].prev = arena->prev;
		if (*first == id)
			*first = arena->next;
	}
	arena->next = arena->prev = 0;
}

/* Put it at the end of its list; an empty arena that was in use goes first, as it is warm. */
static void
link_arena(struct mhp *m, struct mhp__zone *zone, struct mhp__arena *arena, bool as_first)
{
	uint32_t id = mhp__arena_index(m, arena) + 1, *first = &zone->first[arena->list];

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ZONE));
	MHP_ASSERT_DEBUG(arena->next == 0);
	MHP_ASSERT_DEBUG(arena->prev == 0);
	if (*first == 0) {
		arena->next = arena->prev = *first = id;
		return;
	}
	arena->next = *first;
	arena->prev = m->arenas[*first - 1].prev;
	m->arenas[arena->prev - 1].next = id;
	m->arenas[*first - 1].prev = id;
	if (as_first)
		*first = id;
}

/* Arena and zone lock held. The set of lists changes by one store, so that a reader without the
 * lock never sees an arena that changes its list on neither. */
static void
move_arena(struct mhp *m, struct mhp__zone *zone, struct mhp__arena *arena, unsigned list)
{
	bool as_first = list == MHP_LIST_EMPTY && arena->list != MHP_LIST_NONE;
	uint32_t lists = atomic_load_explicit(&zone->lists, memory_order_relaxed);

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(list < MHP_LISTS);
	MHP_ASSERT_DEBUG(arena->zone_id1 == mhp__zone_id(m, zone) + 1);
	if (arena->list != MHP_LIST_NONE) {
		unlink_arena(m, zone, arena);
		if (zone->first[arena->list] == 0)
			lists &= ~(UINT32_C(1) << arena->list);
	}
	arena->list = (uint8_t)list;
	if (list != MHP_LIST_NONE) {
		link_arena(m, zone, arena, as_first);
		lists |= UINT32_C(1) << list;
	}
	atomic_store_explicit(&zone->lists, lists, memory_order_relaxed);
}

void
mhp__zone_relink(struct mhp *m, struct mhp__zone *zone)
{
	uint32_t lists = 0;

	for (unsigned list = 0; list < MHP_LISTS; list++)
		zone->first[list] = 0;
	for (uint32_t index = 0; index < m->nr_arenas; index++) {
		struct mhp__arena *arena = &m->arenas[index];
		if (arena->zone_id1 != mhp__zone_id(m, zone) + 1 || arena->list == MHP_LIST_NONE)
			continue;
		arena->next = arena->prev = 0;
		link_arena(m, zone, arena, false);
		lists |= UINT32_C(1) << arena->list;
	}
	atomic_store_explicit(&zone->lists, lists, memory_order_relaxed);
}

void
mhp__zone_unlock(struct mhp *m, struct mhp__arena *arena)
{
	unsigned zone_id1 = arena->zone_id1, list = arena->list;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	if (MHP_LIKELY(zone_id1 != 0))
		list = mhp__arena_list(m, arena);
	MHP_ASSERT_DEBUG(zone_id1 != 0 || list == MHP_LIST_NONE);
	if (MHP_UNLIKELY(list != arena->list)) {
		struct mhp__zone *zone = &m->zones[zone_id1 - 1];
		mhp__spin_lock(&zone->lock, MHP_RANK_ZONE);
		move_arena(m, zone, arena, list);
		mhp__spin_unlock(&zone->lock, MHP_RANK_ZONE);
	}
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
}

/* ---- counting ---- */

void
mhp__zone_count(struct mhp__zone *zone, struct mhp_cache *cache, int64_t nr_given)
{
	MHP_ASSERT_DEBUG(cache == NULL || mhp__rank_held(MHP_RANK_CACHE));
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
mhp__zone_collect(struct mhp__zone *zone, struct mhp_cache *cache)
{
	int64_t nr = atomic_load_explicit(&cache->nr_given, memory_order_relaxed);

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_CACHE));
	atomic_store_explicit(&cache->nr_given, 0, memory_order_relaxed);
	if (nr != 0)
		atomic_fetch_add_explicit(&zone->nr_free, nr, memory_order_relaxed);
}

uint64_t
mhp__zone_nr_free(const struct mhp *m, const struct mhp__zone *zone)
{
	const struct mhp_cache *caches = mhp__zone_caches(m, zone);
	int64_t nr = atomic_load_explicit(&zone->nr_free, memory_order_relaxed);

	for (unsigned cpu = 0; cpu < m->geo.nr_cpus; cpu++)
		nr += atomic_load_explicit(&caches[cpu].nr_given, memory_order_relaxed);
	return nr > 0 ? (uint64_t)nr : 0;
}

/* ---- take ---- */

struct want {
	struct mhp__zone *zone;
	struct mhp_cache *cache;
	unsigned order, nr_max;
	uint64_t *ret_pfns;
};

/* Lists of arenas that have a hole of an order, and of those with free pageblocks. */
#define LISTS_FROM(from, end) ((UINT32_C(1) << (end)) - (UINT32_C(1) << (from)))
#define LISTS_WHOLE LISTS_FROM(MHP_LIST_WHOLE, MHP_LISTS)

static inline uint32_t
lists_of_holes(unsigned order)
{
	return LISTS_FROM(MHP_LIST_HOLES + order + 1, MHP_LIST_HOLES + MHP_ORDERS) |
	       LISTS_FROM(MHP_LIST_WHOLE + order + 1, MHP_LIST_WHOLE + MHP_ORDERS);
}

/* The first arena of these lists, the lowest list first, that no cache has claimed; or that one
 * has. Zone lock held. */
static struct mhp__arena *
first_of(struct mhp *m, struct mhp__zone *zone, uint32_t lists, bool claimed)
{
	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ZONE));
	lists &= atomic_load_explicit(&zone->lists, memory_order_relaxed);
	for (; lists != 0; lists &= lists - 1) {
		uint32_t *first = &zone->first[__builtin_ctz(lists)], start = *first;
		/* Bound: a cache has claimed one arena at most, and claimed ones come to the end of
		 * the list as they are met. */
		do {
			struct mhp__arena *arena = &m->arenas[*first - 1];
			if (claimed || arena->claimed == 0)
				return arena;
			*first = arena->next;
		} while (*first != start);
	}
	return NULL;
}

/* The arena to take from, or NULL. Zone lock held. */
static struct mhp__arena *
choose(struct mhp *m, const struct want *want)
{
	bool huge = want->order == MHP_PAGEBLOCK_ORDER(m), single = want->order == 0;
	uint32_t holes = huge ? 0 : lists_of_holes(want->order);

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ZONE));
	/* In this order; from each lists, and whether claimed ones will do. */
	const struct {
		uint32_t lists;
		bool claimed;
	} steps[] = {
		{ holes, false }, { single ? 0 : holes, true }, { LISTS_WHOLE, false },
		{ single ? holes : 0, true }, { LISTS_WHOLE, true },
	};
	struct mhp__arena *arena = NULL;

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]) && arena == NULL; i++)
		arena = first_of(m, want->zone, steps[i].lists, steps[i].claimed);
	return arena;
}

/* The cache will refill from elsewhere. Zone lock held. */
static void
drop_claim(struct mhp *m, const struct want *want)
{
	uint32_t hint = want->cache != NULL ? want->cache->hint : 0;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ZONE));
	MHP_ASSERT_DEBUG(hint <= m->nr_arenas);
	if (hint == 0)
		return;
	if (m->arenas[hint - 1].zone_id1 == mhp__zone_id(m, want->zone) + 1)
		m->arenas[hint - 1].claimed = 0;
	want->cache->hint = 0;
}

/* The cache will refill from this arena. Zone lock held. */
static void
claim(struct mhp *m, const struct want *want, struct mhp__arena *arena)
{
	uint32_t id = mhp__arena_index(m, arena) + 1;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ZONE));
	if (want->cache == NULL)
		return;
	MHP_ASSERT_DEBUG(want->cache->hint == 0); /* a cache claims one at a time */
	arena->claimed = 1;
	want->cache->hint = id;
	/* Other CPUs then begin after it; when all are claimed, they take turns. */
	MHP_ASSERT_DEBUG(want->zone->first[arena->list] == id); /* first_of() chose it */
	want->zone->first[arena->list] = arena->next;
}

/* Take from the arena that this cache refilled from last, but break up no pageblock: the lists say
 * where to do that. */
static unsigned
take_hinted(struct mhp *m, const struct want *want)
{
	uint32_t hint = want->cache != NULL ? want->cache->hint : 0;
	unsigned nr = 0;

	MHP_ASSERT_DEBUG(hint <= m->nr_arenas);
	if (hint == 0)
		return 0;
	struct mhp__arena *arena = &m->arenas[hint - 1];
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (MHP_LIKELY(arena->zone_id1 == mhp__zone_id(m, want->zone) + 1)) {
		uint64_t mask = want->order == MHP_PAGEBLOCK_ORDER(m) ?
					UINT64_MAX : mhp__arena_partial(m, arena);
		nr = mhp__arena_take(m, arena, want->order, mask, want->nr_max, want->ret_pfns);
	}
	mhp__zone_unlock(m, arena);
	return nr;
}

/* Take holes while there are any, else break up pageblocks. Arena lock held. */
static unsigned
take_chosen(struct mhp *m, const struct want *want, struct mhp__arena *arena)
{
	uint64_t mask = want->order < arena->holes ? mhp__arena_partial(m, arena) : UINT64_MAX;

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	/* Untaken: another thread has to take it out of use between the zone's lock and its own. */
	if (MHP_UNLIKELY(arena->zone_id1 != mhp__zone_id(m, want->zone) + 1))
		return 0;
	return mhp__arena_take(m, arena, want->order, mask, want->nr_max, want->ret_pfns);
}

/* A chosen arena has such a page, unless another thread was faster. */
static unsigned
take_listed(struct mhp *m, const struct want *want)
{
	/* Bound: in each turn but the last another thread took pages, or isolated some. */
	for (;;) {
		mhp__spin_lock(&want->zone->lock, MHP_RANK_ZONE);
		drop_claim(m, want);
		struct mhp__arena *arena = choose(m, want);
		if (arena != NULL)
			claim(m, want, arena);
		mhp__spin_unlock(&want->zone->lock, MHP_RANK_ZONE);
		if (arena == NULL)
			return 0;
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		unsigned nr = take_chosen(m, want, arena);
		mhp__zone_unlock(m, arena);
		if (MHP_LIKELY(nr != 0))
			return nr;
	}
}

unsigned
mhp__zone_take(struct mhp *m, struct mhp__zone *zone, unsigned order, unsigned nr_max,
	       struct mhp_cache *cache, uint64_t *ret_pfns)
{
	const struct want want = { zone, cache, order, nr_max, ret_pfns };

	MHP_ASSERT_DEBUG(nr_max != 0);
	MHP_ASSERT_DEBUG(order <= MHP_PAGEBLOCK_ORDER(m));
	MHP_ASSERT_DEBUG(cache == NULL || mhp__rank_held(MHP_RANK_CACHE));
	/* No lock is needed to find nothing here: after a refill that fails the caller looks again
	 * under locks. So CPUs that have turned to other zones do not fight for the lock of one
	 * that is used up. */
	if (cache != NULL && (atomic_load_explicit(&zone->lists, memory_order_relaxed) &
			      (lists_of_holes(order) | LISTS_WHOLE)) == 0)
		return 0;
	unsigned nr = take_hinted(m, &want);
	if (nr == 0)
		nr = take_listed(m, &want);
	MHP_ASSERT_DEBUG(nr <= nr_max);
	if (nr != 0)
		mhp__zone_count(zone, cache, -(int64_t)((uint64_t)nr << order));
	return nr;
}

unsigned
mhp__zone_take_packed(struct mhp *m, struct mhp__zone *zone, uint32_t index, uint64_t end_pfn,
		      unsigned order, unsigned nr_max, uint64_t *ret_pfns)
{
	struct mhp__arena *arena = &m->arenas[index];
	uint64_t start = mhp__arena_start(m, arena), mask = UINT64_MAX;
	unsigned nr = 0;

	MHP_ASSERT_DEBUG(end_pfn % (UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) == 0);
	if (end_pfn <= start)
		return 0;
	if (end_pfn - start < mhp__arena_pages(m))
		mask = (UINT64_C(1) << ((end_pfn - start) >> MHP_PAGEBLOCK_ORDER(m))) - 1;
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	if (arena->zone_id1 == mhp__zone_id(m, zone) + 1)
		nr = mhp__arena_take(m, arena, order, mask & mhp__arena_partial(m, arena), nr_max,
				     ret_pfns);
	mhp__zone_unlock(m, arena);
	if (nr != 0)
		mhp__zone_count(zone, NULL, -(int64_t)((uint64_t)nr << order));
	return nr;
}

bool
mhp__zone_take_part(struct mhp *m, struct mhp__zone *zone, uint64_t pfn, uint32_t nr_pages)
{
	struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
	uint32_t frame = (uint32_t)(pfn & m->arena_mask);

	MHP_ASSERT_DEBUG(nr_pages != 0);
	MHP_ASSERT_DEBUG(frame + nr_pages <= mhp__arena_pages(m));
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	bool taken = arena->zone_id1 == mhp__zone_id(m, zone) + 1 &&
		     mhp__arena_take_range(m, arena, frame, frame + nr_pages);
	mhp__zone_unlock(m, arena);
	if (taken)
		mhp__zone_count(zone, NULL, -(int64_t)nr_pages);
	return taken;
}

/* ---- give ---- */

/* Give pages of one arena. */
static void
give_run(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr, const uint64_t *pfns)
{
	struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfns[0])];

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	MHP_ASSERT(arena->zone_id1 != 0);
	struct mhp__zone *zone = &m->zones[arena->zone_id1 - 1];
	mhp__arena_give_many(m, arena, order, nr, pfns);
	mhp__zone_unlock(m, arena);
	MHP_ASSERT_DEBUG(cache == NULL || zone == &m->zones[(cache - m->caches) / m->geo.nr_cpus]);
	mhp__zone_count(zone, cache, (int64_t)((uint64_t)nr << order));
}

/* Copy pfns so that those of an arena stand together, but for chance meetings in a bucket. Two
 * passes without a branch on the data: for random frees that costs less than a lock for each. */
static void
group_by_arena(const struct mhp *m, unsigned nr, const uint64_t *pfns, uint64_t *ret_pfns)
{
	uint16_t at[GIVE_BUCKETS + 1U] = { 0 };

	MHP_ASSERT_DEBUG(nr <= GIVE_MAX); /* room in ret_pfns */
	for (unsigned i = 0; i < nr; i++)
		at[mhp__pfn_arena(m, pfns[i]) % GIVE_BUCKETS + 1U]++;
	for (unsigned i = 1; i < GIVE_BUCKETS; i++)
		at[i] = (uint16_t)(at[i] + at[i - 1]);
	for (unsigned i = 0; i < nr; i++)
		ret_pfns[at[mhp__pfn_arena(m, pfns[i]) % GIVE_BUCKETS]++] = pfns[i];
	MHP_ASSERT_DEBUG(at[GIVE_BUCKETS - 1U] == nr); /* each went to a place of its own */
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

	MHP_ASSERT_DEBUG(cache == NULL || mhp__rank_held(MHP_RANK_CACHE));
	MHP_ASSERT_DEBUG(nr != 0);
	MHP_ASSERT_DEBUG(order <= MHP_PAGEBLOCK_ORDER(m));
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

	MHP_ASSERT_DEBUG(end <= mhp__max_pfn(m));
	for (; pfn < end; pfn = stop) {
		struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
		uint64_t start = mhp__arena_start(m, arena);

		stop = mhp__arena_next(m, pfn) < end ? mhp__arena_next(m, pfn) : end;
		mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
		MHP_ASSERT(arena->zone_id1 != 0);
		struct mhp__zone *zone = &m->zones[arena->zone_id1 - 1];
		mhp__arena_give_range(m, arena, (uint32_t)(pfn - start), (uint32_t)(stop - start));
		mhp__zone_unlock(m, arena);
		mhp__zone_count(zone, NULL, (int64_t)(stop - pfn));
	}
}
