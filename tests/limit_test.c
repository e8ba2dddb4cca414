/* SPDX-License-Identifier: MIT */
/*
 * limit_test.c - the memory limit of cgroups, read from files as the kernel shows them (R71).
 *
 * The files are made in a folder: version 2, version 1, a container that sees its own part of the
 * tree only, and nonsense.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../heap/bound.h"
#include "../heap/limit.h"
#include "test.h"

struct tree {
	char root[64], self[80];
};

static void
write_file(const struct tree *tree, const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", tree->root, name);
	for (char *slash = path + strlen(tree->root) + 1; (slash = strchr(slash, '/')) != NULL;) {
		*slash = 0;
		mkdir(path, 0700);
		*slash++ = '/';
	}
	FILE *file = fopen(path, "w");
	CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void
open_tree(struct tree *tree, const char *self)
{
	snprintf(tree->root, sizeof(tree->root), "/tmp/limit-test-XXXXXX");
	CHECK(mkdtemp(tree->root) != NULL);
	snprintf(tree->self, sizeof(tree->self), "%s/self", tree->root);
	write_file(tree, "self", self);
}

static uint64_t
close_tree(struct tree *tree)
{
	char command[128];
	uint64_t limit = mhp__cgroup_limit(tree->self, tree->root);
	snprintf(command, sizeof(command), "rm -rf %s", tree->root);
	CHECK_EQ(system(command), 0);
	return limit;
}

TEST(limit__version_2__least_of_all_above)
{
	struct tree tree;
	open_tree(&tree, "0::/a/b/c\n");
	write_file(&tree, "a/memory.max", "1073741824\n");
	write_file(&tree, "a/b/memory.max", "max\n");
	write_file(&tree, "a/b/c/memory.max", "2147483648\n");
	CHECK_EQ(close_tree(&tree), 1 << 30);
	open_tree(&tree, "0::/a\n");
	write_file(&tree, "a/memory.max", "max\n");
	CHECK_EQ(close_tree(&tree), UINT64_MAX);
}

/* R71: version 1 says "none" by what a signed number holds, in whole pages. */
TEST(limit__version_1_has_none__is_no_limit)
{
	struct tree tree;
	struct mhp__room room;
	open_tree(&tree, "4:memory:/a\n");
	write_file(&tree, "memory/a/memory.limit_in_bytes", "9223372036854771712\n");
	write_file(&tree, "memory/a/memory.usage_in_bytes", "500000\n");
	mhp__cgroup_room(tree.self, tree.root, &room);
	CHECK(room.limit_bytes == UINT64_MAX && room.room_bytes == UINT64_MAX);
	CHECK_EQ(room.used_bytes, 500000);
	CHECK_EQ(close_tree(&tree), UINT64_MAX);
}

TEST(limit__container__what_is_at_the_root)
{
	struct tree tree;
	open_tree(&tree, "0::/\n");
	write_file(&tree, "memory.max", "536870912\n");
	CHECK_EQ(close_tree(&tree), 512 << 20);
	open_tree(&tree, "0::/system.slice/not-here\n");
	write_file(&tree, "memory.max", "536870912\n");
	CHECK_EQ(close_tree(&tree), 512 << 20);
}

