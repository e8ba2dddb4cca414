/* SPDX-License-Identifier: MIT */
/*
 * stdlib.h - memory (heap.c), numbers and the environment, which is empty (text.c), and the end
 * (process.c).
 */
#ifndef SUITE_STDLIB_H
#define SUITE_STDLIB_H

#include <stddef.h>

void *malloc(size_t size);
void *calloc(size_t nr, size_t size);
void *realloc(void *at, size_t size);
void *aligned_alloc(size_t align, size_t size);
void free(void *at);
unsigned long long strtoull(const char *text, char **ret_end, int base);
char *getenv(const char *name);
_Noreturn void abort(void);
_Noreturn void exit(int status);

#endif
