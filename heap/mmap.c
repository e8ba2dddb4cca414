/* SPDX-License-Identifier: MIT */
/*
 * mmap.c - libc's mmap, munmap, mremap and mprotect, for --mmap.
 *
 * The kernel gets exactly the call that the program made; only the books (maps.c) are kept beside
 * it. Memory leaves the books before its addresses can be somebody else's, and enters them after
 * they are ours; so no lock is held around a system call. A call that the kernel refuses leaves the
 * books as they were: they change after the call, or are restored after it where it may free
 * addresses or the pool must have room first. A mapping that the pool has no room for fails with
 * ENOMEM, unless it asked for no reserve. Meanwhile the memory is held (maps.h): on a device, the
 * call would mean something else. Our own library, jemalloc in it, does not come here: the linker
 * makes its calls the system calls below (__wrap_...).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "heap.h"
#include "lock.h"
#include "maps.h"
#include "remap.h"

/* Places that one mapping of ours goes out of the way of. */
#define OTHERS_MAX 16U

#define PUBLIC __attribute__((visibility("default")))

void *__wrap_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *start, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *start, size_t size);
int __wrap_mprotect(void *start, size_t size, int protection);
void *__wrap_mremap(void *start, size_t size, size_t new_size, int flags, ...);
/* The names that the program calls; headers give some of them other ones. */
PUBLIC void *mhp__mmap(void *start, size_t size, int protection, int flags, int fd,
		       off_t offset) __asm__("mmap");
PUBLIC void *mhp__mmap64(void *start, size_t size, int protection, int flags, int fd,
			 off_t offset) __asm__("mmap64");
PUBLIC int mhp__munmap(void *start, size_t size) __asm__("munmap");
PUBLIC int mhp__mprotect(void *start, size_t size, int protection) __asm__("mprotect");
PUBLIC void *mhp__mremap(void *start, size_t size, size_t new_size, int flags,
			 ...) __asm__("mremap");

/* What the program asks for, and we. */
static void *
map(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, start, size, protection, flags, fd, offset);
}

/* Nothing of ours lies where the books say that the program has memory, which may go to a device:
 * it has unmapped that by system calls of its own. Where another place was wanted, the kernel may
 * choose that one, too. */
void *
__wrap_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
	void *at = map(start, size, protection, flags, fd, offset), *other[OTHERS_MAX];
	bool chosen = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) == 0;
	unsigned nr = 0;
	for (; nr < OTHERS_MAX && chosen && at != MAP_FAILED &&
	       mhp__maps_charged((uintptr_t)at, size); nr++) {
		other[nr] = at;
		at = map(start, size, protection, flags, fd, offset);
	}
	while (nr > 0)
		(void)syscall(SYS_munmap, other[--nr], size);
	mhp__lock_mapped(at, size);
	return at;
}

void *
__wrap_mmap64(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
	return __wrap_mmap(start, size, protection, flags, fd, offset);
}

int
__wrap_munmap(void *start, size_t size)
{
	mhp__lock_unmapped(start, size);
	return (int)syscall(SYS_munmap, start, size);
}

int
__wrap_mprotect(void *start, size_t size, int protection)
{
	return (int)syscall(SYS_mprotect, start, size, protection);
}

/* The port's: under the pool's mutex, and in a fork, where the lock of the books is taken. */
void *
__wrap_mremap(void *start, size_t size, size_t new_size, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	void *to = (flags & MREMAP_FIXED) != 0 ? va_arg(args, void *) : NULL;
	va_end(args);
	return (void *)syscall(SYS_mremap, start, size, new_size, flags, to);
}

/* Does the pool refuse memory that is to be writable? A mapping that asks for no reserve may stay
 * outside. */
static bool
refused(uintptr_t start, uintptr_t size, int protection, int flags)
{
	return (protection & PROT_WRITE) != 0 && mhp__maps_charge(start, size) == MHP_ENOMEM &&
	       (flags & MAP_NORESERVE) == 0;
}

static void *
no_room(void)
{
	errno = ENOMEM;
	return MAP_FAILED;
}

/* After a call that was noted first. */
static void
finish(struct mhp__charge *noted, bool done)
{
	int error = errno;
	if (!done)
		mhp__maps_restore(noted);
	mhp__maps_forget(noted);
	errno = error;
}

