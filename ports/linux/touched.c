/* SPDX-License-Identifier: MIT */
/*
 * touched.c - which pages of a batch were ever touched: the others are not copied, and stay holes.
 *
 * Only a sparse file has such pages. Asking it where its next hole is costs as much as the data
 * before that hole, however long; mincore() looks at the pages asked about only, but does not see
 * what was swapped out. So mincore() says what is surely there, and each run that it does not find
 * is asked about with SEEK_DATA, which is answered at once. While pages are protected, reading is
 * the only way to touch one, and what is read are zeros: a second look under protection, at what
 * the first one did not find, is exact. Region mutex held.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "batch.h"

/* Set the bytes of those of nr pages at pfn, none of them found, that are there all the same. */
static void
ask_file(const struct mhp_pool *pool, uint64_t pfn, uint64_t nr, unsigned char *touched)
{
	for (uint64_t i = 0, end; i < nr; i = end) {
		uint64_t offset, start;
		for (end = i + 1; end < nr && touched[end] == touched[i]; end++)
			;
		if (touched[i] != 0)
			continue;
		const struct mhp__file *file = mhp__frame_file(pool, pfn + i, &offset);
		uint64_t size = (end - i) << MHP__PAGE_SHIFT;
		if (mhp__file_data(file, offset, size, &start))
			memset(touched + i + ((start - offset) >> MHP__PAGE_SHIFT), 1,
			       end - i - ((start - offset) >> MHP__PAGE_SHIFT));
	}
}

/* The frames lie in one block. */
static void
look(const struct mhp_pool *pool, uint64_t pfn, uint64_t nr, unsigned char *touched)
{
	uint64_t offset;
	memset(touched, 1, nr);
	if (!mhp__frame_file(pool, pfn, &offset)->sparse)
		return;
	if (mincore(mhp__frame_virt(pool, pfn), nr << MHP__PAGE_SHIFT, touched) != 0)
		memset(touched, 0, nr);
	for (uint64_t i = 0; i < nr; i++)
		touched[i] &= 1;
	ask_file(pool, pfn, nr, touched);
}

void
mhp__touched_look(struct mhp_pool *pool, bool again)
{
	struct mhp__batch *batch = &pool->batch;
	uint64_t block_pages = pool->block_bytes >> MHP__PAGE_SHIFT;
	unsigned char *touched = batch->touched;
	for (unsigned i = 0; i < batch->nr_pieces;) {
		uint64_t pfn = batch->piece[i].src_pfn, nr = 0;
		while (i < batch->nr_pieces && batch->piece[i].src_pfn == pfn + nr)
			nr += batch->piece[i++].nr;
		for (uint64_t part; nr != 0; pfn += part, nr -= part, touched += part) {
			part = block_pages - pfn % block_pages;
			part = part < nr ? part : nr;
			(again ? ask_file : look)(pool, pfn, part, touched);
		}
	}
}

uint64_t
mhp__touched_each(struct mhp_pool *pool, bool kind, mhp__part_fn *fn)
{
	struct mhp__batch *batch = &pool->batch;
	const unsigned char *touched = batch->touched;
	uint64_t src = 0, dst = 0, nr = 0, sum = 0;
	for (unsigned i = 0; i < batch->nr_pieces; i++) {
		const struct mhp__piece *piece = &batch->piece[i];
		for (uint64_t page = 0; page < piece->nr; page++) {
			if (touched[page] != kind)
				continue;
			if (nr != 0 && src + nr == piece->src_pfn + page &&
			    dst + nr == piece->dst_pfn + page) {
				nr++;
				continue;
			}
			if (nr != 0)
				fn(pool, src, dst, nr);
			sum += nr;
			src = piece->src_pfn + page;
			dst = piece->dst_pfn + page;
			nr = 1;
		}
		touched += piece->nr;
	}
	if (nr != 0)
		fn(pool, src, dst, nr);
	return sum + nr;
}
