/* SPDX-License-Identifier: MIT */
/*
 * pages.h - the page layer, as the layers above see it.
 *
 * Files: arena.c (bitmaps: take and give frames of one arena), zone.c (lists of arenas, and the
 * life of an arena in a zone), cache.c (per-CPU caches: refill, spill, drain), alloc.c (the public
 * calls), contig.c (ranges longer than a pageblock). The layer knows ranges of usable pages; what
 * the frames before a range's start are used for is not its business.
 */
#ifndef MHP_CORE_PAGES_H
#define MHP_CORE_PAGES_H

#include "instance.h"
#include "memmap.h"

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
 * number of its frames when there is none. */
uint32_t mhp__arena_next_taken(const struct mhp *m, const struct mhp_arena *arena, uint32_t frame);
/* How many frames from frame on can be taken, or cannot be (*ret_free), as far as one look
 * shows. */
uint32_t mhp__arena_run(const struct mhp *m, const struct mhp_arena *arena, uint32_t frame,
			bool *ret_free);
/* Take the frames [frame, end), all or none. */
bool mhp__arena_take_range(struct mhp *m, struct mhp_arena *arena, uint32_t frame, uint32_t end);
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
/* Give nr pages of order back to their arenas, any mixture of zones; takes arena and zone locks. */
void mhp__zone_give(struct mhp *m, unsigned order, unsigned nr, const uint64_t *pfns);
/* The same for pages of a closed cache, all of its zone, counted there. */
void mhp__zone_give_cached(struct mhp *m, struct mhp_cache *cache, unsigned order, unsigned nr,
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

/* A run of the walk over a range. */
struct mhp_chunk {
	uint64_t pfn;
	uint64_t cookie;
	uint16_t owner;                /* MHP_OWNER_NONE: cached, or on its way */
	uint8_t order;
};
/* The first taken page at or after *cursor in [.., end_pfn); moves *cursor behind it. False: none
 * left. Locks one arena at a time; the answer is a snapshot, in address order. */
bool mhp__pages_next(struct mhp *m, uint64_t *cursor, uint64_t end_pfn,
		     struct mhp_chunk *ret_chunk);
/* Frames that are free in the bitmaps, in the range. */
uint64_t mhp__pages_nr_free(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);

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
/* Take one page anywhere that pages of this mobility may lie, caches passed by; descriptors
 * all-zero. node: preferred. False: none. Used for room and metadata. */
bool mhp__page_take(struct mhp *m, unsigned node, bool movable, unsigned order, uint64_t *ret_pfn);
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
