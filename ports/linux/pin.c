/* SPDX-License-Identifier: MIT */
/*
 * pin.c - ranges that must not move: memory under direct I/O, registered with a device.
 *
 * A short list: looking is O(pins), which is paid when something moves, never when something
 * runs. A pin waits until a move of its range is over, so that no frame moves after it returned.
 */
#include "frames.h"

bool
mhp__pinned(const struct mhp_pool *pool, uintptr_t start, uintptr_t end)
{
	for (unsigned i = 0; i < pool->nr_pins; i++)
		if (pool->pin[i].count != 0 && pool->pin[i].start < end && start < pool->pin[i].end)
			return true;
	return false;
}

/* The pin of exactly this range, or a free one with it, or NULL. */
static struct mhp__pin *
find(struct mhp_pool *pool, uintptr_t start, uintptr_t end, bool make)
{
	struct mhp__pin *empty = NULL;
	for (unsigned i = 0; i < pool->nr_pins; i++) {
		struct mhp__pin *pin = &pool->pin[i];
		if (pin->count != 0 && pin->start == start && pin->end == end)
			return pin;
		if (pin->count == 0)
			empty = pin;
	}
	if (!make)
		return NULL;
	if (empty == NULL && pool->nr_pins < MHP__PINS_MAX)
		empty = &pool->pin[pool->nr_pins++];
	if (empty != NULL)
		*empty = (struct mhp__pin){ start, end, 0 };
	return empty;
}

int
mhp_region_pin(struct mhp_region *region, void *start, uint64_t size)
{
	struct mhp_pool *pool = region->pool;
	uint64_t offset = (uintptr_t)start - region->base;
	uint64_t whole = region->nr_pages << MHP__PAGE_SHIFT;
	if ((uintptr_t)start < region->base || offset >= whole || size == 0 ||
	    size > whole - offset)
		return MHP_EINVAL;
	uint64_t page = offset >> MHP__PAGE_SHIFT;
	uint64_t end = (offset + size + MHP__PAGE_BYTES - 1) >> MHP__PAGE_SHIFT;

	pthread_mutex_lock(&pool->mutex);
	struct mhp__pin *pin = find(pool, (uintptr_t)start, (uintptr_t)start + size, true);
	if (pin != NULL) {
		pin->count++;
		mhp__frames_settle(region, page, end - page);
	}
	pthread_mutex_unlock(&pool->mutex);
	return pin != NULL ? 0 : MHP_ENOSPC;
}

int
mhp_region_unpin(struct mhp_region *region, void *start, uint64_t size)
{
	struct mhp_pool *pool = region->pool;
	pthread_mutex_lock(&pool->mutex);
	struct mhp__pin *pin = find(pool, (uintptr_t)start, (uintptr_t)start + size, false);
	if (pin != NULL)
		pin->count--;
	pthread_mutex_unlock(&pool->mutex);
	return pin != NULL ? 0 : MHP_ENOENT;
}
