/* SPDX-License-Identifier: MIT */
/*
 * batch.c - move one batch of pages while the program runs: protect, copy, remap, wake.
 *
 * After protect no CPU and no system call can store to the pages; loads go on, but for pages of
 * files that cannot be protected, where everybody waits (hole.c). Then the old frames
 * are copied through the direct map, the new ones mapped over the same addresses, the writers
 * woken. Nothing of the library may touch a region meanwhile. What was never touched is a hole in
 * the backing file and stays one. Before the remap everything can be undone by releasing the
 * protection; from the first remap on the batch is finished, which the mappings kept in hand make
 * possible. Should the kernel refuse even then, the writers wait and it is asked again and again:
 * nothing is lost, and nobody is told that a page is where it is not. Region mutex held.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "table.h"

#define REMAP_TRIES 1000U

typedef void part_fn(struct mhp_pool *pool, const struct mhp__piece *piece, uint64_t first_byte,
		     uint64_t size);

/* Call fn for each part of the source that was ever touched. Returns their size. */
static uint64_t
each_touched(struct mhp_pool *pool, const struct mhp__piece *piece, part_fn *fn)
{
	uint64_t sum = 0;
	for (uint64_t done = 0; done < piece->nr;) {
		uint64_t offset, start, stop;
		const struct mhp__file *file =
			mhp__frame_file(pool, piece->src_pfn + done, &offset);
		uint64_t part = (pool->block_bytes - offset % pool->block_bytes) >> MHP__PAGE_SHIFT;
		if (part > piece->nr - done)
			part = piece->nr - done;
		uint64_t cursor = offset, end = offset + (part << MHP__PAGE_SHIFT);
		while (mhp__file_next_data(file, &cursor, end, &start, &stop)) {
			fn(pool, piece, (done << MHP__PAGE_SHIFT) + start - offset, stop - start);
			sum += stop - start;
		}
		done += part;
	}
	return sum;
}

static void
prepare_part(struct mhp_pool *pool, const struct mhp__piece *piece, uint64_t first, uint64_t size)
{
	madvise(mhp__frame_virt(pool, piece->dst_pfn) + first, size, MADV_POPULATE_WRITE);
	madvise(mhp__frame_virt(pool, piece->src_pfn) + first, size, MADV_POPULATE_READ);
}

static void
copy_part(struct mhp_pool *pool, const struct mhp__piece *piece, uint64_t first, uint64_t size)
{
	memcpy(mhp__frame_virt(pool, piece->dst_pfn) + first,
	       mhp__frame_virt(pool, piece->src_pfn) + first, size);
}

static void
map_in_part(struct mhp_pool *pool, const struct mhp__piece *piece, uint64_t first, uint64_t size)
{
	(void)pool;
	madvise((char *)mhp__page_address(piece->region, piece->page) + first, size,
		MADV_POPULATE_READ);
}

/* In order of address, so that neighbours are protected in one call and mapped as one. */
static void
sort(struct mhp__batch *batch)
{
	for (unsigned i = 1; i < batch->nr_pieces; i++) {
		struct mhp__piece piece = batch->piece[i];
		uintptr_t address = mhp__page_address(piece.region, piece.page);
		unsigned at = i;
		while (at > 0 && mhp__page_address(batch->piece[at - 1].region,
						   batch->piece[at - 1].page) > address) {
			batch->piece[at] = batch->piece[at - 1];
			at--;
		}
		batch->piece[at] = piece;
	}
}

/* Pieces from i on that are neighbours by address (and by target, if asked); their pages. */
static unsigned
group(const struct mhp__batch *batch, unsigned i, bool by_target, uint64_t *ret_nr)
{
	unsigned end = i + 1;
	*ret_nr = batch->piece[i].nr;
	for (; end < batch->nr_pieces; end++) {
		const struct mhp__piece *last = &batch->piece[end - 1], *next = &batch->piece[end];
		if (next->region != last->region || last->page + last->nr != next->page ||
		    next->hole != last->hole)
			break;
		if (by_target && last->dst_pfn + last->nr != next->dst_pfn)
			break;
		*ret_nr += next->nr;
	}
	return end;
}

