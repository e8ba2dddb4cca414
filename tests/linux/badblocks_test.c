/* SPDX-License-Identifier: MIT */
/*
 * badblocks_test.c - memory of a device that the kernel knows to be bad is not used.
 *
 * A file stands in for the device, and a folder of ours for /sys: the device begins in the middle
 * of a region of the machine's addresses, which has the list. What really happens when such memory
 * is read is not shown here.
 */
#define _GNU_SOURCE
#include <memplug/bad.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../ports/linux/badblocks.h"
#include "../../ports/linux/table.h"
#include "fixture.h"

#define PAGE UINT64_C(4096)
#define HUGE (UINT64_C(2) << 20)
#define BLOCK (UINT64_C(8) << 20)
#define BLOCKS 32
#define DEVICE 4U                      /* its node */
#define REGION UINT64_C(0x100000000)   /* addresses of the machine */
#define BEGINS (UINT64_C(6) << 20)     /* the device, in the region */

static char folder[] = "./badblocks-test.XXXXXX";

static void
forget_folder(void)
{
	char command[64];
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	(void)!system(command);
}

static void
write_file(const char *name, const char *format, ...)
{
	char path[128];
	va_list args;
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	CHECK(file != NULL);
	va_start(args, format);
	(void)vfprintf(file, format, args);
	va_end(args);
	CHECK_EQ(fclose(file), 0);
}

static void
make_folder(const char *name)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	CHECK(mkdir(path, 0700) == 0 || access(path, F_OK) == 0);
}

/* The device's own number is 0:0, as is that of any file. */
static void
make_sysfs(void)
{
	static const char *const folders[] = { "dev", "dev/char", "region0", "region0/dax0.1",
					       "region0/dax0.1/dax0.0" };
	char path[64];
	if (mhp__test_sysfs == NULL) {
		CHECK(mkdtemp(folder) != NULL);
		atexit(forget_folder);
		mhp__test_sysfs = folder;
		for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
			make_folder(folders[i]);
		(void)snprintf(path, sizeof(path), "%s/dev/char/0:0", folder);
		CHECK_EQ(symlink("../../region0/dax0.1/dax0.0", path), 0);
	}
	write_file("region0/resource", "%#llx\n", (unsigned long long)REGION);
	write_file("region0/dax0.1/dax0.0/resource", "%#llx\n",
		   (unsigned long long)(REGION + BEGINS));
	write_file("region0/badblocks", "");
}

static unsigned long long
sector(uint64_t at)
{
	return (BEGINS + at) / 512;
}

struct world {
	struct mhp_pool *pool;
	struct mhp *m;
	char words[128];
};

static struct world
make(uint32_t nr_bad_pages)
{
	struct mhp_pool_opts opts = { .max_bytes = BLOCKS * BLOCK, .block_bytes = BLOCK,
				      .nr_bad_pages = nr_bad_pages };
	struct world world = { .pool = fixture_pool(&opts) };
	char path[96];
	world.m = mhp_pool_engine(world.pool);
	make_sysfs();
	fixture_add(world.pool, NULL, BLOCK, NULL); /* block 0 */
	(void)snprintf(path, sizeof(path), "%s/device", folder);
	write_file("device", "");
	CHECK_EQ(truncate(path, 3 * BLOCK), 0);
	(void)snprintf(world.words, sizeof(world.words), "file:%s,node=%u", path, DEVICE);
	return world;
}

static void
end(struct world *world, struct mhp_region *region)
{
	fixture_end(world->pool, region);
}

/* Is this page of the device, whose first block is block 1, known to be bad? */
static bool
is_bad(const struct world *world, uint64_t at)
{
	return mhp_bad_test(world->m, (BLOCK + at) / PAGE);
}

