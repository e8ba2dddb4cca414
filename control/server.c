/* SPDX-License-Identifier: MIT */
/*
 * server.c - a pool that is served: from mhp_control_start() to mhp_control_stop(), and in forked
 * children.
 *
 * All of it runs in the companion: one thread accepts, and each connection has a thread while it
 * lasts. A client has some seconds to send its line, and to take each piece of the answer. When the
 * companion is killed, the next one begins again by itself. In a forked child that has none yet,
 * nobody serves the pool; mhp_control_wake() notices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <memplug/companion.h>

#include "clock.h"
#include "events.h"
#include "leave.h"
#include "running.h"
#include "socket.h"

#define CLIENT_SECONDS 5
#define LOOK_MS 100                    /* how soon a client that is gone is missed */
#define FULL_MS 5
#define CHILD_MS 100U                  /* a child that lives so long may want to be served */
#define AGAIN_MS 10000U                /* after a failure */

struct mhp__control mhp__control = { .listen_fd = -1 };

/* The connection of each thread + 1; 0: there is none. */
static _Atomic int served[MHP__THREADS];

/* ---- one client ---- */

/* Read one line; false: the client did not send one in time, however many bytes of it. */
static bool
read_line(int fd, char *line, size_t size)
{
	uint64_t end = mhp__now_ms() + CLIENT_SECONDS * 1000;
	size_t used = 0;
	while (used + 1 < size && mhp__now_ms() <= end) {
		ssize_t got = recv(fd, line + used, size - 1 - used, 0);
		if (got <= 0)
			return false;
		used += (size_t)got;
		line[used] = 0;
		if (memchr(line, '\n', used) != NULL)
			return true;
	}
	return false;
}

static void
serve_client(void *arg)
{
	_Atomic int *slot = arg;
	int fd = atomic_load(slot) - 1;
	struct timeval bound = { CLIENT_SECONDS, 0 };
	struct mhp__out out = { .fd = fd };
	char line[MHP_PROTOCOL_LINE_MAX];
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
	/* Read first: what is not read when we close makes the kernel drop the answer. */
	bool whole = read_line(fd, line, sizeof(line));
	if (!mhp__socket_allows(fd))
		mhp__out_error(&out, MHP_EPERM, "this pool belongs to another user");
	else if (whole)
		mhp__request(&out, line);
	mhp__out_flush(&out);
	atomic_store(slot, 0);
	if (out.fd >= 0) /* else it listens, and monitor.c has it */
		close(out.fd);
}

/* ---- the thread that accepts ---- */

static _Atomic int *
free_slot(void)
{
	for (unsigned i = 0; i < MHP__THREADS; i++)
		if (atomic_load(&served[i]) == 0)
			return &served[i];
	return NULL;
}

static bool
serves_any(void)
{
	for (unsigned i = 0; i < MHP__THREADS; i++)
		if (atomic_load(&served[i]) != 0)
			return true;
	return false;
}

static void
accept_one(_Atomic int *slot)
{
	const struct timespec pause = { 0, FULL_MS * 1000000L };
	int fd = accept4(mhp__control.listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		atomic_store(slot, fd + 1);
		if (mhp_companion_thread(serve_client, slot) == 0)
			return;
		atomic_store(slot, 0);
		close(fd);
	}
	nanosleep(&pause, NULL); /* there is no room for it */
}

/* Until mhp_control_stop(), and then until the last request is through. */
static void
accept_clients(void *arg)
{
	struct mhp__control *control = &mhp__control;
	(void)arg;
	for (;;) {
		_Atomic int *slot = atomic_load(&control->stopping) ? NULL : free_slot();
		bool any = serves_any();
		struct pollfd listening = {
			.fd = slot != NULL ? control->listen_fd : -1, .events = POLLIN };
		if (atomic_load(&control->stopping) && !any)
			break;
		if (poll(&listening, 1, slot == NULL ? FULL_MS : any ? LOOK_MS : -1) > 0)
			accept_one(slot);
		mhp__running_cancel_gone();
	}
	mhp__socket_remove();
	close(control->listen_fd);
	control->listen_fd = -1;
	mhp__monitor_end();
	mhp__changes_end();
	atomic_store(&control->companion, 0);
}

static void begin_again(void *fresh);

/* In the companion. State left by others, in a process that we are a copy of or that was killed,
 * does not count. */
static int
begin(void *arg)
{
	struct mhp__control *control = &mhp__control;
	struct mhp_text *reterr = arg;
	mhp__request_reset();
	mhp__leave_reset();
	mhp__announce_reset();
	mhp__monitor_reset();
	memset(served, 0, sizeof(served));
	atomic_store(&control->stopping, false);
	int fd = mhp__socket_open(reterr);
	if (fd < 0)
		return fd;
	control->listen_fd = fd;
	int err = mhp_companion_thread(accept_clients, NULL);
	if (err != 0) {
		mhp__socket_remove();
		close(fd);
		return err;
	}
	mhp_companion_at_end(mhp__socket_remove);
	mhp_companion_next(begin_again);
	mhp__changes_begin();
	atomic_store(&control->companion, (int)getpid());
	return 0;
}

