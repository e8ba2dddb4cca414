/* SPDX-License-Identifier: MIT */
/*
 * sim_from.h - a scenario for memplug sim, made from memory blocks that there are.
 */
#ifndef MHP_CLI_SIM_FROM_H
#define MHP_CLI_SIM_FROM_H

/* Print it: folder is like /sys/devices/system/memory. A status; what is wrong was said. */
int sim_from(const char *folder);

#endif
