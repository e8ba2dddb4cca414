/* SPDX-License-Identifier: MIT */
/*
 * text.c - sentences for people, errno in the engine's words, and small questions to the kernel.
 *
 * A sentence names what is missing and how to give it. It is formatted into the caller's buffer:
 * nothing is allocated, nothing is printed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "text.h"

#define LOW_START (UINT64_C(17) << 40)
#define LOW_BYTES (UINT64_C(3) << 40)   /* a pool of 64 TiB fits between them and programs */
#define LOW_STEP (UINT64_C(64) << 10)

int
mhp__say(struct mhp_text *text, int code, const char *format, ...)
{
	if (text == NULL)
		return code;
	va_list args;
	va_start(args, format);
	vsnprintf(text->text, sizeof(text->text), format, args);
	va_end(args);
	return code;
}

int
mhp__errno(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return MHP_EPERM;
	case ENOENT:
		return MHP_ENOENT;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return MHP_ENOMEM;
	case EBUSY:
		return MHP_EBUSY;
	case ENODEV:
	case ENXIO:
		return MHP_ENODEV;
	case ENOSPC:
		return MHP_ENOSPC;
	case ENOSYS:
	case EOPNOTSUPP:
		return MHP_EOPNOTSUPP;
	case EAGAIN:
		return MHP_EAGAIN;
	default:
		return MHP_EINVAL;
	}
}

uint64_t
mhp__kernel_page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE); /* the C library has it: no system call */
}

/* Anywhere in a range where no program is loaded and no sanitizer has its tables: as hard to guess
 * as what the kernel chooses, or always the same (setarch -R, a debugger). NULL: where it likes. */
static void *
low_place(void)
{
	uint64_t random;
	int how = personality(UINT32_MAX); /* asks only */
	if (how >= 0 && (how & ADDR_NO_RANDOMIZE) != 0)
		return (void *)LOW_START;
	if (syscall(SYS_getrandom, &random, sizeof(random), 1 /* do not wait */) !=
	    sizeof(random))
		return NULL;
	return (void *)(LOW_START + random % LOW_BYTES / LOW_STEP * LOW_STEP);
}

void *
mhp__take_addresses(uint64_t bytes, uint64_t align, int protection)
{
	MHP__ASSERT((align & (align - 1)) == 0);
	char *start = mmap(low_place(), bytes + align, protection,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	uint64_t head = (align - (uintptr_t)start % align) % align;
	if (head != 0)
		munmap(start, head);
	munmap(start + head + bytes, align - head);
	return start + head;
}

void *
mhp__take_sparse(uint64_t bytes, uint64_t align, int protection)
{
	uint64_t page = mhp__kernel_page();
	MHP__ASSERT((align & (align - 1)) == 0 && align >= page);
	bytes = (bytes + page - 1) & ~(page - 1);
	char *start = mmap(NULL, bytes + align, protection, MHP__SPARSE & ~MAP_FIXED, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	uint64_t head = align - (uintptr_t)start % align; /* at least the page in front */
	if (mmap(start, head, PROT_NONE, MHP__SPARSE & ~MAP_GROWSDOWN, -1, 0) == MAP_FAILED) {
		munmap(start, bytes + align);
		return NULL;
	}
	munmap(start, head - page);
	munmap(start + head + bytes, align - head);
	madvise(start + head, bytes, MADV_NOHUGEPAGE);
	return start + head;
}

void
mhp__give_sparse(void *start, uint64_t bytes)
{
	munmap((char *)start - mhp__kernel_page(), bytes + mhp__kernel_page());
}

/* Kernels without CONFIG_CHECKPOINT_RESTORE do not say; it stands shortly before the head of the
 * list of robust mutexes. */
void *
mhp__tid_address(void)
{
	pid_t *place = NULL, tid = gettid();
	size_t bytes;
	if (prctl(PR_GET_TID_ADDRESS, &place) == 0)
		return place;
	if (syscall(SYS_get_robust_list, 0, &place, &bytes) != 0 || place == NULL)
		return NULL;
	for (unsigned i = 0; i < 16; i++)
		if (*--place == tid)
			return place;
	return NULL;
}

bool
mhp__huge_pages_off(void)
{
	return prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1;
}

int
mhp__open_sysfs(const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)(flags | O_CLOEXEC),
				.resolve = RESOLVE_NO_XDEV };
	int sys = open("/sys", O_PATH | O_CLOEXEC);
	if (sys < 0)
		return -1;
	long fd = syscall(SYS_openat2, sys, path, &how, sizeof(how));
	/* Before Linux 5.6, or in a sandbox. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(sys, path, flags | O_CLOEXEC);
	close(sys);
	return (int)fd;
}

bool
mhp__take_number(const char **at, unsigned max, unsigned *ret_number)
{
	const char *digits = *at;
	unsigned number = 0;
	for (; **at >= '0' && **at <= '9' && number <= max; ++*at)
		number = number * 10 + (unsigned)(**at - '0');
	*ret_number = number;
	return *at != digits && number <= max && (*digits != '0' || *at == digits + 1);
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
