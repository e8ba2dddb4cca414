/* SPDX-License-Identifier: MIT */
/*
 * budget.h - the budget of kernel mappings: a process has max_map_count of them.
 */
#ifndef MHP_LINUX_BUDGET_H
#define MHP_LINUX_BUDGET_H

#include "text.h"

struct mhp__budget {
	uint64_t limit;                /* the kernel's; 0: not counted yet */
	uint64_t foreign;              /* mappings of the process that are not ours */
};

/* Count what the process has; ours of it are the caller's. Opens files of /proc. */
void mhp__budget_count(struct mhp__budget *budget, uint64_t ours);
/* May nr more mappings be made beside ours, leaving the program its share? */
bool mhp__budget_fits(const struct mhp__budget *budget, uint64_t ours, uint64_t nr);

#endif
