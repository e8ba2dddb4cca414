/* SPDX-License-Identifier: MIT */
/*
 * ops.c - the port's table of functions: what the engine asks of a pool.
 *
 * mhp_pool_add() maps a whole range as one piece before the engine hears of it, so that map() only
 * has to look; an add that did not come that way gets ordinary memory. Blocks that go are collected
 * and given back as one piece when the engine lets go of its lock.
 */
#define _GNU_SOURCE
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <memplug/companion.h>

#include "pool.h"

/* About what a fork takes. */
#define FORK_NS UINT64_C(50000)

/* A kill leaves a range that is right, or none: then the engine unmaps the last one again. */
static void
set_gone(struct mhp_pool *pool, uint64_t start, uint64_t end)
{
	atomic_store(&pool->gone_end, 0);
	atomic_store(&pool->gone_start, start);
	atomic_store(&pool->gone_end, end);
}

/* Where a kill came in between, some are unmapped. */
static void
give_back(struct mhp_pool *pool)
{
	struct mhp__space *space = &pool->space;
	uint32_t block = mhp__space_block(space, pool->gone_start);
	uint32_t end = mhp__space_block(space, pool->gone_end), next;
	for (; block < end; block = next) {
		next = block + 1;
		if (space->slot[block].file1 == 0)
			continue;
		while (next < end && space->slot[next].file1 != 0)
			next++;
		mhp__space_unmap(space, block, next - block);
	}
	if (pool->gone_end != 0)
		set_gone(pool, 0, 0);
}

/* Nobody said where the memory of a block shall come from. */
static int
take_ram(struct mhp__space *space, uint32_t block)
{
	static const struct mhp_backing ram = { .kind = MHP_BACKING_RAM };
	uint16_t file;
	int err = mhp__file_open(space, &ram, &file, NULL);
	if (err != 0)
		return err;
	space->placer = 0; /* it is the engine's at once */
	if (!mhp__space_fill(space, file, block, 1))
		return MHP_ENOSPC;
	err = mhp__space_map(space, block, 1, NULL);
	if (err != 0)
		mhp__space_unmap(space, block, 1);
	return err;
}

static int
op_map(void *port, struct mhp_phys start, uint64_t size, unsigned node)
{
	struct mhp_pool *pool = port;
	uint32_t block = mhp__space_block(&pool->space, start.addr);
	(void)size;
	if (start.addr >= pool->gone_start && start.addr < pool->gone_end)
		give_back(pool);
	int err = pool->space.slot[block].file1 != 0 ? 0 : take_ram(&pool->space, block);
	if (err != 0)
		return err;
	pool->space.slot[block].node = (uint8_t)node;
	pool->space.slot[block].taken = true;
	return 0;
}

static void
op_unmap(void *port, struct mhp_phys start, uint64_t size)
{
	struct mhp_pool *pool = port;
	uint64_t end = start.addr + size;
	if (pool->space.slot[mhp__space_block(&pool->space, start.addr)].file1 == 0)
		return; /* after a kill: it is, or never was there */
	if (pool->gone_end != 0 && end == pool->gone_start) {
		pool->gone_start = start.addr;
	} else if (pool->gone_end != 0 && start.addr == pool->gone_end) {
		pool->gone_end = end;
	} else if (start.addr < pool->gone_start || end > pool->gone_end) {
		give_back(pool);
		set_gone(pool, start.addr, end);
	}
}

/* In the companion. */
static int
close_unused(void *arg)
{
	struct mhp_pool *pool = arg;
	mhp__file_put_unused(&pool->space);
	return 0;
}

void
mhp__pool_close_unused(struct mhp_pool *pool)
{
	bool any = false;
	for (unsigned i = 0; i < MHP__FILES_MAX; i++)
		any |= pool->space.file[i].fd >= 0 && pool->space.file[i].has_place &&
		       pool->space.file[i].nr_blocks == 0;
	if (any)
		(void)!mhp_companion_call(close_unused, pool, NULL);
}

static int
op_memmap_map(void *port, void *virt, struct mhp_phys backing, uint64_t nr, unsigned granule_shift,
	      struct mhp_altmap *altmap)
{
	(void)port, (void)virt, (void)backing, (void)nr, (void)granule_shift, (void)altmap;
	return MHP_EOPNOTSUPP; /* this port is built with the table model */
}

static void
op_memmap_unmap(void *port, void *virt, uint64_t nr, unsigned granule_shift,
		struct mhp_altmap *altmap)
{
	(void)port, (void)virt, (void)nr, (void)granule_shift, (void)altmap;
}

static int
op_meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta)
{
	(void)port;
	void *virt = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (virt == MAP_FAILED)
		return MHP_ENOMEM;
	*ret_meta = (struct mhp_meta){ .virt = virt, .phys = { (uint64_t)(uintptr_t)virt },
				       .size = size, .node = (uint8_t)node };
	return 0;
}

static void
op_meta_free(void *port, const struct mhp_meta *meta)
{
	(void)port;
	munmap(meta->virt, meta->size);
}

static uint64_t
op_self(void *port)
{
	(void)port;
	return (uint64_t)pthread_self();
}

static void
op_pause(void *port, uint64_t ns)
{
	struct timespec time = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
	(void)port;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void
op_lock(void *port)
{
	struct mhp_pool *pool = port;
	/* A fork goes first: a thread that takes the lock again and again would keep it waiting.
	 * But it waits for a recovery. */
	while (atomic_load(&pool->forking) && atomic_load(&pool->mender) != op_self(port))
		op_pause(pool, FORK_NS);
	mhp__pool_lock_hotplug(pool);
	atomic_store(&pool->hotplug_holder, op_self(port));
	pool->busy.end = pool->first_busy.end = 0; /* what was in the way may have gone */
}

static void
op_unlock(void *port)
{
	struct mhp_pool *pool = port;
	give_back(pool);
	mhp__pool_close_unused(pool); /* a device that has left is free for others */
	atomic_store(&pool->hotplug_holder, 0);
	pthread_mutex_unlock(&pool->hotplug);
}

static uint64_t
op_now_ns(void *port)
{
	struct timespec now;
	(void)port;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void
op_fence_cpus(void *port)
{
	(void)port;
	/* Registered by mhp_pool_create(); kernels without the rseq kind get the plain one. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) != 0)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

const struct mhp_port_ops mhp__linux_ops = {
	.map = op_map,
	.unmap = op_unmap,
	.memmap_map = op_memmap_map,
	.memmap_unmap = op_memmap_unmap,
	.meta_alloc = op_meta_alloc,
	.meta_free = op_meta_free,
	.lock = op_lock,
	.unlock = op_unlock,
	.self = op_self,
	.now_ns = op_now_ns,
	.pause = op_pause,
	.fence_cpus = op_fence_cpus,
};
