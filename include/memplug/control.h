/* SPDX-License-Identifier: MIT */
/*
 * control.h - let others watch and steer a pool of this process through a socket.
 *
 * The protocol is in control/protocol.h. The server runs in the companion (companion.h), so that
 * the process has no thread and no descriptor of it; it uses no malloc, so that it can live beside
 * a heap on the same pool.
 *
 * Context, unless a function says otherwise: any thread, not a signal handler.
 */
#ifndef MEMPLUG_CONTROL_H
#define MEMPLUG_CONTROL_H

#include <memplug/linux.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a pool knows about its cgroup if it follows the cgroup's limits. */
struct mhp_followed {
	bool on;
	uint64_t limit_bytes;      /* the least memory.max or memory.high; UINT64_MAX: none */
	uint64_t used_bytes;       /* of the cgroup, without what the kernel can drop */
	uint64_t safe_bytes;       /* what the limit can be lowered to */
	uint32_t pressure;         /* how much of the time somebody waited for memory, in 1/100 % */
};

struct mhp_control_opts {
	const char *name;          /* what `memplug -p` finds it by; NULL: the program's name */
	struct mhp_backing backing; /* of adds that do not name one */
	uint64_t (*get_max)(void); /* how far the pool grows by itself; NULL: it does not */
	void (*set_max)(uint64_t max_bytes);
	int (*set_follow)(bool on); /* follow the limits of the cgroup; NULL: it cannot */
	void (*get_followed)(struct mhp_followed *ret_followed);
	/* Called in the companion when blocks cannot leave for lack of room: give back to the pool
	 * what the program keeps there without need, before you return. NULL: it cannot. */
	void (*give_back)(void);
};

/**
 * Serve @pool on a socket in $XDG_RUNTIME_DIR/memplug, or /run/memplug for root.
 *
 * Only the user that runs the process, and root, are served. One pool per process. Until
 * mhp_control_stop() the pool cannot be destroyed.
 * Return: 0, MHP_EBUSY (served already), MHP_EPERM (no socket, or no process, may be made), or what
 * mhp_companion_call() returns; @reterr says what was in the way.
 */
MHP_MUST_CHECK int mhp_control_start(struct mhp_pool *pool, const struct mhp_control_opts *opts,
				     struct mhp_text *reterr);

/**
 * Serve the pool again if nobody serves it: in a forked child, under the name NAME.PID, once it has
 * lived for a tenth of a second, and after somebody killed the companion.
 *
 * Call it now and then, for example when the heap grows. It costs two loads if nothing is to do.
 * Context: as mhp_companion_call(), also inside of malloc. A failure is tried again later.
 */
void mhp_control_wake(void);

/**
 * Prepare for a seccomp filter: serve the pool now, if nobody does, and start no companion from now
 * on (mhp_companion_seal()). Context: as mhp_control_wake().
 */
void mhp_control_seal(void);

/**
 * End what mhp_control_start() began: requests under way are cancelled and waited for, the socket
 * is gone when it returns.
 * Return: 0, or MHP_ENOENT: no pool is served.
 */
int mhp_control_stop(void);

#define MHP_TIERING_TEXT 24U

/**
 * Read tiering as people write it: off, on, or a size such as 64M, which may move in a second.
 * Context: any. Return: 0, or MHP_EINVAL and a sentence.
 */
MHP_MUST_CHECK int mhp_tiering_parse(const char *words, struct mhp_tiering *ret_how,
				     struct mhp_text *reterr);
/** Write the settings of tiering, as mhp_tiering_parse() reads them. Context: any. */
void mhp_tiering_text(const struct mhp_tiering *how, char text[MHP_TIERING_TEXT]);

/**
 * Keep the events of the pool for `memplug monitor` and `memplug metrics`.
 *
 * Give it to mhp_pool_create() as trace, with any trace_ctx, for the one pool that is served;
 * without it the two commands have no events to show. It never blocks.
 */
void mhp_control_trace(void *trace_ctx, const struct mhp_event *event);

#ifdef __cplusplus
}
#endif
#endif
