/* SPDX-License-Identifier: MIT */
/*
 * pool.h - pools of memory inside a process (the Linux port).
 *
 * A pool is an instance of the engine with a software physical address space: physical address p
 * is at direct_map + p. A backing says where the memory of an add comes from; memory of one place
 * is a node. Nothing here calls malloc, so an allocator can be built on top.
 *
 * Functions that can fail for reasons of the machine take a struct mhp_text and leave in it one
 * sentence for the person at the terminal; it may be NULL.
 *
 * Context, unless a function says otherwise: any thread, not a signal handler.
 */
#ifndef MEMPLUG_POOL_H
#define MEMPLUG_POOL_H

#include <memplug/mhp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp_pool;
struct mhp_region;

/** One sentence about what went wrong; empty when nothing did. */
struct mhp_text {
	char text[256];
};

enum mhp_backing_kind {
	MHP_BACKING_RAM,           /* ordinary memory of the process; it has no place of its own */
	MHP_BACKING_MEMFD,         /* anonymous shared memory */
	MHP_BACKING_HUGETLB_2M,    /* reserved huge pages */
	MHP_BACKING_HUGETLB_1G,
	MHP_BACKING_DAX,           /* a character device of device-dax */
	MHP_BACKING_FILE,          /* a file that exists; its size is what it can give */
	MHP_BACKING_KINDS,
};

#define MHP_BACKING_PATH_MAX 200U

/** Nodes of a pool: 0 to 15. */
#define MHP_POOL_NODES 16U
#define MHP_POOL_RANK_MAX 200

/** Where memory comes from. All-zero is ordinary memory, wherever the kernel finds it best. */
struct mhp_backing {
	enum mhp_backing_kind kind;
	bool bind; /* to node @node: RAM of that NUMA node, or what node of the pool a device is */
	int node;
	bool ranked; /* @rank says how near the node is: 0 is the nearest */
	int rank;
	char path[MHP_BACKING_PATH_MAX]; /* DAX and FILE */
};

/**
 * Read a backing: ram, memfd, hugetlb, hugetlb:2M, hugetlb:1G, dax:PATH, file:PATH, each with
 * ",node=N" and ",rank=N" after it if wanted. Return: 0, or MHP_EINVAL.
 */
MHP_MUST_CHECK int mhp_backing_parse(const char *words, struct mhp_backing *ret_backing,
				     struct mhp_text *reterr);

/**
 * The pages that a pool needs for @backing, as for mhp_pool_opts: those of the kernel, or 2 MiB.
 * For a DAX device that does not exist, those of the kernel; adding it fails with the reason.
 */
uint64_t mhp_backing_page_bytes(const struct mhp_backing *backing);

/** The word for a kind of backing: "ram", "memfd", ...; never NULL. */
const char *mhp_backing_name(enum mhp_backing_kind kind);

/** The shape of a pool. Zero means the default named beside the field. */
struct mhp_pool_opts {
	uint64_t max_bytes;        /* size of the physical address range; 0: 1 TiB */
	uint64_t block_bytes;      /* power of two, 4 MiB or more; 0: 128 MiB */
	uint64_t page_bytes;       /* granule of regions: power of two, a page of the kernel (0) to
	                            * 2 MiB, as mhp_backing_page_bytes() says */
	uint16_t nr_nodes;         /* nodes of the engine; 0: MHP_POOL_NODES */
	uint32_t nr_bad_pages;     /* memory errors to remember; 0: 1024 */
	void (*trace)(void *trace_ctx, const struct mhp_event *event);
	void *trace_ctx;
};

/**
 * Make a pool without memory.
 *
 * Cost: a few mmap calls; O(1) memory whatever max_bytes is.
 * Context: not from a signal handler. Up to 16 pools a process.
 * Return: 0, MHP_EINVAL, MHP_ENOMEM, MHP_ENOSPC (too many pools).
 */
MHP_MUST_CHECK int mhp_pool_create(const struct mhp_pool_opts *opts, struct mhp_pool **ret_pool,
				   struct mhp_text *reterr);

/**
 * End a pool that has no region, no block and no holder. Otherwise MHP_EBUSY, and nothing has
 * changed. Does nothing for NULL.
 */
MHP_MUST_CHECK int mhp_pool_destroy(struct mhp_pool *pool);

/** Keep a pool from being destroyed, and let it go again. Calls nest. mhp_control_start() does it,
 * too. */
