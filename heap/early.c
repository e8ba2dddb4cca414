/* SPDX-License-Identifier: MIT */
/*
 * early.c - what runs before everything else, libc's own constructors included: the linker marks us
 * initfirst, so that the heap is there when the first library allocates.
 *
 * libc does not know its arguments yet, so it is told. A program that is built with a sanitizer is
 * started again without us, because the sanitizer's run time replaces malloc and much of libc, and
 * must come first. Until that is decided no function of libc may be called: it may be the
 * sanitizer's, which would start.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Loops shall not become calls of strlen() or memmove(). */
#ifdef __clang__
#define PLAIN __attribute__((no_builtin))
#else
#define PLAIN __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));
extern void __lsan_init(void) __attribute__((weak));

PLAIN static bool
begins(const char *text, const char *with)
{
	while (*with != 0)
		if (*text++ != *with++)
			return false;
	return true;
}

static bool
separates(char c)
{
	return c == ':' || c == ' ';
}

/* Take our library out of the list, in place. False: it is not in it. */
PLAIN static bool
strike_out(char *list)
{
	char *from = list;
	for (char *at = list; *at != 0; at++) {
		if (separates(*at))
			from = at + 1;
		if (!begins(at, "libmemplug-heap.so"))
			continue;
		while (*at != 0 && !separates(*at))
			at++;
		if (*at != 0)
			at++;
		do
			*from++ = *at;
		while (*at++ != 0);
		return true;
	}
	return false;
}

/* Execute the same program again, unless it had not us. */
static void
start_again(char **argv, char **envp)
{
	char path[PATH_MAX];
	long length = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path) - 1);
	if (length <= 0)
		return;
	path[length] = 0;
	for (char **at = envp; *at != NULL; at++)
		if (begins(*at, "LD_PRELOAD=") && strike_out(*at + sizeof("LD_PRELOAD=") - 1))
			syscall(SYS_execve, path, argv, envp);
}

/* Do early what libc's constructor is about to do, with the same words. */
static void
tell_libc(char **argv, char **envp)
{
	environ = envp;
	if (argv[0] == NULL)
		return;
	program_invocation_name = program_invocation_short_name = argv[0];
	for (char *at = argv[0]; *at != 0; at++)
		if (*at == '/')
			program_invocation_short_name = at + 1;
}

__attribute__((constructor(101))) static void
early(int argc, char **argv, char **envp)
{
	(void)argc;
	if (__asan_init != NULL || __tsan_init != NULL || __msan_init != NULL ||
	    __lsan_init != NULL)
		start_again(argv, envp);
	if (environ == NULL)
		tell_libc(argv, envp);
}
