/* SPDX-License-Identifier: MIT */
/*
 * block.h - memory blocks: add, online, offline, remove, look.
 *
 * A block is the unit that comes and goes. An add makes it exist (OFFLINE), online gives its usable
 * part to the allocator, offline moves its contents elsewhere and takes that part back, a removal
 * ends its existence. Every call is all or nothing, however many blocks it names.
 *
 * Changes name blocks by runs of their indexes (struct mhp_blocks). mhp_span_blocks() translates a
 * range of addresses, as firmware and devices name memory.
 *
 * Context, unless a function says otherwise: takes the hotplug lock and may sleep; MHP_EDEADLK from
 * a listener, an owner's function or a trace function.
 */
#ifndef MEMPLUG_BLOCK_H
#define MEMPLUG_BLOCK_H

#include <memplug/memmap.h>
#include <memplug/work.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The blocks of a range of addresses, whether they are present or not.
 *
 * Never waits. Context: any.
 * Return: 0, MHP_EINVAL (empty, or a part of a block), MHP_EOVERFLOW (wraps at the top address),
 * MHP_ENXIO (out of range).
 */
MHP_MUST_CHECK int mhp_span_blocks(const struct mhp *m, struct mhp_span span,
				   struct mhp_blocks *ret_blocks);

/** Where the metadata of a block lies. */
enum mhp_placement {
	MHP_PLACE_SELF = 0,        /* in its own first pages */
	MHP_PLACE_NODE = 1,        /* in pages of another online block of a given node */
	MHP_PLACE_EXTERNAL = 2,    /* in existing memory of the port's */
};

enum {
	/** Host the metadata in the block where possible, else fall back to external and say why.
	 * This is decided for each block by itself. */
	MHP_MEMMAP_ON_MEMORY = 1U << 0,
	/** With MHP_MEMMAP_ON_MEMORY: fail rather than fall back for any block. */
	MHP_MEMMAP_REQUIRE = 1U << 1,
	/** Metadata goes to pages of metadata_node; fails rather than falls back. */
	MHP_MEMMAP_ON_NODE = 1U << 2,
	/** A boot block: memory that was there before the engine. Never has a reserve. */
	MHP_ADD_BOOT = 1U << 3,
	/** The memory is known to hold zeros: descriptors need no clearing at first use. */
	MHP_ADD_ZEROED = 1U << 4,
	/** Write and read back patterns before the range is trusted. */
	MHP_ADD_TEST = 1U << 5,
	/** Come online in the same call; without it the auto-online policy decides. */
	MHP_ADD_ONLINE = 1U << 6,
	/** Stay offline whatever the auto-online policy says. */
	MHP_ADD_OFFLINE = 1U << 7,
};

struct mhp_add_opts {
	uint32_t flags;            /* MHP_MEMMAP_*, MHP_ADD_* */
	uint8_t node;              /* the node that the memory belongs to */
	uint8_t metadata_node;     /* with MHP_MEMMAP_ON_NODE */
	uint8_t zone;              /* for MHP_ADD_ONLINE: enum mhp_zone_kind */
	uint16_t backing;          /* the caller's word, kept with each block */
	uint32_t deadline_ms;      /* 0: MHP_DEADLINE_MS_DEFAULT; a large MHP_ADD_TEST needs more */
};

/**
 * The options that most callers want: metadata in the block itself, falling back to existing
 * memory, and the block online at once, for pages that can move:
 * struct mhp_add_opts opts = MHP_ADD_OPTS_DEFAULT.
 */
#define MHP_ADD_OPTS_DEFAULT                                                                       \
	{ .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE }

/** The result of an add, or, on failure, the obstacle. */
struct mhp_add_answer {
	struct mhp_blocks blocks;  /* added */
	uint32_t nr_self;          /* of them: blocks that host their own metadata */
	enum mhp_placement placement; /* where that of the others is; SELF: there are none */
	enum mhp_memmap_reason reason; /* why those do not host it; MHP_MEMMAP_OK: all do */
	uint32_t nr_vmemmap_pages; /* reserve of each block that hosts it; 0: none does */
	uint8_t metadata_node;     /* where the metadata of the first block came from */
	int online_error;          /* auto-online: 0, or why the blocks stayed offline */
	struct mhp_span conflict;  /* EEXIST: the first range that is there; EIO, EHWPOISON: the
				      first such page */
};

