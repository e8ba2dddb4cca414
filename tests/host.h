/* SPDX-License-Identifier: MIT */
/*
 * host.h - what the harness needs from the system that it runs on, beside the C library.
 *
 * host.c is for POSIX, tests/bare/suite/process.c for a machine without anything. test_signal_of()
 * (test.h) is theirs, too.
 */
#ifndef MEMPLUG_TEST_HOST_H
#define MEMPLUG_TEST_HOST_H

#include <stdbool.h>

/** Call died("signal 11 (Segmentation fault)") when the program does; it does not return. The
 *  caller is the main thread. */
void host_start(void (*died)(const char *of_what));
/** Only the main thread can jump out of a case; that of a forked child is none. */
bool host_is_main_thread(void);
/** End the program at once, whoever else runs. */
_Noreturn void host_end(int status);

#endif
