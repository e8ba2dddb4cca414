/* SPDX-License-Identifier: MIT */
/*
 * setup.c - the pool of a preloaded program, as the environment describes it.
 *
 * `memplug run` passes everything in variables MEMPLUG_*. The order matters: what runs beside the
 * program is made before the heap, so that nothing of it lies in the heap. A pool that cannot be
 * served works all the same. Addresses are free unless the process is limited: then the pool takes
 * half of them at most, or says how many it would need.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <memplug/control.h>
#include <memplug/words.h>

#include "decay.h"
#include "follow.h"
#include "heap.h"
#include "limit.h"
#include "lock.h"
#include "maps.h"

#define BALLOON_REPORTING 5U
#define BALLOONS_MAX 32U
#define CGROUPS "/sys/fs/cgroup"
/* Unless the environment says otherwise: of a small limit, what is no whole block would be lost. */
#define BLOCK_BYTES (UINT64_C(128) << 20)
#define BLOCK_BYTES_MIN (UINT64_C(4) << 20)
#define BLOCKS_LEAST 8

#define RANGE_MIN (UINT64_C(16) << 40) /* of physical addresses */
#define RANGE_MAX (UINT64_C(64) << 40)
#define BLOCKS_MAX (UINT64_C(1) << 24)
#define PATIENCE 200U                  /* turns of 10 ms */
#define HEAP_MAX (UINT64_C(32) << 40)  /* of addresses of the heap: what is left of 128 TiB */
/* Room to plug new blocks before old ones leave, and for a heap that scatters; in maxima. */
#define RANGE_ROOM 4
#define HEAP_ROOM 8

/* A size such as 512M; where there is none, what *size is. */
static int
size_from(const char *name, uint64_t *size, struct mhp_text *reterr)
{
	const char *text = getenv(name);
	struct mhp_size read;
	if (text == NULL || *text == 0)
		return 0;
	if (mhp_size_parse(text, &read) != 0 || read.bytes == 0) {
		snprintf(reterr->text, sizeof(reterr->text), "%s=%.40s is no size", name, text);
		return MHP_EINVAL;
	}
	*size = read.bytes;
	return 0;
}

static uint64_t
at_most(uint64_t value, uint64_t bound)
{
	return value < bound ? value : bound;
}

/* If the system refuses because of a limit that somebody set, the message names that limit. */
static int
limited(uint64_t max, uint64_t limit, struct mhp_text *reterr)
{
	if (reterr != NULL)
		snprintf(reterr->text, sizeof(reterr->text),
			 "the process may have %llu MiB of addresses (RLIMIT_AS, ulimit -v), which "
			 "is not enough for a pool of up to %llu MiB; --max %lluM would fit",
			 (unsigned long long)(limit >> 20), (unsigned long long)(max >> 20),
			 (unsigned long long)(limit / 2 / (RANGE_ROOM + HEAP_ROOM) >> 20));
	return MHP_ENOMEM;
}

/* The soft limit of the process for data, or for another resource. */
static uint64_t
soft_limit(__rlimit_resource_t resource)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	getrlimit(resource, &limit);
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

/*
 * How many physical addresses the pool has, and how many its heap: a heap that may not have much
 * data is not scattered over more, since the allocator's own tables count (2 MiB for each GiB in
 * which it has something).
 */
static int
choose_addresses(struct mhp_pool_opts *opts, struct mhp_heap_opts *heap, uint64_t max,
		 struct mhp_text *reterr)
{
	uint64_t block = opts->block_bytes, longest = at_most(RANGE_MAX, block * (BLOCKS_MAX - 1));
	uint64_t least = RANGE_MIN, bound = at_most(max, RANGE_MAX);
	uint64_t addresses = soft_limit(RLIMIT_AS), data = soft_limit(RLIMIT_DATA);
	if (addresses != UINT64_MAX) {
		least = 0;
		if (addresses / 2 / (RANGE_ROOM + HEAP_ROOM) < bound)
			return limited(max, addresses, reterr);
		heap->address_bytes = bound * HEAP_ROOM;
	} else if (data < bound) {
		heap->address_bytes = (data / block + 1) * block * HEAP_ROOM;
	} else if (bound > HEAP_MAX / HEAP_ROOM) {
		heap->address_bytes = HEAP_MAX;
	}
	uint64_t needed = at_most(bound * RANGE_ROOM, longest);
	opts->max_bytes = needed > least ? needed : at_most(least, longest);
	return 0;
}

