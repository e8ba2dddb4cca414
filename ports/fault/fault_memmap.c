/* SPDX-License-Identifier: MIT */
/*
 * fault_memmap.c - calls about the vmemmap and about external metadata.
 *
 * As fault.c has it, each is checked against the ledger, made to fail or passed on, and written to
 * the ledger: for each base granule of the vmemmap where it lies and whose altmap its tables come
 * from, and for each piece of metadata that it is out. Whatever lies on a section or on a piece
 * keeps that from going.
 */
#include <inttypes.h>

#include "fault_private.h"

/* ---- memmap ---- */

struct slice {
	uint64_t first, end; /* base granules; first == end: the call made no sense */
	uint64_t block;
	uint64_t size;
};

static struct slice
whole_slice(struct mhp_fault *fault, const char *call, const void *virt, uint64_t nr,
	    unsigned shift)
{
	unsigned base = fault->caps.granule_shift;
	uint64_t offset = (uint64_t)((uintptr_t)virt - (uintptr_t)fault->vmemmap);
	bool known = shift == base || (shift != 0 && shift == fault->caps.large_granule_shift);
	if (fault->vmemmap == NULL || !known || nr == 0 || nr > fault->nr_base ||
	    offset % (UINT64_C(1) << shift) != 0 ||
	    (offset + (nr << shift)) >> base > fault->nr_base) {
		mhp__violation(fault,
			       "%s of %" PRIu64 " granules of 2^%u at %p, not in the vmemmap", call,
			       nr, shift, virt);
		return (struct slice){ 0 };
	}
	struct slice slice = { offset >> base, (offset + (nr << shift)) >> base, 0, nr << shift };
	slice.block = slice.first / fault->base_per_block;
	if ((slice.end - 1) / fault->base_per_block != slice.block)
		mhp__violation(fault, "%s of a slice that serves two blocks, %" PRIu64 " the first",
			       call, slice.block);
	return slice;
}

static bool
in_a_meta(const struct mhp_fault *fault, uint64_t addr, uint64_t size)
{
	for (uint32_t i = 0; i < fault->ledger->nr_metas; i++) {
		const struct mhp_meta *meta = &fault->metas[i];
		if (addr >= meta->phys.addr && addr + size <= meta->phys.addr + meta->size)
			return true;
	}
	return false;
}

static void
check_backing(struct mhp_fault *fault, const struct slice *slice, uint64_t addr, unsigned shift,
	      const struct mhp_altmap *altmap)
{
	uint64_t block_bytes = fault->page_bytes << fault->geo.block_order;
	bool own = addr / block_bytes == slice->block;
	if (addr % (UINT64_C(1) << shift) != 0)
		mhp__violation(fault, "memmap_map onto %#" PRIx64 ", misaligned", addr);
	if (!mhp__all_mapped(fault, addr, slice->size) && !in_a_meta(fault, addr, slice->size))
		mhp__violation(fault, "memmap_map onto %#" PRIx64 ", which is not there", addr);
	if (own != (altmap != NULL))
		mhp__violation(fault, "memmap_map of block %" PRIu64 " %s", slice->block,
			       own ? "onto itself without its altmap"
				   : "with an altmap, but external");
	if (altmap != NULL && altmap->base_pfn != slice->block << fault->geo.block_order)
		mhp__violation(fault, "memmap_map of block %" PRIu64 " with another's altmap",
			       slice->block);
	for (uint64_t i = slice->first; i < slice->end; i++)
		if (fault->granules[i].shift != 0)
			mhp__violation(fault, "memmap_map of granule %" PRIu64 ", which is mapped",
				       i);
}

/* Enter or strike out that a granule lies on its backing. */
static void
lie_on(struct mhp_fault *fault, uint64_t index, struct mhp__granule granule, bool on)
{
	uint64_t section = granule.backing / fault->section_bytes;
	if (section < fault->nr_sections)
		fault->sections[section].nr_granules += on ? 1U : -1U;
	fault->ledger->nr_granules += on ? UINT64_C(1) : -UINT64_C(1);
	fault->granules[index] = on ? granule : (struct mhp__granule){ 0 };
}