static uintptr_t
piece_address(const struct mhp__piece *piece)
{
	return mhp__page_address(piece->region, piece->page);
}

/*
 * Let everybody go on with the old frames of pieces [0, end). What a child sees stays protected:
 * the writer that waits for its copy will ask again.
 */
static void
release(struct mhp_pool *pool, unsigned end)
{
	for (unsigned i = 0; i < end; i++) {
		const struct mhp__piece *piece = &pool->batch.piece[i];
		uint64_t size = piece->nr << MHP__PAGE_SHIFT;
		if (!piece->hole && !pool->batch.keep_src)
			mhp__uffd_release(pool, piece_address(piece), size);
		if (!piece->hole)
			continue;
		mhp__spare_drop(pool);
		(void)!mhp__region_map(piece->region, piece->page, piece->src_pfn, piece->nr);
		mhp__hole_wake(pool, piece_address(piece), size);
	}
}

/* For the negative control of the write-loss test: without this the test could not fail. */
bool mhp__test_no_protect;

static int
protect(struct mhp_pool *pool)
{
	uint64_t nr;
	if (mhp__test_no_protect)
		return 0;
	for (unsigned i = 0; i < pool->batch.nr_pieces;) {
		const struct mhp__piece *piece = &pool->batch.piece[i];
		unsigned next = group(&pool->batch, i, false, &nr);
		uint64_t size = nr << MHP__PAGE_SHIFT;
		int err = piece->hole ? mhp__hole_make(pool, piece_address(piece), size)
				      : mhp__uffd_protect(pool, piece_address(piece), size);
		if (err != 0) {
			release(pool, next);
			return err;
		}
		i = next;
	}
	return 0;
}

/* For the tests: so many mappings fail once a batch has begun. */
unsigned mhp__test_fail_remaps;

/*
 * Map one part of a target. Without the file, because the program closed it, the direct map will
 * do: a mapping that is moved with an old size of 0 is doubled.
 */
static int
map_part(const struct mhp__piece *piece, uint64_t at, bool begun, uint64_t *ret_part)
{
	struct mhp_pool *pool = piece->region->pool;
	uint64_t pfn = piece->dst_pfn + at;
	char *target = (char *)mhp__page_address(piece->region, piece->page + at);
	if (begun && mhp__test_fail_remaps != 0 && mhp__test_fail_remaps-- != 0)
		return ENOMEM;
	int error = mhp__region_map_part(piece->region, piece->page + at, pfn, ret_part);
	if (error != EBADF)
		return error;
	size_t size = *ret_part << MHP__PAGE_SHIFT;
	if (mremap(mhp__frame_virt(pool, pfn), 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, target) ==
	    MAP_FAILED)
		return errno;
	madvise(target, size, MADV_DOFORK);
	madvise(target, size, MADV_DODUMP);
	return 0;
}

/*
 * Map the target of a group of nr pages. *begun: some of the batch was mapped, so that there is no
 * way back. Then the only bound is the kernel's: it will have a mapping to give at some time, and
 * whoever reads, goes on meanwhile.
 */
static int
remap(struct mhp_pool *pool, const struct mhp__piece *piece, uint64_t nr, bool *begun)
{
	unsigned tries = 0;
	for (uint64_t at = 0, part; at < nr;) {
		part = nr - at;
		int error = map_part(piece, at, *begun, &part);
		if (error == 0) {
			*begun = true;
			at += part;
			continue;
		}
		if (!*begun && (error != ENOMEM || tries == REMAP_TRIES))
			return error;
		mhp__spare_drop(pool);
		if (tries > 0)
			mhp__linux_ops.pause(pool, tries < REMAP_TRIES ? 1000000 : 50000000);
		pool->stats.map_retries++;
		tries++;
	}
	return 0;
}

