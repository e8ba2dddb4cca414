/* SPDX-License-Identifier: MIT */
/*
 * device_test.c - pools on real DAX devices, case by case (R35 to R38).
 *
 * usage: device_test DEVICE LARGE_DEVICE [CASE]. DEVICE is mapped in pieces of 4 KiB, LARGE_DEVICE
 * in pieces of 2 MiB; both are ours alone, and what is on them is overwritten. What one can ask of
 * either is asked of both. Each case makes its pools and ends them, so that a leak of a frame, a
 * block or a mapping shows as a pool that cannot be destroyed. Runs in the guest (guest_init.sh).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <memplug/linux.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../online.h"

#define PAGE 4096UL
#define LARGE_PAGE (2UL << 20)
#define BLOCK (4UL << 20)
#define NR_BLOCKS_MAX 256U
/* With its own descriptors in it a block has room for one large page. */
#define NR_BLOCKS 5U
#define ALL (NR_BLOCKS * BLOCK)

struct device {
	const char *path;
	uint64_t page_bytes, size;
};

static struct device devices[2];
static const char *case_name;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s: line %d: %s\nreplay: device_test %s %s %s\n",         \
				case_name, __LINE__, #cond, devices[0].path, devices[1].path,      \
				case_name);                                                        \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* Bytes of a device; stat does not know. */
static uint64_t
device_size(const char *path)
{
	struct stat st;
	char name[96];
	unsigned long long size = 0;
	CHECK(stat(path, &st) == 0 && S_ISCHR(st.st_mode));
	snprintf(name, sizeof(name), "/sys/dev/char/%u:%u/size", major(st.st_rdev),
		 minor(st.st_rdev));
	FILE *file = fopen(name, "re");
	CHECK(file != NULL && fscanf(file, "%llu", &size) == 1);
	fclose(file);
	return size;
}

static struct mhp_pool *
make_pool(uint64_t page_bytes)
{
	struct mhp_pool_opts opts = { .max_bytes = NR_BLOCKS_MAX * BLOCK, .block_bytes = BLOCK,
				      .page_bytes = page_bytes };
	struct mhp_pool *pool;
	CHECK(mhp_pool_create(&opts, &pool, NULL) == 0);
	CHECK(mhp_pool_can_move(pool, NULL));
	return pool;
}

static int
add_words(struct mhp_pool *pool, const char *words, uint64_t nr_blocks, struct mhp_text *reterr)
{
	struct mhp_add_opts add = { .flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY,
				    .zone = MHP_ZONE_MOVABLE };
	struct mhp_backing backing;
	CHECK(mhp_backing_parse(words, &backing, NULL) == 0);
	return mhp_pool_add(pool, &backing, nr_blocks * BLOCK, &add, NULL, reterr);
}

static int
add_device(struct mhp_pool *pool, const struct device *device, uint64_t nr_blocks,
	   struct mhp_text *reterr)
{
	char words[256];
	struct mhp_text unexpected = { "" };
	snprintf(words, sizeof(words), "dax:%s", device->path);
	int err = add_words(pool, words, nr_blocks, reterr != NULL ? reterr : &unexpected);
	if (reterr == NULL && err != 0)
		fprintf(stderr, "%s: error %d %s\n", words, err, unexpected.text);
	return err;
}

static void
remove_all(struct mhp_pool *pool)
{
	struct mhp_blocks all = { 0, NR_BLOCKS_MAX };
	CHECK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL) == 0);
	CHECK(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL) == 0);
}

static void
end_pool(struct mhp_pool *pool)
{
	remove_all(pool);
	CHECK(mhp_pool_destroy(pool) == 0);
}

static struct mhp_region *
make_region(struct mhp_pool *pool, uint64_t size)
{
	struct mhp_region *region;
	CHECK(mhp_region_create(pool, "test", size, &region, NULL) == 0);
	return region;
}

