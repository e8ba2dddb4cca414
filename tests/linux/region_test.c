/* SPDX-License-Identifier: MIT */
/*
 * region_test.c - the Linux port's regions and adds, case by case (R35, R36, R39, R42).
 *
 * Each case makes a pool of its own and ends it, so that a leak of a frame, a block or a mapping
 * shows as a pool that cannot be destroyed.
 *
 * Pools have the kernel's pages, or with TEST_PAGE_BYTES larger ones, which stand for a kernel that
 * has such (R80).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/mempolicy.h>
#include <memplug/linux.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

#ifndef TEST_PAGE_BYTES
#define TEST_PAGE_BYTES 0              /* the kernel's */
#endif
#define PAGE page_bytes
#define BLOCK (1024 * PAGE)
#define WINDOW (2UL << 20)
#define FAR (1UL << 30)                /* no gap between other mappings is so long */

static unsigned long page_bytes = TEST_PAGE_BYTES;

__attribute__((constructor)) static void
ask_page_size(void)
{
	if (page_bytes == 0)
		page_bytes = (unsigned long)sysconf(_SC_PAGESIZE);
}

static struct mhp_pool *
make_pool(uint64_t blocks)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK,
				      .page_bytes = TEST_PAGE_BYTES };
	struct mhp_pool *pool = fixture_pool(&opts);
	fixture_add(pool, NULL, blocks * BLOCK, NULL);
	return pool;
}

static void
end_pool(struct mhp_pool *pool, struct mhp_region *region)
{
	fixture_end(pool, region);
}

/* R80: no page of the pool is smaller than those of its regions. */
static void
check_pages(struct mhp_pool *pool)
{
	for (uint64_t pfn = 0; pfn < 64 * BLOCK / 4096; pfn++) {
		struct mhp_frame frame = mhp_frame_peek(mhp_pool_engine(pool), pfn);
		CHECK(frame.state != MHP_FRAME_USED || 4096UL << frame.order >= PAGE);
	}
}

/* kB of memory that the process has: ordinary, and shared. */
static long
resident_kb(void)
{
	long pages = 0, whole;
	FILE *file = fopen("/proc/self/statm", "r");
	CHECK(file != NULL && fscanf(file, "%ld %ld", &whole, &pages) == 2);
	fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) >> 10);
}

/* R39: what the program maps later is not before it, where each look at a window would pay for
 * it. Where addresses have few bits, the kernel puts it where it likes. */
TEST(region__made__later_mappings_come_after)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	struct mhp_pool *pool = make_pool(1);
	struct mhp_region *region = fixture_region(pool, WINDOW);
	void *later = mmap(NULL, FAR, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(later != MAP_FAILED);
	if ((uintptr_t)&region >> 46 != 0)
		CHECK_CMP((uintptr_t)mhp_region_base(region), <, (uintptr_t)later);
	munmap(later, FAR);
	end_pool(pool, region);
}

/* R40: a debugger, which switches randomness off, finds memory where it was the last time. */
TEST(region__no_randomness_wanted__at_the_same_address_again)
{
	int before = personality(UINT32_MAX);
	void *base[2];
	if (before < 0 || personality((unsigned)before | ADDR_NO_RANDOMIZE) < 0)
		test_skip("needs personality");
	for (unsigned i = 0; i < 2; i++) {
		struct mhp_pool *pool = make_pool(1);
		struct mhp_region *region = fixture_region(pool, WINDOW);
		base[i] = mhp_region_base(region);
		end_pool(pool, region);
	}
	personality((unsigned)before);
	CHECK(base[0] == base[1]);
}

TEST(commit__twice__refused)
{
	struct mhp_pool *pool = make_pool(2);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base + PAGE, 8 * PAGE) == 0);
	CHECK(mhp_region_commit(region, base, 2 * PAGE) == MHP_EEXIST);
	CHECK(mhp_region_commit(region, base + 1, PAGE) == MHP_EINVAL);
	CHECK(mhp_region_commit(region, base, 2 * BLOCK) == MHP_EINVAL);
	CHECK(mhp_region_commit(region, base + 16 * PAGE, BLOCK) == MHP_EINVAL);
	end_pool(pool, region);
}

/* R80: a region is cut where the kernel's pages are; what is no page of it is refused by name. */
TEST(pages__that_the_kernel_cannot_cut__are_refused)
{
	uint64_t kernel = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t wrong[] = { kernel / 2, 3 * kernel, 2 * WINDOW };
	struct mhp_pool *pool = make_pool(1);
	struct mhp_region *region = fixture_region(pool, 1);
	struct mhp_text text = { "" };
	CHECK(mhp_region_granule(region) == PAGE && mhp_region_size(region) == PAGE);
	for (unsigned i = 0; i < 3; i++) {
		struct mhp_pool_opts opts = { .page_bytes = wrong[i] };
		struct mhp_pool *none;
		CHECK(mhp_pool_create(&opts, &none, &text) == MHP_EINVAL);
		CHECK(strstr(text.text, "the kernel's") != NULL);
	}
	end_pool(pool, region);
}

TEST(commit__beyond_the_pool__changes_nothing)
{
	struct mhp_pool *pool = make_pool(2);
	struct mhp_region *region = fixture_region(pool, 16 * BLOCK);
	struct mhp_pool_stats stats;
	CHECK(mhp_region_commit(region, mhp_region_base(region), 3 * BLOCK) == MHP_ENOMEM);
	mhp_pool_get_stats(pool, &stats);
	CHECK(stats.committed_bytes == 0 && stats.mappings == 1);
	CHECK(mhp_region_commit(region, mhp_region_base(region), BLOCK) == 0);
	end_pool(pool, region);
}

/* R58: the kernel refuses the mapping (RLIMIT_DATA counts what becomes writable). */
TEST(commit__that_cannot_open__takes_no_page)
{
	struct mhp_pool *pool = make_pool(2);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	struct mhp_pool_stats stats;
	struct rlimit limit, none = { .rlim_cur = PAGE };
	CHECK(mhp_region_commit(region, base, PAGE) == 0);
	CHECK(getrlimit(RLIMIT_DATA, &limit) == 0);
	none.rlim_max = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_DATA, &none) == 0);
	int err = mhp_region_commit(region, base + 64 * PAGE, 64 * PAGE);
	CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
	CHECK(err == MHP_ENOSPC);
	mhp_pool_get_stats(pool, &stats);
	CHECK(stats.committed_bytes == PAGE);
	CHECK(mhp_region_commit(region, base + 64 * PAGE, 64 * PAGE) == 0);
	end_pool(pool, region);
}

