/* SPDX-License-Identifier: MIT */
/*
 * space.c - the physical address space: addresses, slots, and what is mapped at them.
 *
 * The direct map is one reservation. A range of blocks is mapped as one piece before the engine
 * hears of it. Blocks that have a file are mapped shared and hidden from forked children; `ram` is
 * private memory, of which a child has a copy, and so are the slots. Invariant: slot[b].file1 != 0
 * <=> block b is mapped.
 *
 * Of a `ram` block hardly more than the reserve is touched there, and what is in use of the rest is
 * at an address of a region: so it must count neither as resident nor as data a second time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "space.h"

int
mhp__space_build(struct mhp__space *space, uint64_t max_bytes, uint64_t block_bytes)
{
	MHP__ASSERT(block_bytes != 0 && (block_bytes & (block_bytes - 1)) == 0);
	space->max_bytes = max_bytes;
	space->block_bytes = block_bytes;
	space->nr_blocks = (uint32_t)(max_bytes / block_bytes);
	space->direct_map = mhp__take_sparse(max_bytes, UINT64_C(1) << 30, PROT_NONE);
	space->slot = mhp__take_sparse(space->nr_blocks * sizeof(space->slot[0]),
				       mhp__kernel_page(), PROT_READ | PROT_WRITE);
	return space->direct_map == NULL || space->slot == NULL ? MHP_ENOMEM : 0;
}

void
mhp__space_free(struct mhp__space *space)
{
	if (space->slot != NULL)
		mhp__give_sparse(space->slot, space->nr_blocks * sizeof(space->slot[0]));
	if (space->direct_map != NULL)
		mhp__give_sparse(space->direct_map, space->max_bytes);
}

static uint64_t
slot_offset(const struct mhp__space *space, uint32_t block)
{
	return space->slot[block].offset_blocks * space->block_bytes;
}

const struct mhp__file *
mhp__frame_file(const struct mhp__space *space, uint64_t pfn, uint64_t *ret_offset)
{
	uint64_t phys = pfn << MHP__PAGE_SHIFT;
	uint32_t block = mhp__space_block(space, phys);
	MHP__ASSERT(block < space->nr_blocks && space->slot[block].file1 != 0);
	*ret_offset = slot_offset(space, block) + phys % space->block_bytes;
	return &space->file[space->slot[block].file1 - 1];
}

bool
mhp__frames_adjoin(const struct mhp__space *space, uint64_t pfn)
{
	uint64_t phys = (pfn + 1) << MHP__PAGE_SHIFT;
	if (phys % space->block_bytes != 0)
		return true;
	MHP__ASSERT(mhp__space_block(space, phys) < space->nr_blocks);
	const struct mhp__slot *slot = &space->slot[mhp__space_block(space, phys) - 1];
	return slot[0].file1 == slot[1].file1 && slot[0].offset_blocks + 1 == slot[1].offset_blocks;
}

uint32_t
mhp__space_find_gap(struct mhp__space *space, uint32_t count)
{
	uint32_t run = 0;
	bool seen_free = false;
	for (uint32_t block = space->first_free; block < space->nr_blocks; block++) {
		if (space->slot[block].file1 != 0) {
			run = 0;
			continue;
		}
		if (!seen_free)
			space->first_free = block;
		seen_free = true;
		if (++run == count)
			return block + 1 - count;
	}
	return space->nr_blocks;
}

bool
mhp__space_fill(struct mhp__space *space, uint16_t index, uint32_t first, uint32_t count)
{
	struct mhp__file *file = &space->file[index];
	for (uint32_t i = 0; i < count; i++) {
		uint32_t offset = first + i;
		if (!file->by_address && !mhp__file_take(space, file, &offset)) {
			mhp__space_unmap(space, first, i);
			return false;
		}
		file->nr_blocks++;
		space->slot[first + i] = (struct mhp__slot){
			.offset_blocks = offset, .file1 = (uint16_t)(index + 1),
			.node = file->node, .placer = space->placer };
	}
	return true;
}

/* How many blocks from first on lie next to each other in one file, up to end. */
static uint32_t
same_piece(const struct mhp__space *space, uint32_t first, uint32_t end)
{
	uint32_t block = first + 1;
	MHP__ASSERT(first < end && end <= space->nr_blocks && space->slot[first].file1 != 0);
	while (block < end && space->slot[block].file1 == space->slot[first].file1 &&
	       space->slot[block].offset_blocks == space->slot[block - 1].offset_blocks + 1)
		block++;
	return block - first;
}

/* Back to addresses that nobody uses; also where the program has all that is mapped locked. */
static void
reserve(const struct mhp__space *space, uint64_t start, uint64_t size)
{
	MHP__ASSERT(size != 0 && size <= space->max_bytes && start <= space->max_bytes - size);
	mmap(space->direct_map + start, size, PROT_NONE, MHP__SPARSE, -1, 0);
	madvise(space->direct_map + start, size, MADV_NOHUGEPAGE);
	munlock(space->direct_map + start, size);
}

