/* SPDX-License-Identifier: MIT */
/*
 * over_test.c - memory that somebody else maps goes to a device, comes back, and is held (R66).
 *
 * The test is who maps: it has a region over all addresses, charges what it mapped, and holds it
 * around its own calls, or (the last cases) changes it without a word. What programs do is in
 * map_cases.c, loss of writes under kills in write_loss.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fixture.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define BLOCK (8UL << 20)
#define SIZE (3 * HUGE)
#define NODE 4U
#define PART (32 * PAGE)            /* a run that is worth a mapping */
#define RW (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

static struct {
	struct mhp_pool *pool;
	struct mhp_region *region;
	char *base, *mapped;
} used;

/* Room for SIZE at a multiple of 2 MiB, with something unmapped behind it. */
static void
map(void)
{
	used.mapped = mmap(NULL, SIZE + 2 * HUGE, PROT_NONE, PRIVATE, -1, 0);
	CHECK(used.mapped != MAP_FAILED);
	used.base = used.mapped + (HUGE - (uintptr_t)used.mapped % HUGE) % HUGE;
	CHECK(mprotect(used.base, SIZE, RW) == 0);
}

static void
begin(void)
{
	struct mhp_pool_opts opts = { .max_bytes = 64 * BLOCK, .block_bytes = BLOCK };
	char file[] = "./over-test.XXXXXX", text[96];
	int fd = mkstemp(file);
	CHECK(fd >= 0 && ftruncate(fd, 2 * BLOCK) == 0);
	close(fd);
	used.pool = fixture_pool(&opts);
	fixture_needs_moves(used.pool);
	fixture_add(used.pool, NULL, 2 * BLOCK, NULL);
	snprintf(text, sizeof(text), "file:%s,node=%u", file, NODE);
	fixture_add(used.pool, text, 2 * BLOCK, NULL);
	unlink(file);
	CHECK_OK(mhp_region_create_over(used.pool, "over", &used.region, NULL));
	map();
	CHECK_OK(mhp_region_commit(used.region, used.base, SIZE));
	fixture_write(used.base, SIZE);
}

static void
end(void)
{
	CHECK_OK(mhp_region_hold(used.region, used.base, SIZE, false, NULL));
	CHECK_AGAIN(mhp_region_decommit(used.region, used.base, SIZE));
	CHECK(munmap(used.mapped, SIZE + 2 * HUGE) == 0);
	mhp_region_release(used.region);
	fixture_end(used.pool, used.region);
}

static uint64_t
settled(void)
{
	struct mhp_pool_stats stats;
	mhp_pool_get_stats(used.pool, &stats);
	return stats.settled_bytes;
}

static void
send(unsigned node)
{
	fixture_send(used.pool, used.region, used.base, SIZE, node);
}

TEST(over__there_and_back__nothing_is_lost)
{
	begin();
	for (unsigned i = 0; i < 3; i++) {
		send(NODE);
		fixture_check(used.base, SIZE);
		used.base[i] = 1; /* on the device */
		used.base[i] = 0;
		send(0);
		CHECK_EQ(settled(), 0);
		fixture_check(used.base, SIZE);
	}
	end();
}

/* ---- holding ---- */

TEST(hold__wanted__comes_back_and_stays)
{
	begin();
	send(NODE);
	CHECK_OK(mhp_region_hold(used.region, used.base + HUGE + PAGE, PAGE, true, NULL));
	CHECK_EQ(settled(), SIZE - HUGE);
	fixture_check(used.base, SIZE);
	/* It is as any memory now, for the kernel, too. */
	CHECK(mprotect(used.base + HUGE, PAGE, PROT_READ) == 0);
	usleep(200000); /* nothing is to happen: a slow machine only sees less of it */
	CHECK_EQ(settled(), SIZE - HUGE);
	CHECK(mprotect(used.base + HUGE, PAGE, RW) == 0);
	mhp_region_release(used.region);
	fixture_await_settled(used.pool, SIZE);
	fixture_check(used.base, SIZE);
	end();
}

/* What a raw call keeps here goes when another one lets it, of which nobody is told. */
TEST(hold__released_while_protected__goes_when_it_is_not)
{
	begin();
	send(NODE);
	CHECK_OK(mhp_region_hold(used.region, used.base, PAGE, true, NULL));
	CHECK(mprotect(used.base, PAGE, PROT_READ) == 0);
	mhp_region_release(used.region);
	usleep(200000); /* the settler is to look and leave it: a slow machine only sees less */
	CHECK_EQ(settled(), SIZE - HUGE);
	CHECK(mprotect(used.base, PAGE, RW) == 0);
	fixture_await_settled(used.pool, SIZE);
	fixture_check(used.base, SIZE);
	end();
}

static sigjmp_buf out;

static void
jump_out(int number)
{
	siglongjmp(out, number);
}

