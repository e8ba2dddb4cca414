/* SPDX-License-Identifier: MIT */
/*
 * fork.c - libc's fork, daemon and forkpty, for a program whose memory may lie on a device.
 *
 * A fork first brings that memory back. If there is no room for it, handlers of pthread_atfork()
 * come too late to fail; mhp_fork() fails with ENOMEM, as fork may. The linker makes the fork that
 * mhp_fork() calls libc's (__wrap_fork). daemon and forkpty are here because they fork inside of
 * libc, by a name that cannot be replaced. vfork and posix_spawn need no room and do not come here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pty.h>
#include <unistd.h>

#include <memplug/linux.h>

__attribute__((visibility("default"))) pid_t mhp__fork(void) __asm__("fork");
pid_t __fork(void); /* the name that libc keeps for who replaces the other */
pid_t __wrap_fork(void);

static bool
has_room(void)
{
	if (mhp_fork_room(NULL) == 0)
		return true;
	errno = ENOMEM;
	return false;
}

pid_t
__wrap_fork(void)
{
	return __fork();
}

pid_t
mhp__fork(void)
{
	return mhp_fork();
}

__attribute__((visibility("default"))) int
daemon(int nochdir, int noclose)
{
	int (*next)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "daemon");
	return has_room() ? next(nochdir, noclose) : -1;
}

__attribute__((visibility("default"))) pid_t
forkpty(int *master, char *name, const struct termios *modes, const struct winsize *size)
{
	pid_t (*next)(int *, char *, const struct termios *, const struct winsize *) =
		(pid_t (*)(int *, char *, const struct termios *, const struct winsize *))
			dlsym(RTLD_NEXT, "forkpty");
	return has_room() ? next(master, name, modes, size) : -1;
}
