/* SPDX-License-Identifier: MIT */
/*
 * loop.c - which thread reads the requests of the kernel: one, until it has to wait.
 *
 * If the answer is known already, the thread that read the request gives it, and reads the next
 * one. So a tool that reads file after file takes turns with one thread, and costs the machine half
 * of what it costs when each request wakes another one. A thread that is about to wait for the pool
 * says so (tree_loop_will_wait()) and lets another one read, which also hears of interrupts.
 *
 * Invariant: at most one thread reads, and it is loop.reader. Nobody begins once the session ends.
 */
#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 512U
#define THREADS_IDLE 8U

static struct {
	struct fuse_session *session;
	int end_fd;                    /* readable when the session has ended by itself */
	pthread_mutex_t mutex;         /* guards all that follows */
	pthread_cond_t changed;        /* nobody reads; or a thread has ended */
	bool has_reader;
	pthread_t reader;
	unsigned nr_threads, nr_idle;
} loop = { .end_fd = -1, .mutex = PTHREAD_MUTEX_INITIALIZER,
	   .changed = PTHREAD_COND_INITIALIZER };

static _Thread_local bool is_reader;

/* The turn of this thread; false: it is no longer needed. Mutex held. */
static bool
become_reader(void)
{
	while (loop.has_reader && !fuse_session_exited(loop.session)) {
		if (loop.nr_idle == THREADS_IDLE)
			return false;
		loop.nr_idle++;
		pthread_cond_wait(&loop.changed, &loop.mutex);
		loop.nr_idle--;
	}
	if (fuse_session_exited(loop.session))
		return false;
	loop.has_reader = is_reader = true;
	loop.reader = pthread_self();
	return true;
}

/* One request; it may be ended by tree_loop() while it waits for one, and nowhere else. */
static void
serve_one(struct fuse_buf *buffer)
{
	int old;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	int got = fuse_session_receive_buf(loop.session, buffer);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	if (got > 0)
		fuse_session_process_buf(loop.session, buffer);
	else if (got != -EINTR)
		fuse_session_exit(loop.session);
}

static void
leave(void *arg)
{
	struct fuse_buf *buffer = arg;
	uint64_t one = 1;
	free(buffer->mem);
	pthread_mutex_lock(&loop.mutex);
	loop.nr_threads--;
	if (is_reader)
		loop.has_reader = false;
	if (fuse_session_exited(loop.session))
		(void)!write(loop.end_fd, &one, sizeof(one));
	pthread_cond_broadcast(&loop.changed);
	pthread_mutex_unlock(&loop.mutex);
}

static void *
work(void *arg)
{
	struct fuse_buf buffer = { .mem = NULL };
	int old;
	(void)arg;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	pthread_cleanup_push(leave, &buffer);
	pthread_mutex_lock(&loop.mutex);
	while (become_reader()) {
		pthread_mutex_unlock(&loop.mutex);
		while (is_reader && !fuse_session_exited(loop.session))
			serve_one(&buffer);
		pthread_mutex_lock(&loop.mutex);
		if (is_reader)
			loop.has_reader = is_reader = false;
	}
	pthread_mutex_unlock(&loop.mutex);
	pthread_cleanup_pop(1);
	return NULL;
}

/* Mutex held. */
static int
start_thread(void)
{
	pthread_t thread;
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);
	if (err != 0)
		return -err;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, work, NULL);
	pthread_attr_destroy(&attr);
	loop.nr_threads += err == 0;
	return -err;
}

void
tree_loop_will_wait(void)
{
	if (!is_reader)
		return;
	pthread_mutex_lock(&loop.mutex);
	loop.has_reader = is_reader = false;
	if (loop.nr_idle > 0)
		pthread_cond_signal(&loop.changed);
	else if (loop.nr_threads < THREADS_MAX)
		(void)start_thread(); /* else those who wait read on, one after the other */
	pthread_mutex_unlock(&loop.mutex);
}

/* Until a signal, whose handlers end the session, or the last thread; signals come in here only. */
static void
await_end(const sigset_t *signals)
{
	struct pollfd end = { .fd = loop.end_fd, .events = POLLIN };
	while (!fuse_session_exited(loop.session) && ppoll(&end, 1, NULL, signals) <= 0)
		;
}

static void
end_threads(void)
{
	pthread_mutex_lock(&loop.mutex);
	if (loop.has_reader)
		pthread_cancel(loop.reader);
	pthread_cond_broadcast(&loop.changed);
	while (loop.nr_threads > 0)
		pthread_cond_wait(&loop.changed, &loop.mutex);
	pthread_mutex_unlock(&loop.mutex);
}

int
tree_loop(struct fuse_session *session)
{
	sigset_t all, before;
	loop.session = session;
	loop.end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop.end_fd < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pthread_mutex_lock(&loop.mutex);
	int err = start_thread();
	pthread_mutex_unlock(&loop.mutex);
	if (err == 0)
		await_end(&before);
	if (err == 0)
		end_threads();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(loop.end_fd);
	return err;
}