/* In the companion that comes after one that was killed. Its connections end, its socket goes. */
static void
begin_again(void *fresh)
{
	struct mhp__control *control = &mhp__control;
	if (control->pool == NULL)
		return;
	if (fresh == NULL) {
		for (unsigned i = 0; i < MHP__THREADS; i++)
			if (atomic_load(&served[i]) != 0)
				close(atomic_load(&served[i]) - 1);
		if (control->listen_fd >= 0)
			close(control->listen_fd);
		mhp__monitor_drop();
	}
	if (begin(NULL) != 0)
		atomic_store(&control->companion, 0); /* mhp_control_wake() tries it again */
}

static int
finish(void *arg)
{
	const struct timespec pause = { 0, 1000000 };
	struct mhp__control *control = &mhp__control;
	(void)arg;
	if (atomic_load(&control->companion) != (int)getpid())
		return 0;
	atomic_store(&control->stopping, true);
	shutdown(control->listen_fd, SHUT_RDWR);
	for (unsigned i = 0; i < MHP__THREADS; i++)
		if (atomic_load(&served[i]) != 0)
			shutdown(atomic_load(&served[i]) - 1, SHUT_RDWR);
	while (atomic_load(&control->companion) != 0)
		nanosleep(&pause, NULL);
	mhp_companion_at_end(NULL);
	return 0;
}

/* ---- in the program ---- */

static void
choose_name(const char *name)
{
	const char *from = name != NULL && *name != 0 ? name : program_invocation_short_name;
	size_t used = 0;
	for (; *from != 0 && used + 1 < sizeof(mhp__control.given_name); from++) {
		unsigned char c = (unsigned char)*from;
		mhp__control.given_name[used++] = c <= ' ' || c == '/' || c == 127 ? '_' : *from;
	}
	mhp__control.given_name[used] = 0;
}

/* As NAME; in a forked child as NAME.PID. */
static int
serve(struct mhp_text *reterr)
{
	struct mhp__control *control = &mhp__control;
	int pid = (int)getpid();
	control->is_child |= control->pid != 0 && control->pid != pid;
	control->pid = pid;
	memcpy(control->name, control->given_name, sizeof(control->given_name));
	if (control->is_child) {
		size_t length = strlen(control->name);
		snprintf(control->name + length, sizeof(control->name) - length, ".%d", pid);
	}
	return mhp_companion_call(begin, reterr, reterr);
}

/* In a forked child nobody serves the pool; most children are gone soon, and need nobody. */
static void
in_child(void)
{
	atomic_store(&mhp__control.companion, 0);
	atomic_store(&mhp__control.waking, false);
	atomic_store(&mhp__control.next_wake_ms, mhp__now_ms() + CHILD_MS);
}

int
mhp_control_start(struct mhp_pool *pool, const struct mhp_control_opts *opts,
		  struct mhp_text *reterr)
{
	static atomic_bool handled;
	struct mhp__control *control = &mhp__control;
	if (control->pool != NULL)
		return MHP_EBUSY;
	control->m = mhp_pool_engine(pool);
	control->opts = *opts;
	control->pool = pool;
	control->pid = 0;
	control->is_child = false;
	choose_name(opts->name);
	if (!atomic_exchange(&handled, true))
		pthread_atfork(NULL, NULL, in_child);
	int err = serve(reterr);
	if (err != 0)
		control->pool = NULL;
	else
		mhp_pool_hold(pool);
	return err;
}

static bool
is_served(void)
{
	int companion = atomic_load(&mhp__control.companion);
	return companion != 0 && companion == mhp_companion_pid();
}

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* A companion that comes after another begins by itself; it only has to be there. */
static int
serve_again(void)
{
	return atomic_load(&mhp__control.companion) != 0 ? mhp_companion_call(nothing, NULL, NULL)
							 : serve(NULL);
}

void
mhp_control_wake(void)
{
	struct mhp__control *control = &mhp__control;
	if (control->pool == NULL || is_served() || atomic_exchange(&control->waking, true))
		return;
	if (mhp__now_ms() >= atomic_load(&control->next_wake_ms) && serve_again() != 0)
		atomic_store(&control->next_wake_ms, mhp__now_ms() + AGAIN_MS);
	atomic_store(&control->waking, false);
}

void
mhp_control_seal(void)
{
	atomic_store(&mhp__control.next_wake_ms, 0);
	mhp_control_wake();
	mhp_companion_seal();
}

int
mhp_control_stop(void)
{
	struct mhp__control *control = &mhp__control;
	if (control->pool == NULL)
		return MHP_ENOENT;
	if (mhp_companion_pid() != 0)
		(void)!mhp_companion_call(finish, NULL, NULL);
	mhp_pool_release(control->pool);
	control->pool = NULL;
	control->m = NULL;
	return 0;
}
