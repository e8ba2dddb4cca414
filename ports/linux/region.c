/* SPDX-License-Identifier: MIT */
/*
 * region.c - the life of regions, and how frames are mapped behind their addresses.
 *
 * A region is a reservation and a table. Mapping frames replaces the reservation piece by piece
 * with MAP_FIXED, so there is never a moment at which an address of it is nobody's. Where pages
 * cannot move anyway (no userfaultfd) frames are mapped MAP_PRIVATE: then the kernel itself
 * makes fork copy-on-write, and the frames only count.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "table.h"

struct mhp_region *
mhp__region_find(struct mhp_pool *pool, uintptr_t address)
{
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		struct mhp_region *region = &pool->region[i];
		if (region->live && address >= region->base &&
		    address - region->base < region->nr_pages << MHP__PAGE_SHIFT)
			return region;
	}
	return NULL;
}

int
mhp__region_map_part(const struct mhp_region *region, uint64_t page, uint64_t pfn, uint64_t *nr)
{
	const struct mhp_pool *pool = region->pool;
	uint64_t offset;
	const struct mhp__file *file = mhp__frame_file(pool, pfn, &offset);
	/* Pieces of one file are cut at blocks only where they do not adjoin. */
	uint64_t to_edge = (pool->block_bytes - offset % pool->block_bytes) >> MHP__PAGE_SHIFT;
	while (to_edge < *nr && mhp__frames_adjoin(pool, pfn + to_edge - 1))
		to_edge += pool->block_bytes >> MHP__PAGE_SHIFT;
	if (to_edge < *nr)
		*nr = to_edge;
	if (file != pool->checked_file && !mhp__file_valid(file))
		return EBADF;
	if (mmap((void *)mhp__page_address(region, page), *nr << MHP__PAGE_SHIFT,
		 PROT_READ | PROT_WRITE,
		 (pool->private_map ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED | MAP_NORESERVE,
		 file->fd, (off_t)offset) == MAP_FAILED)
		return errno;
	return 0;
}

int
mhp__region_map(const struct mhp_region *region, uint64_t page, uint64_t pfn, uint64_t nr)
{
	for (uint64_t end = page + nr, part; page < end; page += part, pfn += part) {
		part = end - page;
		int error = mhp__region_map_part(region, page, pfn, &part);
		if (error != 0)
			return error;
	}
	return 0;
}

int
mhp__region_unmap(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	void *start = (void *)mhp__page_address(region, page);
	if (mmap(start, nr << MHP__PAGE_SHIFT, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return errno;
	return 0;
}

/* Reserve addresses, aligned to 2 MiB, with one unused granule behind so that nothing merges. */
static uintptr_t
take_addresses(uint64_t size)
{
	uint64_t whole = size + 2 * MHP__HUGE_BYTES;
	char *start =
		mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return 0;
	uintptr_t base =
		((uintptr_t)start + MHP__HUGE_BYTES - 1) & ~(uintptr_t)(MHP__HUGE_BYTES - 1);
	if (base != (uintptr_t)start)
		munmap(start, base - (uintptr_t)start);
	munmap((char *)base + size, (uintptr_t)start + whole - base - size);
	return base;
}

static int
build(struct mhp_region *region, uint64_t size, struct mhp_text *reterr)
{
	region->nr_pages = size >> MHP__PAGE_SHIFT;
	region->base = take_addresses(size);
	void *entry = mmap(NULL, region->nr_pages * sizeof(mhp__entry), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region->base != 0 && entry != MAP_FAILED) {
		region->entry = entry;
		return 0;
	}
	if (region->base != 0)
		munmap((void *)region->base, size);
	if (entry != MAP_FAILED)
		munmap(entry, region->nr_pages * sizeof(mhp__entry));
	return mhp__say(reterr, MHP_ENOMEM, "cannot reserve %llu MiB of addresses",
			(unsigned long long)(size >> 20));
}

int
mhp_region_create(struct mhp_pool *pool, const char *name, uint64_t size,
		  struct mhp_region **ret_region, struct mhp_text *reterr)
{
	struct mhp_region *region = NULL;
	uint64_t rounded = (size + pool->granule - 1) / pool->granule * pool->granule;
	if (size == 0 || size > UINT64_C(1) << 46)
		return mhp__say(reterr, MHP_EINVAL, "a region has 1 byte to 64 TiB");
	pthread_mutex_lock(&pool->mutex);
	for (unsigned i = 0; i < MHP__REGIONS_MAX && region == NULL; i++)
		if (!pool->region[i].live)
			region = &pool->region[i];
	int err = MHP_ENOSPC;
	if (region == NULL) {
		mhp__say(reterr, err, "a pool has at most %u regions", MHP__REGIONS_MAX);
	} else {
		*region = (struct mhp_region){ .pool = pool, .nr_runs = 1 };
		strncpy(region->name, name, sizeof(region->name) - 1);
		err = build(region, rounded, reterr);
		region->live = err == 0;
	}
	pthread_mutex_unlock(&pool->mutex);
	if (err == 0)
		*ret_region = region;
	return err;
}

void
mhp_region_destroy(struct mhp_region *region)
{
	struct mhp_pool *pool = region->pool;
	uint64_t size = region->nr_pages << MHP__PAGE_SHIFT;
	pthread_mutex_lock(&pool->mutex);
	for (unsigned i = 0; i < pool->nr_pins; i++)
		if (pool->pin[i].start >= region->base && pool->pin[i].start < region->base + size)
			pool->pin[i].count = 0;
	pthread_mutex_unlock(&pool->mutex);
	/* Decommitting everything makes one gap of all mappings: it cannot run out of them. */
	uint64_t used = (region->top << MHP__PAGE_SHIFT) + pool->granule - 1;
	used -= used % pool->granule;
	while (used != 0 && mhp_region_decommit(region, (void *)region->base, used) != 0)
		mhp__linux_ops.pause(pool, 1000000);
	pthread_mutex_lock(&pool->mutex);
	munmap((void *)region->base, size);
	munmap(region->entry, region->nr_pages * sizeof(mhp__entry));
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
	return region->pool->granule;
}
