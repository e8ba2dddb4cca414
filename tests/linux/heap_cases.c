/* SPDX-License-Identifier: MIT */
/*
 * heap_cases.c - what a program does with its memory, case by case, and what it may expect.
 *
 * Run by heap_test.sh under `memplug run`; a case is the program, and knows of no pool. What is
 * about children is in fork_cases.c.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap_cases.h"

enum { THREADS = 4 };

/* Does the kernel know that huge pages are wanted there? It does, where memory is not ordinary. */
static bool
wants_huge_pages(const char *at)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long from, to, inode;
	char line[512];
	bool within = false, wanted = true;
	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode) == 3)
			within = (uintptr_t)at >= from && (uintptr_t)at < to && inode == 0;
		if (within && strncmp(line, "VmFlags:", 8) == 0)
			wanted = strstr(line, " hg") != NULL;
	}
	fclose(file);
	return wanted;
}

/* In pieces of so much the pool's memory comes and goes. */
static size_t
pool_page(void)
{
	const char *bytes = getenv("HEAP_TEST_PAGE");
	return bytes == NULL ? 4096 : strtoul(bytes, NULL, 10);
}

static void
grow_array(bool others)
{
	size_t size = MIB, end = 200 * MIB, moves_max = 2 * MIB;
	if (pool_page() > moves_max / 8)
		moves_max = 8 * pool_page();
	char *array = malloc(size);
	memset(array, 1, size);
	while (size < end) {
		size_t more = size + size / 8;
		char *grown = realloc(array, more);
		CHECK(grown == array || size <= moves_max);
		array = grown;
		memset(array + size, 2, more - size);
		size = more;
		void *volatile small = others ? malloc(size / 1000) : array;
		CHECK(small != NULL);
	}
	CHECK(pool_page() >= 2 * MIB || access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0 ||
	      wants_huge_pages(array + size / 2));
	for (size_t i = 0; i < size; i += 4096)
		CHECK(array[i] == (i < MIB ? 1 : 2));
}

/* One array grows, alone or while small things are allocated in between. What begins with less than
 * a window moves when it outgrows that, to where huge pages are; in a pool that has no others, once
 * it is worth eight of those. */
static void
large_array__grows_past_a_window__stays_in_place(void)
{
	grow_array(false);
	grow_array(true);
}

/* Memory comes and goes in all sizes: what calloc gives is zero, and nothing overlaps. */
static void
sizes_of_all_kinds__come_and_go__hold_what_was_written(void)
{
	enum { SLOTS = 2000, STEPS = 60000 };
	static struct slot {
		unsigned char *at;
		size_t size;
	} slot[SLOTS];
	srand(1);
	for (int step = 0; step < STEPS; step++) {
		struct slot *s = &slot[rand() % SLOTS];
		unsigned char mark = (unsigned char)(1 + (s - slot) % 255);
		if (s->at != NULL) {
			CHECK(s->at[0] == mark && s->at[s->size / 2] == mark &&
			      s->at[s->size - 1] == mark);
			free(s->at);
		}
		s->size = (size_t)(1 + rand() % 1000) << rand() % 11;
		s->at = calloc(1, s->size);
		CHECK(s->at != NULL);
		for (size_t i = 0; i < s->size; i += 512)
			CHECK(s->at[i] == 0);
		CHECK(s->at[s->size - 1] == 0);
		s->at[0] = s->at[s->size / 2] = s->at[s->size - 1] = mark;
	}
}

/* The loader looks for a name without a path where our own run path says: it knows its caller. */
static void
library__is_loaded_deepbind__frees_what_others_allocate(void)
{
	void *plugin = dlopen("libheap-plugin.so", RTLD_NOW | RTLD_DEEPBIND);
	CHECK(plugin != NULL);
	void (*plugin_free)(void *) = (void (*)(void *))dlsym(plugin, "plugin_free");
	void *(*plugin_malloc)(size_t) = (void *(*)(size_t))dlsym(plugin, "plugin_malloc");
	for (size_t size = 1; size < 8 * MIB; size *= 3) {
		plugin_free(malloc(size));
		plugin_free(strdup("text"));
		free(plugin_malloc(size));
	}
}

void
fill(void)
{
	for (size_t size = 16; size <= 64 << 10; size += size / 4)
		for (int i = 0; i < 200; i++) {
			void *volatile kept = malloc(size);
			memset(kept, 1, size);
		}
}

/* The number that a command prints; 0: there is no command. */
static unsigned long long
ask(const char *command)
{
	unsigned long long number = 0;
	FILE *pipe = command == NULL ? NULL : popen(command, "r");
	CHECK(pipe == NULL || fscanf(pipe, "%llu", &number) == 1);
	CHECK(pipe == NULL || pclose(pipe) == 0);
	return number;
}

int
fork_and_wait(void)
{
	int status = -1;
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	return status;
}

static sigjmp_buf jump;

static void
on_fault(int signal)
{
	(void)signal;
	siglongjmp(jump, 1);
}

static bool
faults(volatile unsigned char *at, bool write)
{
	if (sigsetjmp(jump, 1) != 0)
		return true;
	if (write)
		*at = 1;
	else
		(void)*at;
	return false;
}

long
status_kib(const char *name)
{
	char line[256];
	long value = -1;
	FILE *status = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof(line), status) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			value = atol(line + strlen(name));
	fclose(status);
	return value;
}

