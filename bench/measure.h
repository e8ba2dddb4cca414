/* SPDX-License-Identifier: MIT */
/*
 * measure.h - clocks, order statistics, CPUs and memory, for all parts of both benchmarks.
 */
#ifndef MEMPLUG_BENCH_MEASURE_H
#define MEMPLUG_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/** Wall clock, ns. */
uint64_t bench_now_ns(void);
/** CPU time of the process, and of the calling thread, ns. */
uint64_t bench_process_ns(void);
uint64_t bench_thread_ns(void);
/** The value that a share of @samples, from 0 to 1, is not above; sorts them. */
double bench_share(double *samples, size_t nr, double share);
/** The same for one half, between the two in the middle where there are two. */
double bench_median(double *samples, size_t nr);
/** Memory that the process has resident. */
uint64_t bench_resident_bytes(void);
/** Run on this CPU only. */
void bench_pin(unsigned cpu);
/** Say what went wrong and end. */
_Noreturn void bench_die(const char *what);

#endif
