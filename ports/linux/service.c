/* SPDX-License-Identifier: MIT */
/*
 * service.c - the pool's own thread: it serves writers that wait for a copy, and watches children.
 *
 * It sleeps until there is a forked child. It must never touch a region, allocate from malloc, or
 * run a signal handler of the program: whoever it serves may hold any lock of the program.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pool.h"

#define LOOK_AGAIN_MS 100

void
mhp__service_wake(struct mhp_pool *pool)
{
	uint64_t one = 1;
	(void)!write(pool->wake_fd, &one, sizeof(one));
}

static void
serve_faults(struct mhp_pool *pool)
{
	struct uffd_msg message[16];
	ssize_t got = read(pool->uffd, message, sizeof(message));
	for (ssize_t i = 0; i < got / (ssize_t)sizeof(message[0]); i++)
		if (message[i].event == UFFD_EVENT_PAGEFAULT)
			mhp__cow_resolve(pool, (uintptr_t)message[i].arg.pagefault.address);
}

/* What to wait for; the descriptors belong to the pool. Region mutex held. */
static unsigned
collect(const struct mhp_pool *pool, struct pollfd *fds)
{
	unsigned nr = 0;
	fds[nr++] = (struct pollfd){ .fd = pool->wake_fd, .events = POLLIN };
	if (pool->newest_child == 0)
		return nr;
	fds[nr++] = (struct pollfd){ .fd = pool->uffd, .events = POLLIN };
	for (unsigned i = 0; i < MHP__CHILDREN_MAX; i++)
		if (pool->child[i].epoch != 0 && !pool->child[i].silent)
			fds[nr++] =
				(struct pollfd){ .fd = pool->child[i].pipe_fd, .events = POLLIN };
	return nr;
}

static void *
serve(void *arg)
{
	struct mhp_pool *pool = arg;
	struct pollfd fds[MHP__CHILDREN_MAX + 2];
	uint64_t count;
	bool again = false;

	while (!atomic_load(&pool->service_stop)) {
		pthread_mutex_lock(&pool->mutex);
		unsigned nr = collect(pool, fds);
		pthread_mutex_unlock(&pool->mutex);
		if (poll(fds, nr, again ? LOOK_AGAIN_MS : -1) < 0 && errno != EINTR)
			mhp__linux_ops.pause(pool, 10000000);
		if (fds[0].revents != 0)
			(void)!read(pool->wake_fd, &count, sizeof(count));
		pthread_mutex_lock(&pool->mutex);
		if (nr > 1 && fds[1].revents != 0)
			serve_faults(pool);
		again = mhp__children_look(pool);
		pthread_mutex_unlock(&pool->mutex);
	}
	return NULL;
}

int
mhp__service_start(struct mhp_pool *pool)
{
	sigset_t all, before;
	if (pool->private_map)
		return 0;
	pool->wake_fd = mhp_fd_high(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (pool->wake_fd < 0)
		return MHP_ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&pool->service, NULL, serve, pool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		return 0;
	close(pool->wake_fd);
	pool->wake_fd = -1;
	return mhp__errno(error);
}

void
mhp__service_stop(struct mhp_pool *pool)
{
	if (pool->wake_fd < 0)
		return;
	atomic_store(&pool->service_stop, true);
	mhp__service_wake(pool);
	pthread_join(pool->service, NULL);
	close(pool->wake_fd);
	pool->wake_fd = -1;
}
