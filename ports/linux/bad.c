/* SPDX-License-Identifier: MIT */
/*
 * bad.c - frames of devices that the kernel knows to be bad are taken out of use.
 *
 * Before blocks are added, so that nothing is ever there, and whenever somebody asks again. The
 * engine remembers a frame by its number in the pool; a page that is there moves away, or stays
 * where it is and is remembered, and then it is said whose it is. The list is read under the
 * hotplug mutex, which the engine's own calls take afterwards.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include <memplug/companion.h>

#include "bad.h"
#include "badblocks.h"

/* In memory of its own: the caller's stack may be on its way. */
struct bad {
	struct mhp_pool *pool;
	uint32_t first, count;
	uint64_t nr, max;
	uint64_t pfn[];
};

/* In the companion, hotplug mutex held. */
static int
find(void *arg)
{
	struct bad *bad = arg;
	const struct mhp__space *space = &bad->pool->space;
	for (unsigned i = 0; i < MHP__FILES_MAX; i++) {
		const struct mhp__file *file = &space->file[i];
		if (!file->live || !file->has_place || file->by_address || file->nr_blocks == 0)
			continue;
		uint64_t have = bad->nr < bad->max ? bad->nr : bad->max;
		bad->nr += mhp__badblocks_find(space, file, bad->first, bad->count,
					       bad->pfn + have, bad->max - have);
	}
	return 0;
}

static int
take_all(const struct bad *bad, uint64_t *ret_new, struct mhp_text *reterr)
{
	struct mhp *m = bad->pool->m;
	int err = 0;
	for (uint64_t i = 0; i < bad->nr && i < bad->max && err != MHP_ENOSPC; i++) {
		if (mhp_bad_test(m, bad->pfn[i]))
			continue;
		err = mhp_bad_add(m, bad->pfn[i]); /* in use still: it is remembered */
		*ret_new += err != MHP_ENOSPC && err != MHP_EDEADLK;
	}
	if (bad->nr <= bad->max && err != MHP_ENOSPC)
		return err == MHP_EDEADLK ? err : 0;
	return mhp__say(reterr, MHP_ENOSPC, "the kernel knows of %llu bad pages of devices, and "
			"the pool cannot remember more than %llu",
			(unsigned long long)bad->nr, (unsigned long long)bad->max);
}

int
mhp__bad_take(struct mhp_pool *pool, uint32_t first, uint32_t count, uint64_t *ret_new,
	      struct mhp_text *reterr)
{
	uint64_t max = mhp_get_geometry(pool->m)->nr_bad_pages;
	size_t size = sizeof(struct bad) + max * sizeof(uint64_t);
	struct bad *bad = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	*ret_new = 0;
	if (bad == MAP_FAILED)
		return mhp__say(reterr, MHP_ENOMEM, "no memory for a list of bad pages");
	bad->pool = pool;
	bad->first = first;
	bad->count = count;
	bad->max = max;
	mhp__pool_lock_hotplug(pool);
	int err = mhp_companion_call(find, bad, reterr);
	pthread_mutex_unlock(&pool->hotplug);
	if (err == 0)
		err = take_all(bad, ret_new, reterr);
	munmap(bad, size);
	return err;
}

static bool
has_devices(const struct mhp_pool *pool)
{
	for (unsigned i = 0; i < MHP__FILES_MAX; i++)
		if (pool->space.file[i].live && pool->space.file[i].has_place)
			return true;
	return false;
}

int
mhp_pool_look_bad(struct mhp_pool *pool, uint64_t *ret_new, struct mhp_text *reterr)
{
	uint64_t found = 0;
	if (atomic_load(&pool->hotplug_holder) == mhp__linux_ops.self(pool))
		return mhp__say(reterr, MHP_EDEADLK, "a listener, or an owner's function, cannot "
				"take pages out of use");
	int err = has_devices(pool) ? mhp__bad_take(pool, 0, pool->space.nr_blocks, &found, reterr)
				    : 0;
	if (ret_new != NULL)
		*ret_new = found;
	return err;
}

/* A page that the frame may be in begins at one of these. */
static struct mhp_frame
find_page(struct mhp *m, uint64_t pfn, uint64_t *ret_head)
{
	struct mhp_frame frame = mhp_frame_peek(m, pfn);
	*ret_head = pfn;
	if (frame.state != MHP_FRAME_TAIL)
		return frame;
	for (unsigned order = 1; order <= MHP__HUGE_ORDER; order++) {
		*ret_head = pfn >> order << order;
		frame = mhp_frame_peek(m, *ret_head);
		if (frame.state == MHP_FRAME_USED &&
		    pfn - *ret_head < UINT64_C(1) << frame.order)
			return frame;
	}
	return (struct mhp_frame){ .state = MHP_FRAME_FREE }; /* it was given back just now */
}

int
mhp_pool_page_user(struct mhp_pool *pool, uint64_t pfn, struct mhp_page_user *ret_user)
{
	uint64_t head;
	struct mhp_frame frame = find_page(pool->m, pfn, &head);
	if (frame.state != MHP_FRAME_USED)
		return MHP_ENOENT;
	*ret_user = (struct mhp_page_user){ .owner = frame.owner };
	if (frame.owner == pool->owner) /* its cookie is an address */
		ret_user->address = frame.cookie + ((pfn - head) << MHP__PAGE_SHIFT);
	return 0;
}
