/* SPDX-License-Identifier: MIT */
/*
 * task.h - tasks of the kernel that share our memory and are no threads of the program.
 *
 * A task needs a stack and what the C library keeps for each thread beside it (errno, the canary,
 * the owner of a robust mutex). The C library makes the latter for its own threads only, and with
 * malloc. So one thread is made early, for a moment; an image of its thread-local storage is kept,
 * and each task gets a copy: pointers into the image are moved along. That needs no malloc, leaves
 * nothing in the program's lists of threads, and works in forked children, too.
 */
#ifndef MHP_LINUX_TASK_H
#define MHP_LINUX_TASK_H

#include <memplug/companion.h>
#include <stdatomic.h>

#define MHP__TASKS (MHP_COMPANION_THREADS + 5U)
/* Memory for the owner of the tasks, which is all zeros again in a forked child: a page of any size
 * that Linux has. */
#define MHP__TASK_STATE_BYTES 65536U

/* Take the image and the addresses. Once a process; uses malloc. */
MHP_MUST_CHECK int mhp__task_init(struct mhp_text *reterr);

/* MHP__TASK_STATE_BYTES; NULL before mhp__task_init(). */
void *mhp__task_state(void);

/* Are we on the stack of a task? */
bool mhp__task_here(void);

/*
 * Run fn(arg) on a task of its own, with `flags` of clone(2) besides those that make it share our
 * memory. *tid is its number until it has ended; then the kernel makes it 0 and wakes who waits
 * there. A stack must not be used while its *tid says that a task is on it.
 * Return: 0, or an errno.
 */
MHP_MUST_CHECK int mhp__task_start(unsigned stack, int flags, void (*fn)(void *arg), void *arg,
				   _Atomic int *tid);

/* Run fn(arg) on a stack in a process that shares our memory, while this thread waits. An errno. */
MHP_MUST_CHECK int mhp__task_visit(unsigned stack, int (*fn)(void *arg), void *arg);

void mhp__task_pause(long ns);
/* Sleep until *word is not `value` any more, somebody wakes us, or the time is over. */
void mhp__futex_wait(_Atomic int *word, int value, unsigned timeout_ms);
void mhp__futex_wake(_Atomic int *word, int nr);

#endif