/* A handler that does not come back would hold for ever: it waits for the release. */
TEST(hold__handler_jumps_out__after_the_release)
{
	struct sigaction action = { .sa_handler = jump_out };
	volatile bool held = false;
	begin();
	send(NODE);
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	if (sigsetjmp(out, 1) == 0) {
		CHECK_OK(mhp_region_hold(used.region, used.base, HUGE, true, NULL));
		CHECK_OK(mhp_region_hold(used.region, used.base, PAGE, true, NULL));
		CHECK(raise(SIGUSR1) == 0);
		mhp_region_release(used.region);
		held = true;
		mhp_region_release(used.region);
		FAIL("%s", "the handler did not run");
	}
	CHECK(held);
	fixture_await_settled(used.pool, SIZE);
	end();
}

/* Others hold, too: none goes before the last has released it. */
TEST(hold__by_several__until_the_last_release)
{
	begin();
	send(NODE);
	CHECK_OK(mhp_region_hold(used.region, used.base, SIZE, true, NULL));
	CHECK_OK(mhp_region_hold(used.region, used.base + HUGE, PAGE, true, NULL));
	CHECK_EQ(settled(), 0);
	mhp_region_release(used.region);
	usleep(200000); /* as above */
	CHECK_EQ(settled(), 0);
	mhp_region_release(used.region);
	fixture_await_settled(used.pool, SIZE);
	fixture_check(used.base, SIZE);
	end();
}

/* A part of a window, cut where the device allows it. */
TEST(hold__not_wanted__reads_as_zeros)
{
	begin();
	send(NODE);
	char *part = used.base + HUGE - PART;
	CHECK_OK(mhp_region_hold(used.region, part, HUGE, false, NULL));
	CHECK_EQ(settled(), SIZE - HUGE);
	for (size_t at = 0; at < HUGE; at += PAGE)
		CHECK_EQ(*(uint64_t *)(void *)(part + at), 0);
	mhp_region_release(used.region);
	fixture_check(used.base, HUGE - PART);
	for (size_t at = 2 * HUGE - PART; at < SIZE; at += PAGE)
		CHECK_EQ(*(uint64_t *)(void *)(used.base + at), at);
	fixture_await_settled(used.pool, SIZE);
	end();
}

TEST(hold__no_such_range__refused)
{
	begin();
	struct mhp_text why;
	CHECK_RET(mhp_region_hold(used.region, (void *)(UINT64_C(1) << 50), PAGE, true, &why),
		  MHP_EINVAL);
	CHECK_STR(why.text, "this is no range of the region");
	for (unsigned i = 0; i < 2; i++) {
		uint64_t size = i == 0 ? UINT64_MAX - PAGE : UINT64_C(1) << 62;
		CHECK_RET(mhp_region_hold(used.region, used.base, size, true, &why), MHP_EINVAL);
	}
	CHECK_OK(mhp_region_hold(used.region, used.base, 0, true, NULL));
	mhp_region_release(used.region);
	mhp_region_release(used.region); /* a handler's, of a hold that is its parent's: nothing */
	end();
}

TEST(hold__pinned_there__refused_wanted_or_not)
{
	begin();
	send(NODE);
	char *page = used.base + HUGE + PAGE;
	CHECK_OK(mhp_region_pin(used.region, page, PAGE));
	for (int wanted = 0; wanted < 2; wanted++) {
		struct mhp_text why = { "" };
		CHECK_RET(mhp_region_hold(used.region, page, PAGE, wanted != 0, &why), MHP_EBUSY);
		CHECK_STR(why.text, "pinned");
		fixture_check(used.base, SIZE);
	}
	CHECK_OK(mhp_region_unpin(used.region, page, PAGE));
	send(0);
	send(NODE); /* nothing is held */
	end();
}

/* R66: of all addresses, those that were charged. */
TEST(used__any_range__if_a_page_of_it_is)
{
	begin();
	CHECK(mhp_region_used(used.region, used.base, SIZE));
	CHECK(mhp_region_used(used.region, used.base + SIZE - 1, 1));
	CHECK(mhp_region_used(used.region, (void *)(uintptr_t)PAGE, (uintptr_t)used.base));
	CHECK(!mhp_region_used(used.region, used.base, 0));
	CHECK(!mhp_region_used(used.region, used.base + SIZE, PAGE));
	CHECK(!mhp_region_used(used.region, (void *)(uintptr_t)PAGE, (uintptr_t)used.base - PAGE));
	CHECK(!mhp_region_used(used.region, (void *)(UINT64_C(1) << 50), PAGE));
	end();
}

/* What cannot come back says why, and is not held. */
TEST(hold__locked_there__refused_with_a_sentence)
{
	struct mhp_text why = { "" };
	begin();
	send(NODE);
	CHECK(mlock(used.base + PAGE, PAGE) == 0);
	CHECK_RET(mhp_region_hold(used.region, used.base, PAGE, true, &why), MHP_EBUSY);
	CHECK_STR(why.text, "locked by mlock");
	CHECK(munlock(used.base + PAGE, PAGE) == 0);
	send(0);
	end();
}

