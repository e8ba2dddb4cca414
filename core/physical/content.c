/* SPDX-License-Identifier: MIT */
/*
 * content.c - what lies in the memory of blocks that nobody uses: patterns that test it, and zeros.
 *
 * The time of both grows with the memory, so both poll the bounds of the work. Both leave frames
 * with memory errors alone: even a write may do harm there. Must not know: metadata, states.
 */
#include "base/mem.h"
#include "physical/physical.h"
#include "tables/bad.h"

/* ---- test patterns (MHP_ADD_TEST) ---- */

/* One pass over a block: every page must hold `old` patterns (if there are any) and then gets `new`
 * ones. A pass writes all before the next one reads any, so that it finds two addresses which reach
 * the same cell, too, not only cells that lose their value. */
struct test_pass {
	uint64_t old_flip, new_flip;   /* the pattern of a word is its address, flipped with this */
	bool check;
	bool zero;                     /* leave zeros instead of a pattern */
};

static const struct test_pass test_passes[] = {
	{ .new_flip = 0 },
	{ .check = true, .new_flip = UINT64_MAX },
	{ .check = true, .old_flip = UINT64_MAX, .zero = true },
};

/* Volatile: the compiler must not know the answer. */
static bool
test_page(volatile uint64_t *words, uint64_t nr_words, uint64_t address,
	  const struct test_pass *pass)
{
	MHP_ASSERT_DEBUG(nr_words != 0);
	for (uint64_t i = 0; i < nr_words; i++) {
		if (pass->check && words[i] != ((address + 8 * i) ^ pass->old_flip))
			return false;
		words[i] = pass->zero ? 0 : (address + 8 * i) ^ pass->new_flip;
	}
	return true;
}

static int
pass_block(struct mhp *m, uint32_t block, const struct test_pass *pass,
	   struct mhp_add_answer *answer)
{
	uint64_t start = mhp__block_start(m, block), bytes = mhp__page_bytes(m);
	int err = 0;

	MHP_ASSERT_DEBUG(m->blocks[block].state == MHP_ABSENT); /* nobody uses it yet */
	for (uint64_t pfn = start; pfn < start + mhp__block_pages(m) && err == 0; pfn++) {
		struct mhp_phys phys = mhp__pfn_phys(m, pfn);
		err = mhp__work_stop(m);
		if (err != 0 || mhp__bad_in(m, pfn, pfn + 1) != 0 ||
		    test_page(mhp_pfn_to_virt(m, pfn), bytes / 8, phys.addr, pass))
			continue;
		answer->conflict = (struct mhp_span){ phys, bytes };
		err = MHP_EIO;
	}
	return err;
}

int
mhp__test_block(struct mhp *m, uint32_t block, struct mhp_add_answer *answer)
{
	unsigned nr_passes = sizeof(test_passes) / sizeof(test_passes[0]);
	uint64_t done = (uint64_t)(block - answer->blocks.first) << m->geo.block_order;
	uint64_t all = (uint64_t)answer->blocks.count << m->geo.block_order;
	int err = 0;

	MHP_ASSERT_DEBUG(block - answer->blocks.first < answer->blocks.count);
	for (unsigned i = 0; i < nr_passes && err == 0; i++)
		err = pass_block(m, block, &test_passes[i], answer);
	if (err == 0)
		mhp__work_progress(m, done + mhp__block_pages(m),
				   all - done - mhp__block_pages(m));
	return err;
}

/* ---- zeros ---- */

void
mhp__zero_frames(struct mhp *m, uint64_t pfn, uint64_t end)
{
	MHP_ASSERT_DEBUG(pfn <= end);
	MHP_ASSERT_DEBUG(end <= mhp__max_pfn(m));
	while (pfn < end) {
		uint32_t next = mhp__bad_find(m, pfn);
		uint64_t stop = next < m->nr_bad && m->bad[next] < end ? m->bad[next] : end;
		memset(mhp_pfn_to_virt(m, pfn), 0, (size_t)((stop - pfn) << m->geo.page_shift));
		pfn = stop + 1;
	}
}

#define SCRUB_PAGES UINT64_C(64) /* between two polls */

int
mhp__scrub(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages)
{
	uint64_t end = start_pfn + nr_pages, stop;
	int err = 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	for (uint64_t pfn = start_pfn; pfn < end && err == 0; pfn = stop) {
		stop = end - pfn < SCRUB_PAGES ? end : pfn + SCRUB_PAGES;
		mhp__zero_frames(m, pfn, stop);
		err = mhp__work_stop(m);
	}
	return err;
}
