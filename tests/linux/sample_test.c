/* SPDX-License-Identifier: MIT */
/*
 * sample_test.c - what is seen of uses of memory, and that looking changes nothing.
 *
 * Each case makes a few windows of memory whose bytes say which page they are, forgets what the
 * kernel knows of their use, uses some pages, and looks. The figures are exact: nobody else uses
 * the memory, and no page of it is huge unless a case says so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../ports/linux/sample.h"
#include "../test.h"

#define PAGE UINT64_C(4096)
#define WINDOW (UINT64_C(2) << 20)
#define WINDOWS 8U
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Memory for some windows, each byte of it the number of its page. */
static unsigned char *
make_memory(bool shared)
{
	int flags = MAP_ANONYMOUS | MAP_NORESERVE | (shared ? MAP_SHARED : MAP_PRIVATE);
	unsigned char *all = mmap(NULL, (WINDOWS + 1) * WINDOW, PROT_READ | PROT_WRITE, flags, -1,
				  0);
	CHECK(all != MAP_FAILED);
	unsigned char *base = all + (WINDOW - (uintptr_t)all % WINDOW);
	madvise(base, WINDOWS * WINDOW, MADV_NOHUGEPAGE);
	for (uint64_t page = 0; page < WINDOWS * WINDOW / PAGE; page++)
		memset(base + page * PAGE, (int)page, PAGE);
	return base;
}

static void
check_memory(const unsigned char *base)
{
	for (uint64_t page = 0; page < WINDOWS * WINDOW / PAGE; page++)
		CHECK_EQ(base[page * PAGE + page % PAGE], (unsigned char)page);
}

static void
make_looks(struct mhp__look *look, const unsigned char *base, bool shared)
{
	for (unsigned i = 0; i < WINDOWS; i++)
		look[i] = (struct mhp__look){ .start = (uintptr_t)base + i * WINDOW,
					      .ordinary = shared ? 0 : UINT32_MAX,
					      .shared = shared ? UINT32_MAX : 0 };
}

static unsigned
count_mappings(void)
{
	unsigned nr = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	for (int c; maps != NULL && (c = fgetc(maps)) != EOF;)
		nr += c == '\n';
	if (maps != NULL)
		fclose(maps);
	return nr;
}

static void
read_page(const unsigned char *base, unsigned window, unsigned page)
{
	(void)*(const volatile unsigned char *)(base + window * WINDOW + page * PAGE);
}

/* What the program does between forgetting and looking. */
struct program {
	unsigned char *base;
	void (*use)(unsigned char *base);
};

static bool
begin_look(void *ctx, unsigned i)
{
	(void)ctx;
	(void)i;
	return true;
}

static void
end_look(void *ctx)
{
	(void)ctx;
}

static void
wait_for(void *ctx)
{
	struct program *program = ctx;
	if (program->use != NULL)
		program->use(program->base);
}

static void
sample(struct mhp__look *look, unsigned char *base, void (*use)(unsigned char *base))
{
	struct program program = { base, use };
	struct mhp__sampler sampler = { &program, begin_look, end_look, wait_for };
	mhp__sample(look, WINDOWS, &sampler);
}

#define GUESSED_MAX 32U

static void
use_ordinary(unsigned char *base)
{
	for (unsigned i = 0; i < 40; i++)
		read_page(base, 2, i * 11);
	base[3 * WINDOW + 5 * PAGE] = base[3 * WINDOW];
}

/* R64: neighbours are told apart, reads are seen, no mapping and no byte changes. A CPU may mark
 * pages that it only guessed would be used: once in hundreds of runs, up to 18 of a window. */
TEST(see__ordinary_memory__pages_that_were_used_and_nothing_changes)
{
	unsigned char *base = make_memory(false);
	struct mhp__look look[WINDOWS];
	make_looks(look, base, false);
	unsigned before = count_mappings();
	sample(look, base, use_ordinary);
	CHECK_EQ(count_mappings(), before);
	for (unsigned i = 0; i < WINDOWS; i++) {
		unsigned used = i == 2 ? 40 : i == 3 ? 2 : 0;
		CHECK_EQ(look[i].parts, 512);
		CHECK_CMP(look[i].used, >=, used);
		CHECK_CMP(look[i].used, <, used + GUESSED_MAX);
		CHECK_CMP(look[i].over_ns, >, 0);
	}
	base[3 * WINDOW + 5 * PAGE] = (unsigned char)(3 * 512 + 5);
	check_memory(base);
}

static void
use_shared(unsigned char *base)
{
	for (unsigned i = 0; i < 7; i++)
		read_page(base, 2, i * 64 + 1);
	base[3 * WINDOW] = base[3 * WINDOW + 1];
}

