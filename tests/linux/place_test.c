/* SPDX-License-Identifier: MIT */
/*
 * place_test.c - pools of several nodes: what is where, where fresh pages come from, what moves.
 *
 * Files stand in for devices: both are memory that pages are copied to and from. Huge pages stand
 * in for a device of 2 MiB pages; they are reserved for the case and given back after it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <memplug/linux.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fixture.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define BLOCK (8UL << 20)

static char folder[] = "./place-test.XXXXXX";
static bool made_folder;

static void
forget_folder(void)
{
	char name[96];
	for (char letter = 'a'; letter < 'd'; letter++) {
		snprintf(name, sizeof(name), "%s/%c", folder, letter);
		unlink(name);
	}
	rmdir(folder);
}

/* Words for a file of some blocks; more is what follows the path. */
static struct mhp_backing
file_backing(char letter, unsigned blocks, const char *more)
{
	char name[96], words[160];
	struct mhp_backing backing;
	if (!made_folder) {
		CHECK(mkdtemp(folder) != NULL);
		made_folder = true;
		atexit(forget_folder);
	}
	snprintf(name, sizeof(name), "%s/%c", folder, letter);
	int fd = open(name, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)(blocks * BLOCK)) == 0);
	close(fd);
	snprintf(words, sizeof(words), "file:%s%s", name, more);
	CHECK(mhp_backing_parse(words, &backing, NULL) == 0);
	return backing;
}

static void
add(struct mhp_pool *pool, const struct mhp_backing *backing, unsigned blocks)
{
	struct mhp_text why = { "" };
	int err = mhp_pool_add(pool, backing, blocks * BLOCK, NULL, NULL, &why);
	if (err != 0)
		fprintf(stderr, "%s\n", why.text);
	CHECK(err == 0);
}

static struct mhp_pool *
make_pool(unsigned ram_blocks)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	struct mhp_pool *pool = fixture_pool(&opts);
	fixture_add(pool, NULL, ram_blocks * BLOCK, NULL);
	return pool;
}

static void
end_pool(struct mhp_pool *pool, struct mhp_region *region)
{
	fixture_end(pool, region);
}

static uint64_t
used_on(struct mhp_pool *pool, unsigned node)
{
	struct mhp_node_info info;
	mhp_drain_caches(mhp_pool_engine(pool));
	CHECK(mhp_pool_node_get(pool, node, &info) == 0);
	return info.used_bytes;
}

static uint64_t
settled(struct mhp_pool *pool)
{
	struct mhp_pool_stats stats;
	mhp_pool_get_stats(pool, &stats);
	return stats.settled_bytes;
}

static void
set(struct mhp_pool *pool, const char *words)
{
	struct mhp_spread spread;
	struct mhp_text why = { "" };
	CHECK(mhp_spread_parse(words, &spread, &why) == 0);
	CHECK(mhp_pool_set_spread(pool, &spread, &why) == 0);
}

/* ---- what is where ---- */

/* R60: a file gets a node of its own, behind RAM; what is told counts. */
TEST(node__of_files__their_own_or_told)
{
	struct mhp_pool *pool = make_pool(1);
	struct mhp_backing own = file_backing('a', 1, ""), told = file_backing('b', 2,
									       ",node=7,rank=9");
	struct mhp_node_info info;
	struct mhp_block_info block;
	add(pool, &own, 1);
	add(pool, &told, 1);
	CHECK(mhp_pool_node_get(pool, 0, &info) == 0 && !info.device && info.rank == 0);
	CHECK(strcmp(info.place, "ram") == 0 && info.size_bytes == BLOCK);
	CHECK(mhp_pool_node_get(pool, 7, &info) == 0 && info.device && info.rank == 9);
	CHECK(strncmp(info.place, "file:", 5) == 0 && info.nr_blocks == 1);
	CHECK(mhp_block_get(mhp_pool_engine(pool), 1, &block) == 0 && block.node != 0);
	CHECK(mhp_pool_node_get(pool, block.node, &info) == 0 && info.device && info.rank > 0);
	/* R3: its descriptors are at home. */
	CHECK(block.placement == MHP_PLACE_SELF && block.metadata_node == block.node);
	CHECK(mhp_pool_node_get(pool, 15, &info) == MHP_ENODEV);
	CHECK(mhp_pool_node_get(pool, 16, &info) == MHP_ENODEV);
	end_pool(pool, NULL);
}

