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

/* How much more a cgroup may take. */
struct mhp__room {
	uint64_t limit_bytes;          /* the least memory.max or memory.high up to the root */
	uint64_t room_bytes;           /* until one of them is reached; UINT64_MAX: there is none */
	uint64_t used_bytes;           /* of the cgroup itself, without what the kernel can drop */
	uint32_t pressure;             /* PSI, some avg10, in hundredths of a per cent */
};
void mhp__cgroup_room(const char *self, const char *root, struct mhp__room *ret_room);

/* Anonymous memory of a process that is resident, of a file like /proc/PID/status; UINT64_MAX: it
 * does not say. */
uint64_t mhp__resident_bytes(const char *status);

/* The default of --max. */
uint64_t mhp__memory_limit(void);

#endif
