/* SPDX-License-Identifier: MIT */
/*
 * guard.c - two userfaultfds: one holds up writers, the other holds up every access.
 *
 * Ordinary memory that goes to a device is write-protected while it is copied. Memory that comes
 * back is first replaced, in one step (mremap), by a hole: empty ordinary memory whose pages are
 * missing. A read waits until its page is filled, a write until the whole hole is. So a hole that
 * cannot be filled can be undone, and nothing is lost. Memory that came back stays registered until
 * the stretch ends, because neighbours with the same registration merge into one mapping. Only a
 * full userfaultfd will do: one that is restricted to faults of user mode makes system calls fail
 * with EFAULT instead of waiting.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <memplug/companion.h>

#include "guard.h"

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/* The kernel has tried hard to find a page before it says that there is none. */
#define FILL_TRIES 100U
#define FILL_AGAIN_NS 1000000L
/* How soon whoever reads the events notices its end. */
#define LISTEN_MS 50

bool mhp__test_no_protect;

/* The system call has failed. Without the device, it has the last word. */
static int
open_by_device(int flags)
{
	int error = errno, fd = -1;
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, flags);
		error = errno;
		close(device);
	}
	errno = error;
	return fd;
}

static int
open_fd(uint64_t features, struct mhp_text *reterr)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int flags = O_CLOEXEC | O_NONBLOCK;
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
			 "access to /dev/userfaultfd, or CAP_SYS_PTRACE (%s)",
			 strerrordesc_np(errno));
		return -1;
	}
	if (ioctl(fd, UFFDIO_API, &api) != 0) {
		mhp__say(reterr, 0, "this kernel's userfaultfd cannot write-protect shared memory "
				    "(Linux 6.4 can), so no memory can go to a device");
		close(fd);
		return -1;
	}
	return fd;
}

/* The kernel takes whole pages of its own, and at least one. */
static bool
is_range(uintptr_t start, uint64_t size)
{
	return size != 0 && ((start | size) & (mhp__kernel_page() - 1)) == 0;
}

/* Pages that the program gave up while they are registered, and news of our own holes. */
static void
read_events(void *arg)
{
	struct mhp__guard *guard = arg;
	struct pollfd ready = { .fd = guard->hole_fd, .events = POLLIN };
	struct uffd_msg message;
	const uint64_t size = mhp__kernel_page();
	/* Closing the descriptor would not wake who waits for it in read(). */
	while (!atomic_load(&guard->stopping)) {
		poll(&ready, 1, LISTEN_MS);
		ssize_t got = read(guard->hole_fd, &message, sizeof(message));
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			break;
		if (got <= 0 || message.event != UFFD_EVENT_PAGEFAULT)
			continue;
		uintptr_t page = (uintptr_t)message.arg.pagefault.address & ~(size - 1);
		if (page >= atomic_load(&guard->hole_start) && page < atomic_load(&guard->hole_end))
			continue; /* it will be filled */
		struct uffdio_zeropage zero = { .range = { page, size } };
		struct uffdio_range range = { page, size };
		if (ioctl(guard->hole_fd, UFFDIO_ZEROPAGE, &zero) != 0)
			ioctl(guard->hole_fd, UFFDIO_WAKE, &range);
	}
	atomic_store(&guard->listening, false);
}

static int
open_both(int *ret_write_fd, int *ret_hole_fd, struct mhp_text *reterr)
{
	*ret_write_fd = open_fd(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED,
				reterr);
	if (*ret_write_fd < 0)
		return MHP_EPERM;
	*ret_hole_fd = open_fd(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_PAGEFAULT_FLAG_WP, reterr);
	if (*ret_hole_fd >= 0)
		return 0;
	close(*ret_write_fd);
	*ret_write_fd = -1;
	return MHP_EPERM;
}

int
mhp__guard_check(struct mhp__guard *guard)
{
	int write_fd, hole_fd;
	if (guard->hole_fd >= 0)
		return 0;
	if (open_both(&write_fd, &hole_fd, &guard->why) != 0)
		return MHP_EPERM;
	close(write_fd);
	close(hole_fd);
	return 0;
}

int
mhp__guard_listen(struct mhp__guard *guard)
{
	MHP__ASSERT(guard->hole_fd >= 0 && guard->write_fd >= 0);
	atomic_store(&guard->stopping, false);
	atomic_store(&guard->listening, true);
	if (mhp_companion_thread(read_events, guard) == 0)
		return 0;
	atomic_store(&guard->listening, false);
	mhp__guard_stop(guard);
	return mhp__say(&guard->why, MHP_EPERM, "the companion has too much to do");
}

