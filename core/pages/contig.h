/* SPDX-License-Identifier: MIT */
/*
 * contig.h - ranges of frames of any length, for the engine's own owners too.
 */
#ifndef MHP_CORE_CONTIG_H
#define MHP_CORE_CONTIG_H

#include "state/instance.h"

/* As mhp_pages_alloc_contig(), but which range is found follows from what is in use and where the
 * last range lies, never from the order of the zone's lists. For metadata: a preview takes ranges
 * and gives them back, and the commit after it must find the same ones. */
MHP_MUST_CHECK int mhp__pages_alloc_by_address(struct mhp *m, struct mhp_page_req req,
					       uint64_t nr_pages, uint64_t *ret_pfn);
/* The range that was taken last is found again by the next search. */
void mhp__pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr_pages);

/* Where the zones of a node are searched first. A preview puts it back as it was, also where its
 * ranges were found apart from each other. */
struct mhp__contig_hints {
	uint64_t next_pfn[MHP_NODE_ZONES];
};

struct mhp__contig_hints mhp__contig_hints(const struct mhp *m, unsigned node);
void mhp__contig_hints_set(struct mhp *m, unsigned node, struct mhp__contig_hints hints);

#endif
