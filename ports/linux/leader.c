/* SPDX-License-Identifier: MIT */
/*
 * leader.c - what runs in the companion, and in the standby.
 *
 * The companion's first task watches the program, its second starts a task for each call that is
 * posted; what else runs there was asked for. Somebody may kill it. So there is a standby, a
 * process that shares the descriptors, too, and only waits: what is open stays open, and it makes
 * the next companion at once. They watch each other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "leader.h"
#include "pool.h"

#define FAILED_MS 50U                  /* the first wait, which doubles up to... */
#define FAILED_MS_MAX 1600U
#define LOOK_MS 200U                   /* how soon we notice that it executes another program */

/* Flags: what a thread of this process shares with it, and what the other of the two processes
 * does. */
#define OF_THREAD (CLONE_THREAD | CLONE_SIGHAND | CLONE_FILES | CLONE_FS | CLONE_SYSVSEM)
#define OF_OTHER (CLONE_FILES | CLONE_FS | CLONE_PARENT)

static struct mhp__companion *_Atomic state;

struct mhp__companion *
mhp__leader_init(void)
{
	state = mhp__task_state();
	MHP__ASSERT(state != NULL); /* mhp__task_init() was */
	return state;
}

int
mhp__companion_program(void)
{
	return state->program;
}

/* ---- threads and calls ---- */

int
mhp_companion_thread(void (*fn)(void *arg), void *arg)
{
	for (unsigned i = MHP__FIRST_THREAD; i < MHP__TASKS; i++) {
		int none = 0;
		if (!atomic_compare_exchange_strong(&state->tid[i], &none, -1))
			continue;
		int error = mhp__task_start(i, OF_THREAD, fn, arg, &state->tid[i]);
		if (error == 0)
			return 0;
		atomic_store(&state->tid[i], 0);
		return mhp__errno(error);
	}
	return MHP_EAGAIN;
}

static void
run_call(void *arg)
{
	struct mhp__call *call = arg;
	MHP__ASSERT(atomic_load(&call->state) == MHP__RUNNING); /* so its caller waits */
	call->result = call->fn(call->arg);
	atomic_store(&call->state, MHP__DONE);
	mhp__futex_wake(&call->state, 1);
}

static void
take_calls(void *arg)
{
	int self = (int)getpid();
	(void)arg;
	for (;;) {
		int bell = atomic_load(&state->bell);
		for (unsigned i = 0; i < MHP__CALLS_MAX; i++) {
			struct mhp__call *call = &state->call[i];
			int posted = MHP__POSTED;
			if (atomic_load(&call->state) != MHP__POSTED)
				continue;
			atomic_store(&call->companion, self);
			if (!atomic_compare_exchange_strong(&call->state, &posted, MHP__RUNNING))
				continue;
			/* Better late than never: those behind it wait. */
			if (mhp_companion_thread(run_call, call) != 0)
				run_call(call);
		}
		mhp__futex_wait(&state->bell, bell, 10000);
	}
}

/* ---- its first task ---- */

/* Nothing of the program's stays open; three descriptors that go nowhere, for who writes there. */
static void
drop_descriptors(void)
{
	struct rlimit files = { 0, 0 };
	getrlimit(RLIMIT_NOFILE, &files);
	if (syscall(SYS_close_range, 0, ~0U, 0) != 0)
		for (rlim_t fd = 0; fd < files.rlim_max && fd < 65536; fd++)
			close((int)fd);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (int i = 0; i < 3; i++)
		if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
			(void)!memfd_create("null", MFD_CLOEXEC);
}

/* Is the program's main thread a zombie, which waits for the others? */
static bool
main_thread_ended(void)
{
	char path[32], stat[256] = "";
	snprintf(path, sizeof(path), "/proc/%d/stat", state->program);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	const char *after = got > 0 ? strrchr(stat, ')') : NULL;
	return after == NULL || strncmp(after, ") Z", 3) == 0;
}

/*
 * Has it not executed another program? We may not be allowed to compare, as with one that has
 * other rights. Then its main thread tells: the kernel marks that it has left this memory. A main
 * thread that has ended while others go on has none any more.
 */
