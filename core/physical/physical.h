/* SPDX-License-Identifier: MIT */
/*
 * physical.h - the physical layer: make address ranges exist, with their metadata, or not exist.
 *
 * Hotplug lock held in all. It leaves blocks OFFLINE and finds them OFFLINE; what happens in
 * between is none of its business.
 */
#ifndef MHP_CORE_PHYSICAL_H
#define MHP_CORE_PHYSICAL_H

#include "state/instance.h"

/* As mhp_add(), but for coming online. */
MHP_MUST_CHECK int mhp__add_memory(struct mhp *m, struct mhp_span span,
				   const struct mhp_add_opts *opts, struct mhp_add_answer *answer);
/* What mhp__add_memory() would say, ports not asked. Fills in answer. */
MHP_MUST_CHECK int mhp__add_memory_foresee(struct mhp *m, struct mhp_span span,
					   const struct mhp_add_opts *opts,
					   struct mhp_add_answer *answer);
/* Remove blocks that are OFFLINE; cannot fail. */
void mhp__remove_blocks(struct mhp *m, struct mhp_blocks blocks, bool scrub);
/* The blocks of a span of whole blocks. Return: 0, MHP_EINVAL, MHP_EOVERFLOW, MHP_ENXIO. */
MHP_MUST_CHECK int mhp__span_blocks(const struct mhp *m, struct mhp_span span,
				    struct mhp_blocks *ret_blocks);

#endif