/**
 * Add memory: make its blocks exist, each with its own metadata, OFFLINE.
 *
 * @blocks: all absent. It is one run, because @opts and the answer are about all of it; a plan
 *          (plan.h) adds several as one change.
 * @opts: NULL is all zero: external metadata, node 0.
 * @ret_answer: written on success and on failure; may be NULL.
 *
 * With MHP_ADD_ONLINE, an add whose blocks cannot come online removes them again. An auto-online
 * (policy.h) that fails leaves them OFFLINE and says so in online_error.
 *
 * Cost: O(1) per block; a self-hosted add of zeroed memory writes nothing into it.
 * Return: 0, MHP_EINVAL, MHP_ENXIO (out of range), MHP_EEXIST, MHP_ENODEV, MHP_ENOMEM (no
 * metadata), MHP_EOPNOTSUPP (REQUIRE and it cannot), MHP_EPERM (REQUIRE and switched off), MHP_EIO
 * (test pattern), MHP_EHWPOISON (REQUIRE and a bad page is where a reserve goes), MHP_EAGAIN (the
 * deadline), MHP_ECANCELED, MHP_EINTR, MHP_EDEADLK, the port's error, or with MHP_ADD_ONLINE what
 * mhp_online() returns. On any error nothing has changed.
 */
MHP_MUST_CHECK int mhp_add(struct mhp *m, struct mhp_blocks blocks,
			   const struct mhp_add_opts *opts, struct mhp_add_answer *ret_answer);

/** Why something could not leave (or come). The first cause found; see mhp_cause_text(). */
enum mhp_cause {
	MHP_CAUSE_NONE,
	MHP_CAUSE_STATE,           /* a block is not in the state that the call needs */
	MHP_CAUSE_UNMOVABLE,       /* a page whose owner cannot move it */
	MHP_CAUSE_REFUSED,         /* its owner will not move it now (pinned, in use) */
	MHP_CAUSE_MIGRATE,         /* its owner tried and failed */
	MHP_CAUSE_ROOM,            /* no free page of that order to move it to */
	MHP_CAUSE_IN_FLIGHT,       /* a frame on its way into use never arrived */
	MHP_CAUSE_LISTENER,        /* a listener said no */
	MHP_CAUSE_DEADLINE,
	MHP_CAUSE_CANCELED,
	MHP_CAUSE_RAM,             /* the port says that this is not RAM */
	MHP_CAUSE_POLICY,
	MHP_CAUSE_INTERRUPTED,     /* it gave way to mhp_interrupt_begin() */
};

/** The words for enum mhp_cause; never NULL. Context: any. */
const char *mhp_cause_text(enum mhp_cause cause);

#define MHP_WHY_OWNERS 8U
#define MHP_WHY_TEXT 96U

/** The explanation. Counts cover all blocks of the call. */
struct mhp_why {
	enum mhp_cause cause;
	uint32_t block;            /* of the first blocker, or the one in the wrong state */
	uint64_t pfn;              /* first blocking page, or MHP_PFN_NONE */
	uint8_t order;
	uint16_t owner;
	uint16_t listener;         /* MHP_CAUSE_LISTENER: its id */
	uint64_t nr_movable;       /* frames in use that can move */
	uint64_t nr_unmovable;     /* frames in use that cannot */
	uint64_t nr_bad;           /* frames with memory errors; these do not block */
	uint64_t room_missing;     /* MHP_CAUSE_ROOM: frames of that order that were missing */
	struct {
		uint16_t owner;
		uint64_t nr_pages;     /* blocking frames */
		uint64_t first_pfn;
	} owners[MHP_WHY_OWNERS];  /* every blocking owner, in order of first frame */
	uint8_t nr_owners;
	bool more_owners;          /* there were more than fit */
	char text[MHP_WHY_TEXT];   /* the owner's description of the first blocker, or the
					listener's name */
};

