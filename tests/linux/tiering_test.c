/* SPDX-License-Identifier: MIT */
/*
 * tiering_test.c - tiering on real memory: `ram` is near, a file stands in for a far device.
 *
 * Four blocks near and four far, of 8 MiB; more windows than fit near are in use, so that the last
 * ones lie far. A thread uses only those. What is near is asked from the kernel: far windows are
 * shared mappings of the file. Nothing here is timed; where something has to happen, it is waited
 * for.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <memplug/companion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../test.h"

#define PAGE UINT64_C(4096)
#define WINDOW (UINT64_C(2) << 20)
#define BLOCK (UINT64_C(8) << 20)
#define BLOCKS 4U                      /* on each node */
#define WINDOWS 20U
#define HOT 4U                         /* the last ones */
#define PATIENCE_MS 30000U

static struct {
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base;
	pthread_t thread;
	atomic_bool stop;
	_Atomic uint64_t rounds;
	_Atomic unsigned events, reasons; /* TIER events; those with a sentence */
	_Atomic unsigned refusals;     /* those of windows that may not move, which say why */
} world;

static void
trace(void *ctx, const struct mhp_event *event)
{
	(void)ctx;
	if (event->kind != MHP_EV_TIER)
		return;
	atomic_fetch_add(&world.events, 1);
	if (event->text != NULL && strstr(event->text, "used") != NULL)
		atomic_fetch_add(&world.reasons, 1);
	if (event->error == MHP_EBUSY && event->text != NULL &&
	    strstr(event->text, "a window stays on node ") != NULL &&
	    strstr(event->text, ": pinned") != NULL)
		atomic_fetch_add(&world.refusals, 1);
}

static void
add_far(void)
{
	struct mhp_backing backing = { .kind = MHP_BACKING_FILE };
	struct mhp_text why = { "" };
	snprintf(backing.path, sizeof(backing.path), "/dev/shm/tiering-test.XXXXXX");
	int fd = mkstemp(backing.path);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)(BLOCKS * BLOCK)) == 0);
	int err = mhp_pool_add(world.pool, &backing, BLOCKS * BLOCK, NULL, NULL, &why);
	unlink(backing.path);
	close(fd);
	test_at("%s", why.text);
	CHECK_OK(err);
}

/* How many of the windows [first, first + nr) are far. */
static unsigned
count_far(unsigned first, unsigned nr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned far = 0;
	for (unsigned i = first; i < first + nr; i++) {
		uint64_t entry = 0;
		const char *at = world.base + i * WINDOW;
		(void)*(const volatile char *)at;
		CHECK_EQ(pread(fd, &entry, sizeof(entry),
			       (off_t)((uintptr_t)at / PAGE * sizeof(entry))), sizeof(entry));
		far += (entry >> 61 & 1) != 0;
	}
	close(fd);
	return far;
}

static void
begin(void)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK,
				      .trace = trace };
	atomic_store(&world.stop, false);
	atomic_store(&world.rounds, 0);
	atomic_store(&world.events, 0);
	atomic_store(&world.reasons, 0);
	atomic_store(&world.refusals, 0);
	CHECK_OK(mhp_pool_create(&opts, &world.pool, NULL));
	if (!mhp_pool_can_move(world.pool, NULL)) {
		CHECK_OK(mhp_pool_destroy(world.pool));
		test_skip("needs userfaultfd");
	}
	CHECK_OK(mhp_pool_add(world.pool, NULL, BLOCKS * BLOCK, NULL, NULL, NULL));
	add_far();
	CHECK_OK(mhp_region_create(world.pool, "test", WINDOWS * WINDOW, &world.region, NULL));
	world.base = mhp_region_base(world.region);
	for (unsigned i = 0; i < WINDOWS; i++)
		CHECK_OK(mhp_region_commit(world.region, world.base + i * WINDOW, WINDOW));
	for (uint64_t at = 0; at < WINDOWS * WINDOW; at += PAGE)
		memcpy(world.base + at, &at, sizeof(at));
	for (unsigned ms = 0; count_far(WINDOWS - HOT, HOT) != HOT && ms < PATIENCE_MS; ms += 10)
		usleep(10000);
	CHECK_EQ(count_far(WINDOWS - HOT, HOT), HOT);
}

