/* SPDX-License-Identifier: MIT */
/*
 * check_blocks.c - the verifier's look at block slots, runs and totals.
 *
 * A slot is compared with its checksum (INV 4) and then with what the add that wrote it can have
 * written (INV 2): where the metadata lies follows from the placement, to the address, so that
 * pointers in the slot may be used afterwards. From the slots follow the runs (INV 3) and the
 * totals (INV 15). Metadata that lies on another node is followed to its host: it must be pages of
 * MHP_OWNER_MEMMAP there, and no such page may be without a block that it serves (INV 21).
 */
#include "base/mem.h"
#include "memmap/memmap.h"
#include "state/runs.h"
#include "state/seal.h"
#include "verify/verify.h"

struct totals {
	uint32_t present, online;
	uint64_t meta_pages;
};

static const struct mhp__block absent;

static uint32_t
tables_per_block(const struct mhp *m)
{
	return MHP_VMEMMAP ? m->caps.tables_per_block : 0;
}

/* ---- the record of a block (INV 2) ---- */

/* The altmap: the reserve to the page where the block hosts itself, nothing elsewhere. */
static void
check_altmap(struct mhp__check *c, uint32_t block)
{
	const struct mhp *m = c->m;
	const struct mhp__block *slot = &m->blocks[block];
	bool self = slot->placement == MHP_PLACE_SELF;
	uint32_t capacity = self ? m->block_meta_pages + tables_per_block(m) : 0;

	(void)mhp__check_eq(c, 2, "base of the altmap of a block", block, slot->altmap.base_pfn,
			    self ? mhp__block_start(m, block) : 0);
	(void)mhp__check_eq(c, 2, "capacity of the altmap of a block", block,
			    slot->altmap.capacity, capacity);
	(void)mhp__check_that(c, 2, "pages taken from the altmap of a block", block,
			      slot->altmap.allocated <= capacity &&
				      (!self || slot->altmap.allocated >= m->block_meta_pages));
	(void)mhp__check_that(c, 2, "usable pages of a block", block,
			      slot->altmap.capacity < mhp__block_pages(m));
}

/* Where descriptors and bitmaps must be, given where the metadata is. */
static void
check_pointers(struct mhp__check *c, uint32_t block)
{
	const struct mhp *m = c->m;
	const struct mhp__block *slot = &m->blocks[block];
	uint64_t descriptor_bytes = mhp__block_pages(m) * sizeof(struct mhp__page);
	uint64_t virt =
		(uint64_t)(uintptr_t)slot->bitmap - mhp__heads_bytes(m) - descriptor_bytes;
	uint64_t pages = virt;

	if (slot->placement != MHP_PLACE_EXTERNAL)
		(void)mhp__check_eq(c, 2, "address of the metadata of a block", block, virt,
				    (uint64_t)(uintptr_t)m->direct_map + slot->meta_addr);
	if (slot->placement == MHP_PLACE_SELF)
		(void)mhp__check_eq(c, 2, "place of the metadata of a block", block,
				    slot->meta_addr,
				    mhp__pfn_phys(m, mhp__block_start(m, block)).addr);
	if (MHP_VMEMMAP)
		pages = (uint64_t)(uintptr_t)(m->vmemmap + mhp__block_start(m, block));
	(void)mhp__check_eq(c, 2, "address of the descriptors of a block", block,
			    (uint64_t)(uintptr_t)slot->pages, pages);
}

/* All that the placement implies. The place of an EXTERNAL block's metadata is the port's word:
 * there is nothing to hold it against but the alignment of the pointers. */
static void
check_metadata(struct mhp__check *c, uint32_t block)
{
	const struct mhp *m = c->m;
	const struct mhp__block *slot = &m->blocks[block];
	uint32_t meta_pages = m->block_meta_pages;

	if (slot->placement == MHP_PLACE_SELF)
		meta_pages += tables_per_block(m);
	(void)mhp__check_eq(c, 2, "metadata pages of a block", block, slot->meta_pages, meta_pages);
	(void)mhp__check_that(c, 2, "metadata node of a block", block,
			      slot->placement == MHP_PLACE_EXTERNAL ||
				      slot->meta_node < m->geo.nr_nodes);
	(void)mhp__check_that(c, 2, "a block hosts itself on its own node", block,
			      slot->placement != MHP_PLACE_SELF || slot->meta_node == slot->node);
	(void)mhp__check_that(c, 2, "a boot block has no reserve", block,
			      slot->placement != MHP_PLACE_SELF ||
				      (slot->flags & MHP_BLOCK_BOOT) == 0);
	(void)mhp__check_that(c, 2, "large mappings of a block", block,
			      MHP_VMEMMAP || slot->nr_large_maps == 0);
	check_altmap(c, block);
	check_pointers(c, block);
}

