/* SPDX-License-Identifier: MIT */
/*
 * linux_bandwidth.c - how fast a full block goes to a device and comes back, beside memcpy and
 * beside what the kernel alone takes for it (linux_floor.c).
 *
 * A memfd, or huge pages, stand in for the device. The time is CPU time, ours and the companion's,
 * which does the copying: everything from the offline until all of it is there. memcpy goes from
 * one touched mapping to another. All take turns.
 */
#define _GNU_SOURCE
#include "linux.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <memplug/companion.h>

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

#define ROUNDS 5U
#define BYTES (BENCH_BLOCK - 2 * BENCH_HUGE)

static unsigned char *
touched(uint64_t bytes, bool huge)
{
	int fd = memfd_create("bench", MFD_CLOEXEC | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
	unsigned char *memory = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0)
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			      0);
	if (memory == MAP_FAILED)
		bench_die("mmap");
	close(fd);
	memset(memory, 1, bytes);
	return memory;
}

/* CPU time of this thread and of the companion, seconds. */
static double
now(void)
{
	struct timespec companion = { 0, 0 };
	clockid_t clock;

	if (mhp_companion_pid() != 0 && clock_getcpuclockid(mhp_companion_pid(), &clock) == 0)
		clock_gettime(clock, &companion);
	return (double)bench_thread_ns() / 1e9 + (double)companion.tv_sec +
	       (double)companion.tv_nsec / 1e9;
}

/* Commit every second unit first, so that what is contiguous is one unit long. */
static void
commit(struct mhp_region *region, uint64_t bytes, uint64_t unit)
{
	unsigned char *base = mhp_region_base(region);

	if (unit == 0) {
		bench_must(mhp_region_commit(region, base, bytes), "commit", NULL);
		return;
	}
	for (unsigned odd = 0; odd < 2; odd++)
		for (uint64_t at = odd * unit; at + unit <= bytes; at += 2 * unit)
			bench_must(mhp_region_commit(region, base + at, unit), "commit", NULL);
}

/*
 * Have the machine's own memory behind what will be used: a virtual machine may get it only at the
 * first touch, which is no cost of ours.
 */
static void
warm_up(void)
{
	uint64_t bytes = 8 * BENCH_BLOCK;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);

	if (memory == MAP_FAILED)
		return;
	madvise(memory, bytes, MADV_HUGEPAGE);
	memset(memory, 1, bytes);
	munmap(memory, bytes);
}

struct row {
	const char *title;
	uint64_t unit;                 /* bytes that are contiguous at first; 0: all */
	bool huge;                     /* hugetlb */
	const char *floor;             /* a row for what the kernel alone takes; NULL: none */
};

/* Until all that was committed is on the device. */
static void
await_settled(struct mhp_pool *pool)
{
	struct mhp_pool_stats stats = { 0 };

	for (unsigned ms = 0; ms < 10000; ms++) {
		mhp_pool_get_stats(pool, &stats);
		if (stats.settled_bytes >= BYTES / 8 * 7)
			return;
		usleep(1000);
	}
	bench_die("going to the device");
}

static void
print(const char *title, double *to, double *back, double *copy)
{
	double plain = bench_share(copy, ROUNDS, .5), first = to[0];
	printf("%-34s %8.1f %8.1f %8.1f %8.2f %8.2f\n", title, first * 1e3,
	       bench_share(to, ROUNDS, .5) * 1e3, bench_share(back, ROUNDS, .5) * 1e3,
	       plain / bench_share(to, ROUNDS, .5), plain / bench_share(back, ROUNDS, .5));
}

static void
measure(const struct row *row)
{
	double to[ROUNDS], back[ROUNDS], copy[ROUNDS];
	struct mhp_blocks device = { 1, 2 };
	struct mhp_pool *pool = bench_pool(8 * BENCH_BLOCK);
	struct mhp_region *region;

	if (!bench_can_move(pool, row->title))
		return bench_end(pool);
	bench_add(pool, BENCH_BLOCK, MHP_BACKING_RAM);
	bench_must(mhp_region_create(pool, "bench", BENCH_BLOCK, &region, NULL), "region", NULL);
	commit(region, BYTES, row->unit);
	memset(mhp_region_base(region), 1, BYTES);
	bench_add(pool, 2 * BENCH_BLOCK, row->huge ? MHP_BACKING_HUGETLB_2M : MHP_BACKING_MEMFD);
	unsigned char *source = touched(BYTES, row->huge), *target = touched(BYTES, row->huge);
	for (unsigned round = 0; round < ROUNDS; round++) {
		double start = now();
		memcpy(target, source, BYTES);
		copy[round] = now() - start;
		start = now();
		bench_offline(pool, 0);
		await_settled(pool);
		to[round] = now() - start;
		bench_online(pool, 0);
		start = now();
		bench_must(mhp_offline(mhp_pool_engine(pool), &device, 1, NULL, NULL), "offline",
			   NULL);
		back[round] = now() - start;
		bench_online(pool, 1);
		bench_online(pool, 2);
	}
	munmap(source, BYTES);
	munmap(target, BYTES);
	mhp_region_destroy(region);
	bench_end(pool);
	print(row->title, to, back, copy);
	if (row->floor != NULL && bench_floor(row->huge, BYTES, ROUNDS, to, back))
		print(row->floor, to, back, copy);
}

void
bench_bandwidth(void)
{
	static const struct row rows[] = {
		{ .title = "memfd, contiguous", .floor = "memfd, the kernel alone" },
		{ .title = "memfd, scattered in 64 KiB", .unit = 64 << 10 },
		{ .title = "memfd, scattered in 4 KiB", .unit = BENCH_PAGE },
	};

	printf("\na full block goes to a device and back, ms of CPU time: the first time, later, "
	       "back; memcpy / to, memcpy / back; median of %u\n", ROUNDS);
	warm_up();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		measure(&rows[i]);
	if (bench_reserve_huge(4 * BENCH_BLOCK / BENCH_HUGE))
		measure(&(struct row){ .title = "hugetlb, 2 MiB pages", .huge = true,
				       .floor = "hugetlb, the kernel alone" });
	else
		printf("hugetlb, 2 MiB pages: left out: no huge pages can be reserved\n");
}
