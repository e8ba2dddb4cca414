/* SPDX-License-Identifier: MIT */
/*
 * console.h - the serial console: what the port says and hears.
 */
#ifndef X86_64_CONSOLE_H
#define X86_64_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

void console_init(void);
/* Print: %s %c %d %u %x with an optional 0, width and l (64 bits). */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The next byte that came, or -1. Never waits. */
int console_read(void);
/* Is there one? */
bool console_pending(void);
/* Raise an interrupt (ISA 4) for every byte that comes. */
void console_irq_enable(void);
/* Collect what came into a line. True: the line is complete, NUL-terminated, and the next call
 * starts a new one. echo: show what is typed. */
bool console_line(char *line, size_t size, bool echo);

#endif
