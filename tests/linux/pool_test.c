/* SPDX-License-Identifier: MIT */
/*
 * pool_test.c - what authors of programs run into first: defaults, adds by other ways than
 * mhp_pool_add(), calls from where they cannot be made, ends that come twice (R17, R31, R36).
 *
 * Each case makes a pool of its own and ends it, so that whatever is left over fails the case.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <memplug/linux.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

#define BLOCK (4UL << 20)

static struct mhp_pool *
make_pool(void)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	return fixture_pool(&opts);
}

static void
end_pool(struct mhp_pool *pool)
{
	fixture_end(pool, NULL);
}

static const char *
backing_of(struct mhp_pool *pool, uint32_t block)
{
	struct mhp_block_info info;
	CHECK(mhp_block_get(mhp_pool_engine(pool), block, &info) == 0);
	const struct mhp_backing *backing = mhp_pool_backing(pool, info.backing);
	return backing != NULL ? mhp_backing_name(backing->kind) : "none";
}

/* Is the mapping of an address marked so in smaps? */
static bool
is_marked(const void *address, const char *flag)
{
	unsigned long start, end, wanted = (unsigned long)address;
	bool inside = false, found = false;
	char line[512];
	FILE *smaps = fopen("/proc/self/smaps", "r");
	CHECK(smaps != NULL);
	while (fgets(line, sizeof(line), smaps) != NULL) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = wanted >= start && wanted < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(smaps);
	return found;
}

/* R7: where the kernel gives huge pages to all, a reserve of some pages would take one. */
TEST(add__direct_map__takes_no_huge_pages)
{
	struct mhp_pool *pool = make_pool();
	CHECK(mhp_pool_add(pool, NULL, 2 * BLOCK, NULL, NULL, NULL) == 0);
	struct mhp *m = mhp_pool_engine(pool);
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0) {
		CHECK(is_marked(mhp_pfn_to_virt(m, 0), " nh"));
		CHECK(is_marked(m, " nh"));
	}
	end_pool(pool);
}

/* R66: the tables of a region over all addresses cost what is touched of them, and are none of what
 * RLIMIT_DATA counts. */
TEST(region__over_all_addresses__is_no_data)
{
	struct mhp_pool *pool = make_pool();
	struct mhp_region *over;
	fixture_add(pool, NULL, BLOCK, NULL);
	unsigned long before = fixture_status_kib("VmData");
	CHECK_OK(mhp_region_create_over(pool, "over", &over, NULL));
	CHECK_CMP(fixture_status_kib("VmData"), <, before + 1024);
	fixture_end(pool, over);
}

/* R7 R36 */
TEST(add__without_a_word__self_hosted_online_movable_and_not_bound)
{
	struct mhp_pool *pool = make_pool();
	struct mhp_backing zeroed = { 0 };
	struct mhp_block_info info;
	CHECK(mhp_pool_add(pool, NULL, BLOCK, NULL, NULL, NULL) == 0);
	CHECK(mhp_pool_add(pool, &zeroed, BLOCK, NULL, NULL, NULL) == 0);
	for (uint32_t block = 0; block < 2; block++) {
		CHECK(mhp_block_get(mhp_pool_engine(pool), block, &info) == 0);
		CHECK(info.state == MHP_ONLINE && info.zone == MHP_ZONE_MOVABLE);
		CHECK(info.placement == MHP_PLACE_SELF);
		CHECK(!mhp_pool_backing(pool, info.backing)->bind);
		CHECK(strcmp(backing_of(pool, block), "ram") == 0);
	}
	CHECK(mhp_backing_parse("memfd", &zeroed, NULL) == 0 && !zeroed.bind);
	CHECK(mhp_backing_parse("memfd,node=0", &zeroed, NULL) == 0 && zeroed.bind);
	end_pool(pool);
}

/* Take a page of block and use all of it. */
static void
use_a_page(struct mhp *m, uint32_t block)
{
	struct mhp_page_req req = { .cookie = 0 };
	uint64_t pfn;
	CHECK(mhp_owner_register(m, "test", NULL, NULL, &req.owner) == 0);
	CHECK(mhp_page_alloc(m, req, &pfn) == 0 && pfn * 4096 / BLOCK == block);
	memset(mhp_pfn_to_virt(m, pfn), 0xa5, 4096);
	CHECK(mhp_page_free(m, pfn) == 0 && mhp_owner_unregister(m, req.owner) == 0);
}

