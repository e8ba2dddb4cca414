/* SPDX-License-Identifier: MIT */
/*
 * fd.c - descriptors that live in somebody else's process.
 *
 * A program that we were loaded into may count on getting the lowest free numbers, and may close
 * numbers that it does not know. So ours are moved up, and whoever uses one of them checks that it
 * is still what it was.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "text.h"

int
mhp_fd_high(int fd)
{
	struct rlimit limit;
	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return fd;
	rlim_t floor = limit.rlim_cur / 2;
	if (floor > 900)
		floor = 900;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, (int)floor);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

uint64_t
mhp__read_number(const char *path)
{
	char text[32];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return 0;
	text[got] = 0;
	return strtoull(text, NULL, 0);
}
