/* SPDX-License-Identifier: MIT */
/*
 * companion.c - the companion's life, and calls that run in it.
 *
 * Its first task watches the program, its second starts a task for each call that is posted; what
 * else runs there was asked for. All that both sides write is in one piece of memory that a forked
 * child sees as zeros: there is no companion in it, and no call of anybody's.
 *
 * A call is FREE, then TAKEN by whoever posts it, POSTED, RUNNING, DONE, and FREE again. Only the
 * companion makes RUNNING and DONE of it, and notes before that who it is; when that process is
 * gone, the caller gives the call up. What was not begun yet is left for the next companion.
 *
 * Somebody may kill it. So there is a standby, a process that shares the descriptors, too, and only
 * waits: what is open stays open, and it makes the next companion at once. They watch each other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pool.h"
#include "task.h"

#define CALLS_MAX 32U
#define NEXT_MAX 2U
#define LOOK_MS 200U                   /* how soon we notice that it executes another program */
#define CHECK_MS 50U                   /* and a caller, that the companion is gone */
#define DYING_MS 5000U                 /* for the tasks of one that was killed to end */

enum { WATCH, CALLS, STANDBY, VISIT, FIRST_THREAD }; /* stacks; nobody stays on VISIT */
enum { FREE, TAKEN, POSTED, RUNNING, DONE };

struct call {
	_Atomic int state;
	_Atomic int companion;         /* who runs it */
	int (*fn)(void *arg);
	void *arg;
	int result;
};

static struct state {
	_Atomic int tid[MHP__TASKS];   /* the first is the companion's pid */
	_Atomic int ready;             /* 1: it takes calls; else minus the errno that kept it */
	_Atomic int bell;              /* changes when a call is posted */
	_Atomic bool over;             /* the program has ended */
	_Atomic bool fresh;            /* this companion found no descriptors of the last one */
	int program;                   /* its pid */
	int pidfd, standby_fd;         /* of the program and the standby, in the companion */
	int last;                      /* pid of the last companion */
	const _Atomic int *main_tid;   /* 0 once the main thread has left; NULL: unknown */
	pthread_mutex_t starting;
	void (*_Atomic at_end)(void);
	void (*_Atomic next[NEXT_MAX])(void *fresh); /* what the next one begins with */
	struct call call[CALLS_MAX];
} *state;

static atomic_bool sealed;             /* start none; of forked children, too */

_Static_assert(sizeof(struct state) <= MHP__TASK_STATE_BYTES, "it has its place");

static void
pause_ns(long ns)
{
	struct timespec pause = { 0, ns };
	syscall(SYS_nanosleep, &pause, NULL);
}

/* ---- in the companion: threads and calls ---- */