/* A data limit shows only as a lack of memory. */
static void
name_data_limit(int err, struct mhp_text *reterr)
{
	uint64_t limit = soft_limit(RLIMIT_DATA);
	size_t used = strlen(reterr->text);
	if (err == MHP_ENOMEM && limit != UINT64_MAX)
		snprintf(reterr->text + used, sizeof(reterr->text) - used,
			 "%sthe process may have %llu MiB of data (RLIMIT_DATA, ulimit -d)",
			 used == 0 ? "" : "; ", (unsigned long long)(limit >> 20));
}

/*
 * Does the host take free memory back from this machine? It does so by huge pages (free page
 * reporting, feature 5 of a balloon), so that a fresh one costs it a fault and us more than it
 * saves.
 */
static bool
host_takes_back(void)
{
	char path[80], features[BALLOON_REPORTING + 1];
	for (unsigned device = 0; device < BALLOONS_MAX; device++) {
		snprintf(path, sizeof(path),
			 "/sys/bus/virtio/drivers/virtio_balloon/virtio%u/features", device);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t got = fd < 0 ? 0 : read(fd, features, sizeof(features));
		if (fd >= 0)
			close(fd);
		if (got == (ssize_t)sizeof(features) && features[BALLOON_REPORTING] == '1')
			return true;
	}
	return false;
}

static uint64_t
usual_block(uint64_t limit)
{
	uint64_t block = BLOCK_BYTES;
	while (block > BLOCK_BYTES_MIN && limit / BLOCKS_LEAST < block)
		block /= 2;
	return block;
}

/* The options as the environment gives them. */
struct wish {
	uint64_t block, boot, max;
	uint64_t mmap; /* mappings from this size on are in the pool; 0: none */
	struct mhp_backing backing;
	struct mhp_spread spread;
	struct mhp_tiering tiering;
	enum mhp_huge huge;
	bool grow, huge_large;         /* huge pages for large allocations only */
	const char *follow;            /* where the cgroups are; NULL: do not follow */
	unsigned patience;             /* so often it tries to have what somebody else has */
};

static int
read_huge(struct wish *wish, struct mhp_text *reterr)
{
	const char *words = getenv("MEMPLUG_HUGE");
	if (words == NULL || *words == 0 || strcmp(words, "auto") == 0)
		wish->huge_large = !host_takes_back();
	else if (strcmp(words, "large") == 0)
		wish->huge_large = true;
	else if (strcmp(words, "none") != 0)
		return mhp_huge_parse(words, &wish->huge, reterr);
	return 0;
}

static int
read_wish(struct wish *wish, struct mhp_text *reterr)
{
	const char *words = getenv("MEMPLUG_BACKING"), *grow = getenv("MEMPLUG_GROW");
	const char *placement = getenv("MEMPLUG_PLACEMENT"), *tiering = getenv("MEMPLUG_TIERING");
	*wish = (struct wish){ .max = mhp__memory_limit(), .follow = getenv("MEMPLUG_FOLLOW") };
	wish->block = usual_block(wish->max);
	if (wish->follow != NULL && *wish->follow == 0)
		wish->follow = NULL;
	int err = size_from("MEMPLUG_BLOCK_SIZE", &wish->block, reterr);
	wish->boot = wish->block;
	if (err == 0)
		err = size_from("MEMPLUG_BOOT", &wish->boot, reterr);
	if (err == 0)
		err = size_from("MEMPLUG_MAX", &wish->max, reterr);
	if (err == 0)
		err = size_from("MEMPLUG_MMAP", &wish->mmap, reterr);
	if (err == 0)
		err = mhp_backing_parse(words != NULL ? words : "ram", &wish->backing, reterr);
	if (err == 0 && placement != NULL && *placement != 0)
		err = mhp_spread_parse(placement, &wish->spread, reterr);
	if (err == 0 && tiering != NULL && *tiering != 0)
		err = mhp_tiering_parse(tiering, &wish->tiering, reterr);
	if (err == 0)
		err = read_huge(wish, reterr);
	wish->boot = (wish->boot + wish->block - 1) / wish->block * wish->block;
	wish->grow = grow == NULL || strcmp(grow, "none") != 0;
	return err;
}

