/* SPDX-License-Identifier: MIT */
/*
 * space.h - the physical address space of a pool: direct map, blocks, the files behind them.
 *
 * Physical address p is at direct_map + p. A block of `ram` is ordinary anonymous memory there; any
 * other block has a place: a piece of a file (memfd, hugetlb, DAX, file) that is mapped over it.
 * Neither file.c nor space.c knows a pool, a region or the engine. The hotplug mutex guards all of
 * it. A block with a frame in use cannot go, so the user of that frame may read its slot and file
 * without the mutex.
 */
#ifndef MHP_LINUX_SPACE_H
#define MHP_LINUX_SPACE_H

#include <stdatomic.h>

#include "text.h"

/* Of a frame, which the engine counts in: a page of the kernel is one of them or more. */
#define MHP__PAGE_SHIFT 12U
#define MHP__PAGE_BYTES (UINT64_C(1) << MHP__PAGE_SHIFT)
#define MHP__HUGE_ORDER 9U
#define MHP__HUGE_PAGES (UINT64_C(1) << MHP__HUGE_ORDER)
#define MHP__HUGE_BYTES (MHP__PAGE_BYTES << MHP__HUGE_ORDER)

#define MHP__FILES_MAX 64U

/* Where blocks come from. All-zero: the slot is free. */
struct mhp__file {
	bool live;
	bool has_place;                /* a file is behind it; else it is `ram` */
	bool by_address;               /* offset in the file == physical address */
	bool in_memory;                /* it takes memory page by page, as it is used */
	bool can_punch;                /* blocks can be given back, and read as zeros then */
	bool sparse;                   /* so can single pages: no file system may be full later */
	struct mhp_backing backing;
	int fd;                        /* -1: none */
	uint64_t dev, ino;             /* what fd must still be: programs close descriptors */
	uint8_t node;                  /* of the pool */
	int numa;                      /* NUMA node that it is on or near; -1: not known */
	uint64_t size;                 /* DAX and FILE: bytes it has; else UINT64_MAX */
	uint64_t granule;              /* bytes; offsets and lengths of mappings are multiples of
	                                * it: 2 MiB or more, or the page of the kernel */
	uint32_t nr_blocks;            /* blocks in use */
	uint64_t *used;                /* DAX and FILE: a bit for each block of the file */
};

/* Where a block's memory is; all-zero: absent. */
struct mhp__slot {
	uint32_t offset_blocks;        /* offset in the file, in blocks */
	uint16_t file1;                /* file index + 1 */
	uint8_t node;                  /* as the engine has it */
	bool taken;                    /* the engine has the block, or is adding it; else... */
	int placer;                    /* ...the companion that wants to add it, or 0 */
};

struct mhp__space {
	unsigned char *direct_map;     /* const, like the next three */
	uint64_t max_bytes, block_bytes;
	uint32_t nr_blocks;
	uint32_t first_free;           /* no absent block below it */
	int placer;                    /* who fills in slots now */
	int last_placer;               /* the last companion that did; 0: it left none behind */
	bool has_nodes;                /* some `ram` was bound to a node */
	uint8_t rank[MHP_POOL_NODES];
	_Atomic uint64_t order;        /* nodes by rank, a nibble each, the nearest lowest */
	struct mhp__slot *slot;        /* one a block */
	struct mhp__file file[MHP__FILES_MAX];
};

/* ---- file.c ---- */

MHP_MUST_CHECK int mhp__file_open(struct mhp__space *space, const struct mhp_backing *backing,
				  uint16_t *ret_file, struct mhp_text *reterr);
/* Close files that no block uses. */
void mhp__file_put_unused(struct mhp__space *space);
/* A free piece, one block long, of a DAX device or file; and back. */
bool mhp__file_take(const struct mhp__space *space, struct mhp__file *file, uint32_t *ret_block);
void mhp__file_give(struct mhp__file *file, uint32_t block);
/* All pieces are free; this one is not. */
void mhp__file_give_all(const struct mhp__space *space, struct mhp__file *file);
void mhp__file_take_again(struct mhp__file *file, uint32_t block);
/* Is the descriptor still ours? */
bool mhp__file_valid(const struct mhp__file *file);

/* ---- place.c ---- */

/* Choose the node of a file that was opened, and its rank. */
MHP_MUST_CHECK int mhp__place_choose(struct mhp__space *space, struct mhp__file *file,
				     struct mhp_text *reterr);
/* A backing of a file that is open says a node or rank again: is it the same node? */
MHP_MUST_CHECK int mhp__place_again(struct mhp__space *space, const struct mhp__file *file,
				    const struct mhp_backing *backing, struct mhp_text *reterr);
/* The kind of memory on a node: RAM (0), a device (1), nothing (-1). */
int mhp__place_kind(const struct mhp__space *space, unsigned node);
/* The largest granule of what lies on a node. */
uint64_t mhp__place_granule(const struct mhp__space *space, unsigned node);
/* Fill in device, rank, numa, granule_bytes and place. */
void mhp__place_describe(const struct mhp__space *space, unsigned node,
			 struct mhp_node_info *ret_info);

/* ---- space.c ---- */

/* Reserve the addresses of the direct map and memory for the slots. MHP_ENOMEM. */
MHP_MUST_CHECK int mhp__space_build(struct mhp__space *space, uint64_t max_bytes,
				    uint64_t block_bytes);
void mhp__space_free(struct mhp__space *space);
/* First run of count absent blocks, or nr_blocks. */
uint32_t mhp__space_find_gap(struct mhp__space *space, uint32_t count);
/* Fill in slots; false when the file has no room for all. */
bool mhp__space_fill(struct mhp__space *space, uint16_t file, uint32_t first, uint32_t count);
/* Map the blocks as their slots say, one mmap for each piece of a file; all or nothing. */
MHP_MUST_CHECK int mhp__space_map(struct mhp__space *space, uint32_t first, uint32_t count,
				  struct mhp_text *reterr);
/* Unmap them, give their memory back, forget their slots. */
void mhp__space_unmap(struct mhp__space *space, uint32_t first, uint32_t count);
/* Count anew what is in use of each file, by the slots: a kill may have come in between. */
void mhp__space_recount(struct mhp__space *space);

static inline uint32_t
mhp__space_block(const struct mhp__space *space, uint64_t phys)
{
	return (uint32_t)(phys / space->block_bytes);
}

static inline unsigned char *
mhp__frame_virt(const struct mhp__space *space, uint64_t pfn)
{
	return space->direct_map + (pfn << MHP__PAGE_SHIFT);
}

/* File, and offset in it, behind a frame that is in use. */
const struct mhp__file *mhp__frame_file(const struct mhp__space *space, uint64_t pfn,
					uint64_t *ret_offset);
/* The node of a frame that is in use. */
static inline unsigned
mhp__frame_node(const struct mhp__space *space, uint64_t pfn)
{
	return space->slot[mhp__space_block(space, pfn << MHP__PAGE_SHIFT)].node;
}
/* Has the frame a place of its own? Ordinary memory has none: its bytes are where the page is. */
static inline bool
mhp__frame_has_place(const struct mhp__space *space, uint64_t pfn)
{
	uint64_t offset;
	return mhp__frame_file(space, pfn, &offset)->has_place;
}
/* Do frames pfn and pfn + 1 lie next to each other in one file? */
bool mhp__frames_adjoin(const struct mhp__space *space, uint64_t pfn);

#endif
