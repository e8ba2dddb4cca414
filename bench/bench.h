/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what the parts of the engine's benchmark share: who is measured, and pools.
 *
 * Everything is a ratio within one run: each figure is the median of rounds in which the
 * contenders take turns, in CPU time of the threads that did the work.
 */
#ifndef MEMPLUG_BENCH_H
#define MEMPLUG_BENCH_H

#include <memplug/mhp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "measure.h"

/** One who hands out pages: the engine, or an allocator beside it. */
struct contender {
	const char *name;
	/** A page of 4096 << order bytes, or 0. */
	uintptr_t (*take)(unsigned order);
	void (*give)(uintptr_t page);
};

extern const struct contender contenders[];
extern const unsigned nr_contenders;

/** An instance on simulated memory of up to @nr_blocks blocks of 128 MiB. */
struct bench_pool {
	struct mhp *m;
	struct mhp_sim *sim;
	struct mhp_port_ops ops;
};
void bench_pool_open(struct bench_pool *pool, uint32_t nr_blocks);
void bench_pool_close(struct bench_pool *pool);

/** Give the engine that contenders[0] takes pages from its memory, all in one MOVABLE zone. */
void bench_engine_start(uint32_t nr_blocks);

/** Instructions of @nr_pairs alloc+free pairs of one page, single-stepped; 0 where that fails. */
double bench_instructions(const struct contender *contender, unsigned order, unsigned nr_pairs);

void bench_pages(void);
void bench_blocks_all(void);
void bench_flat(void);
void bench_deadlines(void);

#endif
