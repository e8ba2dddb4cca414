/* SPDX-License-Identifier: MIT */
/*
 * clock.c - milliseconds for the bounds of waits, on either side of a socket.
 *
 * Nobody sets this clock back, and it stands still while the machine sleeps, as a deadline should:
 * what was to take thirty seconds has not failed because a lid was closed. It must not call malloc,
 * since it is read in the companion, too.
 */
#define _GNU_SOURCE
#include "clock.h"

#include <time.h>

uint64_t
mhp__now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
