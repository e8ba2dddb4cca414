/* SPDX-License-Identifier: MIT */
/*
 * preload.c - what makes libmemplug-heap.so work under LD_PRELOAD: a constructor.
 *
 * It reads the environment that `memplug run` sets, makes the pool, plugs what the program starts
 * on, and gives malloc to it. Order matters: our fork handlers must be registered before those of
 * jemalloc, which touch memory of the heap, and the pool's threads are made before the heap is, so
 * that nothing of theirs lies in it. If anything fails, the program runs on ordinary memory, unless
 * MEMPLUG_STRICT is set, which `memplug run` does.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <memplug/control.h>
#include <memplug/words.h>

#include "heap.h"
#include "limit.h"

#define RANGE_MIN (UINT64_C(16) << 40) /* of physical addresses */
#define RANGE_MAX (UINT64_C(64) << 40)
#define BLOCKS_MAX (UINT64_C(1) << 24)
#define HEAP_MAX (UINT64_C(32) << 40)  /* of addresses of the heap: what is left of 128 TiB */

/*
 * How jemalloc is set up, unless the environment says otherwise: it returns addresses instead of
 * retaining them, so that extents can grow in place; and very large extents are kept for a while
 * after they are freed, like all others.
 */
const char *malloc_conf = "retain:false,oversize_threshold:0";

typedef void fork_fn(void);
int __real_pthread_atfork(fork_fn *prepare, fork_fn *parent, fork_fn *child);
int __wrap_pthread_atfork(fork_fn *prepare, fork_fn *parent, fork_fn *child);

/*
 * The linker makes pthread_atfork() of everything inside this library, jemalloc's too, this. Locks
 * are taken from the outermost in before a fork, by handlers that run last registered first.
 */
int
__wrap_pthread_atfork(fork_fn *prepare, fork_fn *parent, fork_fn *child)
{
	static bool ours;
	if (!ours) {
		ours = true;
		mhp_fork_init();
		mhp__extents_fork_init();
	}
	return __real_pthread_atfork(prepare, parent, child);
}

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

/*
 * Four times the maximum: room to plug new blocks before old ones leave. And so much at least that
 * sparse memory fits beside it, unless the addresses of the process are limited: what is not
 * plugged costs none but those.
 */
static int
make_pool(struct mhp_pool_opts *opts, uint64_t max, struct mhp_pool **ret_pool,
	  struct mhp_text *reterr)
{
	uint64_t longest = at_most(RANGE_MAX, opts->block_bytes * (BLOCKS_MAX - 1));
	uint64_t needed = at_most(max, RANGE_MAX / 4) * 4;
	opts->max_bytes = at_most(needed > RANGE_MIN ? needed : RANGE_MIN, longest);
	int err = mhp_pool_create(opts, ret_pool, reterr);
	if (err != MHP_ENOMEM || needed >= opts->max_bytes)
		return err;
	opts->max_bytes = needed;
	return mhp_pool_create(opts, ret_pool, reterr);
}

static int
start(struct mhp_text *reterr)
{
	const char *words = getenv("MEMPLUG_BACKING"), *grow = getenv("MEMPLUG_GROW");
	struct mhp_heap_opts heap = { 0 };
	struct mhp_pool *pool;
	struct mhp_add_opts add = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE,
	};
	uint64_t block = UINT64_C(128) << 20, max = mhp__memory_limit(), boot;

	int err = size_from("MEMPLUG_BLOCK_SIZE", &block, reterr);
	boot = block;
	if (err == 0)
		err = size_from("MEMPLUG_BOOT", &boot, reterr);
	if (err == 0)
		err = size_from("MEMPLUG_MAX", &max, reterr);
	if (err == 0)
		err = mhp_backing_parse(words != NULL ? words : "memfd", &heap.backing, reterr);
	if (err != 0)
		return err;
	struct mhp_pool_opts opts = {
		.block_bytes = block, .page_bytes = mhp_backing_page_bytes(&heap.backing),
		.trace = mhp_control_trace,
	};
	err = make_pool(&opts, max, &pool, reterr);
	if (err != 0)
		return err;
	boot = (boot + block - 1) / block * block;
	err = mhp_pool_add(pool, &heap.backing, boot, &add, NULL, reterr);
	if (err == 0) {
		heap.max_bytes = grow != NULL && strcmp(grow, "none") == 0 ? 0 : max;
		heap.address_bytes = heap.max_bytes == 0 ? boot * 8 : 0;
		if (heap.max_bytes > HEAP_MAX / 8)
			heap.address_bytes = HEAP_MAX;
		struct mhp_control_opts control = {
			.name = getenv("MEMPLUG_NAME"), .backing = heap.backing,
			.get_max = mhp_heap_get_max, .set_max = mhp_heap_set_max,
		};
		err = mhp_control_start(pool, &control, reterr);
	}
	return err != 0 ? err : mhp_heap_start(pool, &heap, reterr);
}

__attribute__((constructor)) static void
preload(void)
{
	struct mhp_text text = { "" };
	if (getenv("MEMPLUG_BOOT") == NULL)
		return;
	int err = start(&text);
	if (err == 0)
		return;
	fprintf(stderr, "memplug: %s\n", text.text[0] != 0 ? text.text : "the pool did not start");
	if (getenv("MEMPLUG_STRICT") != NULL)
		_exit(1);
}
