/* SPDX-License-Identifier: MIT */
/*
 * start.c - give jemalloc its hooks, and grow the pool when the heap needs room.
 *
 * Every arena that jemalloc has or can make by itself gets the hooks, also those that do not exist
 * yet: setting the hooks makes them. The arena for very large allocations has no index until the
 * first of them, so one is made. Growing takes the engine's hotplug lock, but does not wait for a
 * removal that is under way: then the heap takes memory from outside of the pool.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "taken.h"

#define OVERSIZE_BYTES (UINT64_C(9) << 20)
#define ADDRESS_MIN (UINT64_C(64) << 30)

static uint64_t
plugged_bytes(struct mhp_pool *pool)
{
	struct mhp_stats stats;
	struct mhp *m = mhp_pool_engine(pool);
	const struct mhp_geometry *geo = mhp_get_geometry(m);
	mhp_get_stats(m, &stats);
	return (uint64_t)stats.blocks_present << (geo->block_order + geo->page_shift);
}

/* One at a time: whoever waited finds what was added. */
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

/* A forked child has nobody to wait for, and nobody yet who sets it a bound. */
void
mhp__heap_grow_in_child(void)
{
	growing = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	mhp__taken_bound(UINT64_MAX, UINT64_MAX);
}

/* A failed growth, as the pool's events will report it. */
struct refusal {
	bool tell;
	struct mhp_text text;          /* empty: the bound was reached */
};

/* Once for each bound, not for each malloc that fails by it. */
static bool
is_first_at(uint64_t max)
{
	static uint64_t told_max;
	bool first = told_max != max;
	told_max = max;
	return first;
}

/* Once for each placement and size of the pool. */
static void
refuse_full(uint64_t have, const struct mhp_text *why, struct refusal *ret_refusal)
{
	static char told[MHP_SPREAD_TEXT];
	static uint64_t told_have;
	char words[MHP_SPREAD_TEXT];
	struct mhp_spread spread;
	mhp_pool_get_spread(mhp__heap.pool, &spread);
	mhp_spread_text(&spread, words);
	ret_refusal->tell = told_have != have || strcmp(told, words) != 0;
	told_have = have;
	memcpy(told, words, sizeof(told));
	(void)!snprintf(ret_refusal->text.text, sizeof(ret_refusal->text.text),
			"'%s' leaves no room: %s", words, why->text);
}

/* Add what a backing has of the bytes that are left, in blocks: all of it, or by halves. */
static int
add_some(const struct mhp_backing *backing, uint64_t block, uint64_t *left, struct mhp_text *why)
{
	const struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE,
	};
	int err = 0;
	for (uint64_t part = *left; part != 0 && *left != 0;) {
		part = part < *left ? part : *left;
		err = mhp_pool_add(mhp__heap.pool, backing, part, &opts, NULL, why);
		if (err == 0)
			*left -= part;
		else
			part = part / 2 / block * block;
	}
	return err;
}

/* Add memory: where the heap is bound to some, of each of it in turn until there is enough.
 * Together with what is free already, a part may be enough, so only nothing at all is an error. */
static int
add_wanted(uint64_t add, uint64_t block, struct mhp_backing backing, bool bound,
	   struct mhp_text *why)
{
	uint64_t left = add;
	unsigned at = 0;
	int err;
	do
		err = add_some(&backing, block, &left, why);
	while (left != 0 && bound && mhp_region_wants(mhp__heap.region, ++at, &backing));
	return left < add ? 0 : err;
}

/* Plug memory for bytes more, as far as the bound lets us. */
static int
grow_locked(uint64_t bytes, uint64_t max, struct refusal *ret_refusal)
{
	struct mhp_pool *pool = mhp__heap.pool;
	const struct mhp_geometry *geo = mhp_get_geometry(mhp_pool_engine(pool));
	uint64_t block = UINT64_C(1) << (geo->block_order + geo->page_shift);
	uint64_t add = (bytes + block - 1) / block * block, have = plugged_bytes(pool);
	uint64_t room = max > have ? (max - have) / block * block : 0;
	if (add > room)
		add = room;
	struct mhp_backing backing = mhp__heap.backing;
	bool bound = mhp_region_wants(mhp__heap.region, 0, &backing);
	struct mhp_text why = { "the pool does not grow" };
	int err = add != 0 ? add_wanted(add, block, backing, bound, &why) : MHP_ENOMEM;
	if (max != 0 && room == 0)
		ret_refusal->tell = is_first_at(max);
	else if (bound && err != 0)
		refuse_full(have, &why, ret_refusal);
	/* Bound to a node that is full: memory of another one would be of no use. */
	return bound && err != 0 ? MHP_ENOMEM : err;
}