static void
check_state(struct mhp__check *c, uint32_t block)
{
	const struct mhp__block *slot = &c->m->blocks[block];
	bool at_rest = slot->state == MHP_OFFLINE || slot->state == MHP_ONLINE;

	(void)mhp__check_that(c, 2, "state of a block", block, slot->state <= MHP_GOING_OFFLINE);
	if (!c->inside)
		(void)mhp__check_that(c, 5, "a block is on its way", block, at_rest);
	(void)mhp__check_that(c, 2, "zone of a block", block,
			      slot->state == MHP_OFFLINE ? slot->zone == MHP_ZONE_DEFAULT
							 : mhp__zone_exists(slot->zone));
	(void)mhp__check_that(c, 2, "node of a block", block, slot->node < c->m->geo.nr_nodes);
	(void)mhp__check_that(c, 2, "placement of a block", block,
			      slot->placement <= MHP_PLACE_EXTERNAL);
	(void)mhp__check_eq(c, 2, "unknown flags of a block", block,
			    slot->flags & ~(unsigned)(MHP_BLOCK_BOOT | MHP_BLOCK_ZEROED), 0);
}

/* A slot with a wrong sum is not looked at further: one flipped bit would be reported as many
 * faults, and its pointers might be followed. */
static void
check_slot(struct mhp__check *c, uint32_t block, struct totals *totals)
{
	const struct mhp__block *slot = &c->m->blocks[block];

	MHP_ASSERT_DEBUG(block < c->m->geo.nr_blocks);
	if (slot->state == MHP_ABSENT) {
		(void)mhp__check_that(c, 2, "the slot of an absent block is not all-zero", block,
				      memcmp(slot, &absent, sizeof(absent)) == 0);
		return;
	}
	if (!mhp__check_eq(c, 4, "checksum of the slot of a block", block, slot->check,
			   mhp__block_checksum(slot)))
		return;
	(void)mhp__check_that(c, 4, "a block is of an add that was", block,
			      slot->generation != 0 && slot->generation <= mhp_generation(c->m));
	check_state(c, block);
	check_metadata(c, block);
	totals->present++;
	totals->online += slot->state == MHP_ONLINE;
	totals->meta_pages += slot->meta_pages;
}

/* ---- what follows from the slots ---- */

/* A run that begins at a block, and the block after it, if there is one. Of what is absent no more
 * is looked at than the first slot and the last: a slot there that is not all-zero would make
 * another run, so what is in between was never written (INV 15 counts what is present). */
static void
check_run(struct mhp__check *c, uint32_t start, uint32_t end)
{
	const struct mhp *m = c->m;
	uint32_t block = m->blocks[start].state == MHP_ABSENT ? end : start + 1;

	MHP_ASSERT_DEBUG(start < end);
	MHP_ASSERT_DEBUG(end <= m->geo.nr_blocks);
	for (; block < end; block++)
		(void)mhp__check_that(c, 3, "a block is not like the rest of its run", block,
				      mhp__blocks_alike(m, block - 1, block));
	if (end < m->geo.nr_blocks)
		(void)mhp__check_that(c, 3, "a block is like the run before it", end,
				      !mhp__blocks_alike(m, end - 1, end));
}

static void
check_runs(struct mhp__check *c)
{
	(void)mhp__check_that(c, 3, "block 0 starts a run", 0,
			      !mhp__bitset_test(&c->m->runs, 0));
	for (uint32_t block = 0, end; block < c->m->geo.nr_blocks; block = end) {
		end = mhp__run_end(c->m, block);
		check_run(c, block, end);
	}
}

