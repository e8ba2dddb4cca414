/* SPDX-License-Identifier: MIT */
/*
 * linux_floor.c - what the kernel alone takes for memory that goes to a device and comes back.
 *
 * The calls of the protocol for each window of 2 MiB and nothing else: no table, no lock, no look
 * at mappings or limits, no program that goes on meanwhile. What the pool takes beyond this is
 * ours; what is missing to memcpy even so is the kernel's, above all a huge page that it has to
 * make and clear for each window.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "linux.h"

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFDIO_MOVE
struct uffdio_move {
	uint64_t dst, src, len, mode;
	int64_t move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, struct uffdio_move)
#endif

#define RW (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static struct {
	bool huge;
	int device, guard;             /* descriptors */
	unsigned char *place, *window, *stage; /* all of the device, of the program; one window */
} floor_;

static unsigned char *
map_aligned(uint64_t bytes, int flags, int fd)
{
	unsigned char *start = mmap(NULL, bytes + BENCH_HUGE, PROT_NONE, PRIVATE, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	start += -(uintptr_t)start % BENCH_HUGE;
	void *mapped = mmap(start, bytes, RW, flags | MAP_FIXED, fd, 0);
	return mapped == MAP_FAILED ? NULL : mapped;
}

static bool
begin(bool huge, uint64_t bytes)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_UNPOPULATED };
	unsigned flags = MFD_CLOEXEC | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
	floor_.huge = huge;
	floor_.device = memfd_create("floor", flags);
	floor_.guard = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (floor_.device < 0 || floor_.guard < 0 || ftruncate(floor_.device, (off_t)bytes) != 0 ||
	    ioctl(floor_.guard, UFFDIO_API, &api) != 0)
		return false;
	floor_.place = map_aligned(bytes, MAP_SHARED | (huge ? MAP_POPULATE : 0), floor_.device);
	floor_.window = map_aligned(bytes, PRIVATE, -1);
	floor_.stage = map_aligned(BENCH_HUGE, PRIVATE, -1);
	if (floor_.place == NULL || floor_.window == NULL || floor_.stage == NULL)
		return false;
	memset(floor_.window, 1, bytes);
	return true;
}

static void
end(uint64_t bytes)
{
	munmap(floor_.place, bytes);
	munmap(floor_.window, bytes);
	munmap(floor_.stage, BENCH_HUGE);
	close(floor_.device);
	close(floor_.guard);
}

static void
must(bool done, const char *what)
{
	if (!done)
		bench_die(what);
}

static void
watch(unsigned char *start, uint64_t mode)
{
	struct uffdio_register range = { .range = { (uintptr_t)start, BENCH_HUGE }, .mode = mode };
	must(ioctl(floor_.guard, UFFDIO_REGISTER, &range) == 0, "UFFDIO_REGISTER");
}

/* A huge page, if there is one at hand. */
static void
make_huge(volatile unsigned char *start)
{
	start[0] = 0;
	(void)madvise((void *)(uintptr_t)start, BENCH_HUGE, MADV_COLLAPSE);
}

static void
copy(void *to, void *from)
{
	struct iovec target = { to, BENCH_HUGE }, source = { from, BENCH_HUGE };
	must(process_vm_readv(getpid(), &target, 1, &source, 1, 0) == (ssize_t)BENCH_HUGE, "copy");
}

static void
go(uint64_t at)
{
	unsigned char *place = floor_.place + at, *window = floor_.window + at;
	struct uffdio_writeprotect protect = { .range = { (uintptr_t)window, BENCH_HUGE },
					       .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	if (!floor_.huge) {
		madvise(place, BENCH_HUGE, MADV_REMOVE);
		make_huge(place);
	}
	watch(window, UFFDIO_REGISTER_MODE_WP);
	must(ioctl(floor_.guard, UFFDIO_WRITEPROTECT, &protect) == 0, "UFFDIO_WRITEPROTECT");
	copy(place, window);
	void *mapped = floor_.huge ? mmap(window, BENCH_HUGE, RW, MAP_SHARED | MAP_FIXED,
					  floor_.device, (off_t)at)
				   : mremap(place, 0, BENCH_HUGE, MREMAP_MAYMOVE | MREMAP_FIXED,
					    window);
	must(mapped != MAP_FAILED, "mapping the device");
	must(ioctl(floor_.guard, UFFDIO_WAKE, &protect.range) == 0, "UFFDIO_WAKE");
}

static void
come_back(uint64_t at)
{
	unsigned char *place = floor_.place + at, *window = floor_.window + at;
	struct uffdio_move move = { .dst = (uintptr_t)window, .src = (uintptr_t)floor_.stage,
				    .len = BENCH_HUGE };
	make_huge(floor_.stage);
	must(mmap(window, BENCH_HUGE, RW, PRIVATE | MAP_FIXED, -1, 0) != MAP_FAILED, "a hole");
	watch(window, UFFDIO_REGISTER_MODE_MISSING);
	copy(floor_.stage, place);
	must(ioctl(floor_.guard, UFFDIO_MOVE, &move) == 0, "UFFDIO_MOVE");
	madvise(floor_.stage, BENCH_HUGE, MADV_DONTNEED);
}

static double
each(void (*fn)(uint64_t at), uint64_t bytes)
{
	uint64_t start = bench_thread_ns();
	for (uint64_t at = 0; at < bytes; at += BENCH_HUGE)
		fn(at);
	return (double)(bench_thread_ns() - start) / 1e9;
}

bool
bench_floor(bool huge, uint64_t bytes, unsigned rounds, double *ret_to, double *ret_back)
{
	bool can = begin(huge, bytes);
	for (unsigned round = 0; can && round < rounds; round++) {
		ret_to[round] = each(go, bytes);
		ret_back[round] = each(come_back, bytes);
	}
	for (uint64_t at = 0; can && at < bytes; at += BENCH_PAGE)
		must(floor_.window[at] == 1, "what came back");
	end(bytes);
	return can;
}