/* R65: each page that has a bad sector is known before the device is used, and nobody gets it. */
TEST(badblocks__device_has_some__never_used)
{
	struct world world = make(0);
	struct mhp_node_info info;
	write_file("region0/badblocks", "0 8\n%llu 1\n%llu 2\n%llu 16\n%llu 8\n",
		   sector(BLOCK - 2 * PAGE + 512), sector(BLOCK - 2 * PAGE + 2048),
		   sector(2 * BLOCK - PAGE), sector(3 * BLOCK));
	fixture_add(world.pool, world.words, 3 * BLOCK, NULL);
	CHECK(is_bad(&world, BLOCK - 2 * PAGE));
	CHECK(is_bad(&world, 2 * BLOCK - PAGE) && is_bad(&world, 2 * BLOCK));
	CHECK_EQ(mhp_bad_count(world.m, 0, BLOCKS * BLOCK / PAGE), 3);
	/* All of the device is taken, but for those. */
	struct mhp_region *region = fixture_region(world.pool, 4 * BLOCK);
	struct mhp_spread bind = { .mode = MHP_SPREAD_BIND, .weight = { [DEVICE] = 1 } };
	char *base = mhp_region_base(region);
	uint64_t taken = 0;
	CHECK_OK(mhp_region_set_spread(region, &bind, NULL));
	while (mhp_region_commit(region, base + taken * PAGE, PAGE) == 0)
		CHECK(!mhp_bad_test(world.m, mhp__entry_pfn(region->entry[taken++])));
	CHECK_OK(mhp_pool_node_get(world.pool, DEVICE, &info));
	CHECK_EQ(info.free_bytes, 0);
	CHECK_CMP(taken, >, (3 * BLOCK - HUGE) / PAGE);
	end(&world, region);
}

/* R65: descriptors are not put there either. */
TEST(badblocks__where_descriptors_would_be__they_are_elsewhere)
{
	struct world world = make(0);
	struct mhp_block_info info;
	write_file("region0/badblocks", "%llu 8\n", sector(0));
	fixture_add(world.pool, world.words, 2 * BLOCK, NULL);
	CHECK_OK(mhp_block_get(world.m, 1, &info));
	CHECK_NE(info.placement, MHP_PLACE_SELF);
	CHECK_OK(mhp_block_get(world.m, 2, &info));
	CHECK_EQ(info.placement, MHP_PLACE_SELF);
	end(&world, NULL);
}

/* R65: what goes bad later is found when it is asked for; data there moves away, none is wrong. */
TEST(badblocks__goes_bad_in_use__data_moves_away)
{
	struct world world = make(0);
	uint64_t nr = 9;
	fixture_needs_moves(world.pool);
	fixture_add(world.pool, world.words, 3 * BLOCK, NULL);
	CHECK_OK(mhp_pool_look_bad(world.pool, &nr, NULL));
	CHECK_EQ(nr, 0);
	struct mhp_region *region = fixture_region(world.pool, BLOCK);
	char *base = mhp_region_base(region);
	CHECK_OK(mhp_region_commit(region, base, HUGE));
	for (uint64_t at = 0; at < HUGE; at += PAGE)
		memcpy(base + at, &at, sizeof(at));
	CHECK_AGAIN(mhp_region_move(region, base, HUGE, DEVICE, NULL, NULL));
	fixture_await_settled(world.pool, HUGE);
	uint64_t pfn = mhp__entry_pfn(region->entry[7]), at = pfn * PAGE - BLOCK;
	write_file("region0/badblocks", "%llu 8\n", sector(at));
	CHECK_OK(mhp_pool_look_bad(world.pool, &nr, NULL));
	CHECK_EQ(nr, 1);
	CHECK(is_bad(&world, at));
	CHECK_EQ(mhp_frame_peek(world.m, pfn).owner, MHP_OWNER_BAD);
	for (uint64_t i = 0; i < HUGE; i += PAGE)
		CHECK_MEM(base + i, &i, sizeof(i));
	CHECK_OK(mhp_pool_look_bad(world.pool, &nr, NULL));
	CHECK_EQ(nr, 0); /* it is known */
	end(&world, region);
}

