/* SPDX-License-Identifier: MIT */
/*
 * seen.c - the windows that a turn of tiering looks at, and what of them can move.
 *
 * Windows are taken round and round, by two cursors, so that those near are seen however many are
 * far. Pieces of ordinary memory cost a mapping each while they are looked at, so they are told
 * apart when a window is new, or known to be uneven, and now and then; never those of a large page.
 * Where a policy says which nodes a region's pages belong to (interleave, bind), they stay there.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "seen.h"

#define SCAN_MAX 8192U                 /* windows that are gone through to find some */
#define FINE_LOOKS 5U                  /* of a window that is new; then every FINE_EVERY-th */
#define FINE_EVERY 8U

static bool
has_windows(const struct mhp_region *region)
{
	return region->live && !region->over && region->top != 0 &&
	       region->spread->mode != MHP_SPREAD_INTERLEAVE &&
	       region->spread->mode != MHP_SPREAD_BIND;
}

/* Is there heat for the windows of a region? False: there is no memory for it. */
static bool
has_heat(struct mhp_region *region)
{
	if (region->heat != NULL)
		return true;
	void *heat = mmap(NULL, mhp__region_heat_bytes(region), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	region->heat = heat == MAP_FAILED ? NULL : heat;
	return region->heat != NULL;
}

static struct mhp__heat_book *
book_of(const struct mhp__seen *seen)
{
	return &seen->region->pool->tiering.book;
}

static bool
is_split(const struct mhp__seen *seen)
{
	const struct mhp__heat *heat = mhp__region_heat(seen->region, seen->window);
	unsigned first = 0;
	(void)mhp__pieces_next(seen->pieces, &first);
	for (unsigned piece = first; piece < MHP__PIECES; piece++)
		if ((seen->pieces >> piece & 1) != 0 && seen->node[piece] != seen->node[first])
			return true;
	return mhp__heat_uneven(book_of(seen), heat + 1);
}

/* ---- taking ---- */

/* Is the piece that begins with this page in use, all of it alike? */
static bool
is_whole(const struct mhp_region *region, uint64_t page)
{
	mhp__entry first = region->entry[page];
	unsigned node = mhp__frame_node(region->space, mhp__entry_pfn(first));
	if ((first & MHP__ENTRY_COMMITTED) == 0)
		return false;
	for (unsigned i = 1; i < MHP__PIECE_PAGES; i++) {
		mhp__entry entry = region->entry[page + i];
		if (((entry ^ first) & (MHP__ENTRY_COMMITTED | MHP__ENTRY_SETTLED)) != 0 ||
		    (mhp__entry_pfn(entry) != mhp__entry_pfn(first) + i &&
		     mhp__frame_node(region->space, mhp__entry_pfn(entry)) != node))
			return false;
	}
	return true;
}

/* Lay out which parts of a window are in use, and where. */
static void
lay_out(struct mhp_region *region, uint64_t window, struct mhp__seen *seen, struct mhp__look *look)
{
	uint64_t first = window * MHP__HUGE_PAGES;
	*seen = (struct mhp__seen){ .region = region, .window = window };
	*look = (struct mhp__look){ .start = mhp__page_address(region, first) };
	for (unsigned piece = 0; piece < MHP__PIECES; piece++) {
		uint64_t page = first + piece * MHP__PIECE_PAGES;
		if (page + MHP__PIECE_PAGES > region->nr_pages || !is_whole(region, page))
			continue;
		mhp__entry entry = region->entry[page];
		seen->pieces |= UINT32_C(1) << piece;
		seen->node[piece] = (uint8_t)mhp__frame_node(region->space, mhp__entry_pfn(entry));
		if ((entry & MHP__ENTRY_SETTLED) != 0)
			look->shared |= UINT32_C(1) << piece;
	}
	look->ordinary = seen->pieces & ~look->shared;
}

static bool
is_on(const struct mhp__seen *seen, unsigned node)
{
	for (unsigned piece = 0; piece < MHP__PIECES; piece++)
		if ((seen->pieces >> piece & 1) != 0 && seen->node[piece] == node)
			return true;
	return false;
}

/* Shall ordinary pieces be told apart in this look? */
static bool
is_fine(const struct mhp__seen *seen, const struct mhp__look *look)
{
	const struct mhp__heat *heat = mhp__region_heat(seen->region, seen->window);
	if (look->ordinary == 0)
		return false;
	if (heat->looks >= FINE_LOOKS && heat->looks % FINE_EVERY != 0 && !is_split(seen))
		return false;
	return look->ordinary != UINT32_MAX || !mhp__sample_is_huge(look->start);
}

/* Go on to the next window. False: the next region has to be looked at first. */
static bool
advance(struct mhp_pool *pool, struct mhp__tier_cursor *at, unsigned *scanned)
{
	struct mhp_region *region = &pool->region[at->region % MHP__REGIONS_MAX];
	if (has_windows(region) && has_heat(region) && at->window * MHP__HUGE_PAGES < region->top) {
		++*scanned;
		return true;
	}
	*at = (struct mhp__tier_cursor){ (at->region + 1) % MHP__REGIONS_MAX, 0 };
	*scanned += SCAN_MAX / MHP__REGIONS_MAX / 2; /* each region once, and more */
	return false;
}

/* Take up to max windows of which something is on the nearest node, or those of which nothing is,
 * from *at on, each once. */
static void
take(struct mhp__seen_set *set, struct mhp_pool *pool, struct mhp__tier_cursor *at, bool near,
     unsigned max, bool pieces)
{
	unsigned nearest = atomic_load(&pool->space.order) & 0xf, scanned = 0, first = set->nr;
	while (set->nr - first < max && scanned < SCAN_MAX) {
		if (!advance(pool, at, &scanned))
			continue;
		struct mhp_region *region = &pool->region[at->region];
		struct mhp__seen *seen = &set->seen[set->nr];
		struct mhp__look *look = &set->look[set->nr];
		if (set->nr > first && set->seen[first].region == region &&
		    set->seen[first].window == at->window)
			return;
		lay_out(region, at->window++, seen, look);
		if (seen->pieces == 0 || is_on(seen, nearest) != near)
			continue;
		look->fine = pieces && is_fine(seen, look);
		set->nr++;
	}
}

/* By address. They were taken in that order, but by two cursors, which start anywhere. */
static void
sort(struct mhp__seen_set *set)
{
	for (unsigned gap = set->nr / 2; gap > 0; gap /= 2)
		for (unsigned i = gap; i < set->nr; i++) {
			struct mhp__seen seen = set->seen[i];
			struct mhp__look look = set->look[i];
			unsigned at = i;
			for (; at >= gap && set->look[at - gap].start > look.start; at -= gap) {
				set->seen[at] = set->seen[at - gap];
				set->look[at] = set->look[at - gap];
			}
			set->seen[at] = seen;
			set->look[at] = look;
		}
}

void
mhp__seen_take(struct mhp__seen_set *set, struct mhp_pool *pool, bool pieces)
{
	struct mhp__tiering *tiering = &pool->tiering;
	set->nr = 0;
	take(set, pool, &tiering->near, true, MHP__SEEN_WINDOWS / 2, pieces);
	take(set, pool, &tiering->far, false, MHP__SEEN_WINDOWS - set->nr, pieces);
	sort(set);
}

bool
mhp__seen_is_same(const struct mhp__seen_set *set, unsigned index, uint32_t pieces)
{
	const struct mhp__seen *seen = &set->seen[index];
	struct mhp_region *region = seen->region;
	struct mhp__seen now;
	struct mhp__look look;
	if (!has_windows(region) || seen->window * MHP__HUGE_PAGES >= region->top ||
	    region->heat == NULL || atomic_load(&region->pool->forking))
		return false;
	lay_out(region, seen->window, &now, &look);
	return look.start == set->look[index].start &&
	       ((look.shared ^ set->look[index].shared) & pieces) == 0 &&
	       ((look.ordinary ^ set->look[index].ordinary) & pieces) == 0;
}

/* ---- noting ---- */

static void
add_unit(struct mhp__seen_set *set, unsigned index, uint32_t pieces, struct mhp__heat *heat,
	 float rate, float variance)
{
	unsigned first = 0, nr = 0;
	(void)mhp__pieces_next(pieces, &first);
	for (uint32_t left = pieces; left != 0; left &= left - 1)
		nr++;
	set->part[set->nr_units] = (struct mhp__seen_part){ index, pieces };
	set->unit[set->nr_units++] = (struct mhp__tier_unit){
		.heat = heat, .rate = rate, .variance = variance, .pages = nr * MHP__PIECE_PAGES,
		.start = set->look[index].start + first * MHP__PIECE_BYTES,
		.node = set->seen[index].node[first] };
}

static void
add_units(struct mhp__seen_set *set, unsigned index, bool pieces)
{
	const struct mhp__seen *seen = &set->seen[index];
	struct mhp__heat *heat = mhp__region_heat(seen->region, seen->window);
	if (!pieces || !is_split(seen)) {
		add_unit(set, index, seen->pieces, heat, mhp__heat_rate(heat),
			 mhp__heat_variance(heat));
		return;
	}
	float mean = mhp__heat_mean(heat + 1);
	for (unsigned piece = 0; piece < MHP__PIECES; piece++)
		if ((seen->pieces >> piece & 1) != 0)
			add_unit(set, index, UINT32_C(1) << piece, &heat[1 + piece],
				 mhp__heat_expect(book_of(seen), &heat[1 + piece], mean), 0);
}

static void
note_look(const struct mhp__seen *seen, const struct mhp__look *look)
{
	struct mhp__heat *heat = mhp__region_heat(seen->region, seen->window);
	uint64_t over_ns = look->over_ns > look->over_shared_ns ? look->over_ns
								: look->over_shared_ns;
	uint32_t known = look->known & seen->pieces;
	if (known == seen->pieces) /* near and far are seen in the same parts */
		mhp__heat_note(heat, (unsigned)__builtin_popcount(look->seen & known),
			       (unsigned)__builtin_popcount(known), over_ns);
	else
		mhp__heat_note(heat, look->used, look->parts, over_ns);
	mhp__heat_learn(book_of(seen), heat + 1, look->known & look->ordinary, look->seen,
			look->over_ns);
	mhp__heat_learn(book_of(seen), heat + 1, look->known & look->shared, look->seen,
			look->over_shared_ns);
}

void
mhp__seen_note(struct mhp__seen_set *set, bool pieces)
{
	unsigned kept = 0;
	set->nr_units = 0;
	for (unsigned i = 0; i < set->nr; i++) {
		const struct mhp__look *look = &set->look[i];
		if (look->parts == 0 ||
		    !mhp__seen_is_same(set, i, UINT32_MAX))
			continue;
		note_look(&set->seen[i], look);
		set->look[kept] = *look;
		set->seen[kept] = set->seen[i];
		add_units(set, kept, pieces);
		kept++;
	}
	set->nr = kept;
}