static atomic_bool stop;

static void *
write_all(void *arg)
{
	(void)arg;
	for (uint64_t at = 0; !atomic_load(&stop); at = (at + PAGE) % SIZE)
		*(volatile uint64_t *)(void *)(used.base + at) = at;
	return NULL;
}

/* mremap, as a program does it, while another thread goes on writing beside it. */
TEST(hold__mremap_under_load__nothing_is_lost)
{
	pthread_t writer;
	begin();
	char *more = mmap(NULL, PAGE, RW, PRIVATE, -1, 0), *away = more;
	CHECK(more != MAP_FAILED);
	CHECK(pthread_create(&writer, NULL, write_all, NULL) == 0);
	for (unsigned i = 0; i < 20; i++) {
		send(NODE);
		CHECK_OK(mhp_region_hold(used.region, used.base + SIZE, PAGE, true, NULL));
		CHECK(mprotect(used.base + SIZE, PAGE, RW) == 0);
		used.base[SIZE] = (char)i;
		CHECK(mremap(used.base + SIZE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) ==
		      away && away[0] == (char)i);
		CHECK(mmap(used.base + SIZE, PAGE, PROT_NONE, PRIVATE | MAP_FIXED, -1, 0) !=
		      MAP_FAILED);
		mhp_region_release(used.region);
		send(0);
	}
	atomic_store(&stop, true);
	CHECK(pthread_join(writer, NULL) == 0);
	fixture_check(used.base, SIZE);
	munmap(more, PAGE);
	end();
}

/* ---- a child ---- */

/* R38: nothing of a child's goes to its parent's device, and it is told so. */
static void
use_in_child(void)
{
	struct mhp_text why = { "" };
	fixture_check(used.base, SIZE);
	CHECK_AGAIN(mhp_region_move(used.region, used.base, SIZE, 0, NULL, &why));
	CHECK_RET(mhp_region_move(used.region, used.base, SIZE, NODE, NULL, &why), MHP_EPERM);
	CHECK_STR(why.text, "a forked child has none of its parent's devices");
	fixture_check(used.base, SIZE);
	memset(used.base, 7, SIZE);
	_exit(0);
}

TEST(over__fork__child_has_a_copy)
{
	begin();
	send(NODE);
	pid_t child = fork();
	if (child == 0) {
		use_in_child();
	}
	fixture_join(child);
	fixture_check(used.base, SIZE);
	end();
}

/* ---- nobody was told ---- */

/* What is mapped there by now is not the device's, and stays as it is. */
TEST(over__mapped_anew__not_touched)
{
	begin();
	send(NODE);
	int other = memfd_create("other", MFD_CLOEXEC);
	CHECK(other >= 0 && ftruncate(other, HUGE) == 0);
	char *fresh = used.base + HUGE / 2, *file = used.base + 2 * HUGE;
	CHECK(mmap(fresh, HUGE, RW, PRIVATE | MAP_FIXED, -1, 0) == fresh);
	CHECK(mmap(file, HUGE, RW, MAP_SHARED | MAP_FIXED, other, 0) == file);
	memset(fresh, 5, HUGE);
	memset(file, 6, HUGE);
	struct mhp_text why = { "" };
	CHECK_AGAIN(mhp_region_move(used.region, used.base, 2 * HUGE, 0, NULL, &why));
	CHECK_AGAIN(mhp_region_move(used.region, file, HUGE, 0, NULL, &why));
	CHECK_EQ(settled(), 0);
	for (size_t at = 0; at < SIZE; at += PAGE) {
		if (at < HUGE / 2 || (at >= HUGE / 2 + HUGE && at < 2 * HUGE))
			CHECK_EQ(*(uint64_t *)(void *)(used.base + at), at);
		else
			CHECK_EQ(used.base[at], at < 2 * HUGE ? 5 : 6);
	}
	/* A file does not go. */
	CHECK_RET(mhp_region_move(used.region, file, HUGE, NODE, NULL, &why), MHP_EBUSY);
	CHECK_STR(why.text, "mapped by the program as something else");
	CHECK(file[0] == 6);
	char byte = 0;
	CHECK(pread(other, &byte, 1, 5) == 1 && byte == 6);
	close(other);
	end();
}

TEST(over__unmapped__its_pages_are_given_back)
{
	begin();
	send(NODE);
	CHECK(munmap(used.base, SIZE) == 0);
	CHECK_AGAIN(mhp_region_move(used.region, used.base, SIZE, 0, NULL, NULL));
	CHECK_EQ(settled(), 0);
	CHECK(mmap(used.base, SIZE, PROT_NONE, PRIVATE | MAP_FIXED, -1, 0) == used.base);
	end();
}
