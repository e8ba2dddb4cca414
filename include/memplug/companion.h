/* SPDX-License-Identifier: MIT */
/*
 * companion.h - a process beside the program that shares its memory and nothing else.
 *
 * The companion keeps everything that a pool needs of the kernel by descriptor (sockets,
 * userfaultfds, devices), and everything that works by itself, so that a program has no thread, no
 * descriptor and no child that it did not make. The program may close descriptors, count threads,
 * change its user, enter a namespace, a chroot or a seccomp filter, or be stopped; the companion
 * keeps the user, root, working directory and namespaces that it started with.
 *
 * There is one for a process, started by the first call, and started anew in a forked child. It
 * ends when the program ends or executes another. All memory is shared, so pointers and functions
 * mean the same on both sides, and any lock works that is PTHREAD_PROCESS_SHARED (the C library
 * locks others without atomics as long as it believes that there is but one thread).
 *
 * Context, unless a function says otherwise: any thread, not a signal handler.
 */
#ifndef MEMPLUG_COMPANION_H
#define MEMPLUG_COMPANION_H

#include <memplug/linux.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Get ready to start a companion later, also where malloc must not be called.
 *
 * It makes a thread for a moment, to learn what the C library expects of one. mhp_pool_create()
 * calls it. Further calls do nothing.
 * Return: 0, MHP_EAGAIN or MHP_ENOMEM (there can be no thread), MHP_EOPNOTSUPP (an unknown kernel
 * or C library).
 */
MHP_MUST_CHECK int mhp_companion_init(struct mhp_text *reterr);

/**
 * Run fn(arg) in the companion and wait for it. There it is a plain call.
 *
 * Descriptors that @fn opens belong to the companion: they are good in later calls. @fn must not
 * call malloc, may block, and runs beside other calls.
 *
 * Context: any thread, also inside of malloc (after mhp_companion_init()); not a signal handler.
 * Locks that @fn takes must not be held by the caller.
 * Cost: about 50 us; the first call about 500.
 * Return: what @fn returns; else @reterr has a sentence: MHP_EPERM (the system, perhaps a seccomp
 * filter, lets us make no process, or mhp_companion_seal() was called), MHP_EAGAIN (too many
 * processes), MHP_EIO (the companion was killed during the call: what @fn had done by then is done,
 * a robust mutex that it held says EOWNERDEAD, and any other mutex that it held stays locked), or
 * what mhp_companion_init() returns. The next call starts another companion.
 */
MHP_MUST_CHECK int mhp_companion_call(int (*fn)(void *arg), void *arg, struct mhp_text *reterr);

/**
 * Run fn(arg) on a thread of its own in the companion. The thread ends when @fn returns.
 *
 * Context: in the companion.
 * Return: 0, or MHP_EAGAIN: there are MHP_COMPANION_THREADS of them already.
 */
MHP_MUST_CHECK int mhp_companion_thread(void (*fn)(void *arg), void *arg);

#define MHP_COMPANION_THREADS 20U /* and one more process, which stands by */

/**
 * Run fn(arg) in one more process beside the companion, and wait for it, for @timeout_ms at most.
 *
 * That process has the companion's descriptors and counts as the companion (mhp_companion_here()),
 * but it survives when the companion is killed. So it may take locks of the program, provided that
 * they are PTHREAD_PROCESS_SHARED. It ends with the program. There is one at a time.
 *
 * @arg: must stay valid after a timeout, until @fn has returned.
 *
 * Context: in the companion.
 * Return: 0, or MHP_EAGAIN: it has not ended yet (it will), another one is at work, or the system
 * refuses to make a process.
 */
MHP_MUST_CHECK int mhp_companion_aside(void (*fn)(void *arg), void *arg, unsigned timeout_ms);

/** Are we in the companion? */
bool mhp_companion_here(void);

/** Have fn() called when the program has ended; a short job such as unlink(). Context: in the
 * companion. */
void mhp_companion_at_end(void (*fn)(void));

/**
 * Have fn() called, on a thread of its own, whenever a new companion takes the place of one that
 * was killed. At most two functions. A forked child starts with none.
 *
 * @fresh: NULL as a rule: all descriptors of the old companion are still open. Not NULL: the
 *         standby that keeps them was killed, too, and they are closed.
 */
void mhp_companion_next(void (*fn)(void *fresh));

/**
 * Start no companion from now on, neither here nor in children; one that runs goes on. For a
 * program that is about to enter a seccomp filter, which might kill it for making a process.
 * Without a companion mhp_companion_call() then returns MHP_EPERM.
 */
void mhp_companion_seal(void);

/** The process that is the companion of this one; 0: there is none (yet, or any more). */
int mhp_companion_pid(void);

#ifdef __cplusplus
}
#endif
#endif
