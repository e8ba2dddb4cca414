/* SPDX-License-Identifier: MIT */
/*
 * measure.c - clocks, order statistics, CPUs and memory, for all parts of both benchmarks.
 *
 * Threads are measured in their own CPU time, which other load on the machine does not change.
 * Whatever goes wrong ends the run: half a figure is worse than none. Knows nothing of what is
 * measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t
bench_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
bench_process_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t
bench_thread_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
bench_share(double *samples, size_t nr, double share)
{
	if (nr == 0)
		return 0;
	qsort(samples, nr, sizeof(samples[0]), compare);
	return samples[(size_t)((double)(nr - 1) * share)];
}

double
bench_median(double *samples, size_t nr)
{
	double low = bench_share(samples, nr, 0.5);

	return nr % 2 != 0 || nr == 0 ? low : (low + samples[nr / 2]) / 2;
}

uint64_t
bench_resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
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
	fprintf(stderr, "%s: %s failed\n", program_invocation_short_name, what);
	exit(1);
}
