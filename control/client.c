/* SPDX-License-Identifier: MIT */
/*
 * client.c - find the pools of this user and talk to one of them.
 *
 * A pool is a socket named PID-NAME.sock. One that refuses connections belongs to a process that
 * is gone; whoever looks removes it. Answers are kept whole, in memory of malloc: this runs in the
 * processes of clients, never in one that owns a pool.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"

#define READ_BYTES 4096U

static int
connect_as(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENODEV;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	int error = errno;
	close(fd);
	if (error == ECONNREFUSED)
		unlink(path);
	return error == ECONNREFUSED || error == ENOENT ? -ENODEV : -error;
}

int
mhp__connect(const char *path)
{
	return connect_as(path, SOCK_STREAM);
}

int
mhp__connect_now(const char *path)
{
	return connect_as(path, SOCK_STREAM | SOCK_NONBLOCK);
}

/* PID-NAME.sock */
static bool
parse_name(const char *file, struct mhp__peer *peer)
{
	char *end;
	size_t suffix = strlen(MHP_PROTOCOL_SUFFIX), length = strlen(file);
	peer->pid = (int)strtol(file, &end, 10);
	if (peer->pid <= 0 || *end != '-' || length < suffix ||
	    strcmp(file + length - suffix, MHP_PROTOCOL_SUFFIX) != 0)
		return false;
	snprintf(peer->name, sizeof(peer->name), "%.*s",
		 (int)(length - suffix - (size_t)(end + 1 - file)), end + 1);
	return true;
}

unsigned
mhp__peers(struct mhp__peer *peers, unsigned max)
{
	char path[80];
	unsigned nr = 0;
	mhp__socket_directory(path, sizeof(path));
	DIR *dir = opendir(path);
	if (dir == NULL)
		return 0;
	for (struct dirent *entry; nr < max && (entry = readdir(dir)) != NULL;) {
		struct mhp__peer *peer = &peers[nr];
		size_t room = sizeof(peer->path);
		if (!parse_name(entry->d_name, peer) ||
		    snprintf(peer->path, room, "%s/%s", path, entry->d_name) >= (int)room)
			continue;
		int fd = mhp__connect(peer->path);
		if (fd < 0)
			continue;
		close(fd);
		nr++;
	}
	closedir(dir);
	return nr;
}

int
mhp__send_line(int fd, const char *line)
{
	size_t sent = 0, length = strlen(line);
	while (sent < length) {
		ssize_t got = send(fd, line + sent, length - sent, MSG_NOSIGNAL);
		if (got < 0)
			return errno == EPIPE || errno == ECONNRESET ? -ENODEV : -errno;
		sent += (size_t)got;
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
mhp__send_cancel(const char *path, long block)
{
	char line[32] = "cancel\n";
	int fd = mhp__connect_now(path);
	if (fd < 0)
		return fd;
	if (block >= 0)
		snprintf(line, sizeof(line), "cancel %ld\n", block);
	int err = mhp__send_line(fd, line);
	close(fd);
	return err;
}

bool
mhp__word_encode(const char *value, size_t length, char *word, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	size_t used = 0;
	if (length == 0 && size > 1)
		word[used++] = '%'; /* alone: nothing, as there is no empty word */
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)value[i];
		if (used + 4 > size)
			return false;
		if (c > ' ' && c < 127 && c != '%') {
			word[used++] = (char)c;
			continue;
		}
		word[used++] = '%';
		word[used++] = digits[c >> 4];
		word[used++] = digits[c & 15];
	}
	word[used] = 0;
	return used < size;
}
