/* SPDX-License-Identifier: MIT */
/*
 * clock.h - the clock of all waits on either side of a socket.
 */
#ifndef MHP_CONTROL_CLOCK_H
#define MHP_CONTROL_CLOCK_H

#include <stdint.h>

/* Only differences mean something. */
uint64_t mhp__now_ms(void);

#endif
