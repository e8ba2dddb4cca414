/* SPDX-License-Identifier: MIT */
/*
 * heap_cases.h - what the files of heap_cases have in common: how a case says what it saw, and the
 * cases that are in heap_calls.c.
 */
#ifndef MEMPLUG_HEAP_CASES_H
#define MEMPLUG_HEAP_CASES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s: line %d: %s\n", __FILE__, __LINE__, #cond);           \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

void mmap__calls_that_cannot_be__answer_as_the_kernel_does(void);
void calls_of_the_heap__that_cannot_be__answer_as_the_kernel_does(void);
void seccomp__is_asked_about__answers_as_the_kernel_does(void);

#endif
