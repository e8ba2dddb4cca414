/* SPDX-License-Identifier: MIT */
/*
 * cut_test.c - windows whose move fails or is cut, step by step (R37, R55).
 *
 * Some functions are wrapped: a mover stops in front of one of them or behind it, and there its
 * companion is killed, or the standby with it, or the kernel has no memory. A writer adds to every
 * page all the time; nothing that it wrote may be lost, no frame either, and the window moves
 * again afterwards. A change of blocks is cut as well. The device is a file in memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <memplug/companion.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../core/state/hotplug.h"
#include "../../ports/linux/leader.h"
#include "../../ports/linux/pool.h"
#include "../../ports/linux/settle.h"
#include "../../ports/linux/stage.h"
#include "../../ports/linux/table.h"
#include "../online.h"
#include "../test.h"

#define PAGE UINT64_C(4096)
#define WINDOW (UINT64_C(2) << 20)
#define BLOCK (UINT64_C(8) << 20)
#define PIECE (WINDOW / 8)
#define NR (WINDOW / PAGE)
#define PATIENCE_S 60U
#define OUT_OF_RAM UINT32_MAX          /* no node: wherever there is room */

enum step { NOWHERE, PROTECT, MAP, MAPPED, HOLE, HOLED, FILL, FILLED_HALF, MOVE, MOVED,
	    MARKED_HALF, MARKED, GIVE, GIVEN, TAKE, TAKEN, TOLD, ASKED, WAITS };

static _Atomic int cut_at;
static _Atomic bool there, no_memory;
static _Atomic bool moves;             /* the kernel may move pages into holes */
static _Atomic unsigned nr_moved;
static _Atomic bool halves;            /* it moves half a window, and nothing more after that */
static _Atomic unsigned nr_refused;    /* fills, since there is no memory */
static _Atomic bool forbid;            /* a page is made unreadable as soon as writers are held */
static _Atomic bool no_thread, no_descriptor; /* of those that recovery asks for, the first */
static _Atomic bool slow_register;     /* recovery takes its time; */
static _Atomic bool slow_now;          /* it does */
static _Atomic bool *for_recovery;     /* one of these, to be set before the kill */

/* ---- what a mover meets ---- */

/* The first who comes here in the companion stays until it is killed. */
static void
pass(enum step step)
{
	int wanted = (int)step;
	if (!mhp_companion_here() ||
	    !atomic_compare_exchange_strong(&cut_at, &wanted, NOWHERE))
		return;
	atomic_store(&there, true);
	while (pause() != 0)
		;
}

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static int
fill(int fd, struct uffdio_copy *copy)
{
	uint64_t len = copy->len;
	if (len > PAGE && (cut_at == FILLED_HALF || no_memory)) {
		copy->len = len / 2;
		int failed = __real_ioctl(fd, UFFDIO_COPY, copy);
		copy->len = len;
		pass(FILLED_HALF);
		errno = failed ? errno : EAGAIN;
		return -1;
	}
	return __real_ioctl(fd, UFFDIO_COPY, copy);
}

/* As when the program has changed a page of the second half meanwhile. */
static int
move_half(int fd, struct uffdio_move *move)
{
	uint64_t len = move->len;
	errno = EINVAL;
	if (len != WINDOW)
		return -1;
	move->len = len / 2;
	int failed = __real_ioctl(fd, UFFDIO_MOVE, move);
	move->len = len;
	nr_moved += !failed;
	if (!failed)
		pass(MOVED);
	errno = failed ? errno : EAGAIN;
	return -1;
}

static int
move(int fd, struct uffdio_move *move)
{
	if (halves)
		return move_half(fd, move);
	if (!moves) {
		errno = EBUSY;
		return -1;
	}
	pass(MOVE);
	int failed = __real_ioctl(fd, UFFDIO_MOVE, move);
	if (!failed)
		nr_moved++;
	pass(MOVED);
	return failed;
}

static void make_unreadable(void);

int
__wrap_ioctl(int fd, unsigned long request, void *arg)
{
	static _Atomic unsigned fills;
	if (request == UFFDIO_MOVE)
		return move(fd, arg);
	if (request == UFFDIO_WRITEPROTECT)
		pass(PROTECT);
	if (request == UFFDIO_WRITEPROTECT && atomic_exchange(&forbid, false))
		make_unreadable();
	if (request == UFFDIO_API && atomic_exchange(&no_descriptor, false)) {
		errno = EINVAL;
		return -1;
	}
	if (request == UFFDIO_REGISTER && atomic_exchange(&slow_register, false)) {
		atomic_store(&slow_now, true);
		usleep(200000);
	}
	if (request != UFFDIO_COPY)
		return __real_ioctl(fd, request, arg);
	pass(FILL);
	if (no_memory && atomic_fetch_add(&fills, 1) != 0) {
		nr_refused++;
		errno = ENOMEM;
		return -1;
	}
	return fill(fd, arg);
}

