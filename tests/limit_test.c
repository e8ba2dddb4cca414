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
