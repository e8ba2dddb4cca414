/* SPDX-License-Identifier: MIT */
/*
 * watch_pool.c - devices that are watched come into a pool of this process, and leave it.
 *
 * A device is all blocks with its backing, wherever they are in the pool; they leave in one call,
 * all or none, and the pool closes the device with the last of them. If other blocks that leave are
 * in the way, the call waits in the engine, within the deadline.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <memplug/watch.h>

static uint64_t
block_bytes(struct mhp *m)
{
	const struct mhp_geometry *geo = mhp_get_geometry(m);
	return UINT64_C(1) << (geo->block_order + geo->page_shift);
}

/* Runs of blocks that are pieces of this device; returns how many, with room for max of them. */
static unsigned
list(struct mhp_pool *pool, const struct mhp_backing *device, struct mhp_blocks *runs, unsigned max)
{
	struct mhp *m = mhp_pool_engine(pool);
	struct mhp_block_info info;
	struct mhp_blocks run;
	unsigned nr = 0;
	for (uint32_t block = 0; mhp_range_get(m, block, &run) == 0;
	     block = run.first + run.count) {
		if (mhp_block_get(m, run.first, &info) != 0 || info.state == MHP_ABSENT)
			continue;
		const struct mhp_backing *backing = mhp_pool_backing(pool, info.backing);
		if (backing == NULL || backing->kind != device->kind ||
		    strcmp(backing->path, device->path) != 0)
			continue;
		if (nr < max)
			runs[nr] = run;
		nr++;
	}
	return nr;
}

static int
has(void *ctx, const char *words)
{
	struct mhp_watch_pool *watched = ctx;
	struct mhp_backing device;
	int err = mhp_backing_parse(words, &device, NULL);
	return err != 0 ? 0 : list(watched->pool, &device, NULL, 0) != 0;
}

static int
add(void *ctx, const char *words, uint64_t size_bytes, struct mhp_text *reterr)
{
	struct mhp_watch_pool *watched = ctx;
	const struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE,
	};
	struct mhp_backing device;
	int err = mhp_backing_parse(words, &device, reterr);
	uint64_t block = block_bytes(mhp_pool_engine(watched->pool));
	return err != 0 ? err : mhp_pool_add(watched->pool, &device, size_bytes / block * block,
					     &opts, NULL, reterr);
}

static int
remove_all(const struct mhp_watch_pool *watched, const struct mhp_blocks *runs, unsigned nr,
	   struct mhp_text *reterr)
{
	const struct mhp_offline_opts opts = { .deadline_ms = watched->deadline_ms };
	struct mhp_why why = { .cause = MHP_CAUSE_NONE };
	int err = mhp_remove(mhp_pool_engine(watched->pool), runs, nr, &opts, &why);
	if (err != 0)
		(void)snprintf(reterr->text, sizeof(reterr->text), "%s%s%s",
			       why.cause != MHP_CAUSE_NONE ? mhp_cause_text(why.cause)
							   : mhp_error_text(err),
			       why.text[0] != 0 ? ": " : "", why.text);
	return err;
}

static int
release(void *ctx, const char *words, struct mhp_text *reterr)
{
	struct mhp_watch_pool *watched = ctx;
	struct mhp_backing device;
	int err = mhp_backing_parse(words, &device, reterr);
	unsigned max = err == 0 ? list(watched->pool, &device, NULL, 0) + 16 : 0, nr;
	if (err != 0)
		return err;
	size_t size = max * sizeof(struct mhp_blocks); /* some more, if it changes just now */
	struct mhp_blocks *runs = mmap(NULL, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (runs == MAP_FAILED)
		return MHP_ENOMEM;
	nr = list(watched->pool, &device, runs, max);
	err = nr == 0 ? 0 : remove_all(watched, runs, nr < max ? nr : max, reterr);
	munmap(runs, size);
	return err;
}

const struct mhp_watch_ops *
mhp_watch_pool_ops(void)
{
	static const struct mhp_watch_ops ops = { .has = has, .add = add, .release = release };
	return &ops;
}
