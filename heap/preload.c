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
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <memplug/control.h>

#include "heap.h"

typedef int register_fn(void (*prepare)(void), void (*parent)(void), void (*child)(void),
			void *dso);

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso);

/*
 * What pthread_atfork() calls, in every library: the first caller is early, and is jemalloc at the
 * latest. Ours go in front of it.
 */
__attribute__((visibility("default"))) int
__register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso)
{
	static register_fn *next;
	if (next == NULL) {
		next = (register_fn *)dlsym(RTLD_NEXT, "__register_atfork");
		mhp_fork_init();
	}
	return next(prepare, parent, child, dso);
}

/* A size such as 512M; the default when there is none. */
static uint64_t
size_from(const char *name, uint64_t otherwise)
{
	static const char units[] = "KMGT";
	const char *text = getenv(name);
	char *end;
	if (text == NULL || *text == 0)
		return otherwise;
	uint64_t value = strtoull(text, &end, 0);
	const char *unit = *end != 0 ? strchr(units, *end) : NULL;
	return unit != NULL ? value << (10 * (unit - units + 1)) : value;
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
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * 4096;
	uint64_t block = size_from("MEMPLUG_BLOCK_SIZE", UINT64_C(128) << 20);
	uint64_t boot = size_from("MEMPLUG_BOOT", block), max = size_from("MEMPLUG_MAX", memory);

	int err = mhp_backing_parse(words != NULL ? words : "memfd", &heap.backing, reterr);
	if (err != 0)
		return err;
	bool huge = heap.backing.kind == MHP_BACKING_HUGETLB_2M;
	/* Four times the maximum: room to plug new blocks before old ones leave. */
	struct mhp_pool_opts opts = {
		.max_bytes = max * 4 > UINT64_C(1) << 40 ? max * 4 : UINT64_C(1) << 40,
		.block_bytes = block, .page_bytes = huge ? UINT64_C(2) << 20 : 0,
	};
	err = mhp_pool_create(&opts, &pool, reterr);
	if (err != 0)
		return err;
	boot = (boot + block - 1) / block * block;
	err = mhp_pool_add(pool, &heap.backing, boot, &add, NULL, reterr);
	if (err == 0) {
		heap.max_bytes = grow != NULL && strcmp(grow, "none") == 0 ? 0 : max;
		heap.address_bytes = heap.max_bytes == 0 ? boot * 8 : 0;
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