/* A word of every page says which page it is. */
static void
write_pages(void *base, uint64_t size, uint64_t round)
{
	for (uint64_t at = 0; at < size; at += PAGE)
		*(volatile uint64_t *)((char *)base + at + at / PAGE % 512 * 8) = at + round;
}

static bool
pages_hold(const void *base, uint64_t size, uint64_t round)
{
	for (uint64_t at = 0; at < size; at += PAGE)
		if (*(const volatile uint64_t *)((const char *)base + at + at / PAGE % 512 * 8) !=
		    at + round)
			return false;
	return true;
}

static bool
all_zero(const char *base, uint64_t size)
{
	return base[0] == 0 && memcmp(base, base + 1, size - 1) == 0;
}

/* Is anything of the device mapped in this process? */
static bool
is_mapped(const struct device *device)
{
	char line[512];
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "re");
	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL)
		found = found || strstr(line, device->path) != NULL;
	fclose(maps);
	return found;
}

/* R36 */
static void
add__more_than_the_device_has__names_its_size(const struct device *device)
{
	struct mhp_pool *pool = make_pool(device->page_bytes);
	struct mhp_text text = { "" };
	char size[32];
	snprintf(size, sizeof(size), " %llu MiB", (unsigned long long)(device->size >> 20));
	CHECK(add_device(pool, device, device->size / BLOCK + 1, &text) == MHP_ENOSPC);
	CHECK(strstr(text.text, device->path) != NULL && strstr(text.text, size) != NULL);
	CHECK(!is_mapped(device));
	CHECK(mhp_pool_destroy(pool) == 0);
}

static void
add__to_the_last_block__and_once_more(const struct device *device)
{
	struct mhp_pool *pool = make_pool(device->page_bytes);
	for (unsigned turn = 0; turn < 2; turn++) {
		CHECK(add_device(pool, device, device->size / BLOCK, NULL) == 0);
		CHECK(add_device(pool, device, 1, NULL) == MHP_ENOSPC);
		remove_all(pool);
	}
	CHECK(mhp_pool_destroy(pool) == 0);
}

/* R36: two pools on one device would write over each other. */
static void
device__in_use_by_another_pool__is_busy(const struct device *device)
{
	struct mhp_pool *first = make_pool(device->page_bytes);
	struct mhp_pool *second = make_pool(device->page_bytes);
	struct mhp_text text = { "" };
	CHECK(add_device(first, device, 1, NULL) == 0);
	CHECK(add_device(first, device, 1, NULL) == 0);
	CHECK(add_device(second, device, 1, &text) == MHP_EBUSY);
	CHECK(strstr(text.text, device->path) != NULL && strstr(text.text, "in use") != NULL);
	end_pool(first);
	CHECK(add_device(second, device, 1, NULL) == 0);
	end_pool(second);
}

/* R36 */
static void
device__that_is_not_there__is_named(const struct device *device)
{
	struct mhp_pool *pool = make_pool(device->page_bytes);
	struct mhp_text text = { "" };
	CHECK(add_words(pool, "dax:/dev/dax9.9", 1, &text) == MHP_ENOENT);
	CHECK(strstr(text.text, "/dev/dax9.9") != NULL);
	CHECK(add_words(pool, "dax:/dev/null", 1, &text) == MHP_ENODEV);
	CHECK(strstr(text.text, "not a DAX device") != NULL);
	CHECK(mhp_pool_destroy(pool) == 0);
}

/* Does the kernel map this part of the device? */
static bool
can_map(int fd, uint64_t offset, uint64_t size, int flags)
{
	void *start = mmap(NULL, size, PROT_READ, flags, fd, (off_t)offset);
	return start != MAP_FAILED && munmap(start, size) == 0;
}

