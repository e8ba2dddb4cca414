/* SPDX-License-Identifier: MIT */
/*
 * pool.h - an instance to test with: simulator, fault port and engine, brought up and taken down.
 *
 * The core that a test is linked with decides the memory model and the descriptor size (the build
 * defines MHP_VMEMMAP, MHP_PAGE_BYTES and MHP_DEBUG for tests as for the core), the shape decides
 * the geometry. Taking a pool down checks that nothing is left anywhere.
 */
#ifndef MEMPLUG_TEST_POOL_H
#define MEMPLUG_TEST_POOL_H

#include <memplug/mhp.h>

#include "fault.h"
#include "online.h"
#include "sim.h"

#ifndef MHP_VMEMMAP
#define MHP_VMEMMAP 0
#endif
#ifndef MHP_PAGE_BYTES
#define MHP_PAGE_BYTES 8
#endif

/**
 * Named geometries; orders are page_shift/pageblock/section/block.
 *
 *     tiny1    12/2/3/3   blocks of one section of 8 pages     (2 nodes, 2 CPUs, 8 blocks, 8 bad)
 *     tiny2    12/2/3/4   blocks of two sections
 *     tiny8    12/2/3/6   blocks of eight sections
 *     micro1    6/1/2/4   pages of 64 bytes, four sections a block: for exhausting (3 blocks)
 *     micro2    6/2/3/4   two sections a block                                     (3 blocks)
 *     small    12/6/9/9   2 MiB blocks, pageblocks of one bitmap word              (16 blocks)
 *     dimm     12/9/15/15 128 MiB blocks, the default of Linux                     (64 blocks)
 *     giga     12/9/15/18 1 GiB blocks of 128 MiB sections, four arenas a block    (16 blocks)
 *     k16      14/9/13/13 16 KiB pages                                             (8 blocks)
 *     k64      16/9/13/13 64 KiB pages                                             (8 blocks)
 *     tera     12/9/15/15 64 TiB of 128 MiB blocks; simulated MHP_SIM_PLAIN        (2^19 blocks)
 *
 * With a vmemmap, sections and blocks of tiny shapes are larger, until the descriptors of a section
 * fill a mapping granule: ask the pool how many pages a block has.
 */
struct mhp_geometry test_geometry(const char *shape);

/** Can this build have instances of that shape? (No pages below 4 KiB with a vmemmap.) */
bool test_shape_works(const char *shape);

/** Options. Zero is the default for all. */
struct test_pool_opts {
	const char *shape;         /* NULL: tiny2 */
	const struct mhp_geometry *geometry; /* instead of a shape */
	uint64_t seed;             /* 0: test_seed() */
	bool plain;                /* MHP_SIM_PLAIN even where pages could really be unmapped */
	enum mhp_sim_fill fill;
	uint64_t garbage_bytes;    /* with MHP_SIM_GARBAGE: of each section; 0 = all */
	bool no_fault;             /* the engine sits on the simulator itself: benches, scale */
	uint64_t meta_bytes;       /* external metadata; 0 refuses everything */
	uint64_t meta_nodes;
	struct mhp_port_caps caps;
	const uint8_t *node_distances;
	void (*trace)(void *ctx, const struct mhp_event *event);
	void *trace_ctx;
};

struct test_pool {
	struct mhp *m;
	struct mhp_sim *sim;
	struct mhp_fault *fault;   /* NULL with no_fault */
	struct mhp_config config;  /* as given to mhp_init() */
	uint64_t block_bytes;
	uint64_t block_pages;
	uint64_t page_bytes;
};

/** Bring up. Fails the case on error. @opts: NULL for all defaults. */
void test_pool_open(struct test_pool *pool, const struct test_pool_opts *opts);
/* The same on a port of the test's own: the simulator with some of its functions replaced. The test
 * changes *ops, a copy of the simulator's, before test_pool_start(). Returns the simulator's. */
const struct mhp_port_ops *test_pool_prepare(struct test_pool *pool,
					     const struct mhp_sim_opts *opts,
					     struct mhp_port_ops *ops);
void test_pool_start(struct test_pool *pool);

/** All blocks are gone: end the instance; nothing may be left, the protocol was kept. */
void test_pool_close(struct test_pool *pool);

/** Remove every block first (mhp_remove), then close. */
void test_pool_empty_and_close(struct test_pool *pool);

/** Throw it away as it is, without a check. */
void test_pool_discard(struct test_pool *pool);

/** The verifier, as nobody else is in the engine: fails the case on any finding, and when the
 *  protocol was broken. */
void test_pool_check(struct test_pool *pool);

/** Of a struct mhp_page_req: near a node, or with MHP_NODE_ANY anywhere. */
#define TEST_NEAR(which)                                                                           \
	.node = (uint8_t)((which) == MHP_NODE_ANY ? 0 : (which)),                                  \
	.flags = (which) == MHP_NODE_ANY ? 0 : MHP_PAGE_NODE


/** Everything, simulator, fault port and instance, as one flat run of bytes. */
size_t test_pool_snapshot_size(const struct test_pool *pool);
void test_pool_save(struct test_pool *pool, void *ret_snapshot);
void test_pool_restore(struct test_pool *pool, const void *snapshot);

#endif
