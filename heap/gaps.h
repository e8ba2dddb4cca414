/* SPDX-License-Identifier: MIT */
/*
 * gaps.h - sets of address ranges: what is free of a region.
 *
 * Neighbours merge, so a set is as long as its memory is scattered. The sets of one owner share a
 * store of nodes, which is reserved at the start. Each owner has a lock for its own sets, which
 * says nothing of those of another.
 */
#ifndef MHP_HEAP_GAPS_H
#define MHP_HEAP_GAPS_H

#include <stdbool.h>
#include <stdint.h>

enum mhp__gaps_owner { MHP__GAPS_OF_HEAP, MHP__GAPS_OF_MAPS, MHP__GAPS_OWNERS };

/* A set; all-zero is an empty one of the heap. */
struct mhp__gaps {
	uint32_t root;
	enum mhp__gaps_owner owner; /* const */
};

/* Reserve the stores. False: no addresses for them. */
bool mhp__gaps_init(void);
/* Add a range, of which nothing is in the set. False: the store is full, nothing has changed. */
bool mhp__gaps_give(struct mhp__gaps *gaps, uintptr_t start, uintptr_t size);
/* Take this range out. False: not all of it is there, or the store is full; nothing has changed. */
bool mhp__gaps_take(struct mhp__gaps *gaps, uintptr_t start, uintptr_t size);
/* Would a take be refused, wherever it is? */
bool mhp__gaps_full(const struct mhp__gaps *gaps);
/* Bytes from start on that are in the set as one range; 0: start is not in it. */
uintptr_t mhp__gaps_at(const struct mhp__gaps *gaps, uintptr_t start);
/* Bytes right in front of end that are in the set as one range; 0: what is there is not in it. */
uintptr_t mhp__gaps_before(const struct mhp__gaps *gaps, uintptr_t end);
/* The first range that starts above address: its start, or UINTPTR_MAX. */
uintptr_t mhp__gaps_next(const struct mhp__gaps *gaps, uintptr_t address);
/* The lowest range of that size, aligned to alignment (a power of two); 0: there is none. */
uintptr_t mhp__gaps_lowest(const struct mhp__gaps *gaps, uintptr_t size, uintptr_t alignment);
/* The largest range; its size, or 0. */
uintptr_t mhp__gaps_largest(const struct mhp__gaps *gaps, uintptr_t *ret_start);
/* Nodes in use by all sets of the owner of this one. */
uint32_t mhp__gaps_nr(const struct mhp__gaps *gaps);

#endif
