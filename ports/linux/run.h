/* SPDX-License-Identifier: MIT */
/*
 * run.h - a run: pages of a window whose frames lie next to each other in one file.
 *
 * It is what goes to a device in one piece, and is one mapping there. Told a region; knows no pool
 * and no lock: whoever moves a run sees to it that nobody writes to it meanwhile.
 */
#ifndef MHP_LINUX_RUN_H
#define MHP_LINUX_RUN_H

#include "table.h"

struct mhp__run {
	uint64_t page, nr;             /* pages of the region */
	uint64_t pfn;
	const struct mhp__file *file;
	uint64_t offset;               /* of the first frame in the file */
	bool whole;                    /* the file has memory for all of it already */
};

/* May this page go to a device? */
bool mhp__run_may_go(const struct mhp_region *region, mhp__entry entry);
/* The next run at or after page of pages that may go. False: none. */
bool mhp__run_next(const struct mhp_region *region, uint64_t page, uint64_t end,
		   struct mhp__run *ret_run);
/* These pages, which are one run. */
struct mhp__run mhp__run_of(const struct mhp_region *region, uint64_t page, uint64_t nr);
/* The run of pages on a device that begins at page. */
struct mhp__run mhp__run_settled(const struct mhp_region *region, uint64_t page, uint64_t end);
/* Can the device's memory be mapped at these addresses, and is it worth it? */
bool mhp__run_worth_it(const struct mhp_region *region, const struct mhp__run *run);

/* Is its place a device that is mapped in pieces of 2 MiB? */
bool mhp__run_by_large_pages(const struct mhp__run *run);

/* Make its place ready: what the frames held before is gone. huge: a huge page of the file will
 * do for a whole window. */
void mhp__run_clear_place(const struct mhp_region *region, struct mhp__run *run, bool huge);
/* Copy it to its frames; *ret_copied: the pages that had to be: of zeros none, where there are
 * holes. False: the program has made some of it unreadable. In the companion. */
MHP_MUST_CHECK bool mhp__run_copy(const struct mhp_region *region, const struct mhp__run *run,
				  uint64_t *ret_copied);
/* Map its frames at the pages' addresses; an errno, or 0. */
MHP_MUST_CHECK int mhp__run_map(const struct mhp_region *region, const struct mhp__run *run);
/* Nobody needs it in the direct map now, where it would count as resident once more; gone: nor
 * anywhere else, since the run came back, or did not go. A file of memory has less of it then. */
void mhp__run_leave_place(const struct mhp_region *region, const struct mhp__run *run, bool gone);
/* These pages, which are on devices, are gone from there. */
void mhp__run_leave_places(const struct mhp_region *region, uint64_t page, uint64_t end);

#endif