/* Whatever was decommitted and committed again reads as zeros, and the rest is as it was. */
TEST(decommit__any_piece__keeps_the_rest)
{
	struct mhp_pool *pool = make_pool(4);
	struct mhp_region *region = fixture_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	uint64_t nr = 2 * BLOCK / PAGE;
	unsigned char *want = calloc(nr, 1);
	unsigned seed = 7;
	CHECK(want != NULL && mhp_region_commit(region, base, 2 * BLOCK) == 0);
	for (unsigned turn = 0; turn < 300; turn++) {
		uint64_t first = (uint64_t)rand_r(&seed) % nr;
		uint64_t count = 1 + (uint64_t)rand_r(&seed) % 700;
		if (count > nr - first)
			count = nr - first;
		CHECK(mhp_region_decommit(region, base + first * PAGE, count * PAGE) == 0);
		CHECK(mhp_region_commit(region, base + first * PAGE, count * PAGE) == 0);
		memset(want + first, 0, count);
		for (uint64_t i = 0; i < nr; i++)
			CHECK((unsigned char)base[i * PAGE] == want[i]);
		for (uint64_t i = first; i < first + count; i += 3)
			base[i * PAGE] = (char)(want[i] = (unsigned char)(turn % 255 + 1));
	}
	check_pages(pool);
	free(want);
	end_pool(pool, region);
}

/* R35 */
TEST(purge__and_decommit_and_remove__give_memory_back)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	struct mhp_pool *pool = make_pool(16);
	struct mhp_region *region = fixture_region(pool, 15 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, 14 * BLOCK) == 0);
	long before = resident_kb();
	memset(base, 1, 14 * BLOCK);
	long full = resident_kb();
	/* once, not twice (R59) */
	long block = (long)(BLOCK >> 10);
	CHECK(full - before > 13 * block && full - before < 15 * block);
	CHECK(mhp_region_purge(region, base, 7 * BLOCK) == 0);
	CHECK(full - resident_kb() > 6 * block);
	CHECK(mhp_region_decommit(region, base + 7 * BLOCK, 7 * BLOCK) == 0);
	CHECK(full - resident_kb() > 13 * block);
	CHECK(base[0] == 0);
	end_pool(pool, region);
}

/* R54, R59: however large the pages of a pool are, a program gives up pages of the kernel. */
TEST(purge__less_than_a_page_of_the_pool__reads_as_zeros)
{
	enum { KERNEL_PAGE = 64 << 10 /* of any kernel */, SIZE = 2 * WINDOW };
	struct mhp_pool_opts opts = { .max_bytes = 4 * SIZE, .block_bytes = 2 * SIZE,
				      .page_bytes = WINDOW };
	struct mhp_pool *pool = fixture_pool(&opts);
	fixture_add(pool, NULL, 2 * SIZE, NULL);
	struct mhp_region *region = fixture_region(pool, SIZE);
	char *base = mhp_region_base(region), *inner = base + 2 * KERNEL_PAGE;
	CHECK_OK(mhp_region_commit(region, base, SIZE));
	memset(base, 1, SIZE);
	CHECK_OK(mhp_region_purge(region, inner, WINDOW)); /* the end of one, and of the next */
	CHECK_OK(mhp_region_purge(region, base + SIZE - KERNEL_PAGE, KERNEL_PAGE));
	for (char *at = base; at < base + SIZE; at += KERNEL_PAGE)
		CHECK_EQ(*at, (at < inner || at >= inner + WINDOW) &&
			 at != base + SIZE - KERNEL_PAGE);
	CHECK_EQ(mhp_region_purge(region, base + 1, KERNEL_PAGE), MHP_EINVAL);
	CHECK_EQ(mhp_region_commit(region, base, KERNEL_PAGE), MHP_EINVAL);
	CHECK_EQ(mhp_region_decommit(region, base, KERNEL_PAGE), MHP_EINVAL);
	end_pool(pool, region);
}

/* R66: what others map is charged by pages of the kernel, also where the pool deals in larger ones.
 */
TEST(over__pool_of_large_pages__takes_single_ones)
{
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	struct mhp_pool_opts opts = { .max_bytes = 4 * WINDOW, .block_bytes = 4 * WINDOW,
				      .page_bytes = WINDOW };
	struct mhp_pool *pool = fixture_pool(&opts);
	struct mhp_region *over;
	char *base = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	CHECK(base != MAP_FAILED);
	fixture_add(pool, NULL, 4 * WINDOW, NULL);
	CHECK_OK(mhp_region_create_over(pool, "over", &over, NULL));
	CHECK_EQ(mhp_region_granule(over), page);
	CHECK_OK(mhp_region_commit(over, base, 3 * page));
	CHECK_OK(mhp_region_decommit(over, base + page, page));
	CHECK(mhp_region_used(over, base, page) && !mhp_region_used(over, base + page, page));
	CHECK_OK(mhp_region_decommit(over, base, 3 * page));
	CHECK_OK(munmap(base, 4 * page));
	end_pool(pool, over);
}

/* Every second page has other rights, until the kernel has few mappings left, or none. */
static char *
use_up_mappings(size_t size, bool all)
{
	enum { LEFT = 100 };
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			    0), *at = memory;
	CHECK(memory != MAP_FAILED);
	while (at < memory + size && mprotect(at, page, PROT_READ) == 0)
		at += 2 * page;
	CHECK(at < memory + size && at > memory + 2 * LEFT * page);
	for (int i = 0; !all && i < LEFT / 2; i++)
		CHECK_OK(mprotect(at -= 2 * page, page, PROT_NONE));
	return memory;
}

/* R39: the kernel has no mapping for it, or few, of which each block of huge pages takes one. That
 * is no lack of memory. */
