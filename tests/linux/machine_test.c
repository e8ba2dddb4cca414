/* SPDX-License-Identifier: MIT */
/*
 * machine_test.c - pools on a machine that this one is not: several NUMA nodes, DAX devices (R60).
 *
 * A child has mounts of its own, in which sysfs says what a case invents, and another /dev/zero is
 * a DAX device: it can be mapped. What such memory does when it moves is seen in a guest
 * (tests/dax).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "fixture.h"

#define BLOCK (UINT64_C(4) << 20)
#define WINDOW (UINT64_C(2) << 20)
#define CANNOT 77
#define ZERO "/sys/dev/char/1:5/"      /* what is said of that */
#define NODE "/sys/devices/system/node/node"

static void
say(const char *path, const char *text)
{
	char part[128];
	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = part + 5; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
		*slash = 0;
		mkdir(part, 0700);
	}
	FILE *file = fopen(path, "w");
	CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void
run_in_a_child(void (*fn)(void))
{
	int status = 0;
	fflush(NULL);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNS) != 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    mount("none", "/sys", "tmpfs", 0, NULL) != 0 ||
		    mknod("/sys/zero", S_IFCHR | 0600, makedev(1, 5)) != 0)
			_exit(CANNOT);
		fn();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
	if (WEXITSTATUS(status) == CANNOT)
		test_skip(geteuid() != 0 ? "needs root" : "needs mount-namespaces");
	CHECK_EQ(WEXITSTATUS(status), 0);
}

static struct mhp_pool *
make_pool(void)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	return fixture_pool(&opts);
}

/* Add a block by words; 0, or the error, whose text must have the words. */
static void
add(struct mhp_pool *pool, const char *backing_words, int error, const char *words)
{
	struct mhp_backing backing;
	struct mhp_text why = { "" };
	CHECK_OK(mhp_backing_parse(backing_words, &backing, &why));
	int err = mhp_pool_add(pool, &backing, BLOCK, NULL, NULL, &why);
	test_at("%s: %s", backing_words, why.text);
	CHECK_EQ(err, error);
	CHECK(strstr(why.text, words) != NULL);
}

static void
check_node(struct mhp_pool *pool, unsigned node, int numa, int rank, const char *place)
{
	struct mhp_node_info info;
	test_at("node %u", node);
	CHECK_OK(mhp_pool_node_get(pool, node, &info));
	CHECK_EQ(info.numa, numa);
	CHECK_EQ(info.rank, rank);
	CHECK_STR(info.place, place);
}

static void
end(struct mhp_pool *pool)
{
	fixture_end(pool, NULL);
}

/* Nodes 0, 1, 3 and 20; whoever looks is on node 0 or 1. */
static void
invent_nodes(void)
{
	say(NODE "0/distance", "10 21 40 255\n");
	say(NODE "1/distance", "21 10 60 255\n");
	say(NODE "3/distance", "40 60 10 255\n");
	say(NODE "20/distance", "255 255 255 10\n");
}

static void
invent_device(const char *target_node, const char *numa_node)
{
	say(ZERO "size", "4294967296\n");
	say(ZERO "align", "4096\n");
	say(ZERO "target_node", target_node);
	if (numa_node != NULL)
		say(ZERO "numa_node", numa_node);
}

/* ---- cases ---- */

static void
needs_moves(void)
{
	struct mhp_pool *pool = make_pool();
	fixture_needs_moves(pool);
	CHECK_OK(mhp_pool_destroy(pool));
}

static void
choose_own_node(void)
{
	invent_nodes();
	invent_device("3\n", "3\n");
	struct mhp_pool *pool = make_pool();
	struct mhp_node_info info;
	add(pool, "ram", 0, "");
	add(pool, "dax:/sys/zero,node=1", MHP_EINVAL, "is on NUMA node 3, not on node 1");
	add(pool, "dax:/sys/zero", 0, "");
	CHECK_OK(mhp_pool_node_get(pool, 3, &info));
	CHECK(info.device && info.numa == 3 && (info.rank == 4 || info.rank == 6));
	CHECK_STR(info.place, "dax:/sys/zero");
	add(pool, "ram,node=3", MHP_EBUSY, "node 3 of the pool is a device already");
	add(pool, "ram,node=19", MHP_ENOENT, "no NUMA node 19");
	add(pool, "ram,node=20", MHP_EINVAL, "NUMA nodes 0 to 15 only");
	add(pool, "dax:/sys/zero,rank=9", 0, "");
	check_node(pool, 3, 3, 9, "dax:/sys/zero");
	end(pool);
}

