/* SPDX-License-Identifier: MIT */
/*
 * sys/mman.h - address space of the test program, on the machine's own page tables (space.c).
 * What is not mapped, or mapped with PROT_NONE, faults.
 */
#ifndef SUITE_SYS_MMAN_H
#define SUITE_SYS_MMAN_H

#include <stddef.h>

typedef long off_t;

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 16
#define MAP_ANONYMOUS 32
#define MAP_NORESERVE 0x4000
#define MAP_FAILED ((void *)-1L)
#define MADV_DONTNEED 4
#define MFD_CLOEXEC 1

/* Memory is private and anonymous, or a memory file's and shared; nothing is ever read-only. */
void *mmap(void *at, size_t size, int prot, int flags, int fd, long offset);
int munmap(void *at, size_t size);
/* What was there is lost. */
int mprotect(void *at, size_t size, int prot);
int madvise(void *at, size_t size, int advice);
int mincore(void *at, size_t size, unsigned char *ret_seen);
int memfd_create(const char *name, unsigned flags);

#endif
