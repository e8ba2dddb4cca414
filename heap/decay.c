/* SPDX-License-Identifier: MIT */
/*
 * decay.c - have jemalloc give back what it merely keeps, from outside of the program's threads.
 *
 * jemalloc keeps freed memory for a while, and for ever if the program sleeps. When blocks have to
 * leave and room is short, a process beside the companion (mhp_companion_aside()) empties the
 * arenas as a thread of the program would; it leaves the caches of threads alone. That needs two
 * things, for which the linker gives us jemalloc's calls (__wrap_...). The mutexes of jemalloc must
 * be process-shared, because the C library takes others without atomics while it knows of only one
 * thread. And what jemalloc notes about the process must be forgotten when the process ends, as at
 * the end of a thread.
 */
#define _GNU_SOURCE
#include "decay.h"

#include <memplug/companion.h>
#include <pthread.h>

#include "heap.h"

#define WAIT_MS 3000U
#define ALL_ARENAS "arena.4096.purge" /* MALLCTL_ARENAS_ALL */

int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __real_pthread_key_create(pthread_key_t *key, void (*destructor)(void *value));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *value));

/* jemalloc's one key: what it notes about a thread, and how it forgets that. */
static struct {
	pthread_key_t key;
	void (*forget)(void *value);
} notes;

int
__wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
	pthread_mutexattr_t shared;
	if (attr != NULL) /* Untaken: jemalloc 5.3 gives attributes to each of its own. */
		shared = *attr;
	else
		pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	return __real_pthread_mutex_init(mutex, &shared);
}

int
__wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *value))
{
	int error = __real_pthread_key_create(key, destructor);
	if (error == 0) { /* Untaken: it is the first of a thousand keys that a process has. */
		notes.key = *key;
		notes.forget = destructor;
	}
	return error;
}

/* Aside. */
static void
empty_arenas(void *arg)
{
	(void)arg;
	(void)!mallctl(ALL_ARENAS, NULL, NULL, NULL, 0);
	(void)mhp__extents_trim(UINTPTR_MAX);
	void *noted = pthread_getspecific(notes.key);
	/* Untaken: jemalloc has noted a thread that calls mallctl(). */
	if (noted != NULL)
		notes.forget(noted);
}

void
mhp__decay_now(void)
{
	if (notes.forget != NULL) /* Untaken: jemalloc begins before there is a pool. */
		(void)!mhp_companion_aside(empty_arenas, NULL, WAIT_MS);
}
