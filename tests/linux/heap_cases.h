/* SPDX-License-Identifier: MIT */
/*
 * heap_cases.h - what the files of heap_cases have in common: how a case says what it saw, what
 * several ask, and the cases of heap_calls.c and fork_cases.c. What heap_test.sh lets a case ask of
 * its pool is a command in the environment; without one there is no pool to ask.
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

/* Small things of all sizes, so that what libc allocates next is in the pool. */
void fill(void);

/* A line of /proc/self/status, in KiB; -1: there is none. */
long status_kib(const char *name);

/* What is committed in our own pool, or 0 where nobody says how to ask. */
unsigned long long committed(void);

struct rlimit;

/* What the process may have of data: what it has now, and so much more. */
void limit_data(size_t more, struct rlimit *ret_before);

/* The status of a child that does nothing. */
int fork_and_wait(void);

void mmap__calls_that_cannot_be__answer_as_the_kernel_does(void);
void mmap__kernel_refuses__charge_is_as_before(void);
void calls_of_the_heap__that_cannot_be__answer_as_the_kernel_does(void);
void seccomp__is_asked_about__answers_as_the_kernel_does(void);

void mmap__device_comes_and_goes__threads_use_memory(void);
void mmap__device_takes_it__calls_answer_as_the_kernel_does(void);
void mmap__device_takes_it__it_grows_as_one(void);
void mmap__device_takes_it__it_moves_as_one(void);
void mmap__device_takes_it__a_hole_does_not_move(void);
void mmap__device_takes_it__raw_calls_are_found(void);
void mmap__memory_in_pieces__grows_and_moves_as_one(void);

void file_is_locked__fork__has_one_holder(void);
void heap_grows__children_overlap__malloc_does_not_wait(void);
void large_heap__is_forked_again__costs_as_at_first(void);
void stack_is_allocated__fork_on_it__both_go_on(void);
void threads_keep_values__fork__are_as_before(void);
void users_are_looked_up__fork__ends(void);
void workers_overlap__parent_rewrites__used_memory_stays(void);

#endif
