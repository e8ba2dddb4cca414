/* SPDX-License-Identifier: MIT */
/*
 * contenders.c - the engine and the allocators that it is measured beside.
 *
 * The engine runs on the hot half of the Linux port and on memory of the simulator, which nobody
 * touches: what is measured is handing out pages, as with the others. jemalloc is what malloc is
 * in this program; mimalloc has names of its own.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <linux/membarrier.h>
#include <mimalloc.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim.h"

static struct bench_pool engine;
static struct mhp_page_req engine_req[MHP_ORDERS];

/* ---- pools ---- */

static void
fence_cpus(void *port)
{
	(void)port;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) != 0)
		bench_die("membarrier");
}

void
bench_pool_open(struct bench_pool *pool, uint32_t nr_blocks)
{
	struct mhp_sim_opts opts = {
		.geometry = { .page_shift = 12, .pageblock_order = 9, .section_order = 15,
			      .block_order = 15, .nr_nodes = 1, .nr_cpus = 64,
			      .nr_blocks = nr_blocks },
		.fill = MHP_SIM_KEEP,
	};
	struct mhp_config config;
	size_t bytes;

	if (mhp_sim_create(&opts, &pool->sim) != 0 || mhp_footprint(&opts.geometry, &bytes) != 0)
		bench_die("the simulator");
	mhp_sim_config(pool->sim, &config);
	pool->ops = *config.ops;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0)
		pool->ops.fence_cpus = fence_cpus;
	config.ops = &pool->ops;
	if (mhp_init(mhp_sim_instance_memory(pool->sim, bytes), bytes, &config, &pool->m) != 0)
		bench_die("mhp_init");
}

void
bench_pool_close(struct bench_pool *pool)
{
	mhp_sim_destroy(pool->sim);
}

void
bench_engine_start(uint32_t nr_blocks)
{
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_ADD_ZEROED |
			 MHP_ADD_ONLINE,
		.zone = MHP_ZONE_NORMAL,
	};
	uint16_t owner;

	bench_pool_open(&engine, nr_blocks);
	if (mhp_add(engine.m, (struct mhp_blocks){ 0, nr_blocks }, &opts, NULL) != 0)
		bench_die("mhp_add");
	if (mhp_owner_register(engine.m, "bench", NULL, NULL, &owner) != 0)
		bench_die("mhp_owner_register");
	for (unsigned order = 0; order < MHP_ORDERS; order++)
		engine_req[order] =
			(struct mhp_page_req){ .owner = owner, .order = (uint8_t)order };
}

/* ---- the contenders ---- */

static uintptr_t
engine_take(unsigned order)
{
	uint64_t pfn;

	return mhp_page_alloc(engine.m, engine_req[order], &pfn) == 0 ? (uintptr_t)pfn : 0;
}

static void
engine_give(uintptr_t page)
{
	mhp_page_free(engine.m, page);
}

static uintptr_t
jemalloc_take(unsigned order)
{
	void *volatile page = malloc((size_t)4096 << order);

	return (uintptr_t)page;
}

static void
jemalloc_give(uintptr_t page)
{
	free((void *)page);
}

static uintptr_t
mimalloc_take(unsigned order)
{
	return (uintptr_t)mi_malloc_aligned((size_t)4096 << order, (size_t)4096 << order);
}

static void
mimalloc_give(uintptr_t page)
{
	mi_free((void *)page);
}

const struct contender contenders[] = {
	{ "memplug", engine_take, engine_give },
	{ "jemalloc", jemalloc_take, jemalloc_give },
	{ "mimalloc", mimalloc_take, mimalloc_give },
};
const unsigned nr_contenders = sizeof(contenders) / sizeof(contenders[0]);