void *__real_mremap(void *old, size_t old_size, size_t size, int flags, void *at);
void *__wrap_mremap(void *old, size_t old_size, size_t size, int flags, ...);

/* A size of 0 doubles the device's mapping; else a hole is put in its place. */
void *
__wrap_mremap(void *old, size_t old_size, size_t size, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	void *at = (flags & MREMAP_FIXED) != 0 ? va_arg(more, void *) : NULL;
	va_end(more);
	pass(old_size == 0 ? MAP : HOLE);
	void *mapped = __real_mremap(old, old_size, size, flags, at);
	pass(old_size == 0 ? MAPPED : HOLED);
	return mapped;
}

void __real_mhp__table_mark(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry bit,
			    bool on);
void __wrap_mhp__table_mark(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry bit,
			    bool on);

void
__wrap_mhp__table_mark(struct mhp_region *region, uint64_t page, uint64_t nr, mhp__entry bit,
		       bool on)
{
	if (bit == MHP__ENTRY_SETTLED && nr > 1) {
		__real_mhp__table_mark(region, page, nr / 2, bit, on);
		pass(MARKED_HALF);
	}
	__real_mhp__table_mark(region, page, nr, bit, on);
	if (bit == MHP__ENTRY_SETTLED)
		pass(MARKED);
}

int __real_mhp_pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr);
int __wrap_mhp_pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr);

int
__wrap_mhp_pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr)
{
	pass(GIVE);
	int err = __real_mhp_pages_free_contig(m, pfn, nr);
	pass(GIVEN);
	return err;
}

unsigned __real_mhp__arena_take(struct mhp *m, void *arena, unsigned order, uint64_t mask,
				unsigned nr_max, uint64_t *ret_pfns);
unsigned __wrap_mhp__arena_take(struct mhp *m, void *arena, unsigned order, uint64_t mask,
				unsigned nr_max, uint64_t *ret_pfns);

/* Whoever comes here holds the arena's lock. */
unsigned
__wrap_mhp__arena_take(struct mhp *m, void *arena, unsigned order, uint64_t mask, unsigned nr_max,
		       uint64_t *ret_pfns)
{
	pass(TAKE);
	unsigned nr = __real_mhp__arena_take(m, arena, order, mask, nr_max, ret_pfns);
	pass(TAKEN);
	return nr;
}

int __real_mhp_companion_thread(void (*fn)(void *arg), void *arg);
int __wrap_mhp_companion_thread(void (*fn)(void *arg), void *arg);

int
__wrap_mhp_companion_thread(void (*fn)(void *arg), void *arg)
{
	if (atomic_exchange(&no_thread, false))
		return MHP_EAGAIN;
	return __real_mhp_companion_thread(fn, arg);
}

int __real_mhp_add(struct mhp *m, struct mhp_blocks blocks, const struct mhp_add_opts *opts,
		   struct mhp_add_answer *ret_answer);
int __wrap_mhp_add(struct mhp *m, struct mhp_blocks blocks, const struct mhp_add_opts *opts,
		   struct mhp_add_answer *ret_answer);
static bool overtake;

/* Somebody adds the first block of this range before us. */
int
__wrap_mhp_add(struct mhp *m, struct mhp_blocks blocks, const struct mhp_add_opts *opts,
	       struct mhp_add_answer *ret_answer)
{
	struct mhp_blocks first = { blocks.first, 1 };
	pass(ASKED);
	if (overtake)
		CHECK_OK(__real_mhp_add(m, first, opts, NULL));
	return __real_mhp_add(m, blocks, opts, ret_answer);
}

/* ---- a window in use ---- */

static struct {
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base;                    /* of the one window */
	unsigned device;               /* the node */
	unsigned to;                   /* where it is sent */
	_Atomic bool stop;
	uint64_t rounds;               /* what the writer has added to each page */
	pthread_t writer;
} used;

static void
make_unreadable(void)
{
	CHECK_EQ(mprotect(used.base + 5 * PAGE, PAGE, PROT_NONE), 0);
}

static _Atomic uint64_t *
word_of(uint64_t page)
{
	return (_Atomic uint64_t *)(used.base + page * PAGE);
}

static void *
write_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&used.stop)) {
		for (uint64_t page = 0; page < NR; page++)
			atomic_fetch_add(word_of(page), 1);
		used.rounds++;
	}
	return NULL;
}

/* Some blocks long; path ends in XXXXXX. */
static struct mhp_backing
make_device(char *path, unsigned blocks)
{
	struct mhp_backing device;
	char words[64];
	int fd = mkstemp(path);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)(blocks * BLOCK)) == 0);
	close(fd);
	snprintf(words, sizeof(words), "file:%s", path);
	CHECK_OK(mhp_backing_parse(words, &device, NULL));
	return device;
}