static int
bind_node(const struct mhp_backing *backing, void *start, uint64_t size)
{
	unsigned long mask[16] = { 0 };
	if (!backing->bind || backing->path[0] != 0) /* a device lies where it lies */
		return 0;
	mask[(unsigned)backing->node / 64] = 1UL << (backing->node % 64);
	long err = syscall(SYS_mbind, start, size, 2 /* MPOL_BIND */, mask, sizeof(mask) * 8 + 1,
			   0);
	return err == 0 ? 0 : errno;
}

/* Why memory cannot be mapped, for a person. */
static int
say_cannot_map(const struct mhp__file *file, int error, struct mhp_text *reterr)
{
	char path[64];
	const struct mhp_backing *backing = &file->backing;
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", backing->node);
	if (backing->bind && backing->path[0] == 0 && access(path, F_OK) != 0)
		return mhp__say(reterr, MHP_ENOENT,
				"this machine has no NUMA node %d; see /sys/devices/system/node",
				backing->node);
	/* The memory is not asked for yet: it is a mapping that the kernel has not got. */
	return mhp__say(reterr, error == ENOMEM ? MHP_ENOSPC : mhp__errno(error),
			"cannot map memory of %s%s%s: %s", mhp_backing_name(backing->kind),
			backing->path[0] ? " " : "", backing->path, strerrordesc_np(error));
}

/*
 * Memory takes the place of addresses by becoming accessible, which does not make it resident where
 * the program has all that it maps locked.
 */
static bool
map_memory(const struct mhp__file *file, void *start, uint64_t size, uint64_t offset)
{
	const int access = PROT_READ | PROT_WRITE;
	MHP__ASSERT((((uintptr_t)start | size | offset) & (mhp__kernel_page() - 1)) == 0);
	if (!file->has_place)
		return mprotect(start, size, access) == 0;
	if (mmap(start, size, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, file->fd,
		 (off_t)offset) == MAP_FAILED)
		return false;
	munlock(start, size);
	return mprotect(start, size, access) == 0;
}

/* One piece of one file; errno, or 0. */
static int
map_piece(const struct mhp__file *file, void *start, uint64_t size, uint64_t offset)
{
	if (file->has_place && !mhp__file_valid(file))
		return EBADF;
	if (!map_memory(file, start, size, offset))
		return errno;
	if (file->has_place) {
		madvise(start, size, MADV_DONTFORK);
		madvise(start, size, MADV_DONTDUMP);
	}
	return bind_node(&file->backing, start, size);
}

int
mhp__space_map(struct mhp__space *space, uint32_t first, uint32_t count, struct mhp_text *reterr)
{
	uint32_t end = first + count, block = first;
	while (block < end) {
		const struct mhp__file *file = &space->file[space->slot[block].file1 - 1];
		uint32_t piece = same_piece(space, block, end);
		int error = map_piece(file, space->direct_map + block * space->block_bytes,
				      piece * space->block_bytes, slot_offset(space, block));
		if (error != 0) {
			reserve(space, first * space->block_bytes, count * space->block_bytes);
			return say_cannot_map(file, error, reterr);
		}
		block += piece;
	}
	return 0;
}

void
mhp__space_unmap(struct mhp__space *space, uint32_t first, uint32_t count)
{
	for (uint32_t block = first, end = first + count; block < end;) {
		uint32_t piece = same_piece(space, block, end);
		struct mhp__file *file = &space->file[space->slot[block].file1 - 1];
		uint64_t start = block * space->block_bytes, size = piece * space->block_bytes;
		if (file->has_place && file->can_punch)
			madvise(space->direct_map + start, size, MADV_REMOVE);
		reserve(space, start, size);
		file->nr_blocks -= piece;
		for (uint32_t i = 0; i < piece; i++)
			mhp__file_give(file, space->slot[block + i].offset_blocks);
		memset(&space->slot[block], 0, piece * sizeof(space->slot[0]));
		block += piece;
	}
	if (first < space->first_free)
		space->first_free = first;
}

void
mhp__space_recount(struct mhp__space *space)
{
	for (unsigned i = 0; i < MHP__FILES_MAX; i++) {
		space->file[i].nr_blocks = 0;
		mhp__file_give_all(space, &space->file[i]);
	}
	for (uint32_t block = 0; block < space->nr_blocks; block++) {
		struct mhp__slot *slot = &space->slot[block];
		if (slot->file1 == 0)
			continue;
		MHP__ASSERT(slot->file1 <= MHP__FILES_MAX);
		space->file[slot->file1 - 1].nr_blocks++;
		mhp__file_take_again(&space->file[slot->file1 - 1], slot->offset_blocks);
	}
	space->first_free = 0;
}