/* R2 R17 */
TEST(add__by_the_engine__brings_ordinary_memory)
{
	struct mhp_pool *pool = make_pool();
	struct mhp *m = mhp_pool_engine(pool);
	struct mhp_add_opts opts = MHP_ADD_OPTS_DEFAULT;
	struct mhp_backing memfd = { .kind = MHP_BACKING_MEMFD };
	struct mhp_blocks blocks = { 5, 2 };
	opts.zone = MHP_ZONE_NORMAL;
	CHECK(mhp_pool_add(pool, &memfd, BLOCK, &opts, NULL, NULL) == 0);
	CHECK(mhp_remove(m, &(struct mhp_blocks){ 0, 1 }, 1, NULL, NULL) == 0);
	CHECK(mhp_add(m, blocks, &opts, NULL) == 0);
	CHECK(strcmp(backing_of(pool, 5), "ram") == 0);
	use_a_page(m, 5);
	CHECK(mhp_pool_add(pool, &memfd, BLOCK, &opts, NULL, NULL) == 0);
	CHECK(strcmp(backing_of(pool, 0), "memfd") == 0);
	CHECK(strcmp(backing_of(pool, 6), "ram") == 0);
	end_pool(pool);
}

/* R31 */
TEST(plan__with_an_add__does_what_its_preview_says)
{
	struct mhp_pool *pool = make_pool();
	struct mhp *m = mhp_pool_engine(pool);
	struct mhp_blocks coming = { 2, 1 }, leaving = { 0, 1 };
	struct mhp_step steps[] = {
		{ .kind = MHP_STEP_ADD, .blocks = coming,
		  .add = { .flags = MHP_MEMMAP_ON_MEMORY } },
		{ .kind = MHP_STEP_ONLINE, .blocks = coming, .zone = MHP_ZONE_NORMAL },
		{ .kind = MHP_STEP_REMOVE, .blocks = leaving },
	};
	CHECK(mhp_pool_add(pool, NULL, BLOCK, NULL, NULL, NULL) == 0);
	CHECK(mhp_plan_preview(m, steps, 3, NULL) == 0);
	CHECK(mhp_plan_commit(m, steps, 3, NULL, NULL) == 0);
	use_a_page(m, 2);
	CHECK(strcmp(backing_of(pool, 2), "ram") == 0);
	end_pool(pool);
}

/* R17: also what no pool of this port could have, whose blocks are more than 32 bits count. */
TEST(add__more_than_all_addresses__says_how_many_blocks)
{
	struct mhp_pool *pool = make_pool();
	struct mhp_text text = { "" };
	const uint64_t size = UINT64_C(1) << 63;
	char words[64];
	(void)snprintf(words, sizeof(words), " %llu more blocks",
		       (unsigned long long)(size / BLOCK));
	CHECK(mhp_pool_add(pool, NULL, size, NULL, NULL, &text) == MHP_ENXIO);
	CHECK(strstr(text.text, words) != NULL);
	CHECK(mhp_pool_add(pool, NULL, BLOCK, NULL, NULL, NULL) == 0);
	end_pool(pool);
}

static struct mhp_text listener_text;
static int listener_err;

static int
add_in_listener(void *ctx, const struct mhp_notice *notice)
{
	if (notice->kind == MHP_ONLINE_NOTICE)
		listener_err = mhp_pool_add(ctx, NULL, BLOCK, NULL, NULL, &listener_text);
	return 0;
}

/* R24: it hung. */
TEST(add__from_a_listener__edeadlk)
{
	struct mhp_pool *pool = make_pool();
	uint16_t listener;
	CHECK(mhp_listener_add(mhp_pool_engine(pool), add_in_listener, pool, 0, &listener) == 0);
	CHECK(mhp_pool_add(pool, NULL, BLOCK, NULL, NULL, NULL) == 0);
	CHECK(listener_err == MHP_EDEADLK && strstr(listener_text.text, "listener"));
	CHECK(mhp_listener_remove(mhp_pool_engine(pool), listener) == 0);
	CHECK(mhp_pool_add(pool, NULL, BLOCK, NULL, NULL, NULL) == 0);
	end_pool(pool);
}

static void
write_number(const char *path, const char *number)
{
	FILE *file = fopen(path, "w");
	CHECK(file != NULL && fputs(number, file) >= 0 && fclose(file) == 0);
}

