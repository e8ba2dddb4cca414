/* SPDX-License-Identifier: MIT */
/*
 * monitor.h - the command line on the serial console.
 */
#ifndef BARE_MONITOR_H
#define BARE_MONITOR_H

#include <stdbool.h>

int monitor_init(void);
/* Do one command; every command ends with a line that starts with "ok" or "refused". False: it was
 * the last. */
bool monitor_command(char *line);
/* Has any check that a command made found something wrong? */
bool monitor_failed(void);
/* Note that it has. */
void monitor_fail(void);

#endif
