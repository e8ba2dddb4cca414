/* SPDX-License-Identifier: MIT */
/*
 * journal.c - the note of the window that is on its way.
 *
 * One mover at a time: it notes a window only when none is on its way. The step is stored last when
 * a note begins, so whoever finds one finds the rest, too. A mover is known by the companion that
 * it is in, since all movers of a companion are killed together.
 */
#include <limits.h>

#include <memplug/companion.h>

#include "journal.h"
#include "task.h"

#define WAIT_MS 1U

bool
mhp__journal_still(const struct mhp__journal *journal)
{
	return atomic_load(&journal->step) == MHP__STILL;
}

bool
mhp__journal_names(const struct mhp__journal *journal, const struct mhp_region *region,
		   uint64_t page, uint64_t nr)
{
	uint64_t first = journal->page / MHP__HUGE_PAGES * MHP__HUGE_PAGES;
	return !mhp__journal_still(journal) && journal->region == region &&
	       page < first + MHP__HUGE_PAGES && page + nr > first;
}

bool
mhp__journal_torn(const struct mhp__journal *journal)
{
	return !mhp__journal_still(journal) && journal->mover != mhp_companion_pid();
}

void
mhp__journal_begin(struct mhp__journal *journal, struct mhp_region *region, uint64_t page,
		   uint64_t nr, enum mhp__step step)
{
	MHP__ASSERT(mhp__journal_still(journal) && step != MHP__STILL);
	MHP__ASSERT(nr != 0 && page / MHP__HUGE_PAGES == (page + nr - 1) / MHP__HUGE_PAGES);
	journal->mover = mhp_companion_pid();
	journal->region = region;
	journal->page = page;
	journal->nr = nr;
	atomic_store(&journal->step, step);
}

void
mhp__journal_step(struct mhp__journal *journal, enum mhp__step step)
{
	MHP__ASSERT(!mhp__journal_still(journal) && step != MHP__STILL);
	atomic_store(&journal->step, step);
}

void
mhp__journal_end(struct mhp__journal *journal)
{
	MHP__ASSERT(!mhp__journal_still(journal));
	atomic_store(&journal->step, MHP__STILL);
	mhp__futex_wake(&journal->step, INT_MAX);
}

void
mhp__journal_wait(struct mhp__journal *journal)
{
	int step = atomic_load(&journal->step);
	if (step != MHP__STILL)
		mhp__futex_wait(&journal->step, step, WAIT_MS);
}
