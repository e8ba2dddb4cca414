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
#include <time.h>

#include "batch.h"

#define REMAP_TRIES 1000U
#define MAP_IN_PAGES 4U
/* How long a writer may have to wait for a batch. */
#define BUDGET_NS UINT64_C(300000)

static void
clear_part(struct mhp_pool *pool, uint64_t src_pfn, uint64_t dst_pfn, uint64_t nr)
{
	(void)src_pfn;
	mhp__frames_zero(pool, dst_pfn, nr);
}

static void
prepare_part(struct mhp_pool *pool, uint64_t src_pfn, uint64_t dst_pfn, uint64_t nr)
{
	madvise(mhp__frame_virt(pool, dst_pfn), nr << MHP__PAGE_SHIFT, MADV_POPULATE_WRITE);
	madvise(mhp__frame_virt(pool, src_pfn), nr << MHP__PAGE_SHIFT, MADV_POPULATE_READ);
}

static void
copy_part(struct mhp_pool *pool, uint64_t src_pfn, uint64_t dst_pfn, uint64_t nr)
{
	memcpy(mhp__frame_virt(pool, dst_pfn), mhp__frame_virt(pool, src_pfn),
	       nr << MHP__PAGE_SHIFT);
}

static const struct mhp__piece *
nth(const struct mhp__batch *batch, unsigned i)
{
	return &batch->piece[batch->by_address[i]];
}

/* So that neighbours are protected in one call and mapped as one. */
static void
sort(struct mhp__batch *batch)
{
	for (unsigned i = 0; i < batch->nr_pieces; i++) {
		const struct mhp__piece *piece = &batch->piece[i];
		uintptr_t address = mhp__page_address(piece->region, piece->page);
		unsigned at = i;
		for (; at > 0; at--) {
			const struct mhp__piece *before = nth(batch, at - 1);
			if (mhp__page_address(before->region, before->page) < address)
				break;
			batch->by_address[at] = batch->by_address[at - 1];
		}
		batch->by_address[at] = (uint8_t)i;
	}
}

