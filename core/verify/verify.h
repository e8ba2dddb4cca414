/* SPDX-License-Identifier: MIT */
/*
 * verify.h - what the files of the verifier share: check.c (instance, order of things),
 * check_blocks.c (slots), check_zones.c (lists, accounting, caches), check_pages.c (bitmaps,
 * descriptors).
 *
 * A stage trusts what the stages before it found in order, and nothing else: an index or pointer
 * is only followed after it was compared with what it must be. So a stage with findings is the
 * last one, and no flipped bit makes the verifier itself go astray.
 */
#ifndef MHP_CORE_VERIFY_H
#define MHP_CORE_VERIFY_H

#include "memmap/memmap.h"
#include "state/instance.h"
#include "verify/report.h"

/* A set of frames, as far as it takes to compare two of them. */
struct mhp__frame_set {
	uint64_t nr, sum, mix;
};

/* Totals over a zone's blocks, arenas and descriptors. */
struct mhp__zone_tally {
	unsigned id;
	uint32_t nr_blocks;
	uint32_t nr_of_list[MHP_LISTS];
	uint64_t start_pfn, end_pfn, present, nr_free;
	struct mhp__frame_set ownerless; /* taken frames that are in no page */
	struct mhp__frame_set cached;
};

static inline void
mhp__frame_set_add(struct mhp__frame_set *set, uint64_t pfn)
{
	set->nr++;
	set->sum += pfn;
	set->mix += (pfn ^ pfn >> 7) * (pfn | 1);
}

/* Are the block's usable pages with the allocator? */
bool mhp__check_attached(const struct mhp__check *c, uint32_t block);
/* First usable page of a block that is there. */
static inline uint64_t
mhp__check_usable(const struct mhp *m, uint32_t block)
{
	return mhp__block_start(m, block) + m->blocks[block].altmap.capacity;
}

void mhp__check_slots(struct mhp__check *c);
void mhp__check_hosts(struct mhp__check *c);
void mhp__check_zones(struct mhp__check *c);
/* The arenas that lie in [start_pfn, end_pfn) as a whole are all-zero: no zone has them. */
void mhp__check_blank(struct mhp__check *c, uint64_t start_pfn, uint64_t end_pfn);
/* Arenas of an attached block; adds to the tally. */
void mhp__check_arenas(struct mhp__check *c, struct mhp__zone_tally *tally, uint32_t block);
/* All descriptors in [start_pfn, end_pfn) are all-zero. */
void mhp__check_clear(struct mhp__check *c, uint64_t start_pfn, uint64_t end_pfn);

#endif