/* R36: what a file of memory had in it, a pool that was killed for instance, is no metadata. */
TEST(node__file_that_was_in_use__is_empty)
{
	struct mhp_pool *pool = make_pool(1);
	char name[] = "/dev/shm/place-test.XXXXXX", words[64];
	int fd = mkstemp(name);
	CHECK(fd >= 0 && ftruncate(fd, BLOCK) == 0);
	void *before = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(before != MAP_FAILED);
	memset(before, 0xa5, BLOCK);
	munmap(before, BLOCK);
	close(fd);
	snprintf(words, sizeof(words), "file:%s,node=1", name);
	fixture_add(pool, words, BLOCK, NULL);
	unlink(name);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	set(pool, "prefer 1");
	CHECK_OK(mhp_region_commit(region, mhp_region_base(region), 3 * PAGE));
	CHECK_OK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL));
	end_pool(pool, region);
}

/* R60: RAM and devices share no node, a file stays on its own; each refusal is a sentence. */
TEST(node__that_does_not_fit__refused)
{
	struct mhp_pool *pool = make_pool(1);
	struct mhp_backing on_ram = file_backing('a', 2, ",node=0");
	struct mhp_backing told = file_backing('a', 2, "");
	struct mhp_text why;
	CHECK(mhp_pool_add(pool, &on_ram, BLOCK, NULL, NULL, &why) == MHP_EINVAL);
	CHECK(strstr(why.text, "node 0 is no node for") != NULL);
	add(pool, &told, 1);
	on_ram.node = 9;
	CHECK(mhp_pool_add(pool, &on_ram, BLOCK, NULL, NULL, &why) == MHP_EBUSY);
	CHECK(strstr(why.text, "already") != NULL);
	CHECK(mhp_backing_parse("ram,rank=201", &told, &why) == MHP_EINVAL);
	/* Numbers are those of words.h: 015 is 15 to some and 13 to others. */
	CHECK(mhp_backing_parse("ram,node=-1", &told, &why) == MHP_EINVAL);
	CHECK(mhp_backing_parse("ram,node=+1", &told, &why) == MHP_EINVAL);
	CHECK(mhp_backing_parse("ram,node= 1", &told, &why) == MHP_EINVAL);
	CHECK(mhp_backing_parse("ram,node=01", &told, &why) == MHP_EINVAL);
	CHECK(mhp_backing_parse("ram,node=", &told, &why) == MHP_EINVAL);
	CHECK(mhp_backing_parse("ram,rank=3,node=2", &told, &why) == 0);
	CHECK(told.bind && told.node == 2 && told.ranked && told.rank == 3);
	end_pool(pool, NULL);
}

/* ---- where fresh pages come from ---- */

/* R62: each policy takes pages from where it says, and changes while the pool runs. */
TEST(placement__each_policy__decides_for_fresh_pages)
{
	struct mhp_pool *pool = make_pool(2);
	struct mhp_backing file = file_backing('a', 2, ",node=3");
	add(pool, &file, 2);
	struct mhp_region *region = fixture_region(pool, 16 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, 2 * HUGE) == 0);
	CHECK(used_on(pool, 0) == 2 * HUGE && used_on(pool, 3) == 0);
	set(pool, "prefer 3");
	CHECK(mhp_region_commit(region, base + 2 * HUGE, HUGE) == 0);
	CHECK(used_on(pool, 0) == 2 * HUGE && used_on(pool, 3) == HUGE);
	set(pool, "interleave:0=1,3=2");
	CHECK(mhp_region_decommit(region, base, 3 * HUGE) == 0);
	CHECK(mhp_region_commit(region, base, 3 * HUGE) == 0);
	CHECK(used_on(pool, 0) == HUGE && used_on(pool, 3) == 2 * HUGE);
	struct mhp_spread near = { .mode = MHP_SPREAD_LOCAL };
	CHECK(mhp_region_set_spread(region, &near, NULL) == 0);
	CHECK(mhp_region_commit(region, base + 3 * HUGE, HUGE) == 0);
	CHECK(used_on(pool, 0) == 2 * HUGE);
	end_pool(pool, region);
}

