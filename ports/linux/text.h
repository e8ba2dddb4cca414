/* SPDX-License-Identifier: MIT */
/*
 * text.h - sentences for people, errno in the engine's words, what the kernel is asked everywhere,
 * and the port's assertion.
 *
 * Knows no pool. Everything else of the port may include this file.
 */
#ifndef MHP_LINUX_TEXT_H
#define MHP_LINUX_TEXT_H

#include <memplug/linux.h>

/* Our own bugs only, as in the core: what a caller or the kernel can cause is an error. */
#define MHP__ASSERT(cond)                                                                          \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			__builtin_trap();                                                          \
	} while (0)

/* Format a sentence; NULL is fine. Returns code, so that callers can end with it. */
int mhp__say(struct mhp_text *text, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* MHP_E* for an errno. */
int mhp__errno(int error);
/* The size of a page of this kernel, in bytes: what its calls take multiples of. */
uint64_t mhp__kernel_page(void);
/* Where libc has the tid of the calling thread, in which the kernel writes a 0 when the thread
 * leaves its memory; NULL: nobody knows. */
void *mhp__tid_address(void);
/* Has the program switched transparent huge pages off? Then the kernel maps no page of 2 MiB of a
 * device either: touching one that was not mapped before is a bus error. */
bool mhp__huge_pages_off(void);
/* So many bytes of addresses that nobody uses, aligned to a power of two, and private memory there
 * once it is touched, if the protection lets one; NULL: there are none. They are low, if possible:
 * who asks the kernel about mappings in /proc/self/smaps pays for all memory before them. */
void *mhp__take_addresses(uint64_t bytes, uint64_t align, int protection);
/*
 * The same for what is sized by addresses and hardly touched: no huge pages, which would be all but
 * empty, and no data in the eyes of the kernel, whose limit (RLIMIT_DATA) counts all that is
 * private and writable, touched or not. Mappings that could grow down are stack there, whose sum
 * has no limit; it has no room to grow, as an inaccessible page in front of it is in the way.
 */
void *mhp__take_sparse(uint64_t bytes, uint64_t align, int protection);
void mhp__give_sparse(void *start, uint64_t bytes);
/* For mmap() within it. */
#define MHP__SPARSE (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN | MAP_FIXED)
/* Read a decimal number at *at, up to max (below 10^8), and move *at past it. As words.h has it for
 * all numbers that people write: no sign, no blank, no leading zero. False: there is none. */
bool mhp__take_number(const char **at, unsigned max, unsigned *ret_number);
/* Read a number from a small file; 0 when it cannot be read. */
uint64_t mhp__read_number(const char *path);
/*
 * Open what is at a path below /sys; -1: there is nothing. Not through a mount: what somebody has
 * put over the machine's files may be a tree of this very pool, which would ask us, and wait.
 */
int mhp__open_sysfs(const char *path, int flags);

#endif