TEST(mappings_are_used_up__add__says_so)
{
	static const struct { const char *backing, *words; } rows[] = {
		{ "ram", "cannot map memory of ram" }, { "hugetlb:2M", "vm.max_map_count" },
	};
	const size_t size = 1UL << 36; /* as many pages as any kernel allows mappings */
	if (TEST_TSAN || TEST_ASAN)
		test_skip("needs plain-build");
	struct mhp_pool *pool = make_pool(1);
	fixture_add(pool, "memfd", BLOCK, NULL); /* what comes after it has a mapping of its own */
	for (size_t i = 0; i < 2; i++) {
		struct mhp_backing backing;
		struct mhp_text why = { "" };
		CHECK_OK(mhp_backing_parse(rows[i].backing, &backing, NULL));
		char *used = use_up_mappings(size, i == 0);
		int err = mhp_pool_add(pool, &backing, BLOCK, NULL, NULL, &why);
		CHECK_OK(munmap(used, size));
		CHECK_RET(err, MHP_ENOSPC);
		CHECK(strstr(why.text, rows[i].words) != NULL);
	}
	fixture_add(pool, NULL, BLOCK, NULL);
	end_pool(pool, NULL);
}

/* R41, R53: what is pinned is not given back; it does not keep a block of `ram`, since it stays. */
TEST(pin__while_held__memory_stays_and_its_block_leaves)
{
	struct mhp_pool *pool = make_pool(2);
	struct mhp_region *region = fixture_region(pool, PAGE);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, PAGE) == 0);
	base[5] = 5;
	CHECK(mhp_region_pin(region, base, 10) == 0 && mhp_region_pin(region, base, 10) == 0);
	CHECK(mhp_region_decommit(region, base, PAGE) == MHP_EBUSY);
	CHECK(mhp_region_purge(region, base, PAGE) == MHP_EBUSY);
	CHECK(mhp_block_offline(mhp_pool_engine(pool), 0, NULL, NULL) == 0);
	CHECK(mhp_region_unpin(region, base, 10) == 0);
	CHECK(mhp_region_decommit(region, base, PAGE) == MHP_EBUSY);
	CHECK(mhp_region_unpin(region, base, 10) == 0);
	CHECK(mhp_region_unpin(region, base, 10) == MHP_ENOENT && base[5] == 5);
	CHECK(mhp_region_decommit(region, base, PAGE) == 0);
	end_pool(pool, region);
}

/* R41: the table of pins has room again when the regions that they were in are gone. */
TEST(pin__region_ends__is_forgotten)
{
	struct mhp_pool *pool = make_pool(1);
	unsigned nr_pins[2] = { 0, 0 };
	for (unsigned round = 0; round < 2; round++) {
		struct mhp_region *region = fixture_region(pool, PAGE);
		char *base = mhp_region_base(region);
		CHECK(mhp_region_commit(region, base, PAGE) == 0);
		int err;
		while ((err = mhp_region_pin(region, base, nr_pins[round] + 1)) == 0)
			nr_pins[round]++;
		CHECK_RET(err, MHP_ENOSPC);
		mhp_region_destroy(region);
	}
	CHECK(nr_pins[0] > 0 && nr_pins[1] == nr_pins[0]);
	end_pool(pool, NULL);
}

/* R39: pages in random order until the mappings are used up: an error, and nothing is lost. */
TEST(mappings__used_up__is_an_error)
{
	struct mhp_pool *pool = make_pool(60);
	struct mhp_region *region = fixture_region(pool, 256 * BLOCK);
	volatile char *base = mhp_region_base(region);
	struct mhp_pool_stats stats;
	uint64_t step = 4096 / 16 + 1, nr = 256 * BLOCK / PAGE, page = 0, done = 0;
	/* One of so many has memory: with all of them it would be 1.8 GiB where pages are large. */
	uint64_t every = (uint64_t)sysconf(_SC_PAGESIZE) / 4096;
	int err = 0;
	/* A stride that scatters addresses, and leaves some free behind each. */
	for (; done < 58 * BLOCK / PAGE && err == 0; done++, page = (page + 4 * step) % nr) {
		err = mhp_region_commit(region, (char *)mhp_region_base(region) + page * PAGE,
					PAGE);
		if (err == 0 && done % every == 0)
			base[page * PAGE] = (char)(page % 127 + 1);
	}
	mhp_pool_get_stats(pool, &stats);
	CHECK(err == MHP_ENOSPC);
	CHECK(stats.mappings <= stats.mappings_max - stats.mappings_max / 8);
	void *own = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(own != MAP_FAILED); /* the program has its share left */
	munmap(own, PAGE);
	/* What grows a mapping at its end needs none. */
	CHECK(mhp_region_commit(region, (char *)mhp_region_base(region) + PAGE, PAGE) == 0);
	page = 0;
	for (uint64_t i = 0; i + 1 < done; i++, page = (page + 4 * step) % nr)
		CHECK(base[page * PAGE] == (char)(i % every == 0 ? page % 127 + 1 : 0));
	end_pool(pool, region);
}

/* Every second page first, so that no two neighbours move in one piece. Values by page. */
static char *
scatter(struct mhp_region *region, uint64_t nr)
{
	char *base = mhp_region_base(region);
	for (uint64_t odd = 0; odd < 2; odd++)
		for (uint64_t i = odd; i < nr; i += 2)
			CHECK(mhp_region_commit(region, base + i * PAGE, PAGE) == 0);
	for (uint64_t i = 0; i < nr; i++)
		base[i * PAGE + i] = (char)(i % 100 + 1);
	return base;
}

static void
check_scattered(const char *base, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		CHECK(base[i * PAGE + i] == (char)(i % 100 + 1));
}

/* Take every block out of use and back. */
static void
move_all(struct mhp_pool *pool, uint32_t nr_blocks)
{
	struct mhp *m = mhp_pool_engine(pool);
	for (uint32_t block = 0; block < nr_blocks; block++) {
		CHECK(mhp_block_offline(m, block, NULL, NULL) == 0);
		CHECK(test_online(m, (struct mhp_blocks){ block, 1 }, MHP_ZONE_MOVABLE, NULL) == 0);
	}
}

/* What the kernel knows of the mappings of a region: their lines in /proc/self/maps. */
static uint64_t
sum_of_mappings(const char *base, uint64_t size)
{
	char line[256];
	unsigned long start, end;
	uint64_t sum = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		CHECK(sscanf(line, "%lx-%lx", &start, &end) == 2);
		if (end <= (uintptr_t)base || start >= (uintptr_t)base + size)
			continue;
		for (const char *c = line; *c != 0; c++)
			sum = sum * 31 + (unsigned char)*c;
	}
	fclose(maps);
	return sum;
}

