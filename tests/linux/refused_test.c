/* SPDX-License-Identifier: MIT */
/*
 * refused_test.c - moves that are refused for a moment's reason, and what the refusal says.
 *
 * The reasons are made here, as nobody could time them from outside: the engine's hold on a page is
 * what its own calls of the port make, and the kernel that cannot move a page to another NUMA node
 * is a wrapper around the one function that asks it. So one NUMA node will do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../ports/linux/nodes.h"
#include "../../ports/linux/pool.h"
#include "fixture.h"

#define HUGE (UINT64_C(2) << 20)
#define BLOCK (UINT64_C(8) << 20)
#define BLOCKS 32
#define DEVICE 4U                      /* its node */

static bool kernel_cannot_move;

int __real_mhp__nodes_move(const struct mhp_region *region, uint64_t page, uint64_t nr, int node);
int __wrap_mhp__nodes_move(const struct mhp_region *region, uint64_t page, uint64_t nr, int node);

int
__wrap_mhp__nodes_move(const struct mhp_region *region, uint64_t page, uint64_t nr, int node)
{
	return kernel_cannot_move ? EIO : __real_mhp__nodes_move(region, page, nr, node);
}

/* A pool of RAM in two blocks as words say, and a region with a window in use. */
static struct mhp_pool *
make(const char *first, const char *second, struct mhp_region **ret_region)
{
	struct mhp_pool_opts opts = { .max_bytes = BLOCKS * BLOCK, .block_bytes = BLOCK };
	struct mhp_pool *pool = fixture_pool(&opts);
	fixture_add(pool, first, BLOCK, NULL);
	fixture_add(pool, second, BLOCK, NULL);
	*ret_region = fixture_region(pool, BLOCK);
	CHECK_OK(mhp_region_commit(*ret_region, mhp_region_base(*ret_region), HUGE));
	*(char *)mhp_region_base(*ret_region) = 1;
	return pool;
}

static void
add_device(struct mhp_pool *pool)
{
	char path[] = "./refused-test.XXXXXX", words[64];
	int fd = mkstemp(path);
	CHECK(fd >= 0 && ftruncate(fd, BLOCK) == 0);
	(void)snprintf(words, sizeof(words), "file:%s,node=%u", path, DEVICE);
	fixture_add(pool, words, BLOCK, NULL);
	unlink(path); /* whoever has it keeps it */
	close(fd);
}

static uint64_t
settled(struct mhp_pool *pool)
{
	struct mhp_pool_stats stats;
	mhp_pool_get_stats(pool, &stats);
	return stats.settled_bytes;
}

/* R63: a window of which the engine holds a page, because its block is leaving, does not go. */
TEST(refused__block_is_leaving__window_stays_for_now)
{
	struct mhp_region *region;
	struct mhp_pool *pool = make(NULL, NULL, &region);
	struct mhp_text why = { "" };
	void *base = mhp_region_base(region);
	fixture_needs_moves(pool);
	add_device(pool);
	uint64_t pfn = mhp__entry_pfn(region->entry[0]);
	unsigned order = mhp__entry_order(region->entry[0]);
	CHECK_OK(mhp__region_ops.isolate(pool, pfn, order, region->base));
	CHECK_RET(mhp_region_move(region, base, HUGE, DEVICE, NULL, &why), MHP_EAGAIN);
	CHECK_STR(why.text, "its block is leaving just now");
	CHECK_EQ(settled(pool), 0);
	mhp__region_ops.putback(pool, pfn, order, region->base);
	CHECK_AGAIN(mhp_region_move(region, base, HUGE, DEVICE, NULL, &why));
	fixture_await_settled(pool, HUGE);
	fixture_end(pool, region);
}

/* R63: what comes back to RAM where the kernel cannot have it stays where it is. */
TEST(refused__kernel_cannot_move_between_nodes__window_stays)
{
	struct mhp_region *region;
	struct mhp_pool *pool = make("ram,node=0", "ram,node=0", &region);
	struct mhp_text why = { "" };
	void *base = mhp_region_base(region);
	fixture_needs_moves(pool);
	add_device(pool);
	CHECK_AGAIN(mhp_region_move(region, base, HUGE, DEVICE, NULL, &why));
	kernel_cannot_move = true;
	CHECK_RET(mhp_region_move(region, base, HUGE, 0, NULL, &why), MHP_EBUSY);
	CHECK_STR(why.text, "pinned: the kernel cannot move it to node 0");
	fixture_await_settled(pool, HUGE);
	kernel_cannot_move = false;
	CHECK_AGAIN(mhp_region_move(region, base, HUGE, 0, NULL, &why));
	CHECK_EQ(settled(pool), 0);
	CHECK_EQ(*(char *)base, 1);
	fixture_end(pool, region);
}

/* R63: nor does its block leave, and the reason names the node. */
TEST(refused__kernel_cannot_move_between_nodes__block_stays)
{
	struct mhp_region *region;
	struct mhp_pool *pool = make(NULL, "ram,node=0", &region);
	struct mhp_why why = { .cause = MHP_CAUSE_NONE };
	uint64_t frames = BLOCK / 4096, pfn = mhp__entry_pfn(region->entry[0]);
	struct mhp_blocks block = { (uint32_t)(pfn / frames), 1 };
	kernel_cannot_move = true;
	CHECK_RET(mhp_offline(mhp_pool_engine(pool), &block, 1, NULL, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_MIGRATE);
	CHECK(strstr(why.text, "pinned: the kernel cannot move it to node ") != NULL);
	kernel_cannot_move = false;
	CHECK_OK(mhp_offline(mhp_pool_engine(pool), &block, 1, NULL, &why));
	CHECK_EQ(*(char *)mhp_region_base(region), 1);
	fixture_end(pool, region);
}
