/* SPDX-License-Identifier: MIT */
/*
 * moving_test.c - what else can be done while a window is on its way to a device (R55, R57).
 *
 * The device is a memfd. The test watches its memory with a userfaultfd of its own, so whoever
 * copies to it waits until the test lets go: a window stays on its way for as long as is needed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <memplug/companion.h>
#include <memplug/linux.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../online.h"

#define PAGE 4096UL
#define WINDOW (2UL << 20)
#define BLOCK (4UL << 20)
#define NR_RAM 3U
#define NR_DEVICE 4U
#define WAIT_MS 30000
#define LOOK_MS 300               /* for what must not happen */

extern void mhp__recover_all(void *fresh);

static const char *case_name;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s: line %d: %s\nreplay: moving-test %s\n", case_name,    \
				__LINE__, #cond, case_name);                                       \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void
add(struct mhp_pool *pool, enum mhp_backing_kind kind, uint64_t blocks)
{
	struct mhp_backing backing = { .kind = kind, .node = -1 };
	struct mhp_add_opts opts = { .flags = MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE };
	CHECK(mhp_pool_add(pool, &backing, blocks * BLOCK, &opts, NULL, NULL) == 0);
}

/* A pool with data in two windows of ordinary memory, and room for them on a device. */
static struct mhp_pool *
set_up(struct mhp_region **ret_region)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	struct mhp_pool *pool;
	CHECK(mhp_pool_create(&opts, &pool, NULL) == 0);
	if (!mhp_pool_can_move(pool, NULL)) {
		printf("needs userfaultfd\n");
		exit(77);
	}
	add(pool, MHP_BACKING_RAM, NR_RAM);
	CHECK(mhp_region_create(pool, "moving", 4 * WINDOW, ret_region, NULL) == 0);
	CHECK(mhp_region_commit(*ret_region, mhp_region_base(*ret_region), 2 * WINDOW) == 0);
	memset(mhp_region_base(*ret_region), 7, 2 * WINDOW);
	add(pool, MHP_BACKING_MEMFD, NR_DEVICE);
	return pool;
}

/* Have whoever touches memory of the device for the first time wait. */
static int
hold_device(struct mhp_pool *pool)
{
	struct uffdio_api api = { .api = UFFD_API };
	uint64_t first = NR_RAM * BLOCK / PAGE;
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	reg.range.start = (uintptr_t)mhp_pfn_to_virt(mhp_pool_engine(pool), first) + WINDOW;
	reg.range.len = NR_DEVICE * BLOCK - WINDOW; /* but not the notes of the engine */
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	CHECK(fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0);
	CHECK(ioctl(fd, UFFDIO_REGISTER, &reg) == 0);
	return fd;
}

/* Wait until somebody copies to the device; returns the address of the window that he copies. */
static char *
await_copy(struct mhp_pool *pool, struct mhp_region *region, int fd)
{
	struct uffd_msg message;
	struct pollfd events = { .fd = fd, .events = POLLIN };
	struct mhp *m = mhp_pool_engine(pool);
	CHECK(poll(&events, 1, WAIT_MS) == 1);
	CHECK(read(fd, &message, sizeof(message)) == (ssize_t)sizeof(message));
	CHECK(message.event == UFFD_EVENT_PAGEFAULT);
	uint64_t start = (uintptr_t)mhp_pfn_to_virt(m, 0);
	uint64_t pfn = (message.arg.pagefault.address - start) / PAGE;
	struct mhp_frame frame = mhp_frame_peek(m, pfn);
	CHECK(frame.state == MHP_FRAME_USED);
	char *base = mhp_region_base(region);
	return base + (frame.cookie - (uintptr_t)base) / WINDOW * WINDOW;
}

static void *
leave_ram(void *arg)
{
	struct mhp_blocks ram = { 0, NR_RAM };
	CHECK(mhp_offline(mhp_pool_engine(arg), &ram, 1, NULL, NULL) == 0);
	CHECK(test_online(mhp_pool_engine(arg), ram, MHP_ZONE_MOVABLE, NULL) == 0);
	return NULL;
}

/* R57: what the program's malloc asks of the pool is done at once, or refused. */
static void
window__on_its_way__hooks_do_not_wait(void)
{
	struct mhp_region *region;
	struct mhp_pool *pool = set_up(&region);
	char *base = mhp_region_base(region), *other = base + 2 * WINDOW;
	pthread_t thread;
	int fd = hold_device(pool);
	CHECK(pthread_create(&thread, NULL, leave_ram, pool) == 0);
	char *window = await_copy(pool, region, fd);
	alarm(WAIT_MS / 1000); /* for whoever waits after all */
	CHECK(mhp_region_commit(region, other, 16 * PAGE) == 0);
	memset(other, 1, 16 * PAGE);
	CHECK(mhp_region_purge(region, other, 8 * PAGE) == 0 && other[0] == 0);
	CHECK(mhp_region_decommit(region, other, 16 * PAGE) == 0);
	CHECK(mhp_region_purge(region, window, PAGE) == MHP_EAGAIN);
	CHECK(mhp_region_decommit(region, window + WINDOW - PAGE, PAGE) == MHP_EAGAIN);
	alarm(0);
	close(fd);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(mhp_region_decommit(region, window + WINDOW - PAGE, PAGE) == 0);
	for (uint64_t i = 0; i < 2 * WINDOW; i += PAGE)
		CHECK(base + i == window + WINDOW - PAGE || base[i] == 7);
	mhp_region_destroy(region);
	CHECK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL) == 0);
}

static int
recover(void *arg)
{
	mhp__recover_all(arg);
	return 0;
}

/* R37: a companion moves windows before it has looked for what the last one left. */
static void
window__on_its_way__is_not_what_a_killed_mover_left(void)
{
	struct mhp_region *region;
	struct mhp_pool *pool = set_up(&region);
	pthread_t thread;
	int fd = hold_device(pool);
	CHECK(pthread_create(&thread, NULL, leave_ram, pool) == 0);
	char *window = await_copy(pool, region, fd);
	struct pollfd another = { .fd = fd, .events = POLLIN };
	CHECK(mhp_companion_call(recover, NULL, NULL) == 0);
	CHECK(poll(&another, 1, LOOK_MS) == 0); /* nobody copies a second window, or this again */
	CHECK(mhp_region_purge(region, window, PAGE) == MHP_EAGAIN);
	close(fd);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(window[0] == 7 && mhp_region_purge(region, window, PAGE) == 0 && window[0] == 0);
	mhp_region_destroy(region);
	CHECK(mhp_check(mhp_pool_engine(pool), true, NULL, NULL) == 0);
}

static const struct {
	const char *name;
	void (*fn)(void);
} cases[] = {
#define CASE(fn) { #fn, fn }
	CASE(window__on_its_way__hooks_do_not_wait),
	CASE(window__on_its_way__is_not_what_a_killed_mover_left),
};

int
main(int argc, char **argv)
{
	unsigned passed = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		case_name = cases[i].name;
		if (argc >= 2 && strcmp(argv[1], case_name) != 0)
			continue;
		cases[i].fn();
		passed++;
	}
	printf("%u passed, 0 failed\n", passed);
	return passed == 0;
}