/* R36, R61: what the device demands; pools of small and of large pages take it. */
static void
pages__smaller_than_the_device_maps__share_its_pool(const struct device *device)
{
	bool large = device->page_bytes == LARGE_PAGE;
	int fd = open(device->path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && can_map(fd, LARGE_PAGE, LARGE_PAGE, MAP_SHARED));
	CHECK(can_map(fd, 0, PAGE, MAP_SHARED) == !large);
	CHECK(can_map(fd, PAGE, LARGE_PAGE, MAP_SHARED) == !large);
	CHECK(!can_map(fd, 0, LARGE_PAGE, MAP_PRIVATE));
	close(fd);
	for (unsigned whole = 0; whole < 2; whole++) {
		struct mhp_pool *pool = make_pool(whole ? LARGE_PAGE : PAGE);
		CHECK(add_device(pool, device, 1, NULL) == 0);
		struct mhp_region *region = make_region(pool, LARGE_PAGE);
		char *base = mhp_region_base(region);
		CHECK(mhp_region_commit(region, base, PAGE) == (whole ? MHP_EINVAL : 0));
		CHECK(whole || (base[PAGE - 1] = 1) == 1);
		mhp_region_destroy(region);
		end_pool(pool);
	}
}

/* What was on the device is nobody's business. */
static void
commit__device_full_of_rubbish__reads_zeros(const struct device *device)
{
	uint64_t size = ALL;
	int fd = open(device->path, O_RDWR | O_CLOEXEC);
	void *raw = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(raw != MAP_FAILED);
	memset(raw, 0xa5, size);
	munmap(raw, size);
	close(fd);
	struct mhp_pool *pool = make_pool(device->page_bytes);
	CHECK(add_device(pool, device, NR_BLOCKS, NULL) == 0);
	struct mhp_region *region = make_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, 2 * BLOCK) == 0);
	CHECK(all_zero(base, 2 * BLOCK));
	mhp_region_destroy(region);
	end_pool(pool);
}

/* A window that is on its way just now cannot be given back: it has arrived soon. */
static int
insist(int (*give)(struct mhp_region *region, void *start, uint64_t size),
       struct mhp_region *region, void *start, uint64_t size)
{
	int err = give(region, start, size);
	for (unsigned ms = 0; err == MHP_EAGAIN && ms < 30000; ms++) {
		usleep(1000);
		err = give(region, start, size);
	}
	return err;
}

/* R35, R59: what is given back reads as zeros; the device goes with its last block. */
static void
memory__given_back__is_there_again(const struct device *device)
{
	struct mhp_pool *pool = make_pool(device->page_bytes);
	CHECK(add_device(pool, device, NR_BLOCKS, NULL) == 0);
	struct mhp_region *region = make_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	for (uint64_t turn = 0; turn < 8; turn++) {
		CHECK(mhp_region_commit(region, base, 2 * BLOCK) == 0);
		CHECK(all_zero(base, 2 * BLOCK));
		write_pages(base, 2 * BLOCK, turn);
		CHECK(pages_hold(base, 2 * BLOCK, turn));
		CHECK(insist(mhp_region_purge, region, base, LARGE_PAGE) == 0);
		CHECK(all_zero(base, LARGE_PAGE));
		CHECK(insist(mhp_region_decommit, region, base, 2 * BLOCK) == 0);
	}
	mhp_region_destroy(region);
	CHECK(is_mapped(device));
	remove_all(pool);
	CHECK(!is_mapped(device));
	CHECK(mhp_pool_destroy(pool) == 0);
}

