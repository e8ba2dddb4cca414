/* SPDX-License-Identifier: MIT */
/*
 * linux.h - what the parts of the Linux port's benchmark share: pools and huge pages.
 *
 * Each figure stands beside what it is to be compared with, measured in turns in the same run,
 * because nothing else on a busy machine means much. Blocks are of 128 MiB.
 */
#ifndef MEMPLUG_BENCH_LINUX_H
#define MEMPLUG_BENCH_LINUX_H

#include <memplug/linux.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "measure.h"

#define BENCH_PAGE UINT64_C(4096)
#define BENCH_HUGE (UINT64_C(2) << 20)
#define BENCH_BLOCK (UINT64_C(128) << 20)

/** End if @err is not 0, with the sentence in @text if there is one. */
void bench_must(int err, const char *what, const struct mhp_text *text);

/** A pool of up to @max_bytes. */
struct mhp_pool *bench_pool(uint64_t max_bytes);
/** Plug and online that much, self-hosted. */
void bench_add(struct mhp_pool *pool, uint64_t bytes, enum mhp_backing_kind kind);
/** Put a block out of use; its memory goes back. */
void bench_offline(struct mhp_pool *pool, uint32_t block);
void bench_online(struct mhp_pool *pool, uint32_t block);
/** Remove everything and end the pool. */
void bench_end(struct mhp_pool *pool);

/** Can pages move here? If not, say why and that @part is left out. */
bool bench_can_move(struct mhp_pool *pool, const char *part);
/** Have this many free huge pages reserved; what there was before comes back at the end. */
bool bench_reserve_huge(uint64_t nr);

/** Seconds of CPU time that the kernel alone takes for so many bytes, to a device and back, in each
 * round; false: it cannot do it. */
bool bench_floor(bool huge, uint64_t bytes, unsigned rounds, double *ret_to, double *ret_back);

void bench_relabel(void);
void bench_bandwidth(void);
void bench_stall(void);
void bench_plug(void);
void bench_fork(void);
void bench_tier(void);

#endif
