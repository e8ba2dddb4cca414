/* SPDX-License-Identifier: MIT */
/*
 * map_cases.c - what a program maps itself goes to a device, and the program does not notice (R66).
 *
 * Two areas of the same size: one mapped by libc, so that it is in the pool, whose memory is a
 * device; one by raw system calls, so that nobody but the kernel knows of it. The same calls are
 * made to both, by libc and raw, and between them both must answer and read the same, while the
 * first goes to the device whenever it can. Whether it is there, the kernel's list of mappings
 * says; a command asked of the pool would be a fork, for which all comes back. Run by heap_test.sh.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "heap_cases.h"

#define AREA (24UL << 20)
#define PIECE (64UL << 10)
#define PIECES (AREA / PIECE)
#define STEPS 400U
#define WAIT_EVERY 8U
#define WAIT_MS 30000U

enum { RW = PROT_READ | PROT_WRITE, PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS };

static char *ours, *raw;
static uint64_t seed = 88172645463325252U;

static unsigned long
any_below(unsigned long end)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % end;
}

/* Bytes of [start, start + size) that lie on a device: ordinary memory is not shared. */
static size_t
on_device(const char *start, size_t size)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], rights[8];
	uintptr_t from, to, first = (uintptr_t)start, last = first + size;
	size_t sum = 0;
	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[3] != 's')
			continue;
		from = from > first ? from : first;
		to = to < last ? to : last;
		sum += from < to ? to - from : 0;
	}
	fclose(maps);
	return sum;
}

static void
await_device(const char *start, size_t size)
{
	const struct timespec pause = { 0, 1000000 };
	for (unsigned ms = 0; on_device(start, size) < size; ms++) {
		CHECK(ms < WAIT_MS);
		nanosleep(&pause, NULL);
	}
}

static char *
map_ours(size_t size)
{
	char *start = mmap(NULL, size, RW, PRIVATE, -1, 0);
	CHECK(start != MAP_FAILED);
	return start;
}

/* Its first byte, or -1: it cannot be read. */
static int
peek(char *at)
{
	unsigned char byte = 0;
	struct iovec to = { &byte, 1 }, from = { at, 1 };
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1 ? byte : -1;
}

static bool
poke(char *at, unsigned char byte)
{
	struct iovec from = { &byte, 1 }, to = { at, 1 };
	return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 1;
}

static bool
same_everywhere(void)
{
	for (size_t i = 0; i < PIECES; i++)
		if (peek(ours + i * PIECE) != peek(raw + i * PIECE)) {
			fprintf(stderr, "map_cases: piece %zu: %d, the kernel says %d\n", i,
				peek(ours + i * PIECE), peek(raw + i * PIECE));
			return false;
		}
	return true;
}

/* ---- the same calls on both ---- */

struct step {
	unsigned kind;
	size_t at, size, to;
	int word;
};

/* An errno, or 0. */
static long
answer(long value)
{
	return value == -1 ? errno : 0;
}

/* Grow, elsewhere if need be, and be as before, but for what has grown. */
static long
grow(const struct step *s, char *area, bool by_kernel)
{
	char *start = area + s->at;
	const int move = MREMAP_MAYMOVE | MREMAP_FIXED;
	size_t bigger = s->size + PIECE;
	char *moved = by_kernel ? (char *)syscall(SYS_mremap, start, s->size, bigger,
						  MREMAP_MAYMOVE)
				: mremap(start, s->size, bigger, MREMAP_MAYMOVE);
	if (moved == MAP_FAILED)
		return errno;
	CHECK((by_kernel ? syscall(SYS_munmap, moved + s->size, PIECE)
			 : munmap(moved + s->size, PIECE)) == 0);
	if (moved == start)
		return 0;
	char *back = by_kernel ? (char *)syscall(SYS_mremap, moved, s->size, s->size, move, start)
			       : mremap(moved, s->size, s->size, move, start);
	CHECK(back == start);
	return 0;
}

