/* SPDX-License-Identifier: MIT */
/*
 * remap.h - mremap, also of what the kernel has in several pieces.
 */
#ifndef MHP_HEAP_REMAP_H
#define MHP_HEAP_REMAP_H

#include <stddef.h>

/* The kernel's mremap of memory that the program mapped as one; to counts with MREMAP_FIXED. */
void *mhp__remap(void *start, size_t size, size_t new_size, int flags, void *to);

#endif
