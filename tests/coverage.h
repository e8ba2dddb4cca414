/* SPDX-License-Identifier: MIT */
/*
 * coverage.h - what a process has counted is written when it is told to end, or becomes another.
 *
 * scripts/coverage includes it first in every file. The counts of a process are written when it
 * calls exit(). Here they also are before exec, and before SIGTERM ends it; those of one that is
 * killed are lost. It includes no header: what the file asks of them (_GNU_SOURCE) comes later.
 */
#ifndef MEMPLUG_COVERAGE_H
#define MEMPLUG_COVERAGE_H

#define execvp __gcov_execvp

#define COVERAGE_TERM 15

void __gcov_dump(void);
int raise(int number);
void (*signal(int number, void (*handler)(int number)))(int number);

/* One in each program and library; NULL is SIG_DFL. */
__attribute__((weak, visibility("hidden"))) void (*coverage_next)(int number);
__attribute__((weak, visibility("hidden"))) int coverage_begun;

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

#endif
