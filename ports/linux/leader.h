/* SPDX-License-Identifier: MIT */
/*
 * leader.h - what the program and its companion both write, and what runs in the companion.
 *
 * A call is FREE, then TAKEN by whoever posts it, POSTED, RUNNING, DONE, and FREE again. Only the
 * companion makes RUNNING and DONE of it, and notes before that who it is; when that process is
 * gone, the caller gives the call up. A call that it has not begun yet is left for the next
 * companion.
 */
#ifndef MHP_LINUX_LEADER_H
#define MHP_LINUX_LEADER_H

#include <pthread.h>

#include "task.h"

#define MHP__CALLS_MAX 32U
#define MHP__NEXT_MAX 2U

/* Stacks; nobody stays on VISIT. */
enum { MHP__WATCH, MHP__CALLS, MHP__STANDBY, MHP__VISIT, MHP__ASIDE, MHP__FIRST_THREAD };
enum { MHP__FREE, MHP__TAKEN, MHP__POSTED, MHP__RUNNING, MHP__DONE };

struct mhp__call {
	_Atomic int state;
	_Atomic int companion;         /* who runs it */
	int (*fn)(void *arg);
	void *arg;
	int result;
};

struct mhp__companion {
	_Atomic int tid[MHP__TASKS];   /* the first is the companion's pid */
	_Atomic int ready;             /* 1: it takes calls; else minus the errno that kept it */
	_Atomic int bell;              /* changes when a call is posted */
	_Atomic bool over;             /* the program has ended */
	_Atomic bool led;              /* there has been a companion */
	_Atomic bool fresh;            /* this companion found no descriptors of the last one */
	_Atomic int in_pools;          /* the companion that goes through the list of pools */
	_Atomic unsigned nr_next;      /* functions that this one begins with, and has not ended */
	_Atomic unsigned nr_failed;    /* companions in a row that did not end them */
	int program;                   /* its pid */
	int pidfd, standby_fd;         /* of the program and the standby, in the companion */
	int last;                      /* pid of the last companion */
	const _Atomic int *main_tid;   /* 0 once the main thread has left; NULL: unknown */
	pthread_mutex_t starting;
	void (*_Atomic at_end)(void);
	void (*_Atomic next[MHP__NEXT_MAX])(void *fresh); /* what the next one begins with */
	struct mhp__call call[MHP__CALLS_MAX];
};

_Static_assert(sizeof(struct mhp__companion) <= MHP__TASK_STATE_BYTES, "it has its place");

/* The one of this process: all-zero again in a forked child. After mhp__task_init(). */
struct mhp__companion *mhp__leader_init(void);
/* In the companion: its first task. */
void mhp__leader_watch(void *arg);
/* Tell the program that it takes calls (1), or minus the errno that keeps it. */
void mhp__leader_tell(int ready);
/* So many may end at once while they take over; then the standby waits longer each time, and who
 * calls is told. */
#define MHP__FAILED_MAX 6U
/* In the companion: it takes over, and waits for somebody who lives. */
void mhp__leader_waits(void);
/* In the companion: what is in the list of pools stays until mhp__pools_leave(). */
void mhp__pools_enter(void);
void mhp__pools_leave(void);
/* For who has taken a pool out of the list: nobody looks at it any more when this returns. */
void mhp__pools_wait(void);
/* Are all tasks of the last one gone, but for what works aside, and perhaps the standby? */
bool mhp__leader_gone(bool but_standby);
/* They are: what was to be made will not be. */
void mhp__leader_forget(void);
/* The program is gone: what works aside may wait for a lock that nobody will open. */
void mhp__aside_end(void);

#endif
