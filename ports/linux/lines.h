/* SPDX-License-Identifier: MIT */
/*
 * lines.h - read a file of /proc line by line, without malloc.
 */
#ifndef MHP_LINUX_LINES_H
#define MHP_LINUX_LINES_H

#include <stddef.h>

/* fd is set by the caller; the rest is 0 at first. */
struct mhp__lines {
	int fd;
	size_t used, at;
	char text[4096];
};

/* The next line, without its newline, until the call after this; NULL: there is none. */
char *mhp__lines_next(struct mhp__lines *lines);

#endif
