/* SPDX-License-Identifier: MIT */
/*
 * fork_cow.c - fork is copy-on-write, in both directions, also while blocks leave (R38).
 *
 * One thread writes rounds: it stores the number of the round to every page in order. Whatever the
 * moment of a fork, the child must see a prefix of round r and the rest of round r - 1, must go on
 * seeing just that, and what it stores must not reach the parent. Another thread takes blocks out
 * of use and back all the time. The child has a pool of its own: in it, blocks leave, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <memplug/linux.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../online.h"

#define PAGE 4096UL
#define BLOCK (4UL << 20)
#define NR_BLOCKS 8U
#define NR_PAGES 1024UL

static unsigned char *data;
static struct mhp_pool *pool;
static _Atomic bool stop;
static _Atomic uint64_t offlined, refused, bad_parent;
static _Atomic uint64_t pages_written;

static _Atomic uint64_t *
number(uint64_t page)
{
	return (_Atomic uint64_t *)(void *)(data + page * PAGE);
}

static void *
write_rounds(void *arg)
{
	(void)arg;
	for (uint64_t round = 2; !atomic_load(&stop); round++)
		for (uint64_t page = 0; page < NR_PAGES; page++) {
			if (atomic_load(number(page)) != round - 1)
				atomic_fetch_add(&bad_parent, 1);
			atomic_store(number(page), round);
			atomic_fetch_add_explicit(&pages_written, 1, memory_order_relaxed);
		}
	return NULL;
}

static void *
move_blocks(void *arg)
{
	struct mhp *m = mhp_pool_engine(pool);
	struct mhp_offline_opts bounds = { .deadline_ms = 200 };
	(void)arg;
	for (uint32_t block = 0; !atomic_load(&stop); block = (block + 1) % NR_BLOCKS) {
		struct mhp_blocks set = { block, 1 };
		if (mhp_offline(m, &set, 1, &bounds, NULL) != 0) {
			atomic_fetch_add(&refused, 1);
			continue;
		}
		atomic_fetch_add(&offlined, 1);
		if (test_online(m, set, MHP_ZONE_MOVABLE, NULL) != 0)
			abort();
	}
	return NULL;
}

/* 0 when what we see is one moment of the parent. */
static int
check_snapshot(uint64_t *ret_sum)
{
	uint64_t first = atomic_load(number(0)), drops = 0;
	*ret_sum = first;
	for (uint64_t page = 1; page < NR_PAGES; page++) {
		uint64_t before = atomic_load(number(page - 1)), here = atomic_load(number(page));
		if (here == before)
			;
		else if (here + 1 == before)
			drops++;
		else
			return 1;
		*ret_sum += here;
	}
	return drops > 1 ? 2 : 0;
}

/* 0 when every block of the child's pool leaves and comes back. */
static int
move_own_blocks(void)
{
	struct mhp *m = mhp_pool_engine(pool);
	for (uint32_t block = 0; block < NR_BLOCKS; block++) {
		struct mhp_blocks set = { block, 1 };
		struct mhp_block_info info;
		if (mhp_block_get(m, block, &info) != 0)
			return 5;
		if (info.state == MHP_ONLINE && mhp_offline(m, &set, 1, NULL, NULL) != 0)
			return 6;
		if (test_online(m, set, MHP_ZONE_MOVABLE, NULL) != 0)
			return 7;
	}
	return mhp_check(m, true, NULL, NULL) == 0 ? 0 : 8;
}

static int
be_child(unsigned how)
{
	uint64_t sum, again;
	if (how % 4 == 3)
		execl("/bin/true", "true", (char *)NULL);
	int bad = check_snapshot(&sum);
	for (unsigned i = 0; bad == 0 && i < 20; i++) {
		struct timespec ms = { 0, 1000000 };
		nanosleep(&ms, NULL);
		bad = check_snapshot(&again) != 0 || again != sum ? 3 : 0;
	}
	if (bad == 0)
		bad = move_own_blocks();
	if (bad == 0)
		bad = check_snapshot(&again) != 0 || again != sum ? 9 : 0;
	for (uint64_t page = 0; page < NR_PAGES; page++)
		atomic_store(number(page), UINT64_C(1) << 62);
	if (bad == 0 && how % 4 == 2) { /* a grandchild sees what the child wrote */
		pid_t pid = fork();
		if (pid == 0)
			_exit(atomic_load(number(7)) != UINT64_C(1) << 62);
		int status;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			bad = 4;
	}
	return bad;
}

