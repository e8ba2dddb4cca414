/* SPDX-License-Identifier: MIT */
/*
 * pressure.h - learn that memory is short from the service manager, by systemd's protocol of
 * MEMORY_PRESSURE_WATCH.
 */
#ifndef MHP_HEAP_PRESSURE_H
#define MHP_HEAP_PRESSURE_H

#include <stdbool.h>

/* Remember what the environment says; in the program, before anybody changes it. */
void mhp__pressure_remember(void);
/* Begin to listen, if the environment names a file; in the thread that waits. */
void mhp__pressure_open(void);
void mhp__pressure_close(void);
/* Wait that long, or until memory is said to be short; true: it was said. */
bool mhp__pressure_wait(long milliseconds);

#endif
