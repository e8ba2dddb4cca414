/* SPDX-License-Identifier: MIT */
/*
 * pages.h - the page layer, as the layers above see it.
 *
 * Files: arena.c (bitmaps: take and give frames of one arena), zone.c (lists of arenas, and the
 * life of an arena in a zone), walk.c (what is taken in a range), cache.c (per-CPU caches: refill,
 * spill, drain), alloc.c (the public calls), contig.c (ranges longer than a pageblock). The layer
 * knows ranges of usable pages; what the frames before a range's start are used for is not its
 * business.
 */
#ifndef MHP_CORE_PAGES_H
#define MHP_CORE_PAGES_H

#include "memmap/memmap.h"
#include "state/instance.h"

/* ---- arena.c: one arena; the caller holds its lock, and it is online ---- */

static inline unsigned
mhp__arena_pageblocks(const struct mhp *m)
{
	return 1U << (m->arena_order - MHP_PAGEBLOCK_ORDER(m));
}

/* One bit for each pageblock that the arena has. */
static inline uint64_t
mhp__arena_mask(const struct mhp *m)
{
	return UINT64_MAX >> (64U - mhp__arena_pageblocks(m));
}

static inline uint32_t
mhp__arena_index(const struct mhp *m, const struct mhp_arena *arena)
{
	return (uint32_t)(arena - m->arenas);
}

static inline uint64_t
mhp__arena_start(const struct mhp *m, const struct mhp_arena *arena)
{
	return (uint64_t)mhp__arena_index(m, arena) << m->arena_order;
}

/* The first frame of the arena behind pfn's. */
static inline uint64_t
mhp__arena_next(const struct mhp *m, uint64_t pfn)
{
	return (pfn | m->arena_mask) + 1;
}

/* Pageblocks that are wholly free and can be taken as one page: not isolated, and none that nr_head
 * reaches into. */
uint64_t mhp__arena_huge(const struct mhp *m, const struct mhp_arena *arena);
/* Pageblocks that small pages should come from before those: free frames, but no huge page. */
uint64_t mhp__arena_partial(const struct mhp *m, const struct mhp_arena *arena);
/* The class that the arena's counters call for. */
enum mhp_arena_class mhp__arena_classify(const struct mhp *m, const struct mhp_arena *arena);
/* Take up to nr_max pages of order from pageblocks in mask that are not isolated; their pfns.
 * Partly used pageblocks first. Their descriptors are all-zero afterwards. */
unsigned mhp__arena_take(struct mhp *m, struct mhp_arena *arena, unsigned order, uint64_t mask,
			 unsigned nr_max, uint64_t *ret_pfns);
/* Take one frame, isolated or not. False: it is taken already, or not the allocator's. */
bool mhp__arena_take_frame(struct mhp *m, struct mhp_arena *arena, uint64_t pfn);
/* Give nr pages of order back, all of this arena; their descriptors are all-zero. */
void mhp__arena_give_many(struct mhp *m, struct mhp_arena *arena, unsigned order, unsigned nr,
			  const uint64_t *pfns);
/* Is this frame taken? Frames below nr_head are. */
bool mhp__arena_taken(const struct mhp *m, const struct mhp_arena *arena, uint64_t pfn);
/* The first taken frame at or after frame (counted from the arena's start), past the head; the
 * number of its frames when there is none. *ret_end: frames up to there are taken too, as far as
 * one look shows. */
uint32_t mhp__arena_next_taken(const struct mhp *m, const struct mhp_arena *arena, uint32_t frame,
			       uint32_t *ret_end);
/* How many frames from frame on can be taken, or cannot be (*ret_free), as far as one look
 * shows. */
uint32_t mhp__arena_run(const struct mhp *m, const struct mhp_arena *arena, uint32_t frame,
			bool *ret_free);
/* Take the frames [frame, end), all or none. */
bool mhp__arena_take_range(struct mhp *m, struct mhp_arena *arena, uint32_t frame, uint32_t end);
/* Give them back, all of them taken, whatever pages they were; their descriptors are all-zero. */
void mhp__arena_give_range(struct mhp *m, struct mhp_arena *arena, uint32_t frame, uint32_t end);
/* Free frames of one pageblock, and how many are the allocator's. */
unsigned mhp__pageblock_nr_free(const struct mhp *m, const struct mhp_arena *arena,
				unsigned pageblock);
unsigned mhp__pageblock_nr_managed(const struct mhp *m, const struct mhp_arena *arena,
				   unsigned pageblock);

/* ---- zone.c: arenas in a zone ---- */

/* Re-file the arena under its class; takes zone and arena lock. Call after giving or taking,
 * without locks held, when mhp__arena_classify() differs from arena->class. */
