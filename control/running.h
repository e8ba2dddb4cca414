/* SPDX-License-Identifier: MIT */
/*
 * running.h - the requests that take blocks out right now, and cancelling them.
 *
 * NULL stands for a request that found the table full: it runs, but nobody can cancel it between
 * two calls of the engine.
 */
#ifndef MHP_CONTROL_RUNNING_H
#define MHP_CONTROL_RUNNING_H

#include "server.h"

struct mhp__running;

/* The runs must stay until mhp__running_end(). */
struct mhp__running *mhp__running_begin(const struct mhp_blocks *runs, unsigned nr, int client_fd);
void mhp__running_end(struct mhp__running *running);
bool mhp__running_canceled(const struct mhp__running *running);
/* From here on, or no longer, the pool is compacted for it. */
void mhp__running_pack(struct mhp__running *running, bool packing);
/* Cancel the requests whose clients are gone; to be called now and then. */
void mhp__running_cancel_gone(void);
/* Nothing runs. */
void mhp__running_reset(void);

#endif