static bool
same_memory(void)
{
	long got = syscall(SYS_kcmp, getpid(), state->program, KCMP_VM, 0, 0);
	if (got == 0 ||
	    (got < 0 && (state->main_tid == NULL || atomic_load(state->main_tid) != 0)))
		return true;
	return main_thread_ended();
}

static void
end(void)
{
	void (*at_end)(void) = atomic_load(&state->at_end);
	atomic_store(&state->over, true);
	mhp__aside_end();
	if (at_end != NULL)
		at_end();
	syscall(SYS_exit_group, 0);
}

void
mhp__leader_tell(int ready)
{
	MHP__ASSERT(ready != 0); /* whoever waits for it would wait on */
	atomic_store(&state->ready, ready);
	mhp__futex_wake(&state->ready, 1);
}

static void stand_by(void *arg);

/* Have a standby, and a descriptor that tells when it ends; fd: that of the last one, or -1. */
static int
keep_standby(int fd)
{
	if (fd >= 0 && atomic_load(&state->tid[MHP__STANDBY]) != 0)
		return fd;
	if (fd >= 0)
		close(fd);
	if (atomic_load(&state->tid[MHP__STANDBY]) == 0 &&
	    mhp__task_start(MHP__STANDBY, OF_OTHER, stand_by, NULL,
			    &state->tid[MHP__STANDBY]) != 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, atomic_load(&state->tid[MHP__STANDBY]), 0);
}

void
mhp__leader_waits(void)
{
	atomic_store(&state->nr_failed, 0);
}

/* ---- pools that somebody may destroy ---- */

void
mhp__pools_enter(void)
{
	atomic_store(&state->in_pools, (int)getpid());
	atomic_thread_fence(memory_order_seq_cst); /* before the list is read */
}

void
mhp__pools_leave(void)
{
	MHP__ASSERT(atomic_load(&state->in_pools) == (int)getpid());
	atomic_store(&state->in_pools, 0);
}

/* Bound: taking over ends, or its companion does. */
void
mhp__pools_wait(void)
{
	atomic_thread_fence(memory_order_seq_cst); /* after the change of the list */
	while (state != NULL && atomic_load(&state->in_pools) != 0 &&
	       atomic_load(&state->in_pools) == atomic_load(&state->tid[MHP__WATCH]))
		mhp__task_pause(1000000);
}

/* Nobody else of ours is there yet, and nobody of the last one's is any more. */
static void
mend_pools(void)
{
	mhp__pools_enter();
	for (unsigned i = 0; i < MHP__POOLS_MAX; i++)
		if (mhp__pools[i] != NULL)
			mhp_threads_lost(mhp__pools[i]->m);
	mhp__pools_leave();
}

/* One of the functions that this companion begins with; a trap in it must not make a loop of
 * companions (back_off()). */
static void
run_next(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;
	void (*fn)(void *fresh) = atomic_load(&state->next[i]);
	MHP__ASSERT(fn != NULL); /* begin_next() counted it */
	fn((void *)(uintptr_t)atomic_load(&state->fresh));
	if (atomic_fetch_sub(&state->nr_next, 1) == 1)
		atomic_store(&state->nr_failed, 0);
}

static void
begin_next(void)
{
	unsigned nr = 0;
	for (unsigned i = 0; i < MHP__NEXT_MAX; i++)
		nr += atomic_load(&state->next[i]) != NULL;
	atomic_store(&state->nr_next, nr);
	if (nr == 0)
		atomic_store(&state->nr_failed, 0);
	for (uintptr_t i = 0; i < nr; i++) /* they come in one after the other */
		(void)!mhp_companion_thread(run_next, (void *)i);
}

/*
 * Take calls, begin with what the last one had, and watch the program and the standby. The first
 * one finds nothing to put right, and keeps away from the locks of pools: a program that is just
 * starting may clone itself past fork()'s handlers (bwrap), and its child would find one locked by
 * nobody whom it knows.
 */