void mhp__zone_refile(struct mhp *m, struct mhp_zone *zone, struct mhp_arena *arena);
/* Take up to nr_max pages of order from one arena of the zone, in ascending order; takes zone and
 * arena locks. Partly used pageblocks first, so that wholly free ones last. cache: a closed cache
 * of the zone, which keeps to an arena of its own while there are enough; or NULL. 0: the zone has
 * none. */
unsigned mhp__zone_take(struct mhp *m, struct mhp_zone *zone, unsigned order, unsigned nr_max,
			struct mhp_cache *cache, uint64_t *ret_pfns);
/* Take the frames [pfn, pfn + nr_pages) of one arena, if they are all free and of this zone. */
bool mhp__zone_take_part(struct mhp *m, struct mhp_zone *zone, uint64_t pfn, uint32_t nr_pages);
/* The same from one arena, breaking up no pageblock, and only from those that begin below
 * end_pfn. Returns 0 too when the arena is not the zone's. */
unsigned mhp__zone_take_packed(struct mhp *m, struct mhp_zone *zone, uint32_t arena,
			       uint64_t end_pfn, unsigned order, unsigned nr_max,
			       uint64_t *ret_pfns);
/* Give back taken frames, whatever pages they were; their descriptors are all-zero. Any number of
 * arenas; takes arena and zone locks. */
void mhp__zone_give_range(struct mhp *m, uint64_t pfn, uint64_t nr_pages);
/* Give nr pages of order back to their arenas; takes arena and zone locks. cache: a closed cache,
 * all of whose zone they are, and which counts them; NULL: any mixture of zones. */
void mhp__zone_give(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr,
		    const uint64_t *pfns);
/* Frames that are free in the zone's bitmaps. A snapshot; exact when nobody is in the engine. */
uint64_t mhp__zone_nr_free(const struct mhp *m, const struct mhp_zone *zone);
/* Add what the cache, which is closed, has counted to the zone's counter. */
void mhp__zone_settle(struct mhp_zone *zone, struct mhp_cache *cache);
/* The caches of a zone, one for each CPU. */
static inline struct mhp_cache *
mhp__zone_caches(const struct mhp *m, const struct mhp_zone *zone)
{
	return m->caches + (size_t)mhp__zone_id(m, zone) * m->geo.nr_cpus;
}

/* The usable range [start_pfn, start_pfn + nr_pages) comes to the zone: every arena that it covers
 * is set up with all of its frames free, and isolated until mhp__pages_open(). The range starts
 * anywhere and ends at an arena's end. zeroed: its descriptors are known to be all-zero.
 * O(arenas). */
void mhp__pages_attach(struct mhp *m, struct mhp_zone *zone, uint64_t start_pfn, uint64_t nr_pages,
		       bool zeroed);
/* Nothing of the range is in use (but frames of MHP_OWNER_BAD): the zone forgets it. All is
 * isolated. */