/* R37: memory leaves the device for ordinary memory, and comes back; the pointers are the same. */
static void
blocks__leave_for_memory_and_back__data_follows(const struct device *device)
{
	struct mhp_pool *pool = make_pool(device->page_bytes);
	struct mhp *m = mhp_pool_engine(pool);
	struct mhp_blocks on_device = { 0, NR_BLOCKS }, in_memory = { NR_BLOCKS, NR_BLOCKS };
	const char *memory = device->page_bytes == PAGE ? "memfd" : "hugetlb:2M";
	CHECK(add_device(pool, device, NR_BLOCKS, NULL) == 0);
	struct mhp_region *region = make_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, 2 * BLOCK) == 0);
	for (uint64_t turn = 0; turn < 3; turn++) {
		write_pages(base, 2 * BLOCK, turn);
		CHECK(add_words(pool, memory, NR_BLOCKS, NULL) == 0);
		CHECK(mhp_remove(m, &on_device, 1, NULL, NULL) == 0);
		CHECK(!is_mapped(device) && pages_hold(base, 2 * BLOCK, turn));
		write_pages(base, 2 * BLOCK, turn + 7);
		CHECK(add_device(pool, device, NR_BLOCKS, NULL) == 0);
		CHECK(mhp_remove(m, &in_memory, 1, NULL, NULL) == 0);
		CHECK(pages_hold(base, 2 * BLOCK, turn + 7));
	}
	mhp_region_destroy(region);
	end_pool(pool);
}

/* In the child: what the parent wrote before the fork, whatever it has done since. */
static int
be_child(char *base, int go)
{
	char byte;
	if (!pages_hold(base, BLOCK, 1) || read(go, &byte, 1) != 1 || !pages_hold(base, BLOCK, 1))
		return 1;
	write_pages(base, BLOCK, 9);
	return pages_hold(base, BLOCK, 9) ? 0 : 2;
}

/* R38 */
static void
fork__on_a_device__copies(const struct device *device)
{
	struct mhp_pool *pool = make_pool(device->page_bytes);
	struct mhp_blocks first = { 0, 1 };
	struct mhp_pool_stats stats;
	int go[2], status = -1;
	CHECK(pipe(go) == 0 && add_device(pool, device, 3, NULL) == 0);
	struct mhp_region *region = make_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, BLOCK) == 0);
	write_pages(base, BLOCK, 1);
	pid_t pid = fork();
	if (pid == 0)
		_exit(be_child(base, go[0]));
	CHECK(pid > 0 && pages_hold(base, BLOCK, 1));
	write_pages(base, BLOCK, 5);
	CHECK(mhp_offline(mhp_pool_engine(pool), &first, 1, NULL, NULL) == 0);
	CHECK(pages_hold(base, BLOCK, 5) && write(go[1], "x", 1) == 1);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(pages_hold(base, BLOCK, 5));
	mhp_pool_get_stats(pool, &stats);
	CHECK(stats.forks == 1);
	close(go[0]);
	close(go[1]);
	mhp_region_destroy(region);
	CHECK(test_online(mhp_pool_engine(pool), first, MHP_ZONE_MOVABLE, NULL) == 0);
	end_pool(pool);
}

static const struct {
	const char *name;
	void (*fn)(const struct device *device);
} cases[] = {
#define CASE(fn) { #fn, fn }
	CASE(add__more_than_the_device_has__names_its_size),
	CASE(add__to_the_last_block__and_once_more),
	CASE(device__in_use_by_another_pool__is_busy),
	CASE(device__that_is_not_there__is_named),
	CASE(pages__smaller_than_the_device_maps__share_its_pool),
	CASE(commit__device_full_of_rubbish__reads_zeros),
	CASE(memory__given_back__is_there_again),
	CASE(blocks__leave_for_memory_and_back__data_follows),
	CASE(fork__on_a_device__copies),
};

int
main(int argc, char **argv)
{
	unsigned passed = 0;
	case_name = "arguments";
	if (argc < 3)
		return fprintf(stderr, "usage: device_test DEVICE LARGE_DEVICE [CASE]\n"), 2;
	devices[0] = (struct device){ argv[1], PAGE, device_size(argv[1]) };
	devices[1] = (struct device){ argv[2], LARGE_PAGE, device_size(argv[2]) };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		case_name = cases[i].name;
		if (argc > 3 && strcmp(argv[3], case_name) != 0)
			continue;
		for (unsigned d = 0; d < 2; d++, passed++)
			cases[i].fn(&devices[d]);
	}
	printf("%u passed, 0 failed\n", passed);
	return passed == 0;
}