/* R62: a full node refuses what is bound to it and passes on what only prefers it. */
TEST(placement__node_full__bind_refuses_prefer_goes_on)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_backing file = file_backing('a', 1, ",node=3"), wanted;
	add(pool, &file, 1);
	struct mhp_region *region = fixture_region(pool, 16 * BLOCK);
	char *base = mhp_region_base(region);
	set(pool, "bind 3");
	CHECK(mhp_region_commit(region, base, BLOCK) == MHP_ENOMEM);
	CHECK(used_on(pool, 0) == 0 && used_on(pool, 3) == 0);
	CHECK(mhp_region_wants(region, 0, &wanted) && wanted.kind == MHP_BACKING_FILE);
	CHECK(!mhp_region_wants(region, 1, &wanted));
	set(pool, "bind 0,3");
	CHECK(mhp_region_wants(region, 0, &wanted) && wanted.kind == MHP_BACKING_RAM);
	CHECK(mhp_region_wants(region, 1, &wanted) && wanted.kind == MHP_BACKING_FILE);
	CHECK(!mhp_region_wants(region, 2, &wanted));
	set(pool, "prefer 3");
	CHECK(mhp_region_commit(region, base, BLOCK) == 0);
	CHECK(used_on(pool, 3) > 0 && used_on(pool, 0) > 0);
	CHECK(!mhp_region_wants(region, 0, &wanted));
	end_pool(pool, region);
}

/* R62: words that are read are written the same; others are refused. */
TEST(placement__words__read_and_written)
{
	static const char *const good[] = { "local", "prefer 1", "interleave 0=3,1", "bind 1,2" };
	static const char *const bad[] = { "", "near", "prefer", "prefer 16", "prefer 1=2",
					   "bind ,", "interleave 0=0", "interleave 0=256",
					   "local 1", "bind 1,-1", "bind", "prefer x", "local:",
					   "interleave 0=", "interleave 0=x", "interleave 1;2",
					   "bind 1 2", "prefer 01", "interleave 0=+3",
					   "interleave 0= 3" };
	struct mhp_spread spread;
	char text[MHP_SPREAD_TEXT];
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK(mhp_spread_parse(good[i], &spread, NULL) == 0);
		mhp_spread_text(&spread, text);
		CHECK(strcmp(text, good[i]) == 0);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(mhp_spread_parse(bad[i], &spread, NULL) == MHP_EINVAL);
	CHECK(mhp_spread_parse("local\n", &spread, NULL) == 0);
	CHECK(mhp_spread_parse("prefer 1\n", &spread, NULL) == 0 && spread.weight[1] != 0);
	struct mhp_pool *pool = make_pool(1);
	struct mhp_text why;
	CHECK(mhp_spread_parse("bind 5", &spread, NULL) == 0);
	CHECK(mhp_pool_set_spread(pool, &spread, &why) == MHP_ENODEV);
	CHECK(strstr(why.text, "node 5") != NULL);
	end_pool(pool, NULL);
}

/* ---- windows move ---- */

struct writer {
	_Atomic uint64_t *counter;     /* one in each page */
	uint64_t nr, rounds;
	atomic_bool stop;
};

static void *
write_on(void *arg)
{
	struct writer *writer = arg;
	while (!atomic_load(&writer->stop)) {
		for (uint64_t i = 0; i < writer->nr; i++)
			atomic_fetch_add(&writer->counter[i * (PAGE / 8) + 1], 1);
		writer->rounds++;
	}
	return NULL;
}