static int
run_forks(unsigned nr_forks)
{
	for (unsigned i = 0; i < nr_forks; i++) {
		uint64_t before = atomic_load(&pages_written);
		pid_t pid[2] = { 0, 0 };
		int status;
		for (unsigned k = 0; k < 1 + i % 2; k++) {
			pid[k] = fork();
			if (pid[k] == 0)
				_exit(be_child(i));
			if (pid[k] < 0)
				return fprintf(stderr, "fork: errno %d\n", errno), 1;
		}
		for (unsigned k = 0; k < 1 + i % 2; k++)
			if (waitpid(pid[k], &status, 0) != pid[k] || status != 0)
				return fprintf(stderr, "fork %u: child status %#x\n", i, status), 1;
		/* The parent must get on, or nothing was tested. */
		while (atomic_load(&pages_written) < before + 64)
			;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	unsigned nr_forks = argc > 1 ? (unsigned)atoi(argv[1]) : 40;
	const char *words = argc > 2 ? argv[2] : "ram";
	bool loud = argc > 3;
	struct mhp_text text = { "" };
	struct mhp_backing backing;
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	struct mhp_add_opts add = { .flags = MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE };
	struct mhp_region *region;
	struct mhp_pool_stats stats;
	pthread_t writer, mover;

	int err = mhp_backing_parse(words, &backing, &text);
	if (err == 0)
		opts.page_bytes = mhp_backing_page_bytes(&backing);
	if (err == 0)
		err = mhp_pool_create(&opts, &pool, &text);
	if (err == 0 && backing.kind != MHP_BACKING_RAM && !mhp_pool_can_move(pool, &text))
		return fprintf(stderr, "needs userfaultfd: %s\n", text.text), 77;
	if (err != 0 ||
	    mhp_pool_add(pool, &backing, NR_BLOCKS * BLOCK, &add, NULL, &text) != 0 ||
	    mhp_region_create(pool, "cow", NR_PAGES * PAGE, &region, &text) != 0 ||
	    mhp_region_commit(region, mhp_region_base(region), NR_PAGES * PAGE) != 0)
		return fprintf(stderr, "fork_cow: %s\n", text.text), 1;
	data = mhp_region_base(region);
	for (uint64_t page = 0; page < NR_PAGES; page++)
		atomic_store(number(page), 1);
	pthread_create(&writer, NULL, write_rounds, NULL);
	pthread_create(&mover, NULL, move_blocks, NULL);
	int bad = run_forks(nr_forks);
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	pthread_join(mover, NULL);
	bad |= atomic_load(&bad_parent) != 0;
	mhp_pool_get_stats(pool, &stats);
	if (stats.forks < nr_forks)
		bad |= fprintf(stderr, "only %llu forks were seen\n",
			       (unsigned long long)stats.forks) > 0;
	mhp_region_destroy(region);
	struct mhp_blocks all = { 0, NR_BLOCKS };
	err = mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL);
	if (err == 0)
		err = mhp_pool_destroy(pool);
	if (bad || err != 0 || loud)
		fprintf(stderr,
			"fork_cow: %llu forks, %llu pages relabelled, %llu copied, %llu blocks "
			"left, %llu refusals, %llu wrong in the parent, error %d\n",
			(unsigned long long)stats.forks, (unsigned long long)stats.relabelled_pages,
			(unsigned long long)stats.moved_pages, (unsigned long long)offlined,
			(unsigned long long)refused, (unsigned long long)bad_parent, err);
	if (bad || err != 0)
		fprintf(stderr, "replay: %s %u %s loud\n", argv[0], nr_forks, words);
	return bad || err != 0;
}
