/* SPDX-License-Identifier: MIT */
/*
 * failing.c - system calls that fail when a test says so (R74).
 *
 * Linked into a preload library of its own with --wrap for each function below, it sees every call
 * that memplug makes inside of a program, in its companion and in its children. The page that
 * MEMPLUG_FAILING names is shared by all of them and by the test (faults_test.py). While it is
 * armed, calls are numbered, and those from `first` up to `last` (of one name, where `only` is not
 * 0) and `second` fail as such a call fails on a machine that is short of something, or, with
 * `interrupt`, as if a signal had come. What was called from where is written down: a test can take
 * each place once.
 *
 * It must work in tasks that the C library does not know: no malloc, no lock, nothing of a thread
 * but errno. All functions take and return registers, whatever their real types are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLS_MAX 65536U
#define SYSCALLS 1000U                 /* the system call with the number n has the name 1000 + n */

struct page {
	_Atomic uint32_t armed, interrupt;
	_Atomic uint32_t first, last;  /* numbers of the calls that fail */
	_Atomic uint32_t only, second; /* second: one more number */
	_Atomic uint32_t next, failed;
	struct {
		uint32_t name, from;   /* from: where in the library */
	} call[CALLS_MAX];
};

static struct page *page;
/* The library's first byte. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

long __real_syscall(long number, ...);

__attribute__((constructor(101))) static void
map_page(void)
{
	const char *name = getenv("MEMPLUG_FAILING");
	long fd = -1, flags = O_RDWR | O_CLOEXEC;
	if (name != NULL)
		fd = __real_syscall(SYS_openat, AT_FDCWD, name, flags);
	if (fd < 0)
		return;
	long at = __real_syscall(SYS_mmap, 0L, sizeof(struct page), PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0L);
	__real_syscall(SYS_close, fd);
	page = at == -1 ? NULL : (struct page *)at;
}

/* Does this call fail? error: how; 0: it does not, but for a signal. waits: a signal ends it. */
static bool
fails(uint32_t name, const char *from, int error, bool waits)
{
	if (page == NULL || !atomic_load(&page->armed))
		return false;
	bool interrupt = atomic_load(&page->interrupt);
	if (interrupt ? !waits : error == 0)
		return false;
	uint32_t number = atomic_fetch_add(&page->next, 1);
	if (number < CALLS_MAX) {
		page->call[number].name = name;
		page->call[number].from = (uint32_t)(from - __ehdr_start);
	}
	uint32_t only = atomic_load(&page->only);
	bool is_chosen = number >= atomic_load(&page->first) &&
			 number < atomic_load(&page->last) && (only == 0 || only == name);
	if (!is_chosen && number != atomic_load(&page->second))
		return false;
	atomic_fetch_add(&page->failed, 1);
	errno = interrupt ? EINTR : error;
	return true;
}

#define CALL(number, name, error, waits)                                                           \
	long __real_##name(long a, long b, long c, long d, long e, long f, long g);                \
	long __wrap_##name(long a, long b, long c, long d, long e, long f, long g);                \
	long __wrap_##name(long a, long b, long c, long d, long e, long f, long g)                 \
	{                                                                                          \
		if (fails(number, __builtin_return_address(0), error, waits))                      \
			return -1;                                                                 \
		return __real_##name(a, b, c, d, e, f, g);                                         \
	}

/* The numbers are in faults_test.py, too. */
CALL(1, open, EMFILE, true)
CALL(2, open64, EMFILE, true)
CALL(4, ioctl, ENOMEM, true)
CALL(5, poll, ENOMEM, true)
CALL(6, socket, EMFILE, false)
CALL(7, bind, EADDRINUSE, false)
CALL(8, listen, EADDRINUSE, false)
CALL(9, accept4, EMFILE, true)
CALL(10, connect, ECONNREFUSED, true)
CALL(11, send, EPIPE, true)
CALL(12, recv, ECONNRESET, true)
CALL(13, getsockopt, ENOBUFS, false)
CALL(14, setsockopt, ENOBUFS, false)
CALL(15, unlink, EROFS, false)
CALL(16, mkdir, ENOSPC, false)
CALL(17, renameat2, ENOSPC, false)
CALL(18, fstat64, EIO, false)
CALL(19, stat64, EIO, false)
CALL(20, lstat64, EIO, false)
CALL(21, fstatfs64, EIO, false)
CALL(22, ftruncate64, ENOSPC, false)
CALL(23, memfd_create, EMFILE, false)
CALL(24, flock, ENOLCK, true)
CALL(25, nanosleep, 0, true)
CALL(28, clone, EAGAIN, false)
CALL(29, getrlimit64, EIO, false)
CALL(30, setrlimit64, EPERM, false)
CALL(31, access, EIO, false)
CALL(32, readlink, EIO, false)
CALL(33, setsid, EPERM, false)
CALL(34, sched_getaffinity, EINVAL, false)
CALL(35, process_vm_readv, ENOMEM, false)
CALL(36, process_vm_writev, ENOMEM, false)

/* Reading a userfaultfd, and nothing else here takes pieces of this size, fails by signals only. */
long __real_read(long fd, void *buffer, size_t size);
long __wrap_read(long fd, void *buffer, size_t size);

long
__wrap_read(long fd, void *buffer, size_t size)
{
	int error = size == sizeof(struct uffd_msg) ? 0 : EIO;
	if (fails(3, __builtin_return_address(0), error, true))
		return -1;
	return __real_read(fd, buffer, size);
}

/* How a system call without a function of its own fails; 0: it never does. */
static int
error_of(long number)
{
	switch (number) {
	case SYS_mmap: case SYS_mremap: case SYS_mprotect: case SYS_munmap: return ENOMEM;
	case SYS_userfaultfd: case SYS_pidfd_open: case SYS_close_range:
	case SYS_openat2: return EMFILE;
	case SYS_kcmp: case SYS_membarrier: case SYS_rseq: return EPERM;
	case SYS_mbind: return EIO;
	case SYS_madvise: return EAGAIN;
	default: return 0;
	}
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

long
__wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	bool waits = number == SYS_futex || number == SYS_wait4 || number == SYS_nanosleep;
	uint32_t name = SYSCALLS + (uint32_t)number;
	if (fails(name, __builtin_return_address(0), error_of(number), waits))
		return -1;
	return __real_syscall(number, a, b, c, d, e, f);
}
