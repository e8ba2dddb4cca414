/* SPDX-License-Identifier: MIT */
/*
 * test.c - the harness: runs the cases of a program, and says how to see a failure again.
 *
 * A case that fails jumps back here; one that crashes or aborts ends the program, after a message
 * that names it. Must not know what it runs on: that is host.h's, a process here and a machine of
 * its own in tests/bare/suite.
 */
#include "test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "host.h"

#define SEED_DEFAULT UINT64_C(1)

enum ending { ENDING_NONE, ENDING_FAILED, ENDING_SKIPPED };

static struct {
	struct test_case *first, **last;
	const struct test_case *current;
	const char *program;
	char at[160];
	uint64_t seed, ops;
	bool quick, slow;
	unsigned passed, failed, skipped;
	jmp_buf back;
} run = { .seed = SEED_DEFAULT };

void
test_register(struct test_case *test)
{
	if (run.last == NULL)
		run.last = &run.first;
	*run.last = test;
	run.last = &test->next;
}

uint64_t
test_seed(void)
{
	return run.seed;
}

uint64_t
test_ops(uint64_t normal)
{
	if (run.ops != 0)
		return run.ops;
	if (run.quick)
		return normal / 20 + 1;
	return run.slow ? normal * 10 : normal;
}

uint64_t
test_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void
test_say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("%s: ", run.current->name);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
	va_end(args);
}

void
test_at(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(run.at, sizeof(run.at), format, args);
	va_end(args);
}

const char *
test_error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ 0, "0" },
		{ MHP_EPERM, "MHP_EPERM" },
		{ MHP_ENOENT, "MHP_ENOENT" },
		{ MHP_EIO, "MHP_EIO" },
		{ MHP_EINTR, "MHP_EINTR" },
		{ MHP_ENXIO, "MHP_ENXIO" },
		{ MHP_EAGAIN, "MHP_EAGAIN" },
		{ MHP_ENOMEM, "MHP_ENOMEM" },
		{ MHP_EBUSY, "MHP_EBUSY" },
		{ MHP_EEXIST, "MHP_EEXIST" },
		{ MHP_ENODEV, "MHP_ENODEV" },
		{ MHP_EINVAL, "MHP_EINVAL" },
		{ MHP_ENOSPC, "MHP_ENOSPC" },
		{ MHP_EDEADLK, "MHP_EDEADLK" },
		{ MHP_EOVERFLOW, "MHP_EOVERFLOW" },
		{ MHP_EOPNOTSUPP, "MHP_EOPNOTSUPP" },
		{ MHP_ECANCELED, "MHP_ECANCELED" },
		{ MHP_EOWNERDEAD, "MHP_EOWNERDEAD" },
		{ MHP_EHWPOISON, "MHP_EHWPOISON" },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == error)
			return names[i].name;
	return "MHP_E?";
}

/* ---- failing ---- */

/* Where we were, and how to get there again. */
static void
print_replay(void)
{
	if (run.at[0] != 0)
		printf("    at: %s\n", run.at);
	printf("    replay: %s --seed %" PRIu64, run.program, run.seed);
	if (run.ops != 0)
		printf(" --ops %" PRIu64, run.ops);
	printf("%s %s\n", run.quick ? " --quick" : run.slow ? " --long" : "",
	       run.current != NULL ? run.current->name : "");
}

static void
print_sum(void)
{
	printf("%u passed, %u failed", run.passed, run.failed);
	if (run.skipped != 0)
		printf(", %u skipped", run.skipped);
	putchar('\n');
	fflush(stdout);
}

/* The program cannot go on: end it here, counted. */
static _Noreturn void
give_up(void)
{
	run.failed++;
	print_sum();
	host_end(1);
}

void
test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("FAILED %s\n    %s:%d: ", run.current->name, file, line);
	vprintf(format, args);
	putchar('\n');
	print_replay();
	fflush(stdout);
	va_end(args);
	if (!host_is_main_thread())
		give_up();
	longjmp(run.back, ENDING_FAILED);
}

