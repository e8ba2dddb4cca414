/* SPDX-License-Identifier: MIT */
/*
 * server.c - the socket of a pool and the threads that serve it.
 *
 * Some threads accept on one socket; each serves one connection at a time. They are made once, at
 * the start, before there is a heap on the pool. The socket is 0600 in a directory that is 0700,
 * and the kernel says who the peer is. A client has some seconds to send its line, and to take each
 * piece of the answer.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "events.h"
#include "leave.h"

#define CLIENT_SECONDS 5

struct mhp__control mhp__control = { .listen_fd = -1 };

/* The connection of each thread + 1, or 0: a forked child must let go of them. */
static _Atomic int served[MHP__THREADS + 2U];

static bool
peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static time_t
now_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Read one line; false: the client did not send one in time, however many bytes of it. */
static bool
read_line(int fd, char *line, size_t size)
{
	time_t end = now_seconds() + CLIENT_SECONDS;
	size_t used = 0;
	while (used + 1 < size && now_seconds() <= end) {
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
serve_client(int fd, _Atomic int *slot)
{
	struct timeval bound = { CLIENT_SECONDS, 0 };
	struct mhp__out out = { .fd = fd };
	char line[MHP_PROTOCOL_LINE_MAX];
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
	/* Read first: what is not read when we close makes the kernel drop the answer. */
	bool whole = read_line(fd, line, sizeof(line));
	if (!peer_allowed(fd))
		mhp__out_error(&out, MHP_EPERM, "this pool belongs to another user");
	else if (whole)
		mhp__request(&out, line);
	mhp__out_flush(&out);
	/* The end, also when a child that was forked just now has it, too. */
	if (out.fd >= 0)
		shutdown(out.fd, SHUT_RDWR);
	atomic_store(slot, 0); /* a number that is closed may soon be somebody else's */
	if (out.fd >= 0) /* else it listens, and monitor.c has it */
		close(out.fd);
}

static void *
serve(void *arg)
{
	_Atomic int *slot = arg;
	for (;;) {
		int fd = accept4(mhp__control.listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			atomic_store(slot, fd + 1);
			serve_client(fd, slot);
		} else if (errno == EBADF || errno == ENOTSOCK || errno == EINVAL) {
			return NULL; /* the program closed our socket: no more control */
		} else {
			struct timespec pause = { 0, 10000000 };
			nanosleep(&pause, NULL);
		}
	}
}

/* Ours, and nobody else's to write to? */
static bool
directory_ready(const char *path)
{
	struct stat st;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return false;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       (st.st_mode & 0022) == 0;
}

/*
 * It gets its name when it listens: a socket that refuses connections is taken for that of a dead
 * pool, and removed. Until then it has our number for a name, which no pool has.
 */
static int
bind_socket(const char *dir, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%d", dir, mhp__control.pid);
	unlink(address.sun_path); /* of a process with our number, before an exec or long ago */
	mode_t mask = umask(0177);
	bool bound = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	umask(mask);
	if (bound && listen(fd, 128) == 0 && rename(address.sun_path, path) == 0)
		return fd;
	if (bound)
		unlink(address.sun_path);
	close(fd);
	return -1;
}

static void
unlink_socket(void)
{
	if (mhp__control.pid == (int)getpid())
		unlink(mhp__control.path);
}

/* A forked child that outlives us must not keep clients waiting. */
static void
close_in_child(void)
{
	close(mhp__control.listen_fd);
	for (unsigned i = 0; i < MHP__THREADS + 2U; i++)
		if (served[i] != 0)
			close(served[i] - 1);
	mhp__monitor_in_child();
}

static void
choose_name(const char *name)
{
	const char *from = name != NULL && *name != 0 ? name : program_invocation_short_name;
	size_t used = 0;
	for (; *from != 0 && used + 1 < sizeof(mhp__control.name); from++) {
		unsigned char c = (unsigned char)*from;
		mhp__control.name[used++] = c <= ' ' || c == '/' || c == 127 ? '_' : *from;
	}
	mhp__control.name[used] = 0;
}

static int
start_threads(void)
{
	sigset_t all, before;
	pthread_t thread;
	int error = 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < MHP__THREADS + 2 && error == 0; i++) {
		void *(*fn)(void *arg) = i == 0 ? mhp__monitor_serve
				       : i == 1 ? mhp__leave_watch : serve;
		error = pthread_create(&thread, NULL, fn, &served[i]);
		if (error == 0)
			pthread_detach(thread);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

static int
fail(struct mhp_text *reterr, int code, const char *what)
{
	if (reterr != NULL)
		snprintf(reterr->text, sizeof(reterr->text), "cannot serve the pool on %s: %s",
			 what, strerror(errno));
	return code;
}

int
mhp_control_start(struct mhp_pool *pool, const struct mhp_control_opts *opts,
		  struct mhp_text *reterr)
{
	struct mhp__control *control = &mhp__control;
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	char dir[80];

	if (control->pool != NULL)
		return MHP_EBUSY;
	mhp__socket_directory(dir, sizeof(dir));
	if (!directory_ready(dir))
		return fail(reterr, MHP_EPERM, dir);
	control->m = mhp_pool_engine(pool);
	control->opts = *opts;
	control->pid = (int)getpid();
	choose_name(opts->name);
	if (snprintf(control->path, room, "%s/%d-%s%s", dir, control->pid, control->name,
		     MHP_PROTOCOL_SUFFIX) >= (int)room)
		return fail(reterr, MHP_EINVAL, dir);
	control->listen_fd = mhp_fd_high(bind_socket(dir, control->path));
	if (control->listen_fd < 0)
		return fail(reterr, MHP_EPERM, control->path);
	control->pool = pool;
	if (start_threads() != 0)
		return fail(reterr, MHP_ENOMEM, control->path);
	pthread_atfork(NULL, NULL, close_in_child);
	atexit(unlink_socket);
	return 0;
}
