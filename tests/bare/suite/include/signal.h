/* SPDX-License-Identifier: MIT */
/*
 * signal.h - names of what a program may die of; nothing is delivered.
 * What exception becomes which of them is in processor.c.
 */
#ifndef SUITE_SIGNAL_H
#define SUITE_SIGNAL_H

#define SIGILL 4
#define SIGTRAP 5
#define SIGABRT 6
#define SIGBUS 7
#define SIGFPE 8
#define SIGSEGV 11

#endif
