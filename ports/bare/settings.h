/* SPDX-License-Identifier: MIT */
/*
 * settings.h - the engine's knobs by name: on the command line, and by the verb set.
 */
#ifndef BARE_SETTINGS_H
#define BARE_SETTINGS_H

#include <memplug/mhp.h>

/* Read the command line (NAME=VALUE); says what it refuses. */
void settings_init(void);
/* Set one. MHP_ENOENT: there is no such knob; MHP_EINVAL: no such value. Says nothing. */
MHP_MUST_CHECK int settings_set(const char *name, const char *value);
/* Print one by name, or all when name is NULL. False: there is no such knob. */
bool settings_show(const char *name);

#endif
