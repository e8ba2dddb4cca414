/* SPDX-License-Identifier: MIT */
/*
 * companion.c - the companion as the program sees it: start it, and have calls run in it.
 *
 * Everything that both sides write is in one piece of memory that reads as zeros in a forked child:
 * a child has no companion, and no call of anybody's is under way in it. The code that runs in the
 * companion is in leader.c.
 *
 * A call lies on its caller's stack until it is answered. A caller that waits looks for itself
 * whether the companion still lives (CHECK_MS), because one that was killed tells nobody. Nothing
 * here calls malloc; a start is possible inside malloc and in a forked child.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leader.h"
#include "pool.h"

#define CHECK_MS 50U                   /* how soon a caller notices that the companion is gone */
#define DYING_MS 5000U                 /* for the tasks of one that was killed to end */

static struct mhp__companion *_Atomic state;
static atomic_bool sealed;             /* start none; of forked children, too */

/* ---- start it ---- */

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
	MHP__ASSERT(atomic_load(&state->tid[MHP__WATCH]) == 0); /* nobody is on that stack */
	atomic_store(&state->tid[MHP__WATCH], -1);
	int error = mhp__task_start(MHP__WATCH, 0, mhp__leader_watch, NULL,
				    &state->tid[MHP__WATCH]);
	if (error != 0) {
		atomic_store(&state->tid[MHP__WATCH], 0);
		mhp__leader_tell(-error);
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
	/* The new task inherits this: no handler of the program's may run in it. */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	if (takes_orphans())
		make(NULL);
	else
		error = mhp__task_visit(MHP__VISIT, make, NULL);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	return error;
}

/* Wait until it takes calls, or has failed. An errno; ECHILD: somebody killed it meanwhile. */
static int
await_ready(void)
{
	for (;;) {
		int ready = atomic_load(&state->ready);
		if (ready != 0)
			return ready > 0 ? 0 : -ready;
		if (atomic_load(&state->tid[MHP__WATCH]) == 0 && atomic_load(&state->ready) == 0)
			return ECHILD;
		mhp__futex_wait(&state->ready, 0, CHECK_MS);
	}
}

static void
find_main_tid(void)
{
	if (state->program == (int)syscall(SYS_gettid))
		state->main_tid = mhp__tid_address();
}

/* It ends as soon as it begins, again and again: whoever calls does not wait for the day when it
 * does not. Where nobody stands by, each call is one more try. */
static bool
is_failing(unsigned nr_tries)
{
	return atomic_load(&state->nr_failed) > MHP__FAILED_MAX &&
	       (nr_tries != 0 || atomic_load(&state->tid[MHP__STANDBY]) > 0);
}

static int
say_failing(struct mhp_text *reterr)
{
	return mhp__say(reterr, MHP_EAGAIN, "the process that serves the pool ends again and again "
			"while it takes over (%u times so far)", atomic_load(&state->nr_failed));
}

static int
start_locked(void)
{
	if (atomic_load(&sealed))
		return EPERM;
	for (unsigned ms = 0; !mhp__leader_gone(false); ms++) {
		if (atomic_load(&state->tid[MHP__WATCH]) > 0)
			return await_ready(); /* the standby has made one */
		if (is_failing(0))
			return ECHILD; /* it makes one after the other */
		if (ms == DYING_MS)
			return EAGAIN;
		mhp__task_pause(1000000);
	}
	mhp__leader_forget();
	atomic_store(&state->ready, 0);
	atomic_store(&state->over, false);
	atomic_store(&state->at_end, NULL);
	state->program = (int)syscall(SYS_getpid);
	find_main_tid();
	int error = spawn();
	if (error != 0)
		return error;
	error = await_ready();
	state->last = atomic_load(&state->tid[MHP__WATCH]);
	return error;
}

