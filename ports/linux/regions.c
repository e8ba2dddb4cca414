/* SPDX-License-Identifier: MIT */
/*
 * regions.c - the regions of a pool: their life, and which of their memory is pinned.
 *
 * Regions are slots of the pool: the mover of the engine's pages has an address as its cookie, and
 * finds the region by it. One may lie over all addresses (what programs map themselves); a region
 * with addresses of its own is found before it. A region ends only when the engine holds none of
 * its pages, which it does for a batch at most. Must not know: how pages are committed or moved.
 */
#include <string.h>

#include "frames.h"
#include "huge.h"
#include "pool.h"
#include "region.h"

/* The region of an address, or NULL. */
struct mhp_region *
mhp__region_find(struct mhp_pool *pool, uintptr_t address)
{
	struct mhp_region *over = NULL;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		struct mhp_region *region = &pool->region[i];
		if (region->live && address >= region->base &&
		    address - region->base < region->nr_pages << MHP__PAGE_SHIFT) {
			if (!region->over)
				return region;
			over = region;
		}
	}
	return over;
}

/* Mappings that all regions have, of the number that the kernel allows a process. */
uint64_t
mhp__regions_mappings(const struct mhp_pool *pool)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (pool->region[i].live)
			sum += pool->region[i].nr_runs;
	return sum;
}

static struct mhp_region *
find_free(struct mhp_pool *pool)
{
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (!pool->region[i].live)
			return &pool->region[i];
	return NULL;
}

/* Size 0: one over all addresses. */
static int
build(struct mhp_region *region, uint64_t size, struct mhp_text *reterr)
{
	if (size == 0)
		return mhp__region_build_over(region, reterr);
	int err = mhp__region_build(region, size, reterr);
	if (err != 0)
		return err;
	err = mhp__huge_set(region, region->pool->huge, 0, reterr);
	if (err != 0)
		mhp__region_free(region);
	return err;
}

static int
create(struct mhp_pool *pool, const char *name, uint64_t size, struct mhp_region **ret_region,
       struct mhp_text *reterr)
{
	mhp__pool_lock(pool);
	struct mhp_region *region = find_free(pool);
	int err = MHP_ENOSPC;
	if (region == NULL) {
		mhp__say(reterr, err, "a pool has at most %u regions", MHP__REGIONS_MAX);
	} else {
		*region = (struct mhp_region){
			.pool = pool, .m = pool->m, .space = &pool->space, .owner = pool->owner,
			.spread = &pool->spread,
			/* Programs map pages, whatever the pool deals in. */
			.granule = size == 0 ? mhp__kernel_page() : pool->granule,
			.nr_runs = size == 0 ? 0 : 1,
		};
		strncpy(region->name, name, sizeof(region->name) - 1);
		err = build(region, size, reterr);
		region->live = err == 0;
	}
	pthread_mutex_unlock(&pool->mutex);
	if (err == 0)
		*ret_region = region;
	return err;
}

int
mhp_region_create(struct mhp_pool *pool, const char *name, uint64_t size,
		  struct mhp_region **ret_region, struct mhp_text *reterr)
{
	uint64_t rounded = (size + pool->granule - 1) / pool->granule * pool->granule;
	if (size == 0 || size > UINT64_C(1) << 46)
		return mhp__say(reterr, MHP_EINVAL, "a region has 1 byte to 64 TiB");
	return create(pool, name, rounded, ret_region, reterr);
}

int
mhp_region_create_over(struct mhp_pool *pool, const char *name, struct mhp_region **ret_region,
		       struct mhp_text *reterr)
{
	return create(pool, name, 0, ret_region, reterr);
}

void
mhp_region_destroy(struct mhp_region *region)
{
	if (region == NULL)
		return;
	struct mhp_pool *pool = region->pool;
	mhp__pool_lock(pool);
	mhp__pins_forget(&pool->pins, region->base,
			 region->base + (region->nr_pages << MHP__PAGE_SHIFT));
	/* Bound: the engine holds a page for one batch of moves. */
	while (region->nr_committed != 0 && mhp__frames_held(region, 0, region->top)) {
		pthread_mutex_unlock(&pool->mutex);
		mhp__linux_ops.pause(pool, 100000);
		mhp__pool_lock(pool);
	}
	if (region->nr_committed != 0)
		mhp__frames_give(region, 0, region->top);
	mhp__region_free(region);
	region->live = false;
	pthread_mutex_unlock(&pool->mutex);
}

void *
mhp_region_base(const struct mhp_region *region)
{
	return (void *)region->base;
}

uint64_t
mhp_region_size(const struct mhp_region *region)
{
	return region->nr_pages << MHP__PAGE_SHIFT;
}

uint64_t
mhp_region_granule(const struct mhp_region *region)
{
	return region->granule;
}

/* Is [start, start + size) inside of the region? */
static bool
inside(const struct mhp_region *region, const void *start, uint64_t size)
{
	uint64_t offset = (uintptr_t)start - region->base;
	uint64_t whole = region->nr_pages << MHP__PAGE_SHIFT;
	return (uintptr_t)start >= region->base && offset < whole && size != 0 &&
	       size <= whole - offset;
}

int
mhp_region_pin(struct mhp_region *region, void *start, uint64_t size)
{
	struct mhp_pool *pool = region->pool;
	if (!inside(region, start, size))
		return MHP_EINVAL;
	mhp__pool_lock(pool);
	int err = mhp__pins_add(&pool->pins, (uintptr_t)start, (uintptr_t)start + size);
	pthread_mutex_unlock(&pool->mutex);
	return err;
}

int
mhp_region_unpin(struct mhp_region *region, void *start, uint64_t size)
{
	struct mhp_pool *pool = region->pool;
	mhp__pool_lock(pool);
	int err = mhp__pins_drop(&pool->pins, (uintptr_t)start, (uintptr_t)start + size);
	pthread_mutex_unlock(&pool->mutex);
	return err;
}