/** Bounds of an offline. Zero means the default named here, never "for ever". */
struct mhp_offline_opts {
	uint32_t deadline_ms;      /* 0: MHP_DEADLINE_MS_DEFAULT; of a dry run, too */
	uint32_t attempts_max;     /* passes over the range without a page moved; 0: 16 */
	bool dry_run;              /* only answer: isolate, move and tell nothing */
	bool scrub;                /* mhp_remove(): zero the memory before it goes; within the
				      bounds, but for frames that held metadata */
	bool offline_only;         /* mhp_remove(): refuse a block that is online with MHP_EBUSY */
	uint64_t to_nodes;         /* nodes that pages may move to, a bit each; 0: all, the own
				      one first */
	uint64_t as_of;            /* mhp_generation() when the caller looked: MHP_ENODEV where a
				      block of that number was added since; 0: whichever is there */
};

#define MHP_OFFLINE_ATTEMPTS 16U

/** How blocks come online. */
struct mhp_online_opts {
	uint32_t deadline_ms;      /* 0: MHP_DEADLINE_MS_DEFAULT */
	uint8_t zone;              /* enum mhp_zone_kind; 0: the policy's choice */
	uint64_t as_of;            /* as for mhp_offline_opts */
};

/**
 * Bring blocks online: give their usable pages to a zone of their node.
 *
 * @sets:       runs of blocks, nr_sets of them, in any order, all offline, none twice.
 * @opts:       zone and bound; NULL for the defaults.
 * @reterr_why: on failure the cause; untouched on success. May be NULL.
 *
 * Cost: O(1) memory per block. Allocates nothing. Bad pages are skipped.
 * Return: 0, MHP_ENOENT (absent), MHP_ENODEV (younger than as_of), MHP_EBUSY (not offline),
 * MHP_EINVAL (named twice, empty, no such zone), MHP_ENXIO (out of range), MHP_EPERM (the policy
 * foresees an imbalance), MHP_EAGAIN (the deadline), MHP_ECANCELED, MHP_EINTR, MHP_EDEADLK, a
 * listener's or the port's error. On any error nothing has changed.
 */
MHP_MUST_CHECK int mhp_online(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
			      const struct mhp_online_opts *opts, struct mhp_why *reterr_why);

/** mhp_online() of one block. */
MHP_MUST_CHECK int mhp_block_online(struct mhp *m, uint32_t block,
				    const struct mhp_online_opts *opts, struct mhp_why *reterr_why);

/**
 * Take blocks out of use: isolate all, reserve room, move all pages away, mark them offline.
 *
 * @sets:       runs of blocks, nr_sets of them, in any order, all online, none twice. Data of one
 *              is never moved into another.
 * @opts:       bounds; NULL for the defaults.
 * @reterr_why: on failure the cause and the first blocking page; untouched on success. May be NULL.
 *
 * Return: 0, MHP_ENOENT (absent), MHP_ENODEV (younger than as_of), MHP_EINVAL (named twice, empty),
 * MHP_ENXIO (out of range), MHP_EBUSY (not online, or a page cannot move), MHP_ETXTBSY (nor before
 * another process ends), MHP_EAGAIN (a bound was reached), MHP_ENOMEM (no room to move to),
 * MHP_ECANCELED, MHP_EINTR, MHP_EDEADLK, a listener's or an owner's error. On any error every block
 * is online again and every page is where its owner expects it; pages that had moved stay moved.
 */
MHP_MUST_CHECK int mhp_offline(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
			       const struct mhp_offline_opts *opts, struct mhp_why *reterr_why);

/** mhp_offline() of one block. */
MHP_MUST_CHECK int mhp_block_offline(struct mhp *m, uint32_t block,
				     const struct mhp_offline_opts *opts,
				     struct mhp_why *reterr_why);

