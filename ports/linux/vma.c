/* SPDX-License-Identifier: MIT */
/*
 * vma.c - the budget of kernel mappings: a process has max_map_count of them, and others need some.
 *
 * Each discontinuity of a region costs a mapping. The regions count theirs exactly (table.c); the
 * rest of the process is counted now and then from /proc. An eighth of the limit stays for the
 * program. A batch of moves that was begun must be finished, so some mappings are kept in hand
 * that can be let go at any time: pages of alternating protection, which cannot merge.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool.h"

#define COUNT_AGAIN_NS UINT64_C(1000000000)

static uint64_t
count_mappings(void)
{
	char text[4096];
	uint64_t lines = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 1024;
	for (ssize_t got; (got = read(fd, text, sizeof(text))) > 0;)
		for (ssize_t i = 0; i < got; i++)
			lines += text[i] == '\n';
	close(fd);
	return lines;
}

static uint64_t
region_mappings(const struct mhp_pool *pool)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (pool->region[i].live)
			sum += pool->region[i].nr_runs;
	return sum;
}

static void
count_again(struct mhp_pool *pool)
{
	uint64_t now = mhp__linux_ops.now_ns(pool);
	if (pool->map_counted_ns != 0 && now - pool->map_counted_ns < COUNT_AGAIN_NS)
		return;
	uint64_t all = count_mappings(), ours = region_mappings(pool);
	pool->map_limit = mhp__read_number("/proc/sys/vm/max_map_count");
	if (pool->map_limit == 0)
		pool->map_limit = 65530;
	pool->map_foreign = all > ours ? all - ours : 0;
	pool->map_counted_ns = now;
}

bool
mhp__mappings_fit(struct mhp_pool *pool, uint64_t nr)
{
	uint64_t ours = region_mappings(pool);
	if (pool->map_counted_ns == 0 ||
	    ours + pool->map_foreign + nr > pool->map_limit / 2)
		count_again(pool);
	pool->stats.mappings = ours;
	pool->stats.mappings_max = pool->map_limit;
	return ours + pool->map_foreign + nr <= pool->map_limit - pool->map_limit / 8;
}

void
mhp__spare_take(struct mhp_pool *pool)
{
	if (pool->spare_there)
		return;
	uint64_t size = MHP__SPARE_MAPPINGS * MHP__PAGE_BYTES;
	void *memory =
		mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return;
	pool->spare = memory;
	pool->spare_there = true;
	for (unsigned i = 1; i < MHP__SPARE_MAPPINGS; i += 2)
		mprotect(pool->spare + i * MHP__PAGE_BYTES, MHP__PAGE_BYTES, PROT_READ);
}

void
mhp__spare_drop(struct mhp_pool *pool)
{
	if (!pool->spare_there)
		return;
	munmap(pool->spare, MHP__SPARE_MAPPINGS * MHP__PAGE_BYTES);
	pool->spare_there = false;
}