/* R53, R54: leaving changes numbers and nothing else, whatever the program did to its memory. */
TEST(offline__ordinary_memory__only_gets_other_numbers)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	struct mhp_pool_stats stats;
	char *base = scatter(region, 300);
	CHECK(mprotect(base + 8 * PAGE, PAGE, PROT_READ) == 0);
	CHECK(mprotect(base + 16 * PAGE, PAGE, PROT_NONE) == 0);
	CHECK(madvise(base + 24 * PAGE, PAGE, MADV_DONTFORK) == 0);
	CHECK(mlock(base + 32 * PAGE, PAGE) == 0);
	uint64_t before = sum_of_mappings(base, BLOCK);
	long resident = resident_kb();
	move_all(pool, 3);
	CHECK(sum_of_mappings(base, BLOCK) == before);
	/* The kernel counts in lots of 32 pages for each CPU; a copy of all would be 300 pages. */
	CHECK(resident_kb() <= resident + 192 * (sysconf(_SC_PAGESIZE) >> 10));
	mhp_pool_get_stats(pool, &stats);
	CHECK(stats.relabelled_pages >= 300 && stats.moved_pages == 0);
	CHECK(mprotect(base + 16 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	check_scattered(base, 300);
	end_pool(pool, region);
}

/* R54: locked memory stays, and so does what a page of it says. */
TEST(decommit__locked_memory__refused)
{
	struct mhp_pool *pool = make_pool(2);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = scatter(region, 20);
	CHECK(mlock(base + 8 * PAGE, PAGE) == 0);
	CHECK(mhp_region_decommit(region, base + 8 * PAGE, PAGE) == MHP_EBUSY);
	CHECK(mhp_region_purge(region, base + 8 * PAGE, PAGE) == MHP_EBUSY);
	check_scattered(base, 20);
	end_pool(pool, region);
}

static atomic_bool stop_moving;

static void *
keep_moving(void *arg)
{
	struct mhp *m = mhp_pool_engine(arg);
	for (uint32_t block = 0; !stop_moving; block = (block + 1) % 3) {
		struct mhp_blocks blocks = { block, 1 };
		if (mhp_block_offline(m, block, NULL, NULL) == 0)
			CHECK(test_online(m, blocks, MHP_ZONE_MOVABLE, NULL) == 0);
	}
	return NULL;
}

/* R57: what the engine holds just now is refused, never waited for; nothing is lost by it. */
TEST(decommit__while_blocks_leave__loses_nothing)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	unsigned seed = 1;
	pthread_t thread;
	CHECK(mhp_region_commit(region, base, BLOCK) == 0);
	memset(base, 1, BLOCK);
	CHECK(pthread_create(&thread, NULL, keep_moving, pool) == 0);
	for (unsigned i = 0; i < 20000; i++) {
		char *page = base + (uint64_t)rand_r(&seed) % (BLOCK / PAGE) * PAGE;
		int err = mhp_region_decommit(region, page, PAGE);
		CHECK(err == 0 || err == MHP_EAGAIN);
		if (err != 0)
			continue;
		CHECK(mhp_region_commit(region, page, PAGE) == 0 && *page == 0);
		*page = 1;
	}
	stop_moving = true;
	CHECK(pthread_join(thread, NULL) == 0);
	end_pool(pool, region);
}

/* R38: the child's pool is its own: it commits, moves, adds, removes, and the parent sees none. */
TEST(fork__child__keeps_its_pool)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_region *region = fixture_region(pool, 2 * BLOCK);
	struct mhp_backing backing = { .kind = MHP_BACKING_RAM };
	struct mhp_add_opts add = { .flags = MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE };
	struct mhp_stats stats;
	char *base = scatter(region, 300);
	pid_t pid = fork();
	if (pid == 0) {
		struct mhp_blocks all = { 0, 64 };
		move_all(pool, 3);
		CHECK(mhp_pool_add(pool, &backing, BLOCK, &add, NULL, NULL) == 0);
		CHECK(mhp_region_commit(region, base + BLOCK, BLOCK) == 0 && base[BLOCK] == 0);
		memset(base + BLOCK, 9, BLOCK);
		check_scattered(base, 300);
		memset(base, 7, 300 * PAGE);
		CHECK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL) == 0);
		mhp_region_destroy(region);
		CHECK(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL) == 0);
		_exit(mhp_pool_destroy(pool) != 0);
	}
	fixture_join(pid);
	check_scattered(base, 300);
	mhp_get_stats(mhp_pool_engine(pool), &stats);
	CHECK(stats.blocks_present == 3);
	move_all(pool, 3);
	end_pool(pool, region);
}

/* ---- devices: a memfd stands in for one ---- */

/* What is on `ram`, three blocks, goes to the device. */
static void
go_to_device(struct mhp_pool *pool)
{
	struct mhp_blocks ram = { 0, 3 };
	CHECK_OK(mhp_offline(mhp_pool_engine(pool), &ram, 1, NULL, NULL));
	CHECK_OK(test_online(mhp_pool_engine(pool), ram, MHP_ZONE_MOVABLE, NULL));
}

/* Three blocks of `ram`, four of a device, and a region of 4 MiB whose data is on its way there. */
static char *
make_device(struct mhp_pool **ret_pool, struct mhp_region **ret_region)
{
	struct mhp_pool *pool = *ret_pool = make_pool(3);
	struct mhp_region *region = *ret_region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	fixture_needs_moves(pool);
	CHECK_OK(mhp_region_commit(region, base, BLOCK));
	for (uint64_t i = 0; i < BLOCK / PAGE; i++)
		base[i * PAGE + i] = (char)(i % 100 + 1);
	fixture_add(pool, "memfd", 4 * BLOCK, NULL);
	go_to_device(pool);
	return base;
}

static int
leave_device(struct mhp_pool *pool, struct mhp_why *why)
{
	struct mhp_blocks device = { 3, 4 };
	struct mhp_why unexpected = { 0 };
	int err = mhp_offline(mhp_pool_engine(pool), &device, 1, NULL,
			      why != NULL ? why : &unexpected);
	if (unexpected.text[0] != 0)
		fprintf(stderr, "%s\n", unexpected.text);
	if (err == 0)
		CHECK(test_online(mhp_pool_engine(pool), device, MHP_ZONE_MOVABLE, NULL) == 0);
	return err;
}

