/* SPDX-License-Identifier: MIT */
/*
 * wait.c - how tasks wait, and those who wait for them.
 *
 * By system calls alone: libc's own may be points at which a thread is cancelled, and a task is no
 * thread that libc knows. Words are shared with other processes, so futexes are not private.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "task.h"


void
mhp__task_pause(long ns)
{
	struct timespec pause = { 0, ns };
	syscall(SYS_nanosleep, &pause, NULL);
}

void
mhp__futex_wait(_Atomic int *word, int value, unsigned timeout_ms)
{
	struct timespec bound = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
	syscall(SYS_futex, word, FUTEX_WAIT, value, &bound, NULL, 0);
}

void
mhp__futex_wake(_Atomic int *word, int nr)
{
	syscall(SYS_futex, word, FUTEX_WAKE, nr, NULL, NULL, 0);
}