/* R61 R63: windows go to a device and back under a writer; nothing is lost, all of it is there. */
TEST(move__window_under_writer__goes_and_comes_back)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_backing file = file_backing('a', 3, "");
	struct mhp_block_info block;
	fixture_needs_moves(pool);
	add(pool, &file, 3);
	CHECK(mhp_block_get(mhp_pool_engine(pool), 3, &block) == 0);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, 2 * HUGE) == 0);
	fixture_write(base, 2 * HUGE);
	struct writer writer = { .counter = (void *)base, .nr = 2 * HUGE / PAGE };
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, write_on, &writer) == 0);
	for (unsigned turn = 0; turn < 5; turn++) {
		uint64_t moved;
		struct mhp_text why = { "" };
		int err = mhp_region_move(region, base, 2 * HUGE, block.node, &moved, &why);
		if (err != 0)
			fprintf(stderr, "%s\n", why.text);
		CHECK(err == 0 && moved == 2 * HUGE / PAGE);
		CHECK(settled(pool) == 2 * HUGE);
		CHECK(used_on(pool, 0) == 0 && used_on(pool, block.node) == 2 * HUGE);
		CHECK(mhp_region_move(region, base, 2 * HUGE, block.node, &moved, NULL) == 0 &&
		      moved == 0);
		CHECK(mhp_region_move(region, base, 2 * HUGE, 0, &moved, NULL) == 0);
		CHECK(settled(pool) == 0 && used_on(pool, 0) == 2 * HUGE);
	}
	atomic_store(&writer.stop, true);
	CHECK(pthread_join(thread, NULL) == 0);
	fixture_check(base, 2 * HUGE);
	for (uint64_t i = 0; i < writer.nr; i++)
		CHECK(writer.counter[i * (PAGE / 8) + 1] == writer.rounds);
	end_pool(pool, region);
}

/* R63: whatever the program did to a part of a window keeps it where it is, and is named. */
TEST(move__what_the_program_did_to_it__named)
{
	static const struct {
		int protection, advice, undo;
		const char *word;
	} done[] = {
		{ PROT_READ, 0, 0, "made read-only by mprotect" },
		{ PROT_NONE, 0, 0, "made inaccessible by mprotect" },
		{ -1, MADV_DONTFORK, MADV_DOFORK, "marked MADV_DONTFORK" },
		{ -1, MADV_WIPEONFORK, MADV_KEEPONFORK, "marked MADV_WIPEONFORK" },
		{ -1, MADV_DONTDUMP, MADV_DODUMP, "marked MADV_DONTDUMP" },
		{ -1, MADV_MERGEABLE, MADV_UNMERGEABLE, "marked MADV_MERGEABLE" },
	};
	struct mhp_pool *pool = make_pool(3);
	struct mhp_backing file = file_backing('a', 1, ",node=4");
	fixture_needs_moves(pool);
	add(pool, &file, 1);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, BLOCK) == 0);
	fixture_write(base, BLOCK);
	for (unsigned i = 0; i < sizeof(done) / sizeof(done[0]); i++) {
		struct mhp_text why = { "" };
		char *part = base + (i + 1) * PAGE;
		if (done[i].protection >= 0)
			CHECK(mprotect(part, PAGE, done[i].protection) == 0);
		else if (madvise(part, PAGE, done[i].advice) != 0)
			continue; /* a kernel without that */
		CHECK(mhp_region_move(region, base, HUGE, 4, NULL, &why) == MHP_EBUSY);
		CHECK(strcmp(why.text, done[i].word) == 0);
		CHECK(settled(pool) == 0 && used_on(pool, 4) == 0);
		CHECK(done[i].protection >= 0 ? mprotect(part, PAGE, PROT_READ | PROT_WRITE) == 0
					      : madvise(part, PAGE, done[i].undo) == 0);
	}
	CHECK(mhp_region_move(region, base, HUGE, 4, NULL, NULL) == 0);
	fixture_check(base, BLOCK);
	end_pool(pool, region);
}