/* R56: what a pool with a device has in the companion ends with it, however many there were. */
TEST(device__in_one_pool_after_another__always_works)
{
	for (unsigned i = 0; i < 25; i++) {
		struct mhp_pool *pool;
		struct mhp_region *region;
		make_device(&pool, &region);
		fixture_await_settled(pool, BLOCK);
		end_pool(pool, region);
	}
}

/* R37, R55: there and back again, and as many mappings as before. */
TEST(device__there_and_back__data_is_right)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base = make_device(&pool, &region);
	for (unsigned turn = 0; turn < 10; turn++) {
		struct mhp_pool_stats stats = fixture_await_settled(pool, BLOCK);
		CHECK(stats.mappings <= 4);
		check_scattered(base, BLOCK / PAGE);
		CHECK(leave_device(pool, NULL) == 0);
		check_scattered(base, BLOCK / PAGE);
		go_to_device(pool);
	}
	end_pool(pool, region);
}

/* R55: pages that go one by one, in no order, are at home there in the end, too. */
TEST(device__pages_went_one_by_one__they_settle)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	fixture_needs_moves(pool);
	for (uint64_t i = BLOCK / PAGE; i-- > 0;) {
		CHECK_OK(mhp_region_commit(region, base + i * PAGE, PAGE));
		base[i * PAGE + i] = (char)(i % 100 + 1);
	}
	fixture_add(pool, "memfd", 4 * BLOCK, NULL);
	go_to_device(pool);
	(void)fixture_await_settled(pool, BLOCK);
	check_scattered(base, BLOCK / PAGE);
	end_pool(pool, region);
}

/* R54: a device that is added takes no memory, and is not locked. */
TEST(device__what_is_mapped_later_is_locked__is_not)
{
	char path[] = "/dev/shm/region.XXXXXX", words[64];
	if (geteuid() != 0)
		test_skip("needs root");
	if (TEST_TSAN)
		test_skip("needs plain-build"); /* all of its shadow would be locked, too */
	struct mhp_pool *pool = make_pool(1);
	int fd = mkstemp(path);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)(4 * BLOCK)) == 0);
	close(fd);
	snprintf(words, sizeof(words), "file:%s", path);
	unsigned long locked = fixture_status_kib("VmLck");
	(void)mhp_pool_can_move(pool, NULL); /* who serves it is there */
	CHECK_EQ(mlockall(MCL_FUTURE), 0);
	long resident = resident_kb();
	fixture_add(pool, words, 4 * BLOCK, NULL);
	CHECK_CMP(resident_kb() - resident, <, (long)(2 * BLOCK >> 10));
	CHECK_CMP(fixture_status_kib("VmLck") - locked, <, 2 * BLOCK >> 10);
	CHECK_EQ(munlockall(), 0);
	unlink(path);
	end_pool(pool, NULL);
}

/* R59: the direct map keeps no page of it; and what came back has left the file. */
TEST(device__touched_there__is_resident_once)
{
	if (TEST_TSAN)
		test_skip("needs plain-build"); /* its shadow is resident, too */
	const long block = (long)(BLOCK >> 10);
	long empty = resident_kb(), shared = (long)fixture_status_kib("RssShmem");
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	check_scattered(base, BLOCK / PAGE);
	CHECK_CMP(resident_kb() - empty, <, block + block / 2);
	CHECK(leave_device(pool, NULL) == 0);
	check_scattered(base, BLOCK / PAGE);
	CHECK_CMP((long)fixture_status_kib("RssShmem") - shared, <, block / 2);
	CHECK_CMP(resident_kb() - empty, <, block + block / 2);
	end_pool(pool, region);
}

/* R54: what the program locked stays, and its block says so. */
TEST(device__locked_memory__is_busy_with_that_reason)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_why why = { 0 };
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	CHECK(mlock(base + 5 * PAGE, PAGE) == 0);
	CHECK(leave_device(pool, &why) == MHP_EBUSY);
	CHECK(strstr(why.text, "locked by mlock") != NULL);
	CHECK(munlock(base + 5 * PAGE, PAGE) == 0);
	CHECK(mprotect(base + 5 * PAGE, PAGE, PROT_READ) == 0);
	CHECK(leave_device(pool, &why) == MHP_EBUSY);
	CHECK(strstr(why.text, "read-only by mprotect") != NULL);
	CHECK(mprotect(base + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(leave_device(pool, NULL) == 0);
	check_scattered(base, BLOCK / PAGE);
	end_pool(pool, region);
}

/* R54: so does all of it, block by block: the engine names what was the first to stay. */
TEST(device__all_is_locked__is_busy_with_that_reason)
{
	enum { BLOCKS = 3 };
	struct mhp_blocks ram = { 0, 2 * BLOCKS }, device = { 2 * BLOCKS, 2 * BLOCKS };
	struct mhp_pool *pool = make_pool(2 * BLOCKS);
	struct mhp_region *region = fixture_region(pool, BLOCKS * BLOCK);
	struct mhp *m = mhp_pool_engine(pool);
	struct mhp_why why = { 0 };
	char *base = mhp_region_base(region);
	fixture_needs_moves(pool);
	CHECK_OK(mhp_region_commit(region, base, BLOCKS * BLOCK));
	fixture_write(base, BLOCKS * BLOCK);
	fixture_add(pool, "memfd", 2 * BLOCKS * BLOCK, NULL);
	CHECK_OK(mhp_offline(m, &ram, 1, NULL, NULL));
	fixture_await_settled(pool, BLOCKS * BLOCK);
	CHECK_OK(test_online(m, ram, MHP_ZONE_MOVABLE, NULL));
	CHECK_EQ(mlock(base, BLOCKS * BLOCK), 0);
	CHECK_RET(mhp_offline(m, &device, 1, NULL, &why), MHP_EBUSY);
	test_at("%s", why.text);
	CHECK(strstr(why.text, "locked by mlock") != NULL);
	CHECK_EQ(munlock(base, BLOCKS * BLOCK), 0);
	CHECK_OK(mhp_offline(m, &device, 1, NULL, &why));
	fixture_check(base, BLOCKS * BLOCK);
	end_pool(pool, region);
}

/* R54: so does what it did before its memory could go there. */
TEST(device__advised_memory__does_not_go)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base = make_device(&pool, &region);
	struct mhp_blocks ram = { 0, 3 };
	fixture_await_settled(pool, BLOCK);
	CHECK(leave_device(pool, NULL) == 0);
	CHECK(madvise(base + 5 * PAGE, PAGE, MADV_WIPEONFORK) == 0);
	CHECK(mhp_offline(mhp_pool_engine(pool), &ram, 1, NULL, NULL) == 0);
	fixture_await_settled(pool, BLOCK - WINDOW); /* all but one */
	check_scattered(base, BLOCK / PAGE);
	CHECK(test_online(mhp_pool_engine(pool), ram, MHP_ZONE_MOVABLE, NULL) == 0);
	end_pool(pool, region);
}

