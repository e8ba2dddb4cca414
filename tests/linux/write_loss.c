/* SPDX-License-Identifier: MIT */
/*
 * write_loss.c - does a write get lost while memory goes to a device and comes back?
 *
 * Writers store sequence numbers to words of their own, atomic adders sum into shared words, a
 * thread lets the kernel write through pipes and pread, readers check that what a writer has
 * published is there. Meanwhile the blocks of `ram` are taken out of use and put back into it, and
 * those of the device, so that every page goes there and comes back again and again (R37, R55). At
 * the end every word must hold what its writer wrote last.
 *
 * Negative control (--control): the protection is left out (mhp__test_no_protect in the port); then
 * the checker must find losses, else it could not find any. --unit 4k, 64k, 2m (16k on a kernel
 * with such pages) is the size of what is contiguous at first; --units N how many of them must have
 * moved, within --seconds; --kill kills the companion all the time meanwhile. --over: the memory is
 * mapped by the test itself, and a thread holds parts of it and changes their mapping (R66).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <memplug/companion.h>
#include <memplug/linux.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../online.h"

#define PAGE 4096UL
#define WRITERS 2U
#define ADDERS 2U
#define KERNEL_WORD (WRITERS + 1)
#define WORDS_USED 8U           /* words of a page: writers', the adders', the kernel's */
#define BLOCK (4UL << 20)
#define NR_RAM 3U
#define NR_DEVICE 4U
#define SETTLED_MS 60000U
#define ADDS_BETWEEN 1000U
#define CONTROL_TURNS 100U
#define SIZE (8UL << 20)

extern bool mhp__test_no_protect;

static unsigned char *data;
static uint64_t nr_units, unit_bytes = PAGE;
static _Atomic bool stop;
static _Atomic uint64_t *published[WRITERS]; /* what each writer has surely written, by page */
static uint64_t *kernel_wrote;
static _Atomic uint64_t added[ADDERS], stale, kills;

static uint64_t nr_pages;

static _Atomic uint64_t *
word(uint64_t page, unsigned index)
{
	return (_Atomic uint64_t *)(void *)(data + page * PAGE) + index * 64;
}

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void *
write_loop(void *arg)
{
	static uint64_t last[WRITERS]; /* it goes on where it was */
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t seed = 77 + me, seq = last[me];
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t page = next_random(&seed) % nr_pages;
		seq++;
		atomic_store_explicit(word(page, me), seq, memory_order_relaxed);
		atomic_store_explicit(&published[me][page], seq, memory_order_release);
	}
	last[me] = seq;
	return NULL;
}

static void *
add_loop(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t seed = 1234 + me;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		atomic_fetch_add(word(next_random(&seed) % nr_pages, WRITERS), 1);
		atomic_fetch_add_explicit(&added[me], 1, memory_order_relaxed);
	}
	return NULL;
}

static void *
kernel_loop(void *arg)
{
	static uint64_t last;
	uint64_t seed = 99, seq = last;
	int fds[2], file = memfd_create("source", MFD_CLOEXEC);
	(void)arg;
	if (pipe(fds) != 0 || file < 0)
		abort();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t page = next_random(&seed) % nr_pages;
		void *target = (void *)(uintptr_t)word(page, KERNEL_WORD);
		bool by_pipe = ++seq % 2 == 0;
		ssize_t put = by_pipe ? write(fds[1], &seq, 8) : pwrite(file, &seq, 8, 0);
		ssize_t got = by_pipe ? read(fds[0], target, 8) : pread(file, target, 8, 0);
		if (put != 8 || got != 8)
			abort();
		kernel_wrote[page] = seq;
	}
	last = seq;
	close(fds[0]);
	close(fds[1]);
	close(file);
	return NULL;
}