static void
check_protected(unsigned char *memory)
{
	CHECK(faults(memory + 4096, false) && faults(memory + 4096, true));
	CHECK(!faults(memory + 3 * 4096, false) && faults(memory + 3 * 4096, true));
	CHECK(memory[0] == 7 && memory[3 * 4096] == 7 && memory[MIB] == 7);
	((void (*)(void))(memory + 2 * MIB))();
	CHECK(status_kib("VmLck:") == 16);
}

/* What a program does to memory of malloc holds for ever (R54): of 4 MiB, as check_protected() has
 * it. */
static void
protect(unsigned char *memory)
{
	memset(memory, 7, 4 * MIB);
	memset(memory + 2 * MIB, 0xc3, 4096); /* ret, on x86 */
	CHECK(mprotect(memory + 4096, 4096, PROT_NONE) == 0);
	CHECK(mprotect(memory + 3 * 4096, 4096, PROT_READ) == 0);
	CHECK(mprotect(memory + 2 * MIB, 4096, PROT_READ | PROT_EXEC) == 0);
	CHECK(mlock(memory + 16 * 4096, 4 * 4096) == 0);
	CHECK(madvise(memory + 32 * 4096, 4096, MADV_DONTFORK) == 0);
	check_protected(memory);
}

static void
check_child(unsigned char *memory)
{
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(faults(memory + 32 * 4096, false) && faults(memory + 4096, false) ? 0 : 1);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	check_protected(memory);
}

static void
memory_is_protected__its_blocks_leave__stays_protected(void)
{
	unsigned char *memory;
	const char *leave = getenv("HEAP_TEST_LEAVE");
	signal(SIGSEGV, on_fault);
	fill();
	CHECK(posix_memalign((void **)&memory, 4096, 4 * MIB) == 0);
	protect(memory);
	CHECK(leave == NULL || system(leave) == 0);
	check_protected(memory);
	CHECK(fork_and_wait() == 0);
	check_protected(memory);
	check_child(memory);
}

static void
memory_is_given_up__reads_as_zeros(void)
{
	unsigned char *memory;
	fill();
	CHECK(posix_memalign((void **)&memory, 4096, MIB) == 0);
	memset(memory, 7, MIB);
	CHECK(madvise(memory, MIB, MADV_DONTNEED) == 0);
	for (size_t i = 0; i < MIB; i += 512)
		CHECK(memory[i] == 0);
	CHECK(madvise(memory, MIB, MADV_FREE) == 0);
	CHECK(madvise(memory, 4096, MADV_WIPEONFORK) == 0);
	CHECK(madvise(memory, 4096, MADV_KEEPONFORK) == 0);
	CHECK(madvise(memory, 4096, MADV_DONTDUMP) == 0);
	CHECK(madvise(memory, 4096, MADV_DODUMP) == 0);
	/* Addresses of the heap that nobody has are no memory, and what is there is not lost. */
	memset(memory, 7, MIB);
	CHECK(madvise(memory + 512 * MIB, MIB, MADV_DONTNEED) == 0 || errno == ENOMEM);
	pid_t child = fork();
	if (child == 0)
		_exit(memory[0] == 7 && memory[MIB - 1] == 7 ? 0 : 1);
	int status = -1;
	CHECK(waitpid(child, &status, 0) == child && status == 0 && memory[0] == 7);
}

/* What the program has freed leaves with its blocks, though no thread of it runs meanwhile:
 * system() sleeps. What it has not freed stays, and none of what lies between it (R59). */
static void
memory_is_freed__program_sleeps__pool_shrinks(void)
{
	enum { SMALL = 400000, LARGE = 200, KEPT = 1000, KEPT_LARGE = 4 /* one in so many */ };
	static unsigned char *small[SMALL], *large[LARGE];
	const char *shrink = getenv("HEAP_TEST_SHRINK");
	for (int i = 0; i < SMALL; i++) {
		small[i] = malloc(300);
		memset(small[i], i % 251, 300);
	}
	for (int i = 0; i < LARGE; i++) {
		large[i] = malloc(MIB / 2);
		memset(large[i], i, MIB / 2);
	}
	for (int i = 0; i < LARGE; i++)
		if (i % KEPT_LARGE != 0)
			free(large[i]);
	for (int i = KEPT; i < SMALL; i++)
		free(small[i]);
	CHECK(shrink == NULL || system(shrink) == 0);
	for (int i = 0; i < LARGE; i += KEPT_LARGE)
		CHECK(large[i][0] == i && large[i][MIB / 2 - 1] == i);
	for (int i = 0; i < KEPT; i++)
		CHECK(small[i][0] == i % 251 && small[i][299] == i % 251);
	CHECK(fork_and_wait() == 0);
	for (int i = 0; i < KEPT; i++)
		free(small[i]);
	for (int i = 0; i < LARGE; i += KEPT_LARGE)
		free(large[i]);
}

