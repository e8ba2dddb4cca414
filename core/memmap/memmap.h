/* SPDX-License-Identifier: MIT */
/*
 * memmap.h - pfn <-> descriptor, in both memory models.
 *
 * Model "table" (default): the block's slot points to its descriptors. Model "vmemmap"
 * (MHP_VMEMMAP): one virtual array of all descriptors, a slice of which each add maps onto the
 * block's metadata. The bitmaps are reached through the slot in both.
 */
#ifndef MHP_CORE_MEMMAP_H
#define MHP_CORE_MEMMAP_H

#include "base/sum.h"
#include "state/instance.h"

#ifndef MHP_VMEMMAP
#define MHP_VMEMMAP 0
#endif

/* Where the descriptor of pfn stands in the array of all: in its pageblock's part, but not at the
 * same place in each. Straight on, those of huge pages would be a power of two apart and fight for
 * the same few cache lines (measured: twice the time). Eight descriptors are one such line. */
static inline uint64_t
mhp__pfn_place(const struct mhp *m, uint64_t pfn)
{
	uint64_t mask = (UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) - 1;
	return pfn ^ ((pfn >> MHP_PAGEBLOCK_ORDER(m) << 3) & mask);
}

/* The block of pfn must be present and stay so: the caller owns a page of it, or a lock. */
static inline struct mhp__page *
mhp__pfn_to_page(const struct mhp *m, uint64_t pfn)
{
	uint64_t place = mhp__pfn_place(m, pfn);
	if (MHP_VMEMMAP)
		return m->vmemmap + place;
	return m->blocks[pfn >> m->geo.block_order].pages + (place & m->block_mask);
}

/* The descriptors of the pageblock that starts at pfn, in no particular order. */
static inline struct mhp__page *
mhp__pageblock_pages(const struct mhp *m, uint64_t pfn)
{
	if (MHP_VMEMMAP)
		return m->vmemmap + pfn;
	return m->blocks[mhp__pfn_block(m, pfn)].pages + (pfn & m->block_mask);
}

/* The bitmap words of the pageblock that pfn is in. */
static inline uint64_t *
mhp__pfn_bitmap(const struct mhp *m, uint64_t pfn)
{
	uint64_t pageblock = (pfn & m->block_mask) >> MHP_PAGEBLOCK_ORDER(m);
	return m->blocks[mhp__pfn_block(m, pfn)].bitmap +
	       (pageblock << m->pageblock_words_shift);
}

/* ---- descriptors ---- */

#define MHP_WORD_ORDER 6U
#define MHP_WORD_PARITY (UINT64_C(1) << 10)
#define MHP_WORD_COOKIE 11U
_Static_assert(MHP_OWNERS_MAX <= 1U << MHP_WORD_ORDER && MHP_ORDERS <= 16U &&
		       MHP_WORD_COOKIE + MHP_COOKIE_BITS == 64U,
	       "a descriptor is one word");

static inline uint64_t
mhp__page_word(const struct mhp__page *page)
{
	/* Acquire: what its owner wrote before it was allocated may be looked at. */
	return atomic_load_explicit(&page->word, memory_order_acquire);
}

static inline unsigned
mhp__word_owner(uint64_t word)
{
	return (unsigned)(word & ((1U << MHP_WORD_ORDER) - 1U));
}

static inline unsigned
mhp__word_order(uint64_t word)
{
	return (unsigned)(word >> MHP_WORD_ORDER & 15U);
}

static inline uint64_t
mhp__word_cookie(uint64_t word)
{
	return word >> MHP_WORD_COOKIE;
}

/* Make page the first frame of an allocated page. */
static inline void
mhp__page_begin(struct mhp__page *page, unsigned owner, unsigned order, uint64_t cookie)
{
	uint64_t word = cookie << MHP_WORD_COOKIE | (uint64_t)order << MHP_WORD_ORDER | owner;

	MHP_ASSERT_DEBUG(owner < MHP_OWNERS_MAX && order < MHP_ORDERS && cookie <= MHP_COOKIE_MAX);
	/* Without a branch: the parity of cookies is as good as random. */
	word |= (uint64_t)(mhp__parity(word) ^ 1U) * MHP_WORD_PARITY;
	atomic_store_explicit(&page->word, word, memory_order_release);
}

/* Make it nobody's again. */
static inline void
mhp__page_end(struct mhp__page *page)
{
	atomic_store_explicit(&page->word, 0, memory_order_relaxed);
}

#endif
