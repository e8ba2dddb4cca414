/* SPDX-License-Identifier: MIT */
/*
 * host.c - the harness on POSIX: crashes by signal handlers, children by fork.
 *
 * Sanitizers keep their own handlers for what they report and are told (by scripts/run-tests) to
 * abort afterwards, so that SIGABRT names the case then.
 */
#define _GNU_SOURCE
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define ALT_STACK_BYTES 65536

static pthread_t main_thread;
static pid_t main_process;
static void (*tell)(const char *of_what);

/* Not what a handler may do by the book, but the program ends here, and a word helps. */
static void
crashed(int number)
{
	char words[80];

	signal(number, SIG_DFL);
	snprintf(words, sizeof(words), "signal %d (%s)", number, strsignal(number));
	tell(words);
}

void
host_start(void (*died)(const char *of_what))
{
	static unsigned char stack[ALT_STACK_BYTES];
	static const int numbers[] = { SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_handler = crashed, .sa_flags = SA_ONSTACK };
	/* Sanitizers have handlers of their own; TSan aborts with locks that words would need. */
	size_t nr = TEST_TSAN ? 1 : TEST_ASAN ? 2 : sizeof(numbers) / sizeof(numbers[0]);

	main_thread = pthread_self();
	main_process = getpid();
	tell = died;
	sigaltstack(&alt, NULL);
	for (size_t i = 0; i < nr; i++)
		sigaction(numbers[i], &action, NULL);
}

bool
host_is_main_thread(void)
{
	return pthread_equal(pthread_self(), main_thread) && getpid() == main_process;
}

void
host_end(int status)
{
	_exit(status);
}

int
test_signal_of(void (*fn)(void *ctx), void *ctx)
{
	static const int numbers[] = { SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	int status = 0;

	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		struct rlimit none = { 0, 0 };
		setrlimit(RLIMIT_CORE, &none);
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
			signal(numbers[i], SIG_DFL);
		int quiet = open("/dev/null", O_WRONLY);
		dup2(quiet, STDOUT_FILENO);
		dup2(quiet, STDERR_FILENO);
		fn(ctx);
		_exit(0);
	}
	if (child < 0)
		FAIL("fork: %s", strerror(errno));
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			FAIL("waitpid: %s", strerror(errno));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