/* What leaves with its block is resident once, before, meanwhile and after (R59). */
static void
blocks_leave__resident_memory__is_not_more(void)
{
	enum { SLACK_KIB = 4 << 10 };
	const char *leave = getenv("HEAP_TEST_LEAVE");
	unsigned char *memory = malloc(40 * MIB);
	memset(memory, 7, 40 * MIB);
	fill();
	long before = status_kib("VmRSS:");
	CHECK(leave == NULL || system(leave) == 0);
	CHECK(status_kib("VmRSS:") < before + SLACK_KIB);
	for (size_t i = 0; i < 40 * MIB; i += 512)
		CHECK(memory[i] == 7);
	CHECK(status_kib("VmHWM:") < before + SLACK_KIB);
}

/* The verifier reads what the pool has of descriptors, and makes no page of it resident (R59). */
static void
pool_is_checked__resident_memory__is_not_more(void)
{
	enum { SLACK_KIB = 4 << 10 };
	const char *check = getenv("HEAP_TEST_CHECK");
	fill();
	(void)committed(); /* what serves the pool is there now */
	long before = status_kib("VmRSS:");
	for (int i = 0; i < 3; i++)
		CHECK(check == NULL || system(check) == 0);
	CHECK(status_kib("VmRSS:") < before + SLACK_KIB);
	CHECK(status_kib("VmHWM:") < before + SLACK_KIB);
}

/* A program that locks all of its memory has locked what it uses, not the pool (R54). */
static void
all_memory_is_locked__pool_is_not(void)
{
	enum { PAGE = 4096, SLACK_KIB = 32 << 10 };
	const char *leave = getenv("HEAP_TEST_LEAVE");
	unsigned char resident[20 * MIB / PAGE];
	CHECK(mlockall(0) == -1 && errno == EINVAL);
	CHECK(mlockall(MCL_ONFAULT) == -1 && errno == EINVAL);
	fill();
	long before = status_kib("VmRSS:");
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
		CHECK(geteuid() != 0 && (errno == ENOMEM || errno == EPERM));
		return;
	}
	CHECK(status_kib("VmRSS:") < before + SLACK_KIB);
	CHECK(status_kib("VmLck:") < status_kib("VmRSS:") + SLACK_KIB);
	unsigned char *memory = NULL;
	CHECK(posix_memalign((void **)&memory, PAGE, sizeof(resident) * PAGE) == 0);
	CHECK(mincore(memory, sizeof(resident) * PAGE, resident) == 0);
	for (size_t i = 0; i < sizeof(resident); i++)
		CHECK((resident[i] & 1) == 1);
	CHECK(leave == NULL || system(leave) == 0);
	CHECK(status_kib("VmRSS:") < before + (long)sizeof(resident) * PAGE / 1024 + SLACK_KIB);
	pid_t child = fork();
	if (child == 0) {
		void *volatile large = malloc(20 * MIB);
		_exit(large != NULL && status_kib("VmLck:") == 0 ? 0 : 1);
	}
	int status = -1;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	memset(memory, 7, sizeof(resident) * PAGE);
	free(memory);
	CHECK(munlockall() == 0 && status_kib("VmLck:") == 0);
	CHECK(mlockall(MCL_FUTURE) == 0 && munlockall() == 0);
	void *volatile more = malloc(MIB);
	CHECK(more != NULL && status_kib("VmLck:") == 0);
}

static void
limit_locked(rlim_t bytes)
{
	struct rlimit limit = { bytes, bytes };
	CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
}

/* The limit is not for root. */
static void
lock_within_limit(void)
{
	limit_locked(24 * MIB); /* malloc's own books are locked, too, and grow by some MiB */
	if (geteuid() == 0)
		CHECK(setuid(65534) == 0);
	CHECK(mlockall(MCL_FUTURE) == 0);
	void *volatile large = malloc(40 * MIB), *volatile small = malloc(3 * MIB);
	CHECK(large == NULL && small != NULL && status_kib("VmLck:") >= 3072);
	CHECK(munlockall() == 0 && status_kib("VmLck:") == 0);
	large = malloc(40 * MIB);
	CHECK(large != NULL);
	memset(large, 1, 40 * MIB);
	CHECK(mlockall(MCL_CURRENT) == -1 && errno == ENOMEM);
	limit_locked(0);
	CHECK(mlockall(MCL_FUTURE) == -1 && errno == EPERM);
	large = malloc(40 * MIB);
	CHECK(large != NULL);
	_exit(0);
}

/* R54: what the kernel would not map, malloc does not give; what is refused changes nothing. */
static void
all_memory_is_locked__limit_is_reached__malloc_is_refused(void)
{
	struct rlimit limit;
	int status = -1;
	fill();
	CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	if (limit.rlim_max < 24 * MIB)
		return;
	pid_t child = fork();
	if (child == 0)
		lock_within_limit();
	CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static _Atomic bool mapped_enough;

static void *
churn(void *arg)
{
	while (!atomic_load(&mapped_enough)) {
		char *some = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);
		CHECK(some != MAP_FAILED);
		*some = 1;
		CHECK(munmap(some, MIB) == 0);
	}
	return arg;
}

