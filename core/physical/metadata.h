/* SPDX-License-Identifier: MIT */
/*
 * metadata.h - giving a block its metadata, and taking it away. Hotplug lock held in all.
 */
#ifndef MHP_CORE_METADATA_H
#define MHP_CORE_METADATA_H

#include "state/instance.h"

/* Give a block its metadata at the placement that its slot says: fills in pages, bitmap, altmap and
 * the meta_* fields. On error the slot is as before. Return: 0, MHP_ENOMEM, or the port's error. */
MHP_MUST_CHECK int mhp__memmap_create(struct mhp *m, uint32_t block);
/* Pages for the metadata of a block, on a node: contiguous, of MHP_OWNER_MEMMAP. MHP_ENOMEM. */
MHP_MUST_CHECK int mhp__memmap_take_pages(struct mhp *m, uint32_t block, unsigned node,
					  uint64_t *ret_pfn);
/* The descriptors of a section will not be read any more. Sections go from last to first. */
void mhp__memmap_retire_section(struct mhp *m, uint32_t block, uint32_t section);
/* Take the metadata away, by the block's own record: where it came from is where it goes. */
void mhp__memmap_destroy(struct mhp *m, uint32_t block);

#endif