/* R38: the child has its own copy of what lies on a device, and of the engine's notes there. */
TEST(device__fork__child_has_its_own)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	CHECK(mlock(base + 5 * PAGE, PAGE) == 0); /* this window cannot come back */
	pid_t pid = fork();
	if (pid == 0) {
		check_scattered(base, BLOCK / PAGE);
		CHECK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL) == 0);
		CHECK(leave_device(pool, NULL) == 0);
		memset(base, 7, BLOCK);
		_exit(0);
	}
	fixture_join(pid);
	CHECK(munlock(base + 5 * PAGE, PAGE) == 0);
	check_scattered(base, BLOCK / PAGE);
	fixture_await_settled(pool, BLOCK); /* it went there again */
	check_scattered(base, BLOCK / PAGE);
	CHECK(leave_device(pool, NULL) == 0);
	end_pool(pool, region);
}

static volatile sig_atomic_t nr_faults;

/* Whoever touches what is inaccessible may go on. */
static void
allow(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	nr_faults++;
	mprotect((void *)((uintptr_t)info->si_addr & ~(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
}

/* R38: a fork copies what was made inaccessible there, too, and it is so in the child. */
TEST(device__made_inaccessible__child_has_it_so)
{
	struct sigaction action = { .sa_sigaction = allow, .sa_flags = SA_SIGINFO }, before;
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	CHECK(mprotect(base + 5 * PAGE, PAGE, PROT_NONE) == 0);
	CHECK(mprotect(base + 7 * PAGE, 2 * PAGE, PROT_READ) == 0);
	CHECK(sigaction(SIGSEGV, &action, &before) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		CHECK_EQ(nr_faults, 0);
		check_scattered(base, BLOCK / PAGE);
		CHECK_EQ(nr_faults, 1);
		memset(base, 7, BLOCK);
		CHECK_EQ(nr_faults, 3);
		_exit(0);
	}
	fixture_join(pid);
	CHECK_EQ(nr_faults, 0);
	CHECK(mprotect(base + 5 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(sigaction(SIGSEGV, &before, NULL) == 0);
	check_scattered(base, BLOCK / PAGE);
	end_pool(pool, region);
}

/* R54: what a device writes to is where it was when it was registered. */
TEST(device__registered_with_io_uring__is_busy_with_that_reason)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_why why = { 0 };
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	int ring = fixture_ring(base + 5 * PAGE, PAGE);
	CHECK(leave_device(pool, &why) == MHP_EBUSY);
	CHECK(strstr(why.text, "registered with an io_uring") != NULL);
	close(ring);
	CHECK(leave_device(pool, NULL) == 0);
	check_scattered(base, BLOCK / PAGE);
	end_pool(pool, region);
}

/* R38: I/O may be under way in a window with a pin: a fork brings back the other one only. */
TEST(device__pinned__fork_leaves_it_there)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_pool_stats before, after;
	char *base = make_device(&pool, &region);
	before = fixture_await_settled(pool, BLOCK);
	CHECK(mhp_region_pin(region, base, PAGE) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		check_scattered(base, BLOCK / PAGE);
		_exit(0);
	}
	fixture_join(pid);
	after = fixture_await_settled(pool, BLOCK);
	CHECK(after.moved_pages - before.moved_pages == 2 * (BLOCK - WINDOW) / 4096);
	check_scattered(base, BLOCK / PAGE);
	CHECK(mhp_region_unpin(region, base, PAGE) == 0);
	end_pool(pool, region);
}

/* R59: pages of zeros are not copied, so nothing may be where they go. */
TEST(device__zeros_go_where_data_was__read_as_zeros)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	CHECK(leave_device(pool, NULL) == 0);
	memset(base, 0, BLOCK);
	base[5 * PAGE] = 1;
	go_to_device(pool);
	fixture_await_settled(pool, BLOCK);
	for (uint64_t i = 0; i < BLOCK; i++)
		CHECK(base[i] == (i == 5 * PAGE));
	end_pool(pool, region);
}

/* R59, R35: what is given up on a device reads as zeros. */
TEST(device__purge_and_decommit__read_as_zeros)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	CHECK(mhp_region_purge(region, base, 16 * PAGE) == 0 && base[5 * PAGE + 5] == 0);
	CHECK(mhp_region_decommit(region, base + 16 * PAGE, 16 * PAGE) == 0);
	CHECK(mhp_region_commit(region, base + 16 * PAGE, 16 * PAGE) == 0);
	CHECK(base[20 * PAGE + 20] == 0 && base[40 * PAGE + 40] == 41);
	end_pool(pool, region);
}

/* What a file of memory has of it. */
static uint64_t
memory_of(int fd)
{
	struct stat st;
	CHECK(fstat(fd, &st) == 0);
	return (uint64_t)st.st_blocks * 512;
}

/* R59: what came back, or is not wanted any more, is not memory of a file a second time. */
TEST(device__file_on_tmpfs__has_no_memory_of_what_is_gone)
{
	char words[64];
	int fd = memfd_create("tmpfs", MFD_CLOEXEC);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)BLOCK) == 0);
	snprintf(words, sizeof(words), "file:/proc/%d/fd/%d,node=4", (int)getpid(), fd);
	struct mhp_pool *pool = make_pool(1);
	struct mhp_region *region = fixture_region(pool, WINDOW);
	char *base = mhp_region_base(region);
	fixture_needs_moves(pool);
	CHECK_OK(mhp_region_commit(region, base, WINDOW));
	fixture_write(base, WINDOW);
	fixture_add(pool, words, BLOCK, NULL);
	uint64_t before = memory_of(fd);
	for (unsigned turn = 0; turn < 2; turn++) {
		fixture_send(pool, region, base, WINDOW, 4);
		CHECK_EQ(memory_of(fd), before + WINDOW);
		if (turn == 0)
			fixture_send(pool, region, base, WINDOW, 0);
		else
			CHECK_AGAIN(mhp_region_decommit(region, base, WINDOW));
		CHECK_EQ(memory_of(fd), before);
	}
	end_pool(pool, region);
	close(fd);
}