/* Of a device that is where RAM is, or says nothing. */
static void
choose_free_node(void)
{
	static const struct { const char *target, *numa; int is_numa, rank; } rows[] = {
		{ "0\n", "-1\n", -1, 1 }, { "-1\n", NULL, -1, 1 }, { "", "x\n", 0, -1 },
		{ "77\n", "2\n", 2, 1 }, /* there is no node 2 that would be far */
		{ "0\n", "20\n", 20, 26 },
	};
	invent_nodes();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mhp_node_info info;
		invent_device(rows[i].target, rows[i].numa);
		struct mhp_pool *pool = make_pool();
		add(pool, "ram", 0, "");
		add(pool, "dax:/sys/zero", 0, "");
		test_at("row %zu", i);
		CHECK_OK(mhp_pool_node_get(pool, 2, &info)); /* the first that is no NUMA node */
		CHECK_EQ(info.numa, rows[i].is_numa);
		CHECK(rows[i].rank < 0 || info.rank == rows[i].rank);
		end(pool);
	}
}

/* All the numbers that a pool has are NUMA nodes of the machine: none is left for a device. */
static void
choose_of_no_node(void)
{
	char path[64];
	for (unsigned i = 0; i < MHP_POOL_NODES; i++) {
		snprintf(path, sizeof(path), NODE "%u/distance", i);
		say(path, "10\n");
	}
	invent_device("-1\n", "-1\n");
	struct mhp_pool *pool = make_pool();
	add(pool, "ram", 0, "");
	add(pool, "dax:/sys/zero", MHP_ENOSPC, "a pool has 16 nodes, and all are in use");
	add(pool, "dax:/sys/zero,node=16", MHP_EINVAL, "node 16 is no node for /sys/zero");
	add(pool, "dax:/sys/zero,node=0", MHP_EINVAL, "node 0 is no node for /sys/zero");
	add(pool, "dax:/sys/zero,node=15", 0, "");
	check_node(pool, 15, -1, 1, "dax:/sys/zero");
	end(pool);
}

static void
take_no_other_file(void)
{
	static const struct { const char *size, *align, *words; } rows[] = {
		{ "0\n", "4096\n", "is not a DAX device, or it is empty" },
		{ "", "4096\n", "is not a DAX device, or it is empty" },
		{ "4294967296\n", "1073741824\n", "mapped in pieces of 1024 MiB" },
		{ "2097152\n", "4096\n", "which is not enough for this" },
	};
	struct mhp_pool *pool = make_pool();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		say(ZERO "size", rows[i].size);
		say(ZERO "align", rows[i].align);
		add(pool, "dax:/sys/zero", i < 2 ? MHP_ENODEV : i == 2 ? MHP_EINVAL : MHP_ENOSPC,
		    rows[i].words);
	}
	add(pool, "dax:/sys", MHP_EINVAL, "cannot open /sys");
	add(pool, "dax:/sys/dev/char/1:5/size", MHP_ENODEV, "is not a DAX device");
	add(pool, "file:/sys/zero", MHP_EINVAL, "is not a regular file");
	add(pool, "file:/no/such/file", MHP_ENOENT, "cannot open");
	add(pool, "hugetlb:2M", MHP_ENODEV, "no huge pages of 2048kB");
	say("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
	add(pool, "hugetlb:2M", MHP_ENOMEM, "no huge pages of 2048kB are reserved");
	add(pool, "hugetlb:1G", MHP_EOPNOTSUPP, "1 GiB are not supported");
	CHECK_OK(mhp_pool_destroy(pool));
}

/* R36: pages of a device without a word of their size are large ones. */
static void
tell_page_sizes(void)
{
	static const struct { const char *backing, *align; bool huge; } rows[] = {
		{ "ram", "", false }, { "memfd", "", false }, { "hugetlb:2M", "", true },
		{ "hugetlb:1G", "", true }, { "dax:/sys/zero", "2097152\n", true },
		{ "dax:/sys/zero", "4096\n", false }, { "dax:/no/such/device", "", false },
	};
	uint64_t small = (uint64_t)sysconf(_SC_PAGESIZE);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mhp_backing backing;
		say(ZERO "align", rows[i].align);
		CHECK_OK(mhp_backing_parse(rows[i].backing, &backing, NULL));
		test_at("%s, %s", rows[i].backing, rows[i].align);
		CHECK_EQ(mhp_backing_page_bytes(&backing), rows[i].huge ? 2U << 20 : small);
	}
}

TEST(node__of_a_device__its_own_numa_node)
{
	needs_moves();
	run_in_a_child(choose_own_node);
}

TEST(node__of_a_device_beside_ram__a_free_one)
{
	needs_moves();
	run_in_a_child(choose_free_node);
}

TEST(node__of_a_device_where_all_are_ram__said)
{
	needs_moves();
	run_in_a_child(choose_of_no_node);
}

TEST(backing__that_is_something_else__refused_with_a_sentence)
{
	needs_moves();
	run_in_a_child(take_no_other_file);
}

TEST(backing__pages__as_large_as_the_kernel_says)
{
	run_in_a_child(tell_page_sizes);
}

/* ---- a machine without /proc ---- */

