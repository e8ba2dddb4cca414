/* SPDX-License-Identifier: MIT */
/*
 * errno.h - what the functions of sys/mman.h say when they fail.
 * There is one thread, so it is a variable.
 */
#ifndef SUITE_ERRNO_H
#define SUITE_ERRNO_H

extern int errno;

#define ENOMEM 12
#define EINVAL 22

#endif