static void
lead(void)
{
	bool first = !atomic_exchange(&state->led, true);
	atomic_fetch_add(&state->nr_failed, 1);
	if (!first) {
		state->standby_fd = keep_standby(state->standby_fd);
		mend_pools();
	}
	int error = state->pidfd < 0 ? ESRCH : 0;
	if (error == 0)
		error = mhp__task_start(MHP__CALLS, OF_THREAD, take_calls, NULL,
					&state->tid[MHP__CALLS]);
	if (error == 0 && !first)
		begin_next();
	else if (error == 0)
		atomic_store(&state->nr_failed, 0);
	mhp__leader_tell(error == 0 ? 1 : -error);
	if (error != 0) /* where somebody stands by, he makes another try */
		syscall(SYS_exit_group, 0);
	struct pollfd watched[2] = { { .fd = state->pidfd, .events = POLLIN },
				     { .fd = -1, .events = POLLIN } };
	while (same_memory() && watched[0].revents == 0) {
		watched[1].fd = state->standby_fd = keep_standby(state->standby_fd);
		poll(watched, 2, LOOK_MS);
	}
	end();
}

/* The first companion, or one after somebody has killed the standby, too. */
void
mhp__leader_watch(void *arg)
{
	struct rlimit no_core = { 0, 0 };
	(void)arg;
	setsid();
	prctl(PR_SET_NAME, "memplug");
	setrlimit(RLIMIT_CORE, &no_core);
	drop_descriptors();
	state->pidfd = (int)syscall(SYS_pidfd_open, state->program, 0);
	state->standby_fd = -1;
	atomic_store(&state->fresh, true);
	lead();
}

/* ---- in the standby ---- */

static void
take_over(void *arg)
{
	(void)arg;
	atomic_store(&state->fresh, false);
	lead();
}

/* -1 is a task that was to be made. */
bool
mhp__leader_gone(bool but_standby)
{
	for (unsigned i = 0; i < MHP__TASKS; i++)
		if (atomic_load(&state->tid[i]) > 0 && i != MHP__ASIDE &&
		    !(but_standby && i == MHP__STANDBY))
			return false;
	return true;
}

void
mhp__leader_forget(void)
{
	int unborn = -1;
	atomic_compare_exchange_strong(&state->tid[MHP__ASIDE], &unborn, 0);
	for (unsigned i = 0; i < MHP__TASKS; i++)
		if (i != MHP__STANDBY && i != MHP__ASIDE)
			atomic_store(&state->tid[i], 0);
}

/* The last ones ended while they took over, be it that somebody kills each or that they trap. */
static void
back_off(void)
{
	unsigned nr = atomic_load(&state->nr_failed);
	unsigned ms = nr <= MHP__FAILED_MAX ? 0 : FAILED_MS << (nr - MHP__FAILED_MAX - 1);
	if (nr > MHP__FAILED_MAX + 6 || ms > FAILED_MS_MAX)
		ms = FAILED_MS_MAX;
	for (; ms > 0 && !atomic_load(&state->over) && same_memory(); ms -= FAILED_MS)
		mhp__task_pause(FAILED_MS * 1000000L);
}

static void
stand_by(void *arg)
{
	(void)arg;
	while (!atomic_load(&state->over)) {
		int leader = atomic_load(&state->tid[MHP__WATCH]);
		if (leader > 0 || !mhp__leader_gone(true)) {
			mhp__futex_wait(&state->tid[MHP__WATCH], leader,
					leader > 0 ? LOOK_MS : 1);
			continue;
		}
		back_off();
		mhp__leader_forget();
		atomic_store(&state->ready, 0);
		atomic_store(&state->tid[MHP__WATCH], -1);
		if (mhp__task_start(MHP__WATCH, OF_OTHER, take_over, NULL,
				    &state->tid[MHP__WATCH]) == 0)
			continue;
		atomic_store(&state->tid[MHP__WATCH], 0);
		mhp__task_pause(LOOK_MS * 1000000L);
		if (!same_memory())
			break;
	}
	syscall(SYS_exit_group, 0);
}
