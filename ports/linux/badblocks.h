/* SPDX-License-Identifier: MIT */
/*
 * badblocks.h - what the kernel knows to be bad of a device that blocks are pieces of.
 *
 * Knows no pool. Opens files: run it in the companion.
 */
#ifndef MHP_LINUX_BADBLOCKS_H
#define MHP_LINUX_BADBLOCKS_H

#include "space.h"

/* For tests only: a folder that is asked instead of /sys. */
extern const char *mhp__test_sysfs;

/* Bad frames of the blocks [first, first + count) that are pieces of this file: how many, of which
 * up to max are in pfn. None where the kernel does not say. */
uint64_t mhp__badblocks_find(const struct mhp__space *space, const struct mhp__file *file,
			     uint32_t first, uint32_t count, uint64_t *pfn, uint64_t max);

#endif
