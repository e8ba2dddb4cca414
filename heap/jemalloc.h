/* SPDX-License-Identifier: MIT */
/*
 * jemalloc.h - the part of jemalloc 5's interface that the heap needs, as jemalloc declares it.
 *
 * It is declared here so that building libmemplug needs no jemalloc. mallctl() is weak: a program
 * whose malloc is another runs all the same, and mhp_heap_start() says so. The types are part of
 * jemalloc's ABI since 5.0; an application that includes <jemalloc/jemalloc.h> sees the same.
 */
#ifndef MHP_JEMALLOC_H
#define MHP_JEMALLOC_H

#include <stdbool.h>
#include <stddef.h>

typedef struct extent_hooks_s extent_hooks_t;

struct extent_hooks_s {
	void *(*alloc)(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment,
		       bool *zero, bool *commit, unsigned arena);
	bool (*dalloc)(extent_hooks_t *hooks, void *addr, size_t size, bool committed,
		       unsigned arena);
	void (*destroy)(extent_hooks_t *hooks, void *addr, size_t size, bool committed,
			unsigned arena);
	bool (*commit)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset,
		       size_t length, unsigned arena);
	bool (*decommit)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset,
			 size_t length, unsigned arena);
	bool (*purge_lazy)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset,
			   size_t length, unsigned arena);
	bool (*purge_forced)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset,
			     size_t length, unsigned arena);
	bool (*split)(extent_hooks_t *hooks, void *addr, size_t size, size_t size_a,
		      size_t size_b, bool committed, unsigned arena);
	bool (*merge)(extent_hooks_t *hooks, void *addr_a, size_t size_a, void *addr_b,
		      size_t size_b, bool committed, unsigned arena);
};

__attribute__((weak)) int mallctl(const char *name, void *old, size_t *old_size, void *new,
				  size_t new_size);

#endif
