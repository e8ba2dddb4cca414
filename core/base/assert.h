/* SPDX-License-Identifier: MIT */
/*
 * assert.h - assertions for our own bugs, never for what a caller, port or listener can cause.
 *
 * Three prices: MHP_ASSERT is always there and cheap; MHP_ASSERT_DEBUG only in debug builds; the
 * whole-instance verifier (check.c) is for questions that no single place can answer.
 */
#ifndef MHP_CORE_ASSERT_H
#define MHP_CORE_ASSERT_H

#ifndef MHP_DEBUG
#define MHP_DEBUG 0
#endif

#define MHP_LIKELY(x) __builtin_expect(!!(x), 1)
#define MHP_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define MHP_ASSERT(cond)                                                                           \
	do {                                                                                       \
		if (MHP_UNLIKELY(!(cond)))                                                         \
			__builtin_trap();                                                          \
	} while (0)

#define MHP_ASSERT_DEBUG(cond)                                                                     \
	do {                                                                                       \
		if (MHP_DEBUG)                                                                     \
			MHP_ASSERT(cond);                                                          \
	} while (0)

#endif