void mhp_pool_hold(struct mhp_pool *pool);
void mhp_pool_release(struct mhp_pool *pool);

/**
 * Install the handlers that let a forked child keep its pools; once per process, further calls do
 * nothing.
 *
 * mhp_pool_create() does it. Call it earlier if some library's own fork handlers touch memory
 * of a region, as those of an allocator do: handlers that are registered first prepare last, and
 * run first in the child.
 *
 * A child has a copy of everything that is ordinary memory: the pool, its engine, its blocks of
 * `ram`, its regions. Frames of a device that were taken by handle are not in the child.
 */
void mhp_fork_init(void);

/**
 * Is there enough ordinary memory for a fork, which brings back everything that is on devices?
 *
 * Context: any thread, a listener. Cost: nothing without blocks of devices, else about 0.2 ms.
 * Return: 0, or MHP_ENOMEM and the limit that is in the way.
 */
MHP_MUST_CHECK int mhp_fork_room(struct mhp_text *reterr);

/**
 * fork() that fails with ENOMEM, without any effect, if mhp_fork_room() does. (Plain fork() does so
 * only under `memplug run`.) If memory runs out later, during the fork, it fails, too; then a child
 * has existed, which ended inside fork(), and a SIGCHLD comes. In a listener the child continues
 * the change that the listener was told of, in its own pool.
 */
int mhp_fork(void);

/** The engine of a pool; everything of mhp.h may be used on it. */
struct mhp *mhp_pool_engine(struct mhp_pool *pool);

/** Can pages go to devices while the program uses them? If not, @reterr says what is missing. */
bool mhp_pool_can_move(struct mhp_pool *pool, struct mhp_text *reterr);

/**
 * Add memory of @backing: mhp_add() at the first free address, mapped as one piece.
 *
 * @backing: NULL: ordinary memory.
 * @size: a multiple of the block size.
 * @opts: as for mhp_add(); backing is filled in, MHP_ADD_ZEROED too where it is true, and node,
 *        but for RAM that is not bound. NULL: MHP_ADD_OPTS_DEFAULT.
 *
 * RAM goes to the node of the pool with the number of its NUMA node, or to node 0 if it is not
 * bound. A device goes to a node without RAM: the one that the backing names, else the one with its
 * own NUMA node's number, else the first free one; so do huge pages that are not bound. If no rank
 * is given, the kernel is asked.
 *
 * mhp_add() and the adds of a plan bring ordinary memory to the addresses that they name.
 *
 * Return: what mhp_add() returns, MHP_ENXIO (no gap of that size is left), MHP_EINVAL (size, or
 * page size against the pool's), MHP_ENOENT (no such device or file), MHP_ENOMEM (no huge pages),
 * MHP_EBUSY (another pool has the device or file), MHP_EPERM, MHP_ENOSPC (it has no room left, or
 * more bad pages than the pool can remember, or the kernel has no mapping left, as in
 * mhp_region_commit()), MHP_EDEADLK (called from a listener or an owner's function).
 */
MHP_MUST_CHECK int mhp_pool_add(struct mhp_pool *pool, const struct mhp_backing *backing,
				uint64_t size, const struct mhp_add_opts *opts,
				struct mhp_add_answer *ret_answer, struct mhp_text *reterr);

/** The backing that struct mhp_block_info.backing stands for; NULL when there is none. */
const struct mhp_backing *mhp_pool_backing(struct mhp_pool *pool, uint16_t backing);

/** A node of a pool: memory of one place. */
struct mhp_node_info {
	bool device;               /* pages have to be copied to it and from it */
	int rank;                  /* 0 is the nearest */
	int numa;                  /* the NUMA node that it is on or near; -1: not known */
	uint64_t granule_bytes;    /* pages go to it in pieces of this */
	uint32_t nr_blocks, nr_online;
	uint64_t size_bytes;       /* of all blocks */
	uint64_t used_bytes, free_bytes; /* of those that are online */
	char place[MHP_BACKING_PATH_MAX + 32]; /* "ram of NUMA node 1", "file:/x and 1 more" */
};

/**
 * Look at a node. Cost: follows the number of ranges of like blocks.
 * Return: 0, MHP_ENODEV (nothing of the pool is there, or no such node).
 */
MHP_MUST_CHECK int mhp_pool_node_get(struct mhp_pool *pool, unsigned node,
				     struct mhp_node_info *ret_info);

