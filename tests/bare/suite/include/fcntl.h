/* SPDX-License-Identifier: MIT */
/*
 * fcntl.h - holes in memory files (space.c).
 * There are no other files.
 */
#ifndef SUITE_FCNTL_H
#define SUITE_FCNTL_H

#define FALLOC_FL_KEEP_SIZE 1
#define FALLOC_FL_PUNCH_HOLE 2

/* Only both flags together. */
int fallocate(int fd, int mode, long offset, long size);

#endif
