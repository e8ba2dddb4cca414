/* SPDX-License-Identifier: MIT */
/*
 * suite.h - what the files of this folder need from each other, beyond the C library that they are.
 */
#ifndef SUITE_H
#define SUITE_H

#include <stdbool.h>

/* Print on the port's console. */
void suite_say(const char *text);
/* Print nothing until told otherwise. */
void suite_silence(bool silent);
/* From here on exceptions are the test program's. */
void suite_catch_exceptions(void);
/* The program is over. */
_Noreturn void suite_end(int status);

#endif