static long
call_kernel(const struct step *s)
{
	char *start = raw + s->at;
	switch (s->kind) {
	case 0:
		return answer(syscall(SYS_munmap, start, s->size));
	case 1:
		return answer(syscall(SYS_mprotect, start, s->size, s->word));
	case 2:
		return answer(syscall(SYS_madvise, start, s->size, s->word));
	case 3:
		return answer(syscall(SYS_mmap, start, s->size, s->word, PRIVATE | MAP_FIXED, -1,
				      0L));
	case 4:
		return answer(syscall(SYS_mremap, start, s->size, s->size,
				      MREMAP_MAYMOVE | MREMAP_FIXED, raw + s->to));
	case 5:
		return grow(s, raw, true);
	default:
		return answer(syscall(s->word != 0 ? SYS_mlock : SYS_munlock, start, s->size));
	}
}

static long
call_libc(const struct step *s)
{
	char *start = ours + s->at;
	switch (s->kind) {
	case 0:
		return answer(munmap(start, s->size));
	case 1:
		return answer(mprotect(start, s->size, s->word));
	case 2:
		return answer(madvise(start, s->size, s->word));
	case 3:
		return answer((long)mmap(start, s->size, s->word, PRIVATE | MAP_FIXED, -1, 0));
	case 4:
		return answer((long)mremap(start, s->size, s->size, MREMAP_MAYMOVE | MREMAP_FIXED,
					   ours + s->to));
	case 5:
		return grow(s, ours, false);
	default:
		return answer(s->word != 0 ? mlock(start, s->size) : munlock(start, s->size));
	}
}

static struct step
next_step(void)
{
	static const int protection[] = { PROT_NONE, PROT_READ, RW, RW };
	static const int advice[] = { MADV_DONTNEED, MADV_DONTNEED, MADV_WILLNEED, MADV_REMOVE,
				      MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK,
				      MADV_KEEPONFORK };
	static const unsigned kind[] = { 0, 1, 1, 1, 2, 2, 2, 3, 3,
					 3, 3, 3, 4, 4, 5, 5, 6, 6 };
	struct step s = { .kind = kind[any_below(sizeof(kind) / sizeof(kind[0]))] };
	size_t first = any_below(PIECES), nr = 1 + any_below(PIECES / 4);
	nr = first + nr <= PIECES ? nr : PIECES - first;
	s.at = first * PIECE;
	s.size = nr * PIECE;
	s.to = any_below(PIECES - nr + 1) * PIECE;
	s.word = s.kind == 2 ? advice[any_below(8)] : s.kind == 6 ? (int)any_below(3) == 0
			     : protection[any_below(4)];
	return s;
}

static void
write_some(void)
{
	size_t first = any_below(PIECES), nr = any_below(PIECES);
	for (size_t i = first; i < PIECES && i < first + nr; i++) {
		unsigned char byte = (unsigned char)(1 + any_below(255));
		CHECK(poke(ours + i * PIECE, byte) == poke(raw + i * PIECE, byte));
	}
}

