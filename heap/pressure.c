/* SPDX-License-Identifier: MIT */
/*
 * pressure.c - wait, and be woken when somebody says that memory is short.
 *
 * MEMORY_PRESSURE_WATCH names a file to poll: either one of the kernel's pressure files, to which
 * we first write the decoded MEMORY_PRESSURE_WRITE and which then answers POLLPRI; or a FIFO or a
 * socket, which becomes readable. What the kernel says as soon as it is asked may be of before, and
 * is not believed. /dev/null means that nobody will say anything. The thread that waits is in the
 * companion, so the descriptor is not in the program. No malloc.
 */
#define _GNU_SOURCE
#include "pressure.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 10                    /* whoever never stops telling does not keep us busy */
/* So long after it was asked, the kernel may tell of what was before that. */
#define EARLY_MS 2000U

static struct {
	char path[256], first[256];    /* from the environment; first: in base64 */
	int fd;
	short events;
	uint64_t opened_ms;
} watch = { .fd = -1 };

static void
remember(const char *name, char *text, size_t size)
{
	const char *value = getenv(name);
	if (value == NULL || (size_t)snprintf(text, size, "%s", value) >= size)
		*text = 0;
}

void
mhp__pressure_remember(void)
{
	remember("MEMORY_PRESSURE_WATCH", watch.path, sizeof(watch.path));
	remember("MEMORY_PRESSURE_WRITE", watch.first, sizeof(watch.first));
}

/* How many bytes; -1: it is no base64. */
static int
decode(const char *text, unsigned char *bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, nr_bits = 0;
	int used = 0;
	for (; *text != 0 && *text != '='; text++) {
		const char *digit = strchr(digits, *text);
		if (digit == NULL)
			return -1;
		bits = bits << 6 | (unsigned)(digit - digits);
		nr_bits += 6;
		if (nr_bits < 8)
			continue;
		nr_bits -= 8;
		bytes[used++] = (unsigned char)(bits >> nr_bits);
	}
	return used;
}

static int
open_socket(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || strlen(path) >= sizeof(name.sun_path))
		return fd;
	strcpy(name.sun_path, path);
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
write_first(void)
{
	unsigned char bytes[sizeof(watch.first)];
	int size = decode(watch.first, bytes);
	if (size > 0 && write(watch.fd, bytes, (size_t)size) != size)
		mhp__pressure_close();
}

static uint64_t
now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void
mhp__pressure_open(void)
{
	struct stat st;
	if (watch.path[0] != '/' || strcmp(watch.path, "/dev/null") == 0 ||
	    stat(watch.path, &st) != 0)
		return;
	watch.opened_ms = now_ms();
	watch.events = S_ISREG(st.st_mode) ? POLLPRI : POLLIN;
	if (S_ISSOCK(st.st_mode))
		watch.fd = open_socket(watch.path);
	else
		watch.fd = open(watch.path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	/* We would read our own word back from a FIFO. */
	if (watch.fd >= 0 && !S_ISFIFO(st.st_mode))
		write_first();
}

void
mhp__pressure_close(void)
{
	if (watch.fd >= 0)
		close(watch.fd);
	watch.fd = -1;
}

/* The kernel's counts for a new listener may begin in the past. What lasts it tells again. */
static bool
is_of_before(void)
{
	return watch.events == POLLPRI && now_ms() - watch.opened_ms < EARLY_MS;
}

bool
mhp__pressure_wait(long milliseconds)
{
	struct pollfd one = { .fd = watch.fd, .events = watch.events };
	char text[256];
	if (poll(&one, 1, (int)milliseconds) <= 0)
		return false;
	/* A pressure file whose cgroup is gone says all at once, and never ends. */
	if ((one.revents & (watch.events | POLLERR)) != watch.events) {
		mhp__pressure_close();
		return false;
	}
	if (watch.events == POLLIN && read(watch.fd, text, sizeof(text)) == 0)
		mhp__pressure_close();
	(void)poll(NULL, 0, PAUSE_MS);
	return !is_of_before();
}
