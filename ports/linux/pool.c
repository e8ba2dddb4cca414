/* SPDX-License-Identifier: MIT */
/*
 * pool.c - the life of a pool.
 *
 * A pool is some reservations of address space and one instance of the engine. Everything is
 * mapped without reserving memory, so its size says nothing about its cost. Nothing of it is hidden
 * from a forked child, which has a copy of the whole.
 *
 * A pool is found by its slot in mhp__pools, since fork handlers and the companion have no other
 * way to it; it is there only while it is whole. Files opened for it are open in the companion, so
 * they are closed there. Must not know: what a region or a backing is made of.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memplug/companion.h>

#include "leader.h"
#include "pool.h"

struct mhp_pool *mhp__pools[MHP__POOLS_MAX];

static void *
take_pages(size_t bytes)
{
	return mhp__take_sparse(bytes, mhp__kernel_page(), PROT_READ | PROT_WRITE);
}

static unsigned
log2_of(uint64_t value)
{
	return 63U - (unsigned)__builtin_clzll(value);
}

/* Zeros become the defaults, and the length of the range whole blocks. */
static int
check_opts(struct mhp_pool_opts *opts, struct mhp_text *reterr)
{
	if (opts->block_bytes == 0)
		opts->block_bytes = UINT64_C(128) << 20;
	if (opts->max_bytes == 0)
		opts->max_bytes = UINT64_C(1) << 40;
	if (opts->page_bytes == 0)
		opts->page_bytes = mhp__kernel_page();
	if (opts->nr_nodes == 0)
		opts->nr_nodes = MHP_POOL_NODES;
	if (opts->nr_bad_pages == 0)
		opts->nr_bad_pages = 1024;
	uint64_t block = opts->block_bytes;
	if ((block & (block - 1)) != 0 || block < 2 * MHP__HUGE_BYTES || block > UINT64_C(1) << 42)
		return mhp__say(reterr, MHP_EINVAL,
				"a block is a power of two from 4 MiB to 4 TiB, not %llu bytes",
				(unsigned long long)block);
	if (opts->max_bytes / block >= UINT64_C(1) << 24 || opts->max_bytes > UINT64_C(1) << 46)
		return mhp__say(
			reterr, MHP_EINVAL,
			"the address range is too long: at most 64 TiB and 16 million blocks");
	uint64_t page = opts->page_bytes;
	if ((page & (page - 1)) != 0 || page < mhp__kernel_page() || page > MHP__HUGE_BYTES)
		return mhp__say(reterr, MHP_EINVAL, "pages of a pool are a power of two from the "
				"kernel's, which are %llu KiB, to 2 MiB",
				(unsigned long long)(mhp__kernel_page() >> 10));
	opts->max_bytes = (opts->max_bytes + block - 1) / block * block;
	return 0;
}

static int
start_engine(struct mhp_pool *pool, const struct mhp_pool_opts *opts)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint8_t block_order = (uint8_t)(log2_of(pool->space.block_bytes) - MHP__PAGE_SHIFT);
	struct mhp_config config = {
		.geometry = {
			.page_shift = MHP__PAGE_SHIFT,
			.pageblock_order = MHP__HUGE_ORDER,
			.section_order = block_order,
			.block_order = block_order,
			.nr_nodes = opts->nr_nodes,
			.nr_cpus = (uint16_t)(cpus < 1 ? 1 : cpus > 1024 ? 1024 : cpus),
			.nr_blocks = pool->space.nr_blocks,
			.nr_bad_pages = opts->nr_bad_pages,
		},
		.ops = &mhp__linux_ops,
		.port = pool,
		.caps = { .granule_shift = MHP__PAGE_SHIFT },
		.direct_map = pool->space.direct_map,
		.trace = opts->trace,
		.trace_ctx = opts->trace_ctx,
	};
	int err = mhp_footprint(&config.geometry, &pool->instance_bytes);
	if (err != 0)
		return err;
	pool->instance = take_pages(pool->instance_bytes);
	if (pool->instance == NULL)
		return MHP_ENOMEM;
	err = mhp_init(pool->instance, pool->instance_bytes, &config, &pool->m);
	return err != 0 ? err
			: mhp_owner_register(pool->m, "region", &mhp__region_ops, pool,
					     &pool->owner);
}

static void
free_pool(struct mhp_pool *pool)
{
	if (pool->instance != NULL)
		mhp__give_sparse(pool->instance, pool->instance_bytes);
	mhp__space_free(&pool->space);
	mhp__give_sparse(pool, sizeof(*pool));
}

/* Learn how much each block keeps for itself, which is the same for all: what a fork copies of a
 * block of a device. */
static void
learn_reserve(struct mhp_pool *pool)
{
	struct mhp_memmap_shape shape = mhp_memmap_shape(pool->m);
	struct mhp_memmap_answer answer = { 0 };
	(void)mhp_supports_memmap_on_memory(&shape, &answer);
	pool->reserve_bytes = answer.nr_vmemmap_pages * MHP__PAGE_BYTES;
}

