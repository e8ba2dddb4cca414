/* SPDX-License-Identifier: MIT */
/*
 * setjmp.h - the registers that a call preserves, kept and put back (jump.S).
 * No signal masks: there are no signals.
 */
#ifndef SUITE_SETJMP_H
#define SUITE_SETJMP_H

typedef unsigned long jmp_buf[21];    /* as many as any processor's jump.S keeps */

int setjmp(jmp_buf back) __attribute__((returns_twice));
_Noreturn void longjmp(jmp_buf back, int value);

#endif
