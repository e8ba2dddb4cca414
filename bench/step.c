/* SPDX-License-Identifier: MIT */
/*
 * step.c - count instructions without a hardware counter: single-step a child with ptrace.
 *
 * The child does a number of pairs between two traps; the parent counts the steps in between.
 * Exact and repeatable, on any machine that allows ptrace. A restartable sequence would be aborted
 * by each step for ever, so the child turns rseq off first by starting this program again with
 * glibc's tunable for it.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_ENV "MEMPLUG_BENCH_STEP"
#define STEPS_MAX 2000000U

/* In the child: warm up, trap, do the pairs, trap. */
__attribute__((constructor)) static void
step_child(void)
{
	const char *what = getenv(STEP_ENV);
	unsigned index, order, nr_pairs;

	if (what == NULL || sscanf(what, "%u %u %u", &index, &order, &nr_pairs) != 3)
		return;
	if (index == 0)
		bench_engine_start(4);
	for (unsigned i = 0; i < 1000; i++)
		contenders[index].give(contenders[index].take(order));
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGTRAP);
	for (unsigned i = 0; i < nr_pairs; i++)
		contenders[index].give(contenders[index].take(order));
	raise(SIGTRAP);
	_exit(0);
}

/* Step the stopped child to its second raise(); the signal arrives with the steps of raise itself,
 * which a run with fewer pairs has as well: the caller takes the difference. */
static uint64_t
count_steps(pid_t child)
{
	uint64_t steps = 0;
	int status;

	while (steps < STEPS_MAX) {
		siginfo_t info;
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 ||
		    waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
			return 0;
		if (ptrace(PTRACE_GETSIGINFO, child, NULL, &info) == 0 && info.si_code <= 0)
			return steps; /* raised, not stepped */
		steps++;
	}
	return 0;
}

static uint64_t
steps_of(unsigned index, unsigned order, unsigned nr_pairs)
{
	char what[64];
	uint64_t steps = 0;
	pid_t child;
	int status;

	snprintf(what, sizeof(what), "%u %u %u", index, order, nr_pairs);
	child = fork();
	if (child == 0) {
		setenv(STEP_ENV, what, 1);
		setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
		execl("/proc/self/exe", "bench", (char *)NULL);
		_exit(127);
	}
	if (child < 0)
		return 0;
	if (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		steps = count_steps(child);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
	}
	return steps;
}

double
bench_instructions(const struct contender *contender, unsigned order, unsigned nr_pairs)
{
	unsigned index = (unsigned)(contender - contenders);
	uint64_t one = steps_of(index, order, 1), many = steps_of(index, order, nr_pairs + 1);

	if (one == 0 || many <= one)
		return 0;
	return (double)(many - one) / nr_pairs;
}
