/* SPDX-License-Identifier: MIT */
/*
 * lines.c - read a file of /proc line by line.
 *
 * The buffer is small on purpose: the kernel blocks changes of the address space while it fills
 * one, so a large buffer would stall the program's own mmap().
 *
 * A line ends in the buffer that it was read into; what follows it moves to the front before the
 * next read. A line longer than the buffer ends the file. No malloc: it may run inside one.
 */
#include <string.h>
#include <unistd.h>

#include "lines.h"

char *
mhp__lines_next(struct mhp__lines *lines)
{
	for (;;) {
		char *start = lines->text + lines->at;
		char *end = memchr(start, '\n', lines->used - lines->at);
		if (end != NULL) {
			*end = 0;
			lines->at = (size_t)(end + 1 - lines->text);
			return start;
		}
		lines->used -= lines->at;
		memmove(lines->text, start, lines->used);
		lines->at = 0;
		ssize_t got = read(lines->fd, lines->text + lines->used,
				   sizeof(lines->text) - lines->used);
		if (got <= 0)
			return NULL;
		lines->used += (size_t)got;
	}
}
