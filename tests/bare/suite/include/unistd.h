/* SPDX-License-Identifier: MIT */
/*
 * unistd.h - sizes and ends of memory files (space.c).
 * There are no other files.
 */
#ifndef SUITE_UNISTD_H
#define SUITE_UNISTD_H

typedef long off_t;

int ftruncate(int fd, long size);
int close(int fd);

#endif