static void
add_device(void)
{
	struct mhp_block_info block;
	char path[] = "/dev/shm/cut.XXXXXX";
	struct mhp_backing device = make_device(path, 1);
	CHECK_OK(mhp_pool_add(used.pool, &device, BLOCK, NULL, NULL, NULL));
	unlink(path);
	CHECK_OK(mhp_block_get(mhp_pool_engine(used.pool), 1, &block));
	used.device = block.node;
}

static void
begin(bool writer)
{
	struct mhp_pool_opts opts = { .max_bytes = 16 * BLOCK, .block_bytes = BLOCK };
	memset(&used, 0, sizeof(used));
	CHECK_OK(mhp_pool_create(&opts, &used.pool, NULL));
	if (!mhp_pool_can_move(used.pool, NULL)) {
		CHECK_OK(mhp_pool_destroy(used.pool));
		test_skip("needs userfaultfd");
	}
	alarm(PATIENCE_S); /* for a writer that waits for ever */
	CHECK_OK(mhp_pool_add(used.pool, NULL, BLOCK, NULL, NULL, NULL));
	add_device();
	CHECK_OK(mhp_region_create(used.pool, "cut", 2 * WINDOW, &used.region, NULL));
	used.base = mhp_region_base(used.region);
	for (uint64_t at = 0; at < WINDOW; at += PIECE) /* numbers of eight pages */
		CHECK_OK(mhp_region_commit(used.region, used.base + at, PIECE));
	memset(used.base, 0, WINDOW);
	for (uint64_t page = 0; page < NR; page++)
		word_of(page)[1] = page;
	if (writer)
		CHECK_EQ(pthread_create(&used.writer, NULL, write_on, NULL), 0);
}

/* KiB that the kernel's page tables for this process take. */
static unsigned long
page_table_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[256];
	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL)
		sscanf(line, "VmPTE: %lu", &kib);
	fclose(file);
	return kib;
}

static int
send(unsigned node)
{
	const struct mhp_blocks ram = { 0, 1 };
	if (node == OUT_OF_RAM)
		return mhp_offline(mhp_pool_engine(used.pool), &ram, 1, NULL, NULL);
	return mhp_region_move(used.region, used.base, WINDOW, node, NULL, NULL);
}

static uint64_t
settled_bytes(void)
{
	struct mhp_pool_stats stats;
	mhp_pool_get_stats(used.pool, &stats);
	return stats.settled_bytes;
}

static void
check_pages(void)
{
	for (uint64_t page = 0; page < NR; page++) {
		CHECK_EQ(*word_of(page), used.rounds);
		CHECK_EQ(word_of(page)[1], page);
	}
}

static void
empty_pool(void)
{
	struct mhp_blocks all = { 0, 16 };
	mhp_region_destroy(used.region);
	CHECK_OK(mhp_remove(mhp_pool_engine(used.pool), &all, 1, NULL, NULL));
}

/* Every page is right, no frame is lost, and the window goes and comes as before. */
static void
end(void)
{
	struct mhp_node_info ram, device;
	if (used.writer != 0) {
		atomic_store(&used.stop, true);
		CHECK_EQ(pthread_join(used.writer, NULL), 0);
	}
	CHECK_OK(send(used.device));
	while (settled_bytes() != WINDOW) /* it may have had its numbers already */
		usleep(1000);
	CHECK_OK(send(0));
	CHECK_EQ(settled_bytes(), 0);
	check_pages();
	mhp_drain_caches(mhp_pool_engine(used.pool));
	CHECK_OK(mhp_pool_node_get(used.pool, 0, &ram));
	CHECK_OK(mhp_pool_node_get(used.pool, used.device, &device));
	CHECK_EQ(ram.used_bytes, WINDOW);
	CHECK_EQ(device.used_bytes, 0);
	CHECK_OK(mhp_check(mhp_pool_engine(used.pool), true, NULL, NULL));
	empty_pool();
	CHECK_OK(mhp_pool_destroy(used.pool));
	alarm(0);
}

/* ---- kills ---- */

static void *
send_it(void *arg)
{
	*(int *)arg = send(used.to);
	return NULL;
}

/* Nobody moves a finger between the first kill and the last. */
static void
kill_companion(bool standby)
{
	_Atomic int *tid = mhp__task_state();
	while (mhp_companion_pid() == 0 || atomic_load(&tid[MHP__STANDBY]) <= 0)
		usleep(100); /* one may have come this moment, and makes the other */
	int leader = mhp_companion_pid(), other = atomic_load(&tid[MHP__STANDBY]);
	if (standby) {
		CHECK_EQ(kill(leader, SIGSTOP), 0);
		CHECK_EQ(kill(other, SIGSTOP), 0);
		CHECK_EQ(kill(other, SIGKILL), 0);
	}
	CHECK_EQ(kill(leader, SIGKILL), 0);
}

