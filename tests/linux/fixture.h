/* SPDX-License-Identifier: MIT */
/*
 * fixture.h - pools of the Linux port for cases: made, looked at, and ended with nothing left over.
 *
 * A case makes a pool of its own and ends it by fixture_end(), so that a leak of a frame, a block
 * or a mapping fails it. What has to wait waits here, with a bound that says "hangs", not "slow".
 * Must not know what a case is about.
 */
#ifndef MEMPLUG_TEST_FIXTURE_H
#define MEMPLUG_TEST_FIXTURE_H

#include <memplug/linux.h>
#include <sys/types.h>
#include <unistd.h>

#include "../test.h"

#define FIXTURE_WAIT_MS 60000U

/**
 * The pool is busy with the very memory (its companion, or a mover of its own): ask again while a
 * header's MHP_EAGAIN is the answer, then the call must have succeeded.
 */
#define CHECK_AGAIN(call)                                                                          \
	do {                                                                                       \
		int last_ = (call);                                                                \
		for (unsigned ms_ = 0; last_ == MHP_EAGAIN && ms_ < FIXTURE_WAIT_MS; ms_++) {      \
			usleep(1000);                                                              \
			last_ = (call);                                                            \
		}                                                                                  \
		if (last_ != 0)                                                                    \
			test_fail(__FILE__, __LINE__, "%s returned %d (%s)", #call, last_,         \
				  test_error_name(last_));                                         \
	} while (0)

/** An empty pool; the case fails if there is none. */
struct mhp_pool *fixture_pool(const struct mhp_pool_opts *opts);

struct mhp_region *fixture_region(struct mhp_pool *pool, uint64_t size);

/** Add by words ("memfd", "ram,node=1"); NULL is the default. opts may be NULL. */
void fixture_add(struct mhp_pool *pool, const char *words, uint64_t size,
		 const struct mhp_add_opts *opts);

/** End the region, if there is one, and remove all blocks and the pool. */
void fixture_end(struct mhp_pool *pool, struct mhp_region *region);

/** Skip the case where the kernel does not let memory move to devices. */
void fixture_needs_moves(struct mhp_pool *pool);

/** Wait until so many bytes are on devices. */
struct mhp_pool_stats fixture_await_settled(struct mhp_pool *pool, uint64_t bytes);

/** Move memory, all that is in use of a region, to a node; to one that is not 0, a device, it has
 * gone when this returns. */
void fixture_send(struct mhp_pool *pool, struct mhp_region *region, void *start, uint64_t size,
		  unsigned node);

/** An io_uring with which this is registered, to be closed; skips the case without io_uring. */
int fixture_ring(void *start, size_t size);

/** A number of /proc/self/status in KiB: "VmLck". */
unsigned long fixture_status_kib(const char *field);

/** A child must end with 0. */
void fixture_join(pid_t child);

/* Every 4 KiB begin with where they are in it; that is so still. */
void fixture_write(char *base, uint64_t size);
void fixture_check(const char *base, uint64_t size);

#endif
