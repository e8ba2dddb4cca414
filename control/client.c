/* SPDX-License-Identifier: MIT */
/*
 * client.c - find the pools of this user and talk to one of them.
 *
 * A pool is a socket named PID-NAME.sock in a folder that nobody but its user can write to. One
 * that refuses connections belongs to a process that is gone; its user removes it. Sockets never
 * block: a pool that does not answer costs its caller the time that the caller gives it. Answers
 * are kept whole, in memory of malloc: this runs in the processes of clients, never in one that
 * owns a pool.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "fields.h"

#define READ_BYTES 65536U
#define SEND_MS 1000U
#define WAIT_MS 60000U                 /* one wait; whoever has longer comes again */

/* ---- connections ---- */

/* 0 if the user of the folder listens, as the kernel remembers who that was; else an errno. */
static int
check_server(int fd, unsigned uid)
{
	struct ucred server;
	socklen_t size = sizeof(server);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &server, &size) != 0)
		return errno;
	return server.uid == uid ? 0 : EACCES;
}

int
mhp__connect(const struct mhp__peer *peer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(peer->path) >= sizeof(address.sun_path))
		return -ENODEV;
	memcpy(address.sun_path, peer->path, strlen(peer->path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	bool connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	int error = connected ? check_server(fd, peer->uid) : errno;
	if (error == 0)
		return fd;
	close(fd);
	if (error == ECONNREFUSED && peer->uid == geteuid())
		unlink(peer->path);
	if (error == ECONNREFUSED || error == ENOENT)
		return -ENODEV;
	return -error;
}

static int
await(int fd, short events, uint64_t end_ms)
{
	uint64_t now = mhp__now_ms();
	struct pollfd one = { .fd = fd, .events = events };
	uint64_t left_ms = now < end_ms ? end_ms - now : 0;
	int got = poll(&one, 1, left_ms < WAIT_MS ? (int)left_ms : (int)WAIT_MS);
	if (got < 0)
		return -errno;
	return got != 0 ? 0 : -EAGAIN;
}

int
mhp__await(int fd, uint64_t end_ms)
{
	return await(fd, POLLIN, end_ms);
}

int
mhp__send_line(int fd, const char *line)
{
	size_t sent = 0, length = strlen(line);
	uint64_t end_ms = mhp__now_ms() + SEND_MS;
	while (sent < length) {
		ssize_t got = send(fd, line + sent, length - sent, MSG_NOSIGNAL);
		if (got >= 0) {
			sent += (size_t)got;
			continue;
		}
		int err = errno == EAGAIN ? await(fd, POLLOUT, end_ms) : -errno;
		if (err != 0 && err != -EINTR)
			return err == -EPIPE || err == -ECONNRESET ? -ENODEV : err;
	}
	return 0;
}

/* Room for READ_BYTES more and the end of the string; doubles, so that a long answer is linear. */
static bool
make_room(char **text, size_t used)
{
	size_t room = 2 * READ_BYTES;
	while (room < used + READ_BYTES + 1)
		room *= 2;
	char *larger = realloc(*text, room);
	if (larger == NULL)
		return false;
	*text = larger;
	larger[used] = 0;
	return true;
}

int
mhp__read_answer(int fd, char **text, size_t *used)
{
	for (;;) {
		if (*used > MHP_PROTOCOL_ANSWER_MAX)
			return -EMSGSIZE;
		if (!make_room(text, *used))
			return -ENOMEM;
		ssize_t got = recv(fd, *text + *used, READ_BYTES, 0);
		if (got < 0)
			return errno == ECONNRESET ? -ENODEV : -errno;
		*used += (size_t)got;
		(*text)[*used] = 0;
		if (got == 0)
			return *used != 0 ? 0 : -ENODEV;
	}
}

int
mhp__ask(const struct mhp__peer *peer, const char *line, uint64_t end_ms, char **ret_text)
{
	size_t used = 0;
	int fd = mhp__connect(peer), err;
	*ret_text = NULL;
	if (fd < 0)
		return fd;
	err = mhp__send_line(fd, line);
	while (err == 0) {
		err = mhp__await(fd, end_ms);
		if (err == 0)
			err = mhp__read_answer(fd, ret_text, &used);
		if (err == 0)
			break;
		if (err == -EAGAIN && mhp__now_ms() < end_ms)
			err = 0;
	}
	close(fd);
	return err;
}

int
mhp__send_cancel(const struct mhp__peer *peer, long block)
{
	struct mhp__line line;
	int fd = mhp__connect(peer);
	if (fd < 0)
		return fd;
	mhp__line_begin(&line, "cancel");
	if (block >= 0)
		mhp__line_number(&line, MHP__F_BLOCK, (uint64_t)block);
	int err = mhp__send_line(fd, mhp__line_end(&line));
	close(fd);
	return err;
}

/* ---- pools ---- */

struct finding {
	struct mhp__peer *peers;
	unsigned nr, max;
	int error;                     /* the first that hid something */
};

/* A folder that is not there, or is not for us, has nothing for us. */
static void
note(struct finding *finding, int error)
{
	if (finding->error == 0 && error != ENOENT && error != ENOTDIR && error != EACCES)
		finding->error = error;
}

/* PID-NAME.sock */
static bool
parse_name(const char *file, struct mhp__peer *peer)
{
	char *end;
	size_t suffix = strlen(MHP_PROTOCOL_SUFFIX), length = strlen(file);
	long pid = strtol(file, &end, 10);
	if (pid <= 0 || pid > INT32_MAX || *end != '-' || length < suffix ||
	    strcmp(file + length - suffix, MHP_PROTOCOL_SUFFIX) != 0)
		return false;
	peer->pid = (int)pid;
	snprintf(peer->name, sizeof(peer->name), "%.*s",
		 (int)(length - suffix - (size_t)(end + 1 - file)), end + 1);
	return true;
}

/* A folder that nobody but its owner can put sockets into; errno is set if that is not known. */
static bool
is_trusted(const char *path, unsigned *ret_uid)
{
	struct stat st;
	errno = 0;
	if (lstat(path, &st) != 0)
		return false;
	*ret_uid = st.st_uid;
	return S_ISDIR(st.st_mode) && (st.st_mode & 0022) == 0 &&
	       (geteuid() == 0 || st.st_uid == geteuid());
}

static struct dirent *
next_entry(DIR *dir, struct finding *finding)
{
	errno = 0;
	struct dirent *entry = readdir(dir);
	if (entry == NULL)
		note(finding, errno); /* 0 at the end */
	return entry;
}

static void
find_in(const char *path, struct finding *finding)
{
	unsigned uid;
	DIR *dir = is_trusted(path, &uid) ? opendir(path) : NULL;
	if (dir == NULL) {
		note(finding, errno);
		return;
	}
	struct dirent *entry;
	while (finding->nr < finding->max && (entry = next_entry(dir, finding)) != NULL) {
		struct mhp__peer *peer = &finding->peers[finding->nr];
		size_t room = sizeof(peer->path);
		peer->uid = uid;
		if (!parse_name(entry->d_name, peer) ||
		    snprintf(peer->path, room, "%s/%s", path, entry->d_name) >= (int)room)
			continue;
		int fd = mhp__connect(peer);
		if (fd >= 0)
			close(fd);
		if (fd >= 0 || fd == -EAGAIN) /* -EAGAIN: too many wait for it to say a word */
			finding->nr++;
		else if (fd != -ENODEV)
			note(finding, -fd);
	}
	closedir(dir);
}

static int glob_error;

static int
note_glob_error(const char *path, int error)
{
	(void)path;
	glob_error = error;
	return 0; /* go on */
}

/* Pools of other users: services, and users who are logged in or not. */
static void
find_all(struct finding *finding)
{
	static const char *const places[] = MHP_PROTOCOL_DIRS_ALL;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		glob_t found;
		glob_error = 0;
		int err = glob(places[i], GLOB_NOSORT, note_glob_error, &found);
		note(finding, err == GLOB_NOSPACE ? ENOMEM : glob_error);
		if (err != 0)
			continue;
		for (size_t k = 0; k < found.gl_pathc; k++)
			find_in(found.gl_pathv[k], finding);
		globfree(&found);
	}
}

unsigned
mhp__peers(struct mhp__peer *peers, unsigned max, struct mhp__unseen *ret_unseen)
{
	static char own[80];
	struct finding finding = { .peers = peers, .max = max };
	struct stat st;
	unsigned uid;
	mhp__socket_directory(own, sizeof(own));
	bool is_distrusted = lstat(own, &st) == 0 && !is_trusted(own, &uid);
	find_in(own, &finding);
	if (geteuid() == 0 && getenv(MHP_PROTOCOL_DIR_VARIABLE) == NULL)
		find_all(&finding);
	*ret_unseen = (struct mhp__unseen){ is_distrusted ? own : NULL, finding.error };
	return finding.nr;
}