int
mhp__heap_grow(uint64_t bytes)
{
	struct mhp *m = mhp_pool_engine(mhp__heap.pool);
	uint64_t max = atomic_load(&mhp__heap.max_bytes);
	struct refusal refusal = { 0 };
	/*
	 * A removal holds the hotplug lock until it is through. Where they leave because a limit is
	 * near, memory from outside of the pool would bring it as near.
	 */
	if (mhp_progress(m).blocks.count != 0)
		return atomic_load(&mhp__heap.shrinks) ? MHP_ENOMEM : MHP_EAGAIN;
	pthread_mutex_lock(&growing);
	int err = grow_locked(bytes, max, &refusal);
	pthread_mutex_unlock(&growing);
	if (refusal.tell)
		(void)!mhp_limit_announce(m, max, refusal.text.text[0] != 0 ? refusal.text.text
									    : NULL);
	return err;
}

/* In the first so many arenas. Returns in how many. */
static unsigned
set_hooks(extent_hooks_t *hooks, unsigned nr)
{
	char name[48];
	for (unsigned i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "arena.%u.extent_hooks", i);
		if (mallctl(name, NULL, NULL, &hooks, sizeof(hooks)) != 0)
			return i;
	}
	return nr;
}

static bool
install(unsigned *ret_nr_arenas)
{
	size_t size = sizeof(*ret_nr_arenas);

	/* Volatile: a compiler may leave out a malloc whose result is only freed. */
	void *volatile large = malloc(OVERSIZE_BYTES);
	free(large);
	if (mallctl("arenas.narenas", ret_nr_arenas, &size, NULL, 0) != 0)
		return false;
	size = sizeof(mhp__heap.foreign);
	if (mallctl("arena.0.extent_hooks", &mhp__heap.foreign, &size, NULL, 0) != 0)
		return false;
	unsigned nr = set_hooks(&mhp__heap_hooks, *ret_nr_arenas);
	if (nr < *ret_nr_arenas)
		(void)set_hooks(mhp__heap.foreign, nr);
	return nr == *ret_nr_arenas;
}

/* Nothing was allocated in it. */
static void
end(void)
{
	mhp_region_destroy(mhp__heap.region);
	mhp__heap.start = mhp__heap.end = 0;
}

static int
no_hooks(struct mhp_text *reterr)
{
	if (reterr != NULL)
		snprintf(reterr->text, sizeof(reterr->text),
			 "malloc is not a jemalloc that takes hooks");
	return MHP_EOPNOTSUPP;
}

int
mhp_heap_start(struct mhp_pool *pool, const struct mhp_heap_opts *opts, struct mhp_text *reterr)
{
	uint64_t addresses = opts->address_bytes;
	if (mhp__heap.pool != NULL)
		return MHP_EBUSY;
	if (mallctl == NULL)
		return no_hooks(reterr);
	if (addresses == 0)
		addresses = opts->max_bytes > ADDRESS_MIN / 8 ? opts->max_bytes * 8 : ADDRESS_MIN;
	int err = mhp_region_create(pool, "heap", addresses, &mhp__heap.region, reterr);
	if (err != 0)
		return err;
	mhp__heap.start = (uintptr_t)mhp_region_base(mhp__heap.region);
	mhp__heap.end = mhp__heap.start + mhp_region_size(mhp__heap.region);
	mhp__heap.backing = opts->backing;
	mhp__heap.took = opts->took;
	atomic_store(&mhp__heap.max_bytes, opts->max_bytes);
	/* The memory that arenas themselves are made of is not the program's, and they take far
	 * more than they need. */
	mhp__heap.closed = true;
	unsigned nr_arenas;
	if (!install(&nr_arenas)) {
		end();
		return no_hooks(reterr);
	}
	if (!mhp__extents_init(!opts->no_huge)) {
		(void)set_hooks(mhp__heap.foreign, nr_arenas);
		end();
		return MHP_ENOMEM;
	}
	mhp__heap.pool = pool;
	mhp__heap.closed = false;
	return 0;
}

void
mhp_heap_set_max(uint64_t max_bytes)
{
	atomic_store(&mhp__heap.max_bytes, max_bytes);
}

uint64_t
mhp_heap_get_max(void)
{
	return atomic_load(&mhp__heap.max_bytes);
}
