/* SPDX-License-Identifier: MIT */
/*
 * socket.c - the name of a pool's socket: taking one that is nobody else's, and giving it back.
 *
 * The folder is ours, and nobody else may write to it. A socket that refuses connections is that of
 * a dead pool and is removed. One that answers belongs either to this very process, before it
 * executed its present program, and is gone in a moment; or to a process with our number in another
 * PID namespace, which keeps it, and we take another name. It all runs in the companion.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "socket.h"

#define BACKLOG 128
#define NAMES_MAX 100U                 /* that we try */

static ino_t own_ino;                  /* what our name must be to be ours */

static int
fail(struct mhp_text *reterr, int code, const char *path, const char *why)
{
	if (reterr != NULL)
		snprintf(reterr->text, sizeof(reterr->text), "cannot serve the pool on %s: %s",
			 path, why);
	return code;
}

static int
open_folder(const char *path, struct mhp_text *reterr)
{
	struct stat st;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return fail(reterr, MHP_EPERM, path, strerrordesc_np(errno));
	if (lstat(path, &st) != 0)
		return fail(reterr, MHP_EPERM, path, strerrordesc_np(errno));
	if (!S_ISDIR(st.st_mode))
		return fail(reterr, MHP_EPERM, path, "it is not a folder");
	if (st.st_uid != geteuid())
		return fail(reterr, MHP_EPERM, path, "it belongs to another user");
	if ((st.st_mode & 0022) != 0)
		return fail(reterr, MHP_EPERM, path, "others may write there");
	return 0;
}

static bool
set_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return false;
	memcpy(address->sun_path, path, strlen(path) + 1);
	return true;
}

/* A socket that listens and has a name that no pool has. */
static int
open_listening(const char *path)
{
	struct sockaddr_un address;
	if (!set_address(&address, path))
		return -ENAMETOOLONG;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	umask(0177);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int error = errno;
	unlink(path);
	close(fd);
	return -error;
}

/* Are we and process pid in one PID namespace? */
static bool
same_namespace(int pid)
{
	struct stat theirs, ours;
	char path[40];
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return stat(path, &theirs) == 0 && stat("/proc/self/ns/pid", &ours) == 0 &&
	       theirs.st_ino == ours.st_ino;
}

/* May we have the name of the socket at path, as whoever had it is gone or was us? */
static bool
may_take(const char *path)
{
	struct sockaddr_un address;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd = set_address(&address, path)
		? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (fd < 0)
		return false;
	bool dead = false, answers =
		connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	if (answers)
		dead = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
		       peer.pid > 0 && same_namespace(peer.pid);
	else
		dead = errno == ECONNREFUSED || errno == ENOENT;
	close(fd);
	return dead;
}

/* Give the socket at `from` the name `path` unless that is somebody's. */
static int
take_name(const char *from, const char *path)
{
	for (unsigned turn = 0; turn < 3; turn++) {
		if (renameat2(AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
		if (!may_take(path))
			return -EEXIST;
		unlink(path);
	}
	return -EEXIST;
}

/* PID-NAME.sock, or PID-NAME-2.sock and so on. */
static int
name_it(const char *folder, const char *from)
{
	struct mhp__control *control = &mhp__control;
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	size_t length = strlen(control->name);
	int error = 0;
	for (unsigned i = 1; i < NAMES_MAX; i++) {
		if (i > 1)
			snprintf(control->name + length, sizeof(control->name) - length, "-%u", i);
		if (snprintf(control->path, room, "%s/%d-%s%s", folder, control->pid,
			     control->name, MHP_PROTOCOL_SUFFIX) >= (int)room)
			return -ENAMETOOLONG;
		error = take_name(from, control->path);
		if (error != -EEXIST)
			break;
	}
	return error;
}

int
mhp__socket_open(struct mhp_text *reterr)
{
	char folder[80], first[120];
	struct stat st;
	mhp__socket_directory(folder, sizeof(folder));
	int err = open_folder(folder, reterr);
	if (err != 0)
		return err;
	snprintf(first, sizeof(first), "%s/%d.%d", folder, mhp__control.pid, (int)getpid());
	int fd = open_listening(first);
	int error = fd < 0 ? fd : name_it(folder, first);
	if (error == 0) {
		own_ino = lstat(mhp__control.path, &st) == 0 ? st.st_ino : 0;
		return fd;
	}
	if (fd >= 0) {
		unlink(first);
		close(fd);
	}
	return fail(reterr, MHP_EPERM, folder, strerrordesc_np(-error));
}

void
mhp__socket_remove(void)
{
	struct stat st;
	if (lstat(mhp__control.path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == own_ino)
		unlink(mhp__control.path);
}

bool
mhp__socket_allows(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}
