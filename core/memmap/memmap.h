/* SPDX-License-Identifier: MIT */
/*
 * memmap.h - pfn <-> descriptor, in both memory models.
 *
 * Model "table" (default): the block's slot points to its descriptors. Model "vmemmap"
 * (MHP_VMEMMAP): one virtual array of all descriptors, a slice of which each add maps onto the
 * block's metadata. The bitmaps are reached through the slot in both, and so are the descriptors of
 * the first frames of pageblocks, whose places in the array stay unused.
 */
#ifndef MHP_CORE_MEMMAP_H
#define MHP_CORE_MEMMAP_H

#include "base/mem.h"
#include "base/sum.h"
#include "state/instance.h"

#ifndef MHP_VMEMMAP
#define MHP_VMEMMAP 0
#endif

/* The index of the descriptor of pfn in the array of all. Each pageblock has its part of the array,
 * and permutes the cache lines (of eight descriptors) in it. In plain order, the descriptors of
 * large pages would be a power of two apart and compete for a few cache sets (measured: twice the
 * time). */
static inline uint64_t
mhp__pfn_place(const struct mhp *m, uint64_t pfn)
{
	uint64_t mask = (UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) - 1;
	MHP_ASSERT_DEBUG(pfn < mhp__max_pfn(m));
	return pfn ^ ((pfn >> MHP_PAGEBLOCK_ORDER(m) << 3) & mask);
}

/* Heads, the descriptors of the first frames of pageblocks, are stored next to each other, so that
 * those of eight huge pages share a cache line (measured: a sixth of the time of a pair). The array
 * of heads goes down from where the bitmaps begin. */
static inline struct mhp__page *
mhp__pageblock_head(const struct mhp *m, uint64_t pfn)
{
	uint64_t pageblock = (pfn & m->block_mask) >> MHP_PAGEBLOCK_ORDER(m);
	void *end = m->blocks[pfn >> m->geo.block_order].bitmap;

	MHP_ASSERT_DEBUG(end != NULL);
	return (struct mhp__page *)end - 1 - pageblock;
}

/* Bytes of all heads of a block. */
static inline uint64_t
mhp__heads_bytes(const struct mhp *m)
{
	return sizeof(struct mhp__page) << (m->geo.block_order - MHP_PAGEBLOCK_ORDER(m));
}

/* The block of pfn is present and stays so: the caller owns a page of it, or holds a lock. */
static inline struct mhp__page *
mhp__pfn_to_page(const struct mhp *m, uint64_t pfn)
{
	uint64_t place = mhp__pfn_place(m, pfn);

	MHP_ASSERT_DEBUG(m->blocks[pfn >> m->geo.block_order].pages != NULL);
	if (MHP_UNLIKELY((pfn & ((UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) - 1)) == 0))
		return mhp__pageblock_head(m, pfn);
	if (MHP_VMEMMAP)
		return m->vmemmap + place;
	return m->blocks[pfn >> m->geo.block_order].pages + (place & m->block_mask);
}

/* The bitmap words of the pageblock that pfn is in. */
static inline uint64_t *
mhp__pfn_bitmap(const struct mhp *m, uint64_t pfn)
{
	uint64_t pageblock = (pfn & m->block_mask) >> MHP_PAGEBLOCK_ORDER(m);

	MHP_ASSERT_DEBUG(m->blocks[mhp__pfn_block(m, pfn)].bitmap != NULL);
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
	/* Acquire pairs with the release of mhp__page_write(): whatever was written before the page
	 * began, its frame's memory and the owner's entry among it, is seen by a walker that finds
	 * the page. */
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

/* The descriptor of an allocated page. */
static inline uint64_t
mhp__word_make(unsigned owner, unsigned order, uint64_t cookie)
{
	uint64_t word = cookie << MHP_WORD_COOKIE | (uint64_t)order << MHP_WORD_ORDER | owner;

	MHP_ASSERT_DEBUG(owner != MHP_OWNER_NONE);
	MHP_ASSERT_DEBUG(owner < MHP_OWNERS_MAX);
	MHP_ASSERT_DEBUG(order < MHP_ORDERS);
	MHP_ASSERT_DEBUG(cookie <= MHP_COOKIE_MAX);
	/* Without a branch: the parity of cookies is as good as random. */
	return word | (uint64_t)(mhp__parity(word) ^ 1U) * MHP_WORD_PARITY;
}

/* Write the descriptor of an allocated page. */
static inline void
mhp__page_write(struct mhp__page *page, uint64_t word)
{
	MHP_ASSERT_DEBUG(mhp__word_owner(word) != MHP_OWNER_NONE);
	MHP_ASSERT_DEBUG(mhp__parity(word) == 1); /* INV 10 */
	atomic_store_explicit(&page->word, word, memory_order_release);
}

static inline void
mhp__page_begin(struct mhp__page *page, unsigned owner, unsigned order, uint64_t cookie)
{
	mhp__page_write(page, mhp__word_make(owner, order, cookie));
}

/* Clear the descriptor: the frame is nobody's. */
static inline void
mhp__page_end(struct mhp__page *page)
{
	atomic_store_explicit(&page->word, 0, memory_order_relaxed);
}

/* Zero the descriptors of the pageblock that starts at pfn, whatever they held. */
static inline void
mhp__pageblock_clear(struct mhp *m, uint64_t pfn)
{
	struct mhp__page *pages = m->blocks[mhp__pfn_block(m, pfn)].pages + (pfn & m->block_mask);

	MHP_ASSERT_DEBUG(pfn % (UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) == 0);
	if (MHP_VMEMMAP)
		pages = m->vmemmap + pfn;
	memset(pages, 0, sizeof(*pages) << MHP_PAGEBLOCK_ORDER(m));
	mhp__page_end(mhp__pageblock_head(m, pfn));
}

#endif
