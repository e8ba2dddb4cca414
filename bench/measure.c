/* SPDX-License-Identifier: MIT */
/*
 * measure.c - clocks, medians and CPUs for the parts of the benchmark.
 *
 * Threads are measured in their own CPU time, which other load on the machine does not change.
 * Knows nothing of what is measured.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t
bench_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t
bench_wall_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
bench_median(double *samples, unsigned nr)
{
	qsort(samples, nr, sizeof(samples[0]), compare);
	return nr % 2 != 0 ? samples[nr / 2] : (samples[nr / 2 - 1] + samples[nr / 2]) / 2;
}

void
bench_pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* Where there is one CPU only, measure there all the same. */
	(void)sched_setaffinity(0, sizeof(set), &set);
}

void
bench_die(const char *what)
{
	fprintf(stderr, "bench: %s failed\n", what);
	exit(1);
}
