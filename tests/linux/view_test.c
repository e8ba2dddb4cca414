/* SPDX-License-Identifier: MIT */
/*
 * view_test.c - what the kernel says of memory that is about to move, and of room for it, while a
 * look at either holds.
 *
 * The clock is the caller's: at the same moment as before, the list of mappings is not read again.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "../../ports/linux/room.h"
#include "../../ports/linux/view.h"
#include "../test.h"

#define SIZE (UINT64_C(64) << 10)
#define NOW UINT64_C(1000000000)

static char *
make_memory(void)
{
	char *memory = mmap(NULL, 3 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	memory += SIZE; /* a mapping of its own */
	CHECK_EQ(mprotect(memory, SIZE, PROT_READ | PROT_WRITE), 0);
	return memory;
}

/* R54: what was locked since is busy, also if that is exactly one mapping, whose edges stay. */
TEST(view__locked_while_a_look_holds__busy)
{
	struct mhp__view view = { 0 };
	char *memory = make_memory();
	uintptr_t start = (uintptr_t)memory;
	CHECK_OK(mhp__view_plain(&view, start, start + SIZE, MHP_HUGE_AUTO, NOW, NULL));
	if (mlock(memory, SIZE) != 0)
		test_skip("needs to lock 64 KiB of memory (RLIMIT_MEMLOCK)");
	CHECK_RET(mhp__view_plain(&view, start, start + SIZE, MHP_HUGE_AUTO, NOW, NULL), MHP_EBUSY);
	CHECK_EQ(munlock(memory, SIZE), 0);
	CHECK_OK(mhp__view_plain(&view, start, start + SIZE, MHP_HUGE_AUTO, NOW, NULL));
	munmap(memory - SIZE, 3 * SIZE);
}

/* R54: so is what became read-only. */
TEST(view__protected_while_a_look_holds__busy)
{
	struct mhp__view view = { 0 };
	char *memory = make_memory();
	uintptr_t start = (uintptr_t)memory;
	CHECK_OK(mhp__view_plain(&view, start, start + SIZE, MHP_HUGE_AUTO, NOW, NULL));
	CHECK_EQ(mprotect(memory, SIZE, PROT_READ), 0);
	CHECK_RET(mhp__view_plain(&view, start, start + SIZE, MHP_HUGE_AUTO, NOW, NULL), MHP_EBUSY);
	munmap(memory - SIZE, 3 * SIZE);
}

/* R39: windows may come in any order, and a look costs as much as the memory before it. */
TEST(view__plain_memory_before_it__is_looked_at_as_well)
{
	struct mhp__view view = { 0 };
	char *memory = make_memory();
	const uintptr_t start = (uintptr_t)memory, page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t last = start + SIZE - page;
	CHECK_OK(mhp__view_plain(&view, last, last + page, MHP_HUGE_AUTO, NOW, NULL));
	CHECK_EQ(view.start, start);
	CHECK_EQ(view.end, start + SIZE);
	for (unsigned gone = 0; gone < 2; gone++) { /* read-only at first, then not there */
		view.until_ns = 0;
		CHECK_EQ(gone ? munmap(memory, page) : mprotect(memory, page, PROT_READ), 0);
		CHECK_OK(mhp__view_plain(&view, last, last + page, MHP_HUGE_AUTO, NOW, NULL));
		CHECK_EQ(view.start, start + page);
		CHECK_EQ(view.end, start + SIZE);
	}
	CHECK_RET(mhp__view_plain(&view, start, last, MHP_HUGE_AUTO, NOW, NULL), MHP_EBUSY);
	munmap(memory - SIZE, 3 * SIZE);
}

/* R54: a look that found much does for many windows, but not for long. */
TEST(view__room_was_found_a_moment_ago__not_looked_for_again)
{
	struct mhp__room_look look = { 0 };
	int self = (int)getpid();
	CHECK_OK(mhp__room_check_some(&look, self, SIZE, NOW, NULL));
	uint64_t left = look.left, until_ns = look.until_ns;
	if (left == 0)
		test_skip("needs 128 MiB that are free");
	CHECK_OK(mhp__room_check_some(&look, self, SIZE, NOW, NULL));
	CHECK_EQ(look.left, left - SIZE);
	CHECK_EQ(look.until_ns, until_ns);
	CHECK_OK(mhp__room_check_some(&look, self, SIZE, until_ns, NULL));
	CHECK_CMP(look.until_ns, >, until_ns);
}

/* R54: what is not there is not there, whatever a look found before. */
TEST(view__more_than_there_is__no_room)
{
	struct mhp__room_look look = { .until_ns = 2 * NOW, .left = SIZE };
	struct mhp_text text = { "" };
	CHECK_RET(mhp__room_check_some(&look, (int)getpid(), UINT64_C(1) << 50, NOW, &text),
		  MHP_ENOMEM);
	CHECK(text.text[0] != 0);
	CHECK_EQ(look.left, 0);
}