/* A child has what its parent had, and its own. */
static void
fork_here(void)
{
	pid_t child = fork();
	int status;
	if (child == 0) {
		bool same = same_everywhere();
		for (size_t i = 0; i < PIECES; i++)
			(void)poke(ours + i * PIECE, 77);
		_exit(same ? 0 : 1);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

void
mmap__device_takes_it__calls_answer_as_the_kernel_does(void)
{
	size_t times = 0;
	const struct timespec moment = { 0, 60000000 };
	ours = map_ours(AREA);
	raw = (char *)syscall(SYS_mmap, NULL, AREA, RW, PRIVATE, -1, 0L);
	CHECK(raw != MAP_FAILED);
	for (unsigned i = 0; i < STEPS; i++) {
		write_some();
		if (i == 0)
			await_device(ours, AREA);
		else if (i % WAIT_EVERY == 0)
			nanosleep(&moment, NULL);
		times += on_device(ours, AREA) != 0;
		struct step s = next_step();
		long kernels = call_kernel(&s), here = 0;
		/* What the kernel has in pieces it may refuse to move. */
		if (kernels != EFAULT)
			here = call_libc(&s);
		if (kernels != EFAULT && here != kernels)
			fprintf(stderr, "map_cases: step %u, kind %u: %ld, the kernel says %ld\n",
				i, s.kind, here, kernels);
		CHECK(kernels == EFAULT || here == kernels);
		CHECK(same_everywhere());
		if (i % 50 == 49)
			fork_here();
	}
	CHECK(times > STEPS / WAIT_EVERY / 4);
	CHECK(munmap(ours, AREA) == 0 && syscall(SYS_munmap, raw, AREA) == 0);
}

/* Grown memory is in pieces for the kernel: one is new since it came back, one since it was given
 * up. The program knows of one. */
void
mmap__device_takes_it__it_grows_as_one(void)
{
	const size_t step = 4 * MIB;
	size_t size = step;
	char *memory = map_ours(size);
	memset(memory, 1, size);
	for (unsigned i = 0; i < 6; i++) {
		CHECK(madvise(memory + size / 2, PIECE, MADV_DONTNEED) == 0);
		memory[size / 2] = 1;
		await_device(memory, size);
		memory = mremap(memory, size, size + step, MREMAP_MAYMOVE);
		CHECK(memory != MAP_FAILED && memory[size] == 0 && memory[size + step - 1] == 0);
		memset(memory + size, 1, step);
		size += step;
		for (size_t at = 0; at < size; at += PIECE)
			CHECK(memory[at] == 1);
	}
	CHECK(munmap(memory, size) == 0);
}

/* So it does when it leaves empty memory behind, as collectors of garbage have it. */
void
mmap__device_takes_it__it_moves_as_one(void)
{
	for (unsigned i = 0; i < 4; i++) {
		char *memory = map_ours(AREA);
		memset(memory, 1, AREA);
		CHECK(madvise(memory + AREA / 2, PIECE, MADV_DONTNEED) == 0);
		await_device(memory, AREA);
		char *moved = mremap(memory, AREA, AREA, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
		CHECK(moved != MAP_FAILED && moved != memory);
		for (size_t at = 0; at < AREA; at += PIECE)
			CHECK(moved[at] == (at != AREA / 2) && memory[at] == 0);
		CHECK(munmap(moved, AREA) == 0 && munmap(memory, AREA) == 0);
	}
}

/* A hole is refused, as without a pool. */
void
mmap__device_takes_it__a_hole_does_not_move(void)
{
	char *memory = map_ours(2 * AREA);
	memset(memory, 1, AREA);
	await_device(memory, AREA);
	CHECK(munmap(memory + AREA, AREA) == 0 && munmap(memory + AREA / 2, PIECE) == 0);
	CHECK(mremap(memory, AREA, AREA + PIECE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	CHECK(memory[0] == 1 && memory[AREA - 1] == 1 && munmap(memory, AREA) == 0);
}

static void
check_pieces(char *memory, size_t zeros)
{
	for (size_t at = 0; at < AREA; at += PIECE)
		CHECK(memory[at] == 1);
	for (size_t at = AREA; at < AREA + zeros; at += PIECE)
		CHECK(memory[at] == 0);
	CHECK(!poke(memory + AREA / 2, 1) && poke(memory, 1) && poke(memory + AREA - 1, 1));
}

/* Without room for it, it is where and what it was. */
static void
grow_without_room(char *memory, size_t size, char *to)
{
	struct rlimit before;
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	limit_data(MIB, &before);
	CHECK(mremap(memory, size, 2 * AREA, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
	CHECK(mremap(memory, size, 2 * AREA, fixed, to) == MAP_FAILED && errno == ENOMEM);
	CHECK(setrlimit(RLIMIT_DATA, &before) == 0);
	check_pieces(memory, size - AREA);
}

/* R66: what has several rights is several mappings for the kernel, and one for the program. */
void
mmap__memory_in_pieces__grows_and_moves_as_one(void)
{
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	size_t size = AREA;
	char *memory = map_ours(2 * AREA);
	char *to = mmap(NULL, 2 * AREA, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);
	char *next = mmap(NULL, 2 * AREA, PROT_NONE, PRIVATE | MAP_NORESERVE, -1, 0);
	CHECK(to != MAP_FAILED && next != MAP_FAILED);
	memset(memory, 1, AREA);
	CHECK(mprotect(memory + AREA / 2, PIECE, PROT_READ) == 0);
	CHECK(mremap(memory, size, size + PIECE, 0) == MAP_FAILED && errno == ENOMEM);
	check_pieces(memory, 0);
	char *grown = mremap(memory, size, size + PIECE, MREMAP_MAYMOVE);
	CHECK(grown != MAP_FAILED && grown != memory && munmap(memory + AREA, AREA) == 0);
	size += PIECE;
	check_pieces(grown, PIECE);
	CHECK(mremap(grown, size, size + PIECE, fixed, to) == to);
	size += PIECE;
	check_pieces(to, 2 * PIECE);
	grow_without_room(to, size, next);
	CHECK(munmap(to + AREA / 4, PIECE) == 0);
	CHECK(mremap(to, size, 2 * AREA, fixed, next) == MAP_FAILED && errno == EFAULT);
	CHECK(to[0] == 1 && to[AREA - 1] == 1 && to[size - 1] == 0);
	CHECK(munmap(to, 2 * AREA) == 0 && munmap(next, 2 * AREA) == 0);
}

/* What the program does by system calls of its own is found before anything is mapped over it. */
void
mmap__device_takes_it__raw_calls_are_found(void)
{
	const size_t quarter = AREA / 4;
	const char *leave = getenv("HEAP_TEST_LEAVE");
	char *memory = map_ours(AREA);
	memset(memory, 1, AREA);
	await_device(memory, AREA);
	CHECK(syscall(SYS_munmap, memory, quarter) == 0);
	CHECK(syscall(SYS_mmap, memory, quarter, RW, PRIVATE | MAP_FIXED, -1, 0L) ==
	      (long)memory);
	memset(memory, 2, quarter);
	CHECK(syscall(SYS_munmap, memory + quarter, quarter) == 0);
	CHECK(leave == NULL || system(leave) == 0);
	CHECK(fork_and_wait() == 0); /* for which all comes back */
	for (size_t at = 0; at < AREA; at += PIECE) {
		size_t part = at / quarter;
		CHECK(peek(memory + at) == (part == 0 ? 2 : part == 1 ? -1 : 1));
		CHECK(poke(memory + at, 3) == (part != 1));
	}
	CHECK(munmap(memory, AREA) == 0);
}

static atomic_bool stop;

/* Memory that is written, given up, moved, protected and unmapped, and read each time. */
static void *
use_memory(void *arg)
{
	unsigned turn = (unsigned)(uintptr_t)arg;
	while (!atomic_load(&stop)) {
		const size_t size = (4 + turn % 5) * MIB, half = size / 2;
		char *memory = map_ours(size);
		memset(memory, (char)++turn, size);
		CHECK(madvise(memory, half, MADV_DONTNEED) == 0);
		CHECK(memory[0] == 0 && memory[half - 1] == 0 && memory[half] == (char)turn);
		memset(memory, 7, half);
		CHECK(mprotect(memory, MIB, PROT_READ) == 0 && memory[0] == 7);
		CHECK(mprotect(memory, MIB, RW) == 0);
		memory = mremap(memory, size, size + MIB, MREMAP_MAYMOVE);
		CHECK(memory != MAP_FAILED);
		for (size_t at = 0; at < size; at += PIECE)
			CHECK(memory[at] == (at < half ? 7 : (char)turn));
		CHECK(munmap(memory, size + MIB) == 0);
	}
	return NULL;
}

void
mmap__device_comes_and_goes__threads_use_memory(void)
{
	enum { THREADS = 3 };
	pthread_t thread[THREADS];
	const char *leave = getenv("HEAP_TEST_LEAVE"), *check = getenv("HEAP_TEST_CHECK");
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, use_memory, (void *)(i * 50)) == 0);
	for (unsigned i = 0; i < 5; i++)
		CHECK(fork_and_wait() == 0);
	CHECK(leave == NULL || system(leave) == 0);
	for (unsigned i = 0; i < 5; i++)
		CHECK(fork_and_wait() == 0);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	CHECK(check == NULL || system(check) == 0);
}
