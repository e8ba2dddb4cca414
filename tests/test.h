/* SPDX-License-Identifier: MIT */
/*
 * test.h - the test harness: cases, checks, and the command line of every test program.
 *
 * A program is a file of TEST(module__condition__result) { ... } cases; main() is in test.c. It is
 * silent but for test_say(), and ends with the line "P passed, F failed" (and ", S skipped" where
 * some cannot run) that scripts/run-tests adds up. A failed check prints where, what it saw and
 * the one command that replays the case, and leaves the case; in a thread or child of its own it
 * ends the program, like a crash.
 *
 *     program [--seed N] [--ops N] [--quick | --long] [--list] [CASE ...]
 *
 * A case is named in full or by a prefix that ends in "*"; "pages_test" names all of pages_test.c,
 * where several programs are one (tests/bare/suite).
 */
#ifndef MEMPLUG_TEST_H
#define MEMPLUG_TEST_H

#include <inttypes.h>
#include <memplug/mhp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/** Sanitizers: TSan leaves little address space, and both are slow. */
#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

/** The build is for another machine, which QEMU's user mode stands in for. */
#ifndef TEST_EMULATED
#define TEST_EMULATED 0
#endif

struct test_case {
	const char *name;
	const char *file;
	void (*fn)(void);
	struct test_case *next;
};

void test_register(struct test_case *test);

/** Define a case. Cases run in the order in which they stand in the file. */
#define TEST(name)                                                                                 \
	static void name(void);                                                                    \
	static struct test_case name##_case = { #name, __FILE__, name, NULL };                     \
	__attribute__((constructor)) static void name##_register(void)                             \
	{                                                                                          \
		test_register(&name##_case);                                                       \
	}                                                                                          \
	static void name(void)

/* ---- what a case may ask ---- */

/** The seed: --seed, or a fixed one, so that plain runs are all alike. */
uint64_t test_seed(void);

/** How many operations a long case should do: --ops, or @normal, a 20th of it with --quick, ten
 *  times as many with --long. */
uint64_t test_ops(uint64_t normal);

/** A random number that follows from *state; any state will do (splitmix64, Steele et al. 2014). */
uint64_t test_random(uint64_t *state);

/** Print a line of result, such as how many states were visited. */
__attribute__((format(printf, 1, 2))) void test_say(const char *format, ...);

/** Where we are, for the message of a check that fails later in this case ("step 17: online 3"). */
__attribute__((format(printf, 1, 2))) void test_at(const char *format, ...);

/**
 * Run fn(ctx) in a child. Return: the signal that it died of, or 0 when it came to its end. What it
 * writes to memory of an MHP_SIM_UNMAP simulator is seen here, too: that is shared with the child.
 */
int test_signal_of(void (*fn)(void *ctx), void *ctx);

/** The name of an error ("MHP_EBUSY"), "0", or "MHP_E?". */
const char *test_error_name(int error);

/* ---- checks ---- */

__attribute__((format(printf, 3, 4), noreturn)) void test_fail(const char *file, int line,
							       const char *format, ...);

/** Leave the case: it cannot run here. It is counted and named, with the reason. */
_Noreturn void test_skip(const char *why);

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			test_fail(__FILE__, __LINE__, "%s", #cond);                                \
	} while (0)

/** Compare two integers of any types with an operator: CHECK_CMP(nr, <=, 3). Both print. */
#define CHECK_CMP(a, op, b)                                                                        \
	do {                                                                                       \
		__int128 have_ = (__int128)(a), want_ = (__int128)(b);                             \
		if (!(have_ op want_))                                                             \
			test_fail(__FILE__, __LINE__,                                              \
				  "%s " #op " %s: %" PRId64 " (0x%" PRIx64 ") against %" PRId64    \
				  " (0x%" PRIx64 ")",                                              \
				  #a, #b, (int64_t)have_, (uint64_t)have_, (int64_t)want_,         \
				  (uint64_t)want_);                                                \
	} while (0)

#define CHECK_EQ(a, b) CHECK_CMP(a, ==, b)
#define CHECK_NE(a, b) CHECK_CMP(a, !=, b)

/** The call returns this error (0 = success). */
#define CHECK_RET(call, error)                                                                     \
	do {                                                                                       \
		int have_ = (call), want_ = (error);                                               \
		if (have_ != want_)                                                                \
			test_fail(__FILE__, __LINE__, "%s returned %d (%s), not %d (%s)", #call,   \
				  have_, test_error_name(have_), want_, test_error_name(want_));   \
	} while (0)

/** The call succeeds. */
#define CHECK_OK(call) CHECK_RET(call, 0)

#define CHECK_STR(have, want)                                                                      \
	do {                                                                                       \
		const char *have_ = (have), *want_ = (want);                                       \
		if (strcmp(have_, want_) != 0)                                                     \
			test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #have, have_,    \
				  want_);                                                          \
	} while (0)

/** Both memories are equal; the first difference is named. */
#define CHECK_MEM(a, b, size) test_check_mem(__FILE__, __LINE__, #a, (a), (b), (size))
void test_check_mem(const char *file, int line, const char *what, const void *a, const void *b,
		    size_t size);

#include "pool.h"

#endif
