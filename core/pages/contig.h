/* SPDX-License-Identifier: MIT */
/*
 * contig.h - ranges of frames of any length, for the engine's own owners too.
 */
#ifndef MHP_CORE_CONTIG_H
#define MHP_CORE_CONTIG_H

#include "state/instance.h"

/* A flag of requests, beside MHP_PAGE_*: which range is found depends on what is in use and on
 * where the last one lies, never on the order of the zone's lists. For metadata: a preview takes
 * ranges and gives them back, and the commit behind it must find the same. */
#define MHP__PAGE_BY_ADDRESS 0x80U

MHP_MUST_CHECK int mhp__pages_alloc_contig(struct mhp *m, struct mhp_page_req req,
					   uint64_t nr_pages, uint64_t *ret_pfn);
/* Ranges that are given back in the opposite order leave the zone's hint where it would find the
 * first of them again. */
void mhp__pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr_pages);

#endif
