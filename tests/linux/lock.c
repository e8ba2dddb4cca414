/* SPDX-License-Identifier: MIT */
/*
 * lock.c - mlock() and its kin for programs with a sanitizer, whose own do nothing (R77).
 *
 * Linked into a program, these are taken in place of the sanitizer's: what the port does with
 * locked memory is then tested there, too.
 */
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int
mlock(const void *start, size_t size)
{
	return (int)syscall(SYS_mlock, start, size);
}

int
munlock(const void *start, size_t size)
{
	return (int)syscall(SYS_munlock, start, size);
}

int
mlockall(int flags)
{
	return (int)syscall(SYS_mlockall, flags);
}

int
munlockall(void)
{
	return (int)syscall(SYS_munlockall);
}