/* R54 */
TEST(move__registered_with_io_uring__stays_until_it_is_closed)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_backing file = file_backing('a', 1, ",node=4");
	struct mhp_text why = { "" };
	fixture_needs_moves(pool);
	add(pool, &file, 1);
	struct mhp_region *region = fixture_region(pool, BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, BLOCK) == 0);
	fixture_write(base, BLOCK);
	int ring = fixture_ring(base + 3 * PAGE, 2 * PAGE);
	CHECK(mhp_region_move(region, base, HUGE, 4, NULL, &why) == MHP_EBUSY);
	CHECK(strcmp(why.text, "registered with an io_uring") == 0);
	CHECK(settled(pool) == 0 && used_on(pool, 4) == 0);
	CHECK(mhp_region_move(region, base + HUGE, HUGE, 4, NULL, NULL) == 0);
	close(ring);
	CHECK(mhp_region_move(region, base, HUGE, 4, NULL, NULL) == 0);
	fixture_check(base, BLOCK);
	end_pool(pool, region);
}

/* R63: a node without room takes nothing. */
TEST(move__no_room__refused_with_a_sentence)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_backing file = file_backing('a', 1, ",node=4");
	struct mhp_text why = { "" };
	uint64_t moved;
	fixture_needs_moves(pool);
	add(pool, &file, 1);
	struct mhp_region *region = fixture_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, BLOCK + 2 * HUGE) == 0);
	CHECK(mhp_region_move(region, base, BLOCK + 2 * HUGE, 4, &moved, &why) == MHP_ENOMEM);
	CHECK(strcmp(why.text, "node 4 has no room for it") == 0);
	CHECK(moved == used_on(pool, 4) / PAGE && moved < BLOCK / PAGE);
	CHECK(mhp_region_move(region, base, BLOCK, 0, NULL, NULL) == 0);
	end_pool(pool, region);
}

