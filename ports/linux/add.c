/* SPDX-License-Identifier: MIT */
/*
 * add.c - adding memory of a backing to a pool.
 *
 * Under the hotplug mutex the blocks get their slots and are mapped as one piece; then, without
 * it, the engine is told, which calls back into space.c and finds them mapped. Invariant: when
 * mhp_pool_add() returns an error, no slot that it filled is left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <memplug/companion.h>

#include "bad.h"
#include "settle.h"

static int
check_granule(const struct mhp__file *file, struct mhp_text *reterr)
{
	if (file->granule <= MHP__HUGE_BYTES)
		return 0;
	return mhp__say(reterr, MHP_EINVAL,
			"%s is mapped in pieces of %llu MiB, the pages of a pool have 2 MiB at "
			"most",
			mhp_backing_name(file->backing.kind),
			(unsigned long long)(file->granule >> 20));
}

/*
 * Huge pages are taken now: one that the kernel has not got later is a bus error. A device has its
 * own, but the kernel maps none of them any more once the program has switched huge pages off.
 */
static int
populate_huge(struct mhp_pool *pool, const struct mhp__file *file, uint32_t first, uint32_t count,
	      struct mhp_text *reterr)
{
	uint64_t start = first * pool->space.block_bytes, size = count * pool->space.block_bytes;
	if (madvise(pool->space.direct_map + start, size, MADV_POPULATE_WRITE) == 0)
		return 0;
	int error = errno;
	if (file->by_address && error == EFAULT)
		return mhp__say(reterr, MHP_ENOMEM,
				"the machine, or a limit of them (hugetlb cgroup), does not leave "
				"%llu MiB of free huge pages; see HugePages_Free in /proc/meminfo",
				(unsigned long long)(size >> 20));
	if (file->by_address)
		return mhp__say(reterr, mhp__errno(error), "the kernel gives no %llu MiB of huge "
				"pages: %s", (unsigned long long)(size >> 20),
				strerrordesc_np(error));
	return mhp__say(reterr, MHP_EOPNOTSUPP, "%s is mapped in pieces of 2 MiB, which %s",
			file->backing.path,
			mhp__huge_pages_off() ? "the program's own setting forbids "
						"(PR_SET_THP_DISABLE; redis: --disable-thp no)"
					      : "the kernel refuses");
}

/* What was in a file of memory before is not wanted: its blocks are zero, as the engine is told. */
static int
empty_file(const struct mhp__space *space, const struct mhp__file *file, uint32_t first,
	   uint32_t count, struct mhp_text *reterr)
{
	uint64_t start = first * space->block_bytes, size = count * space->block_bytes;
	if (file->by_address || !file->can_punch ||
	    madvise(space->direct_map + start, size, MADV_REMOVE) == 0)
		return 0;
	return mhp__say(reterr, mhp__errno(errno), "%s cannot be emptied: %s", file->backing.path,
			strerrordesc_np(errno));
}

/* A file system may be full, now or later: who touches what it has not given gets a bus error. So
 * what the engine keeps in each block is taken now; pages are, when they go there. */
static int
populate_reserve(const struct mhp_pool *pool, const struct mhp__file *file, uint32_t first,
		 uint32_t count, struct mhp_text *reterr)
{
	const struct mhp__space *space = &pool->space;
	for (uint32_t block = first; block < first + count; block++)
		if (madvise(space->direct_map + block * space->block_bytes, pool->reserve_bytes,
			    MADV_POPULATE_WRITE) != 0 && errno != EINVAL /* before Linux 5.14 */)
			return mhp__say(reterr, MHP_ENOSPC, "%s cannot be written: its file system "
					"is full, or the file was cut", file->backing.path);
	return 0;
}

/* In the companion if it has a place: fill in slots for what pool->job asks, and map them. */
static int
place(void *arg)
{
	struct mhp_pool *pool = arg;
	struct mhp__job *job = &pool->job;
	struct mhp__space *space = &pool->space;
	mhp__pool_free_orphans(pool);
	int err = mhp__file_open(space, &job->backing, &job->file, &job->text);
	if (err != 0)
		return err;
	const struct mhp__file *file = &space->file[job->file];
	err = check_granule(file, &job->text);
	if (err != 0)
		return err;
	uint32_t first = job->first = mhp__space_find_gap(space, job->count);
	if (first == space->nr_blocks)
		return mhp__say(&job->text, MHP_ENXIO,
				"the pool's address range has no room for %u more blocks",
				job->count);
	space->placer = mhp_companion_here() ? mhp_companion_pid() : 0;
	if (space->placer != 0)
		space->last_placer = space->placer;
	if (!mhp__space_fill(space, job->file, first, job->count))
		return mhp__say(&job->text, MHP_ENOSPC,
				"%s has %llu MiB, which is not enough for this", job->backing.path,
				(unsigned long long)(file->size >> 20));
	err = mhp__space_map(space, first, job->count, &job->text);
	if (err == 0)
		err = empty_file(space, file, first, job->count, &job->text);
	if (err == 0 && file->backing.kind == MHP_BACKING_FILE)
		err = populate_reserve(pool, file, first, job->count, &job->text);
	if (err == 0 && file->granule >= MHP__HUGE_BYTES)
		err = populate_huge(pool, file, first, job->count, &job->text);
	if (err != 0)
		mhp__space_unmap(space, first, job->count);
	return err;
}

