/* SPDX-License-Identifier: MIT */
/*
 * decay.h - what the allocator keeps without need goes back to the pool.
 */
#ifndef MHP_HEAP_DECAY_H
#define MHP_HEAP_DECAY_H

/* In the companion: have it given back, and wait for that, some seconds at most. */
void mhp__decay_now(void);

#endif