/* Memory that belongs in the pool over what was there: it is charged as it will be. */
static void *
map_charged(void *start, size_t size, int protection, int flags, off_t offset)
{
	uintptr_t at = (uintptr_t)start, pages = mhp__whole_pages(size);
	struct mhp__charge noted = { .start = at, .size = pages };
	mhp__maps_note(&noted);
	mhp__maps_add(at, pages);
	void *got = refused(at, pages, protection, flags)
			    ? no_room()
			    : map(start, size, protection, flags, -1, offset);
	finish(&noted, got != MAP_FAILED);
	return got;
}

static void *
map_over(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
	uintptr_t at = (uintptr_t)start, pages = mhp__whole_pages(size);
	bool ours = mhp__maps_kind(protection, flags, fd) &&
		    (mhp__maps_large(pages) || mhp__maps_all(at, pages));
	bool sound = mhp__at_page(at | (uintptr_t)offset) && size != 0;
	if (sound && ours && (protection & PROT_WRITE) != 0)
		return map_charged(start, size, protection, flags, offset);
	void *got = map(start, size, protection, flags, fd, offset);
	if (got == MAP_FAILED)
		return got;
	if (ours)
		mhp__maps_add(at, pages);
	mhp__maps_drop(at, pages, ours);
	return got;
}

/* Over what was there: what is in the books and belongs there stays in them. */
static void *
map_fixed(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
	void *got = MAP_FAILED;
	sigset_t before;
	mhp__maps_enter(&before);
	if (mhp__maps_hold((uintptr_t)start, mhp__whole_pages(size), true)) {
		got = map_over(start, size, protection, flags, fd, offset);
		mhp__maps_release();
	}
	mhp__maps_leave(&before);
	return got;
}

void *
mhp__mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
	uintptr_t pages = mhp__whole_pages(size);
	bool fixed = (flags & MAP_FIXED) != 0;
	sigset_t before;
	if (fixed && (mhp__maps_large(pages) || mhp__maps_any((uintptr_t)start, pages)))
		return map_fixed(start, size, protection, flags, fd, offset);
	void *at = map(start, size, protection, flags, fd, offset);
	if (fixed || at == MAP_FAILED || !mhp__maps_large(pages) ||
	    !mhp__maps_kind(protection, flags, fd))
		return at;
	mhp__maps_enter(&before);
	mhp__maps_add((uintptr_t)at, pages);
	if (refused((uintptr_t)at, pages, protection, flags)) {
		mhp__maps_drop((uintptr_t)at, pages, false);
		(void)__wrap_munmap(at, size);
		at = no_room();
	}
	mhp__maps_leave(&before);
	return at;
}

void *
mhp__mmap64(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
	return mhp__mmap(start, size, protection, flags, fd, offset);
}

int
mhp__munmap(void *start, size_t size)
{
	struct mhp__charge noted = { .start = (uintptr_t)start, .size = mhp__whole_pages(size) };
	sigset_t before;
	int failed = -1;
	if (!mhp__at_page(noted.start) || !mhp__maps_any(noted.start, noted.size))
		return __wrap_munmap(start, size);
	mhp__maps_enter(&before);
	if (mhp__maps_hold(noted.start, noted.size, false)) {
		mhp__maps_lift(&noted);
		failed = __wrap_munmap(start, size);
		finish(&noted, failed == 0);
		mhp__maps_release();
	}
	mhp__maps_leave(&before);
	return failed;
}

/* Only EINVAL says that nothing has changed: whatever else is wrong may be found half-way. */
static int
protect_charged(void *start, size_t size, int protection)
{
	uintptr_t at = (uintptr_t)start, pages = mhp__whole_pages(size);
	struct mhp__charge noted = { .start = at, .size = pages };
	if ((protection & PROT_WRITE) == 0)
		return __wrap_mprotect(start, size, protection);
	mhp__maps_note(&noted);
	bool full = refused(at, pages, protection, 0);
	int failed = full ? -1 : __wrap_mprotect(start, size, protection);
	if (full)
		errno = ENOMEM;
	finish(&noted, failed == 0 || errno != EINVAL);
	return failed;
}