/* Kill who sends the window to a node, at this step. */
static void
cut_in_use(enum step step, unsigned node, bool standby)
{
	pthread_t mover;
	int err = 0;
	used.to = node;
	atomic_store(&there, false);
	atomic_store(&cut_at, (int)step);
	CHECK_EQ(pthread_create(&mover, NULL, send_it, &err), 0);
	while (!atomic_load(&there))
		usleep(100);
	if (for_recovery != NULL)
		atomic_store(for_recovery, true);
	kill_companion(standby);
	CHECK_EQ(pthread_join(mover, NULL), 0);
	CHECK(err == MHP_EIO || node == OUT_OF_RAM); /* a block that is empty has left */
}

static void
cut(enum step step, bool to_device, bool standby)
{
	test_at("step %d, %s", (int)step, standby ? "both" : "one");
	begin(!standby);
	if (!to_device)
		CHECK_OK(send(used.device));
	cut_in_use(step, to_device ? used.device : 0, standby);
	end();
}

TEST(killed__on_the_way_to_a_device__nothing_is_lost)
{
	cut(PROTECT, true, false);
	cut(MAP, true, false);
	cut(MAPPED, true, false);
}

TEST(killed__on_the_way_back__nothing_is_lost)
{
	cut(HOLE, false, false);
	cut(HOLED, false, false);
	cut(FILL, false, false);
	cut(FILLED_HALF, false, false);
}

TEST(killed__while_it_is_noted_where_the_window_is__nothing_is_lost)
{
	cut(MARKED_HALF, true, false);
	cut(MARKED, true, false);
	cut(MARKED_HALF, false, false);
	cut(MARKED, false, false);
	cut(MARKED, false, true);
}

TEST(killed__between_numbers__no_frame_is_lost)
{
	cut(GIVE, true, false);
	cut(GIVEN, true, false);
	cut(GIVE, false, false);
	cut(GIVEN, false, false);
}

/* Everybody who allocates would wait for the lock. */
TEST(killed__with_a_lock_of_the_allocator__memory_goes_on)
{
	cut(TAKE, true, false);
	cut(TAKE, true, true);
}

static _Atomic bool let_go, gone;

/* As somebody who gives back what the allocator keeps has it for a moment. */
static void
hold_locks(void *ret_kept)
{
	struct mhp *m = mhp_pool_engine(used.pool);
	struct mhp__spin *lock = &m->arenas[0].lock;
	_Atomic uint32_t *readers = mhp__readers_here(m);
	mhp__spin_take(lock);
	atomic_fetch_add(readers, 1);
	atomic_store(&there, true);
	while (!atomic_load(&let_go))
		usleep(100);
	*(bool *)ret_kept = atomic_load(readers) == 1 && atomic_load(&lock->held) != 0;
	atomic_store(readers, 0);
	if (*(bool *)ret_kept)
		mhp__spin_drop(lock);
	atomic_store(&gone, true);
}

static int
hold_locks_aside(void *ret_kept)
{
	return mhp_companion_aside(hold_locks, ret_kept, 0);
}

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* Who works aside is not killed with it: what he has locked stays locked. */
TEST(killed__somebody_aside_has_a_lock_of_the_allocator__he_keeps_it)
{
	static bool kept;
	begin(false);
	atomic_store(&there, false);
	CHECK_RET(mhp_companion_call(hold_locks_aside, &kept, NULL), MHP_EAGAIN);
	while (!atomic_load(&there))
		usleep(100);
	kill_companion(false);
	CHECK_OK(mhp_companion_call(nothing, NULL, NULL));
	atomic_store(&let_go, true);
	while (!atomic_load(&gone))
		usleep(100);
	CHECK(kept);
	end();
}

/* Nobody knows of the page that it had taken, but all others are as they were. */
TEST(killed__with_a_page_that_nobody_has__only_that_one_is_lost)
{
	begin(true);
	cut_in_use(TAKEN, used.device, false);
	CHECK_OK(send(used.device));
	CHECK_OK(send(0));
	CHECK_OK(send(used.device));
	atomic_store(&used.stop, true);
	CHECK_EQ(pthread_join(used.writer, NULL), 0);
	check_pages();
	CHECK_OK(mhp_check(mhp_pool_engine(used.pool), false, NULL, NULL));
	alarm(0);
}