static void
settle(struct mhp_pool *pool, const struct mhp__piece *piece)
{
	for (uint64_t i = 0; i < piece->nr;) {
		mhp__entry entry = piece->region->entry[piece->page + i];
		unsigned order = mhp__entry_order(entry);
		uint64_t nr = UINT64_C(1) << order;
		if (nr > piece->nr - i)
			nr = piece->nr - i;
		mhp__table_set(piece->region, piece->page + i, nr,
			       mhp__entry_make(piece->dst_pfn + i, order, pool->epoch));
		piece->region->entry[piece->page + i] |= MHP__ENTRY_MOVED;
		i += nr;
	}
}

static void
note(struct mhp_pool *pool, uint64_t touched, uint64_t started_ns)
{
	uint64_t stall = mhp__linux_ops.now_ns(pool) - started_ns;
	pool->stats.move_batches++;
	pool->stats.moved_pages += pool->batch.nr_pages;
	pool->stats.untouched_pages += pool->batch.nr_pages - (touched >> MHP__PAGE_SHIFT);
	pool->stats.stall_sum_ns += stall;
	if (stall > pool->stats.stall_max_ns)
		pool->stats.stall_max_ns = stall;
}

/* Everything between the first writer that waits and the last that goes on. */
static int
switch_frames(struct mhp_pool *pool)
{
	struct mhp__batch *batch = &pool->batch;
	uint64_t started = mhp__linux_ops.now_ns(pool), touched = 0, nr;
	bool begun = false;
	int err = protect(pool);
	if (err != 0)
		return err;
	for (unsigned i = 0; i < batch->nr_pieces; i++)
		touched += each_touched(pool, &batch->piece[i], copy_part);
	if (mhp__test_no_protect)
		mhp__linux_ops.pause(pool, 1000000); /* so that losses are sure */
	for (unsigned i = 0; i < batch->nr_pieces;) {
		const struct mhp__piece *piece = &batch->piece[i];
		unsigned next = group(batch, i, true, &nr);
		err = remap(pool, piece, nr, &begun);
		if (err != 0) {
			release(pool, batch->nr_pieces);
			return mhp__errno(err);
		}
		i = next;
	}
	for (unsigned i = 0; i < batch->nr_pieces;) {
		const struct mhp__piece *piece = &batch->piece[i];
		i = group(batch, i, false, &nr);
		(piece->hole ? mhp__hole_wake : mhp__uffd_wake)(pool, piece_address(piece),
								nr << MHP__PAGE_SHIFT);
	}
	note(pool, touched, started);
	return 0;
}

int
mhp__batch_run(struct mhp_pool *pool)
{
	struct mhp__batch *batch = &pool->batch;
	if (!mhp__mappings_fit(pool, 2U * batch->nr_pieces))
		return MHP_ENOMEM;
	sort(batch);
	for (unsigned i = 0; i < batch->nr_pieces; i++) {
		uint64_t offset;
		const struct mhp__file *file =
			mhp__frame_file(pool, batch->piece[i].src_pfn, &offset);
		batch->piece[i].hole = !file->can_protect;
		/* Only what is touched will be copied: the rest must read as zeros. */
		if (file->sparse)
			mhp__frames_zero(pool, batch->piece[i].dst_pfn, batch->piece[i].nr);
		each_touched(pool, &batch->piece[i], prepare_part);
	}
	int err = switch_frames(pool);
	if (err != 0)
		return err;
	for (unsigned i = 0; i < batch->nr_pieces; i++) {
		const struct mhp__piece *piece = &batch->piece[i];
		settle(pool, piece);
		each_touched(pool, piece, map_in_part);
		if (!batch->keep_src)
			mhp__frames_release(pool, piece->src_pfn, piece->nr);
	}
	return 0;
}
