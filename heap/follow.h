/* SPDX-License-Identifier: MIT */
/*
 * follow.h - a pool that follows the memory limit of its cgroup (`memplug run --follow`).
 */
#ifndef MHP_HEAP_FOLLOW_H
#define MHP_HEAP_FOLLOW_H

#include <memplug/control.h>
#include <stdbool.h>
#include <stdint.h>

/* Begin with what --max says, following or not. root: where the cgroups are. */
void mhp__follow_start(bool on, const char *root);
/* A new companion has nobody who follows; costs two loads otherwise. */
void mhp__follow_wake(void);

/* For control: the operator's own bound, which holds beside the limit. */
void mhp__follow_set_max(uint64_t max_bytes);
int mhp__follow_set(bool on);
void mhp__follow_get(struct mhp_followed *ret_followed);

#endif