void
test_skip(const char *why)
{
	printf("SKIPPED %s: %s\n", run.current->name, why);
	fflush(stdout);
	longjmp(run.back, ENDING_SKIPPED);
}

void
test_check_mem(const char *file, int line, const char *what, const void *a, const void *b,
	       size_t size)
{
	const unsigned char *have = a, *want = b;
	for (size_t i = 0; i < size; i++)
		if (have[i] != want[i])
			test_fail(file, line, "%s differs at byte %zu of %zu: 0x%02x, not 0x%02x",
				  what, i, size, have[i], want[i]);
}

/* The program cannot go on, whatever it has done to itself; a word helps. */
static void
crashed(const char *of_what)
{
	printf("FAILED %s\n    died of %s\n",
	       run.current != NULL ? run.current->name : run.program, of_what);
	print_replay();
	give_up();
}

/* ---- running ---- */

static void
run_case(const struct test_case *test)
{
	run.current = test;
	run.at[0] = 0;
	switch (setjmp(run.back)) {
	case ENDING_NONE:
		test->fn();
		run.passed++;
		break;
	case ENDING_SKIPPED:
		run.skipped++;
		break;
	default:
		run.failed++;
		break;
	}
	run.current = NULL;
}

/* ".../pages_test.c", "pages_test" */
static bool
is_of_program(const char *file, const char *program)
{
	size_t length = strlen(program), whole = strlen(file);

	return whole > length + 2 && file[whole - length - 3] == '/' &&
	       strncmp(file + whole - length - 2, program, length) == 0;
}

static bool
is_named(const struct test_case *test, char *const *patterns)
{
	if (*patterns == NULL)
		return true;
	for (; *patterns != NULL; patterns++) {
		size_t length = strlen(*patterns);
		bool prefix = length > 0 && (*patterns)[length - 1] == '*';
		/* Without the prefix mark the NUL is compared, too. */
		if (strncmp(test->name, *patterns, prefix ? length - 1 : length + 1) == 0 ||
		    is_of_program(test->file, *patterns))
			return true;
	}
	return false;
}

static _Noreturn void
usage(void)
{
	printf("usage: %s [--seed N] [--ops N] [--quick | --long] [--list] [CASE | PREFIX* ...]\n",
	       run.program);
	exit(2);
}

static uint64_t
number(const char *text)
{
	char *end = NULL;
	uint64_t value = text != NULL ? strtoull(text, &end, 0) : 0;
	if (text == NULL || end == text || *end != 0)
		usage();
	return value;
}

/* Return: the rest of the arguments, the names of cases. */
static char **
read_options(char **argv, bool *ret_list)
{
	for (argv++; *argv != NULL && strncmp(*argv, "--", 2) == 0; argv++) {
		if (strcmp(*argv, "--seed") == 0)
			run.seed = number(*++argv);
		else if (strcmp(*argv, "--ops") == 0)
			run.ops = number(*++argv);
		else if (strcmp(*argv, "--quick") == 0)
			run.quick = true;
		else if (strcmp(*argv, "--long") == 0)
			run.slow = true;
		else if (strcmp(*argv, "--list") == 0)
			*ret_list = true;
		else
			usage();
	}
	return argv;
}

int
main(int argc, char **argv)
{
	bool list = false;
	unsigned nr = 0;
	run.program = argc > 0 ? argv[0] : "test";
	char **names = read_options(argv, &list);
	host_start(crashed);
	for (const struct test_case *test = run.first; test != NULL; test = test->next) {
		if (!is_named(test, names))
			continue;
		nr++;
		if (list)
			puts(test->name);
		else
			run_case(test);
	}
	if (list)
		return 0;
	if (nr == 0) {
		printf("%s: no such case\n", run.program);
		run.failed++;
	}
	print_sum();
	return run.failed == 0 ? 0 : 1;
}
