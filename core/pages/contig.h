/* SPDX-License-Identifier: MIT */
/*
 * contig.h - ranges of frames of any length, also for the engine's own owners.
 */
#ifndef MHP_CORE_CONTIG_H
#define MHP_CORE_CONTIG_H

#include "state/instance.h"

/* As mhp_pages_alloc_contig(), but the range depends on what is in use and on where the last range
 * lies, never on the order of the zone's lists. For metadata: the commit of a plan must find the
 * ranges that its preview has taken and given back. */
MHP_MUST_CHECK int mhp__pages_alloc_by_address(struct mhp *m, struct mhp_page_req req,
					       uint64_t nr_pages, uint64_t *ret_pfn);
/* Free a range. If it is the one that was taken last, the next search finds it again. */
void mhp__pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr_pages);

/* Where the next search in the zones of a node begins. A preview saves and restores it. */
struct mhp__contig_hints {
	uint64_t next_pfn[MHP_NODE_ZONES];
};

struct mhp__contig_hints mhp__contig_hints(const struct mhp *m, unsigned node);
void mhp__contig_hints_set(struct mhp *m, unsigned node, struct mhp__contig_hints hints);

#endif
