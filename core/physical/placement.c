/* SPDX-License-Identifier: MIT */
/*
 * placement.c - where the metadata of the blocks of an add goes: the one decision about a reserve.
 *
 * The flags, the switch and the geometry allow the same for all blocks of an add; a bad page where
 * a reserve would be concerns one block only. The answer is about the add as a whole;
 * mhp__add_reserve() tells it for one block. Must not know: how metadata is made, or what it holds.
 */
#include "base/mem.h"
#include "memmap/memmap.h"
#include "physical/physical.h"
#include "tables/bad.h"

/* The first page with a memory error that lies where a block of the run would have its reserve, or
 * MHP_PFN_NONE. */
static uint64_t
bad_in_reserves(const struct mhp *m, struct mhp_blocks blocks, uint32_t nr_reserve)
{
	uint64_t end = mhp__block_start(m, blocks.first + blocks.count);
	uint64_t start = mhp__block_start(m, blocks.first);

	MHP_ASSERT_DEBUG(nr_reserve < mhp__block_pages(m));
	for (uint32_t i = mhp__bad_find(m, start); i < m->nr_bad && m->bad[i] < end; i++)
		if ((m->bad[i] & (mhp__block_pages(m) - 1)) < nr_reserve)
			return m->bad[i];
	return MHP_PFN_NONE;
}

/* How many blocks of the run cannot have a reserve because of such a page? */
static uint32_t
nr_bad_reserves(const struct mhp *m, struct mhp_blocks blocks, uint32_t nr_reserve)
{
	uint32_t end = blocks.first + blocks.count, nr = 0;
	uint64_t pfn = bad_in_reserves(m, blocks, nr_reserve);

	while (pfn != MHP_PFN_NONE) {
		uint32_t next = mhp__pfn_block(m, pfn) + 1;
		nr++;
		pfn = bad_in_reserves(m, (struct mhp_blocks){ next, end - next }, nr_reserve);
	}
	MHP_ASSERT_DEBUG(nr <= blocks.count);
	return nr;
}

/* Why no block of the add may host its metadata, bad pages apart; MHP_MEMMAP_OK: they may. */
static enum mhp_memmap_reason
why_not_self(const struct mhp *m, uint32_t flags)
{
	struct mhp_memmap_shape shape = mhp_memmap_shape(m);
	struct mhp_memmap_answer can;

	if ((flags & MHP_ADD_BOOT) != 0)
		return MHP_MEMMAP_BOOT;
	if ((flags & MHP_MEMMAP_ON_NODE) != 0)
		return MHP_MEMMAP_NOT_ASKED;
	if ((flags & MHP_MEMMAP_ON_MEMORY) == 0 && m->memmap_switch != MHP_MEMMAP_FORCE)
		return MHP_MEMMAP_NOT_ASKED;
	if (m->memmap_switch == MHP_MEMMAP_OFF)
		return MHP_MEMMAP_SWITCHED_OFF;
	(void)mhp_supports_memmap_on_memory(&shape, &can);
	return can.reason;
}

/* The error of an add that insists on hosting itself: one for each cause that a caller can do
 * something about. */
static int
refusal(enum mhp_memmap_reason reason)
{
	switch (reason) {
	case MHP_MEMMAP_SWITCHED_OFF:
		return MHP_EPERM;
	case MHP_MEMMAP_BAD_PAGE:
		return MHP_EHWPOISON;
	default:
		return MHP_EOPNOTSUPP;
	}
}

static uint32_t
reserve_pages(const struct mhp *m)
{
	return m->block_meta_pages + (MHP_VMEMMAP ? m->caps.tables_per_block : 0U);
}

int
mhp__choose_placement(const struct mhp *m, struct mhp_blocks blocks,
		      const struct mhp_add_opts *opts, struct mhp_add_answer *answer)
{
	uint64_t bad = MHP_PFN_NONE;

	MHP_ASSERT_DEBUG(blocks.count != 0);
	answer->reason = why_not_self(m, opts->flags);
	answer->metadata_node = opts->node;
	if (answer->reason == MHP_MEMMAP_OK) {
		answer->nr_self =
			blocks.count - nr_bad_reserves(m, blocks, reserve_pages(m));
		bad = bad_in_reserves(m, blocks, reserve_pages(m));
	}
	if (answer->nr_self != 0)
		answer->nr_vmemmap_pages = reserve_pages(m);
	if (answer->nr_self == blocks.count)
		return 0;
	if (bad != MHP_PFN_NONE)
		answer->reason = MHP_MEMMAP_BAD_PAGE;
	/* Some blocks fall back, and REQUIRE means all of them. */
	if ((opts->flags & MHP_MEMMAP_REQUIRE) != 0) {
		if (bad != MHP_PFN_NONE)
			answer->conflict = (struct mhp_span){ mhp__pfn_phys(m, bad),
							      mhp__page_bytes(m) };
		return refusal(answer->reason);
	}
	answer->placement = MHP_PLACE_EXTERNAL;
	if ((opts->flags & MHP_MEMMAP_ON_NODE) != 0) {
		answer->placement = MHP_PLACE_NODE;
		answer->metadata_node = opts->metadata_node;
	}
	return 0;
}

/* Derived from the answer and the table of bad frames each time, as there is no memory to keep it
 * for each block of an add. Neither changes while the add has the hotplug lock. */
uint32_t
mhp__add_reserve(const struct mhp *m, uint32_t block, const struct mhp_add_answer *answer)
{
	uint32_t nr = answer->nr_vmemmap_pages;

	MHP_ASSERT_DEBUG(nr == 0 || nr == reserve_pages(m));
	uint64_t bad = bad_in_reserves(m, (struct mhp_blocks){ block, 1 }, nr);

	return bad == MHP_PFN_NONE ? nr : 0;
}