/* R65: what cannot be read any more is named by its address, and all else is right. */
TEST(badblocks__cannot_be_read__stays_and_is_named)
{
	struct world world = make(0);
	struct mhp_page_user user = { 0 };
	char path[96];
	uint64_t nr;
	fixture_needs_moves(world.pool);
	fixture_add(world.pool, world.words, BLOCK, NULL);
	struct mhp_region *region = fixture_region(world.pool, BLOCK);
	char *base = mhp_region_base(region);
	CHECK_OK(mhp_region_commit(region, base, 2 * HUGE));
	for (uint64_t at = 0; at < 2 * HUGE; at += PAGE)
		memcpy(base + at, &at, sizeof(at));
	CHECK_AGAIN(mhp_region_move(region, base, HUGE, DEVICE, NULL, NULL));
	fixture_await_settled(world.pool, HUGE);
	uint64_t pfn = mhp__entry_pfn(region->entry[7]), at = pfn * PAGE - BLOCK;
	/* From there on the device is cut off: whoever reads it gets an error. */
	(void)snprintf(path, sizeof(path), "%s/device", folder);
	CHECK_EQ(truncate(path, (off_t)at), 0);
	write_file("region0/badblocks", "%llu 8\n", sector(at));
	CHECK_OK(mhp_pool_look_bad(world.pool, &nr, NULL));
	CHECK_EQ(nr, 1);
	CHECK(is_bad(&world, at));
	CHECK_OK(mhp_pool_page_user(world.pool, pfn, &user));
	CHECK_EQ(user.address, (uintptr_t)base + 7 * PAGE);
	CHECK_STR(mhp_owner_name(world.m, user.owner), "region");
	for (uint64_t i = 0; i < 2 * HUGE; i += PAGE)
		if (i < 7 * PAGE || i >= HUGE)
			CHECK_MEM(base + i, &i, sizeof(i));
	/* A page of its own has its own address; a free one is nobody's. */
	CHECK_OK(mhp_region_commit(region, base + 2 * HUGE, PAGE));
	pfn = mhp__entry_pfn(region->entry[2 * HUGE / PAGE]);
	CHECK_OK(mhp_pool_page_user(world.pool, pfn, &user));
	CHECK_EQ(user.address, (uintptr_t)base + 2 * HUGE);
	CHECK_RET(mhp_pool_page_user(world.pool, BLOCKS * BLOCK / PAGE - 1, &user), MHP_ENOENT);
	end(&world, region);
}

/* R65: more than can be remembered is no device to use. */
TEST(badblocks__more_than_can_be_remembered__refused)
{
	struct world world = make(3);
	struct mhp_backing backing;
	struct mhp_text why = { "" };
	struct mhp_block_info info;
	write_file("region0/badblocks", "%llu 32\n", sector(HUGE));
	CHECK_OK(mhp_backing_parse(world.words, &backing, NULL));
	CHECK_RET(mhp_pool_add(world.pool, &backing, BLOCK, NULL, NULL, &why), MHP_ENOSPC);
	CHECK_STR(why.text, "the kernel knows of 4 bad pages of devices, and the pool cannot "
			    "remember more than 3");
	CHECK_OK(mhp_block_get(world.m, 1, &info));
	CHECK_EQ(info.state, MHP_ABSENT);
	end(&world, NULL);
}

