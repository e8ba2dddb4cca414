/* SPDX-License-Identifier: MIT */
/*
 * huge.h - whether the memory of a region is to be in huge pages. Region mutex held.
 */
#ifndef MHP_LINUX_HUGE_H
#define MHP_LINUX_HUGE_H

#include "table.h"

/* Tell the kernel of all memory from a page on, and note it. MHP_EOPNOTSUPP, MHP_ENOSPC. */
MHP_MUST_CHECK int mhp__huge_set(struct mhp_region *region, enum mhp_huge how, uint64_t page,
				 struct mhp_text *reterr);

#endif
