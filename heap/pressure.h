/* SPDX-License-Identifier: MIT */
/*
 * pressure.h - whoever starts the program may tell it that memory is short: systemd's protocol of
 * MEMORY_PRESSURE_WATCH.
 */
#ifndef MHP_HEAP_PRESSURE_H
#define MHP_HEAP_PRESSURE_H

#include <stdbool.h>

/* Remember what the environment says; in the program, before anybody changes it. */
void mhp__pressure_remember(void);
/* Begin to listen, if somebody will tell; in the thread that waits. */
void mhp__pressure_open(void);
void mhp__pressure_close(void);
/* Wait that long, or until it is told; true: it was told. */
bool mhp__pressure_wait(long milliseconds);

#endif
