/* SPDX-License-Identifier: MIT */
/*
 * ask.c - ask the pool, and stop when the caller is interrupted, the pool dies, or this process is
 * to end.
 *
 * A process that waits for a file system that does not answer cannot even be killed. So every wait
 * here ends on an interrupt. A request that only reads is dropped. One that takes a block out of
 * use is cancelled, and its end is awaited for a moment, so that the block is online again when the
 * caller goes on; a change that is not over by then is cancelled in the background.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tree.h"

#define LOOK_MS 200                    /* how often somebody who waits looks whether we shall end */
#define CONNECT_MS 5
#define CANCEL_MS 10
#define CANCELS_AWAITED 100            /* of CANCEL_MS each */

void
tree_call_begin(struct tree_call *call, const struct tree *tree, long block)
{
	*call = (struct tree_call){ .fd = -1, .wake = -1, .block = block, .tree = tree };
}

static void
wake(struct tree_call *call)
{
	uint64_t one = 1;
	(void)!write(call->wake, &one, sizeof(one));
}

void
tree_interrupt(struct tree_call *call)
{
	atomic_store(&call->interrupted, true);
	if (atomic_load(&call->wake) >= 0)
		wake(call);
}

/* Most calls never wait; those that will can be woken from here on. */
static int
be_wakeable(struct tree_call *call)
{
	if (atomic_load(&call->wake) >= 0)
		return 0;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	atomic_store(&call->wake, fd);
	if (atomic_load(&call->interrupted))
		wake(call);
	return 0;
}

bool
tree_is_dead(const struct tree *tree)
{
	struct pollfd process = { .fd = tree->pidfd, .events = POLLIN };
	return tree->pidfd >= 0 && poll(&process, 1, 0) > 0;
}

/* Has the caller had enough? */
static bool
is_interrupted(const struct tree_call *call)
{
	return atomic_load(&call->interrupted) || call->tree->is_ending();
}

/*
 * 0: there is something to read; -EAGAIN: not within the time. The pool's process is watched, too:
 * a child that it forked may hold the connection open.
 */
static int
await(const struct tree_call *call, bool interruptible, int timeout_ms)
{
	struct pollfd all[3] = {
		{ .fd = call->fd, .events = POLLIN },
		{ .fd = call->tree->pidfd, .events = POLLIN },
		{ .fd = interruptible ? call->wake : -1, .events = POLLIN },
	};
	if (poll(all, 3, timeout_ms) < 0 && errno != EINTR)
		return -errno;
	if (all[0].revents != 0)
		return 0;
	if (all[1].revents != 0)
		return -ENODEV;
	return all[2].revents != 0 || (interruptible && call->tree->is_ending()) ? -EINTR : -EAGAIN;
}

static int
connect_to_pool(struct tree_call *call)
{
	for (;;) {
		call->fd = mhp__connect(&call->tree->peer);
		if (call->fd != -EAGAIN)
			break;
		struct pollfd woken = { .fd = call->wake, .events = POLLIN };
		if (poll(&woken, 1, CONNECT_MS) > 0 || call->tree->is_ending())
			return -EINTR;
		if (tree_is_dead(call->tree))
			return -ENODEV;
	}
	if (call->fd >= 0)
		return 0;
	int err = call->fd;
	call->fd = -1;
	return err;
}

static void
hang_up(struct tree_call *call)
{
	close(call->fd);
	call->fd = -1;
}

/* Read what is there; true: that was all, or it went wrong. */
static bool
read_on(struct tree_call *call, int *ret_err)
{
	*ret_err = mhp__read_answer(call->fd, &call->text, &call->used);
	if (*ret_err == -EAGAIN || *ret_err == -EINTR)
		return false;
	hang_up(call);
	return true;
}

/* Cancel, again and again, since it may not have begun yet; false: it has not answered by then. */
static bool
cancel(struct tree_call *call, int tries, int *ret_err)
{
	for (int i = 0; i < tries; i++) {
		mhp__send_cancel(&call->tree->peer, call->block);
		if (await(call, false, CANCEL_MS) == 0 && read_on(call, ret_err))
			return true;
		if (tree_is_dead(call->tree))
			break;
	}
	return false;
}

static int
await_answer(struct tree_call *call)
{
	for (;;) {
		int err = await(call, true, LOOK_MS);
		if (err == 0 && read_on(call, &err))
			return err;
		bool leaves = err == -EINTR && call->block >= 0;
		if (leaves && cancel(call, CANCELS_AWAITED, &err))
			return err;
		if (!leaves && err != -EAGAIN)
			hang_up(call);
		if (err != -EAGAIN)
			return err;
	}
}

static struct json_object *
parse(const struct tree_call *call, int *ret_err, bool *ret_answered)
{
	struct json_object *code, *answer = json_tokener_parse(call->text);
	*ret_err = answer != NULL ? 0 : -EPROTO;
	if (answer == NULL || !json_object_object_get_ex(answer, "error", &code))
		return answer;
	*ret_answered = true;
	*ret_err = json_object_get_int(code);
	/* Cancelled, and not by the caller of another tool: it is we who did it. */
	if (*ret_err == -ECANCELED && is_interrupted(call))
		*ret_err = -EINTR;
	if (*ret_err >= 0)
		*ret_err = -EPROTO;
	json_object_put(answer);
	return NULL;
}

struct json_object *
tree_ask(struct tree_call *call, struct mhp__line *line, int *ret_err, bool *ret_answered)
{
	const char *whole = mhp__line_end(line);
	*ret_answered = false;
	if (whole == NULL) {
		*ret_err = -EINVAL;
		return NULL;
	}
	call->used = 0;
	call->tree->will_wait();
	*ret_err = tree_is_dead(call->tree) ? -ENODEV : be_wakeable(call);
	if (*ret_err == 0)
		*ret_err = connect_to_pool(call);
	if (*ret_err == 0)
		*ret_err = mhp__send_line(call->fd, whole);
	if (*ret_err == 0)
		*ret_err = await_answer(call);
	if (*ret_err != 0)
		return NULL;
	return parse(call, ret_err, ret_answered);
}

void
tree_call_end(struct tree_call *call)
{
	int err;
	/* Bound: the pool gives up at its deadline. It cancels the rest when we hang up. */
	while (call->fd >= 0 && call->block >= 0 && !tree_is_dead(call->tree) &&
	       !call->tree->is_ending())
		if (cancel(call, CANCELS_AWAITED, &err))
			break;
	if (call->fd >= 0)
		hang_up(call);
	if (call->wake >= 0)
		close(call->wake);
	free(call->text);
}
