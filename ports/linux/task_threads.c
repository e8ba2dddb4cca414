/* SPDX-License-Identifier: MIT */
/*
 * task_threads.c - in place of task.c in builds for ThreadSanitizer: tasks that are threads (R77).
 *
 * ThreadSanitizer knows threads of the C library only. So here the companion and its standby are
 * threads of the program, on the stacks that they would have had; what they share with it they
 * share anyway, and the code that waits is the same. What only a process has is missing: all tasks
 * have the program's process number, share its descriptors, and cannot be killed; forked children
 * have none. The kernel's promise that *tid is 0 once nobody is on the stack is kept by joining
 * whoever was there before.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mhp_port_inline.h"
#include "pool.h"
#include "task.h"

#define STACK_BYTES (UINT64_C(1) << 20)
#define AREA_BYTES (MHP__TASK_STATE_BYTES + MHP__TASKS * STACK_BYTES)

static unsigned char *_Atomic area;    /* the state, then the stacks */

static struct task {
	pthread_t thread;
	bool begun;                    /* there is one to join */
	void (*fn)(void *arg);
	void *arg;
	_Atomic int *tid;
} tasks[MHP__TASKS];

_Thread_local bool mhp_port_mortal;

int
mhp__task_init(struct mhp_text *reterr)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	int error = 0;

	pthread_mutex_lock(&once);
	if (area == NULL) {
		void *start = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		error = start == MAP_FAILED ? errno : 0;
		area = start == MAP_FAILED ? NULL : start;
	}
	pthread_mutex_unlock(&once);
	return error == 0 ? 0 : mhp__say(reterr, mhp__errno(error), "no memory for stacks");
}

void *
mhp__task_state(void)
{
	return area;
}

bool
mhp__task_here(void)
{
	return area != NULL && (uintptr_t)__builtin_frame_address(0) - (uintptr_t)area < AREA_BYTES;
}

static void *
run(void *arg)
{
	struct task *task = arg;
	_Atomic int *tid = task->tid;
	mhp_port_mortal = true;
	task->fn(task->arg);
	atomic_store(tid, 0);
	mhp__futex_wake(tid, 1);
	return NULL;
}

int
mhp__task_start(unsigned stack, int flags, void (*fn)(void *arg), void *arg, _Atomic int *tid)
{
	struct task *task = &tasks[stack];
	pthread_attr_t attr;
	(void)flags;
	if (task->begun)
		pthread_join(task->thread, NULL);
	task->fn = fn;
	task->arg = arg;
	task->tid = tid;
	atomic_store(tid, (int)getpid());
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, area + MHP__TASK_STATE_BYTES + stack * STACK_BYTES,
			      STACK_BYTES);
	int error = pthread_create(&task->thread, &attr, run, task);
	pthread_attr_destroy(&attr);
	task->begun = error == 0;
	return error;
}

int
mhp__task_visit(unsigned stack, int (*fn)(void *arg), void *arg)
{
	(void)stack;
	fn(arg);
	return 0;
}