/* R39: a table of all addresses is not walked for that: it would take half a GiB to do so. */
TEST(killed__between_numbers__a_table_of_all_addresses_is_left_alone)
{
	struct mhp_region *over;
	unsigned long before;
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	begin(true);
	CHECK_OK(mhp_region_create_over(used.pool, "over", &over, NULL));
	CHECK_OK(mhp_region_commit(over, page, PAGE));
	before = page_table_kib();
	cut_in_use(GIVEN, used.device, false);
	CHECK_CMP(page_table_kib(), <, before + 16384);
	CHECK_OK(mhp_region_decommit(over, page, PAGE));
	mhp_region_destroy(over);
	end();
}

/* The kernel has moved a huge page there, in which a writer goes on before anybody else notices. */
TEST(killed__on_the_way_back_at_once__nothing_is_lost)
{
	atomic_store(&moves, true);
	begin(true);
	CHECK_OK(send(used.device));
	CHECK_OK(send(0));
	end();
	if (nr_moved == 0)
		test_skip("needs Linux 6.8 and huge pages");
	cut(MOVE, false, false);
	cut(MOVED, false, false);
	cut(MOVE, false, true);
	cut(MOVED, false, true);
	atomic_store(&no_memory, true); /* what the device has is old: it must not come back */
	cut(MOVED, false, false);
	atomic_store(&no_memory, false);
	atomic_store(&moves, false);
}

/* Who waits goes on at once then; here nobody does. */
TEST(both_killed__on_the_way_to_a_device__nothing_is_lost)
{
	cut(PROTECT, true, true);
	cut(MAP, true, true);
	cut(MAPPED, true, true);
}

/* As soon as the window is copied: that waits for the kill, and is done before anybody moves it. */
static void *
clear_window(void *arg)
{
	(void)arg;
	while (!atomic_load(&there))
		usleep(100);
	memset(used.base, 0, WINDOW);
	word_of(5)[1] = 5;
	return NULL;
}

/* R59: what had been copied is not there any more when zeros, which are not copied, go there. */
TEST(both_killed__on_the_way_to_a_device__zeros_go_there_later)
{
	const struct mhp_blocks ram = { 0, 1 }, file = { 1, 1 }, memfd = { 2, 1 };
	struct mhp_backing can_have_holes;
	pthread_t clearer;
	CHECK_OK(mhp_backing_parse("memfd", &can_have_holes, NULL));
	begin(false);
	struct mhp *m = mhp_pool_engine(used.pool);
	CHECK_OK(mhp_pool_add(used.pool, &can_have_holes, BLOCK, NULL, NULL, NULL));
	CHECK_OK(mhp_offline(m, &file, 1, NULL, NULL));
	/* Else it goes as a whole. */
	CHECK_OK(mhp_region_set_huge(used.region, MHP_HUGE_OFF, NULL, NULL));
	atomic_store(&there, false);
	CHECK_EQ(pthread_create(&clearer, NULL, clear_window, NULL), 0);
	cut_in_use(MAP, OUT_OF_RAM, true);
	CHECK_EQ(pthread_join(clearer, NULL), 0);
	CHECK_OK(mhp_companion_call(nothing, NULL, NULL)); /* it goes on */
	while (settled_bytes() != WINDOW)
		usleep(1000);
	for (uint64_t page = 0; page < NR; page++)
		CHECK_EQ(word_of(page)[1], page == 5 ? 5U : 0);
	CHECK_OK(test_online(m, ram, MHP_ZONE_MOVABLE, NULL));
	CHECK_OK(test_online(m, file, MHP_ZONE_MOVABLE, NULL));
	CHECK_OK(mhp_remove(m, &memfd, 1, NULL, NULL));
	for (uint64_t page = 0; page < NR; page++)
		word_of(page)[1] = page;
	end();
}

TEST(both_killed__on_the_way_back__nothing_is_lost)
{
	cut(HOLE, false, true);
	cut(HOLED, false, true);
	cut(FILL, false, true);
	cut(FILLED_HALF, false, true);
}

TEST(both_killed__between_numbers__no_frame_is_lost)
{
	cut(GIVEN, true, true);
	cut(GIVEN, false, true);
}

/* R37: nobody has settled windows since; destroying the pool does not wait for him. */
TEST(both_killed__then_the_pool_is_destroyed__ends)
{
	begin(false);
	CHECK_OK(send(used.device));
	while (settled_bytes() != WINDOW)
		usleep(1000);
	CHECK_OK(send(0));
	empty_pool();
	kill_companion(true);
	CHECK_OK(mhp_pool_destroy(used.pool));
	alarm(0);
}

/* ---- recovery that meets trouble ---- */

void __real_mhp__leader_waits(void);
void __wrap_mhp__leader_waits(void);

void
__wrap_mhp__leader_waits(void)
{
	__real_mhp__leader_waits();
	pass(WAITS);
}

