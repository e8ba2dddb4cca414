/* SPDX-License-Identifier: MIT */
/*
 * metadata.c - the metadata of a block: where it goes, and the mapping that reaches it.
 *
 * The metadata of a block is one piece, laid out alike in the block itself, on another node, or in
 * memory of the port's: the descriptors; the heads, which are the descriptors of the first frames
 * of pageblocks and are used in place of those (memmap.h); the bitmaps, to a page boundary; then
 * the page-table pages that the port needs for this block's slice. Descriptors come first so that
 * they are as aligned as the block is, which is what large mappings want.
 *
 * Nothing here writes to the metadata: all-zero bits in the slots say that it has never been used.
 * Descriptors that lie in section s describe section s or a later one, since a descriptor is no
 * larger than its frame. So teardown from the last section to the first never reads one whose
 * backing is gone (R27), as long as it reads no heads.
 */
#include "base/mem.h"
#include "memmap/memmap.h"
#include "pages/contig.h"
#include "physical/metadata.h"
#include "state/runs.h"
#include "state/trace.h"

/* ---- the slice of the virtual array that describes a block (vmemmap model) ---- */

static uint64_t
descriptor_bytes(const struct mhp *m)
{
	return mhp__block_pages(m) * sizeof(struct mhp__page);
}

/* From the start of the piece to the bitmaps. */
static uint64_t
bitmap_offset(const struct mhp *m)
{
	return descriptor_bytes(m) + mhp__heads_bytes(m);
}

static unsigned char *
slice_start(const struct mhp *m, uint32_t block)
{
	return (unsigned char *)(m->vmemmap + mhp__block_start(m, block));
}

/* Bytes of the slice that large mappings can cover, given where it is mapped to. They come first: a
 * slice that starts off alignment, or is shorter than a large granule, gets base mappings (R10). */
static uint64_t
large_bytes(const struct mhp *m, uint32_t block, uint64_t backing)
{
	uint64_t granule;

	MHP_ASSERT_DEBUG(MHP_VMEMMAP);
	if (m->caps.large_granule_shift <= m->caps.granule_shift)
		return 0;
	granule = UINT64_C(1) << m->caps.large_granule_shift;
	if ((((uintptr_t)slice_start(m, block) | backing) & (granule - 1)) != 0)
		return 0;
	return descriptor_bytes(m) & ~(granule - 1);
}

static void
unmap_part(struct mhp *m, struct mhp__block *slot, uint32_t block, uint64_t start, uint64_t end,
	   unsigned shift)
{
	struct mhp_altmap *altmap = slot->placement == MHP_PLACE_SELF ? &slot->altmap : NULL;

	MHP_ASSERT_DEBUG(start <= end);
	MHP_ASSERT_DEBUG(end <= descriptor_bytes(m));
	if (start < end)
		m->ops->memmap_unmap(m->port, slice_start(m, block) + start, (end - start) >> shift,
				     shift, altmap);
}

static int
map_part(struct mhp *m, struct mhp__block *slot, uint32_t block, uint64_t start, uint64_t end,
	 unsigned shift)
{
	struct mhp_altmap *altmap = slot->placement == MHP_PLACE_SELF ? &slot->altmap : NULL;
	struct mhp_phys backing = { slot->meta_addr + start };

	MHP_ASSERT_DEBUG(((start | end) & ((UINT64_C(1) << shift) - 1)) == 0);
	if (start == end)
		return 0;
	return m->ops->memmap_map(m->port, slice_start(m, block) + start, backing,
				  (end - start) >> shift, shift, altmap);
}

static void
slice_unmap(struct mhp *m, struct mhp__block *slot, uint32_t block)
{
	uint64_t large = large_bytes(m, block, slot->meta_addr);

	unmap_part(m, slot, block, large, descriptor_bytes(m), m->caps.granule_shift);
	unmap_part(m, slot, block, 0, large, m->caps.large_granule_shift);
}