/* R54, R55: what is purged stays where it is, in one mapping, and locked if it was; the device has
 * less of it. */
TEST(device__purged__stays_there_and_locked)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_pool_stats stats;
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	mhp_pool_get_stats(pool, &stats);
	uint64_t mappings = stats.mappings;
	CHECK(mlock(base + 5 * PAGE, PAGE) == 0);
	unsigned long locked = fixture_status_kib("VmLck");
	check_scattered(base, BLOCK / PAGE); /* it is mapped once it is touched */
	long resident = resident_kb();
	CHECK(mhp_region_purge(region, base, BLOCK / 2) == 0);
	CHECK(fixture_status_kib("VmLck") == locked && locked > 0);
	/* A byte in each page was written. */
	long written = (long)(BLOCK / PAGE) * (sysconf(_SC_PAGESIZE) >> 10);
	CHECK(resident - resident_kb() > written / 4);
	mhp_pool_get_stats(pool, &stats);
	CHECK(stats.settled_bytes == BLOCK && stats.mappings == mappings);
	for (uint64_t i = 0; i < BLOCK / PAGE; i++)
		CHECK(base[i * PAGE + i] == (char)(i * PAGE < BLOCK / 2 ? 0 : i % 100 + 1));
	end_pool(pool, region);
}

/* R37: a large page whose first pages were purged is on the device as before. */
TEST(device__large_page_purged_in_part__the_rest_comes_back)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	CHECK(mhp_region_purge(region, base, 4 * PAGE) == 0);
	CHECK(leave_device(pool, NULL) == 0);
	for (uint64_t i = 0; i < BLOCK / PAGE; i++)
		CHECK(base[i * PAGE + i] == (char)(i < 4 ? 0 : i % 100 + 1));
	end_pool(pool, region);
}

/* R80: with every second page in use, single pages go there, where they are large enough. */
TEST(device__every_second_page__goes_as_pages_of_the_pool)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_blocks ram = { 0, 3 };
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	CHECK(leave_device(pool, NULL) == 0);
	for (uint64_t i = 1; i < BLOCK / PAGE; i += 2)
		CHECK(mhp_region_decommit(region, base + i * PAGE, PAGE) == 0);
	check_pages(pool);
	CHECK(mhp_offline(mhp_pool_engine(pool), &ram, 1, NULL, NULL) == 0);
	fixture_await_settled(pool, PAGE < 65536 ? 0 : BLOCK / 2);
	CHECK(test_online(mhp_pool_engine(pool), ram, MHP_ZONE_MOVABLE, NULL) == 0);
	for (uint64_t i = 0; i < BLOCK / PAGE; i += 2)
		CHECK(base[i * PAGE + i] == (char)(i % 100 + 1));
	end_pool(pool, region);
}

/* R54: what is pinned of such a page is still on the device. */
TEST(device__large_page_purged_in_part__its_pins_hold)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_why why = { 0 };
	struct mhp_blocks device = { 3, 4 };
	struct mhp_offline_opts dry = { .dry_run = true };
	char *base = make_device(&pool, &region);
	fixture_await_settled(pool, BLOCK);
	CHECK(mhp_region_purge(region, base, 4 * PAGE) == 0);
	CHECK(mhp_region_pin(region, base + 8 * PAGE, PAGE) == 0);
	CHECK(mhp_offline(mhp_pool_engine(pool), &device, 1, &dry, NULL) == MHP_EBUSY);
	CHECK(leave_device(pool, &why) == MHP_EBUSY);
	CHECK(strstr(why.text, "pinned") != NULL);
	CHECK(mhp_region_unpin(region, base + 8 * PAGE, PAGE) == 0);
	CHECK(leave_device(pool, NULL) == 0);
	end_pool(pool, region);
}

/* R29: what is scattered comes together, but not when the deadline has passed. */
TEST(pack__at_its_deadline__moves_nothing)
{
	struct mhp_pool *pool = make_pool(4);
	struct mhp_region *region = fixture_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	for (uint64_t at = 0; at < 2 * BLOCK; at += 8 * PAGE)
		CHECK(mhp_region_commit(region, base + at, 8 * PAGE) == 0);
	for (uint64_t at = 0; at < 2 * BLOCK; at += 16 * PAGE)
		CHECK(mhp_region_decommit(region, base + at, 8 * PAGE) == 0);
	mhp_drain_caches(mhp_pool_engine(pool));
	CHECK(mhp_pool_pack(pool, 0, 0) == 0);
	CHECK(mhp_pool_pack(pool, 2, 30000) == 0); /* a node that has nothing */
	CHECK(mhp_pool_pack(pool, 0, 30000) > 0);
	end_pool(pool, region);
}