static _Atomic bool slow_mend, mended;

void __real_mhp__pool_mend(struct mhp_pool *pool);
void __wrap_mhp__pool_mend(struct mhp_pool *pool);

void
__wrap_mhp__pool_mend(struct mhp_pool *pool)
{
	/* Other cases have left pools of theirs behind. */
	bool slow = pool == used.pool && atomic_exchange(&slow_mend, false);
	if (slow) {
		atomic_store(&slow_now, true);
		usleep(200000);
	}
	__real_mhp__pool_mend(pool);
	if (slow)
		atomic_store(&mended, true);
}

/* R37: what recovery looks at is not unmapped under it. */
TEST(recovery__the_pool_is_destroyed_meanwhile__waits)
{
	begin(false);
	empty_pool();
	atomic_store(&slow_now, false);
	atomic_store(&slow_mend, true);
	kill_companion(false);
	while (!atomic_load(&slow_now))
		usleep(100);
	CHECK_OK(mhp_pool_destroy(used.pool));
	CHECK(atomic_load(&mended));
	alarm(0);
}

static void *
touch(void *arg)
{
	while (!atomic_load(&slow_now))
		usleep(100);
	*(uint64_t *)arg = word_of(NR - 1)[1];
	return NULL;
}

/* Who comes to the hole while recovery notes it anew waits until it is full. */
TEST(recovery__somebody_touches_the_hole__sees_what_was_there)
{
	pthread_t toucher;
	uint64_t seen = 0;
	begin(false);
	CHECK_OK(send(used.device));
	atomic_store(&slow_now, false);
	CHECK_EQ(pthread_create(&toucher, NULL, touch, &seen), 0);
	for_recovery = &slow_register;
	cut_in_use(HOLED, 0, false);
	for_recovery = NULL;
	CHECK_EQ(pthread_join(toucher, NULL), 0);
	CHECK_EQ(seen, NR - 1);
	end();
}

/* Nobody reads the events then: whoever would wait is let go, and another try is made. */
TEST(recovery__no_thread_for_the_events__nothing_is_lost)
{
	begin(false);
	CHECK_OK(send(used.device));
	for_recovery = &no_thread;
	cut_in_use(HOLED, 0, false);
	for_recovery = NULL;
	end();
	CHECK(!no_thread);
}

/* The device is mapped again, and descriptors are opened anew. */
TEST(recovery__no_descriptors__nothing_is_lost)
{
	const enum step steps[] = { PROTECT, MAPPED, HOLE, HOLED, FILLED_HALF };
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		bool to_device = steps[i] == PROTECT || steps[i] == MAPPED;
		test_at("step %d", (int)steps[i]);
		begin(false);
		CHECK_OK(send(used.device));
		if (to_device)
			CHECK_OK(send(0));
		for_recovery = &no_descriptor;
		cut_in_use(steps[i], to_device ? used.device : 0, true);
		for_recovery = NULL;
		end();
		CHECK(!no_descriptor);
	}
}

/* ---- a change of blocks ---- */

static int
stay(void *ctx, const struct mhp_notice *notice)
{
	(void)ctx;
	if (notice->kind == MHP_GOING_OFFLINE_NOTICE)
		pass(TOLD);
	return 0;
}

static int
take_out(void *arg)
{
	struct mhp_blocks block = { *(uint32_t *)arg, 1 };
	return mhp_offline(mhp_pool_engine(used.pool), &block, 1, NULL, NULL);
}

static void *
ask_to_take_out(void *arg)
{
	static uint32_t block;
	block = *(uint32_t *)arg;
	CHECK_RET(mhp_companion_call(take_out, &block, NULL), MHP_EIO);
	return NULL;
}

/* A window may be on its way, or the settler at work: once more, while the alarm allows it. */
static int
again(int (*fn)(void *arg), void *arg)
{
	int err;
	while ((err = fn(arg)) == MHP_EAGAIN || err == MHP_EBUSY)
		usleep(1000);
	return err;
}

static int
bring_in(void *arg)
{
	return mhp_block_online(mhp_pool_engine(used.pool), *(uint32_t *)arg, NULL, NULL);
}

/* It is taken back, and can be made; so can all others. */
static void
cut_change(enum step step, uint32_t number)
{
	struct mhp_block_info block;
	pthread_t mover;
	uint16_t id;
	test_at("step %d, block %u", (int)step, number);
	begin(true);
	CHECK_OK(send(number == 0 ? 0 : used.device));
	CHECK_OK(mhp_listener_add(mhp_pool_engine(used.pool), stay, NULL, 0, &id));
	atomic_store(&there, false);
	atomic_store(&cut_at, (int)step);
	CHECK_EQ(pthread_create(&mover, NULL, ask_to_take_out, &number), 0);
	while (!atomic_load(&there))
		usleep(100);
	kill_companion(false);
	CHECK_EQ(pthread_join(mover, NULL), 0);
	CHECK_OK(mhp_pool_add(used.pool, NULL, BLOCK, NULL, NULL, NULL));
	CHECK_OK(mhp_block_get(mhp_pool_engine(used.pool), number, &block));
	CHECK_EQ(block.state, MHP_ONLINE);
	CHECK_OK(again(take_out, &number));
	CHECK_OK(again(bring_in, &number));
	CHECK_OK(mhp_listener_remove(mhp_pool_engine(used.pool), id));
	end();
}