static int
start(struct mhp_text *reterr)
{
	unsigned nr_tries = 0;
	int error;
	MHP__ASSERT(!mhp_companion_here()); /* it would wait for itself */
	pthread_mutex_lock(&state->starting);
	do /* one that somebody kills as it begins has done nothing yet: the next may live */
		error = atomic_load(&state->tid[MHP__WATCH]) <= 0 ? start_locked() : 0;
	while (error == ECHILD && nr_tries++ < MHP__FAILED_MAX);
	pthread_mutex_unlock(&state->starting);
	if (error == 0)
		return 0;
	if (error == ECHILD)
		return say_failing(reterr);
	return mhp__say(reterr, error == EPERM || error == EACCES || error == ENOSYS
			? MHP_EPERM : MHP_EAGAIN,
			"cannot make the process that serves the pool: %s%s",
			strerrordesc_np(error), error == EPERM || error == ENOSYS
			? "; does a seccomp filter forbid it?" : "");
}

/* ---- calls ---- */

static struct mhp__call *
take_call(void)
{
	for (;;) {
		for (unsigned i = 0; i < MHP__CALLS_MAX; i++) {
			int free_call = MHP__FREE;
			if (atomic_compare_exchange_strong(&state->call[i].state, &free_call,
							   MHP__TAKEN))
				return &state->call[i];
		}
		mhp__task_pause(100000);
	}
}

/* Is whoever ran it gone, with all its tasks? The next one does not start before that. */
static bool
is_lost(struct mhp__call *call)
{
	int now = atomic_load(&state->tid[MHP__WATCH]);
	return atomic_load(&call->companion) != now && (now != 0 || mhp__leader_gone(true)) &&
	       atomic_load(&call->state) == MHP__RUNNING;
}

static int
await(struct mhp__call *call, struct mhp_text *reterr)
{
	unsigned nr_tries = 0;
	for (;;) {
		int now = atomic_load(&call->state), posted = MHP__POSTED;
		if (now == MHP__DONE)
			return call->result;
		if (now == MHP__RUNNING && is_lost(call))
			return mhp__say(reterr, MHP_EIO, "somebody killed the process that serves "
					"the pool in the middle of its work");
		if (now == MHP__POSTED && atomic_load(&state->tid[MHP__WATCH]) <= 0) {
			int err = is_failing(nr_tries++) ? say_failing(reterr) : start(reterr);
			if (err != 0 && atomic_compare_exchange_strong(&call->state, &posted,
								       MHP__TAKEN))
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
		state = mhp__leader_init();
	return err;
}

int
mhp_companion_call(int (*fn)(void *arg), void *arg, struct mhp_text *reterr)
{
	int error = errno, err;
	if (mhp_companion_here())
		return fn(arg);
	err = mhp_companion_init(reterr);
	if (err == 0 && atomic_load(&state->tid[MHP__WATCH]) <= 0)
		err = is_failing(0) ? say_failing(reterr) : start(reterr);
	if (err != 0)
		return err;
	struct mhp__call *call = take_call();
	call->fn = fn;
	call->arg = arg;
	atomic_store(&call->state, MHP__POSTED);
	atomic_fetch_add(&state->bell, 1);
	mhp__futex_wake(&state->bell, 1);
	err = await(call, reterr);
	MHP__ASSERT(atomic_load(&call->state) != MHP__POSTED); /* nobody takes it any more */
	atomic_store(&call->state, MHP__FREE);
	errno = error;
	return err;
}

bool
mhp_companion_here(void)
{
	return mhp__task_here();
}

void
mhp_companion_at_end(void (*fn)(void))
{
	atomic_store(&state->at_end, fn);
}

void
mhp_companion_next(void (*fn)(void *fresh))
{
	for (unsigned i = 0; i < MHP__NEXT_MAX && state != NULL; i++) {
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
	int pid = state != NULL ? atomic_load(&state->tid[MHP__WATCH]) : 0;
	return pid > 0 ? pid : 0;
}