int
mhp__fault_memmap_map(void *port, void *virt, struct mhp_phys backing, uint64_t nr, unsigned shift,
		      struct mhp_altmap *altmap)
{
	struct mhp_fault *fault = port;
	uint64_t violations = atomic_load(&fault->violations);
	struct slice slice = whole_slice(fault, "memmap_map", virt, nr, shift);
	if (slice.end != 0)
		check_backing(fault, &slice, backing.addr, shift, altmap);
	bool good = atomic_load(&fault->violations) == violations;
	int error = mhp__count_call(fault, MHP_FAULT_MEMMAP_MAP, "memmap_map");
	if (error != 0)
		return error;
	if (!good)
		return MHP_EINVAL;
	error = fault->next->memmap_map(fault->next_port, virt, backing, nr, shift, altmap);
	for (uint64_t i = slice.first; error == 0 && i < slice.end; i++) {
		uint64_t addr = backing.addr + ((i - slice.first) << fault->caps.granule_shift);
		lie_on(fault, i, (struct mhp__granule){ addr, altmap, (uint8_t)shift }, true);
	}
	return mhp__passed_on(fault, error, "memmap_map");
}

void
mhp__fault_memmap_unmap(void *port, void *virt, uint64_t nr, unsigned shift,
			struct mhp_altmap *altmap)
{
	struct mhp_fault *fault = port;
	mhp__want_lock(fault, "memmap_unmap");
	struct slice slice = whole_slice(fault, "memmap_unmap", virt, nr, shift);
	for (uint64_t i = slice.first; i < slice.end; i++) {
		const struct mhp__granule *granule = &fault->granules[i];
		if (granule->shift != shift || granule->altmap != altmap) {
			mhp__violation(fault, "memmap_unmap of granule %" PRIu64 ", not mapped so",
				       i);
			return;
		}
	}
	if (slice.end == 0)
		return;
	for (uint64_t i = slice.end; i < (slice.block + 1) * fault->base_per_block; i++)
		if (fault->granules[i].shift != 0) {
			mhp__violation(fault,
				       "memmap_unmap of block %" PRIu64 " before a later granule",
				       slice.block);
			break;
		}
	for (uint64_t i = slice.first; i < slice.end; i++)
		lie_on(fault, i, fault->granules[i], false);
	fault->next->memmap_unmap(fault->next_port, virt, nr, shift, altmap);
}

/* ---- external metadata ---- */

int
mhp__fault_meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta)
{
	struct mhp_fault *fault = port;
	struct mhp__ledger *ledger = fault->ledger;
	bool good = size != 0 && size % fault->page_bytes == 0 && node < fault->geo.nr_nodes;
	if (!good)
		mhp__violation(fault, "meta_alloc of %" PRIu64 " bytes on node %u", size, node);
	int error = mhp__count_call(fault, MHP_FAULT_META_ALLOC, "meta_alloc");
	if (error != 0)
		return error;
	if (!good)
		return MHP_EINVAL;
	if (ledger->nr_metas == fault->metas_max) {
		mhp__violation(fault, "meta_alloc: more are out than there are blocks");
		return MHP_ENOMEM;
	}
	error = fault->next->meta_alloc(fault->next_port, size, node, ret_meta);
	if (error == 0)
		fault->metas[ledger->nr_metas++] = *ret_meta;
	return mhp__passed_on(fault, error, "meta_alloc");
}

static bool
equal_meta(const struct mhp_meta *a, const struct mhp_meta *b)
{
	return a->virt == b->virt && a->phys.addr == b->phys.addr && a->size == b->size &&
	       a->node == b->node;
}

static bool
carries_memmap(const struct mhp_fault *fault, const struct mhp_meta *meta)
{
	for (uint64_t i = 0; fault->ledger->nr_granules != 0 && i < fault->nr_base; i++)
		if (fault->granules[i].shift != 0 &&
		    fault->granules[i].backing - meta->phys.addr < meta->size)
			return true;
	return false;
}

void
mhp__fault_meta_free(void *port, const struct mhp_meta *meta)
{
	struct mhp_fault *fault = port;
	struct mhp__ledger *ledger = fault->ledger;
	mhp__want_lock(fault, "meta_free");
	uint32_t i = 0;
	while (i < ledger->nr_metas && !equal_meta(&fault->metas[i], meta))
		i++;
	if (i == ledger->nr_metas) {
		mhp__violation(fault, "meta_free of %#" PRIx64 "+%" PRIu64 ", which is not out so",
			       meta->phys.addr, meta->size);
		return;
	}
	if (carries_memmap(fault, meta))
		mhp__violation(fault, "meta_free of %#" PRIx64 ", on which a memmap still lies",
			       meta->phys.addr);
	fault->metas[i] = fault->metas[--ledger->nr_metas];
	fault->next->meta_free(fault->next_port, meta);
}