static int
slice_map(struct mhp *m, struct mhp__block *slot, uint32_t block)
{
	uint64_t large = large_bytes(m, block, slot->meta_addr);
	int err = map_part(m, slot, block, 0, large, m->caps.large_granule_shift);

	if (err != 0)
		return err;
	err = map_part(m, slot, block, large, descriptor_bytes(m), m->caps.granule_shift);
	if (err != 0) {
		unmap_part(m, slot, block, 0, large, m->caps.large_granule_shift);
		return err;
	}
	slot->nr_large_maps = (uint32_t)(large == 0 ? 0 : large >> m->caps.large_granule_shift);
	return 0;
}

/* ---- where the piece lies ---- */

static int
take_self(struct mhp *m, struct mhp__block *slot, uint32_t block, void **ret_virt)
{
	uint32_t tables = MHP_VMEMMAP ? m->caps.tables_per_block : 0;
	uint64_t pfn;
	int err;

	MHP_ASSERT_DEBUG(slot->placement == MHP_PLACE_SELF);
	slot->altmap.base_pfn = mhp__block_start(m, block);
	slot->altmap.capacity = m->block_meta_pages + tables;
	err = mhp_altmap_alloc(&slot->altmap, m->block_meta_pages, &pfn);
	MHP_ASSERT(err == 0); /* the capacity was just computed from it */
	slot->meta_addr = mhp__pfn_phys(m, pfn).addr;
	slot->meta_pages = slot->altmap.capacity;
	slot->meta_node = slot->node;
	*ret_virt = mhp_pfn_to_virt(m, pfn);
	return 0;
}

int
mhp__memmap_take_pages(struct mhp *m, uint32_t block, unsigned node, uint64_t *ret_pfn)
{
	struct mhp_page_req req;

	memset(&req, 0, sizeof(req));
	req.cookie = block;
	req.owner = MHP_OWNER_MEMMAP;
	req.node = (uint8_t)node;
	req.flags = MHP_PAGE_THIS_NODE;
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(block < m->geo.nr_blocks);
	if (MHP_VMEMMAP) /* it is mapped in granules */
		req.order = (uint8_t)(m->caps.granule_shift - m->geo.page_shift);
	return mhp__pages_alloc_by_address(m, req, m->block_meta_pages, ret_pfn);
}

static int
take_from_node(struct mhp *m, struct mhp__block *slot, uint32_t block, void **ret_virt)
{
	uint64_t pfn;
	int err = mhp__memmap_take_pages(m, block, slot->meta_node, &pfn);

	MHP_ASSERT_DEBUG(slot->placement == MHP_PLACE_NODE);
	if (err != 0)
		return err;
	slot->meta_addr = mhp__pfn_phys(m, pfn).addr;
	slot->meta_pages = m->block_meta_pages;
	*ret_virt = mhp_pfn_to_virt(m, pfn);
	return 0;
}

static int
take_external(struct mhp *m, struct mhp__block *slot, void **ret_virt)
{
	uint64_t size = (uint64_t)m->block_meta_pages << m->geo.page_shift;
	struct mhp_meta meta;
	int err;

	MHP_ASSERT_DEBUG(slot->placement == MHP_PLACE_EXTERNAL);
	memset(&meta, 0, sizeof(meta));
	err = m->ops->meta_alloc(m->port, size, slot->node, &meta);
	if (err != 0)
		return err;
	slot->meta_addr = meta.phys.addr;
	slot->meta_pages = m->block_meta_pages;
	slot->meta_node = meta.node;
	*ret_virt = meta.virt;
	return 0;
}

