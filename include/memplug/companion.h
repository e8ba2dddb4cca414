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
 * filter, lets us make no process, or mhp_companion_seal() was called), MHP_EAGAIN (there are too
 * many), MHP_EIO (somebody killed the companion during the call: what @fn did before that, it has
 * done, and its descriptors are closed; a robust mutex that it held says EOWNERDEAD, any other one
 * stays locked), or as mhp_companion_init(). The next call starts another companion.
 */
MHP_MUST_CHECK int mhp_companion_call(int (*fn)(void *arg), void *arg, struct mhp_text *reterr);

/**
 * In the companion: have fn(arg) run there on a thread of its own. It ends when @fn returns.
 * Return: 0, or MHP_EAGAIN: there are MHP_COMPANION_THREADS of them already.
 */
MHP_MUST_CHECK int mhp_companion_thread(void (*fn)(void *arg), void *arg);

#define MHP_COMPANION_THREADS 20U /* and one more process, which stands by */

/**
 * In the companion: run fn(arg) in one more process, and wait for it, for @timeout_ms at most.
 *
 * It has the companion's descriptors and counts as being in it, but whoever kills the companion
 * does not cut it: it goes on. So it may take locks of the program, if they are
 * PTHREAD_PROCESS_SHARED.
 * It is ended with the program. There is one at a time, so @arg must stay good when this returns.
 * Return: 0, or MHP_EAGAIN: it has not ended yet (it will), one is at work already, or the system
 * makes no more processes.
 */
MHP_MUST_CHECK int mhp_companion_aside(void (*fn)(void *arg), void *arg, unsigned timeout_ms);

/** Are we in the companion? */
bool mhp_companion_here(void);

/** In the companion: what it does last when the program has ended; a short job such as unlink(). */
void mhp_companion_at_end(void (*fn)(void));

/**
 * Should the companion be killed, the next one begins with fn() on a thread of its own. A forked
 * child has none of these until it says so itself.
 * @fresh is NULL as a rule: descriptors that were open still are. Not NULL:
 * whoever kept them was killed, too, and they are closed. At most two functions.
 */
void mhp_companion_next(void (*fn)(void *fresh));

/**
 * From now on start no companion, here and in what is forked from here; one that runs goes on. For
 * a program that is about to enter a seccomp filter, which may end it when it makes a process.
 * mhp_companion_call() says MHP_EPERM then where there is none.
 */
void mhp_companion_seal(void);

/** The process that is the companion of this one; 0: there is none (yet, or any more). */
int mhp_companion_pid(void);

#ifdef __cplusplus
}
#endif
#endif
