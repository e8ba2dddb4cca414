/* SPDX-License-Identifier: MIT */
/*
 * shape.c - how much metadata a block takes, and whether it can host it itself.
 *
 * One pure predicate of a shape (orders, size of a descriptor, memory model, what the port says of
 * its mappings), which needs no instance. It is one of the reasons by which physical/placement.c
 * decides where the metadata of a block goes.
 */
#include "memmap/memmap.h"

#include "base/mem.h"

static uint64_t
div_up(uint64_t n, unsigned shift)
{
	MHP_ASSERT_DEBUG(shift < 64);
	return (n >> shift) + ((n & ((UINT64_C(1) << shift) - 1)) != 0);
}

/* One bit a frame, but a word at least for each pageblock. */
static uint64_t
bitmap_bytes(const struct mhp_memmap_shape *shape)
{
	unsigned word_order = shape->pageblock_order < 6 ? shape->pageblock_order : 6;

	MHP_ASSERT_DEBUG(shape->block_order >= word_order);
	return UINT64_C(8) << (shape->block_order - word_order);
}

/* Does a block's slice of the array begin and end where a mapping does? Else one mapping would show
 * descriptors of two blocks, and could not go with either. */
static bool
slice_is_ours(const struct mhp_memmap_shape *shape, uint64_t descriptor_bytes)
{
	if (!shape->vmemmap)
		return true;
	if (shape->caps.granule_shift < shape->page_shift || shape->caps.granule_shift > 40 ||
	    shape->caps.large_granule_shift > 40)
		return false;
	return (descriptor_bytes & ((UINT64_C(1) << shape->caps.granule_shift) - 1)) == 0;
}

/* May a geometry have these orders? The arithmetic is right for those only. */
static bool
orders_fit(const struct mhp_memmap_shape *shape)
{
	return shape->page_shift >= 6 && shape->page_shift <= 16 && shape->block_order <= 30 &&
	       shape->pageblock_order <= MHP_PAGEBLOCK_ORDER_MAX &&
	       shape->pageblock_order <= shape->block_order;
}

static void
measure(const struct mhp_memmap_shape *shape, struct mhp_memmap_answer *answer)
{
	uint64_t frames = UINT64_C(1) << shape->block_order;
	uint64_t heads = frames >> shape->pageblock_order; /* memmap.h: they stand apart */
	uint64_t bytes = (frames + heads) * shape->descriptor_bytes + bitmap_bytes(shape);
	uint64_t pages = div_up(bytes, shape->page_shift);

	MHP_ASSERT_DEBUG(pages << shape->page_shift >= bytes);
	answer->waste_bytes = (uint32_t)((pages << shape->page_shift) - bytes);
	if (shape->vmemmap)
		pages += shape->caps.tables_per_block;
	answer->nr_vmemmap_pages = pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX;
}

bool
mhp_supports_memmap_on_memory(const struct mhp_memmap_shape *shape,
			      struct mhp_memmap_answer *ret_answer)
{
	memset(ret_answer, 0, sizeof(*ret_answer));
	ret_answer->reason = MHP_MEMMAP_BAD_GEOMETRY;
	if (!orders_fit(shape))
		return false;
	measure(shape, ret_answer);
	if (!slice_is_ours(shape, (uint64_t)shape->descriptor_bytes << shape->block_order))
		return false;
	ret_answer->reason = ret_answer->nr_vmemmap_pages >> shape->block_order != 0 ?
				     MHP_MEMMAP_NO_USABLE_PAGE : MHP_MEMMAP_OK;
	return ret_answer->reason == MHP_MEMMAP_OK;
}

const char *
mhp_memmap_reason_text(enum mhp_memmap_reason reason)
{
	static const char *const text[] = {
		[MHP_MEMMAP_OK] = "the block hosts its own metadata",
		[MHP_MEMMAP_NOT_ASKED] = "self-hosting was not asked for",
		[MHP_MEMMAP_SWITCHED_OFF] = "memmap_on_memory is off",
		[MHP_MEMMAP_NO_USABLE_PAGE] = "the metadata would fill the block",
		[MHP_MEMMAP_BAD_PAGE] = "a page with a memory error is where the metadata would be",
		[MHP_MEMMAP_BOOT] = "a boot block was in use before it had metadata",
		[MHP_MEMMAP_BAD_GEOMETRY] = "one mapping granule would serve two blocks",
	};
	return (size_t)reason < sizeof(text) / sizeof(text[0]) ? text[reason] : "?";
}

struct mhp_memmap_shape
mhp_memmap_shape(const struct mhp *m)
{
	struct mhp_memmap_shape shape;

	memset(&shape, 0, sizeof(shape));
	shape.page_shift = m->geo.page_shift;
	shape.block_order = m->geo.block_order;
	shape.pageblock_order = m->geo.pageblock_order;
	shape.descriptor_bytes = sizeof(struct mhp__page);
	shape.vmemmap = MHP_VMEMMAP;
	shape.caps = m->caps;
	return shape;
}
