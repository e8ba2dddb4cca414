/* SPDX-License-Identifier: MIT */
/*
 * lock.c - libc's mlock and mlockall, for a program that lives in a pool.
 *
 * The kernel would lock everything that is mapped: reserved addresses, tables of the engine of
 * which little is touched, and every `ram` block a second time, in the direct map. So we lock what
 * the program has now, mapping by mapping, except for what was mapped large while the pool was
 * made; of the heap we lock what is accessible. The kernel locks what the program maps later
 * (MCL_FUTURE); what the heap commits later is locked at once (lock_committed()). Locked memory of
 * the heap stays with the allocator when it is freed. A raw system call locks everything, as ever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "heap.h"
#include "lock.h"
#include "maps.h"

#define LARGE (UINT64_C(256) << 10)
#define OWN_MAX 64U
#define TRIES_MAX 100U                 /* at one address: a limit of locked memory says so, too */
#define LINE_BYTES 64U                 /* of a mapping: addresses and permissions are in it */

static struct {
	bool noting;
	unsigned nr;
	struct { uintptr_t start, end; } range[OWN_MAX];
} own;

void
mhp__lock_note(bool on)
{
	own.noting = on;
}

void
mhp__lock_mapped(const void *start, size_t size)
{
	if (own.noting && start != MAP_FAILED && size >= LARGE && own.nr < OWN_MAX) {
		own.range[own.nr].start = (uintptr_t)start;
		own.range[own.nr++].end = (uintptr_t)start + size;
	}
}

/* Give up the excess at either end of addresses that had to be aligned, or all of it. */
void
mhp__lock_unmapped(const void *start, size_t size)
{
	for (unsigned i = 0; own.noting && i < own.nr; i++) {
		if (own.range[i].start == (uintptr_t)start)
			own.range[i].start += size;
		else if (own.range[i].end == (uintptr_t)start + size)
			own.range[i].end -= size;
	}
}

static bool
is_own(uintptr_t start, uintptr_t end)
{
	for (unsigned i = 0; i < own.nr; i++)
		if (start < own.range[i].end && end > own.range[i].start)
			return true;
	return false;
}

/* ---- what is mapped ---- */

struct reader {
	int fd;
	size_t at, have;
	char bytes[4096];
};

static int
next_byte(struct reader *reader)
{
	if (reader->at == reader->have) {
		ssize_t got = read(reader->fd, reader->bytes, sizeof(reader->bytes));
		reader->have = got > 0 ? (size_t)got : 0;
		reader->at = 0;
	}
	return reader->at < reader->have ? (unsigned char)reader->bytes[reader->at++] : -1;
}

/* The beginning of a line; false: that was all. */
static bool
next_line(struct reader *reader, char line[LINE_BYTES])
{
	size_t nr = 0;
	int byte;
	while ((byte = next_byte(reader)) >= 0 && byte != '\n')
		if (nr < LINE_BYTES - 1)
			line[nr++] = (char)byte;
	line[nr] = 0;
	return byte >= 0;
}

/* A number in base 16 and one character after it. */
static uintptr_t
take_hex(const char **at)
{
	uintptr_t value = 0;
	/* Untaken: each line of the kernel's has both. */
	for (; **at != 0 && **at != '-' && **at != ' '; ++*at)
		value = value * 16 + (uintptr_t)(**at <= '9' ? **at - '0' : **at - 'a' + 10);
	*at += **at != 0;
	return value;
}

/* Where it lies now. */
static int
lock_now(const void *start, size_t size, unsigned flags)
{
	return flags == 0 ? (int)syscall(SYS_mlock, start, size)
			  : (int)syscall(SYS_mlock2, start, size, flags);
}

/*
 * Lock a mapping of the program. A part that cannot be made resident (nobody may access it, or
 * there is nothing behind it) is locked once it can be, as the kernel does it. An errno.
 */
static int
lock_one(uintptr_t start, uintptr_t end, bool accessible, int flags)
{
	bool heap = start >= mhp__heap.start && start < mhp__heap.end;
	if (is_own(start, end) && !(heap && accessible))
		return 0;
	if (!heap && accessible && (flags & MCL_ONFAULT) == 0 &&
	    mlock((void *)start, end - start) == 0)
		return 0;
	int failed = heap ? lock_now((void *)start, end - start, MLOCK_ONFAULT)
			  : mlock2((void *)start, end - start, MLOCK_ONFAULT);
	return failed == 0 ? 0 : errno;
}

