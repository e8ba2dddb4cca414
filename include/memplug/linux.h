/* SPDX-License-Identifier: MIT */
/*
 * linux.h - the Linux port: pools of memory inside a process, and regions whose pointers stay.
 *
 * A pool is an instance of the engine with a software physical address space: physical address p
 * is at direct_map + p. A backing says where the memory of an add comes from. A region is a range
 * of virtual addresses whose pages are frames of the pool; the engine may move the frames, the
 * addresses stay as they are. Nothing here calls malloc, so an allocator can be built on top.
 *
 * Functions that can fail for reasons of the machine take a struct mhp_text and leave in it one
 * sentence for the person at the terminal; it may be NULL.
 *
 * Context, unless a function says otherwise: any thread, not a signal handler.
 */
#ifndef MEMPLUG_LINUX_H
#define MEMPLUG_LINUX_H

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

/** The word for a kind: "ram", "memfd", ...; never NULL. */
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
 * own NUMA node's number, else the first free one; so do huge pages that are not bound.
 * If no rank is given, the kernel is asked.
 *
 * mhp_add() and the adds of a plan bring ordinary memory to the addresses that they name.
 *
 * Return: what mhp_add() returns, MHP_ENXIO (no gap of that size is left), MHP_EINVAL (size, or
 * page size against the pool's), MHP_ENOENT (no such device or file), MHP_ENOMEM (no huge pages),
 * MHP_EBUSY (another pool has the device or file), MHP_EPERM, MHP_ENOSPC (it has no room left, or
 * more bad pages than the pool can remember),
 * MHP_EDEADLK (called from a listener or an owner's function).
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

/** Which node fresh pages come from. */
enum mhp_spread_mode {
	MHP_SPREAD_LOCAL,          /* the nearest with room, the CPU's own NUMA node first */
	MHP_SPREAD_PREFER,         /* the nodes named, then as LOCAL */
	MHP_SPREAD_INTERLEAVE,     /* the nodes named in turn, window by window; then as LOCAL */
	MHP_SPREAD_BIND,           /* the nodes named, and no other */
	MHP_SPREAD_MODES,
};

/** A placement policy. All-zero is LOCAL. */
struct mhp_spread {
	enum mhp_spread_mode mode;
	uint8_t weight[MHP_POOL_NODES]; /* 0: not named; INTERLEAVE: so many windows in turn */
};

#define MHP_SPREAD_TEXT 128U

/**
 * Read a policy: local, "prefer 1", "interleave 0=3,1", "bind 1,2"; a colon does for the space.
 * Return: 0, or MHP_EINVAL and a sentence.
 */
MHP_MUST_CHECK int mhp_spread_parse(const char *words, struct mhp_spread *ret_spread,
				    struct mhp_text *reterr);
/** Write it down, as mhp_spread_parse() reads it. */
void mhp_spread_text(const struct mhp_spread *spread, char text[MHP_SPREAD_TEXT]);

/**
 * Set the policy of a pool, for regions that have none of their own. It decides for pages that are
 * committed later; nothing moves.
 *
 * Return: 0, MHP_EINVAL (no node is named), MHP_ENODEV (BIND, and none of the nodes has memory in
 * use; the other modes may name a node that gets memory later).
 */
MHP_MUST_CHECK int mhp_pool_set_spread(struct mhp_pool *pool, const struct mhp_spread *spread,
				       struct mhp_text *reterr);
void mhp_pool_get_spread(struct mhp_pool *pool, struct mhp_spread *ret_spread);

/** Set the policy of one region. NULL: it follows its pool's again. */
MHP_MUST_CHECK int mhp_region_set_spread(struct mhp_region *region,
					 const struct mhp_spread *spread, struct mhp_text *reterr);

/** Shall ordinary memory be in huge pages of the kernel (2 MiB)? */
enum mhp_huge {
	MHP_HUGE_AUTO,             /* as the kernel does by itself */
	MHP_HUGE_ON,               /* wanted: MADV_HUGEPAGE */
	MHP_HUGE_OFF,              /* not wanted: MADV_NOHUGEPAGE */
	MHP_HUGE_MODES,
};

/** Read "auto", "on" or "off". Return: 0, or MHP_EINVAL and a sentence. */
MHP_MUST_CHECK int mhp_huge_parse(const char *words, enum mhp_huge *ret_how,
				  struct mhp_text *reterr);
/** The word for it; never NULL. */
const char *mhp_huge_word(enum mhp_huge how);

/**
 * Choose whether the memory of a region shall be in huge pages, from now on.
 *
 * @from: the choice holds from this address of the region on, a multiple of 2 MiB; NULL: for all.
 *
 * It decides for memory that is touched for the first time, and it lasts: a window that went to a
 * device has it again when it comes back, and is not mistaken for memory that the program has
 * advised. Memory that is there already changes when the kernel gets to it: with ON its khugepaged
 * collapses small pages into huge ones; with OFF a huge page lasts until something splits it.
 * If the administrator has switched huge pages off for everybody
 * (/sys/kernel/mm/transparent_hugepage/enabled is "never"), ON has no effect.
 *
 * The kernel cannot forget such advice: a region that was ON or OFF can never be AUTO again.
 * Cost: a system call, and one for each run on a device. Waits for a window that is on its way.
 * Return: 0, MHP_EINVAL, MHP_EOPNOTSUPP (AUTO for memory that has been advised, a kernel without
 * such pages, or others map this region), MHP_ENOSPC (the kernel's limit of mappings; a part has
 * it).
 */
MHP_MUST_CHECK int mhp_region_set_huge(struct mhp_region *region, enum mhp_huge how, void *from,
				       struct mhp_text *reterr);

/** mhp_region_set_huge() of all regions of a pool, present and future. The last call of either
 * function counts. On error some regions may have changed. */
MHP_MUST_CHECK int mhp_pool_set_huge(struct mhp_pool *pool, enum mhp_huge how,
				     struct mhp_text *reterr);
/** The mode that was set last for the pool. */
enum mhp_huge mhp_pool_get_huge(struct mhp_pool *pool);

/**
 * Say which memory to add when a commit found none. A region whose policy binds it to nodes wants
 * the backings of those nodes, the nearest first.
 *
 * @at: 0 for the first backing, 1 for the second, and so on.
 * Return: true with a backing; false when there are no more. False for @at 0: any memory will do.
 */
bool mhp_region_wants(struct mhp_region *region, unsigned at, struct mhp_backing *ret_backing);

/**
 * Reserve a range of virtual addresses; nothing is committed.
 *
 * @name: for explanations, up to 31 characters.
 * @size: bytes; rounded up to the pool's granule. The base is aligned to 2 MiB.
 * Return: 0, MHP_EINVAL, MHP_ENOMEM, MHP_ENOSPC (64 regions a pool), or what mhp_region_set_huge()
 * returns for what was said of the pool.
 */
MHP_MUST_CHECK int mhp_region_create(struct mhp_pool *pool, const char *name, uint64_t size,
				     struct mhp_region **ret_region, struct mhp_text *reterr);

/**
 * Make a region over all addresses of the process, for memory that somebody else maps and unmaps.
 *
 * Nothing is reserved or mapped: mhp_region_commit() charges pages of the pool for a range, and
 * mhp_region_decommit() gives them back; neither touches the memory, which must be private and
 * anonymous. The memory goes to devices and comes back like that of any region, so code that
 * changes its mapping must hold it first (mhp_region_hold()). Memory whose mapping was changed
 * without that is left alone: it counts as ordinary. Decommit everything before you destroy the
 * region. An address that also belongs to another region belongs to that one only. The table of
 * this region takes 256 GiB of addresses.
 * Return: as mhp_region_create().
 */
MHP_MUST_CHECK int mhp_region_create_over(struct mhp_pool *pool, const char *name,
					  struct mhp_region **ret_region,
					  struct mhp_text *reterr);

/**
 * Keep a range of a region in ordinary memory until mhp_region_release().
 *
 * Call it before you change the range's mapping (munmap, mremap, mprotect, madvise, mlock, mmap
 * over it): while memory is on a device its mapping is shared with the device, and such calls have
 * another effect. Whatever of the range is on a device comes back first, and until the release no
 * memory of the region starts on its way to a device. Several threads may hold ranges at a time.
 *
 * @wanted: false: the data is no longer needed; it may read as zeros afterwards.
 * Return: 0; MHP_EINVAL; MHP_ENOMEM (no ordinary memory for what is on the device); MHP_EBUSY
 * (something keeps it there, such as a raw mlock system call); or why mhp_pool_can_move() is
 * false. On error nothing is held, and @reterr has a sentence.
 */
MHP_MUST_CHECK int mhp_region_hold(struct mhp_region *region, void *start, uint64_t size,
				   bool wanted, struct mhp_text *reterr);
/** Undo one mhp_region_hold() that returned 0. */
void mhp_region_release(struct mhp_region *region);
/** Is any page of [@start, @start + @size) committed? Takes no lock: it may change at once. */
bool mhp_region_used(const struct mhp_region *region, const void *start, uint64_t size);

/** Decommit all and give the addresses back. Nobody may use the region from here on. Does nothing
 * for NULL. */
void mhp_region_destroy(struct mhp_region *region);

/** The first address of a region; it never changes. */
void *mhp_region_base(const struct mhp_region *region);
/** Its size in bytes, committed or not. */
uint64_t mhp_region_size(const struct mhp_region *region);
/** Sizes and addresses given to a region are multiples of this. */
uint64_t mhp_region_granule(const struct mhp_region *region);

/**
 * Commit [@start, @start + @size): it gets pages of the pool, is readable and writable, all zeros.
 *
 * Both are multiples of the pool's granule, and nothing of the range is committed. The memory is
 * ordinary: it comes when it is touched, and whatever the program does to it (mprotect, mlock,
 * madvise, fork) works as for any other.
 * Return: 0, MHP_EINVAL, MHP_EEXIST (part of it is committed), MHP_ENOMEM (no free frames, or
 * none on the nodes that the policy binds to),
 * MHP_ENOSPC (the kernel refuses: its limit of mappings is near, or the process has reached its
 * limit of data; adding memory does not help); on error nothing has changed. Never waits.
 */
MHP_MUST_CHECK int mhp_region_commit(struct mhp_region *region, void *start, uint64_t size);

/**
 * Give the memory back to the system and the pages to the pool; what was there is lost, and the
 * range must not be touched until it is committed again. Parts that are not committed are skipped.
 * Return: 0, MHP_EINVAL, MHP_EBUSY (pinned, locked by mlock, or part of a window that lies on one
 * large page of a device), MHP_EAGAIN (the engine is moving part of it just now); on error
 * nothing has changed. Never waits.
 */
MHP_MUST_CHECK int mhp_region_decommit(struct mhp_region *region, void *start, uint64_t size);

/**
 * Give the memory of a committed range back to the system but keep its pages: it reads as zeros.
 *
 * Pages on a device stay there; if the device cannot take memory back, they are overwritten.
 * Return: 0, MHP_EINVAL, MHP_EBUSY (pinned, or ordinary memory that mlock has locked), MHP_EAGAIN
 * (a window of it is on its way to a device or back); on error a part may read as zeros. Never
 * waits.
 */
MHP_MUST_CHECK int mhp_region_purge(struct mhp_region *region, void *start, uint64_t size);

/**
 * Keep [@start, @start + @size) from going to a device or coming back, for memory that was handed
 * to direct I/O. Pins nest. Ordinary memory in `ram` stays where it is anyway, so that a pin does
 * not keep its block.
 * Return: 0, MHP_EINVAL, MHP_ENOSPC (1024 pins a pool).
 */
MHP_MUST_CHECK int mhp_region_pin(struct mhp_region *region, void *start, uint64_t size);

/** Undo one pin of exactly this range. MHP_ENOENT. */
int mhp_region_unpin(struct mhp_region *region, void *start, uint64_t size);

/**
 * Move the memory of a range to a node while it is in use, in windows of 2 MiB.
 *
 * Pages that are on the node already stay. Pages that go to a device or come from one are copied;
 * the kernel moves RAM of another NUMA node; all other pages only get new numbers in the pool.
 *
 * @ret_moved: pages of 4 KiB that moved, also on error; may be NULL.
 * Return: 0, MHP_EINVAL (the range), MHP_ENODEV, MHP_ENOMEM (no room on the node), MHP_EBUSY
 * (pinned, locked, protected; or only part of a window is in use and the node takes whole ones),
 * MHP_EOPNOTSUPP (others map this region), MHP_EAGAIN (the engine is moving it just now), or why
 * there is no companion. Windows before the one that failed have moved.
 */
MHP_MUST_CHECK int mhp_region_move(struct mhp_region *region, void *start, uint64_t size,
				   unsigned node, uint64_t *ret_moved, struct mhp_text *reterr);

/** Tiering: used memory comes to nearer nodes, unused memory goes to farther ones. */
struct mhp_tiering {
	bool on;
	uint64_t bytes_per_s;      /* that may move, up and down together; 0: 64 MiB */
	uint32_t look_permille;    /* thousandths of one CPU that looking may take; 0: 15 */
};

/**
 * Start or end a task in the companion that observes which windows of 2 MiB are used and moves
 * them between the nodes of the pool. Off at first, and in forked children.
 *
 * A look needs no privilege and blocks nobody. Windows change places when the far one is used
 * half as much again as the near one; they go down when they are not used at all and their node is
 * almost full. A window that is used in a few places goes in pieces of 64 KiB, where no node has
 * larger pages. Regions whose policy is interleave or bind stay as they are; so do windows that
 * may not move, as with mhp_region_move(). Each decision is a TIER event with its reason.
 * Return: 0, MHP_EINVAL, or why there is no companion.
 */
MHP_MUST_CHECK int mhp_pool_set_tiering(struct mhp_pool *pool, const struct mhp_tiering *how,
					struct mhp_text *reterr);
void mhp_pool_get_tiering(struct mhp_pool *pool, struct mhp_tiering *ret_how);

/** What tiering has found and done. */
struct mhp_tiering_stats {
	uint64_t looks;            /* windows that were looked at */
	uint64_t moved_pages;      /* of 4 KiB, up and down */
	uint64_t refused;          /* moves that could not be made: TIER events say why */
	uint64_t look_cpu_ns, move_cpu_ns;
	struct {
		uint64_t hot_bytes;  /* of windows that the last look found used */
		uint64_t cold_bytes; /* and unused; the rest was not looked at yet */
		uint64_t uses_per_s; /* estimate, of all that was looked at */
	} node[MHP_POOL_NODES];
};

/** Cost: follows the number of windows in use. Context: takes the region mutex; any thread. */
void mhp_pool_get_tiering_stats(struct mhp_pool *pool, struct mhp_tiering_stats *ret_stats);

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
/** One word for a kind; never NULL. */
const char *mhp_outside_name(enum mhp_outside_kind kind);

#ifdef __cplusplus
}
#endif
#endif
