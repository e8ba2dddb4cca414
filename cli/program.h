/* SPDX-License-Identifier: MIT */
/*
 * program.h - what `memplug run` can tell of a program before it starts it.
 */
#ifndef MEMPLUG_CLI_PROGRAM_H
#define MEMPLUG_CLI_PROGRAM_H

#include <stdbool.h>

/*
 * Why the heap of this program, found as a shell finds it, will not be in a pool, as in "PROGRAM
 * is linked statically". NULL: it will, as far as one can see, or there is no such program.
 */
const char *cli_program_outside(const char *program);

#endif