/* The same, and whatever keeps its descriptors. */
static int
place_device(void *arg)
{
	struct mhp_pool *pool = arg;
	int err = mhp__settler_start(pool);
	if (err != 0 && pool->job.backing.kind == MHP_BACKING_DAX)
		return mhp__say(&pool->job.text, err, "%s", pool->guard.why.text);
	err = place(pool);
	if (err != 0)
		mhp__file_put_unused(&pool->space);
	return err;
}

/* The engine said no: forget the slots that it did not forget itself. Somebody else may have added
 * a block there, since the lock was free for a moment. */
static void
displace(struct mhp_pool *pool, uint32_t first, uint32_t count)
{
	mhp__pool_lock_hotplug(pool);
	for (uint32_t block = first; block < first + count; block++)
		if (pool->space.slot[block].file1 != 0 && !pool->space.slot[block].taken)
			mhp__space_unmap(&pool->space, block, 1);
	mhp__pool_close_unused(pool);
	pthread_mutex_unlock(&pool->hotplug);
}

/*
 * A good moment: what others of the process map changes all the time. The kernel makes no two
 * mappings of huge pages one, so each add of such takes of what the program has, too.
 */
static int
count_mappings(struct mhp_pool *pool, const struct mhp_backing *backing, struct mhp_text *reterr)
{
	struct mhp__budget budget;
	mhp__budget_count(&budget, 0);
	mhp__pool_lock(pool);
	uint64_t ours = mhp__regions_mappings(pool);
	budget.foreign = budget.foreign > ours ? budget.foreign - ours : 0;
	pool->budget = budget;
	bool fits = mhp__budget_fits(&budget, ours, 2);
	pthread_mutex_unlock(&pool->mutex);
	if (fits || backing->kind != MHP_BACKING_HUGETLB_2M)
		return 0;
	return mhp__say(reterr, MHP_ENOSPC, "the program has %llu mappings, and the kernel allows "
			"%llu (vm.max_map_count), of which an eighth is left to it",
			(unsigned long long)(budget.foreign + ours),
			(unsigned long long)budget.limit);
}

/* What can be refused at once. */
static int
check_call(struct mhp_pool *pool, uint64_t size, struct mhp_text *reterr)
{
	const struct mhp__space *space = &pool->space;
	if (atomic_load(&pool->hotplug_holder) == mhp__linux_ops.self(pool))
		return mhp__say(reterr, MHP_EDEADLK, "a listener, or an owner's function, cannot "
				"add memory");
	if (size == 0 || size % space->block_bytes != 0)
		return mhp__say(reterr, MHP_EINVAL,
				"the size must be a multiple of the block size, %llu MiB",
				(unsigned long long)(space->block_bytes >> 20));
	if (size > space->max_bytes)
		return mhp__say(reterr, MHP_ENXIO,
				"the pool's address range has no room for %llu more blocks",
				(unsigned long long)(size / space->block_bytes));
	return 0;
}

int
mhp_pool_add(struct mhp_pool *pool, const struct mhp_backing *backing, uint64_t size,
	     const struct mhp_add_opts *opts, struct mhp_add_answer *ret_answer,
	     struct mhp_text *reterr)
{
	static const struct mhp_add_opts usual = MHP_ADD_OPTS_DEFAULT;
	static const struct mhp_backing ram = { .kind = MHP_BACKING_RAM };
	struct mhp_add_opts how = opts != NULL ? *opts : usual;
	struct mhp_text text = { "" };
	uint32_t first = 0, count = (uint32_t)(size / pool->space.block_bytes);
	uint64_t nr_bad;

	if (backing == NULL)
		backing = &ram;
	int err = check_call(pool, size, reterr);
	if (err == 0)
		err = count_mappings(pool, backing, reterr);
	if (err != 0)
		return err;
	mhp__pool_lock_hotplug(pool);
	pool->job = (struct mhp__job){ .backing = *backing, .count = count };
	bool device = backing->kind != MHP_BACKING_RAM;
	err = device ? mhp_companion_call(place_device, pool, &text) : place(pool);
	if (pool->job.text.text[0] != 0)
		text = pool->job.text;
	first = pool->job.first;
	how.backing = pool->job.file;
	if (backing->bind || pool->space.file[how.backing].node != 0)
		how.node = pool->space.file[how.backing].node;
	if (err == 0 && pool->space.file[how.backing].can_punch)
		how.flags |= MHP_ADD_ZEROED;
	bool listed = device && !pool->space.file[how.backing].by_address;
	pthread_mutex_unlock(&pool->hotplug);
	if (err != 0)
		return mhp__say(reterr, err, "%s", text.text);
	if (listed)
		err = mhp__bad_take(pool, first, count, &nr_bad, reterr);
	if (err != 0) {
		displace(pool, first, count);
		return err;
	}
	err = mhp_add(pool->m, (struct mhp_blocks){ first, count }, &how, ret_answer);
	if (err == 0)
		return 0;
	displace(pool, first, count);
	return mhp__say(reterr, err, "the engine refused to add memory: %s",
			mhp_error_text(err));
}
