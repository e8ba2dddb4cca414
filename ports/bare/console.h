/* SPDX-License-Identifier: MIT */
/*
 * console.h - the serial console: what the port says and hears.
 */
#ifndef BARE_CONSOLE_H
#define BARE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

/* Print: %s %c %d %u %x with an optional 0, width and l (64 bits). */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Collect what came into a line. True: the line is complete, NUL-terminated, and the next call
 * starts a new one. echo: show what is typed. */
bool console_line(char *line, size_t size, bool echo);

#endif