/* R64 */
TEST(see__shared_mapping__parts_that_were_used_and_nothing_changes)
{
	unsigned char *base = make_memory(true);
	struct mhp__look look[WINDOWS];
	make_looks(look, base, true);
	sample(look, base, use_shared);
	for (unsigned i = 0; i < WINDOWS; i++) {
		CHECK_EQ(look[i].parts, 32);
		CHECK_EQ(look[i].used, i == 2 ? 7 : i == 3 ? 1 : 0);
	}
	check_memory(base);
}

/* R64: what is not what its entry says is left alone, since dropping it would lose it. */
TEST(forget__private_memory_taken_for_shared__refused_and_data_stays)
{
	unsigned char *base = make_memory(false);
	struct mhp__look look[WINDOWS];
	make_looks(look, base, true);
	sample(look, base, NULL);
	for (unsigned i = 0; i < WINDOWS; i++)
		CHECK_EQ(look[i].parts, 0);
	check_memory(base);
}

/* R64 */
TEST(forget__locked_or_unmapped__refused)
{
	unsigned char *base = make_memory(true);
	struct mhp__look look[WINDOWS];
	make_looks(look, base, true);
	bool locked = mlock(base, PAGE) == 0;
	munmap(base + WINDOW, WINDOW);
	look[1].shared = 0;
	look[1].ordinary = UINT32_MAX;
	sample(look, base, NULL);
	CHECK_EQ(look[0].parts, locked ? 0 : 32);
	CHECK_EQ(look[1].parts, 0);
	CHECK_EQ(look[2].parts, 32);
}

static void
use_huge(unsigned char *base)
{
	read_page(base, 1, 100);
}

/* Huge pages, or the case is skipped. A page that the kernel has at hand for a moment, or memory in
 * pieces, is no reason: then once more. */
static void
collapse(unsigned char *base)
{
	madvise(base, WINDOWS * WINDOW, MADV_HUGEPAGE);
	for (unsigned ms = 0; madvise(base, WINDOWS * WINDOW, MADV_COLLAPSE) != 0; ms += 10) {
		if (errno == EINVAL || ms >= 30000)
			test_skip("needs collapse: the kernel makes no huge pages here");
		usleep(10000);
	}
}

/* R64: one use sets a huge entry, so that a huge page has one part. */
TEST(see__ordinary_huge_page__one_part)
{
	unsigned char *base = make_memory(false);
	struct mhp__look look[WINDOWS];
	make_looks(look, base, false);
	collapse(base);
	sample(look, base, use_huge);
	for (unsigned i = 0; i < WINDOWS; i++) {
		CHECK_EQ(look[i].parts, 1);
		CHECK_EQ(look[i].used, i == 1);
	}
	check_memory(base);
}

static void
use_pieces(unsigned char *base)
{
	read_page(base, 1, 40);        /* piece 2 */
	read_page(base, 1, 500);       /* piece 31 */
	read_page(base, 2, 0);         /* piece 0 */
	read_page(base, 2, 144);       /* piece 9, shared */
	read_page(base, 2, 300);       /* piece 18 */
}

/* R64: which pieces were used, of memory of both kinds in one window; no mapping stays. */
TEST(see__fine__pieces_that_were_used_of_ordinary_and_shared_memory)
{
	unsigned char *base = make_memory(false);
	struct mhp__look look[WINDOWS];
	unsigned before = count_mappings();
	make_looks(look, base, false);
	for (unsigned i = 0; i < WINDOWS; i++)
		look[i].fine = true;
	/* Pieces 8 to 15 of window 2 are shared memory; its first page is page 1024. */
	void *shared = mmap(base + 2 * WINDOW + 128 * PAGE, 128 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(shared != MAP_FAILED);
	for (uint64_t page = 1024 + 128; page < 1024 + 256; page++)
		memset(base + page * PAGE, (int)page, PAGE);
	look[2].shared = 0xff00;
	look[2].ordinary = ~look[2].shared;
	sample(look, base, use_pieces);
	for (unsigned i = 0; i < WINDOWS; i++) {
		CHECK_EQ(look[i].known, UINT32_MAX);
		CHECK_EQ(look[i].seen, i == 1 ? UINT32_C(0x80000004) :
				       i == 2 ? UINT32_C(0x00040201) : 0);
	}
	CHECK_CMP(count_mappings(), <=, before + 2);
	check_memory(base);
}

/* R64: it is one large page afterwards, too. */
TEST(is_huge__large_page_and_small_ones__told_apart)
{
	unsigned char *base = make_memory(false);
	CHECK(!mhp__sample_is_huge((uintptr_t)base));
	collapse(base);
	CHECK(mhp__sample_is_huge((uintptr_t)base));
}