/* In mounts of its own: sysfs takes /dev/null for a DAX device. False: it cannot have them. */
static bool
invent_a_device(const char *align)
{
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", "/sys/dev/char", "tmpfs", 0, NULL) != 0)
		return false;
	CHECK(mkdir("/sys/dev/char/1:3", 0700) == 0);
	write_number("/sys/dev/char/1:3/size", "4294967296");
	write_number("/sys/dev/char/1:3/align", align);
	return true;
}

static void
add_large_pieces(void)
{
	struct mhp_pool *pool = make_pool();
	struct mhp_backing device = { .kind = MHP_BACKING_DAX, .path = "/dev/null" };
	struct mhp_text why = { "" };
	CHECK(mhp_pool_add(pool, &device, BLOCK, NULL, NULL, &why) == MHP_EINVAL);
	CHECK(strcmp(why.text, "dax is mapped in pieces of 1024 MiB, the pages of a pool have 2 "
			       "MiB at most") == 0);
	CHECK(mhp_pool_destroy(pool) == 0);
}

/* R36 */
TEST(add__device_of_large_pieces__refused_with_both_sizes)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	enum { CANNOT = 77 };
	int status = 0;
	fflush(stdout);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		if (!invent_a_device("1073741824"))
			_exit(CANNOT);
		add_large_pieces();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
	if (WEXITSTATUS(status) == CANNOT)
		test_skip(geteuid() != 0 ? "needs root" : "needs mount-namespaces");
	CHECK(WEXITSTATUS(status) == 0);
}

/* All addresses of a pool can be had: no failed add keeps any. */
static void
check_all_addresses(struct mhp_pool *pool, uint64_t bytes)
{
	struct mhp_blocks all = { 0, (uint32_t)(bytes / BLOCK) };
	CHECK(mhp_pool_add(pool, NULL, bytes, NULL, NULL, NULL) == 0);
	CHECK(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL) == 0);
	CHECK(mhp_pool_destroy(pool) == 0);
}

TEST(add__size_in_between__refused_with_the_block_size)
{
	struct mhp_pool *pool = make_pool();
	static const uint64_t sizes[] = { BLOCK / 2, BLOCK + 1, 3 * BLOCK / 2 };
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mhp_text why = { "" };
		CHECK(mhp_pool_add(pool, NULL, sizes[i], NULL, NULL, &why) == MHP_EINVAL);
		CHECK(strstr(why.text, "multiple of the block size, 4 MiB") != NULL);
	}
	check_all_addresses(pool, 64 * BLOCK);
}

/* R17: what the engine refuses leaves no address behind that nobody can use. */
TEST(add__engine_says_no__addresses_are_free_again)
{
	struct mhp_pool *pool = make_pool();
	struct mhp_add_opts opts = { .node = 255 };
	struct mhp_text why = { "" };
	CHECK(mhp_pool_add(pool, NULL, 64 * BLOCK, &opts, NULL, &why) != 0);
	CHECK(strstr(why.text, "the engine refused") != NULL);
	check_all_addresses(pool, 64 * BLOCK);
}

/* R57: its blocks are of a kind that grows when somebody touches what is in front of them. */
TEST(create__front_of_the_blocks__is_taken)
{
	struct mhp_pool *pool = make_pool();
	char *first = mhp_pfn_to_virt(mhp_pool_engine(pool), 0);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *front = mmap(first - page, page, PROT_READ,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(front == MAP_FAILED && errno == EEXIST);
	CHECK_OK(mhp_pool_add(pool, NULL, BLOCK, NULL, NULL, NULL));
	end_pool(pool);
}

/* R58: it is mapped, and then the kernel refuses the node. */
TEST(add__cannot_be_mapped__addresses_are_free_again)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	struct mhp_pool *pool = make_pool();
	struct mhp_text why = { "" };
	struct mhp_backing nowhere = { .kind = MHP_BACKING_RAM, .bind = true,
				       .node = MHP_POOL_NODES - 1 };
	CHECK(access("/sys/devices/system/node/node15", F_OK) != 0 && nowhere.node == 15);
	CHECK(mhp_pool_add(pool, &nowhere, 64 * BLOCK, NULL, NULL, &why) == MHP_ENOENT);
	CHECK(strstr(why.text, "no NUMA node 15") != NULL);
	check_all_addresses(pool, 64 * BLOCK);
}

TEST(destroy__of_nothing__does_nothing)
{
	CHECK(mhp_pool_destroy(NULL) == 0);
	mhp_region_destroy(NULL);
	CHECK(mhp_fini(NULL) == 0);
}