/**
 * Compact the zones of a pool (mhp_compact()), so that scattered free pages become huge pages.
 *
 * Zones that have less than a huge page free are skipped. Worth a try when blocks cannot leave for
 * lack of room (MHP_CAUSE_ROOM) for pages of a high order.
 *
 * @nodes: a bit for each node; 0: all.   @deadline_ms: bounds all of it.
 *
 * Context: as mhp_compact(); mhp_cancel() ends all of it. Memory on a device is copied.
 * Return: how many pageblocks came free.
 */
MHP_MUST_CHECK uint64_t mhp_pool_pack(struct mhp_pool *pool, uint64_t nodes, uint32_t deadline_ms);

/**
 * Ask the kernel again which memory of DAX devices is bad (the lists of their regions,
 * /sys/bus/nd/devices/region0/badblocks), and take what is new out of use, as mhp_bad_add() does:
 * data moves away, a page that cannot is remembered and stays in use. mhp_pool_add() does it for
 * what it adds, before anything is there. Where devices start is told to root only: nobody else
 * learns of bad memory.
 *
 * @ret_new: pages of 4 KiB that were not known to be bad; may be NULL.
 * Return: 0, MHP_ENOSPC (more than the pool can remember, nr_bad_pages), MHP_EDEADLK (from a
 * listener or an owner's function), MHP_ENOMEM, or why there is no companion.
 */
MHP_MUST_CHECK int mhp_pool_look_bad(struct mhp_pool *pool, uint64_t *ret_new,
				     struct mhp_text *reterr);

/** The owner of a page, and its address in the program. */
struct mhp_page_user {
	uint16_t owner;            /* for mhp_owner_name() */
	uint64_t address;          /* in a region; 0: in none */
};

/**
 * Find out who uses a page of 4 KiB, such as one that went bad: the program has lost what it had at
 * the address in the answer. A snapshot.
 *
 * Return: 0, or MHP_ENOENT (nobody uses it).
 */
MHP_MUST_CHECK int mhp_pool_page_user(struct mhp_pool *pool, uint64_t pfn,
				      struct mhp_page_user *ret_user);

/** What the port counts. */
struct mhp_pool_stats {
	uint64_t committed_bytes;  /* in all regions */
	uint64_t settled_bytes;    /* of those: on devices */
	uint64_t relabelled_pages; /* 4 KiB pages that got another number */
	uint64_t moved_pages;      /* 4 KiB pages that went to a device or came from it */
	uint64_t untouched_pages;  /* of those: never touched, so there was nothing to copy */
	uint64_t move_batches;
	uint64_t stall_max_ns;     /* longest time that one batch kept writers waiting */
	uint64_t stall_sum_ns;
	uint64_t map_retries;      /* mappings that the kernel first refused to a move */
	uint64_t mappings;         /* kernel mappings that regions take */
	uint64_t mappings_max;     /* the kernel's limit for the process */
	uint64_t forks;
};

/** Read all counters as one snapshot. Context: takes the region mutex; any thread. */
void mhp_pool_get_stats(struct mhp_pool *pool, struct mhp_pool_stats *ret_stats);

/** Why memory of the process is not in a pool. */
enum mhp_outside_kind {
	MHP_OUTSIDE_SHARED,        /* writable shared memory: others may map it */
	MHP_OUTSIDE_FILE,          /* files: programs, libraries, data */
	MHP_OUTSIDE_CODE,          /* executable memory without a file */
	MHP_OUTSIDE_STACK,         /* of the first thread */
	MHP_OUTSIDE_PRIVATE,       /* private memory that no region has */
	MHP_OUTSIDE_KINDS,
};

/** The memory of one kind. */
struct mhp_outside {
	const char *why;           /* for people */
	uint64_t size_bytes;       /* of mappings that can be read or written */
	uint64_t resident_bytes;
	uint32_t nr_mappings;      /* reserved addresses, too */
};

/**
 * The memory of the process that is not in the pool, summed by kind: the kernel's list of mappings,
 * less those of the regions and blocks of this pool.
 *
 * Cost: reads all of /proc/self/smaps, milliseconds a GiB; takes the region mutex for each mapping.
 * Return: 0, or MHP_EPERM (/proc cannot be read).
 */
MHP_MUST_CHECK int mhp_pool_outside(struct mhp_pool *pool,
				    struct mhp_outside ret[MHP_OUTSIDE_KINDS]);
/** One word for a kind of memory outside; never NULL. */
const char *mhp_outside_name(enum mhp_outside_kind kind);

#ifdef __cplusplus
}
#endif
#endif
