/* SPDX-License-Identifier: MIT */
/*
 * guard.c - the kernel's userfaultfd.
 *
 * Only a full userfaultfd will do: one that is restricted to faults of user mode makes system calls
 * fail with EFAULT instead of waiting.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guard.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

bool mhp__test_no_protect;

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
mhp__guard_open(uint64_t features, bool blocking, struct mhp_text *reterr)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int flags = blocking ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK;
	int fd = (int)syscall(SYS_userfaultfd, flags);
	if (fd < 0)
		fd = open_by_device(flags);
	if (fd < 0 && errno == ENOSYS) {
		mhp__say(reterr, 0, "this kernel has no userfaultfd: no memory can go to a device");
		return -1;
	}
	if (fd < 0) {
		mhp__say(reterr, 0,
			 "no memory can go to a device without permission for a full userfaultfd; "
			 "give it with 'sysctl vm.unprivileged_userfaultfd=1', or read and write "
			 "access to /dev/userfaultfd, or CAP_SYS_PTRACE (%s)", strerror(errno));
		return -1;
	}
	if (ioctl(fd, UFFDIO_API, &api) != 0) {
		mhp__say(reterr, 0, "this kernel's userfaultfd cannot write-protect shared memory "
				    "(Linux 5.19 can), so no memory can go to a device");
		close(fd);
		return -1;
	}
	return mhp_fd_high(fd);
}
