/* SPDX-License-Identifier: MIT */
/*
 * slots.h - what the instance keeps for every block and arena of its range, plugged or not.
 *
 * One struct mhp__block for each block, one struct mhp__arena for each arena: a cache line each, in
 * two arrays of the instance that are as long as the address range. All-zero is "absent". Slots
 * never go away, so code that has a pfn can always look at its slots, whatever happens to the block
 * meanwhile (R32), and a block that is plugged but not used has touched none of its own memory.
 * Descriptors and bitmaps, to which a slot points, live and die with the block.
 *
 * An arena is up to 64 pageblocks of one block, so that a set of pageblocks is one word: the
 * smallest unit with a lock, and what the lists of a zone link. A block is one arena (128 MiB
 * blocks, 2 MiB pageblocks) or a power of two of them.
 *
 * The bits `full` and `mixed` tell the condition of each pageblock of an arena:
 *
 *     full mixed
 *       0    0    free: every frame that is the allocator's is free; the bitmap is not read
 *       1    0    taken as a whole; the bitmap is not read
 *       0    1    the bitmap says (1 = taken); at least one frame is free, and one taken
 *       1    1    the bitmap says; no frame is free
 *
 * So fresh memory needs no bitmap, and huge pages never touch one.
 */
#ifndef MHP_CORE_SLOTS_H
#define MHP_CORE_SLOTS_H

#include <memplug/block.h>
#include <memplug/types.h>
#include <stdatomic.h>

#include "base/lock.h"

struct mhp__page;

/* flags of struct mhp__block */
enum {
	MHP_BLOCK_BOOT = 1U << 0,
	MHP_BLOCK_ZEROED = 1U << 1,    /* its metadata was all-zero when it was added */
};

struct mhp__block {                     /* all fields: the hotplug lock, unless noted */
	struct mhp__page *pages;        /* its descriptors; valid while state != ABSENT */
	uint64_t *bitmap;              /* its pageblock bitmaps, one bit a frame */
	struct mhp_altmap altmap;      /* capacity: nr_vmemmap_pages, fixed from add to remove */
	uint64_t meta_addr;            /* physical address of the metadata (NODE: first pfn's) */
	uint32_t meta_pages;           /* pages of metadata, wherever they are */
	uint8_t state;                 /* enum mhp_block_state */
	uint8_t zone;                  /* enum mhp_zone_kind; DEFAULT while ABSENT or OFFLINE */
	uint8_t node;
	uint8_t meta_node;
	uint8_t placement;             /* enum mhp_placement */
	uint8_t flags;
	uint16_t backing;
	uint32_t nr_large_maps;        /* memmap mappings (vmemmap model) */
	uint32_t generation;           /* which add brought it: m->generation at that time */
	uint32_t check;                /* mhp__block_seal() over all of the above */
};

/*
 * The lists of a zone. A hole is a free page in a pageblock that is in use. An arena whose largest
 * hole is of order k has holes of k + 1 orders, since it has holes of every smaller order, too. The
 * list of an arena tells this number, and whether the arena has free pageblocks. So each list
 * either serves an order, with all of its arenas, or does not; and the lowest list that serves it
 * wastes least.
 */
enum {
	MHP_LIST_NONE = 0,             /* on no list: nothing to give */
	MHP_LIST_HOLES = 0,            /* + the number of orders: no free pageblock */
	MHP_LIST_WHOLE = MHP_ORDERS,   /* + the number of orders: free pageblocks, others in use */
	MHP_LIST_EMPTY = 2 * MHP_ORDERS, /* nothing in use */
	MHP_LISTS,
};
_Static_assert(MHP_LISTS <= 32, "sets of lists are words of 32 bits");

struct mhp__arena {                     /* its own lock, unless noted */
	struct mhp__spin lock;
	uint32_t next, prev;           /* arena index + 1 in its list; the zone's lock */
	_Atomic uint8_t zone_id1;      /* zone id + 1; 0 = not online; written under both locks */
	uint8_t list;                  /* MHP_LIST_*; written under both locks */
	uint8_t holes;                 /* the number of orders that it has holes of */
	uint8_t claimed;               /* a cache refills from here; the zone's lock */
	uint32_t nr_free;              /* frames free in the bitmaps (caches hold taken ones) */
	uint32_t nr_unmanaged;         /* frames at its start that are not the allocator's */
	uint64_t full;                 /* one bit a pageblock, see above */
	uint64_t mixed;
	_Atomic uint64_t virgin;       /* descriptors of this free pageblock may hold anything; read
					  without lock on free */
	_Atomic uint64_t isolated;     /* nothing is taken from here; read without lock on free */
	_Atomic uint64_t poisoned;     /* debug builds: pages were freed here (MHP_POISON) */
};

_Static_assert(sizeof(struct mhp__block) == 64, "a block slot is one cache line");
_Static_assert(sizeof(struct mhp__arena) == 64, "an arena slot is one cache line");

#endif