/* Not in the books. */
static int
protect_other(void *start, size_t size, int protection)
{
	bool held = mhp__heap_hold((uintptr_t)start, mhp__whole_pages(size));
	int failed = __wrap_mprotect(start, size, protection);
	mhp__heap_release(held);
	return failed;
}

int
mhp__mprotect(void *start, size_t size, int protection)
{
	uintptr_t at = (uintptr_t)start, pages = mhp__whole_pages(size);
	sigset_t before;
	int failed = -1;
	if (!mhp__at_page(at) || !mhp__maps_any(at, pages))
		return protect_other(start, size, protection);
	mhp__maps_enter(&before);
	if (mhp__maps_hold(at, pages, true)) {
		failed = protect_charged(start, size, protection);
		mhp__maps_release();
	}
	mhp__maps_leave(&before);
	return failed;
}

/* The kernel's call, after which nothing is in the books at the place that was asked for. Kernels
 * that unmap what is there before they refuse make its charge wrong until it is used again. */
static void *
remap(void *start, size_t size, size_t new_size, int flags, void *to)
{
	uintptr_t new = mhp__whole_pages(new_size);
	void *moved = mhp__remap(start, size, new_size, flags, to);
	if (moved != MAP_FAILED && (flags & MREMAP_FIXED) != 0 &&
	    mhp__maps_any((uintptr_t)to, new))
		mhp__maps_drop((uintptr_t)to, new, false);
	return moved;
}

/*
 * The books follow: what was charged is charged at its new place, and at its end for its growth. If
 * the program may not have more, it stays as it was. So it does where the pool has no room; or,
 * when it has moved already, it stays outside of the pool. MREMAP_DONTUNMAP leaves empty memory
 * behind, which is in the books as before.
 */
static void *
remap_ours(void *start, size_t size, size_t new_size, int flags, void *to)
{
	uintptr_t old = mhp__whole_pages(size), new = mhp__whole_pages(new_size);
	struct mhp__charge charge = { .start = (uintptr_t)start, .size = old };
	if (new > old && !mhp__maps_may_grow((uintptr_t)start, old, new - old))
		return no_room();
	mhp__maps_lift(&charge);
	void *moved = remap(start, size, new_size, flags, to);
	bool full = moved != MAP_FAILED && !mhp__maps_lay(&charge, (uintptr_t)moved, new);
	if (full && moved == start && new > old) {
		(void)syscall(SYS_mremap, start, new_size, size, 0, NULL);
		moved = no_room();
	}
	finish(&charge, moved != MAP_FAILED && (flags & MREMAP_DONTUNMAP) == 0);
	return moved;
}

/* What moves is held, and what is replaced by it. */
static void *
remap_held(void *start, size_t size, size_t new_size, int flags, void *to)
{
	uintptr_t at = (uintptr_t)start, old = mhp__whole_pages(size);
	uintptr_t over = (uintptr_t)to, new = to != NULL ? mhp__whole_pages(new_size) : 0;
	void *moved = MAP_FAILED;
	if (!mhp__maps_hold(at, old, true))
		return MAP_FAILED;
	if (mhp__maps_hold(over, new, true)) {
		moved = mhp__at_page(at) && size != 0 && mhp__maps_all(at, old)
				? remap_ours(start, size, new_size, flags, to)
				: remap(start, size, new_size, flags, to);
		mhp__maps_release();
	}
	mhp__maps_release();
	return moved;
}

void *
mhp__mremap(void *start, size_t size, size_t new_size, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	void *to = (flags & MREMAP_FIXED) != 0 ? va_arg(args, void *) : NULL;
	va_end(args);
	uintptr_t at = (uintptr_t)start, new = to != NULL ? mhp__whole_pages(new_size) : 0;
	sigset_t before;
	if (!(mhp__at_page(at) && size != 0 && mhp__maps_any(at, mhp__whole_pages(size))) &&
	    !mhp__maps_any((uintptr_t)to, new))
		return (void *)syscall(SYS_mremap, start, size, new_size, flags, to);
	mhp__maps_enter(&before);
	void *moved = remap_held(start, size, new_size, flags, to);
	mhp__maps_leave(&before);
	return moved;
}