/* Undo what was begun: nobody has heard of the pool, and malloc has nothing of it. */
static void
undo(struct mhp_pool *pool)
{
	struct mhp *m = mhp_pool_engine(pool);
	struct mhp_blocks all = { 0, mhp_get_geometry(m)->nr_blocks };
	(void)!mhp_control_stop();
	(void)!mhp_remove(m, &all, 1, NULL, NULL);
	(void)!mhp_pool_destroy(pool);
}

/*
 * Plug in what the program starts on. A file or device that the program before it had, or the one
 * that executed it, is free in a moment: when those who served that have ended, too.
 */
static int
plug(struct mhp_pool *pool, const struct wish *wish, struct mhp_text *reterr)
{
	const struct timespec pause = { 0, 10000000 };
	struct mhp_add_opts add = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE,
	};
	int err = mhp_pool_add(pool, &wish->backing, wish->boot, &add, NULL, reterr);
	for (unsigned turn = 0; err == MHP_EBUSY && turn < wish->patience; turn++) {
		nanosleep(&pause, NULL);
		err = mhp_pool_add(pool, &wish->backing, wish->boot, &add, NULL, reterr);
	}
	return err;
}

/* A pool with the memory that the program starts on. */
static int
make_pool(const struct wish *wish, struct mhp_heap_opts *heap, struct mhp_pool **ret_pool,
	  struct mhp_text *reterr)
{
	struct mhp_pool_opts opts = {
		.block_bytes = wish->block,
		.page_bytes = mhp_backing_page_bytes(&wish->backing),
		.trace = mhp_control_trace,
	};
	uint64_t most = wish->grow && wish->max > wish->boot ? wish->max : wish->boot;
	int err = choose_addresses(&opts, heap, most, reterr);
	if (err == 0)
		err = mhp_pool_create(&opts, ret_pool, reterr);
	if (err != 0)
		return err;
	err = plug(*ret_pool, wish, reterr);
	if (err == 0)
		err = mhp_pool_set_spread(*ret_pool, &wish->spread, reterr);
	if (err == 0)
		err = mhp_pool_set_huge(*ret_pool, wish->huge, reterr);
	if (err != 0)
		undo(*ret_pool);
	return err;
}

/* The heap has grown: is everybody here who serves it? */
static void
took(void)
{
	mhp_control_wake();
	mhp__follow_wake();
}

/* Serve the pool and put malloc on it, or neither. */
static int
start(const struct wish *wish, struct mhp_heap_opts *heap, const char *name,
      struct mhp_text *ret_unserved, struct mhp_pool **ret_pool, struct mhp_text *reterr)
{
	struct mhp_control_opts control = {
		.name = name, .backing = wish->backing,
		.get_max = mhp_heap_get_max, .set_max = mhp__follow_set_max,
		.set_follow = mhp__follow_set, .get_followed = mhp__follow_get,
		.give_back = mhp__decay_now,
	};
	int err = make_pool(wish, heap, ret_pool, reterr);
	if (err != 0)
		return err;
	/* Who asks does not wait for the heap: what it may have is known before it is there, and
	 * what is set meanwhile holds. */
	mhp_heap_set_max(wish->grow ? wish->max : 0);
	if (mhp_control_start(*ret_pool, &control, ret_unserved) == 0)
		ret_unserved->text[0] = 0;
	heap->backing = wish->backing;
	heap->took = took;
	heap->max_bytes = mhp_heap_get_max();
	heap->no_huge = !wish->huge_large;
	err = mhp_heap_start(*ret_pool, heap, reterr);
	if (err != 0)
		undo(*ret_pool);
	return err;
}

int
mhp__setup(const char *name, bool first, struct mhp_text *ret_unserved, struct mhp_text *reterr)
{
	struct wish wish;
	struct mhp_pool *pool;
	struct mhp_heap_opts heap = { 0 };
	int err = read_wish(&wish, reterr);
	wish.patience = first ? PATIENCE : 0;
	mhp__lock_note(true);
	if (err == 0)
		err = start(&wish, &heap, name, ret_unserved, &pool, reterr);
	if (err == 0)
		mhp__follow_start(wish.follow != NULL,
				  wish.follow != NULL ? wish.follow : CGROUPS);
	if (err == 0 && wish.mmap != 0)
		err = mhp__maps_start(pool, wish.mmap, reterr);
	if (err == 0 && wish.tiering.on)
		err = mhp_pool_set_tiering(pool, &wish.tiering, reterr);
	mhp__lock_note(false);
	if (err != 0)
		name_data_limit(err, reterr);
	return err;
}
