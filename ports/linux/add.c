/* SPDX-License-Identifier: MIT */
/*
 * add.c - adding memory of a backing to a pool.
 *
 * Under the hotplug mutex the blocks get their slots and are mapped as one piece; then, without
 * it, the engine is told, which calls back into space.c and finds them mapped. Invariant: when
 * mhp_pool_add() returns an error, no slot that it filled is left.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "space.h"

static int
check_granule(const struct mhp_pool *pool, const struct mhp__file *file, struct mhp_text *reterr)
{
	if (file->granule > MHP__HUGE_BYTES)
		return mhp__say(reterr, MHP_EINVAL,
				"%s is mapped in pieces of %llu MiB, the pages of a pool have 2 "
				"MiB at most", mhp_backing_name(file->backing.kind),
				(unsigned long long)(file->granule >> 20));
	if (file->granule > pool->block_bytes)
		return mhp__say(reterr, MHP_EINVAL,
				"%s is mapped in pieces of %llu MiB, a block has only %llu MiB",
				mhp_backing_name(file->backing.kind),
				(unsigned long long)(file->granule >> 20),
				(unsigned long long)(pool->block_bytes >> 20));
	if (file->granule > pool->granule)
		return mhp__say(
			reterr, MHP_EINVAL,
			"%s is mapped in pieces of %llu KiB, but the pages of this pool have "
			"%llu KiB: start the pool with larger pages",
			mhp_backing_name(file->backing.kind),
			(unsigned long long)(file->granule >> 10),
			(unsigned long long)(pool->granule >> 10));
	return 0;
}

/* First run of count absent blocks, or nr_blocks. */
static uint32_t
find_gap(struct mhp_pool *pool, uint32_t count)
{
	uint32_t run = 0;
	bool seen_free = false;
	for (uint32_t block = pool->first_free; block < pool->nr_blocks; block++) {
		if (pool->slot[block].file1 != 0) {
			run = 0;
			continue;
		}
		if (!seen_free)
			pool->first_free = block;
		seen_free = true;
		if (++run == count)
			return block + 1 - count;
	}
	return pool->nr_blocks;
}

/* Fill in slots; false when the file has no room for all. */
static bool
fill_slots(struct mhp_pool *pool, uint16_t index, uint32_t first, uint32_t count)
{
	struct mhp__file *file = &pool->file[index];
	for (uint32_t i = 0; i < count; i++) {
		uint32_t offset = first + i;
		if (!file->by_address && !mhp__file_take(pool, file, &offset)) {
			mhp__space_unmap(pool, first, i);
			return false;
		}
		file->nr_blocks++;
		pool->slot[first + i] = (struct mhp__slot){ offset, (uint16_t)(index + 1), 0 };
	}
	return true;
}

/* Huge pages are taken now: what the kernel has not got later is a bus error. */
static int
populate_huge(struct mhp_pool *pool, uint32_t first, uint32_t count, struct mhp_text *reterr)
{
	uint64_t start = first * pool->block_bytes, size = count * pool->block_bytes;
	if (madvise(pool->direct_map + start, size, MADV_POPULATE_WRITE) == 0)
		return 0;
	return mhp__say(reterr, MHP_ENOMEM,
			"the machine has not %llu MiB of free huge pages; see HugePages_Free in "
			"/proc/meminfo", (unsigned long long)(size >> 20));
}

/* Hotplug mutex held. */
static int
place(struct mhp_pool *pool, const struct mhp_backing *backing, uint32_t count,
      uint32_t *ret_first, uint16_t *ret_file, struct mhp_text *reterr)
{
	int err = mhp__file_open(pool, backing, ret_file, reterr);
	if (err != 0)
		return err;
	const struct mhp__file *file = &pool->file[*ret_file];
	err = check_granule(pool, file, reterr);
	if (err != 0)
		return err;
	if (!file->can_protect && pool->uffd >= 0)
		err = mhp__hole_start(pool, reterr);
	else if (file->backing.kind == MHP_BACKING_DAX)
		err = mhp__say(reterr, MHP_EPERM, "%s", pool->uffd_why.text);
	if (err != 0)
		return err;
	uint32_t first = find_gap(pool, count);
	if (first == pool->nr_blocks)
		return mhp__say(reterr, MHP_ENXIO,
				"the pool's address range has no room for %u more blocks", count);
	if (!fill_slots(pool, *ret_file, first, count))
		return mhp__say(reterr, MHP_ENOSPC, "%s has %llu MiB, which is not enough for this",
				backing->path, (unsigned long long)(file->size >> 20));
	err = mhp__space_map(pool, first, count, reterr);
	if (err == 0 && file->by_address && file->granule != MHP__PAGE_BYTES)
		err = populate_huge(pool, first, count, reterr);
	if (err != 0)
		mhp__space_unmap(pool, first, count);
	*ret_first = first;
	return err;
}

/* The engine said no: forget the slots that it did not forget itself. */
static void
displace(struct mhp_pool *pool, uint32_t first, uint32_t count)
{
	pthread_mutex_lock(&pool->hotplug);
	for (uint32_t block = first; block < first + count; block++)
		if (pool->slot[block].file1 != 0)
			mhp__space_unmap(pool, block, 1);
	mhp__file_put_unused(pool);
	pthread_mutex_unlock(&pool->hotplug);
}

int
mhp_pool_add(struct mhp_pool *pool, const struct mhp_backing *backing, uint64_t size,
	     const struct mhp_add_opts *opts, struct mhp_add_answer *ret_answer,
	     struct mhp_text *reterr)
{
	struct mhp_add_opts how = opts != NULL ? *opts : (struct mhp_add_opts){ 0 };
	uint32_t first = 0, count = (uint32_t)(size / pool->block_bytes);

	if (size == 0 || size % pool->block_bytes != 0)
		return mhp__say(reterr, MHP_EINVAL,
				"the size must be a multiple of the block size, %llu MiB",
				(unsigned long long)(pool->block_bytes >> 20));
	if (size > pool->max_bytes)
		return mhp__say(reterr, MHP_ENXIO,
				"the pool's address range has no room for %u more blocks", count);
	pthread_mutex_lock(&pool->hotplug);
	int err = place(pool, backing, count, &first, &how.backing, reterr);
	if (err != 0)
		mhp__file_put_unused(pool);
	else if (pool->file[how.backing].can_punch)
		how.flags |= MHP_ADD_ZEROED;
	pthread_mutex_unlock(&pool->hotplug);
	if (err != 0)
		return err;
	struct mhp_span span = { { first * pool->block_bytes }, size };
	err = mhp_add(pool->m, span, &how, ret_answer);
	if (err == 0)
		return 0;
	displace(pool, first, count);
	return mhp__say(reterr, err, "the engine refused to add memory (error %d)", err);
}
