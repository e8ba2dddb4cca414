/* SPDX-License-Identifier: MIT */
/*
 * process.c - the harness's host (tests/host.h) without an operating system: exceptions of the
 * CPU for signals, a copy of the private memory for a child, and nobody else to run.
 *
 * A child is a call that is left again when it dies. What it wrote to private memory and what it
 * mapped is undone; what it wrote to variables of the program stays, so cases that look at those
 * afterwards would see it. An exception returns to die(), on the stack of whoever raised it.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host.h"
#include "machine.h"
#include "processor.h"
#include "space.h"
#include "suite.h"
#include "test.h"
#include "traps.h"

static void (*tell)(const char *of_what);
static struct {
	bool running;
	int number;                /* what it died of */
	jmp_buf back;
} child;

static const char *
signal_name(int number)
{
	switch (number) {
	case SIGABRT:
		return "signal 6 (abort)";
	case SIGSEGV:
		return "signal 11 (a page that is not mapped)";
	case SIGILL:
		return "signal 4 (illegal instruction)";
	case SIGFPE:
		return "signal 8 (division)";
	default:
		return "an exception";
	}
}

static _Noreturn void
die(int number)
{
	if (child.running) {
		child.number = number;
		longjmp(child.back, 1);
	}
	tell(signal_name(number));
	suite_end(1);
}

static bool
exception(struct trap_frame *frame)
{
	int number = suite_signal_of(frame);

	if (number != 0)
		suite_go_on_at(frame, die, number);
	return number != 0;
}

void
suite_catch_exceptions(void)
{
	traps_set_fault_handler(space_fault);
	traps_set_exception_handler(exception);
}

void
host_start(void (*died)(const char *of_what))
{
	tell = died;
}

bool
host_is_main_thread(void)
{
	return true;
}

void
host_end(int status)
{
	suite_end(status);
}

int
test_signal_of(void (*fn)(void *ctx), void *ctx)
{
	fflush(NULL);
	space_fork();
	suite_silence(true);
	child.number = 0;
	child.running = true;
	if (setjmp(child.back) == 0)
		fn(ctx);
	child.running = false;
	fflush(NULL);
	suite_silence(false);
	space_join();
	return child.number;
}

void
abort(void)
{
	die(SIGABRT);
}

void
exit(int status)
{
	suite_end(status);
}

int
clock_gettime(int clock, struct timespec *ret_now)
{
	uint64_t ns = machine_now_ns();

	(void)clock;
	ret_now->tv_sec = (long)(ns / 1000000000U);
	ret_now->tv_nsec = (long)(ns % 1000000000U);
	return 0;
}

/* ---- <pthread.h> ---- */

int
pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*run)(void *arg),
	       void *arg)
{
	(void)ret_thread;
	(void)attr;
	(void)run;
	(void)arg;
	test_skip("needs bare-threads: nothing schedules threads on bare metal");
}

/* Nobody comes here: there is none to wait for. */
int
pthread_join(pthread_t thread, void **ret_value)
{
	(void)thread;
	(void)ret_value;
	return -1;
}

int
pthread_mutexattr_init(pthread_mutexattr_t *attr)
{
	*attr = 0;
	return 0;
}

int
pthread_mutexattr_settype(pthread_mutexattr_t *attr, int type)
{
	*attr = type;
	return 0;
}

int
pthread_mutexattr_destroy(pthread_mutexattr_t *attr)
{
	(void)attr;
	return 0;
}

int
pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	(void)attr;
	mutex->held = false;
	return 0;
}

int
pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	(void)mutex;
	return 0;
}

int
pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (mutex->held)
		return -1;
	mutex->held = true;
	return 0;
}

int
pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (!mutex->held)
		return -1;
	mutex->held = false;
	return 0;
}
