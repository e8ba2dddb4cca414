/* SPDX-License-Identifier: MIT */
/*
 * heap_calls.c - calls that the preload library stands in for answer as the kernel's own do (R54).
 *
 * A script of calls runs twice, once through libc and once by raw system calls, on addresses of its
 * own each time; return values, errors and what can be read afterwards must be the same. Run by
 * heap_test.sh, with a pool behind libc's calls and without.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "heap_cases.h"

#define PAGE 4096L
#define AREA (64L << 20)
#define ANSWERS_MAX 128U

enum { RW = PROT_READ | PROT_WRITE, PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };

/* What was answered: 0, an address as its distance from the area, or minus an errno. */
struct script {
	bool raw;
	char *area;
	long answer[ANSWERS_MAX];
	int line[ANSWERS_MAX];
	unsigned nr;
};

static void
note(struct script *s, int line, long value)
{
	CHECK(s->nr < ANSWERS_MAX);
	s->line[s->nr] = line;
	s->answer[s->nr++] = value;
}

static long
error_or(long value)
{
	return value == -1 ? -errno : value;
}

static void
do_map(struct script *s, int line, long at, long size, int protection, int flags, int fd,
       long offset)
{
	char *start = s->area + at;
	void *got = s->raw ? (void *)syscall(SYS_mmap, start, size, protection, flags, fd, offset)
			   : mmap(start, (size_t)size, protection, flags, fd, offset);
	long answer = got == MAP_FAILED ? -errno : (char *)got - s->area;
	bool placed = (flags & MAP_FIXED) != 0 || answer < 0;
	note(s, line, placed && answer >= -4095 ? answer : 0);
	if (got != MAP_FAILED && !placed)
		CHECK(munmap(got, (size_t)size) == 0);
}

static void
do_unmap(struct script *s, int line, long at, long size)
{
	char *start = s->area + at;
	note(s, line, error_or(s->raw ? syscall(SYS_munmap, start, size)
				      : munmap(start, (size_t)size)));
}

static void
do_protect(struct script *s, int line, long at, long size, int protection)
{
	char *start = s->area + at;
	note(s, line, error_or(s->raw ? syscall(SYS_mprotect, start, size, protection)
				      : mprotect(start, (size_t)size, protection)));
}

static void
do_remap(struct script *s, int line, long at, long size, long new_size, int flags, long to)
{
	char *start = s->area + at, *new = s->area + to;
	void *got = s->raw ? (void *)syscall(SYS_mremap, start, size, new_size, flags, new)
			   : mremap(start, (size_t)size, (size_t)new_size, flags, new);
	note(s, line, got == MAP_FAILED ? -errno : (char *)got - s->area);
}

static void
do_advise(struct script *s, int line, char *start, long size, int advice)
{
	note(s, line, error_or(s->raw ? syscall(SYS_madvise, start, size, advice)
				      : madvise(start, (size_t)size, advice)));
}

#define MAP(...) do_map(s, __LINE__, __VA_ARGS__)
#define UNMAP(...) do_unmap(s, __LINE__, __VA_ARGS__)
#define PROTECT(...) do_protect(s, __LINE__, __VA_ARGS__)
#define REMAP(...) do_remap(s, __LINE__, __VA_ARGS__)
#define ADVISE(...) do_advise(s, __LINE__, __VA_ARGS__)

/* What is in the area, a value a window; -1: it cannot be read. */
static void
look(struct script *s)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	for (long at = 0; at < AREA; at += (long)MIB) {
		unsigned char byte = 0;
		bool there = write(fds[1], s->area + at, 1) == 1;
		note(s, __LINE__, there && read(fds[0], &byte, 1) == 1 ? byte : -1);
	}
	close(fds[0]);
	close(fds[1]);
}

