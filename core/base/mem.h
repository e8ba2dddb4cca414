/* SPDX-License-Identifier: MIT */
/*
 * mem.h - the four functions that the core needs from outside (any compiler may call them anyway).
 */
#ifndef MHP_CORE_MEM_H
#define MHP_CORE_MEM_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#endif
