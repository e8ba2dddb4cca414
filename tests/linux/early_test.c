/* SPDX-License-Identifier: MIT */
/*
 * early_test.c - what the preload library does before anything else runs (heap/early.c; R38).
 *
 * The file is part of this program, so that its functions can be called one at a time; the program
 * it would execute again is written down in place of that. The program looks like one that is built
 * with AddressSanitizer, so the constructor of early.c has begun that once when main() is reached.
 */
#define syscall early_test_syscall
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

static long early_test_syscall(long number, ...);
#include "../../heap/early.c"
#undef syscall

#include <stdarg.h>
#include <stdlib.h>

#include "../test.h"

void __asan_init(void);

void
__asan_init(void)
{
}

static struct {
	bool has_no_path;              /* as where /proc is not mounted */
	unsigned nr_executed;
	char preload[256];             /* of the last one */
} seen;

/* Like the kernel's, but that what is executed goes on with what it was. */
static long
early_test_syscall(long number, ...)
{
	va_list args;
	va_start(args, number);
	if (number == SYS_readlinkat) {
		(void)va_arg(args, int);
		(void)va_arg(args, const char *);
		strcpy(va_arg(args, char *), "/bin/program");
		va_end(args);
		return seen.has_no_path ? -1 : (long)strlen("/bin/program");
	}
	const char *path = va_arg(args, const char *);
	(void)va_arg(args, char **);
	char **envp = va_arg(args, char **);
	va_end(args);
	CHECK(number == SYS_execve && strcmp(path, "/bin/program") == 0);
	seen.nr_executed++;
	for (; *envp != NULL; envp++)
		if (strncmp(*envp, "LD_PRELOAD=", 11) == 0)
			snprintf(seen.preload, sizeof(seen.preload), "%s", *envp + 11);
	return -1;
}

TEST(early__sanitizer__starts_again_with_the_other_libraries)
{
	static const struct { const char *list, *left; } rows[] = {
		{ "libmemplug-heap.so", "" },
		{ "/usr/lib/memplug/libmemplug-heap.so", "" },
		{ "libmemplug-heap.so:b.so", "b.so" },
		{ "a.so:/x/libmemplug-heap.so", "a.so:" },
		{ "a.so:/x/libmemplug-heap.so.1:b.so c.so", "a.so:b.so c.so" },
		{ "a.so /x/libmemplug-heap.so b.so", "a.so b.so" },
		{ "a.so:b.so", NULL },
		{ "", NULL },
		{ "libmemplug-hea", NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char list[128], other[] = "LD_PRELOADED=libmemplug-heap.so";
		char *argv[] = { NULL }, *envp[] = { other, list, NULL };
		test_at("'%s'", rows[i].list);
		snprintf(list, sizeof(list), "LD_PRELOAD=%s", rows[i].list);
		seen.nr_executed = 0;
		start_again(argv, envp);
		CHECK_EQ(seen.nr_executed, rows[i].left != NULL);
		CHECK(rows[i].left == NULL || strcmp(seen.preload, rows[i].left) == 0);
		CHECK(strcmp(other, "LD_PRELOADED=libmemplug-heap.so") == 0);
		CHECK(rows[i].left != NULL || strcmp(list + 11, rows[i].list) == 0);
	}
}

TEST(early__sanitizer_without_proc__goes_on)
{
	char list[] = "LD_PRELOAD=libmemplug-heap.so", *argv[] = { NULL };
	char *envp[] = { list, NULL };
	seen.has_no_path = true;
	seen.nr_executed = 0;
	start_again(argv, envp);
	seen.has_no_path = false;
	CHECK_EQ(seen.nr_executed, 0);
	CHECK(strcmp(list, "LD_PRELOAD=libmemplug-heap.so") == 0);
}

TEST(early__libc_knows_nothing_yet__it_is_told)
{
	static const struct { const char *path, *name; } rows[] = {
		{ "program", "program" }, { "/usr/bin/program", "program" }, { "./", "" },
	};
	char **environment = environ, *name = program_invocation_name;
	char *short_name = program_invocation_short_name, *envp[] = { NULL };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char path[32], *argv[] = { path, NULL };
		snprintf(path, sizeof(path), "%s", rows[i].path);
		environ = NULL;
		early(1, argv, envp);
		bool told = environ == envp && program_invocation_name == path &&
			    strcmp(program_invocation_short_name, rows[i].name) == 0;
		environ = environment;
		program_invocation_name = name;
		program_invocation_short_name = short_name;
		test_at("'%s'", rows[i].path);
		CHECK(told);
	}
	char *none[] = { NULL };
	environ = NULL;
	early(0, none, envp);
	bool told = environ == envp && program_invocation_name == name;
	environ = environment;
	CHECK(told);
}
