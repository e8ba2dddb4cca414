/* SPDX-License-Identifier: MIT */
/*
 * region.h - the addresses of a region: reserve them, open them, give their memory back.
 *
 * Told a region, knows no pool. Region mutex held, except where a region is not known to anybody.
 */
#ifndef MHP_LINUX_REGION_H
#define MHP_LINUX_REGION_H

#include "table.h"

/* Reserve addresses and a table for size bytes. MHP_ENOMEM. */
MHP_MUST_CHECK int mhp__region_build(struct mhp_region *region, uint64_t size,
				     struct mhp_text *reterr);
/* A table for all addresses of the process, and no addresses. MHP_ENOMEM. */
MHP_MUST_CHECK int mhp__region_build_over(struct mhp_region *region, struct mhp_text *reterr);
/*
 * The end of the addresses that the kernel gives to programs which do not ask for more: a power of
 * two that differs between machines and kernels, 2^47 or 2^48 on most. The program's stack lies
 * just below it, so any address there tells.
 */
uint64_t mhp__region_address_end(uint64_t on_stack);
/* Give both back, whatever is there. */
void mhp__region_free(struct mhp_region *region);
/* Make [page, page + nr) readable and writable, and a page after. Errno, or 0. */
MHP_MUST_CHECK int mhp__region_open(struct mhp_region *region, uint64_t page, uint64_t nr);
/* How many mappings opening [page, page + nr) may add. */
uint64_t mhp__region_open_cost(const struct mhp_region *region, uint64_t page, uint64_t nr);
/* The advice for memory that takes the place of this page; MADV_NORMAL where there is none. */
int mhp__region_advice(const struct mhp_region *region, uint64_t page);
/* Tell the kernel of huge pages as the region says; what lies on a device is the device's. Errno,
 * or 0; on an error a part has been told. */
MHP_MUST_CHECK int mhp__region_advise(const struct mhp_region *region);
/* Could [page, page + nr) be dropped, or are its edges inside of large frames of a device? */
bool mhp__region_can_cut(const struct mhp_region *region, uint64_t page, uint64_t nr);
/* Give the memory of pages back: they are ordinary, and read as zeros. Errno, or 0; what is locked
 * stays. */
MHP_MUST_CHECK int mhp__region_drop(struct mhp_region *region, uint64_t page, uint64_t nr);
/* Have pages read as zeros, and give their memory back where that can be done; they stay where they
 * are. Errno, or 0; ordinary memory that is locked stays. */
MHP_MUST_CHECK int mhp__region_zero(struct mhp_region *region, uint64_t page, uint64_t nr);

#endif
