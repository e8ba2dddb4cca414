/* SPDX-License-Identifier: MIT */
/*
 * time.h - the port's clock.
 * It starts with the machine.
 */
#ifndef SUITE_TIME_H
#define SUITE_TIME_H

struct timespec {
	long tv_sec, tv_nsec;
};

enum { CLOCK_MONOTONIC = 1 };

int clock_gettime(int clock, struct timespec *ret_now);

#endif
