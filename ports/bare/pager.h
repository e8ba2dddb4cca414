/* SPDX-License-Identifier: MIT */
/*
 * pager.h - a client whose pages can move: virtual pages with live contents, on frames of the
 * engine.
 *
 * Virtual page n has a pattern that follows from n, and a counter that whoever writes to it also
 * keeps elsewhere, so that a lost, torn or misplaced page shows.
 */
#ifndef BARE_PAGER_H
#define BARE_PAGER_H

#include <memplug/mhp.h>

MHP_MUST_CHECK int pager_init(struct mhp *m);
/* Map and fill nr_pages more virtual pages. On error those that were filled stay. */
MHP_MUST_CHECK int pager_fill(uint64_t nr_pages);
/* Unmap and free all. */
void pager_empty(void);
uint64_t pager_nr_pages(void);
/* Read everything back: how many pages are not what was written. */
uint64_t pager_verify(void);
/* A pinned page does not move. MHP_ENOENT. */
MHP_MUST_CHECK int pager_pin(uint64_t page, bool pinned);

/* Let another CPU write to random pages until pager_load_stop(), and evict and refill one after
 * every refill_every writes (0: never). MHP_EBUSY: there is no idle CPU. MHP_ENOENT: there are
 * no pages. */
MHP_MUST_CHECK int pager_load_start(unsigned cpu, uint64_t refill_every);
/* Return after the load has written that many times more. Works only while it runs. */
void pager_load_pace(uint64_t nr_writes);
/* How many writes were made, and how many pages were found to have lost one. */
struct pager_load {
	uint64_t writes;
	uint64_t refills;
	uint64_t lost;
};
struct pager_load pager_load_stop(unsigned cpu);

#endif