/* The blocks that leave, or are removed. */
static void
check_scratch(struct mhp__check *c, const struct mhp__bitset *set)
{
	if (!mhp__check_that(c, 22, "levels of the set of leaving blocks", 0,
			     mhp__bitset_sound(set)))
		return;
	if (!c->inside)
		(void)mhp__check_eq(c, 5, "first leaving block", 0, mhp__bitset_next(set, 0),
				    c->m->geo.nr_blocks);
}

/* blocks_online moves within an operation, block by block, and is compared between two only. */
static void
check_totals(struct mhp__check *c, const struct totals *totals)
{
	const struct mhp *m = c->m;

	(void)mhp__check_eq(c, 15, "number of blocks", 0, m->blocks_present, totals->present);
	if (!c->inside)
		(void)mhp__check_eq(c, 15, "number of online blocks", 0, m->blocks_online,
				    totals->online);
	(void)mhp__check_eq(c, 15, "bytes of metadata", 0, m->meta_bytes,
			    totals->meta_pages << m->geo.page_shift);
}

/* Metadata that is known to be zero until its block is used, and zero again afterwards. */
static void
check_zeroed(struct mhp__check *c)
{
	const struct mhp *m = c->m;

	for (uint32_t block = 0; mhp__seek_present(m, &block); block++)
		if (m->blocks[block].state == MHP_OFFLINE &&
		    (m->blocks[block].flags & MHP_BLOCK_ZEROED) != 0)
			mhp__check_clear(c, mhp__block_start(m, block),
					 mhp__block_start(m, block + 1));
}

void
mhp__check_slots(struct mhp__check *c)
{
	struct totals totals = { 0, 0, 0 };

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(c->m));
	if (!mhp__check_that(c, 22, "levels of the set of runs", 0,
			     mhp__bitset_sound(&c->m->runs)))
		return;
	for (uint32_t block = 0, end; block < c->m->geo.nr_blocks; block = end) {
		end = mhp__run_end(c->m, block);
		do
			check_slot(c, block, &totals);
		while (c->m->blocks[block].state != MHP_ABSENT && ++block < end);
	}
	if (c->findings != 0)
		return;
	check_runs(c);
	check_scratch(c, &c->m->leaving);
	check_scratch(c, &c->m->removing);
	check_totals(c, &totals);
	if (c->quiescent && c->findings == 0)
		check_zeroed(c);
}

/* ---- metadata on other nodes (INV 21); after the descriptors were found in order ---- */

/* The pages that hold a block's metadata are pages of MHP_OWNER_MEMMAP, with the block as
 * cookie. */
static void
check_host(struct mhp__check *c, uint32_t block)
{
	const struct mhp *m = c->m;
	const struct mhp__block *slot = &m->blocks[block];
	uint64_t pfn = slot->meta_addr >> m->geo.page_shift, end = pfn + slot->meta_pages;

	while (pfn < end) {
		uint32_t host = pfn < mhp__max_pfn(m) ? mhp__pfn_block(m, pfn) : block;
		const struct mhp__page *page;
		uint64_t word;

		if (!mhp__check_that(c, 21, "host of the metadata of a block", block,
				     host != block && mhp__check_attached(c, host)))
			return;
		page = mhp__pfn_to_page(m, pfn);
		word = mhp__page_word(page);
		if (!mhp__check_eq(c, 21, "owner of a frame (pfn) that holds metadata", pfn,
				   mhp__word_owner(word), MHP_OWNER_MEMMAP))
			return;
		(void)mhp__check_eq(c, 21, "block that a frame (pfn) holds metadata of", pfn,
				    mhp__word_cookie(word), block);
		pfn += UINT64_C(1) << mhp__word_order(word);
	}
}

void
mhp__check_hosts(struct mhp__check *c)
{
	const struct mhp *m = c->m;
	uint64_t nr_hosted = 0;

	for (uint32_t block = 0; mhp__seek_present(m, &block); block++) {
		if (m->blocks[block].placement != MHP_PLACE_NODE)
			continue;
		check_host(c, block);
		nr_hosted += m->blocks[block].meta_pages;
	}
	/* A preview holds the pages of blocks that are not there. */
	(void)mhp__check_that(c, 21, "frames that hold metadata of other blocks", 0,
			      c->inside ? c->nr_memmap >= nr_hosted : c->nr_memmap == nr_hosted);
}
