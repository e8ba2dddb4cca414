/* SPDX-License-Identifier: MIT */
/*
 * peek.c - what a frame is, for anybody who asks.
 *
 * Takes the lock of the frame's arena, so that the answer is of one moment; it may be old when the
 * caller reads it. The bitmap says whether a frame is taken, and only then its descriptor means
 * something. Must not know: blocks' states, why frames below nr_unmanaged are not the allocator's.
 */
#include "memmap/memmap.h"
#include "pages/scan.h"
#include "pages/walk.h"

/* Is the end of pfn's block in use? A block that begins with whole unusable arenas has no slot set
 * up for them. */
static bool
block_has_arena(struct mhp *m, uint64_t pfn)
{
	uint64_t last = pfn | m->block_mask;

	MHP_ASSERT_DEBUG(last < mhp__max_pfn(m));
	struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, last)];

	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	bool there = arena->zone_id1 != 0;
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	return there;
}

/* Is a frame that is taken, and no head, part of a page that starts before it? The nearest head
 * below it, at a boundary where a page could start, tells. Arena lock held. */
static bool
is_tail(struct mhp *m, const struct mhp__arena *arena, uint64_t pfn)
{
	MHP_ASSERT_DEBUG(mhp__arena_taken(m, arena, pfn));
	for (unsigned order = 1; order <= MHP_PAGEBLOCK_ORDER(m); order++) {
		uint64_t head = pfn >> order << order;
		struct mhp__chunk chunk;
		if (head == pfn || !mhp__arena_taken(m, arena, head) ||
		    (head & m->arena_mask) < arena->nr_unmanaged)
			continue;
		mhp__chunk_read(m, head, &chunk);
		if (chunk.owner != MHP_OWNER_NONE)
			return pfn - head < UINT64_C(1) << chunk.order;
	}
	return false;
}

/* Arena lock held, arena online. */
static struct mhp_frame
peek_frame(struct mhp *m, const struct mhp__arena *arena, uint64_t pfn)
{
	uint64_t isolated = atomic_load_explicit(&arena->isolated, memory_order_relaxed);
	struct mhp_frame frame = { .state = MHP_FRAME_FREE };

	MHP_ASSERT_DEBUG(mhp__rank_held(MHP_RANK_ARENA));
	MHP_ASSERT_DEBUG(arena->zone_id1 != 0);
	if ((pfn & m->arena_mask) < arena->nr_unmanaged) {
		frame.state = MHP_FRAME_METADATA;
		return frame;
	}
	frame.isolated = (isolated & mhp__pageblock_bit(m, pfn)) != 0;
	if (mhp__arena_taken(m, arena, pfn)) {
		struct mhp__page *page = mhp__pfn_to_page(m, pfn);
		uint64_t word = mhp__page_word(page);
		if (mhp__word_owner(word) == MHP_OWNER_NONE) {
			frame.state = is_tail(m, arena, pfn) ? MHP_FRAME_TAIL : MHP_FRAME_CACHED;
			return frame;
		}
		frame.state = MHP_FRAME_USED;
		frame.owner = (uint16_t)mhp__word_owner(word);
		frame.order = (uint8_t)mhp__word_order(word);
		frame.cookie = mhp__word_cookie(word);
	}
	return frame;
}

struct mhp_frame
mhp_frame_peek(struct mhp *m, uint64_t pfn)
{
	struct mhp_frame frame = { .state = MHP_FRAME_ABSENT };

	if (pfn >= mhp__max_pfn(m))
		return frame;
	struct mhp__arena *arena = &m->arenas[mhp__pfn_arena(m, pfn)];
	mhp__spin_lock(&arena->lock, MHP_RANK_ARENA);
	bool there = arena->zone_id1 != 0;
	if (there)
		frame = peek_frame(m, arena, pfn);
	mhp__spin_unlock(&arena->lock, MHP_RANK_ARENA);
	if (!there && block_has_arena(m, pfn))
		frame.state = MHP_FRAME_METADATA;
	return frame;
}
