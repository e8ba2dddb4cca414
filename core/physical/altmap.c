/* SPDX-License-Identifier: MIT */
/*
 * altmap.c - the allocator over the reserve of one block.
 *
 * It hands out pages from the front and counts them; its capacity is the reserve to the page, so an
 * allocation that does not fit fails instead of eating into usable memory. Nothing is reused before
 * the block goes: giving back only counts, and the count must be 0 when the block is gone. Must not
 * know: what the pages are for.
 */
#include <memplug/port.h>

int
mhp_altmap_alloc(struct mhp_altmap *altmap, uint32_t nr, uint64_t *ret_pfn)
{
	if (nr > mhp_altmap_nr_free(altmap))
		return MHP_ENOMEM;
	*ret_pfn = altmap->base_pfn + altmap->allocated;
	altmap->allocated += nr;
	return 0;
}

void
mhp_altmap_free(struct mhp_altmap *altmap, uint32_t nr)
{
	/* A port's bug must not bring the count below 0, where it would hide what others hold. */
	altmap->allocated -= nr <= altmap->allocated ? nr : altmap->allocated;
}