/* Pieces from i on, by address, that are neighbours (at the target, too, if asked); their pages. */
static unsigned
group(const struct mhp__batch *batch, unsigned i, bool by_target, uint64_t *ret_nr)
{
	unsigned end = i + 1;
	*ret_nr = nth(batch, i)->nr;
	for (; end < batch->nr_pieces; end++) {
		const struct mhp__piece *last = nth(batch, end - 1), *next = nth(batch, end);
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
 * Let everybody go on with the old frames of the first end pieces, by address. What a child sees
 * stays protected: the writer that waits for its copy will ask again. What was told to have no huge
 * pages is mapped anew, so that it merges with its neighbours again; if that fails, it does not.
 */
static void
release(struct mhp_pool *pool, unsigned end)
{
	for (unsigned i = 0; i < end; i++) {
		const struct mhp__piece *piece = nth(&pool->batch, i);
		uint64_t size = piece->nr << MHP__PAGE_SHIFT;
		if (!piece->hole && pool->batch.keep_src)
			continue;
		mhp__spare_drop(pool);
		(void)!mhp__region_map(piece->region, piece->page, piece->src_pfn, piece->nr);
		if (piece->hole)
			mhp__hole_wake(pool, piece_address(piece), size);
		else
			mhp__uffd_release(pool, piece_address(piece), size);
	}
}

/* For the negative control of the write-loss test: without this the test could not fail. */
bool mhp__test_no_protect;

/*
 * Protecting part of a file cuts what is mapped as a huge page into small ones. Whoever faults in
 * between maps it as a huge page again, and the kernel starts over: with a busy writer, for many
 * milliseconds. So no huge pages here from now on; the new mapping knows nothing of that.
 */
static void
unhuge(const struct mhp__piece *piece, uint64_t size)
{
	uint64_t offset;
	if (!piece->hole && !piece->region->pool->batch.keep_src && size >= MHP__HUGE_BYTES &&
	    mhp__frame_file(piece->region->pool, piece->src_pfn, &offset)->sparse)
		madvise((void *)piece_address(piece), size, MADV_NOHUGEPAGE);
}

static int
protect(struct mhp_pool *pool)
{
	uint64_t nr;
	if (mhp__test_no_protect)
		return 0;
	for (unsigned i = 0; i < pool->batch.nr_pieces;) {
		const struct mhp__piece *piece = nth(&pool->batch, i);
		unsigned next = group(&pool->batch, i, false, &nr);
		uint64_t size = nr << MHP__PAGE_SHIFT;
		unhuge(piece, size);
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

/* Everybody may go on, with the new frames. */
static void
wake(struct mhp_pool *pool)
{
	uint64_t nr;
	for (unsigned i = 0; i < pool->batch.nr_pieces;) {
		const struct mhp__piece *piece = nth(&pool->batch, i);
		i = group(&pool->batch, i, false, &nr);
		(piece->hole ? mhp__hole_wake : mhp__uffd_wake)(pool, piece_address(piece),
								nr << MHP__PAGE_SHIFT);
	}
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

static uint64_t
own_cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/*
 * Let batches become so large that writers wait for BUDGET_NS. What counts is the time that we ran:
 * when others took the CPU away in between, a smaller batch would not have helped.
 */
static void
learn(struct mhp_pool *pool, uint64_t cpu_ns)
{
	const struct mhp__batch *batch = &pool->batch;
	uint64_t weight = mhp__batch_weight(batch->nr_pages, batch->nr_pieces);
	uint64_t fits = weight * BUDGET_NS / (cpu_ns + 1);
	/* A small batch says little about the cost of a large one. */
	if (weight < pool->batch_weight / 4 && fits > pool->batch_weight)
		return;
	pool->batch_weight = (pool->batch_weight * 7 + fits) / 8;
	if (pool->batch_weight < MHP__WEIGHT_MIN)
		pool->batch_weight = MHP__WEIGHT_MIN;
	if (pool->batch_weight > MHP__WEIGHT_MAX)
		pool->batch_weight = MHP__WEIGHT_MAX;
}

static void
note(struct mhp_pool *pool, uint64_t touched, uint64_t started_ns)
{
	uint64_t stall = mhp__linux_ops.now_ns(pool) - started_ns;
	pool->stats.move_batches++;
	pool->stats.moved_pages += pool->batch.nr_pages;
	pool->stats.untouched_pages += pool->batch.nr_pages - touched;
	pool->stats.stall_sum_ns += stall;
	if (stall > pool->stats.stall_max_ns)
		pool->stats.stall_max_ns = stall;
}

/* Everything between the first writer that waits and the last that goes on. */
static int
switch_frames(struct mhp_pool *pool)
{
	struct mhp__batch *batch = &pool->batch;
	uint64_t started = mhp__linux_ops.now_ns(pool), started_cpu = own_cpu_ns(), nr;
	bool begun = false;
	int err = protect(pool);
	if (err != 0)
		return err;
	mhp__touched_look(pool, true);
	uint64_t touched = mhp__touched_each(pool, true, copy_part);
	if (mhp__test_no_protect)
		mhp__linux_ops.pause(pool, 1000000); /* so that losses are sure */
	for (unsigned i = 0; i < batch->nr_pieces;) {
		const struct mhp__piece *piece = nth(batch, i);
		i = group(batch, i, true, &nr);
		err = remap(pool, piece, nr, &begun);
		if (err != 0) {
			release(pool, batch->nr_pieces);
			return mhp__errno(err);
		}
	}
	wake(pool);
	learn(pool, own_cpu_ns() - started_cpu);
	note(pool, touched, started);
	return 0;
}

/* Where it saves faults: a fault maps a page or some more, as far as its mapping goes. */
static void
map_in_part(uintptr_t start, uintptr_t end)
{
	if (end - start >= MAP_IN_PAGES * MHP__PAGE_BYTES)
		madvise((void *)start, end - start, MADV_POPULATE_READ);
}

/* Map what was touched, so that nobody faults for it page by page. */
static void
map_in(struct mhp_pool *pool)
{
	const struct mhp__batch *batch = &pool->batch;
	uintptr_t start = 0, end = 0;
	for (unsigned i = 0; i < batch->nr_pieces; i++) {
		const struct mhp__piece *piece = nth(batch, i);
		for (uint64_t page = 0; page < piece->nr; page++) {
			uintptr_t address = mhp__page_address(piece->region, piece->page + page);
			if (batch->touched[piece->at + page] == 0)
				continue;
			if (address != end) {
				map_in_part(start, end);
				start = address;
			}
			end = address + MHP__PAGE_BYTES;
		}
	}
	map_in_part(start, end);
}

static int
run(struct mhp_pool *pool)
{
	struct mhp__batch *batch = &pool->batch;
	mhp__touched_look(pool, false);
	/* Only what is touched will be copied: the rest must read as zeros. */
	mhp__touched_each(pool, false, clear_part);
	mhp__touched_each(pool, true, prepare_part);
	int err = switch_frames(pool);
	if (err != 0)
		return err;
	for (unsigned i = 0; i < batch->nr_pieces; i++)
		settle(pool, &batch->piece[i]);
	map_in(pool);
	return 0;
}

int
mhp__batch_run(struct mhp_pool *pool)
{
	struct mhp__batch *batch = &pool->batch;
	uint64_t offset;
	if (batch->nr_pieces == 0)
		return 0;
	if (!batch->must && !mhp__mappings_fit(pool, 2U * batch->nr_pieces))
		return MHP_ENOMEM;
	sort(batch);
	for (unsigned i = 0, at = 0; i < batch->nr_pieces; i++) {
		batch->piece[i].hole = !mhp__frame_protectable(pool, batch->piece[i].src_pfn);
		batch->piece[i].at = at;
		at += (unsigned)batch->piece[i].nr;
	}
	const struct mhp__file *file = mhp__frame_file(pool, batch->piece[0].dst_pfn, &offset);
	pool->checked_file = mhp__file_valid(file) ? file : NULL;
	int err = run(pool);
	pool->checked_file = NULL;
	return err;
}
