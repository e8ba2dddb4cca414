/* SPDX-License-Identifier: MIT */
/*
 * control.h - let others watch and steer a pool of this process through a socket.
 *
 * The protocol is in control/protocol.h. The server is a few threads of the process that owns the
 * pool; they use no malloc, so that they can live beside a heap on the same pool.
 */
#ifndef MEMPLUG_CONTROL_H
#define MEMPLUG_CONTROL_H

#include <memplug/linux.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp_control_opts {
	const char *name;          /* what `memplug -p` finds it by; NULL: the program's name */
	struct mhp_backing backing; /* of adds that do not name one */
	uint64_t (*get_max)(void); /* how far the pool grows by itself; NULL: it does not */
	void (*set_max)(uint64_t max_bytes);
};

/**
 * Serve @pool on a socket in $XDG_RUNTIME_DIR/memplug, or /run/memplug for root.
 *
 * Only the user that runs the process, and root, are served. One pool per process.
 * Return: 0, MHP_EBUSY (served already), or another error; @reterr says what was in the way.
 */
MHP_MUST_CHECK int mhp_control_start(struct mhp_pool *pool, const struct mhp_control_opts *opts,
				     struct mhp_text *reterr);

/**
 * Keep the events of the pool for `memplug monitor` and `memplug metrics`.
 *
 * To be given as trace to mhp_pool_create(), with any trace_ctx; without it those two say that
 * nothing was told. For the one pool that is served. It never blocks.
 */
void mhp_control_trace(void *trace_ctx, const struct mhp_event *event);

#ifdef __cplusplus
}
#endif
#endif
