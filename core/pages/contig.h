/* SPDX-License-Identifier: MIT */
/*
 * contig.h - ranges of frames of any length, for the engine's own owners too.
 */
#ifndef MHP_CORE_CONTIG_H
#define MHP_CORE_CONTIG_H

#include "state/instance.h"

MHP_MUST_CHECK int mhp__pages_alloc_contig(struct mhp *m, struct mhp_page_req req,
					   uint64_t nr_pages, uint64_t *ret_pfn);
void mhp__pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr_pages);

#endif
