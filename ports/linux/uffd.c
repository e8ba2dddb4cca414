/* SPDX-License-Identifier: MIT */
/*
 * uffd.c - the kernel's userfaultfd: hold up writers of a range, let them go.
 *
 * One descriptor for the pool (hole.c has another). Only a full userfaultfd will do: one that is
 * restricted to faults of user mode makes system calls fail with EFAULT instead of waiting. Ranges
 * are registered when they are protected, never before, because registration keeps mappings from
 * merging. Mapping a new frame over a page drops its registration, but wakes nobody: every protect
 * is followed by a wake or a release.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

static int
open_by_device(int flags)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -1;
	int fd = ioctl(device, USERFAULTFD_IOC_NEW, flags);
	int error = errno;
	close(device);
	errno = error;
	return fd;
}

int
mhp__uffd_open(uint64_t features, bool blocking, struct mhp_text *reterr)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int flags = blocking ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK;
	int fd = (int)syscall(SYS_userfaultfd, flags);
	if (fd < 0)
		fd = open_by_device(flags);
	if (fd < 0 && errno == ENOSYS) {
		mhp__say(reterr, 0, "this kernel has no userfaultfd, so memory in use cannot move");
		return -1;
	}
	if (fd < 0) {
		mhp__say(reterr, 0,
			 "memory in use cannot move without permission for a full userfaultfd; "
			 "give it with 'sysctl vm.unprivileged_userfaultfd=1', or read and write "
			 "access to /dev/userfaultfd, or CAP_SYS_PTRACE (%s)", strerror(errno));
		return -1;
	}
	if (ioctl(fd, UFFDIO_API, &api) != 0) {
		mhp__say(reterr, 0, "this kernel's userfaultfd cannot write-protect shared memory "
				    "(Linux 5.19 can), so memory in use cannot move");
		close(fd);
		return -1;
	}
	return mhp_fd_high(fd);
}

/*
 * Older kernels (6.1 is one) write-protect within one mapping a call, and answer ENOENT when the
 * range ends in another, wherever that begins: ask for half, and for more when that went well.
 */
static int
write_protect(const struct mhp_pool *pool, uintptr_t start, uint64_t size)
{
	uint64_t part = size;
	while (size > 0) {
		struct uffdio_writeprotect wp = {
			.range = { start, part }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
		};
		if (ioctl(pool->uffd, UFFDIO_WRITEPROTECT, &wp) == 0) {
			start += part;
			size -= part;
			part = 2 * part < size ? 2 * part : size;
		} else if (errno == EAGAIN) {
			sched_yield(); /* the mappings are changing: bounded by who changes them */
		} else if (errno == ENOENT && part > pool->granule) {
			part = part / 2 / pool->granule * pool->granule;
		} else {
			return mhp__errno(errno);
		}
	}
	return 0;
}

int
mhp__uffd_protect(const struct mhp_pool *pool, uintptr_t start, uint64_t size)
{
	struct uffdio_register reg = {
		.range = { start, size }, .mode = UFFDIO_REGISTER_MODE_WP,
	};
	if (ioctl(pool->uffd, UFFDIO_REGISTER, &reg) != 0)
		return mhp__errno(errno);
	return write_protect(pool, start, size);
}

void
mhp__uffd_release(const struct mhp_pool *pool, uintptr_t start, uint64_t size)
{
	struct uffdio_range range = { start, size };
	ioctl(pool->uffd, UFFDIO_UNREGISTER, &range);
	ioctl(pool->uffd, UFFDIO_WAKE, &range);
}

void
mhp__uffd_unprotect(const struct mhp_pool *pool, uintptr_t start, uint64_t size)
{
	struct uffdio_writeprotect wp = { .range = { start, size }, .mode = 0 };
	ioctl(pool->uffd, UFFDIO_WRITEPROTECT, &wp); /* fails where nothing is registered: fine */
}

void
mhp__uffd_wake(const struct mhp_pool *pool, uintptr_t start, uint64_t size)
{
	struct uffdio_range range = { start, size };
	ioctl(pool->uffd, UFFDIO_WAKE, &range);
}
