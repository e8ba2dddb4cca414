/* SPDX-License-Identifier: MIT */
/*
 * space.c - the physical address space of a pool, and the port's table of functions over it.
 *
 * The direct map is one reservation; what is plugged is mapped over it, shared, hidden from
 * forked children. mhp_pool_add() maps a whole range as one piece before the engine hears of it,
 * so that ops->map only has to look; blocks that go are collected and given back as one piece when
 * the engine lets go of its lock. Invariant: slot[b].file1 != 0 <=> block b is mapped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "space.h"

static uint32_t
phys_block(const struct mhp_pool *pool, uint64_t phys)
{
	return (uint32_t)(phys / pool->block_bytes);
}

static uint64_t
slot_offset(const struct mhp_pool *pool, uint32_t block)
{
	return pool->slot[block].offset_blocks * pool->block_bytes;
}

const struct mhp__file *
mhp__frame_file(const struct mhp_pool *pool, uint64_t pfn, uint64_t *ret_offset)
{
	uint64_t phys = pfn << MHP__PAGE_SHIFT;
	uint32_t block = phys_block(pool, phys);
	*ret_offset = slot_offset(pool, block) + phys % pool->block_bytes;
	return &pool->file[pool->slot[block].file1 - 1];
}

bool
mhp__frames_adjoin(const struct mhp_pool *pool, uint64_t pfn)
{
	uint64_t phys = (pfn + 1) << MHP__PAGE_SHIFT;
	if (phys % pool->block_bytes != 0)
		return true;
	const struct mhp__slot *slot = &pool->slot[phys_block(pool, phys) - 1];
	return slot[0].file1 == slot[1].file1 && slot[0].offset_blocks + 1 == slot[1].offset_blocks;
}

/* Call for frames block by block: punched where the file is sparse; else set to zero, if asked. */
static void
drop(struct mhp_pool *pool, uint64_t pfn, uint64_t nr, bool zero)
{
	while (nr > 0) {
		uint64_t offset;
		const struct mhp__file *file = mhp__frame_file(pool, pfn, &offset);
		uint64_t in_block =
			(pool->block_bytes - offset % pool->block_bytes) >> MHP__PAGE_SHIFT;
		uint64_t part = nr < in_block ? nr : in_block;
		if (file->sparse)
			mhp__file_punch(file, offset, part << MHP__PAGE_SHIFT);
		else if (zero)
			memset(mhp__frame_virt(pool, pfn), 0, part << MHP__PAGE_SHIFT);
		pfn += part;
		nr -= part;
	}
}

void
mhp__frames_zero(struct mhp_pool *pool, uint64_t pfn, uint64_t nr)
{
	drop(pool, pfn, nr, true);
}

void
mhp__frames_release(struct mhp_pool *pool, uint64_t pfn, uint64_t nr)
{
	drop(pool, pfn, nr, false);
}

/* How many blocks from first on lie next to each other in one file, up to end. */
static uint32_t
same_piece(const struct mhp_pool *pool, uint32_t first, uint32_t end)
{
	uint32_t block = first + 1;
	while (block < end && pool->slot[block].file1 == pool->slot[first].file1 &&
	       pool->slot[block].offset_blocks == pool->slot[block - 1].offset_blocks + 1)
		block++;
	return block - first;
}