/* R37: whoever asks for the next change waits until the next companion has seen to this one. */
TEST(killed__in_a_change_of_blocks__it_is_taken_back)
{
	cut_change(TOLD, 0);
	cut_change(HOLE, 1);
}

static const struct mhp_backing *added; /* by the next; NULL: `ram` */

static int
add_two(void *arg)
{
	return mhp_pool_add(used.pool, added, 2 * BLOCK, NULL, arg, NULL);
}

static void *
ask_to_add(void *arg)
{
	(void)arg;
	CHECK_RET(mhp_companion_call(add_two, NULL, NULL), MHP_EIO);
	return NULL;
}

static void
wait_until(_Atomic bool *happened)
{
	while (!atomic_load(happened))
		usleep(100);
}

/* Blocks 2 and 3 are placed, and nobody asks the engine to add them any more. The next add comes
 * when that is mended, or before. */
static void
cut_add(const struct mhp_backing *backing, bool waits)
{
	struct mhp_add_answer answer;
	pthread_t adder;
	begin(true);
	added = backing;
	atomic_store(&there, false);
	atomic_store(&cut_at, ASKED);
	CHECK_EQ(pthread_create(&adder, NULL, ask_to_add, NULL), 0);
	wait_until(&there);
	atomic_store(&mended, false);
	atomic_store(&slow_mend, true);
	kill_companion(false);
	CHECK_EQ(pthread_join(adder, NULL), 0);
	if (waits)
		wait_until(&mended);
	CHECK_OK(mhp_companion_call(add_two, &answer, NULL));
	CHECK_EQ(answer.blocks.first, 2);
	wait_until(&mended);
	end();
}

/* R37: their addresses, and the memory of the device, are free again. */
TEST(killed__before_the_engine_is_asked_to_add__nothing_is_taken)
{
	char path[] = "/dev/shm/cut.XXXXXX";
	struct mhp_backing device = make_device(path, 2);
	for (unsigned waits = 0; waits < 2; waits++) {
		cut_add(NULL, waits != 0);
		cut_add(&device, waits != 0);
	}
	unlink(path);
}

/* R37: somebody changes blocks for long. Companions that are killed while they wait for him have
 * not failed, so that a call finds the next one. */
TEST(killed__while_it_waits_to_take_over__the_next_takes_calls)
{
	begin(true);
	mhp__pool_lock_hotplug(used.pool);
	for (unsigned i = 0; i < MHP__FAILED_MAX + 2; i++) {
		atomic_store(&there, false);
		atomic_store(&cut_at, WAITS);
		kill_companion(false);
		wait_until(&there);
	}
	kill_companion(false);
	CHECK_OK(mhp_companion_call(nothing, NULL, NULL));
	CHECK_EQ(pthread_mutex_unlock(&used.pool->hotplug), 0);
	end();
}

/* ---- a window of which part is leaving ---- */

static _Atomic bool told, may_leave;

static int
hold_on(void *ctx, const struct mhp_notice *notice)
{
	(void)ctx;
	if (notice->kind != MHP_GOING_OFFLINE_NOTICE)
		return 0;
	atomic_store(&told, true);
	wait_until(&may_leave);
	return 0;
}

static void *
take_out_ram(void *arg)
{
	uint32_t ram = 0;
	(void)arg;
	CHECK_OK(again(take_out, &ram));
	return NULL;
}

static int
settle_it(void *arg)
{
	(void)arg;
	mhp__pool_lock(used.pool);
	mhp__settle_window(used.pool, used.region, 0);
	pthread_mutex_unlock(&used.pool->mutex);
	return 0;
}

/* Every second piece of the window, from this one on. */
static void
commit_pieces(uint64_t first)
{
	for (uint64_t at = first * PIECE; at < WINDOW; at += 2 * PIECE) {
		CHECK_OK(mhp_region_commit(used.region, used.base + at, PIECE));
		memset(used.base + at, (int)(at / PIECE) + 1, PIECE);
	}
}

