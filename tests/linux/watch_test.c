/* SPDX-License-Identifier: MIT */
/*
 * watch_test.c - devices that come to a folder and are asked back, by a program of its own.
 *
 * Files stand in for devices. Each look is a call, so nothing is waited for. What `memplug watch`
 * does with the same code is in nodes_test.sh.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <memplug/watch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fixture.h"

#define HUGE (UINT64_C(2) << 20)
#define BLOCK (UINT64_C(8) << 20)
#define BLOCKS 32

static struct {
	struct mhp_pool *pool;
	struct mhp_watch *watch;
	char folder[64], told[256];    /* words of the events since the last look */
	struct mhp_text why;
} world;

static void
tell(void *ctx, enum mhp_watch_event event, const char *name, uint64_t size_bytes,
     const struct mhp_text *why)
{
	size_t used = strlen(world.told);
	CHECK(ctx == &world && size_bytes != 0);
	(void)snprintf(world.told + used, sizeof(world.told) - used, "%s %s;",
		       mhp_watch_word(event), name);
	if (why->text[0] != 0)
		world.why = *why;
}

static const char *
path_of(const char *name)
{
	static char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", world.folder, name);
	return path;
}

static void
make_file(const char *name, uint64_t size)
{
	int fd = open(path_of(name), O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	close(fd);
}

static bool
is_there(const char *name)
{
	return access(path_of(name), F_OK) == 0;
}

static void
begin(bool adds)
{
	struct mhp_pool_opts shape = { .max_bytes = BLOCKS * BLOCK, .block_bytes = BLOCK };
	struct mhp_watch_pool mine = { .pool = fixture_pool(&shape), .deadline_ms = 30000 };
	static struct mhp_watch_pool watched;
	watched = mine;
	world.pool = mine.pool;
	fixture_add(world.pool, NULL, BLOCK, NULL);
	(void)snprintf(world.folder, sizeof(world.folder), "./watch-test.XXXXXX");
	CHECK(mkdtemp(world.folder) != NULL);
	struct mhp_watch_opts opts = {
		.folder = world.folder, .adds = adds, .ops = mhp_watch_pool_ops(), .ctx = &watched,
		.tell = tell, .tell_ctx = &world,
	};
	CHECK_OK(mhp_watch_open(&opts, &world.watch, NULL));
}

static void
end(struct mhp_region *region)
{
	static const char *const names[] = { "card", "card.release", "card.released",
					     "card.refused" };
	mhp_watch_close(world.watch);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)remove(path_of(names[i]));
	(void)rmdir(world.folder);
	fixture_end(world.pool, region);
}

/* Look once; what was told is this. */
static void
look(int error, const char *told)
{
	world.told[0] = 0;
	CHECK_RET(mhp_watch_look(world.watch, NULL), error);
	CHECK_STR(world.told, told);
}

static uint32_t
blocks_of_pool(void)
{
	struct mhp_stats stats;
	mhp_get_stats(mhp_pool_engine(world.pool), &stats);
	return stats.blocks_present;
}

/* R65: what appears is added; asked back, it is closed, and left alone until that is over. */
TEST(watch__device_comes_and_is_asked_back__added_and_released)
{
	begin(true);
	look(0, "");
	make_file("card", 2 * BLOCK + 4096); /* what is no whole block is not used */
	look(0, "appeared card;added card;");
	look(0, "");
	CHECK_EQ(blocks_of_pool(), 3);
	make_file("card.release", 0);
	look(0, "releasing card;released card;");
	CHECK(is_there("card.released") && !is_there("card.release"));
	CHECK_EQ(blocks_of_pool(), 1);
	look(0, "");
	CHECK_EQ(remove(path_of("card.released")), 0);
	look(0, "appeared card;added card;");
	CHECK_EQ(remove(path_of("card")), 0);
	look(0, "gone-in-use card;");
	look(0, "");
	end(NULL);
}

/* R65: a device whose data has no room stays, and why is said; later it can go. */
TEST(watch__data_has_no_room__refused_with_the_reason)
{
	begin(true);
	make_file("card", BLOCK);
	look(0, "appeared card;added card;");
	struct mhp_region *region = fixture_region(world.pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK_OK(mhp_region_commit(region, base, BLOCK + 2 * HUGE));
	make_file("card.release", 0);
	world.why.text[0] = 0;
	look(0, "releasing card;refused card;");
	CHECK(strstr(world.why.text, "no free page") != NULL);
	CHECK(is_there("card.refused") && !is_there("card.release"));
	CHECK_EQ(blocks_of_pool(), 2);
	CHECK_AGAIN(mhp_region_decommit(region, base, BLOCK + 2 * HUGE));
	make_file("card.release", 0);
	look(0, "releasing card;released card;");
	end(region);
}

/* R65: what the pool does not have is free at once; who only listens adds nothing. */
TEST(watch__only_told__adds_nothing)
{
	begin(false);
	make_file("card", BLOCK);
	look(0, "appeared card;");
	make_file("card.release", 0);
	look(0, "released card;");
	CHECK_EQ(remove(path_of("card.released")), 0);
	look(0, "appeared card;");
	CHECK_EQ(remove(path_of("card")), 0);
	look(0, "gone card;");
	CHECK_EQ(blocks_of_pool(), 1);
	end(NULL);
}

/* R65: what cannot be is an error of its own, and the rest goes on. */
TEST(watch__what_cannot_be__said)
{
	struct mhp_watch_opts opts = { .folder = "./no-such-folder", .ops = mhp_watch_pool_ops() };
	struct mhp_text why = { "" };
	struct mhp_watch *none = NULL;
	CHECK_RET(mhp_watch_open(&opts, &none, &why), MHP_ENOENT);
	CHECK(strstr(why.text, "./no-such-folder: ") == why.text && none == NULL);
	opts.ops = NULL;
	CHECK_RET(mhp_watch_open(&opts, &none, &why), MHP_EINVAL);
	CHECK_STR(mhp_watch_word(MHP_WATCH_EVENTS), "?");
	mhp_watch_close(NULL);
	begin(true);
	world.why.text[0] = 0;
	make_file("card", 4096);
	look(0, "appeared card;not-added card;");
	CHECK(strstr(world.why.text, "block size") != NULL);
	make_file("card.release", 0);
	CHECK_EQ(mkdir(path_of("card.released"), 0700), 0); /* nobody can be told */
	look(MHP_EIO, "released card;");
	CHECK_EQ(remove(path_of("card.released")), 0);
	look(0, "released card;");
	CHECK_EQ(remove(path_of("card.released")), 0);
	CHECK_EQ(remove(path_of("card")), 0);
	CHECK_EQ(rmdir(world.folder), 0);
	look(MHP_ENOENT, "");
	end(NULL);
}
