/* SPDX-License-Identifier: MIT */
/*
 * show.h - what the monitor prints: the list of ranges, the picture, the attributes.
 */
#ifndef BARE_SHOW_H
#define BARE_SHOW_H

#include <stdbool.h>

void show_list(void);
void show_map(void);
/* One attribute by name, or all when name is NULL. False: there is no such attribute. */
bool show_attributes(const char *name);

#endif