/* R63: what cannot go says why, and is as it was. */
TEST(move__that_cannot_be__refused_with_a_sentence)
{
	struct mhp_pool *pool = make_pool(3);
	struct mhp_backing file = file_backing('a', 1, ",node=4");
	struct mhp_text why;
	fixture_needs_moves(pool);
	add(pool, &file, 1);
	struct mhp_region *region = fixture_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK(mhp_region_commit(region, base, 2 * BLOCK) == 0);
	fixture_write(base, 2 * BLOCK);
	CHECK(mhp_region_move(region, base, HUGE, 9, NULL, &why) == MHP_ENODEV);
	CHECK(strstr(why.text, "node 9") != NULL);
	CHECK(mhp_region_move(region, base, 3 * BLOCK, 4, NULL, &why) == MHP_EINVAL);
	CHECK(mhp_region_pin(region, base + PAGE, PAGE) == 0);
	CHECK(mhp_region_move(region, base, HUGE, 4, NULL, &why) == MHP_EBUSY);
	CHECK(strstr(why.text, "pinned") != NULL);
	CHECK(mhp_region_unpin(region, base + PAGE, PAGE) == 0);
	CHECK(mlock(base, PAGE) == 0);
	CHECK(mhp_region_move(region, base, HUGE, 4, NULL, &why) == MHP_EBUSY);
	CHECK(strstr(why.text, "locked") != NULL);
	CHECK(munlock(base, PAGE) == 0);
	CHECK(mprotect(base, PAGE, PROT_READ) == 0);
	CHECK(mhp_region_move(region, base, HUGE, 4, NULL, &why) == MHP_EBUSY && why.text[0] != 0);
	CHECK(mprotect(base, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(settled(pool) == 0 && used_on(pool, 4) == 0);
	uint64_t moved;
	CHECK(mhp_region_move(region, base, 2 * BLOCK, 4, &moved, &why) == MHP_ENOMEM);
	CHECK(strstr(why.text, "no room") != NULL && moved == 3 * HUGE / PAGE);
	fixture_check(base, 2 * BLOCK);
	end_pool(pool, region);
}

/* Data leaves two blocks of RAM for node 4, so many blocks of a file; returns where it is. */
static char *
leave_ram(struct mhp_pool **ret_pool, struct mhp_region **ret_region, unsigned blocks,
	  uint64_t size)
{
	struct mhp_pool *pool = *ret_pool = make_pool(2);
	struct mhp_backing file = file_backing('a', blocks, ",node=4");
	struct mhp_offline_opts to = { .to_nodes = UINT64_C(1) << 4 };
	struct mhp_blocks ram = { 0, 2 };
	fixture_needs_moves(pool);
	add(pool, &file, blocks);
	struct mhp_region *region = *ret_region = fixture_region(pool, 2 * BLOCK);
	char *base = mhp_region_base(region);
	CHECK_OK(mhp_region_commit(region, base, size));
	fixture_write(base, size);
	CHECK_OK(mhp_empty(mhp_pool_engine(pool), &ram, 1, &to, NULL));
	CHECK_EQ(settled(pool), size);
	return base;
}

/* R63: the engine's way, by blocks: pages leave for the node that is named, the block stays. */
TEST(empty__ram_block_to_device__and_back)
{
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_offline_opts to = { .to_nodes = 1 };
	struct mhp_blocks device = { 2, 2 };
	char *base = leave_ram(&pool, &region, 2, 2 * HUGE);
	CHECK(used_on(pool, 0) == 0 && used_on(pool, 4) == 2 * HUGE);
	CHECK(mhp_empty(mhp_pool_engine(pool), &device, 1, &to, NULL) == 0);
	CHECK(used_on(pool, 0) == 2 * HUGE && used_on(pool, 4) == 0 && settled(pool) == 0);
	fixture_check(base, 2 * HUGE);
	end_pool(pool, region);
}

/* Bytes that the process may map for itself: what it has, and some more. */
static void
limit_data(struct rlimit limit, uint64_t more)
{
	limit.rlim_cur = fixture_status_kib("VmData") * 1024 + more;
	CHECK(limit.rlim_cur != more && setrlimit(RLIMIT_DATA, &limit) == 0);
}

/* R37: of three windows that leave one block, one has come back when the next is refused. */
TEST(empty__room_for_a_part__each_page_is_where_it_is_said_to_be)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	struct mhp_pool *pool;
	struct mhp_region *region;
	struct mhp_offline_opts to = { .to_nodes = 1 };
	struct mhp_blocks device = { 2, 1 };
	struct rlimit before;
	char *base = leave_ram(&pool, &region, 1, 3 * HUGE);
	CHECK(getrlimit(RLIMIT_DATA, &before) == 0);
	limit_data(before, HUGE * 3 / 2);
	CHECK(mhp_empty(mhp_pool_engine(pool), &device, 1, &to, NULL) == MHP_ENOMEM);
	CHECK(setrlimit(RLIMIT_DATA, &before) == 0);
	CHECK(settled(pool) == used_on(pool, 4));
	fixture_check(base, 3 * HUGE);
	CHECK(mhp_empty(mhp_pool_engine(pool), &device, 1, &to, NULL) == 0);
	CHECK(settled(pool) == 0 && used_on(pool, 4) == 0);
	fixture_check(base, 3 * HUGE);
	end_pool(pool, region);
}

/* ---- two sizes of pages ---- */

#define RESERVED "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static long taken;

/* Others change that number, too: the lock is on its file, as in scripts/machine.py, and what is
 * given back is what was taken. False: not that many. */
static bool
reserve(long pages)
{
	char text[24] = "";
	int fd = open(RESERVED, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	CHECK_OK(flock(fd, LOCK_EX));
	CHECK_CMP(pread(fd, text, sizeof(text) - 1, 0), >, 0);
	long before = strtol(text, NULL, 10), after = before + pages > 0 ? before + pages : 0;
	CHECK_CMP(dprintf(fd, "%ld\n", after), >, 0);
	CHECK_CMP(pread(fd, text, sizeof(text) - 1, 0), >, 0);
	long now = strtol(text, NULL, 10);
	close(fd);
	taken += now - before;
	return now >= before + pages;
}

static void
give_back(void)
{
	if (taken != 0)
		(void)reserve(-taken);
}

static void
needs_huge_pages(void)
{
	atexit(give_back);
	if (!reserve(BLOCK / HUGE))
		test_skip("needs huge-pages 4");
}

struct mixed {
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base;
	unsigned huge;                 /* the node of its huge pages */
};

/* A pool of RAM and a block of huge pages; a region of three windows, all of them used. */
static struct mixed
make_mixed(void)
{
	struct mixed mixed = { .pool = make_pool(2) };
	struct mhp_backing huge;
	struct mhp_block_info block;
	struct mhp_node_info info;
	fixture_needs_moves(mixed.pool);
	needs_huge_pages();
	CHECK(mhp_backing_parse("hugetlb:2M", &huge, NULL) == 0);
	add(mixed.pool, &huge, 1);
	CHECK(mhp_block_get(mhp_pool_engine(mixed.pool), 2, &block) == 0);
	mixed.huge = block.node;
	CHECK(mhp_pool_node_get(mixed.pool, mixed.huge, &info) == 0);
	CHECK(info.granule_bytes == HUGE && info.device);
	mixed.region = fixture_region(mixed.pool, BLOCK);
	mixed.base = mhp_region_base(mixed.region);
	CHECK(mhp_region_granule(mixed.region) == PAGE);
	CHECK(mhp_region_commit(mixed.region, mixed.base, 3 * HUGE) == 0);
	fixture_write(mixed.base, 3 * HUGE);
	return mixed;
}

/* Move the windows to the huge pages, or to RAM. */
static void
move(const struct mixed *mixed, uint64_t size, unsigned node)
{
	struct mhp_text why = { "" };
	int err = mhp_region_move(mixed->region, mixed->base, size, node, NULL, &why);
	if (err != 0)
		fprintf(stderr, "%s\n", why.text);
	CHECK(err == 0);
}

/* R61: a pool of 4 KiB pages that has huge ones, too: windows go there as a whole and come back,
 * also those made of single pages. */
TEST(granule__two_in_a_pool__windows_move_as_a_whole)
{
	struct mixed mixed = make_mixed();
	for (unsigned turn = 0; turn < 3; turn++) {
		move(&mixed, 3 * HUGE, mixed.huge);
		CHECK(settled(mixed.pool) == 3 * HUGE && used_on(mixed.pool, 0) == 0);
		fixture_check(mixed.base, 3 * HUGE);
		move(&mixed, 3 * HUGE, 0);
		CHECK(settled(mixed.pool) == 0 && used_on(mixed.pool, 0) == 3 * HUGE);
		fixture_check(mixed.base, 3 * HUGE);
		/* From now on the first window has labels of single pages. */
		for (uint64_t at = 0; at < HUGE; at += 2 * PAGE) {
			CHECK(mhp_region_decommit(mixed.region, mixed.base + at, PAGE) == 0);
			CHECK(mhp_region_commit(mixed.region, mixed.base + at, PAGE) == 0);
			memcpy(mixed.base + at, &at, sizeof(at));
		}
	}
	end_pool(mixed.pool, mixed.region);
}

/* R61: part of a window that lies on one huge page is not given back, at once and with nothing
 * changed; it can be zeroed. A whole window can go. */
TEST(granule__purge_inside_a_large_frame__zeros_and_the_rest_stays)
{
	struct mixed mixed = make_mixed();
	char *base = mixed.base;
	move(&mixed, 3 * HUGE, mixed.huge);
	CHECK(mhp_region_pin(mixed.region, base + HUGE, PAGE) == 0);
	CHECK(mhp_region_decommit(mixed.region, base + HUGE, HUGE) == MHP_EBUSY);
	CHECK(mhp_region_unpin(mixed.region, base + HUGE, PAGE) == 0);
	char *part = base + HUGE + 8 * PAGE;
	CHECK(mhp_region_decommit(mixed.region, part, 4 * PAGE) == MHP_EBUSY);
	CHECK(mhp_region_purge(mixed.region, part, 4 * PAGE) == 0);
	for (uint64_t at = 0; at < 3 * HUGE; at += PAGE) {
		bool fresh = at >= HUGE + 8 * PAGE && at < HUGE + 12 * PAGE;
		uint64_t want = fresh ? 0 : at;
		CHECK(memcmp(base + at, &want, sizeof(want)) == 0);
	}
	fixture_write(base, 3 * HUGE);
	CHECK(mhp_region_decommit(mixed.region, base + 2 * HUGE, HUGE) == 0);
	CHECK(settled(mixed.pool) == 2 * HUGE && used_on(mixed.pool, mixed.huge) == 2 * HUGE);
	move(&mixed, 3 * HUGE, 0);
	CHECK(settled(mixed.pool) == 0);
	fixture_check(base, 2 * HUGE);
	end_pool(mixed.pool, mixed.region);
}

/* Mappings that the kernel has of a region. */
static uint64_t
count_mappings(const struct mhp_region *region)
{
	uintptr_t base = (uintptr_t)mhp_region_base(region), start;
	FILE *maps = fopen("/proc/self/maps", "r");
	uint64_t nr = 0;
	char line[512];
	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL)
		nr += sscanf(line, "%lx", &start) == 1 && start >= base &&
		      start < base + mhp_region_size(region);
	fclose(maps);
	return nr;
}

/* R39: of huge pages, the kernel keeps a mapping for each window, wherever it lies. */
TEST(granule__windows_on_huge_pages__count_as_the_kernel_has_them)
{
	struct mixed mixed = make_mixed();
	struct mhp_pool_stats stats;
	move(&mixed, 3 * HUGE, mixed.huge);
	CHECK(settled(mixed.pool) == 3 * HUGE);
	mhp_pool_get_stats(mixed.pool, &stats);
	CHECK_EQ(stats.mappings, count_mappings(mixed.region));
	end_pool(mixed.pool, mixed.region);
}

/* R61: half a window stays away from huge pages, and says so. */
TEST(granule__half_a_window__refused_with_a_sentence)
{
	struct mixed mixed = make_mixed();
	struct mhp_text why = { "" };
	CHECK(mhp_region_decommit(mixed.region, mixed.base + PAGE, PAGE) == 0);
	CHECK(mhp_region_move(mixed.region, mixed.base, HUGE, mixed.huge, NULL, &why) == MHP_EBUSY);
	CHECK(strstr(why.text, "whole windows") != NULL);
	CHECK(settled(mixed.pool) == 0 && used_on(mixed.pool, mixed.huge) == 0);
	end_pool(mixed.pool, mixed.region);
}

/* R66: so does what somebody else maps; a part that is not wanted any more takes the rest along. */
TEST(granule__others_map_it__goes_by_whole_windows)
{
	struct mixed mixed = make_mixed();
	struct mhp_region *over;
	char *mapped = mmap(NULL, 3 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	CHECK(mapped != MAP_FAILED);
	char *base = mapped + (HUGE - (uintptr_t)mapped % HUGE) % HUGE, *half = base + HUGE / 2;
	CHECK_OK(mhp_region_create_over(mixed.pool, "over", &over, NULL));
	CHECK_OK(mhp_region_commit(over, base, 2 * HUGE));
	fixture_write(base, 2 * HUGE);
	CHECK_AGAIN(mhp_region_move(over, base, 2 * HUGE, mixed.huge, NULL, NULL));
	fixture_await_settled(mixed.pool, 2 * HUGE);
	CHECK_OK(mhp_region_hold(over, half, HUGE / 4, false, NULL));
	CHECK_EQ(settled(mixed.pool), HUGE);
	fixture_check(base, 2 * HUGE); /* what the holder does not want is as it was, too */
	CHECK(munmap(half, HUGE / 4) == 0 && mhp_region_decommit(over, half, HUGE / 4) == 0);
	mhp_region_release(over);
	CHECK_AGAIN(mhp_region_move(over, base, 2 * HUGE, 0, NULL, NULL));
	fixture_check(base, HUGE / 2);
	CHECK_EQ(settled(mixed.pool), 0);
	CHECK_OK(mhp_region_decommit(over, base, 2 * HUGE));
	CHECK(munmap(mapped, 3 * HUGE) == 0);
	mhp_region_destroy(over);
	end_pool(mixed.pool, mixed.region);
}