static void
give_external(struct mhp *m, const struct mhp__block *slot)
{
	struct mhp_meta meta;

	MHP_ASSERT_DEBUG(slot->placement == MHP_PLACE_EXTERNAL);
	MHP_ASSERT_DEBUG(slot->bitmap != NULL);
	memset(&meta, 0, sizeof(meta));
	meta.virt = (unsigned char *)slot->bitmap - bitmap_offset(m);
	meta.phys.addr = slot->meta_addr;
	meta.size = (uint64_t)slot->meta_pages << m->geo.page_shift;
	meta.node = slot->meta_node;
	m->ops->meta_free(m->port, &meta);
}

/* The one place that decides where metadata goes back to: where its record says it came from
 * (R28). */
static void
give(struct mhp *m, struct mhp__block *slot)
{
	MHP_ASSERT_DEBUG(slot->meta_pages != 0);
	/* If the counter is not 0 afterwards, a port has lost a table. That is the port's bug, and
	 * harmless, as the page leaves with the block; the fault port reports it. */
	if (slot->placement == MHP_PLACE_SELF)
		mhp_altmap_free(&slot->altmap, m->block_meta_pages);
	else if (slot->placement == MHP_PLACE_NODE)
		mhp__pages_free_contig(m, slot->meta_addr >> m->geo.page_shift, slot->meta_pages);
	else
		give_external(m, slot);
}

int
mhp__memmap_create(struct mhp *m, uint32_t block)
{
	struct mhp__block *slot = &m->blocks[block];
	void *virt = NULL;
	int err;

	MHP_ASSERT_DEBUG(slot->pages == NULL);
	MHP_ASSERT_DEBUG(slot->bitmap == NULL);
	if (slot->placement == MHP_PLACE_SELF)
		err = take_self(m, slot, block, &virt);
	else if (slot->placement == MHP_PLACE_NODE)
		err = take_from_node(m, slot, block, &virt);
	else
		err = take_external(m, slot, &virt);
	if (err != 0)
		return err;

	slot->bitmap = (uint64_t *)(void *)((unsigned char *)virt + bitmap_offset(m));
	atomic_signal_fence(memory_order_seq_cst); /* last: it says that all of it is there */
	slot->pages = MHP_VMEMMAP ? m->vmemmap + mhp__block_start(m, block) : virt;
	MHP_ASSERT_DEBUG(slot->meta_pages >= m->block_meta_pages);
	err = MHP_VMEMMAP ? slice_map(m, slot, block) : 0;
	if (err != 0)
		give(m, slot);
	return err;
}

/* Frames of a section whose descriptors a debug build checks. */
#define RETIRE_LOOK UINT64_C(64)

/* Metadata that was all-zero when the block came is so again when the block goes. Debug builds
 * check it, and only the first few descriptors: reading touches memory that may never have been
 * used, and taking a large sparse pool apart must not bring it to life. */
void
mhp__memmap_retire_section(struct mhp *m, uint32_t block, uint32_t section)
{
	uint64_t start = mhp__block_start(m, block) + section * mhp__section_pages(m);
	uint64_t nr = mhp__section_pages(m) < RETIRE_LOOK ? mhp__section_pages(m) : RETIRE_LOOK;

	if (!MHP_DEBUG || (m->blocks[block].flags & MHP_BLOCK_ZEROED) == 0)
		return;
	for (uint64_t pfn = start; pfn < start + nr; pfn++)
		MHP_ASSERT((pfn & ((UINT64_C(1) << MHP_PAGEBLOCK_ORDER(m)) - 1)) == 0 ||
			   mhp__page_word(mhp__pfn_to_page(m, pfn)) == 0);
}

void
mhp__memmap_destroy(struct mhp *m, uint32_t block)
{
	struct mhp__block *slot = &m->blocks[block];

	MHP_ASSERT_DEBUG(slot->pages != NULL);
	MHP_ASSERT_DEBUG(slot->bitmap != NULL);
	if (MHP_VMEMMAP)
		slice_unmap(m, slot, block);
	slot->pages = NULL; /* after a kill nothing goes back twice */
	atomic_signal_fence(memory_order_seq_cst);
	give(m, slot);
}