/* Use the hot windows: read their pages, write to one word of each. */
static void *
use(void *arg)
{
	(void)arg;
	while (!atomic_load(&world.stop)) {
		for (uint64_t at = (WINDOWS - HOT) * WINDOW; at < WINDOWS * WINDOW; at += PAGE) {
			atomic_fetch_add((_Atomic uint64_t *)(world.base + at + 8), 1);
			if (at / PAGE % 64 == 0)
				usleep(100);
		}
		atomic_fetch_add(&world.rounds, 1);
	}
	return NULL;
}

static void
begin_use(void)
{
	CHECK_EQ(pthread_create(&world.thread, NULL, use, NULL), 0);
}

/* The data is right; nothing is left. Windows may move until tiering is off, and settle until they
 * are gone: only then is nobody else in the engine. */
static void
end(void)
{
	struct mhp_blocks all = { 0, 64 };
	struct mhp_tiering off = { .on = false };
	atomic_store(&world.stop, true);
	pthread_join(world.thread, NULL);
	for (uint64_t at = 0; at < WINDOWS * WINDOW; at += PAGE) {
		uint64_t words[2];
		memcpy(words, world.base + at, sizeof(words));
		CHECK_EQ(words[0], at);
		CHECK_EQ(words[1], at < (WINDOWS - HOT) * WINDOW ? 0 : world.rounds);
	}
	CHECK_OK(mhp_check(mhp_pool_engine(world.pool), false, NULL, NULL));
	CHECK_OK(mhp_pool_set_tiering(world.pool, &off, NULL));
	mhp_region_destroy(world.region);
	CHECK_OK(mhp_check(mhp_pool_engine(world.pool), true, NULL, NULL));
	CHECK_OK(mhp_remove(mhp_pool_engine(world.pool), &all, 1, NULL, NULL));
	CHECK_OK(mhp_pool_destroy(world.pool));
}

static struct mhp_tiering_stats
stats(void)
{
	struct mhp_tiering_stats now;
	mhp_pool_get_tiering_stats(world.pool, &now);
	return now;
}

/* R64: what is used comes near, what is not makes room; with reasons, and the data is right. */
TEST(tiering__far_windows_are_used__come_near_and_idle_ones_go_far)
{
	struct mhp_tiering how = { .on = true, .bytes_per_s = 1 << 30, .look_permille = 500 };
	begin();
	begin_use();
	CHECK_OK(mhp_pool_set_tiering(world.pool, &how, NULL));
	for (unsigned ms = 0; count_far(WINDOWS - HOT, HOT) != 0 && ms < PATIENCE_MS; ms += 10)
		usleep(10000);
	CHECK_EQ(count_far(WINDOWS - HOT, HOT), 0);
	CHECK_CMP(count_far(0, WINDOWS - HOT), >=, HOT - 1);
	CHECK_CMP(stats().moved_pages, >=, HOT * 512);
	while (stats().node[0].hot_bytes < HOT * WINDOW) /* they are looked at again */
		usleep(10000);
	how.on = false;
	CHECK_OK(mhp_pool_set_tiering(world.pool, &how, NULL));
	CHECK_CMP(world.events, >=, 1);
	CHECK_EQ(world.reasons, world.events);
	end();
}

/* R64 */
TEST(tiering__off__nobody_looks_and_nothing_moves)
{
	struct mhp_tiering how;
	begin();
	begin_use();
	mhp_pool_get_tiering(world.pool, &how);
	CHECK(!how.on);
	while (world.rounds < 3)
		usleep(10000);
	CHECK_EQ(count_far(WINDOWS - HOT, HOT), HOT);
	CHECK_EQ(stats().looks, 0);
	CHECK_EQ(stats().moved_pages, 0);
	end();
}

/* R64: a limit below one piece of a window lets nothing move; it can be changed at any time. */
TEST(tiering__limit_is_tiny__looks_and_does_not_move_until_it_is_raised)
{
	struct mhp_tiering how = { .on = true, .bytes_per_s = 1 << 15, .look_permille = 500 };
	begin();
	begin_use();
	CHECK_OK(mhp_pool_set_tiering(world.pool, &how, NULL));
	while (stats().looks < 10 * WINDOWS)
		usleep(10000);
	CHECK_EQ(stats().moved_pages, 0);
	how.bytes_per_s = 1 << 30;
	CHECK_OK(mhp_pool_set_tiering(world.pool, &how, NULL));
	for (unsigned ms = 0; stats().moved_pages == 0 && ms < PATIENCE_MS; ms += 10)
		usleep(10000);
	CHECK_CMP(stats().moved_pages, >, 0);
	end();
}