static void *
read_loop(void *arg)
{
	uint64_t seed = 4242;
	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t page = next_random(&seed) % nr_pages;
		unsigned who = (unsigned)(next_random(&seed) % WRITERS);
		uint64_t floor = atomic_load_explicit(&published[who][page], memory_order_acquire);
		if (atomic_load_explicit(word(page, who), memory_order_acquire) < floor)
			atomic_fetch_add(&stale, 1);
	}
	return NULL;
}

/* Who changes a mapping has it as ordinary memory meanwhile. */
static void *
hold_loop(void *arg)
{
	struct mhp_region *region = arg;
	struct mhp_text why = { "" };
	uint64_t seed = 555;
	while (!atomic_load(&stop)) {
		struct timespec pause = { 0, (long)(next_random(&seed) % 20000000) };
		uint64_t page = next_random(&seed) % nr_pages, nr = next_random(&seed) % 1024;
		nr = page + nr < nr_pages ? nr + 1 : nr_pages - page;
		unsigned char *start = data + page * PAGE;
		if (mhp_region_hold(region, start, nr * PAGE, true, &why) != 0 ||
		    madvise(start, nr * PAGE, MADV_DONTDUMP) != 0 ||
		    madvise(start, nr * PAGE, MADV_DODUMP) != 0) {
			fprintf(stderr, "hold: %s; or madvise: %s\n", why.text, strerror(errno));
			abort();
		}
		mhp_region_release(region);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void *
zeros(uint64_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		abort();
	return memory;
}

static uint64_t
count_lost(void)
{
	uint64_t lost = 0, sum = 0, want = 0;
	for (uint64_t page = 0; page < nr_pages; page++) {
		for (unsigned w = 0; w < WRITERS; w++)
			lost += atomic_load(word(page, w)) != atomic_load(&published[w][page]);
		lost += atomic_load(word(page, KERNEL_WORD)) != kernel_wrote[page];
		sum += atomic_load(word(page, WRITERS));
	}
	for (unsigned a = 0; a < ADDERS; a++)
		want += atomic_load(&added[a]);
	return lost + (want > sum ? want - sum : sum - want);
}

/* What moves while nobody writes proves nothing: now and then, wait for others to get on. */
static void
let_them_write(void)
{
	uint64_t before = 0, now;
	for (unsigned a = 0; a < ADDERS; a++)
		before += atomic_load(&added[a]);
	do {
		struct timespec us = { 0, 50000 };
		nanosleep(&us, NULL);
		now = 0;
		for (unsigned a = 0; a < ADDERS; a++)
			now += atomic_load(&added[a]);
	} while (now < before + ADDS_BETWEEN);
}

/* Kill the companion at any moment of its work (R37). */
static void *
kill_loop(void *arg)
{
	uint64_t seed = 31337;
	(void)arg;
	while (!atomic_load(&stop)) {
		struct timespec pause = { 0, (long)(next_random(&seed) % 40000000) };
		nanosleep(&pause, NULL);
		int pid = mhp_companion_pid();
		if (pid != 0 && kill(pid, SIGKILL) == 0)
			atomic_fetch_add(&kills, 1);
	}
	return NULL;
}

/* Empty some blocks into the others. */
static int
empty(struct mhp *m, uint32_t first, uint32_t count)
{
	struct mhp_blocks set = { first, count };
	/* An emulated machine may be slow; the test as a whole has its bound. */
	struct mhp_offline_opts patient = { .deadline_ms = 600000 };
	int err = mhp_offline(m, &set, 1, &patient, NULL);
	if (err == MHP_EIO && atomic_load(&kills) != 0)
		return 0; /* nothing has changed; next time */
	if (err == 0)
		err = test_online(m, set, MHP_ZONE_MOVABLE, NULL);
	if (err != 0)
		fprintf(stderr, "blocks from %u: error %d\n", first, err);
	return err;
}

/* What is only numbered after the device goes there soon: there is room for all of it. */
static int
await_settled(struct mhp_pool *pool, struct mhp_pool_stats *stats)
{
	for (unsigned ms = 0; ms < SETTLED_MS; ms++) {
		struct timespec pause = { 0, 1000000 };
		mhp_pool_get_stats(pool, stats);
		if (stats->settled_bytes == stats->committed_bytes)
			return 0;
		nanosleep(&pause, NULL);
	}
	fprintf(stderr, "%llu of %llu bytes are on the device\n",
		(unsigned long long)stats->settled_bytes,
		(unsigned long long)stats->committed_bytes);
	return MHP_EAGAIN;
}

/* To the device and back, until enough pages have moved. */
static int
move_all(struct mhp_pool *pool, uint64_t pages_wanted, time_t deadline)
{
	struct mhp_pool_stats stats;
	struct mhp *m = mhp_pool_engine(pool);
	for (;;) {
		let_them_write();
		int err = empty(m, 0, NR_RAM);
		if (err == 0)
			err = await_settled(pool, &stats);
		let_them_write();
		if (err == 0)
			err = empty(m, NR_RAM, NR_DEVICE);
		if (err != 0)
			return err;
		mhp_pool_get_stats(pool, &stats);
		if (stats.moved_pages >= pages_wanted)
			return 0;
		if (time(NULL) >= deadline) {
			fprintf(stderr, "no more than %llu pages moved in the time there was\n",
				(unsigned long long)stats.moved_pages);
			return MHP_EAGAIN;
		}
	}
}

/* Commit unit by unit, every second one first, so that units are what is contiguous. */
static void
commit_units(struct mhp_region *region)
{
	for (unsigned odd = 0; odd < 2; odd++)
		for (uint64_t i = odd; i < nr_units; i += 2)
			if (mhp_region_commit(region, data + i * unit_bytes, unit_bytes) != 0)
				abort();
	/* Most have data from the start, in a byte that nobody uses. */
	for (uint64_t page = 0; page < nr_pages; page++)
		if (page % 16 != 0)
			data[page * PAGE + PAGE - 1] = 1;
}

static uint64_t
parse_unit(const char *text)
{
	char *unit;
	uint64_t number = strtoull(text, &unit, 10);
	return number << (*unit == 'm' ? 20 : 10);
}

struct options {
	uint64_t units_wanted;
	int seconds;
	const char *backing;
	bool control, loud, kill, over;
};

static struct options
parse(int argc, char **argv)
{
	struct options options = { .units_wanted = 64, .seconds = 3600, .backing = "memfd" };
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--control") == 0)
			options.control = true;
		else if (strcmp(argv[i], "--kill") == 0)
			options.kill = true;
		else if (strcmp(argv[i], "--over") == 0)
			options.over = true;
		else if (strcmp(argv[i], "--loud") == 0)
			options.loud = true;
		else if (strcmp(argv[i], "--unit") == 0)
			unit_bytes = parse_unit(value);
		else if (strcmp(argv[i], "--units") == 0)
			options.units_wanted = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--seconds") == 0)
			options.seconds = atoi(value);
		else if (strcmp(argv[i], "--backing") == 0)
			options.backing = value;
	}
	return options;
}

static int
add(struct mhp_pool *pool, const char *words, uint32_t blocks, struct mhp_text *text)
{
	struct mhp_backing backing;
	struct mhp_add_opts opts = { .flags = MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE };
	int err = mhp_backing_parse(words, &backing, text);
	return err != 0 ? err : mhp_pool_add(pool, &backing, blocks * BLOCK, &opts, NULL, text);
}

static _Noreturn void
give_up(int status, const char *why, const struct mhp_text *text)
{
	fprintf(stderr, "%s%s\n", why, text->text);
	exit(status);
}

/* A pool with a region on it. The data is in `ram` first. */
static struct mhp_region *
set_up(const struct options *options, struct mhp_pool **ret_pool)
{
	struct mhp_text text = { "" };
	struct mhp_region *region = NULL;
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	if (mhp_pool_create(&opts, ret_pool, &text) != 0)
		give_up(1, "", &text);
	if (!mhp_pool_can_move(*ret_pool, &text))
		give_up(77, "needs userfaultfd: ", &text);
	if (add(*ret_pool, "ram", NR_RAM, &text) != 0 ||
	    (options->over ? mhp_region_create_over(*ret_pool, "loss", &region, &text)
			   : mhp_region_create(*ret_pool, "loss", SIZE, &region, &text)) != 0)
		give_up(1, "", &text);
	data = options->over ? zeros(SIZE) : mhp_region_base(region);
	nr_pages = SIZE / PAGE;
	nr_units = SIZE / unit_bytes;
	commit_units(region);
	if (add(*ret_pool, options->backing, NR_DEVICE, &text) != 0)
		give_up(1, "", &text);
	return region;
}

static int
run(const struct options *options, struct mhp_pool *pool, struct mhp_region *region)
{
	pthread_t thread[WRITERS + ADDERS + 4];
	unsigned n = 0;
	atomic_store(&stop, false);
	for (unsigned w = 0; w < WRITERS; w++)
		pthread_create(&thread[n++], NULL, write_loop, (void *)(uintptr_t)w);
	for (unsigned a = 0; a < ADDERS; a++)
		pthread_create(&thread[n++], NULL, add_loop, (void *)(uintptr_t)a);
	pthread_create(&thread[n++], NULL, kernel_loop, NULL);
	pthread_create(&thread[n++], NULL, read_loop, NULL);
	if (options->kill)
		pthread_create(&thread[n++], NULL, kill_loop, NULL);
	if (options->over)
		pthread_create(&thread[n++], NULL, hold_loop, region);
	uint64_t pages = options->units_wanted * (unit_bytes / PAGE);
	/* So that much moves while all the others keep the CPUs busy; if not, it takes longer. */
	setpriority(PRIO_PROCESS, 0, -20);
	int err = move_all(pool, pages, time(NULL) + options->seconds);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	return err;
}

int
main(int argc, char **argv)
{
	struct options options = parse(argc, argv);
	struct mhp_pool *pool;
	struct mhp_pool_stats stats;
	struct mhp_region *region = set_up(&options, &pool);

	for (unsigned w = 0; w < WRITERS; w++)
		published[w] = zeros(nr_pages * 8);
	kernel_wrote = zeros(nr_pages * 8);
	mhp__test_no_protect = options.control;
	int err = run(&options, pool, region);

	uint64_t lost = count_lost();
	/* On a busy machine nobody may have written just then. */
	for (unsigned turn = 0; options.control && err == 0 && lost + stale == 0 &&
				turn < CONTROL_TURNS; turn++) {
		err = run(&options, pool, region);
		lost = count_lost();
	}
	mhp_pool_get_stats(pool, &stats);
	/* Without protection anything may come of it, but it must be seen. */
	bool good = options.control ? lost + stale != 0 : err == 0 && lost + stale == 0;
	if (!good || options.loud)
		fprintf(stderr,
			"write_loss: %llu units of %llu KiB moved in %llu batches, %llu lost, "
			"%llu stale, %llu atomic adds, %llu kills; writers waited %.0f us at most, "
			"%.0f us on average\n",
			(unsigned long long)(stats.moved_pages / (unit_bytes / PAGE)),
			(unsigned long long)(unit_bytes >> 10),
			(unsigned long long)stats.move_batches, (unsigned long long)lost,
			(unsigned long long)stale, (unsigned long long)(added[0] + added[1]),
			(unsigned long long)kills,
			(double)stats.stall_max_ns / 1e3,
			(double)stats.stall_sum_ns / 1e3 /
				(double)(stats.move_batches ? stats.move_batches : 1));
	for (int i = 0; !good && i <= argc; i++)
		fprintf(stderr, "%s%s", i == 0 ? "replay: " : " ", i < argc ? argv[i] : "\n");
	if (options.over && (mhp_region_hold(region, data, SIZE, false, NULL) != 0 ||
			     mhp_region_decommit(region, data, SIZE) != 0))
		return 1;
	mhp_region_destroy(region);
	return good ? 0 : 1;
}