static void
write_pages(char *base, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += 4096)
		memcpy(base + at, &at, sizeof(at));
}

static void
check_pages(const char *base, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += 4096)
		CHECK_EQ(memcmp(base + at, &at, sizeof(at)), 0);
}

/* What the kernel does not tell of memory keeps it where it is; nothing else needs to be told. */
static void
without_proc(void)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	struct mhp_add_opts online = { .flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY,
				       .zone = MHP_ZONE_MOVABLE };
	struct mhp_tiering how = { .on = true, .bytes_per_s = 1 << 30, .look_permille = 500 };
	struct mhp_blocks ram = { 0, 3 };
	struct mhp_outside outside[MHP_OUTSIDE_KINDS];
	CHECK_OK(mount("none", "/proc", "tmpfs", 0, NULL));
	struct mhp_pool *pool = fixture_pool(&opts);
	fixture_add(pool, NULL, 3 * BLOCK, &online);
	struct mhp_region *region = fixture_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK_OK(mhp_region_commit(region, base, BLOCK));
	write_pages(base, BLOCK);
	fixture_add(pool, "memfd", 4 * BLOCK, &online);
	struct mhp_why why = { .pfn = MHP_PFN_NONE };
	/* On ordinary memory blocks leave as ever: numbers go to the device, the bytes cannot. */
	int err = mhp_offline(mhp_pool_engine(pool), &ram, 1, NULL, &why);
	test_at("%d: %s", err, why.text);
	CHECK(err == 0 || err == MHP_EBUSY);
	check_pages(base, BLOCK);
	CHECK_NE(mhp_pool_outside(pool, outside), 0);
	CHECK_OK(mhp_pool_set_tiering(pool, &how, NULL));
	usleep(300000); /* it looks, and sees nothing */
	how.on = false;
	CHECK_OK(mhp_pool_set_tiering(pool, &how, NULL));
	check_pages(base, BLOCK);
	CHECK_OK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL));
	int status = 1;
	pid_t child = fork();
	if (child == 0) {
		check_pages(base, BLOCK);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* R54, R64: a chroot or a sandbox need not have /proc. */
TEST(proc__is_not_there__memory_stays_and_is_right)
{
	run_in_a_child(without_proc);
}

/* A file of two blocks on a file system of so much memory. */
static void
make_file(const char *place, const char *mount_options)
{
	char path[64];
	CHECK_OK(mkdir(place, 0700));
	CHECK_OK(mount("none", place, "tmpfs", 0, mount_options));
	snprintf(path, sizeof(path), "%s/device", place);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, 2 * BLOCK) == 0);
	close(fd);
}

/* Wait until a file has no more memory than this, but for moments. */
static void
await_memory(const char *path, uint64_t most_bytes)
{
	struct stat st = { 0 };
	unsigned seen = 0;
	for (unsigned turn = 0; seen < 10 && turn < FIXTURE_WAIT_MS / 10; turn++, usleep(10000)) {
		CHECK_OK(stat(path, &st));
		seen = (uint64_t)st.st_blocks * 512 <= most_bytes ? seen + 1 : 0;
	}
	test_at("%s has %llu KiB", path, (unsigned long long)st.st_blocks / 2);
	CHECK_EQ(seen, 10);
}

/* Of two windows that are to go there is room for one, of which the program has used a page. */
static void
on_full_file_systems(void)
{
	struct mhp_pool *pool = make_pool();
	make_file("/sys/half", "size=3m");
	make_file("/sys/full", "size=4k");
	fixture_needs_moves(pool);
	fixture_add(pool, NULL, 2 * BLOCK, NULL);
	fixture_add(pool, "file:/sys/half/device,node=4", 2 * BLOCK, NULL);
	struct mhp_region *region = fixture_region(pool, 2 * WINDOW);
	char *base = mhp_region_base(region);
	CHECK_OK(mhp_region_commit(region, base, 2 * WINDOW));
	base[0] = 1;
	fixture_write(base + WINDOW, WINDOW);
	CHECK_AGAIN(mhp_region_move(region, base, 2 * WINDOW, 4, NULL, NULL));
	fixture_await_settled(pool, WINDOW);
	await_memory("/sys/half/device", WINDOW + WINDOW / 4);
	int fd = open("/sys/half/other", O_RDWR | O_CREAT, 0600);
	while (write(fd, "", 1) == 1)
		;
	CHECK_EQ(errno, ENOSPC);
	fixture_write(base, 2 * WINDOW);
	add(pool, "file:/sys/full/device", MHP_ENOSPC, "full");
	CHECK_AGAIN(mhp_region_move(region, base, 2 * WINDOW, 0, NULL, NULL));
	fixture_check(base, 2 * WINDOW);
	CHECK_OK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL));
}

/* R40: memory stays in RAM then. To touch what the file has not got would be a bus error. */
TEST(file_system__is_full__memory_stays)
{
	run_in_a_child(on_full_file_systems);
}
