/* SPDX-License-Identifier: MIT */
/*
 * limit.h - how much memory the process may have: the least of the machine's and its cgroups'.
 */
#ifndef MHP_HEAP_LIMIT_H
#define MHP_HEAP_LIMIT_H

#include <stdint.h>

/*
 * The least memory limit of a cgroup and all above it, versions 1 and 2; UINT64_MAX: there is none.
 *
 * @self: a file like /proc/self/cgroup.   @root: where the cgroups are, as at /sys/fs/cgroup.
 */
uint64_t mhp__cgroup_limit(const char *self, const char *root);

/* The default of --max. */
uint64_t mhp__memory_limit(void);

#endif