/* R39: it is one mapping on the device, not as many as there were pieces. */
TEST(scattered__its_rest_is_leaving__goes_as_a_whole)
{
	struct mhp_pool_stats whole, stats;
	pthread_t leaver;
	uint16_t id;
	begin(false);
	CHECK_OK(send(used.device));
	while (settled_bytes() != WINDOW)
		usleep(1000);
	mhp_pool_get_stats(used.pool, &whole);
	CHECK_OK(send(0));
	CHECK_OK(mhp_region_decommit(used.region, used.base, WINDOW));
	commit_pieces(0);
	CHECK_OK(mhp_listener_add(mhp_pool_engine(used.pool), hold_on, NULL, 0, &id));
	CHECK_EQ(pthread_create(&leaver, NULL, take_out_ram, NULL), 0);
	wait_until(&told);
	commit_pieces(1); /* on the device, since the rest is isolated */
	CHECK_OK(mhp_companion_call(settle_it, NULL, NULL));
	CHECK_EQ(settled_bytes(), 0);
	atomic_store(&may_leave, true);
	CHECK_EQ(pthread_join(leaver, NULL), 0);
	while (settled_bytes() != WINDOW)
		usleep(1000);
	mhp_pool_get_stats(used.pool, &stats);
	CHECK_EQ(stats.mappings, whole.mappings);
	for (uint64_t at = 0; at < WINDOW; at += PAGE)
		CHECK_EQ(used.base[at], (char)(at / PIECE + 1));
	CHECK_OK(mhp_listener_remove(mhp_pool_engine(used.pool), id));
	empty_pool();
	CHECK_OK(mhp_pool_destroy(used.pool));
	alarm(0);
}

/* ---- no memory ---- */

TEST(no_memory__on_the_way_back__the_window_stays)
{
	begin(true);
	CHECK_OK(send(used.device));
	atomic_store(&no_memory, true);
	CHECK_RET(send(0), MHP_ENOMEM);
	CHECK_EQ(settled_bytes(), WINDOW);
	atomic_store(&no_memory, false);
	end();
}

/* ---- half a window ---- */

/* Whoever got the first half goes on there, so the rest has to follow. */
TEST(moved_in_part__the_kernel_moves_no_more__the_rest_is_filled)
{
	begin(true);
	CHECK_OK(send(used.device));
	nr_moved = 0;
	atomic_store(&halves, true);
	CHECK_OK(send(0));
	atomic_store(&halves, false);
	if (nr_moved == 0)
		test_say("this kernel moves no pages into holes");
	end();
}

/* What the device has is old where somebody goes on already: the rest waits for memory. */
TEST(killed__moved_in_part_and_no_memory__nothing_is_lost)
{
	begin(true);
	CHECK_OK(send(used.device));
	atomic_store(&halves, true);
	CHECK_OK(send(0));
	CHECK_OK(send(used.device));
	while (settled_bytes() != WINDOW)
		usleep(1000);
	if (nr_moved == 0) {
		atomic_store(&halves, false);
		end();
		test_skip("needs Linux 6.8 and huge pages");
	}
	nr_refused = 0;
	atomic_store(&no_memory, true);
	cut_in_use(MOVED, 0, false);
	while (nr_refused < 150) /* more than anybody tries who can go back */
		usleep(1000);
	atomic_store(&no_memory, false);
	atomic_store(&halves, false);
	end();
}

/* ---- memory that becomes unreadable ---- */

/* R41: the program changes it between the look at it and the copy. */
TEST(unreadable__on_the_way_to_a_device__the_companion_lives)
{
	begin(false);
	int companion = mhp_companion_pid();
	atomic_store(&forbid, true);
	CHECK_OK(send(used.device));
	CHECK_EQ(mhp_companion_pid(), companion);
	CHECK_EQ(settled_bytes(), 0);
	CHECK_EQ(mprotect(used.base + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	CHECK_OK(send(0)); /* nobody would look at it again for its own sake */
	end();
}

/* ---- an add that comes too late ---- */

/* R17: the addresses were free when they were chosen; what somebody has there now is his. */
TEST(add__somebody_takes_its_addresses__keeps_his_block)
{
	struct mhp_block_info block;
	begin(false);
	overtake = true;
	CHECK_RET(mhp_pool_add(used.pool, NULL, 2 * BLOCK, NULL, NULL, NULL), MHP_EEXIST);
	overtake = false;
	CHECK_OK(mhp_block_get(mhp_pool_engine(used.pool), 2, &block));
	CHECK_EQ(block.state, MHP_ONLINE);
	CHECK_OK(mhp_block_get(mhp_pool_engine(used.pool), 3, &block));
	CHECK_EQ(block.state, MHP_ABSENT);
	CHECK_OK(mhp_check(mhp_pool_engine(used.pool), true, NULL, NULL));
	CHECK_OK(mhp_pool_add(used.pool, NULL, BLOCK, NULL, NULL, NULL));
	end();
}