/* R64: a window that may not move stays, and an event says why. */
TEST(tiering__hot_windows_are_pinned__stay_and_an_event_says_why)
{
	struct mhp_tiering how = { .on = true, .bytes_per_s = 1 << 30, .look_permille = 500 };
	begin();
	for (unsigned i = WINDOWS - HOT; i < WINDOWS; i++)
		CHECK_OK(mhp_region_pin(world.region, world.base + i * WINDOW, PAGE));
	begin_use();
	CHECK_OK(mhp_pool_set_tiering(world.pool, &how, NULL));
	for (unsigned ms = 0; world.refusals == 0 && ms < PATIENCE_MS; ms += 10)
		usleep(10000);
	CHECK_CMP(world.refusals, >=, 1);
	CHECK_CMP(stats().refused, >=, 1);
	CHECK_EQ(count_far(WINDOWS - HOT, HOT), HOT);
	for (unsigned i = WINDOWS - HOT; i < WINDOWS; i++)
		CHECK_OK(mhp_region_unpin(world.region, world.base + i * WINDOW, PAGE));
	end();
}

/* R64: where a policy says which node pages belong to, they stay there. */
TEST(tiering__policy_binds__windows_stay)
{
	struct mhp_tiering how = { .on = true, .bytes_per_s = 1 << 30, .look_permille = 500 };
	struct mhp_spread bind = { .mode = MHP_SPREAD_BIND, .weight = { 1, 1 } };
	begin();
	begin_use();
	CHECK_OK(mhp_region_set_spread(world.region, &bind, NULL));
	CHECK_OK(mhp_pool_set_tiering(world.pool, &how, NULL));
	while (world.rounds < 3)
		usleep(10000);
	CHECK_EQ(stats().moved_pages, 0);
	CHECK_EQ(count_far(WINDOWS - HOT, HOT), HOT);
	end();
}

/* R64: whoever kills the companion ends the task; it can be ended and begun all the same. */
TEST(tiering__companion_is_killed__begins_anew_when_it_is_asked_for)
{
	if (TEST_TSAN)
		test_skip("needs plain-build");
	struct mhp_tiering how = { .on = true };
	struct mhp_pool *pool;
	CHECK_OK(mhp_pool_create(&(struct mhp_pool_opts){ .block_bytes = BLOCK }, &pool, NULL));
	CHECK_OK(mhp_pool_set_tiering(pool, &how, NULL));
	int companion = mhp_companion_pid();
	CHECK_OK(kill(companion, SIGKILL));
	while (mhp_companion_pid() == companion)
		usleep(1000);
	how.on = false;
	CHECK_OK(mhp_pool_set_tiering(pool, &how, NULL));
	how.on = true;
	CHECK_OK(mhp_pool_set_tiering(pool, &how, NULL));
	CHECK_NE(mhp_companion_pid(), 0);
	CHECK_OK(mhp_pool_destroy(pool));
}

/* R64: a forked child has its memory and no task; the parent's goes on. */
TEST(tiering__program_forks__child_is_off_and_has_its_data)
{
	struct mhp_tiering how = { .on = true, .bytes_per_s = 1 << 30, .look_permille = 500 };
	begin();
	begin_use();
	CHECK_OK(mhp_pool_set_tiering(world.pool, &how, NULL));
	for (unsigned i = 0; i < 10; i++) {
		int status;
		pid_t child = fork();
		if (child == 0) {
			uint64_t wrong = 0;
			mhp_pool_get_tiering(world.pool, &how);
			for (uint64_t at = 0; at < WINDOWS * WINDOW; at += PAGE)
				wrong += memcmp(world.base + at, &at, sizeof(at)) != 0;
			_exit(how.on || wrong != 0);
		}
		CHECK_CMP(child, >, 0);
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK_EQ(status, 0);
		usleep(100000);
	}
	mhp_pool_get_tiering(world.pool, &how);
	CHECK(how.on);
	end();
}
