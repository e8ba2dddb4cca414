/* SPDX-License-Identifier: MIT */
/*
 * types.h - the vocabulary that every other header uses: errors, addresses, geometry.
 *
 * Three kinds of number could be confused, so their types keep them apart: a physical address is
 * a struct mhp_phys (bytes), a pfn is a uint64_t called pfn (pages), a block is a uint32_t called
 * block (index of a memory block, pfn >> block_order). Ranges are half-open: [start, end).
 */
#ifndef MEMPLUG_TYPES_H
#define MEMPLUG_TYPES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MHP_MUST_CHECK __attribute__((warn_unused_result))

/**
 * Errors: negative, and Linux's numbers on every port, so that on Linux each is -errno's and
 * strerror(-error) knows it. One code per cause that a caller can act on.
 */
enum mhp_error {
	MHP_EPERM = -1,          /* the policy or the global switch forbids it */
	MHP_ENOENT = -2,         /* no such block, owner, listener or change */
	MHP_EINTR = -4,          /* interrupted (mhp_interrupt_begin()): try again */
	MHP_EIO = -5,            /* the memory failed its test pattern */
	MHP_ENXIO = -6,          /* outside of the maximum address range */
	MHP_EAGAIN = -11,        /* a bound was reached; trying again may work */
	MHP_ENOMEM = -12,        /* no free page, no external metadata, or no room to move to */
	MHP_EBUSY = -16,         /* in use, in the wrong state for this, or a page cannot move */
	MHP_EEXIST = -17,        /* the range, or a part of it, is there already */
	MHP_ENODEV = -19,        /* no such node */
	MHP_EINVAL = -22,        /* misaligned, empty, malformed */
	MHP_ETXTBSY = -26,       /* another process still sees the page */
	MHP_ENOSPC = -28,        /* a fixed table of the instance is full */
	MHP_EDEADLK = -35,       /* called back into the engine from a listener or an owner */
	MHP_EOVERFLOW = -75,     /* the range wraps at the top address; a cookie is too large */
	MHP_EOPNOTSUPP = -95,    /* this build, port or geometry cannot do it */
	MHP_ECANCELED = -125,    /* cancelled from outside */
	MHP_EOWNERDEAD = -130,   /* a killed thread left a change half done (mhp_change_lost()) */
	MHP_EHWPOISON = -133,    /* the page has a memory error */
};

/** The words for an error, also for 0 and for unknown numbers. Never NULL. Context: any. */
const char *mhp_error_text(int error);

/** A physical address in bytes. */
struct mhp_phys {
	uint64_t addr;
};

/** A range of physical memory in bytes, [start, start + size). */
struct mhp_span {
	struct mhp_phys start;
	uint64_t size;
};

/** A run of blocks, [first, first + count). */
struct mhp_blocks {
	uint32_t first;
	uint32_t count;
};

/** No such pfn. */
#define MHP_PFN_NONE UINT64_MAX
/** No node in particular. */
#define MHP_NODE_ANY 255U

#define MHP_NODES_MAX 64U
#define MHP_CPUS_MAX 1024U
/**
 * Pageblocks are the largest page that the allocator hands out: 2 MiB of 4 KiB pages. A kernel
 * whose large pages have more of its base pages compiles the core and its port with a greater
 * number: 11 where base pages are 16 KiB, 13 where they are 64 KiB.
 */
#ifndef MHP_PAGEBLOCK_ORDER_MAX
#define MHP_PAGEBLOCK_ORDER_MAX 9U
#endif
#define MHP_ORDERS (MHP_PAGEBLOCK_ORDER_MAX + 1U)

/**
 * The shape of an instance; fixed from init to the end.
 *
 * Orders are log2 of a number of pages, with pageblock_order <= section_order <= block_order.
 * The address range is [0, nr_blocks << block_order) pages and says how large the instance is:
 * see mhp_footprint(). A section is what the port maps and unmaps in one call.
 */
struct mhp_geometry {
	uint8_t page_shift;        /* log2 of the page size in bytes, 6 to 16 */
	uint8_t pageblock_order;   /* 1 to MHP_PAGEBLOCK_ORDER_MAX; a port may fix it */
	uint8_t section_order;     /* up to block_order */
	uint8_t block_order;       /* up to 30 */
	uint16_t nr_nodes;         /* 1 to MHP_NODES_MAX */
	uint16_t nr_cpus;          /* 1 to MHP_CPUS_MAX */
	uint32_t nr_blocks;        /* 1 to 2^24 */
	uint32_t nr_bad_pages;     /* how many memory errors can be remembered; may be 0 */
};

/** A zone of a node: what its pages may be used for. */
enum mhp_zone_kind {
	MHP_ZONE_DEFAULT = 0,      /* options: let the policy choose; answers: in no zone */
	MHP_ZONE_NORMAL = 1,       /* anything */
	MHP_ZONE_MOVABLE = 2,      /* only pages that can be moved */
};

enum mhp_block_state {
	MHP_ABSENT = 0,            /* not plugged */
	MHP_OFFLINE,               /* plugged, its descriptors exist, nobody uses it */
	MHP_GOING_ONLINE,
	MHP_ONLINE,                /* its usable pages belong to the allocator */
	MHP_GOING_OFFLINE,         /* isolated, its pages are moving away */
};

#ifdef __cplusplus
}
#endif
#endif