int
mhp__guard_start(struct mhp__guard *guard)
{
	if (guard->hole_fd >= 0)
		return 0;
	if (open_both(&guard->write_fd, &guard->hole_fd, &guard->why) != 0)
		return MHP_EPERM;
	return mhp__guard_listen(guard);
}

int
mhp__guard_reopen(struct mhp__guard *guard)
{
	guard->write_fd = guard->hole_fd = -1;
	guard->open_start = guard->open_end = 0;
	return open_both(&guard->write_fd, &guard->hole_fd, &guard->why);
}

void
mhp__guard_stop(struct mhp__guard *guard)
{
	const struct timespec moment = { 0, 1000000 };
	atomic_store(&guard->stopping, true);
	bool there = guard->hole_fd >= 0;
	/* Bound: it looks every LISTEN_MS. */
	for (unsigned ms = 0; there && atomic_load(&guard->listening) && ms < 1000; ms++)
		nanosleep(&moment, NULL);
	if (guard->write_fd >= 0)
		close(guard->write_fd);
	if (guard->hole_fd >= 0)
		close(guard->hole_fd);
	guard->write_fd = guard->hole_fd = -1;
}

int
mhp__guard_protect(const struct mhp__guard *guard, uintptr_t start, uint64_t size)
{
	struct uffdio_register reg = {
		.range = { start, size }, .mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = { start, size }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	MHP__ASSERT(is_range(start, size) && guard->write_fd >= 0);
	if (mhp__test_no_protect)
		return 0;
	if (ioctl(guard->write_fd, UFFDIO_REGISTER, &reg) != 0)
		return mhp__errno(errno);
	while (ioctl(guard->write_fd, UFFDIO_WRITEPROTECT, &wp) != 0) {
		if (errno != EAGAIN) { /* the mappings are changing: bounded by those changes */
			int err = mhp__errno(errno);
			mhp__guard_wake(guard, start, size, true);
			return err;
		}
		sched_yield();
	}
	return 0;
}

void
mhp__guard_wake(const struct mhp__guard *guard, uintptr_t start, uint64_t size, bool undo)
{
	struct uffdio_range range = { start, size };
	MHP__ASSERT(is_range(start, size));
	if (undo)
		ioctl(guard->write_fd, UFFDIO_UNREGISTER, &range);
	ioctl(guard->write_fd, UFFDIO_WAKE, &range);
}

/* [start, start + size) is registered, and will be filled. */
static void
note_hole(struct mhp__guard *guard, uintptr_t start, uint64_t size)
{
	MHP__ASSERT((start == 0) == (size == 0));
	atomic_store(&guard->hole_start, start);
	atomic_store(&guard->hole_end, start + size);
}

/* The hole belongs to the stretch that is open, which ends in front of it or with it. */
static void
note_open(struct mhp__guard *guard)
{
	uintptr_t start = atomic_load(&guard->hole_start), end = atomic_load(&guard->hole_end);
	MHP__ASSERT(guard->open_start == guard->open_end || guard->open_end == start ||
		    guard->open_end == end);
	if (guard->open_start == guard->open_end)
		guard->open_start = start;
	guard->open_end = end;
	MHP__ASSERT(guard->open_start <= start && start < end);
}

/* A thread that reads there waits for the page; one that writes waits until the hole is full. */
static int
register_hole(const struct mhp__guard *guard, uintptr_t start, uint64_t size)
{
	struct uffdio_register reg = {
		.range = { start, size },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	return ioctl(guard->hole_fd, UFFDIO_REGISTER, &reg);
}

int
mhp__guard_hole(struct mhp__guard *guard, uintptr_t start, uint64_t size, int advice)
{
	MHP__ASSERT(guard->hole_start == 0); /* the last one is full, or undone */
	MHP__ASSERT(is_range(start, size) && guard->hole_fd >= 0);
	if (start != guard->open_end)
		mhp__guard_close(guard);
	void *empty = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (empty == MAP_FAILED)
		return errno;
	munlock(empty, size); /* mlockall(MCL_FUTURE) filled it: it must be empty */
	madvise(empty, size, MADV_DONTNEED);
	madvise(empty, size, advice);
	if (register_hole(guard, (uintptr_t)empty, size) != 0)
		goto failed;
	note_hole(guard, start, size);
	if (mremap(empty, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) == MAP_FAILED)
		goto failed;
	note_open(guard);
	return 0;
failed:;
	int error = errno;
	munmap(empty, size);
	note_hole(guard, 0, 0);
	return error;
}

void
mhp__guard_adopt(struct mhp__guard *guard, uintptr_t start, uint64_t size)
{
	MHP__ASSERT(is_range(start, size));
	if (guard->open_end != start && guard->open_end != start + size)
		mhp__guard_close(guard);
	(void)register_hole(guard, start, size);
	note_hole(guard, start, size);
	note_open(guard);
}

/* Fill what is empty of it; returns how much is filled now, from the start on, or -1 and errno. */
static int64_t
copy_some(const struct mhp__guard *guard, uintptr_t start, uintptr_t source, uint64_t size)
{
	struct uffdio_copy copy = { .dst = start, .src = source, .len = size,
				    .mode = UFFDIO_COPY_MODE_WP };
	MHP__ASSERT(is_range(start, size));
	if (ioctl(guard->hole_fd, UFFDIO_COPY, &copy) == 0 || copy.copy > 0)
		return copy.copy;
	if (errno == ENOENT && size > mhp__kernel_page()) { /* more than one mapping by now */
		copy.len = mhp__kernel_page();
		copy.copy = 0;
		if (ioctl(guard->hole_fd, UFFDIO_COPY, &copy) == 0)
			return copy.copy;
	}
	/* A mover that was killed has filled this page, or the program unmapped it: it is gone. */
	return errno == EEXIST || errno == ENOENT ? (int64_t)mhp__kernel_page() : -1;
}

int
mhp__guard_fill(const struct mhp__guard *guard, uintptr_t start, const void *source, uint64_t size)
{
	const struct timespec again = { 0, FILL_AGAIN_NS };
	MHP__ASSERT(start >= guard->hole_start && start + size <= guard->hole_end);
	for (unsigned tries = 0; size != 0;) {
		int64_t done = copy_some(guard, start, (uintptr_t)source, size);
		if (done < 0 && errno != EAGAIN && errno != EINTR &&
		    (errno != ENOMEM || ++tries == FILL_TRIES))
			return mhp__errno(errno);
		if (done < 0 && errno == ENOMEM)
			nanosleep(&again, NULL);
		else if (done < 0) /* the mappings are changing: bounded by those changes */
			sched_yield();
		done = done > 0 ? done : 0;
		MHP__ASSERT((uint64_t)done <= size);
		start += (uint64_t)done;
		source = (const char *)source + done;
		size -= (uint64_t)done;
	}
	return 0;
}

void
mhp__guard_filled(struct mhp__guard *guard)
{
	struct uffdio_range range = { guard->hole_start, guard->hole_end - guard->hole_start };
	struct uffdio_writeprotect wp = { .range = range };
	int failed;
	MHP__ASSERT(range.len != 0);
	note_hole(guard, 0, 0);
	while ((failed = ioctl(guard->hole_fd, UFFDIO_WRITEPROTECT, &wp)) != 0 && errno == EAGAIN)
		sched_yield();
	if (failed != 0) /* part of it was unmapped: let go of the rest */
		ioctl(guard->hole_fd, UFFDIO_UNREGISTER, &range);
	ioctl(guard->hole_fd, UFFDIO_WAKE, &range);
}

void
mhp__guard_undone(struct mhp__guard *guard)
{
	struct uffdio_range range = { guard->hole_start, guard->hole_end - guard->hole_start };
	MHP__ASSERT(range.len != 0 && guard->open_end == guard->hole_end);
	guard->open_end = guard->open_start < range.start ? range.start : guard->open_start;
	note_hole(guard, 0, 0);
	ioctl(guard->hole_fd, UFFDIO_WAKE, &range);
}

void
mhp__guard_close(struct mhp__guard *guard)
{
	struct uffdio_range range = { guard->open_start, guard->open_end - guard->open_start };
	if (range.len != 0) {
		ioctl(guard->hole_fd, UFFDIO_UNREGISTER, &range);
		ioctl(guard->hole_fd, UFFDIO_WAKE, &range);
	}
	guard->open_start = guard->open_end = 0;
	note_hole(guard, 0, 0); /* of a mover that was killed before it made it */
}
