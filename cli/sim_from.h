/* SPDX-License-Identifier: MIT */
/*
 * sim_from.h - scenarios for memplug sim, made from memory blocks that there are (sim_from.c), or
 * from what happened to them (sim_recorded.c).
 */
#ifndef MHP_CLI_SIM_FROM_H
#define MHP_CLI_SIM_FROM_H

#include <stdint.h>

/* Print it: folder is like /sys/devices/system/memory. A status; what is wrong was said. */
int sim_from(const char *folder);
/* The same from what memplug monitor --json wrote; path may be - for standard input. */
int sim_from_recording(const char *path);

/* A line of a scenario: a step, an exact size in its largest unit, and the rest. */
void sim_print_size(const char *step, uint64_t bytes, const char *rest);

#endif
