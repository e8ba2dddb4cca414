/* SPDX-License-Identifier: MIT */
/*
 * aside.c - work that must come to its end, in a process beside the companion.
 *
 * The companion may be killed at any moment. Under a lock that is not robust, such as one of the
 * allocator, that would leave the lock locked for ever. So such work is done in a process that has
 * nothing else to do, lives for milliseconds, and goes on when the companion is killed. It is a
 * child of the companion. Its starter takes the slot of its task; the kernel empties the slot when
 * the process has left our memory. Until then the locks of the engine that it holds are its own:
 * the next companion repairs only what the last companion held. Must not know: what the work is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leader.h"
#include "mhp_port_inline.h"
#include "pool.h"

#define LOOK_MS 10U

/* Of whoever has the slot. */
static struct {
	void (*fn)(void *arg);
	void *arg;
} job;

static _Atomic int *
slot(void)
{
	struct mhp__companion *state = mhp__task_state();
	return &state->tid[MHP__ASIDE];
}

/* Those of before that nobody has waited for. */
static void
reap(void)
{
	while (syscall(SYS_wait4, -1, NULL, WNOHANG | __WALL, NULL) > 0)
		;
}

/* Returns whether it has ended. */
static bool
await_end(_Atomic int *tid, unsigned timeout_ms)
{
	for (unsigned ms = 0; ms < timeout_ms; ms += LOOK_MS) {
		int now = atomic_load(tid);
		if (now == 0)
			return true;
		mhp__futex_wait(tid, now, LOOK_MS);
	}
	return atomic_load(tid) == 0;
}

static void
work(void *arg)
{
	(void)arg;
	mhp_port_mortal = false;
	job.fn(job.arg);
}

int
mhp_companion_aside(void (*fn)(void *arg), void *arg, unsigned timeout_ms)
{
	_Atomic int *tid = slot();
	int none = 0;
	reap();
	if (!atomic_compare_exchange_strong(tid, &none, -1))
		return MHP_EAGAIN;
	job.fn = fn;
	job.arg = arg;
	int error = mhp__task_start(MHP__ASIDE, CLONE_FILES | CLONE_FS, work, NULL, tid);
	if (error != 0) {
		atomic_store(tid, 0);
		return MHP_EAGAIN;
	}
	if (!await_end(tid, timeout_ms))
		return MHP_EAGAIN;
	syscall(SYS_wait4, -1, NULL, __WALL | __WNOTHREAD, NULL);
	return 0;
}

void
mhp__aside_end(void)
{
	int pid = atomic_load(slot());
	if (pid > 0)
		kill(pid, SIGKILL);
}
