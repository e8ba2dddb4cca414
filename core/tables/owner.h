/* SPDX-License-Identifier: MIT */
/*
 * owner.h - the table of owners, as the engine sees it.
 */
#ifndef MHP_CORE_OWNER_H
#define MHP_CORE_OWNER_H

#include "state/instance.h"

/* Name the engine's own owners and seal the tables; the last step of init but for const_check. */
void mhp__owners_init(struct mhp *m);
/* Length of a name that fits into the tables, or 0. */
size_t mhp__name_length(const char *name);
/* Is it an owner whose pages may exist, the engine's own included? Any context. */
bool mhp__owner_known(const struct mhp *m, unsigned owner);
/* How its pages move; NULL when they cannot, or when there is no such owner. The caller holds the
 * hotplug lock, or knows of a page of this owner that stays. */
const struct mhp_movable_ops *mhp__owner_ops(const struct mhp *m, unsigned owner, void **ret_ctx);

/* Can its pages move? Any context; also of an owner that is forgotten, or that never was. */
static inline bool
mhp__owner_movable(const struct mhp *m, unsigned owner)
{
	MHP_ASSERT_DEBUG(owner < MHP_OWNERS_MAX); /* descriptors have no bits for more */
	return (atomic_load_explicit(&m->owners_movable, memory_order_relaxed) >> owner & 1U) != 0;
}

/* Say what a page is: as its owner describes it, else by the owner's name. */
void mhp__owner_describe(struct mhp *m, unsigned owner, uint64_t pfn, uint64_t cookie,
			 char text[MHP_WHY_TEXT]);

#endif