int
mhp_companion_thread(void (*fn)(void *arg), void *arg)
{
	int flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_FILES | CLONE_FS | CLONE_SYSVSEM;
	for (unsigned i = FIRST_THREAD; i < MHP__TASKS; i++) {
		int none = 0;
		if (!atomic_compare_exchange_strong(&state->tid[i], &none, -1))
			continue;
		int error = mhp__task_start(i, flags, fn, arg, &state->tid[i]);
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
	struct call *call = arg;
	call->result = call->fn(call->arg);
	atomic_store(&call->state, DONE);
	mhp__futex_wake(&call->state, 1);
}

static void
take_calls(void *arg)
{
	int self = (int)getpid();
	(void)arg;
	for (;;) {
		int bell = atomic_load(&state->bell);
		for (unsigned i = 0; i < CALLS_MAX; i++) {
			struct call *call = &state->call[i];
			int posted = POSTED;
			if (atomic_load(&call->state) != POSTED)
				continue;
			atomic_store(&call->companion, self);
			if (!atomic_compare_exchange_strong(&call->state, &posted, RUNNING))
				continue;
			/* Better late than never: those behind it wait. */
			if (mhp_companion_thread(run_call, call) != 0)
				run_call(call);
		}
		mhp__futex_wait(&state->bell, bell, 10000);
	}
}

/* ---- in the companion: its first task ---- */

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
 * other rights. Then its main thread tells: the kernel marks that it has left this memory.
 */
static bool
same_memory(void)
{
	long got = syscall(SYS_kcmp, getpid(), state->program, KCMP_VM, 0, 0);
	if (got >= 0)
		return got == 0;
	return state->main_tid == NULL || atomic_load(state->main_tid) != 0 || main_thread_ended();
}

static void
end(void)
{
	void (*at_end)(void) = atomic_load(&state->at_end);
	atomic_store(&state->over, true);
	if (at_end != NULL)
		at_end();
	syscall(SYS_exit_group, 0);
}

static void
tell(int ready)
{
	atomic_store(&state->ready, ready);
	mhp__futex_wake(&state->ready, 1);
}

static void stand_by(void *arg);

/* Have a standby, and a descriptor that tells when it ends; fd: that of the last one, or -1. */
static int
keep_standby(int fd)
{
	if (fd >= 0 && atomic_load(&state->tid[STANDBY]) != 0)
		return fd;
	if (fd >= 0)
		close(fd);
	if (atomic_load(&state->tid[STANDBY]) == 0 &&
	    mhp__task_start(STANDBY, CLONE_FILES | CLONE_FS | CLONE_PARENT, stand_by, NULL,
			    &state->tid[STANDBY]) != 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, atomic_load(&state->tid[STANDBY]), 0);
}

/* Take calls, begin with what the last one had, and watch the program and the standby. */
static void
lead(void)
{
	int threads = CLONE_THREAD | CLONE_SIGHAND | CLONE_FILES | CLONE_FS | CLONE_SYSVSEM;
	int error = state->pidfd < 0 ? ESRCH : 0;
	if (error == 0)
		error = mhp__task_start(CALLS, threads, take_calls, NULL, &state->tid[CALLS]);
	for (unsigned i = 0; i < NEXT_MAX && error == 0; i++)
		if (atomic_load(&state->next[i]) != NULL)
			(void)!mhp_companion_thread(atomic_load(&state->next[i]),
						    (void *)(uintptr_t)atomic_load(&state->fresh));
	tell(error == 0 ? 1 : -error);
	struct pollfd watched[2] = { { .fd = state->pidfd, .events = POLLIN },
				     { .fd = -1, .events = POLLIN } };
	while (error == 0 && same_memory() && watched[0].revents == 0) {
		watched[1].fd = state->standby_fd = keep_standby(state->standby_fd);
		poll(watched, 2, LOOK_MS);
	}
	end();
}

/* The first companion, or one after somebody has killed the standby, too. */
static void
watch(void *arg)
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

/* Are all tasks of the last one gone, but for the standby? (-1 is a task that was to be made.) */
static bool
none_left(bool standby)
{
	for (unsigned i = 0; i < MHP__TASKS; i++)
		if (atomic_load(&state->tid[i]) > 0 && !(standby && i == STANDBY))
			return false;
	return true;
}

/* None is left: what was to be made will not be. */
static void
forget_tasks(void)
{
	for (unsigned i = 0; i < MHP__TASKS; i++)
		if (i != STANDBY)
			atomic_store(&state->tid[i], 0);
}

static void
stand_by(void *arg)
{
	(void)arg;
	while (!atomic_load(&state->over)) {
		int leader = atomic_load(&state->tid[WATCH]);
		if (leader > 0 || !none_left(true)) {
			mhp__futex_wait(&state->tid[WATCH], leader, leader > 0 ? LOOK_MS : 1);
			continue;
		}
		forget_tasks();
		atomic_store(&state->ready, 0);
		atomic_store(&state->tid[WATCH], -1);
		if (mhp__task_start(WATCH, CLONE_FILES | CLONE_FS | CLONE_PARENT, take_over, NULL,
				    &state->tid[WATCH]) == 0)
			continue;
		atomic_store(&state->tid[WATCH], 0);
		pause_ns(LOOK_MS * 1000000L);
		if (!same_memory())
			break;
	}
	syscall(SYS_exit_group, 0);
}

/* ---- in the program: start it ---- */

/* Do orphans become our children? Then the companion would be seen by wait(). */
static bool
takes_orphans(void)
{
	int subreaper = 0;
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	return state->program == 1 || subreaper != 0;
}

static int
make(void *arg)
{
	(void)arg;
	state->last = 0;
	atomic_store(&state->tid[WATCH], -1);
	int error = mhp__task_start(WATCH, 0, watch, NULL, &state->tid[WATCH]);
	if (error != 0) {
		atomic_store(&state->tid[WATCH], 0);
		tell(-error);
	}
	return 0;
}

/*
 * The companion is a child of a process that ends at once, and so of nobody who cares. As a child
 * of ours, which only those see who wait for clones, it stays behind as a zombie if the program
 * executes another.
 */
static int
spawn(void)
{
	uint64_t all = ~UINT64_C(0), before;
	int error = 0;
	if (state->last != 0)
		syscall(SYS_wait4, state->last, NULL, WNOHANG | __WCLONE, NULL);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	if (takes_orphans())
		make(NULL);
	else
		error = mhp__task_visit(VISIT, make, NULL);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	return error;
}

/* Wait until it takes calls, or has failed. An errno. */
static int
await_ready(void)
{
	for (;;) {
		int ready = atomic_load(&state->ready);
		if (ready != 0)
			return ready > 0 ? 0 : -ready;
		if (atomic_load(&state->tid[WATCH]) == 0 && atomic_load(&state->ready) == 0)
			return ECHILD;
		mhp__futex_wait(&state->ready, 0, CHECK_MS);
	}
}

/* The C library has the kernel write a 0 there when the thread leaves its memory. */
static void
find_main_tid(void)
{
	void *address = NULL;
	if (state->program == (int)syscall(SYS_gettid) &&
	    prctl(PR_GET_TID_ADDRESS, &address) == 0)
		state->main_tid = address;
}

static int
start_locked(void)
{
	if (atomic_load(&sealed))
		return EPERM;
	for (unsigned ms = 0; !none_left(false); ms++) {
		if (atomic_load(&state->tid[WATCH]) > 0)
			return await_ready(); /* the standby has made one */
		if (ms == DYING_MS)
			return EAGAIN;
		pause_ns(1000000);
	}
	forget_tasks();
	atomic_store(&state->ready, 0);
	atomic_store(&state->over, false);
	atomic_store(&state->at_end, NULL);
	state->program = (int)syscall(SYS_getpid);
	find_main_tid();
	int error = spawn();
	if (error != 0)
		return error;
	error = await_ready();
	state->last = atomic_load(&state->tid[WATCH]);
	return error;
}

static int
start(struct mhp_text *reterr)
{
	int error = 0;
	pthread_mutex_lock(&state->starting);
	if (atomic_load(&state->tid[WATCH]) <= 0)
		error = start_locked();
	pthread_mutex_unlock(&state->starting);
	if (error == 0)
		return 0;
	return mhp__say(reterr, error == EPERM || error == EACCES || error == ENOSYS
			? MHP_EPERM : MHP_EAGAIN,
			"the process that would serve the pool cannot be made: %s%s",
			strerror(error), error == EPERM || error == ENOSYS
			? "; does a seccomp filter forbid it?" : "");
}

/* ---- in the program: calls ---- */

static struct call *
take_call(void)
{
	for (;;) {
		for (unsigned i = 0; i < CALLS_MAX; i++) {
			int free_call = FREE;
			if (atomic_compare_exchange_strong(&state->call[i].state, &free_call,
							   TAKEN))
				return &state->call[i];
		}
		pause_ns(100000);
	}
}

/* Is whoever ran it gone, with all its tasks? The next one does not start before that. */
static bool
is_lost(struct call *call)
{
	int now = atomic_load(&state->tid[WATCH]);
	return atomic_load(&call->companion) != now && (now != 0 || none_left(false)) &&
	       atomic_load(&call->state) == RUNNING;
}

static int
await(struct call *call, struct mhp_text *reterr)
{
	for (;;) {
		int now = atomic_load(&call->state), posted = POSTED;
		if (now == DONE)
			return call->result;
		if (now == RUNNING && is_lost(call))
			return mhp__say(reterr, MHP_EIO, "somebody killed the process that serves "
					"the pool in the middle of its work");
		if (now == POSTED && atomic_load(&state->tid[WATCH]) <= 0) {
			int err = start(reterr);
			if (err != 0 && atomic_compare_exchange_strong(&call->state, &posted,
								       TAKEN))
				return err;
		}
		mhp__futex_wait(&call->state, now, CHECK_MS);
	}
}

int
mhp_companion_init(struct mhp_text *reterr)
{
	int err = mhp__task_init(reterr);
	if (err == 0)
		state = mhp__task_state();
	return err;
}

int
mhp_companion_call(int (*fn)(void *arg), void *arg, struct mhp_text *reterr)
{
	int error = errno, err;
	if (mhp_companion_here())
		return fn(arg);
	err = mhp_companion_init(reterr);
	if (err == 0 && atomic_load(&state->tid[WATCH]) <= 0)
		err = start(reterr);
	if (err != 0)
		return err;
	struct call *call = take_call();
	call->fn = fn;
	call->arg = arg;
	atomic_store(&call->state, POSTED);
	atomic_fetch_add(&state->bell, 1);
	mhp__futex_wake(&state->bell, 1);
	err = await(call, reterr);
	atomic_store(&call->state, FREE);
	errno = error;
	return err;
}

bool
mhp_companion_here(void)
{
	return mhp__task_here();
}

int
mhp__companion_program(void)
{
	return state->program;
}

void
mhp_companion_at_end(void (*fn)(void))
{
	atomic_store(&state->at_end, fn);
}

void
mhp_companion_next(void (*fn)(void *fresh))
{
	for (unsigned i = 0; i < NEXT_MAX; i++) {
		void (*none)(void *fresh) = NULL;
		if (atomic_load(&state->next[i]) == fn ||
		    atomic_compare_exchange_strong(&state->next[i], &none, fn))
			return;
	}
}

void
mhp_companion_seal(void)
{
	atomic_store(&sealed, true);
}

int
mhp_companion_pid(void)
{
	int pid = state != NULL ? atomic_load(&state->tid[WATCH]) : 0;
	return pid > 0 ? pid : 0;
}