static void
run_maps(struct script *s)
{
	const long mib = (long)MIB;
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	s->area = mmap(NULL, AREA, RW, PRIVATE, -1, 0);
	CHECK(s->area != MAP_FAILED && zero >= 0);
	for (long at = 0; at < AREA; at += mib)
		s->area[at] = (char)(at / mib + 1);
	UNMAP(1, PAGE);
	UNMAP(0, 0);
	UNMAP(0, -PAGE);
	PROTECT(1, PAGE, RW);
	PROTECT(0, 0, RW);
	PROTECT(0, PAGE, -1);
	PROTECT(2 * mib, mib, PROT_READ);
	PROTECT(2 * mib, mib, RW);
	REMAP(1, PAGE, PAGE, 0, 0);
	REMAP(0, 0, PAGE, MREMAP_MAYMOVE, 0);
	REMAP(0, PAGE, 0, 0, 0);
	REMAP(0, mib, mib, MREMAP_FIXED, 8 * mib);
	REMAP(0, mib, mib, MREMAP_FIXED | MREMAP_MAYMOVE, 8 * mib + 1);
	REMAP(0, 2 * mib, 2 * mib, MREMAP_FIXED | MREMAP_MAYMOVE, mib);
	REMAP(4 * mib, 2 * mib, 2 * mib, MREMAP_FIXED | MREMAP_MAYMOVE, 8 * mib);
	REMAP(6 * mib, 2 * mib, mib, MREMAP_FIXED | MREMAP_MAYMOVE, 12 * mib);
	REMAP(4 * mib, mib, mib, MREMAP_MAYMOVE, 0); /* nothing is there any more */
	PROTECT(4 * mib, mib, RW);
	UNMAP(4 * mib, mib);
	MAP(1, mib, RW, PRIVATE | MAP_FIXED, -1, 0);
	MAP(16 * mib, 0, RW, PRIVATE | MAP_FIXED, -1, 0);
	MAP(16 * mib, mib, RW, MAP_PRIVATE | MAP_FIXED, zero, 1);
	MAP(16 * mib, mib, RW, MAP_PRIVATE | MAP_FIXED, zero, 0);
	MAP(18 * mib, mib, RW, MAP_PRIVATE | MAP_FIXED, -1, 0);
	MAP(20 * mib, 2 * mib, RW, PRIVATE | MAP_FIXED, -1, 0);
	MAP(20 * mib, mib, PROT_NONE, PRIVATE | MAP_FIXED, -1, 0);
	MAP(24 * mib, mib, PROT_READ, PRIVATE | MAP_FIXED, -1, 0);
	MAP(26 * mib, mib, RW | PROT_EXEC, PRIVATE | MAP_FIXED, -1, 0);
	MAP(28 * mib, mib, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	MAP(30 * mib, mib, RW, PRIVATE | MAP_STACK | MAP_FIXED, -1, 0);
	MAP(32 * mib, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0);
	MAP(33 * mib, 3 * mib, RW, PRIVATE | MAP_FIXED | MAP_NORESERVE, -1, 0);
	MAP(40 * mib, mib, RW, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0);
	MAP(0, mib, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MAP(0, mib, RW, PRIVATE | MAP_GROWSDOWN, -1, 0);
	MAP(0, mib, RW, MAP_ANONYMOUS, -1, 0);
	MAP(0, -PAGE, RW, PRIVATE, -1, 0);
	/* Another thing of the kernel's lies over memory of ours, and goes again. */
	REMAP(16 * mib, mib, mib, MREMAP_FIXED | MREMAP_MAYMOVE, 50 * mib);
	UNMAP(52 * mib, 3 * mib);
	look(s);
	UNMAP(0, AREA);
	close(zero);
}

static void
compare(void (*run)(struct script *s))
{
	static struct script ours, kernel = { .raw = true };
	run(&kernel);
	run(&ours);
	CHECK(ours.nr == kernel.nr);
	for (unsigned i = 0; i < ours.nr; i++)
		if (ours.answer[i] != kernel.answer[i]) {
			fprintf(stderr, "heap_calls: line %d: %ld, the kernel says %ld\n",
				ours.line[i], ours.answer[i], kernel.answer[i]);
			exit(1);
		}
}

void
mmap__calls_that_cannot_be__answer_as_the_kernel_does(void)
{
	compare(run_maps);
}

/* The charge is what it was; the allocator may have kept some of its own. */
static bool
charged(unsigned long long bytes)
{
	unsigned long long now = committed(), slack = 8 * MIB;
	return now == 0 || (now + slack >= bytes && now <= bytes + slack);
}

/* R66: what the kernel refuses leaves the books as they were. */
void
mmap__kernel_refuses__charge_is_as_before(void)
{
	const size_t size = 96 * MIB, half = 48 * MIB, far = (size_t)1 << 60;
	const int fixed = PRIVATE | MAP_FIXED, none = PROT_NONE;
	char *used = mmap(NULL, size, RW, PRIVATE, -1, 0);
	char *reserved = mmap(NULL, size, none, PRIVATE | MAP_NORESERVE, -1, 0);
	char *file = mmap(NULL, half, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(used != MAP_FAILED && reserved != MAP_FAILED && file != MAP_FAILED);
	unsigned long long before = committed();
#define REFUSED(call, error) CHECK((call) && errno == (error) && charged(before))
#define NOT_MAPPED(...) (mmap(__VA_ARGS__) == MAP_FAILED)
#define NOT_MOVED(...) (mremap(__VA_ARGS__) == MAP_FAILED)
	const int moves = MREMAP_MAYMOVE | MREMAP_FIXED, there = fixed | MAP_FIXED_NOREPLACE;
	REFUSED(munmap(used, far) == -1, EINVAL);
	REFUSED(NOT_MAPPED(used, size, RW, MAP_PRIVATE | MAP_FIXED, -1, 0), EBADF);
	REFUSED(NOT_MAPPED(used, size, none, there, -1, 0), EEXIST);
	REFUSED(NOT_MAPPED(reserved, size, RW, there, -1, 0), EEXIST);
	REFUSED(NOT_MAPPED(used, size, none, PRIVATE | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	REFUSED(mprotect(reserved, size, RW | 64) == -1, EINVAL);
	REFUSED(NOT_MOVED(used, half, half, moves, used + 16 * MIB), EINVAL);
	REFUSED(NOT_MOVED(file, half, half, MREMAP_FIXED, used), EINVAL);
	REFUSED(NOT_MOVED(used, half, half, MREMAP_FIXED, reserved), EINVAL);
	/* Still in the books: its charge ends with it. */
	CHECK(munmap(used, size) == 0 && charged(before - size));
	CHECK(mprotect(reserved, size, RW) == 0 && charged(before));
	CHECK(munmap(reserved, size) == 0 && munmap(file, half) == 0 && charged(before - size));
}

/* Memory of the heap; or for the kernel's own answers ordinary memory, which that of the heap may
 * not be any more. */
static char *
take(const struct script *s, size_t size)
{
	void *memory = NULL;
	if (!s->raw) {
		CHECK(posix_memalign(&memory, PAGE, size) == 0);
		return memory;
	}
	memory = mmap(NULL, size, RW, PRIVATE, -1, 0);
	CHECK(memory != MAP_FAILED);
	return memory;
}

static void
give(const struct script *s, char *memory, size_t size)
{
	if (s->raw)
		CHECK(munmap(memory, size) == 0);
	else
		free(memory);
}

static void
run_advice(struct script *s)
{
	static const int advice[] = { MADV_DONTNEED, MADV_FREE, MADV_WILLNEED, -1 };
	char *memory = take(s, 4 * MIB), *locked = take(s, MIB);
	for (unsigned i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
		memset(memory, 7, 4 * MIB);
		ADVISE(memory + 1, PAGE, advice[i]);
		ADVISE(memory, 0, advice[i]);
		ADVISE(memory, 1, advice[i]);
		ADVISE(memory, -1, advice[i]);
		ADVISE((char *)PAGE, PAGE, advice[i]); /* nobody is there */
		ADVISE(memory, 2 * (long)MIB, advice[i]);
		note(s, __LINE__, memory[3 * MIB]);
	}
	ADVISE(memory, PAGE, MADV_DONTNEED);
	note(s, __LINE__, memory[0]);
	memset(locked, 7, MIB);
	if (mlock(locked, PAGE) == 0) {
		ADVISE(locked, PAGE, MADV_DONTNEED);
		CHECK(munlock(locked, PAGE) == 0);
	}
	note(s, __LINE__, locked[PAGE]);
	give(s, memory, 4 * MIB);
	give(s, locked, MIB);
}

void
calls_of_the_heap__that_cannot_be__answer_as_the_kernel_does(void)
{
	static const int flags[] = { 0, MCL_ONFAULT, -1, 64 };
	compare(run_advice);
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		CHECK(mlockall(flags[i]) == -1 && errno == EINVAL);
	if (mlockall(MCL_CURRENT | MCL_ONFAULT) == 0) {
		CHECK(mlockall(MCL_FUTURE | MCL_ONFAULT) == 0);
		char *volatile more = malloc(20 * MIB);
		CHECK(more != NULL && more[MIB] == 0);
		free(more);
		CHECK(mlockall(MCL_CURRENT | MCL_ONFAULT) == 0); /* takes back what is to come */
		CHECK(munlockall() == 0);
	}
}

/* Asking is not entering: a filter that is refused is none, either. */
void
seccomp__is_asked_about__answers_as_the_kernel_does(void)
{
	unsigned action = SECCOMP_RET_ALLOW;
	struct seccomp_notif_sizes sizes;
	CHECK(syscall(-1L) == -1 && errno == ENOSYS);
	CHECK(syscall(SYS_getpid) == getpid());
	CHECK(prctl(PR_GET_SECCOMP) == 0 && prctl(-1) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0);
	CHECK(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0);
	CHECK(prctl(PR_SET_SECCOMP, 99) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_seccomp, 99, 0, NULL) == -1 && errno == EINVAL);
	void *volatile some = malloc(2 * MIB);
	CHECK(some != NULL);
	free(some);
}