TEST(limit__version_1__the_memory_controller)
{
	struct tree tree;
	open_tree(&tree, "5:cpu,cpuacct:/x\n4:hugetlb,memory:/x/y\n3:memory_other:/z\n0::/\n");
	write_file(&tree, "memory/memory.limit_in_bytes", "9223372036854771712\n");
	write_file(&tree, "memory/x/memory.limit_in_bytes", "268435456\n");
	write_file(&tree, "memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
	write_file(&tree, "memory/z/memory.limit_in_bytes", "4096\n");
	CHECK_EQ(close_tree(&tree), 256 << 20);
}

TEST(limit__room__tightest_level_and_own_use)
{
	struct tree tree;
	struct mhp__room room;
	open_tree(&tree, "0::/a/b\n");
	write_file(&tree, "a/memory.max", "1000000\n");
	write_file(&tree, "a/memory.current", "900000\n");
	write_file(&tree, "a/b/memory.max", "max\n");
	write_file(&tree, "a/b/memory.high", "700000\n");
	write_file(&tree, "a/b/memory.current", "500000\n");
	write_file(&tree, "a/b/memory.stat", "anon 1\ninactive_file 100000\nactive_file 50000\n");
	write_file(&tree, "a/b/memory.pressure", "some avg10=12.34 avg60=0.00 total=1\n");
	mhp__cgroup_room(tree.self, tree.root, &room);
	CHECK_EQ(room.limit_bytes, 700000);
	CHECK_EQ(room.room_bytes, 100000); /* above, not here */
	CHECK_EQ(room.used_bytes, 350000);
	CHECK_EQ(room.pressure, 1234);
	close_tree(&tree);
	mhp__cgroup_room("/no/such/file", "/tmp", &room);
	CHECK(room.limit_bytes == UINT64_MAX && room.room_bytes == UINT64_MAX);
	CHECK(room.used_bytes == 0 && room.pressure == 0);
}

/* R71: shared memory is none of a pool's ordinary memory, and says nothing of it. */
TEST(limit__resident_memory__anonymous)
{
	struct tree tree;
	char path[80];
	open_tree(&tree, "0::/\n");
	snprintf(path, sizeof(path), "%s/status", tree.root);
	write_file(&tree, "status", "Name:\tRssAnon: 7 kB\nVmRSS:\t 900 kB\nRssAnon:\t 500 kB\n"
		   "RssFile:\t 300 kB\nRssShmem:\t 100 kB\n");
	CHECK_EQ(mhp__resident_bytes(path), 500 << 10);
	write_file(&tree, "status", "Name:\tRssAnon: 7 kB\n");
	CHECK(mhp__resident_bytes(path) == UINT64_MAX);
	close_tree(&tree);
	CHECK(mhp__resident_bytes("/no/such/file") == UINT64_MAX);
	CHECK(mhp__resident_bytes("/proc/self/status") != UINT64_MAX);
}

#define MIB (UINT64_C(1) << 20)

/* A pool in blocks of 16M below a limit of 320M: 5M of it are kept free. */
static void
bounds(uint64_t used, uint64_t taken, uint64_t charged, uint64_t room, uint64_t fall,
       uint64_t ret_mib[3])
{
	struct mhp__follow_bounds bounds;
	mhp__follow_bounds(&(struct mhp__follow_facts){
		.block_bytes = 16 * MIB, .used_bytes = used * MIB, .taken_bytes = taken * MIB,
		.charged_bytes = charged * MIB, .limit_bytes = 320 * MIB, .room_bytes = room * MIB,
		.fall_bytes = fall * MIB,
	}, &bounds);
	ret_mib[0] = bounds.pool_bytes / MIB;
	ret_mib[1] = bounds.taken_bytes / MIB;
	ret_mib[2] = bounds.large_bytes / MIB;
}

#define CHECK_BOUNDS(used, taken, charged, room, fall, pool, all, large)                           \
	do {                                                                                       \
		uint64_t mib[3];                                                                   \
		bounds(used, taken, charged, room, fall, mib);                                     \
		CHECK_EQ(mib[0], pool);                                                            \
		CHECK_EQ(mib[1], all);                                                             \
		CHECK_EQ(mib[2], large);                                                           \
	} while (0)

/* R71: what a program has taken and not touched is not there twice, as its own and as room. */
TEST(bound__part_of_the_pool_is_not_touched__what_is_taken_fits_below_the_limit)
{
	CHECK_BOUNDS(200, 200, 200, 117, 0, 320, 312, 312); /* 3M are others' */
	CHECK_BOUNDS(240, 240, 200, 117, 0, 320, 312, 312);
	CHECK_BOUNDS(240, 240, 240, 77, 0, 320, 312, 312);
	CHECK_BOUNDS(300, 300, 300, 0, 0, 304, 295, 295);
	CHECK_BOUNDS(0, 0, 0, 3, 0, 0, 0, 0);
}

/* R71: what lies ready for the next extent needs blocks, and no room below the limit. */
TEST(bound__windows_have_free_pieces__they_count_when_they_are_taken)
{
	CHECK_BOUNDS(250, 200, 200, 20, 0, 272, 215, 215);
	CHECK_BOUNDS(310, 100, 100, 17, 0, 336, 112, 112); /* in use: stays */
	CHECK_BOUNDS(310, 300, 300, 0, 0, 320, 295, 295);
}

/* R71: room is kept for the next steps, from large pieces. */
TEST(bound__limit_falls__small_pieces_may_use_the_room_that_is_kept)
{
	CHECK_BOUNDS(100, 100, 100, 217, 8, 320, 312, 288);
	CHECK_BOUNDS(100, 100, 100, 217, 300, 320, 312, 272); /* an eighth, at most */
}

TEST(bound__no_limit__no_bound_unless_others_wait)
{
	struct mhp__follow_facts facts = {
		.block_bytes = 16 * MIB, .used_bytes = 50 * MIB, .charged_bytes = 50 * MIB,
		.limit_bytes = UINT64_MAX, .room_bytes = UINT64_MAX,
	};
	struct mhp__follow_bounds bounds;
	mhp__follow_bounds(&facts, &bounds);
	CHECK(bounds.pool_bytes == UINT64_MAX && bounds.large_bytes == UINT64_MAX);
	facts.pressed = true;
	mhp__follow_bounds(&facts, &bounds);
	CHECK_EQ(bounds.pool_bytes, 64 * MIB);
	CHECK(bounds.taken_bytes == UINT64_MAX);
	facts.limit_bytes = facts.room_bytes = 320 * MIB;
	mhp__follow_bounds(&facts, &bounds);
	CHECK_EQ(bounds.pool_bytes, 64 * MIB);
	CHECK_EQ(bounds.taken_bytes, 365 * MIB);
}

/* How many looks a fall counts, of a limit that falls every so many looks. */
static unsigned
remembered(unsigned gap)
{
	struct mhp__fall fall = { 0 };
	uint64_t limit = 1024 * MIB;
	unsigned looks = 0;
	for (unsigned look = 1; look <= 4 * gap; look++) {
		uint64_t before = limit;
		limit -= look % gap == 0 ? 20 * MIB : 0;
		mhp__follow_fall(&fall, before, limit);
	}
	while (fall.bytes != 0 && looks++ < 2000) {
		CHECK_EQ(fall.bytes, 20 * MIB);
		mhp__follow_fall(&fall, limit, limit);
	}
	return looks;
}

/* R71: room for the next steps is kept until there would have been three, and no longer. */
TEST(bound__limit_has_fallen__counts_until_it_stands_still)
{
	struct mhp__fall fall = { 0 };
	mhp__follow_fall(&fall, UINT64_MAX, 320 * MIB);
	CHECK_EQ(fall.bytes, 0); /* the first one that was seen */
	mhp__follow_fall(&fall, 320 * MIB, 300 * MIB);
	CHECK_EQ(fall.bytes, 20 * MIB);
	mhp__follow_fall(&fall, 300 * MIB, 292 * MIB);
	CHECK_EQ(fall.bytes, 10 * MIB); /* of the larger step */
	mhp__follow_fall(&fall, 292 * MIB, 293 * MIB);
	CHECK_EQ(fall.bytes, 0);
	CHECK_EQ(remembered(10), 31); /* a step a second */
	CHECK_EQ(remembered(50), 151);
	CHECK_EQ(remembered(1), 31);
	CHECK_EQ(remembered(300), 31); /* too seldom: each is one of its own */
}

/* What a cgroup cannot drop, and what of a list of words is a word. */
TEST(limit__odd_files__say_what_they_can)
{
	static const struct { const char *current, *stat; uint64_t used; } rows[] = {
		{ "500000\n", "inactive_file 900000\n", 0 }, { "500000\n", "", 500000 },
		{ "500000\n", "anon 1\nactive_file 7", 499993 }, { "x\n", "", 0 },
		{ "500000\n", "xinactive_file 9\n", 500000 },
	};
	char root[5000];
	struct mhp__room room;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tree tree;
		test_at("row %zu", i);
		open_tree(&tree, "2:memory2,xmemory:/a\n1:cpu,memory,x:/a\n");
		write_file(&tree, "memory/a/memory.limit_in_bytes", "1000000\n");
		write_file(&tree, "memory/a/memory.usage_in_bytes", rows[i].current);
		char stat[128] = "";
		for (const char *line = rows[i].stat; *line != 0; line += strcspn(line, "\n"),
				 line += *line == '\n')
			snprintf(stat + strlen(stat), sizeof(stat) - strlen(stat), "%s%.*s\n",
				 *line == 'a' && line[1] == 'n' ? "" : "total_",
				 (int)strcspn(line, "\n"), line);
		write_file(&tree, "memory/a/memory.stat", stat);
		mhp__cgroup_room(tree.self, tree.root, &room);
		CHECK_EQ(room.used_bytes, rows[i].used);
		CHECK_EQ(close_tree(&tree), 1000000);
	}
	memset(root, 'x', sizeof(root));
	for (size_t length = 4060; length < sizeof(root); length++) {
		root[length] = 0;
		CHECK_EQ(mhp__cgroup_limit("/proc/self/cgroup", root), UINT64_MAX);
		root[length] = 'x';
	}
}

TEST(limit__nonsense__is_no_limit)
{
	static const char *const selves[] = {
		"", "x", ":", "::", "0:", "0::", "\n\n", "0::/../..\n",
	};
	for (size_t i = 0; i < sizeof(selves) / sizeof(selves[0]); i++) {
		struct tree tree;
		test_at("'%s'", selves[i]);
		open_tree(&tree, selves[i]);
		write_file(&tree, "memory.max", "010\n");
		CHECK_EQ(close_tree(&tree), UINT64_MAX);
	}
	CHECK_EQ(mhp__cgroup_limit("/no/such/file", "/tmp"), UINT64_MAX);
}
