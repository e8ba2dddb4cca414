/* SPDX-License-Identifier: MIT */
/*
 * fork.c - libc's fork, for a program whose memory may lie on a device.
 *
 * A fork brings that memory back first. Where there is no room for it, handlers of pthread_atfork()
 * come too late to say so; this says it in time, as fork may: ENOMEM, and nothing has happened.
 * vfork and posix_spawn need no room and do not come here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>

#include <memplug/linux.h>

__attribute__((visibility("default"))) pid_t mhp__fork(void) __asm__("fork");
pid_t __fork(void); /* the name that libc keeps for who replaces the other */

pid_t
mhp__fork(void)
{
	if (mhp_fork_room(NULL) == 0)
		return __fork();
	errno = ENOMEM;
	return -1;
}