/* R65: a list that cannot be placed, because nobody says where things start, is none. */
TEST(badblocks__start_is_not_told__none)
{
	struct world world = make(0);
	write_file("region0/badblocks", "%llu 8\n", sector(HUGE));
	write_file("region0/resource", "");
	fixture_add(world.pool, world.words, BLOCK, NULL);
	CHECK_EQ(mhp_bad_count(world.m, 0, BLOCKS * BLOCK / PAGE), 0);
	write_file("region0/resource", "%#llx\n", (unsigned long long)REGION);
	write_file("region0/dax0.1/dax0.0/resource", "0x0\n");
	CHECK_OK(mhp_pool_look_bad(world.pool, NULL, NULL));
	CHECK_EQ(mhp_bad_count(world.m, 0, BLOCKS * BLOCK / PAGE), 0);
	write_file("region0/dax0.1/dax0.0/resource", "%#llx\n",
		   (unsigned long long)(REGION + BEGINS));
	write_file("region0/badblocks", "none\n\n%llu\n%llu 8\n", sector(PAGE), sector(HUGE));
	CHECK_OK(mhp_pool_look_bad(world.pool, NULL, NULL));
	CHECK(is_bad(&world, HUGE));
	CHECK_EQ(mhp_bad_count(world.m, 0, BLOCKS * BLOCK / PAGE), 1);
	end(&world, NULL);
}

/* R65: what is found later, too, may be more than can be remembered: it is said, and some is. */
TEST(badblocks__too_many_later__said)
{
	struct world world = make(3);
	struct mhp_text why = { "" };
	uint64_t nr = 9;
	fixture_add(world.pool, world.words, BLOCK, NULL);
	write_file("region0/badblocks", "%llu 32\n", sector(HUGE));
	CHECK_RET(mhp_pool_look_bad(world.pool, &nr, &why), MHP_ENOSPC);
	CHECK_STR(why.text, "the kernel knows of 4 bad pages of devices, and the pool cannot "
			    "remember more than 3");
	CHECK_EQ(nr, 3);
	CHECK_EQ(mhp_bad_count(world.m, 0, BLOCKS * BLOCK / PAGE), 3);
	/* As many as there is room for, but others were remembered before. */
	write_file("region0/badblocks", "%llu 16\n", sector(2 * HUGE));
	CHECK_RET(mhp_pool_look_bad(world.pool, &nr, &why), MHP_ENOSPC);
	CHECK_EQ(nr, 0);
	end(&world, NULL);
}

/* R65: a device without a list, one that begins before its region, one that has no block any more:
 * nothing is known of them. */
TEST(badblocks__no_list_for_it__none)
{
	struct world world = make(0);
	struct mhp_blocks device = { 1, 1 };
	char path[96];
	uint64_t nr = 9;
	fixture_add(world.pool, world.words, BLOCK, NULL);
	(void)snprintf(path, sizeof(path), "%s/region0/badblocks", folder);
	CHECK_EQ(unlink(path), 0);
	CHECK_OK(mhp_pool_look_bad(world.pool, &nr, NULL));
	CHECK_EQ(nr, 0);
	write_file("region0/badblocks", "%llu 8\n", sector(HUGE));
	write_file("region0/resource", "%#llx\n", (unsigned long long)(REGION + 2 * BEGINS));
	CHECK_OK(mhp_pool_look_bad(world.pool, &nr, NULL));
	CHECK_EQ(nr, 0);
	write_file("region0/resource", "%#llx\n", (unsigned long long)REGION);
	CHECK_OK(mhp_remove(world.m, &device, 1, NULL, NULL));
	CHECK_OK(mhp_pool_look_bad(world.pool, &nr, NULL));
	CHECK_EQ(nr, 0);
	end(&world, NULL);
}

static int looked;

static int
look_in_listener(void *ctx, const struct mhp_notice *notice)
{
	if (notice->kind == MHP_ONLINE_NOTICE)
		looked = mhp_pool_look_bad(ctx, NULL, NULL);
	return 0;
}

TEST(badblocks__asked_for_by_a_listener__edeadlk)
{
	struct world world = make(0);
	uint16_t listener;
	fixture_add(world.pool, world.words, BLOCK, NULL);
	CHECK_OK(mhp_listener_add(world.m, look_in_listener, world.pool, 0, &listener));
	fixture_add(world.pool, NULL, BLOCK, NULL);
	CHECK_RET(looked, MHP_EDEADLK);
	CHECK_OK(mhp_listener_remove(world.m, listener));
	end(&world, NULL);
}