static void
reserve(const struct mhp_pool *pool, uint64_t start, uint64_t size)
{
	mmap(pool->direct_map + start, size, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	madvise(pool->direct_map + start, size, MADV_DONTFORK);
}

static int
bind_node(const struct mhp_pool *pool, const struct mhp_backing *backing, uint64_t start,
	  uint64_t size)
{
	unsigned long mask[16] = { 0 };
	if (backing->node < 0 || backing->kind == MHP_BACKING_DAX)
		return 0;
	mask[(unsigned)backing->node / 64] = 1UL << (backing->node % 64);
	long err = syscall(SYS_mbind, pool->direct_map + start, size, 2 /* MPOL_BIND */, mask,
			   sizeof(mask) * 8 + 1, 0);
	return err == 0 ? 0 : errno;
}

/* Why a file cannot be mapped, for a person. */
static int
say_cannot_map(const struct mhp__file *file, int error, struct mhp_text *reterr)
{
	char path[64];
	const struct mhp_backing *backing = &file->backing;
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", backing->node);
	if (backing->node >= 0 && access(path, F_OK) != 0)
		return mhp__say(reterr, MHP_ENOENT,
				"this machine has no NUMA node %d; see /sys/devices/system/node",
				backing->node);
	return mhp__say(reterr, mhp__errno(error), "cannot map memory of %s%s%s: %s",
			mhp_backing_name(backing->kind), backing->path[0] ? " " : "",
			backing->path, strerror(error));
}

int
mhp__space_map(struct mhp_pool *pool, uint32_t first, uint32_t count, struct mhp_text *reterr)
{
	uint32_t end = first + count, block = first;
	while (block < end) {
		const struct mhp__file *file = &pool->file[pool->slot[block].file1 - 1];
		uint32_t piece = same_piece(pool, block, end);
		uint64_t start = block * pool->block_bytes, size = piece * pool->block_bytes;
		int error = mhp__file_valid(file) ? 0 : EBADF;
		if (error == 0 && mmap(pool->direct_map + start, size, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file->fd,
				       (off_t)slot_offset(pool, block)) == MAP_FAILED)
			error = errno;
		if (error == 0)
			error = bind_node(pool, &file->backing, start, size);
		if (error != 0) {
			reserve(pool, first * pool->block_bytes, (end - first) * pool->block_bytes);
			return say_cannot_map(file, error, reterr);
		}
		madvise(pool->direct_map + start, size, MADV_DONTFORK);
		madvise(pool->direct_map + start, size, MADV_DONTDUMP);
		block += piece;
	}
	return 0;
}

void
mhp__space_unmap(struct mhp_pool *pool, uint32_t first, uint32_t count)
{
	uint32_t end = first + count, block = first;
	reserve(pool, first * pool->block_bytes, count * pool->block_bytes);
	while (block < end) {
		uint32_t piece = same_piece(pool, block, end);
		struct mhp__file *file = &pool->file[pool->slot[block].file1 - 1];
		mhp__file_punch(file, slot_offset(pool, block), piece * pool->block_bytes);
		file->nr_blocks -= piece;
		for (uint32_t i = 0; i < piece; i++)
			mhp__file_give(file, pool->slot[block + i].offset_blocks);
		memset(&pool->slot[block], 0, piece * sizeof(pool->slot[0]));
		block += piece;
	}
	if (first < pool->first_free)
		pool->first_free = first;
}

static void
give_back(struct mhp_pool *pool)
{
	if (pool->gone_start == pool->gone_end)
		return;
	mhp__space_unmap(pool, phys_block(pool, pool->gone_start),
			 (uint32_t)((pool->gone_end - pool->gone_start) / pool->block_bytes));
	pool->gone_start = pool->gone_end = 0;
}

/* ---- the port's table ---- */

static int
op_map(void *port, struct mhp_phys start, uint64_t size, unsigned node)
{
	struct mhp_pool *pool = port;
	(void)node;
	(void)size;
	if (start.addr >= pool->gone_start && start.addr < pool->gone_end)
		give_back(pool);
	return pool->slot[phys_block(pool, start.addr)].file1 != 0 ? 0 : MHP_EOPNOTSUPP;
}

static void
op_unmap(void *port, struct mhp_phys start, uint64_t size)
{
	struct mhp_pool *pool = port;
	if (start.addr + size == pool->gone_start) {
		pool->gone_start = start.addr;
	} else if (start.addr == pool->gone_end && pool->gone_end != 0) {
		pool->gone_end += size;
	} else {
		give_back(pool);
		pool->gone_start = start.addr;
		pool->gone_end = start.addr + size;
	}
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
	madvise(virt, size, MADV_DONTFORK);
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

static void
op_lock(void *port)
{
	struct mhp_pool *pool = port;
	pthread_mutex_lock(&pool->hotplug);
}

static void
op_unlock(void *port)
{
	struct mhp_pool *pool = port;
	give_back(pool);
	pthread_mutex_unlock(&pool->hotplug);
}

static uint64_t
op_self(void *port)
{
	(void)port;
	return (uint64_t)pthread_self();
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
op_pause(void *port, uint64_t ns)
{
	struct timespec time = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
	(void)port;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
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
