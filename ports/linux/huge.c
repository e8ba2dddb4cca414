/* SPDX-License-Identifier: MIT */
/*
 * huge.c - have the kernel make huge pages of the targets of a move, where all of one will be used.
 *
 * Touching 512 small pages of a memfd one by one costs more than twice as much as copying to them,
 * mapping them and giving them back as much again; a huge page costs little more than its copy. The
 * kernel gives a memfd none by itself unless the machine is set up for it, but collapses pages on
 * demand, if one of them is there. Only for huge pages of the pool, which are mapped in one piece,
 * and only if all of one has been touched, or else more memory would be in use after a move than
 * before it. When the kernel has no huge page to give, it is not asked again for a while, since
 * looking for one takes it long. No mutex: targets are nobody's but the mover's, and their blocks
 * cannot go.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "pool.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGES (UINT64_C(1) << MHP__HUGE_ORDER)
#define PAUSE_MOVES 1024U

/* Is the huge page of the pool at pfn all there, so that all of its target will be? */
static bool
all_touched(const struct mhp_pool *pool, uint64_t pfn)
{
	unsigned char there[HUGE_PAGES];
	uint64_t count = 0;
	if (mincore(mhp__frame_virt(pool, pfn), MHP__HUGE_BYTES, there) != 0)
		return false;
	for (uint64_t i = 0; i < HUGE_PAGES; i++)
		count += there[i] & 1;
	return count == HUGE_PAGES;
}

static bool
sparse(const struct mhp_pool *pool, uint64_t pfn)
{
	uint64_t offset;
	return mhp__frame_file(pool, pfn, &offset)->sparse;
}

/* Make huge pages of [pfn, end). False: the kernel does not. */
static bool
collapse(const struct mhp_pool *pool, uint64_t pfn, uint64_t end)
{
	unsigned char *start = mhp__frame_virt(pool, pfn);
	uint64_t size = (end - pfn) << MHP__PAGE_SHIFT;
	for (uint64_t at = 0; at < size; at += MHP__HUGE_BYTES)
		if (madvise(start + at, MHP__PAGE_BYTES, MADV_POPULATE_WRITE) != 0)
			return false;
	return size == 0 || madvise(start, size, MADV_COLLAPSE) == 0;
}

void
mhp__huge_targets(struct mhp_pool *pool, const struct mhp_move *moves, unsigned nr_moves)
{
	uint64_t start = 0, end = 0; /* what was found so far, as one piece */
	bool good = true;
	if (pool->huge_pause != 0) {
		pool->huge_pause -= pool->huge_pause < nr_moves ? pool->huge_pause : nr_moves;
		return;
	}
	for (unsigned i = 0; i < nr_moves && good; i++) {
		const struct mhp_move *move = &moves[i];
		uint64_t pfn = (move->dst_pfn + HUGE_PAGES - 1) & ~(HUGE_PAGES - 1);
		for (; pfn < move->dst_pfn + move->nr_pages; pfn += HUGE_PAGES) {
			uint64_t src = move->src_pfn + (pfn - move->dst_pfn);
			if (mhp_frame_peek(pool->m, src).order != MHP__HUGE_ORDER ||
			    !sparse(pool, src) || !sparse(pool, pfn) || !all_touched(pool, src))
				continue;
			if (pfn != end) {
				good &= collapse(pool, start, end);
				start = pfn;
			}
			end = pfn + HUGE_PAGES;
		}
	}
	if (!good || !collapse(pool, start, end))
		pool->huge_pause = PAUSE_MOVES;
}