/* As without a pool, where the kernel has it all for itself meanwhile (R54). */
static void
all_memory_is_locked__threads_map_meanwhile__it_succeeds(void)
{
	pthread_t thread[2];
	if (mlockall(MCL_CURRENT) != 0) {
		CHECK(geteuid() != 0 && (errno == ENOMEM || errno == EPERM));
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_create(&thread[i], NULL, churn, NULL) == 0);
	for (unsigned i = 0; i < 50; i++)
		CHECK(mlockall(MCL_CURRENT) == 0);
	atomic_store(&mapped_enough, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	CHECK(munlockall() == 0);
}

/* Have jemalloc give all that is free back to the pool, if it is ours. */
static void
purge_all_arenas(void)
{
	int (*control)(const char *, void *, size_t *, void *, size_t) =
		(int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT,
									       "mallctl");
	CHECK(control == NULL || control("arena.4096.purge", NULL, NULL, NULL, 0) == 0);
}

/* R59: what comes from the pool is told to be zeros, also where it was in use before. */
static void
memory_goes_back_to_the_pool__calloc__is_zeros(void)
{
	enum { PIECES = 200, BYTES = 300 << 10 };
	unsigned char *piece[PIECES];
	for (unsigned i = 0; i < PIECES; i++) {
		piece[i] = malloc(BYTES);
		CHECK(piece[i] != NULL);
		memset(piece[i], 0xff, BYTES);
	}
	for (unsigned i = 0; i < PIECES; i += 2)
		free(piece[i]);
	purge_all_arenas();
	for (unsigned i = 0; i < PIECES; i += 2) {
		piece[i] = calloc(1, BYTES);
		CHECK(piece[i] != NULL);
		for (unsigned at = 0; at < BYTES; at += 64)
			CHECK(piece[i][at] == 0);
	}
	for (unsigned i = 1; i < PIECES; i += 2)
		CHECK(piece[i][0] == 0xff && piece[i][BYTES - 1] == 0xff);
}

static void *
allocate_in_a_thread(void *arg)
{
	void *volatile it = malloc(100);
	free(it);
	return arg;
}

/* Pieces until the pool is full, three of four of which go again. Bytes of these. */
static size_t
fill_with_holes(void)
{
	enum { SMALL = MIB / 2, KEPT = 4 /* one in so many */ };
	static char *small[1024];
	size_t nr = 0, freed = 0;
	while (nr < 1024 && (small[nr] = malloc(SMALL)) != NULL)
		nr++;
	CHECK(nr > 64 && nr < 1024);
	for (size_t i = 0; i < nr; i++) {
		if (i % KEPT == 0)
			continue;
		free(small[i]);
		freed += SMALL;
	}
	return freed;
}

static void
check_found(size_t found, size_t freed)
{
	if (found <= freed / 2)
		fprintf(stderr, "%zu KiB were freed, %zu found: %s\n", freed >> 10, found >> 10,
			strerror(errno));
	CHECK(found > freed / 2);
}

/* Longer than what lies between those. Where a window is one page, that stays in it. */
static size_t
larger(void)
{
	return pool_page() < 2 * MIB ? 7 * MIB / 4 : 5 * MIB / 4;
}

/* R57: what lies between pieces is found, though no piece is as small. The allocator keeps nothing
 * here (MALLOC_CONF). */
static void
pool_is_full__small_pieces_are_freed__larger_ones_fit(void)
{
	size_t freed = fill_with_holes(), found = 0, size = larger();
	while (malloc(size) != NULL)
		found += size;
	check_found(found, freed);
}

/* R74: a thread that finds no memory for its cache does without it. */
static void
pool_is_full__thread_starts__lives(void)
{
	static void *last;
	pthread_t thread;
	size_t bytes = 0;
	for (size_t size = MIB; size >= 16; size /= 2)
		for (void **next; (next = malloc(size)) != NULL; last = next, bytes += size) {
			CHECK(bytes < 256 * MIB); /* it is bounded */
			*next = last;
		}
	for (int i = 0; i < 4; i++) {
		CHECK(pthread_create(&thread, NULL, allocate_in_a_thread, NULL) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
	}
	for (void **next; (next = last) != NULL; free(next))
		last = *next;
	void *volatile again = malloc(MIB);
	CHECK(again != NULL);
}

/* Every second page of some memory has other rights, until the kernel has few mappings left. */
enum { PAGE = 4096, PAGES = 1 << 21, LEFT = 10 };

static char *
use_up_mappings(void)
{
	char *memory = mmap(NULL, (size_t)PAGE * PAGES, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long page = 0;
	CHECK(memory != MAP_FAILED);
	while (page < PAGES && mprotect(memory + PAGE * page, PAGE, PROT_READ) == 0)
		page += 2;
	CHECK(page > LEFT && page < PAGES);
	for (int i = 0; i < LEFT / 2; i++)
		CHECK(mprotect(memory + PAGE * (page -= 2), PAGE, PROT_NONE) == 0);
	return memory;
}

/* What the kernel refuses for want of mappings is no reason to refuse, nor to add blocks (R39). */
static void
mappings_are_used_up__malloc__goes_on(void)
{
	enum { PIECES = 150, BLOCKS_MAX = 40 };
	unsigned char *piece[PIECES];
	fill();
	char *memory = use_up_mappings();
	for (int i = 0; i < PIECES; i++) {
		piece[i] = malloc(MIB);
		CHECK(piece[i] != NULL);
		memset(piece[i], i, MIB);
	}
	CHECK(munmap(memory, (size_t)PAGE * PAGES) == 0);
	CHECK(ask(getenv("HEAP_TEST_BLOCKS")) <= BLOCKS_MAX);
	for (int i = 0; i < PIECES; i++) {
		CHECK(piece[i][0] == i && piece[i][MIB - 1] == i);
		free(piece[i]);
	}
}

/* ---- on a device ---- */

/* 8 MiB of data that lie there; NULL: this machine cannot do that. */
static unsigned char *
fill_device(void)
{
	const char *command = getenv("HEAP_TEST_SETTLED");
	unsigned long long settled = 0, before = 1;
	unsigned char *memory;
	CHECK(posix_memalign((void **)&memory, 2 * MIB, 8 * MIB) == 0);
	memset(memory, 7, 8 * MIB);
	for (int i = 0; command != NULL && settled < 8 * MIB; i++) {
		FILE *pipe = popen(command, "r");
		CHECK(pipe != NULL && fscanf(pipe, "%llu", &settled) == 1 && pclose(pipe) == 0);
		if (i >= 20 && settled == 0 && before == 0)
			return NULL;
		before = settled;
		CHECK(i < 600);
		usleep(50000);
	}
	return memory;
}

/* R54: zeros, as in ordinary memory; the rest of the window stays. */
static void
device_memory_is_given_up__reads_as_zeros(void)
{
	unsigned char *memory = fill_device();
	if (memory == NULL)
		return;
	CHECK(madvise(memory + MIB, MIB, MADV_DONTNEED) == 0);
	CHECK(madvise(memory + 3 * MIB, 4096, MADV_FREE) == 0);
	for (size_t i = 0; i < 8 * MIB; i += 4096)
		CHECK(memory[i] == 7 || (i >= MIB && i < 2 * MIB) || i == 3 * MIB);
	for (size_t i = MIB; i < 2 * MIB; i += 512)
		CHECK(memory[i] == 0);
	if (mlock(memory + 5 * MIB, 4096) == 0) { /* what is locked is not, as the kernel has it */
		CHECK(madvise(memory + 5 * MIB, 4096, MADV_DONTNEED) == -1 && errno == EINVAL);
		CHECK(madvise(memory + 5 * MIB, 4096, MADV_FREE) == -1 && errno == EINVAL);
		CHECK(memory[5 * MIB] == 7 && munlock(memory + 5 * MIB, 4096) == 0);
	}
	CHECK(madvise(memory + 7 * MIB, 4096, MADV_DONTNEED) == 0 && memory[7 * MIB] == 0);
	memset(memory, 8, 8 * MIB);
	CHECK(fork_and_wait() == 0 && memory[MIB] == 8 && memory[8 * MIB - 1] == 8);
}

/* R54: also of what lies there by then, whatever pages the device has. */
static void
device_memory_is_protected__stays_protected(void)
{
	unsigned char *memory = fill_device();
	if (memory == NULL)
		return;
	signal(SIGSEGV, on_fault);
	protect(memory);
	CHECK(madvise(memory + 4 * MIB, 4096, MADV_WIPEONFORK) == 0);
	check_child(memory);
	pid_t child = fork();
	if (child == 0)
		_exit(memory[4 * MIB] == 0 && memory[5 * MIB] == 7 ? 0 : 1);
	int status = -1;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(memory[4 * MIB] == 7 && memory[8 * MIB - 1] == 7);
	check_protected(memory);
}

static void *
fork_again_and_again(void *done)
{
	for (int i = 0; i < 30; i++) {
		CHECK(fork_and_wait() == 0);
		usleep(20000); /* it goes to the device again */
	}
	atomic_store((atomic_bool *)done, true);
	return NULL;
}

/* R54: no program expects madvise to fail for what it may give up. */
static void
device_memory_is_on_its_way__is_given_up_even_so(void)
{
	unsigned char *memory = fill_device();
	atomic_bool done = false;
	pthread_t thread;
	if (memory == NULL)
		return;
	CHECK(pthread_create(&thread, NULL, fork_again_and_again, &done) == 0);
	for (size_t at = 0; !atomic_load(&done); at = (at + 2 * MIB) % (8 * MIB)) {
		memory[at] = 7;
		CHECK(madvise(memory + at, 4096, MADV_DONTNEED) == 0 && memory[at] == 0);
	}
	CHECK(pthread_join(thread, NULL) == 0);
}

void
limit_data(size_t more, struct rlimit *ret_before)
{
	char line[256];
	FILE *status = fopen("/proc/self/status", "r");
	CHECK(getrlimit(RLIMIT_DATA, ret_before) == 0 && status != NULL);
	struct rlimit low = *ret_before;
	while (fgets(line, sizeof(line), status) != NULL)
		if (strncmp(line, "VmData:", 7) == 0)
			low.rlim_cur = strtoull(line + 7, NULL, 10) * 1024 + more;
	fclose(status);
	CHECK(setrlimit(RLIMIT_DATA, &low) == 0);
}

/* R58: what lies there must come back for a fork. */
static void
device_memory__fork_without_room__fails_with_enomem(void)
{
	struct rlimit before;
	unsigned char *memory = fill_device();
	int terminal;
	if (memory == NULL || getenv("HEAP_TEST_SETTLED") == NULL)
		return;
	limit_data(MIB, &before);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	CHECK(pid == -1 && errno == ENOMEM);
	pid = forkpty(&terminal, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	CHECK(pid == -1 && errno == ENOMEM);
	CHECK(daemon(1, 1) == -1 && errno == ENOMEM);
	CHECK(setrlimit(RLIMIT_DATA, &before) == 0);
	CHECK(fork_and_wait() == 0 && memory[5 * MIB] == 7);
}

static void
be_daemon(int to, char *memory)
{
	CHECK(daemon(1, 1) == 0);
	bool right = getppid() != getpgrp() && memory[0] == 7 && memory[MIB - 1] == 7;
	memset(memory, 8, MIB);
	CHECK(write(to, &right, sizeof(right)) == sizeof(right));
	_exit(0);
}

/* R38: libc forks for these by a name of its own. */
static void
child_has_a_terminal_or_is_a_daemon__memory_is_as_in_any(void)
{
	int terminal, status = -1, answer[2];
	bool right = false;
	char *memory = malloc(MIB);
	fill();
	memset(memory, 7, MIB);
	pid_t child = forkpty(&terminal, NULL, NULL, NULL);
	if (child == 0) {
		memset(memory, 8, MIB / 2);
		_exit(isatty(0) == 1 && memory[0] == 8 && memory[MIB - 1] == 7 ? 0 : 1);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	CHECK(close(terminal) == 0 && pipe(answer) == 0);
	child = fork();
	if (child == 0)
		be_daemon(answer[1], memory);
	CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	CHECK(read(answer[0], &right, sizeof(right)) == sizeof(right) && right);
	CHECK(memory[0] == 7 && memory[MIB - 1] == 7);
}

/* R54: a limit of data counts what malloc gives once. Run with one of 320 MiB. */
static void
data_is_limited__blocks_are_added__count_once(void)
{
	enum { PIECES = 160 };
	static unsigned char *piece[PIECES];
	for (int i = 0; i < PIECES; i++) {
		CHECK((piece[i] = malloc(MIB)) != NULL);
		memset(piece[i], i, MIB);
	}
	for (int i = 0; i < PIECES; i++) {
		CHECK(piece[i][0] == i && piece[i][MIB - 1] == i);
		free(piece[i]);
	}
}

/* ---- with --mmap (R66) ---- */

unsigned long long
committed(void)
{
	return ask(getenv("HEAP_TEST_COMMITTED"));
}

static void
check_charge(unsigned long long before, unsigned long long mib)
{
	unsigned long long now = committed(), slack = 8 * MIB;
	CHECK(now == 0 || (now + slack >= before + mib * MIB && now <= before + mib * MIB + slack));
}

static char *
map(void *at, size_t size, int protection, int flags)
{
	char *memory = mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

/* The books follow every way to map, and what is reserved costs nothing. */
static void
mmap__maps_and_unmaps__charges_what_is_writable(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	fill();
	unsigned long long start = committed();
	char *plain = map(NULL, 64 * MIB, rw, 0);
	char *reserved = map(NULL, 4096 * MIB, PROT_NONE, MAP_NORESERVE);
	CHECK(plain != NULL && reserved != NULL);
	check_charge(start, 64);
	CHECK(map(reserved + 32 * MIB, 16 * MIB, rw, MAP_FIXED) == reserved + 32 * MIB);
	CHECK(mprotect(reserved + 64 * MIB, 8 * MIB, rw) == 0);
	check_charge(start, 64 + 24);
	reserved[40 * MIB] = 1;
	CHECK(map(reserved + 32 * MIB, 16 * MIB, PROT_NONE, MAP_FIXED) == reserved + 32 * MIB);
	check_charge(start, 64 + 8);
	memset(plain, 3, 64 * MIB);
	char *grown = mremap(plain, 64 * MIB, 96 * MIB, MREMAP_MAYMOVE);
	CHECK(grown != MAP_FAILED && grown[64 * MIB - 1] == 3 && grown[96 * MIB - 1] == 0);
	check_charge(start, 96 + 8);
	CHECK(mremap(grown, 96 * MIB, 32 * MIB, 0) == grown);
	check_charge(start, 32 + 8);
	CHECK(munmap(grown + 8 * MIB, 8 * MIB) == 0);
	CHECK(munmap(reserved, 4096 * MIB) == 0);
	check_charge(start, 24);
	CHECK(munmap(grown, 32 * MIB) == 0);
	check_charge(start, 0);
}

/* Sizes and addresses are multiples of a page, and of nothing else. */
static void
mmap__odd_sizes__are_charged(void)
{
	enum { MAPPINGS = 20, SIZE = 3 * MIB + 4096 };
	char *memory[MAPPINGS];
	fill();
	unsigned long long start = committed();
	for (size_t i = 0; i < MAPPINGS; i++) {
		memory[i] = map(NULL, SIZE + i * 4096, PROT_READ | PROT_WRITE, 0);
		CHECK(memory[i] != NULL);
		memset(memory[i], (int)i, SIZE);
	}
	check_charge(start, MAPPINGS * 3);
	for (size_t i = 0; i < MAPPINGS; i++) {
		CHECK(munmap(memory[i], MIB + 4096) == 0);
		CHECK(memory[i][SIZE - 1] == (char)i);
	}
	check_charge(start, MAPPINGS * 2);
	for (size_t i = 0; i < MAPPINGS; i++)
		CHECK(munmap(memory[i] + MIB + 4096, 2 * MIB + i * 4096) == 0);
	check_charge(start, 0);
}

/* R66: what is charged of memory that moves stays charged, and no more; it grows at its end. */
static void
mmap__partly_charged_memory_moves__keeps_its_charge(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	fill();
	unsigned long long start = committed();
	char *memory = map(NULL, 64 * MIB, PROT_NONE, MAP_NORESERVE);
	CHECK(memory != NULL && mprotect(memory + 8 * MIB, 24 * MIB, rw) == 0);
	memset(memory + 8 * MIB, 5, 24 * MIB);
	CHECK(mprotect(memory, 64 * MIB, PROT_READ) == 0);
	check_charge(start, 24);
	char *moved = mremap(memory, 64 * MIB, 96 * MIB, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED && moved[8 * MIB] == 5 && moved[32 * MIB] == 0);
	check_charge(start, 24);
	CHECK(mremap(moved, 96 * MIB, 16 * MIB, 0) == moved && moved[16 * MIB - 1] == 5);
	check_charge(start, 8);
	moved = mremap(moved, 16 * MIB, 48 * MIB, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED && moved[16 * MIB - 1] == 5);
	check_charge(start, 40);
	char *copy = mremap(moved, 48 * MIB, 48 * MIB, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	CHECK(copy != MAP_FAILED && copy[16 * MIB - 1] == 5 && moved[16 * MIB - 1] == 0);
	check_charge(start, 80); /* what it left behind can be written to */
	CHECK(munmap(copy, 48 * MIB) == 0 && munmap(moved, 48 * MIB) == 0);
	check_charge(start, 0);
}

/* The kernel has grown it by then, in place or elsewhere. */
static void
grow_in_full_pool(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	unsigned char there;
	char *some = map(NULL, 1024 * MIB, PROT_NONE, MAP_NORESERVE);
	CHECK(some != NULL && munmap(some, 1024 * MIB) == 0);
	CHECK(map(some, 64 * MIB, rw, MAP_FIXED) == some);
	memset(some, 1, 64 * MIB);
	CHECK(mremap(some, 64 * MIB, 512 * MIB, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mincore(some + 64 * MIB, 4096, &there) == -1 && some[64 * MIB - 1] == 1);
	CHECK(map(some + 64 * MIB, 4096, PROT_NONE, MAP_FIXED) == some + 64 * MIB);
	char *moved = mremap(some, 64 * MIB, 512 * MIB, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED && moved != some); /* and is not in the pool */
	CHECK(moved[0] == 1 && moved[64 * MIB - 1] == 1 && moved[512 * MIB - 1] == 0);
	CHECK(munmap(moved, 512 * MIB) == 0 && munmap(some + 64 * MIB, 4096) == 0);
}

/* Run with a bound of 256 MiB. */
static void
mmap__pool_is_full__fails_and_recovers(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	CHECK(map(NULL, 1024 * MIB, rw, 0) == NULL && errno == ENOMEM);
	char *reserved = map(NULL, 1024 * 1024 * MIB, PROT_NONE, MAP_NORESERVE);
	CHECK(reserved != NULL);
	CHECK(mprotect(reserved, 1024 * MIB, rw) == -1 && errno == ENOMEM);
	CHECK(map(NULL, 1024 * MIB, rw, MAP_NORESERVE) != NULL);
	char *some = map(NULL, 128 * MIB, rw, 0);
	CHECK(some != NULL && mremap(some, 128 * MIB, 1024 * MIB, 0) == MAP_FAILED);
	memset(some, 1, 128 * MIB);
	CHECK(munmap(some, 128 * MIB) == 0);
	grow_in_full_pool();
	CHECK(map(NULL, 128 * MIB, rw, 0) != NULL);
}

/* R57: the same for what the program maps itself. */
static void
mmap__pool_is_full_and_pieces_are_freed__mappings_fit(void)
{
	size_t freed = fill_with_holes(), found = 0, size = larger();
	while (map(NULL, size, PROT_READ | PROT_WRITE, 0) != NULL)
		found += size;
	check_found(found, freed);
}

static void *
map_and_unmap(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	for (int i = 0; i < 300; i++) {
		size_t size = (size_t)(1 + rand_r(&seed) % 8) * MIB;
		char *memory = map(NULL, size, PROT_READ | PROT_WRITE, 0);
		CHECK(memory != NULL && memory[0] == 0 && memory[size - 1] == 0);
		memory[0] = memory[size - 1] = (char)seed;
		if (i % 3 == 0)
			memory = mremap(memory, size, size + MIB, MREMAP_MAYMOVE), size += MIB;
		CHECK(memory != MAP_FAILED && memory[0] == (char)seed);
		/* Behind our back: the books are wrong for a while, and nothing else. */
		if (i % 7 == 0)
			CHECK(syscall(SYS_munmap, memory, size) == 0);
		else
			CHECK(munmap(memory, size) == 0);
		if (i % 50 == 0)
			CHECK(fork_and_wait() == 0);
	}
	return NULL;
}

static void
mmap__threads_and_forks__blocks_leave_meanwhile(void)
{
	pthread_t thread[THREADS];
	const char *leave = getenv("HEAP_TEST_LEAVE");
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, map_and_unmap, (void *)(i + 1)) == 0);
	CHECK(leave == NULL || system(leave) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}

enum { TURNS = 20000, HELD = 64 };

static void *
map_in_pieces(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	char *at[HELD] = { NULL };
	for (int i = 0; i < TURNS; i++) {
		char **one = &at[rand_r(&seed) % HELD];
		if (*one != NULL) {
			CHECK(munmap(*one, MIB) == 0 && munmap(*one + 2 * MIB, MIB) == 0);
			*one = NULL;
			continue;
		}
		*one = map(NULL, 3 * MIB, PROT_READ | PROT_WRITE, 0);
		CHECK(*one != NULL && munmap(*one + MIB, MIB) == 0);
	}
	return NULL;
}

/* Every 16 KiB of it holds the number. */
static bool
is_filled(const char *at, size_t size, char number)
{
	for (size_t i = 0; i < size; i += 16 << 10)
		if (at[i] != number)
			return false;
	return true;
}

static void *
allocate_pieces(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	char *at[HELD] = { NULL };
	size_t size[HELD];
	for (int i = 0; i < TURNS; i++) {
		int one = rand_r(&seed) % HELD;
		if (at[one] != NULL) {
			CHECK(is_filled(at[one], size[one], (char)one));
			free(at[one]);
			at[one] = NULL;
			continue;
		}
		size[one] = (64 << 10) + (size_t)rand_r(&seed) % MIB;
		at[one] = malloc(size[one]);
		CHECK(at[one] != NULL);
		for (size_t byte = 0; byte < size[one]; byte += 16 << 10)
			at[one][byte] = (char)one;
	}
	return NULL;
}

/* R57: neither waits for the other, and nothing is given out twice. The allocator keeps nothing
 * here (MALLOC_CONF). */
static void
mmap__pieces_are_freed__threads_map_meanwhile(void)
{
	pthread_t thread[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, i % 2 ? map_in_pieces : allocate_pieces,
				     (void *)(i + 1)) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}

static const struct {
	const char *name;
	void (*fn)(void);
} cases[] = {
#define CASE(fn) { #fn, fn }
	CASE(all_memory_is_locked__limit_is_reached__malloc_is_refused),
	CASE(all_memory_is_locked__pool_is_not),
	CASE(all_memory_is_locked__threads_map_meanwhile__it_succeeds),
	CASE(blocks_leave__resident_memory__is_not_more),
	CASE(calls_of_the_heap__that_cannot_be__answer_as_the_kernel_does),
	CASE(child_has_a_terminal_or_is_a_daemon__memory_is_as_in_any),
	CASE(data_is_limited__blocks_are_added__count_once),
	CASE(device_memory__fork_without_room__fails_with_enomem),
	CASE(device_memory_is_given_up__reads_as_zeros),
	CASE(device_memory_is_on_its_way__is_given_up_even_so),
	CASE(device_memory_is_protected__stays_protected),
	CASE(file_is_locked__fork__has_one_holder),
	CASE(heap_grows__children_overlap__malloc_does_not_wait),
	CASE(large_array__grows_past_a_window__stays_in_place),
	CASE(large_heap__is_forked_again__costs_as_at_first),
	CASE(library__is_loaded_deepbind__frees_what_others_allocate),
	CASE(mappings_are_used_up__malloc__goes_on),
	CASE(memory_goes_back_to_the_pool__calloc__is_zeros),
	CASE(memory_is_freed__program_sleeps__pool_shrinks),
	CASE(memory_is_given_up__reads_as_zeros),
	CASE(memory_is_protected__its_blocks_leave__stays_protected),
	CASE(mmap__calls_that_cannot_be__answer_as_the_kernel_does),
	CASE(mmap__device_comes_and_goes__threads_use_memory),
	CASE(mmap__device_takes_it__calls_answer_as_the_kernel_does),
	CASE(mmap__device_takes_it__it_grows_as_one),
	CASE(mmap__device_takes_it__it_moves_as_one),
	CASE(mmap__device_takes_it__a_hole_does_not_move),
	CASE(mmap__device_takes_it__raw_calls_are_found),
	CASE(mmap__kernel_refuses__charge_is_as_before),
	CASE(mmap__maps_and_unmaps__charges_what_is_writable),
	CASE(mmap__memory_in_pieces__grows_and_moves_as_one),
	CASE(mmap__odd_sizes__are_charged),
	CASE(mmap__partly_charged_memory_moves__keeps_its_charge),
	CASE(mmap__pieces_are_freed__threads_map_meanwhile),
	CASE(mmap__pool_is_full__fails_and_recovers),
	CASE(mmap__pool_is_full_and_pieces_are_freed__mappings_fit),
	CASE(mmap__threads_and_forks__blocks_leave_meanwhile),
	CASE(pool_is_checked__resident_memory__is_not_more),
	CASE(pool_is_full__small_pieces_are_freed__larger_ones_fit),
	CASE(pool_is_full__thread_starts__lives),
	CASE(seccomp__is_asked_about__answers_as_the_kernel_does),
	CASE(sizes_of_all_kinds__come_and_go__hold_what_was_written),
	CASE(stack_is_allocated__fork_on_it__both_go_on),
	CASE(threads_keep_values__fork__are_as_before),
	CASE(users_are_looked_up__fork__ends),
	CASE(workers_overlap__parent_rewrites__used_memory_stays),
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc < 2)
			puts(cases[i].name);
		else if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].fn();
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