/* Lock what is mapped from *from on; that is where it ended, then. An errno. */
static int
lock_from(uintptr_t *from, int flags)
{
	struct reader reader = { .fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC) };
	char line[LINE_BYTES];
	int error = reader.fd < 0 ? errno : 0;
	while (error == 0 && next_line(&reader, line)) {
		const char *at = line;
		uintptr_t start = take_hex(&at), end = take_hex(&at);
		if (end <= *from || (intptr_t)start < 0) /* the kernel's page above all */
			continue;
		*from = start > *from ? start : *from;
		error = lock_one(*from, end, at[0] == 'r' || at[1] == 'w', flags);
	}
	if (reader.fd >= 0)
		close(reader.fd);
	return error;
}

/* Other threads may unmap what was read of: the list is read anew then, from there on. An errno. */
static int
lock_current(int flags)
{
	uintptr_t from = 0, before = 0;
	int error = ENOMEM;
	for (unsigned tries = 0; error == ENOMEM && tries < TRIES_MAX; tries++) {
		error = lock_from(&from, flags);
		tries = from != before ? 0 : tries;
		before = from;
	}
	return error;
}

/* ---- for the heap ---- */

static _Atomic int later;              /* what mlockall() asked for what comes later */
static atomic_bool ever;               /* the program has called any of these */

bool
mhp__lock_ever(void)
{
	return atomic_load(&ever);
}

static bool
lock_committed(uintptr_t start, uintptr_t size)
{
	unsigned flags = (atomic_load(&later) & MCL_ONFAULT) != 0 ? MLOCK_ONFAULT : 0;
	return lock_now((void *)start, size, flags) == 0;
}

/* ---- what libc has ---- */

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int mhp__mlock(const void *start, size_t size) __asm__("mlock");
EXPORTED int mhp__mlock2(const void *start, size_t size, unsigned flags) __asm__("mlock2");
EXPORTED int mhp__mlockall(int flags) __asm__("mlockall");
EXPORTED int mhp__munlockall(void) __asm__("munlockall");

/* What the program has is locked where it stays then: in ordinary memory. Of huge pages and of DAX
 * devices the kernel says that they are locked, and remembers nothing. */
static int
lock_heap(const void *start, size_t size, unsigned flags)
{
	uintptr_t at = (uintptr_t)start & -(uintptr_t)sysconf(_SC_PAGESIZE);
	bool held = mhp__heap_hold(at, mhp__whole_pages((uintptr_t)start + size - at));
	int failed = lock_now(start, size, flags);
	mhp__heap_release(held);
	return failed;
}

static int
lock_range(const void *start, size_t size, unsigned flags)
{
	atomic_store(&ever, true);
	if (!mhp__maps_any((uintptr_t)start, size))
		return lock_heap(start, size, flags);
	if (!mhp__maps_hold((uintptr_t)start, size, true))
		return -1;
	int failed = lock_now(start, size, flags);
	mhp__maps_release();
	return failed;
}

int
mhp__mlock(const void *start, size_t size)
{
	return lock_range(start, size, 0);
}

int
mhp__mlock2(const void *start, size_t size, unsigned flags)
{
	return lock_range(start, size, flags);
}

int
mhp__munlockall(void)
{
	atomic_store(&later, 0);
	atomic_store(&mhp__heap.keep, NULL);
	return (int)syscall(SYS_munlockall);
}

/* As the kernel's: without MCL_FUTURE, an earlier one is over. */
int
mhp__mlockall(int flags)
{
	const int all = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
	atomic_store(&ever, true);
	if (mhp__heap.pool == NULL || (flags & ~all) != 0 ||
	    (flags & (MCL_CURRENT | MCL_FUTURE)) == 0)
		return (int)syscall(SYS_mlockall, flags);
	if ((flags & MCL_FUTURE) == 0 && atomic_load(&later) != 0)
		(void)mhp__munlockall();
	int error = (flags & MCL_CURRENT) != 0 ? lock_current(flags) : 0;
	if (error != 0) {
		errno = error == EAGAIN ? ENOMEM : error;
		return -1;
	}
	if ((flags & MCL_FUTURE) == 0)
		return 0;
	if (syscall(SYS_mlockall, flags & ~MCL_CURRENT) != 0)
		return -1;
	atomic_store(&later, flags);
	atomic_store(&mhp__heap.keep, lock_committed);
	return 0;
}