static int
build_pool(struct mhp_pool *pool, const struct mhp_pool_opts *opts, struct mhp_text *reterr)
{
	pool->granule = opts->page_bytes;
	mhp__pool_init_locks(pool);
	pool->guard.write_fd = pool->guard.hole_fd = -1;
	pool->room_there.shared = true;
	if (mhp__space_build(&pool->space, opts->max_bytes, opts->block_bytes) != 0)
		return mhp__say(
			reterr, MHP_ENOMEM,
			"cannot reserve %llu GiB of addresses; is there a limit (ulimit -v)?",
			(unsigned long long)(opts->max_bytes >> 30));
	mhp__budget_count(&pool->budget, 0);
	if (mhp_companion_init(NULL) == 0) /* without one there are no devices: an add says why */
		mhp_companion_next(mhp__recover_all);
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0);
	int err = start_engine(pool, opts);
	if (err != 0)
		return mhp__say(reterr, err, "the engine did not start: %s", mhp_error_text(err));
	learn_reserve(pool);
	return 0;
}

int
mhp_pool_create(const struct mhp_pool_opts *opts, struct mhp_pool **ret_pool,
		struct mhp_text *reterr)
{
	struct mhp_pool_opts shape = opts != NULL ? *opts : (struct mhp_pool_opts){ 0 };
	unsigned index = 0;
	int err = check_opts(&shape, reterr);
	if (err != 0)
		return err;
	while (index < MHP__POOLS_MAX && mhp__pools[index] != NULL)
		index++;
	if (index == MHP__POOLS_MAX)
		return mhp__say(reterr, MHP_ENOSPC, "a process has at most %u pools",
				MHP__POOLS_MAX);
	struct mhp_pool *pool = take_pages(sizeof(*pool));
	if (pool == NULL)
		return MHP_ENOMEM;
	pool->index = index;
	err = build_pool(pool, &shape, reterr);
	if (err != 0) {
		free_pool(pool);
		return err;
	}
	mhp__pools[index] = pool; /* from here on a fork sees it */
	mhp_fork_init();
	*ret_pool = pool;
	return 0;
}

/* Has the companion anything open for it? A pool of ordinary memory never needs one. */
static bool
has_devices(const struct mhp_pool *pool)
{
	bool any = pool->guard.hole_fd >= 0;
	for (unsigned i = 0; i < MHP__FILES_MAX; i++)
		any |= pool->space.file[i].fd >= 0 && pool->space.file[i].has_place;
	return any;
}

/* In the companion. */
static int
close_devices(void *arg)
{
	struct mhp_pool *pool = arg;
	atomic_store(&pool->settler_stop, true);
	/* Bound: it looks every few milliseconds. That of a companion which was killed is gone. */
	while (atomic_load(&pool->settler) == mhp_companion_pid())
		mhp__linux_ops.pause(pool, 1000000);
	mhp__guard_stop(&pool->guard);
	mhp__stage_free(&pool->stage);
	mhp__file_put_unused(&pool->space);
	return 0;
}

int
mhp_pool_destroy(struct mhp_pool *pool)
{
	if (pool == NULL)
		return 0;
	if (atomic_load(&pool->nr_holders) != 0)
		return MHP_EBUSY;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (pool->region[i].live)
			return MHP_EBUSY;
	mhp__tiering_stop(pool);
	int err = mhp_fini(pool->m);
	if (err != 0)
		return err;
	/* No fork handler looks at it any more. */
	mhp__pools[pool->index] = NULL;
	mhp__pools_wait();
	if (has_devices(pool))
		(void)!mhp_companion_call(close_devices, pool, NULL);
	free_pool(pool);
	return 0;
}

void
mhp_pool_hold(struct mhp_pool *pool)
{
	atomic_fetch_add(&pool->nr_holders, 1);
}

void
mhp_pool_release(struct mhp_pool *pool)
{
	unsigned before = atomic_fetch_sub(&pool->nr_holders, 1);
	MHP__ASSERT(before != 0);
}

struct mhp *
mhp_pool_engine(struct mhp_pool *pool)
{
	return pool->m;
}

/* In the companion. */
static int
check_guard(void *arg)
{
	return mhp__guard_check(&((struct mhp_pool *)arg)->guard);
}

bool
mhp_pool_can_move(struct mhp_pool *pool, struct mhp_text *reterr)
{
	struct mhp_text text = { "" };
	int err = mhp_companion_call(check_guard, pool, &text);
	if (err == MHP_EPERM && text.text[0] == 0)
		text = pool->guard.why;
	if (err != 0 && reterr != NULL)
		*reterr = text;
	return err == 0;
}

const struct mhp_backing *
mhp_pool_backing(struct mhp_pool *pool, uint16_t backing)
{
	return backing < MHP__FILES_MAX && pool->space.file[backing].live
		? &pool->space.file[backing].backing : NULL;
}