/**
 * Move all pages out of blocks. The blocks stay online and are in use again once this returns.
 *
 * @sets: as for mhp_offline(); nothing moves into these blocks while this runs.
 * @opts: as for mhp_offline(); to_nodes says where the pages go.
 *
 * No listener is asked. Tells a MOVE event, or MOVE_FAILED.
 * Return: what mhp_offline() returns. On an error pages that had moved stay moved.
 */
MHP_MUST_CHECK int mhp_empty(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
			     const struct mhp_offline_opts *opts, struct mhp_why *reterr_why);

/**
 * Remove blocks: all named are gone, or none is.
 *
 * @sets: runs of blocks, nr_sets of them, in any order, none twice. A run may have gaps of absent
 *        blocks, so that one run removes all there is, but it must have a block that is there.
 *        Self-hosted, external and boot blocks may be mixed, whatever adds they came from. Blocks
 *        that are online are taken offline first, all or none, or are refused.
 *
 * Return: 0, or what mhp_offline() returns, MHP_ENOENT (nothing there), MHP_EBUSY (also: the block
 * holds the metadata of another that stays; with offline_only: it is online). On any error nothing
 * has changed.
 */
MHP_MUST_CHECK int mhp_remove(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
			      const struct mhp_offline_opts *opts, struct mhp_why *reterr_why);

/** Everything that is known about one block. */
struct mhp_block_info {
	uint32_t block;
	uint32_t generation;       /* which add brought it: adds are numbered from 1 (R69) */
	struct mhp_span span;
	enum mhp_block_state state;
	uint8_t zone;              /* enum mhp_zone_kind; MHP_ZONE_DEFAULT unless online */
	uint8_t node;
	uint16_t backing;
	bool boot;
	enum mhp_placement placement;
	uint8_t metadata_node;
	uint64_t metadata_bytes;   /* everything that exists because this block does */
	uint32_t nr_vmemmap_pages; /* the reserve; 0 unless self-hosted */
	uint32_t waste_bytes;      /* of the reserve: metadata ends where a page ends */
	uint32_t nr_large_mappings; /* of the memmap (vmemmap model) */
	uint32_t nr_base_mappings;
	uint32_t nr_bad_pages;
	struct mhp_altmap altmap;
	uint64_t used_bytes;       /* online: not free; frames in per-CPU caches count as used */
	uint64_t free_bytes;
};

/**
 * The number of the last add. A block whose generation exceeds an earlier answer was added after
 * it: it is another block than the one that had its index then. Never waits. Context: any.
 */
uint32_t mhp_generation(const struct mhp *m);

/**
 * Look at one block. An absent block is not an error: state says so.
 * Context: any thread, also listeners and owners' functions.
 * Return: 0, or MHP_ENXIO (out of range).
 */
MHP_MUST_CHECK int mhp_block_get(struct mhp *m, uint32_t block, struct mhp_block_info *ret_info);

/**
 * Find the blocks from @block on that are like it: same state, zone, node, placement and backing.
 * A listing by ranges costs as many calls as there are ranges.
 *
 * @ret_blocks: [block, first block that differs).
 *
 * Context: any thread, also listeners and owners' functions.
 * Return: 0, or MHP_ENXIO (past the last block: the end of an iteration).
 */
MHP_MUST_CHECK int mhp_range_get(struct mhp *m, uint32_t block, struct mhp_blocks *ret_blocks);

/**
 * The sums of the used and free bytes that mhp_block_get() says of blocks. Blocks that are not in
 * use have neither.
 *
 * Cost: O(1) for like blocks (mhp_range_get()) that are offline or absent, or all of their zone;
 * else one cache line for each block and arena, which is milliseconds for half a million.
 * Context: any thread, also listeners and owners' functions.
 * Return: 0, MHP_EINVAL (none), MHP_ENXIO (out of range).
 */
MHP_MUST_CHECK int mhp_range_usage(struct mhp *m, struct mhp_blocks blocks,
				   uint64_t *ret_used_bytes, uint64_t *ret_free_bytes);

#ifdef __cplusplus
}
#endif
#endif
