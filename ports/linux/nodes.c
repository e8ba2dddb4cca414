/* SPDX-License-Identifier: MIT */
/*
 * nodes.c - memory policies of regions: where the kernel takes pages from, and where it moves them.
 *
 * Between NUMA nodes the kernel moves ordinary pages itself (mbind). It knows which pages are
 * pinned, holds up accesses while it moves, and needs no mapping and no permission for that.
 *
 * A policy belongs to a range of addresses, and so splits mappings; the longest run of pages with
 * the same node gets one call. Memory of a node that is not bound gets the kernel's default policy.
 * Must not know: what labels mean beyond their node, devices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nodes.h"

int
mhp__node_of(const struct mhp__space *space, uint64_t pfn)
{
	uint64_t offset;
	const struct mhp__file *file = mhp__frame_file(space, pfn, &offset);
	return file->has_place || !file->backing.bind ? -1 : file->backing.node;
}

static int
set_policy(const struct mhp_region *region, uint64_t page, uint64_t nr, int node, unsigned flags)
{
	unsigned long mask[16] = { 0 };
	int mode = node < 0 ? MPOL_DEFAULT : MPOL_BIND;
	if (node >= 0)
		mask[(unsigned)node / 64] = 1UL << (node % 64);
	long err = syscall(SYS_mbind, mhp__page_address(region, page), nr << MHP__PAGE_SHIFT, mode,
			   node < 0 ? NULL : mask, node < 0 ? 0 : sizeof(mask) * 8 + 1, flags);
	return err == 0 ? 0 : errno;
}

int
mhp__nodes_bind(const struct mhp_region *region, uint64_t page, uint64_t nr)
{
	for (uint64_t end = page + nr, run; page < end; page += run) {
		int node = mhp__node_of(region->space, mhp__entry_pfn(region->entry[page]));
		for (run = 1; page + run < end; run++)
			if (mhp__node_of(region->space,
					 mhp__entry_pfn(region->entry[page + run])) != node)
				break;
		int error = set_policy(region, page, run, node, 0);
		if (error != 0)
			return error;
	}
	return 0;
}

int
mhp__nodes_move(const struct mhp_region *region, uint64_t page, uint64_t nr, int node)
{
	return set_policy(region, page, nr, node, node < 0 ? 0 : MPOL_MF_MOVE | MPOL_MF_STRICT);
}
