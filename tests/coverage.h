/* SPDX-License-Identifier: MIT */
/*
 * coverage.h - what a process has counted is written when it ends, or becomes another.
 *
 * scripts/coverage includes it first in every file. The counts of a process are written when it
 * calls exit(). Here they also are before exec, before SIGTERM ends it, and where a test's child
 * calls _exit(). The companion shares the memory of its program, counts included: it writes them
 * at its end, unless the program has, so those of a program that was killed are not lost. The locks
 * of its malloc may be; then an alarm ends the companion. It includes no header that asks for
 * features: what the file asks of them (_GNU_SOURCE) comes later.
 */
#ifndef MEMPLUG_COVERAGE_H
#define MEMPLUG_COVERAGE_H

#include <sys/syscall.h>

#define execvp __gcov_execvp

#define COVERAGE_TERM 15
#define COVERAGE_ALARM 14
#define COVERAGE_XFSZ 25
#define COVERAGE_SECONDS 10

void __gcov_dump(void);
int raise(int number);
unsigned int alarm(unsigned int seconds);
int sigsetmask(int mask);
void (*signal(int number, void (*handler)(int number)))(int number);
__attribute__((noreturn)) void coverage_leave(int status) __asm__("_exit");

/* One in each program and library; NULL is SIG_DFL. */
__attribute__((weak, visibility("hidden"))) void (*coverage_next)(int number);
__attribute__((weak, visibility("hidden"))) int coverage_begun;
__attribute__((weak, visibility("hidden"))) int coverage_over;

static void
coverage_end(int number)
{
	__gcov_dump();
	if (coverage_next != (void (*)(int))0 && coverage_next != (void (*)(int))1)
		coverage_next(number);
	signal(number, (void (*)(int))0);
	raise(number);
}

__attribute__((constructor)) static void
coverage_begin(void)
{
	if (coverage_begun)
		return;
	coverage_begun = 1;
	coverage_next = signal(COVERAGE_TERM, coverage_end);
	if (coverage_next == (void (*)(int))1) /* it is ignored */
		signal(COVERAGE_TERM, coverage_next);
}

/* Before the counts are written (libgcov's own destructor is the last): files may have no room. */
__attribute__((destructor)) static void
coverage_ignore_limits(void)
{
	signal(COVERAGE_XFSZ, (void (*)(int))1);
}

/* The end of a test's child. One of ours (fork.c) ends before it may call malloc. */
__attribute__((unused, noreturn)) static void
coverage_exit(int status)
{
	if (__builtin_strstr(__BASE_FILE__, "tests/"))
		__gcov_dump();
	coverage_leave(status);
}
#define _exit coverage_exit

/* The end of a companion, or of its standby: whoever is first writes the counts. */
__attribute__((unused)) static long
coverage_end_of_companion(void)
{
	if (__atomic_exchange_n(&coverage_over, 1, __ATOMIC_SEQ_CST) == 0) {
		signal(COVERAGE_ALARM, (void (*)(int))0);
		sigsetmask(0);
		alarm(COVERAGE_SECONDS);
		__gcov_dump();
	}
	return __NR_exit_group;
}
#undef SYS_exit_group
#define SYS_exit_group coverage_end_of_companion()

#endif
