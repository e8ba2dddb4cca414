/* SPDX-License-Identifier: MIT */
/*
 * processor.h - the processor's share of the suite: x86_64/ and aarch64/, with setjmp in jump.S.
 */
#ifndef SUITE_PROCESSOR_H
#define SUITE_PROCESSOR_H

struct trap_frame; /* traps.h */

/* Tests print times and rates, so they may use the registers for that. */
void suite_allow_float(void);
/* The signal that an exception stands for; 0: none that a program raises. */
int suite_signal_of(const struct trap_frame *frame);
/* When the exception is over, call next(number) on the stack of whoever raised it. */
void suite_go_on_at(struct trap_frame *frame, void (*next)(int number), int number);

#endif
