/* SPDX-License-Identifier: MIT */
/*
 * linux_bandwidth.c - how fast a full block leaves, beside memcpy of as much of the same memory.
 *
 * The move is everything that an offline does: room, protection, copy, remapping, giving the old
 * memory back. memcpy goes from one touched mapping of the backing to another. Both take turns.
 */
#define _GNU_SOURCE
#include "linux.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

#define ROUNDS 5U
#define BYTES (BENCH_BLOCK - BENCH_HUGE)
#define GIB ((double)BYTES / (1 << 30))

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

struct time {
	double wall, cpu;              /* seconds */
};

static struct time
now(void)
{
	return (struct time){ (double)bench_now_ns() / 1e9, (double)bench_thread_ns() / 1e9 };
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
	uint64_t unit;                 /* bytes that are contiguous; 0: all */
	bool huge;                     /* hugetlb */
	bool again;                    /* what moved once before, not what was just filled */
};

/* Fresh small pages in block 0, and an empty block 1. */
static void
fill(struct mhp_pool *pool, struct mhp_region *region, uint64_t unit)
{
	void *base = mhp_region_base(region);

	bench_must(mhp_region_decommit(region, base, BYTES), "decommit", NULL);
	bench_online(pool, 0);
	bench_offline(pool, 1);
	commit(region, BYTES, unit);
	memset(base, 1, BYTES);
	bench_online(pool, 1);
}

static void
measure(const struct row *row)
{
	double move_wall[ROUNDS], move_cpu[ROUNDS], copy_wall[ROUNDS], copy_cpu[ROUNDS];
	struct mhp_pool *pool = bench_pool(4 * BENCH_BLOCK, row->huge);
	struct mhp_region *region;

	if (!bench_can_move(pool, row->title))
		return bench_end(pool);
	bench_add(pool, 2 * BENCH_BLOCK, row->huge);
	bench_offline(pool, 0);
	bench_must(mhp_region_create(pool, "bench", BENCH_BLOCK, &region, NULL), "region", NULL);
	unsigned char *from = touched(BYTES, row->huge), *to = touched(BYTES, row->huge);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct time start = now();
		memcpy(to, from, BYTES);
		copy_wall[round] = now().wall - start.wall;
		copy_cpu[round] = now().cpu - start.cpu;
		fill(pool, region, row->unit);
		uint32_t leaving = 0;
		if (row->again) {
			bench_offline(pool, 0);
			bench_online(pool, 0);
			leaving = 1;
		}
		start = now();
		bench_offline(pool, leaving);
		move_wall[round] = now().wall - start.wall;
		move_cpu[round] = now().cpu - start.cpu;
		if (row->again) { /* as fill() expects it */
			bench_online(pool, 1);
			bench_offline(pool, 0);
		}
	}
	munmap(from, BYTES);
	munmap(to, BYTES);
	mhp_region_destroy(region);
	bench_end(pool);
	double move = bench_share(move_wall, ROUNDS, .5), copy = bench_share(copy_wall, ROUNDS, .5);
	printf("%-34s %8.1f %10.2f %10.2f %8.2f %8.2f\n", row->title, move * 1e3, GIB / move,
	       GIB / copy, copy / move,
	       bench_share(copy_cpu, ROUNDS, .5) / bench_share(move_cpu, ROUNDS, .5));
}

void
bench_bandwidth(void)
{
	static const struct row rows[] = {
		{ .title = "memfd, 4 KiB pages, contiguous" },
		{ .title = "    what moved once before", .again = true },
		{ .title = "memfd, scattered in 2 MiB", .unit = BENCH_HUGE },
		{ .title = "memfd, scattered in 64 KiB", .unit = 64 << 10 },
		{ .title = "memfd, scattered in 4 KiB", .unit = BENCH_PAGE },
	};

	printf("a full block of 128 MiB leaves: ms, GiB/s, memcpy GiB/s, ratio, ratio by CPU time; "
	       "median of %u\n", ROUNDS);
	warm_up();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		measure(&rows[i]);
	if (bench_reserve_huge(5 * BENCH_BLOCK / BENCH_HUGE))
		measure(&(struct row){ .title = "hugetlb, 2 MiB pages", .huge = true });
	else
		printf("hugetlb, 2 MiB pages: left out: no huge pages can be reserved\n");
}