/* R36: the kernel says where the pages of the region must come from. */
TEST(backing__bound_to_a_node__so_are_its_pages)
{
	struct mhp_pool *pool = make_pool(1);
	struct mhp_blocks all = { 0, 64 };
	struct mhp_add_opts add = { .flags = MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE };
	struct mhp_backing backing;
	struct mhp_text text = { "" };
	unsigned long mask[16] = { 0 };
	int mode = -1;
	CHECK(mhp_backing_parse("ram,node=0", &backing, &text) == 0);
	CHECK(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL) == 0);
	CHECK(mhp_pool_add(pool, &backing, 2 * BLOCK, &add, NULL, &text) == 0);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, 8 * PAGE) == 0);
	memset(base, 1, 8 * PAGE);
	/* Kernels without NUMA have no such call. */
	long err = syscall(SYS_get_mempolicy, &mode, mask, sizeof(mask) * 8, base, MPOL_F_ADDR);
	if (err == 0)
		CHECK(mode == MPOL_BIND && mask[0] == 1);
	CHECK(mhp_backing_parse("ram,node=1000", &backing, &text) == 0);
	CHECK(mhp_pool_add(pool, &backing, BLOCK, &add, NULL, &text) == MHP_ENOENT);
	CHECK(strstr(text.text, "1000") != NULL);
	/* To `ram` of no node and back: the policy goes with the number. */
	struct mhp_blocks bound = { 0, 2 }, other = { 2, 1 };
	backing.bind = false;
	CHECK(mhp_pool_add(pool, &backing, BLOCK, &add, NULL, &text) == 0);
	CHECK(mhp_offline(mhp_pool_engine(pool), &bound, 1, NULL, NULL) == 0);
	if (syscall(SYS_get_mempolicy, &mode, mask, sizeof(mask) * 8, base, MPOL_F_ADDR) == 0)
		CHECK(mode == MPOL_DEFAULT);
	CHECK(test_online(mhp_pool_engine(pool), bound, MHP_ZONE_MOVABLE, NULL) == 0);
	CHECK(mhp_offline(mhp_pool_engine(pool), &other, 1, NULL, NULL) == 0);
	if (syscall(SYS_get_mempolicy, &mode, mask, sizeof(mask) * 8, base, MPOL_F_ADDR) == 0)
		CHECK(mode == MPOL_BIND && mask[0] == 1);
	CHECK(base[0] == 1 && base[8 * PAGE - 1] == 1);
	end_pool(pool, region);
}

/* R36 */
TEST(backing__that_the_machine_lacks__is_named)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	struct mhp_pool *pool = make_pool(1), *large;
	struct mhp_pool_opts opts = { .max_bytes = 1UL << 41, .block_bytes = BLOCK };
	struct mhp_backing backing;
	struct mhp_text text = { "" };
	CHECK(mhp_pool_create(&opts, &large, &text) == 0);
	CHECK(mhp_backing_parse("floppy", &backing, &text) == MHP_EINVAL && text.text[0] != 0);
	CHECK(mhp_backing_parse("dax:/dev/no-such-dax,node=0", &backing, &text) == 0);
	CHECK(backing.node == 0 && strcmp(backing.path, "/dev/no-such-dax") == 0);
	if (mhp_pool_can_move(pool, NULL)) {
		CHECK(mhp_pool_add(pool, &backing, BLOCK, NULL, NULL, &text) == MHP_ENOENT);
		CHECK(strstr(text.text, "/dev/no-such-dax") != NULL);
		CHECK(mhp_backing_parse("dax:/dev/null", &backing, &text) == 0);
		CHECK(mhp_pool_add(pool, &backing, BLOCK, NULL, NULL, &text) == MHP_ENODEV);
	}
	CHECK(mhp_backing_parse("hugetlb:2M", &backing, &text) == 0);
	/* More than any machine that this runs on has reserved. */
	int err = mhp_pool_add(large, &backing, 1UL << 40, NULL, NULL, &text);
	CHECK(err != 0 && err != MHP_ENXIO && text.text[0] != 0);
	CHECK(mhp_pool_destroy(large) == 0);
	CHECK(mhp_backing_parse("hugetlb:1G", &backing, &text) == 0);
	CHECK(mhp_pool_add(pool, &backing, BLOCK, NULL, NULL, &text) == MHP_EOPNOTSUPP);
	CHECK(strstr(text.text, "hugetlb:2M") != NULL);
	CHECK(mhp_backing_parse("memfd", &backing, &text) == 0);
	CHECK(mhp_pool_add(pool, &backing, BLOCK + PAGE, NULL, NULL, &text) == MHP_EINVAL);
	CHECK(mhp_pool_add(pool, &backing, 64 * BLOCK, NULL, NULL, &text) == MHP_ENXIO);
	end_pool(pool, NULL);
}

/* Threads, or descriptors, of this process. */
static unsigned
count_entries(const char *folder)
{
	unsigned count = 0;
	DIR *entries = opendir(folder);
	CHECK(entries != NULL);
	while (readdir(entries) != NULL)
		count++;
	closedir(entries);
	return count;
}

/* R36: two pools on one file would write over each other. What they take for it ends with them. */
TEST(backing__file_of_another_pool__is_busy)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	unsigned threads = count_entries("/proc/self/task"), fds = count_entries("/proc/self/fd");
	struct mhp_pool *first = make_pool(1), *second = make_pool(1);
	struct mhp_backing backing = { .kind = MHP_BACKING_FILE };
	struct mhp_text text = { "" };
	struct mhp_blocks added = { 1, 1 };
	snprintf(backing.path, sizeof(backing.path), "/tmp/memplug-region-test.XXXXXX");
	int fd = mkstemp(backing.path);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)(2 * BLOCK)) == 0);
	CHECK(mhp_pool_add(first, &backing, BLOCK, NULL, NULL, NULL) == 0);
	CHECK(mhp_pool_add(second, &backing, BLOCK, NULL, NULL, &text) == MHP_EBUSY);
	CHECK(strstr(text.text, "in use") != NULL);
	CHECK(mhp_remove(mhp_pool_engine(first), &added, 1, NULL, NULL) == 0);
	end_pool(first, NULL);
	CHECK(mhp_pool_add(second, &backing, BLOCK, NULL, NULL, NULL) == 0);
	end_pool(second, NULL);
	close(fd);
	unlink(backing.path);
	CHECK(count_entries("/proc/self/fd") == fds);
	CHECK(count_entries("/proc/self/task") == threads);
}

/* R42 */
TEST(add__64_tib__plugs_and_leaves)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	uint64_t size = UINT64_C(64) << 40;
	struct mhp_pool_opts opts = { .max_bytes = size };
	struct mhp_backing backing = { .kind = MHP_BACKING_MEMFD };
	struct mhp_add_opts add = { .flags = MHP_ADD_OFFLINE | MHP_MEMMAP_ON_MEMORY };
	struct mhp_blocks all = { 0, (uint32_t)(size >> 27) };
	struct mhp_pool *pool;
	CHECK(mhp_pool_create(&opts, &pool, NULL) == 0);
	CHECK(mhp_pool_add(pool, &backing, size, &add, NULL, NULL) == 0);
	CHECK(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL) == 0);
	CHECK(mhp_pool_destroy(pool) == 0);
}
