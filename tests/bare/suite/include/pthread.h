/* SPDX-License-Identifier: MIT */
/*
 * pthread.h - one thread: a case that wants another is left, and counted as skipped (process.c).
 * A mutex still knows whether it is held, and refuses to be locked twice.
 */
#ifndef SUITE_PTHREAD_H
#define SUITE_PTHREAD_H

typedef unsigned long pthread_t;
typedef int pthread_attr_t;
typedef int pthread_mutexattr_t;
typedef struct {
	_Bool held;
} pthread_mutex_t;

enum { PTHREAD_MUTEX_ERRORCHECK = 2 };
#define PTHREAD_MUTEX_INITIALIZER { 0 }

int pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*run)(void *arg),
		   void *arg);
int pthread_join(pthread_t thread, void **ret_value);
int pthread_mutexattr_init(pthread_mutexattr_t *attr);
int pthread_mutexattr_settype(pthread_mutexattr_t *attr, int type);
int pthread_mutexattr_destroy(pthread_mutexattr_t *attr);
int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int pthread_mutex_destroy(pthread_mutex_t *mutex);
int pthread_mutex_lock(pthread_mutex_t *mutex);
int pthread_mutex_unlock(pthread_mutex_t *mutex);

#endif