void mhp__pages_detach(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* From now on nothing is taken from pageblocks that the range touches. What caches hold of it, or
 * a push that tested the bits before they were set is about to put there, is
 * out until the caller drains them, once for all its ranges. */
void mhp__pages_isolate(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* Undo it. */
void mhp__pages_open(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* Take a given free frame out of use for ever (owner BAD). False: it is in use. */
bool mhp__pages_take_bad(struct mhp *m, uint64_t pfn);

/* ---- walk.c ---- */

/* A page, as a walk saw it. */
struct mhp_chunk {
	uint64_t pfn;
	uint64_t cookie;
	uint16_t owner;                /* MHP_OWNER_NONE: cached, or on its way */
	uint8_t order;
};

/* Read the descriptor of a frame that is taken. */
static inline void
mhp__chunk_read(const struct mhp *m, uint64_t pfn, struct mhp_chunk *ret_chunk)
{
	const struct mhp_page *page = mhp__pfn_to_page(m, pfn);
	uint64_t word = atomic_load_explicit(&page->word, memory_order_acquire);

	ret_chunk->pfn = pfn;
	ret_chunk->owner = (uint16_t)mhp__word_owner(word);
	ret_chunk->order = (uint8_t)mhp__word_order(word);
	ret_chunk->cookie = ret_chunk->owner == MHP_OWNER_NONE ?
				    0 : atomic_load_explicit(&page->cookie, memory_order_relaxed);
}

/* A walk over what is taken in a range, in address order. It locks one arena at a time, for a
 * batch of pages; what it says is as old as that. */
#define MHP_WALK_BATCH 32U
struct mhp__walk {
	uint64_t pfn, end_pfn;         /* what was not looked at yet */
	unsigned at, nr;               /* of the batch: the next one, how many */
	struct mhp_chunk chunk[MHP_WALK_BATCH];
};

void mhp__walk_begin(struct mhp__walk *walk, uint64_t start_pfn, uint64_t nr_pages);
/* Look at the next batch. False: nothing more is taken. */
bool mhp__walk_look(struct mhp *m, struct mhp__walk *walk);
/* The next page, or NULL. */
static inline const struct mhp_chunk *
mhp__walk_next(struct mhp *m, struct mhp__walk *walk)
{
	if (walk->at == walk->nr && !mhp__walk_look(m, walk))
		return NULL;
	return &walk->chunk[walk->at++];
}
/* Was the page that came last the first of its batch? So often a walk that takes long asks whether
 * it must stop. */
static inline bool
mhp__walk_is_fresh(const struct mhp__walk *walk)
{
	return walk->at == 1;
}
/* Others may have changed what lies ahead: look again. */
static inline void
mhp__walk_refresh(struct mhp__walk *walk)
{
	if (walk->at < walk->nr)
		walk->pfn = walk->chunk[walk->at].pfn;
	walk->nr = walk->at;
}

/* Frames that are free in the bitmaps, in the range. O(arenas), but for those it has a part of. */
uint64_t mhp__pages_nr_free(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);
/* Is nothing of it taken? In a range that is isolated it stays so. */
static inline bool
mhp__pages_are_free(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	return mhp__pages_nr_free(m, start_pfn, nr_pages) == nr_pages;
}

/* ---- cache.c ---- */

/* Refill the cache of this CPU and return one page of it. False: the zone has none. */
bool mhp__cache_refill(struct mhp *m, struct mhp_zone *zone, unsigned order, uint64_t *ret_pfn);
/* Free a page whose cache push failed: spill half of the stack, or give it to its arena. */
void mhp__cache_spill(struct mhp *m, struct mhp_zone *zone, uint64_t pfn, unsigned order);
/* Empty the caches of one zone, all CPUs. */
void mhp__cache_drain(struct mhp *m, struct mhp_zone *zone);
/* Nothing is in the caches of the zone, nor on its way out of one. */
bool mhp__cache_is_empty(const struct mhp *m, const struct mhp_zone *zone);
/* Frames in the caches of one zone. A snapshot. */
uint64_t mhp__cache_nr_frames(const struct mhp *m, const struct mhp_zone *zone);

/* ---- alloc.c ---- */

/* Free an allocated page, its descriptor still in place. */
void mhp__page_release(struct mhp *m, uint64_t pfn, unsigned order);
/* Take up to nr_max pages of order anywhere that pages which can move may lie, all from one arena,
 * caches passed by; descriptors all-zero. node: preferred. 0: there are none. */
unsigned mhp__pages_take(struct mhp *m, unsigned node, unsigned order, unsigned nr_max,
			 uint64_t *ret_pfns);
/* All of a request but its order is in range. */
bool mhp__page_req_is_valid(const struct mhp *m, struct mhp_page_req req);
/* The next zone that may serve it, or NULL; *at is 0 at first. */
struct mhp_zone *mhp__page_req_zone(struct mhp *m, struct mhp_page_req req, unsigned *at);
/* Empty the caches of those zones. False: there was nothing in them. */
bool mhp__page_req_drain(struct mhp *m, struct mhp_page_req req);
/* Is pfn the first frame of a caller's page? Return: 0, or what mhp_page_free() would. */
int mhp__page_look(const struct mhp *m, uint64_t pfn, unsigned *ret_order);

/* Free pages hold a pattern, and taking one checks that it is still whole: someone who writes to
 * what he has freed is found out. Not where memory is sparse: it writes to all of it. */
#ifndef MHP_POISON
#define MHP_POISON MHP_DEBUG
#endif
#if MHP_POISON
void mhp__poison(struct mhp *m, uint64_t pfn, uint64_t nr_pages);
/* check: false where others may have written to it for good reason. */
void mhp__unpoison(struct mhp *m, uint64_t pfn, uint64_t nr_pages, bool check);
#else
static inline void
mhp__poison(struct mhp *m, uint64_t pfn, uint64_t nr_pages)
{
	(void)m, (void)pfn, (void)nr_pages;
}

static inline void
mhp__unpoison(struct mhp *m, uint64_t pfn, uint64_t nr_pages, bool check)
{
	(void)m, (void)pfn, (void)nr_pages, (void)check;
}
#endif

/* ---- contig.c: as the public calls, for the engine's own owners too ---- */

MHP_MUST_CHECK int mhp__pages_alloc_contig(struct mhp *m, struct mhp_page_req req,
					   uint64_t nr_pages, uint64_t *ret_pfn);
void mhp__pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr_pages);

#endif
