/* SPDX-License-Identifier: MIT */
/*
 * view_test.c - what the kernel says of memory that is about to move, while a look at it holds.
 *
 * The clock is the caller's: at the same moment as before, the list of mappings is not read again.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

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
	CHECK_OK(mhp__view_plain(&view, start, start + SIZE, NOW, NULL));
	if (mlock(memory, SIZE) != 0)
		test_skip("needs to lock 64 KiB of memory (RLIMIT_MEMLOCK)");
	CHECK_RET(mhp__view_plain(&view, start, start + SIZE, NOW, NULL), MHP_EBUSY);
	CHECK_EQ(munlock(memory, SIZE), 0);
	CHECK_OK(mhp__view_plain(&view, start, start + SIZE, NOW, NULL));
	munmap(memory - SIZE, 3 * SIZE);
}

/* R54: so is what became read-only. */
TEST(view__protected_while_a_look_holds__busy)
{
	struct mhp__view view = { 0 };
	char *memory = make_memory();
	uintptr_t start = (uintptr_t)memory;
	CHECK_OK(mhp__view_plain(&view, start, start + SIZE, NOW, NULL));
	CHECK_EQ(mprotect(memory, SIZE, PROT_READ), 0);
	CHECK_RET(mhp__view_plain(&view, start, start + SIZE, NOW, NULL), MHP_EBUSY);
	munmap(memory - SIZE, 3 * SIZE);
}
