/* SPDX-License-Identifier: MIT */
/*
 * sanitized.c - what every program of these tests has beside a sanitizer (R77).
 *
 * A sanitizer's own mlock() and its kin do nothing: these are taken in their place, so that what
 * the port does with locked memory is tested there, too. And AddressSanitizer tells of each call
 * of malloc, whoever makes it: a companion must make none (R55), since it may be killed with a
 * lock of the program's allocator. Under ThreadSanitizer the companion's tasks are threads, which
 * malloc makes and which share the program's descriptors: there it may call it, and closes none.
 */
#define _GNU_SOURCE
#include <memplug/companion.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../ports/linux/pool.h"

#ifdef __SANITIZE_THREAD__
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
const char *__tsan_default_options(void);

long
__wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	return number == SYS_close_range ? 0 : __real_syscall(number, a, b, c, d, e, f);
}

/* Nobody joins the last threads. */
const char *
__tsan_default_options(void)
{
	return "report_thread_leaks=0";
}

#else
void __sanitizer_malloc_hook(const volatile void *memory, size_t size);
void __sanitizer_free_hook(const volatile void *memory);

static void
forbid_in_companion(void)
{
	if (mhp_companion_here())
		kill(mhp__companion_program(), SIGABRT);
}

void
__sanitizer_malloc_hook(const volatile void *memory, size_t size)
{
	(void)memory;
	(void)size;
	forbid_in_companion();
}

void
__sanitizer_free_hook(const volatile void *memory)
{
	(void)memory;
	forbid_in_companion();
}

#endif

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
