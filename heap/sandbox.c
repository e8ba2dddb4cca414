/* SPDX-License-Identifier: MIT */
/*
 * sandbox.c - notice that the program enters a seccomp filter.
 *
 * A filter may end the process for a system call that its author did not foresee, such as ours that
 * makes a companion. Threads and processes that run already are not bound by it. So prctl() and
 * syscall(), by which programs and libseccomp set filters, pass through here, and before one is set
 * whatever will be needed is started. A program that makes the call itself goes unnoticed
 * (docs/CAVEATS.md).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memplug/control.h>

#if defined(__x86_64__) || defined(__aarch64__)

#define EXPORTED __attribute__((visibility("default")))

/* Not the next syscall() in line: this library is called before that can be looked up. */
static long
enter(long number, const long arg[6])
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = arg[3];
	register long r8 __asm__("r8") = arg[4];
	register long r9 __asm__("r9") = arg[5];
	long result = number;
	__asm__ volatile("syscall"
			 : "+a"(result)
			 : "D"(arg[0]), "S"(arg[1]), "d"(arg[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x1 __asm__("x1") = arg[1];
	register long x2 __asm__("x2") = arg[2];
	register long x3 __asm__("x3") = arg[3];
	register long x4 __asm__("x4") = arg[4];
	register long x5 __asm__("x5") = arg[5];
	register long result __asm__("x0") = arg[0];
	__asm__ volatile("svc #0"
			 : "+r"(result)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
#endif
	if (result >= 0 || result < -4095)
		return result;
	errno = (int)-result;
	return -1;
}

static void
look(long number, long first)
{
	if ((number == SYS_prctl && first == PR_SET_SECCOMP) ||
	    (number == SYS_seccomp && first != SECCOMP_GET_ACTION_AVAIL &&
	     first != SECCOMP_GET_NOTIF_SIZES))
		mhp_control_seal();
}

EXPORTED long
syscall(long number, ...)
{
	long arg[6];
	va_list args;
	va_start(args, number);
	for (unsigned i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	look(number, arg[0]);
	return enter(number, arg);
}

EXPORTED int
prctl(int option, ...)
{
	long arg[6] = { option };
	va_list args;
	va_start(args, option);
	for (unsigned i = 1; i < 5; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	look(SYS_prctl, option);
	return (int)enter(SYS_prctl, arg);
}

#endif
