/* SPDX-License-Identifier: MIT */
/*
 * follow.h - a pool that follows the memory limit of its cgroup (`memplug run --follow`).
 */
#ifndef MHP_HEAP_FOLLOW_H
#define MHP_HEAP_FOLLOW_H

#include <memplug/control.h>

/* What the pool may have, of what the numbers say. Pure. */
struct mhp__follow_facts {
	uint64_t block_bytes;
	uint64_t used_bytes;           /* of the pool */
	uint64_t limit_bytes;          /* the least that holds */
	uint64_t room_bytes;           /* until a limit is reached */
	uint64_t fall_bytes;           /* by how much it has fallen lately */
	bool pressed;                  /* others wait for memory */
};
uint64_t mhp__follow_bound(const struct mhp__follow_facts *facts);
/* What is kept free below a limit, for what is not the pool's: page tables, stacks, the kernel. */
uint64_t mhp__follow_margin(uint64_t limit_bytes);

/* How much the limit falls: what it fell by now, or what is left of the last time, which fades
 * within half a minute. */
uint64_t mhp__follow_fall(uint64_t fall_bytes, uint64_t limit_before, uint64_t limit_bytes);

/* Begin with what --max says, following or not. root: where the cgroups are. */
void mhp__follow_start(bool on, const char *root);
/* A new companion has nobody who follows; costs two loads otherwise. */
void mhp__follow_wake(void);

/* For control: the operator's own bound, which holds beside the limit. */
void mhp__follow_set_max(uint64_t max_bytes);
int mhp__follow_set(bool on);
void mhp__follow_get(struct mhp_followed *ret_followed);

#endif
