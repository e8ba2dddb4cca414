/* SPDX-License-Identifier: MIT */
/*
 * bound.h - how far a pool may grow below the limit of its cgroup: the arithmetic of follow.c.
 * Pure.
 */
#ifndef MHP_HEAP_BOUND_H
#define MHP_HEAP_BOUND_H

#include <stdbool.h>
#include <stdint.h>

/* The state of a pool and its cgroup, in numbers. Memory of devices is in none of them. */
struct mhp__follow_facts {
	uint64_t block_bytes;
	uint64_t used_bytes;           /* of the pool: what is not free in its blocks */
	uint64_t taken_bytes;          /* of that, what the program has in its hands */
	uint64_t charged_bytes;        /* of that, what the cgroup is charged for; a lower bound */
	uint64_t limit_bytes;          /* the lowest limit; UINT64_MAX: there is none */
	uint64_t room_bytes;           /* until a limit is reached */
	uint64_t fall_bytes;           /* by how much it has fallen lately */
	bool pressed;                  /* others wait for memory */
};
/* UINT64_MAX: there is no bound. */
struct mhp__follow_bounds {
	uint64_t pool_bytes;           /* how many bytes of blocks the pool may have */
	uint64_t taken_bytes;          /* what the program may have in its hands */
	uint64_t large_bytes;          /* beyond this, only small pieces of it */
};
void mhp__follow_bounds(const struct mhp__follow_facts *facts,
			struct mhp__follow_bounds *ret_bounds);
/* The margin kept free below a limit, for memory that is not the pool's: page tables, stacks, the
 * kernel. */
uint64_t mhp__follow_margin(uint64_t limit_bytes);

/* A limit that falls, step by step. All zero at first. */
struct mhp__fall {
	uint64_t bytes;                /* of a step; 0: it does not fall */
	unsigned still;                /* looks since the last step */
	unsigned gap;                  /* looks between two steps */
};
/* A look found limit_bytes, the look before limit_before. A limit that rises, or stands still for
 * as long as three steps last, has stopped falling. */
void mhp__follow_fall(struct mhp__fall *fall, uint64_t limit_before, uint64_t limit_bytes);

#endif
