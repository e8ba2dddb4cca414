/* SPDX-License-Identifier: MIT */
/*
 * instance.h - struct mhp: everything an instance owns, and small helpers about its shape.
 *
 * Each field says which lock guards it; "const" means that only init writes it. A layer reaches
 * into its own part only; the parts are named after the files that own them. A name that ends in 1
 * (zone_id1, arena1) is one more than the number it stands for, so that 0 is "none".
 */
#ifndef MHP_CORE_INSTANCE_H
#define MHP_CORE_INSTANCE_H

#include <memplug/cache.h>
#include <memplug/mhp.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/bitset.h"
#include "base/lock.h"
#include "state/slots.h"
#include "state/work.h"

/* The descriptor of a frame: one word, all-zero unless it is the first frame of an allocated page
 * (INV 9). Its parity is odd when it is not zero, so that a flipped bit is noticed (INV 10). It is
 * read and written as a whole, so a reader sees owner, order and cookie of one moment. */
#ifndef MHP_PAGE_BYTES
#define MHP_PAGE_BYTES MHP_DESCRIPTOR_BYTES
#endif
struct mhp__page {
	_Atomic uint64_t word;         /* owner 0-5, order 6-9, parity 10, cookie 11-63 */
#if MHP_PAGE_BYTES > MHP_DESCRIPTOR_BYTES
	unsigned char pad[MHP_PAGE_BYTES - MHP_DESCRIPTOR_BYTES]; /* some test builds */
#endif
};
_Static_assert(sizeof(struct mhp__page) == MHP_PAGE_BYTES, "descriptor size");
_Static_assert(sizeof(uint64_t) == MHP_DESCRIPTOR_BYTES, "all of it, as ports are told");

#define MHP_NODE_ZONES 2U /* NORMAL and MOVABLE, in this order */
#define MHP_ZONES_MAX (MHP_NODES_MAX * MHP_NODE_ZONES)

struct mhp__zone {
	struct mhp__spin lock;
	_Atomic uint32_t lists;        /* those that are not empty; written under the zone lock */
	uint32_t first[MHP_LISTS];      /* zone lock: arena + 1; lists are rings */
	_Atomic int64_t nr_free;       /* of all arenas, less what caches have in nr_given */
	/* a line that every allocation reads, and that only hotplug writes */
	_Alignas(64) _Atomic uint64_t managed; /* written under the hotplug lock, read without */
	_Atomic uint64_t start_pfn, end_pfn; /* hotplug lock: spanned; read without by searches */
	_Atomic uint64_t next_pfn;     /* hint: after the last range that was taken (contig.c) */
	uint64_t present;              /* hotplug lock */
	uint32_t nr_blocks;            /* hotplug lock */
	uint8_t node, kind;            /* const */
	uint16_t zero;
};

struct mhp__owner {                     /* hotplug lock; read without while a page of it exists */
	const struct mhp_movable_ops *ops;
	void *ctx;
	mhp_owner_lost_fn *lost;       /* for recovery; NULL: the owner cannot be asked */
	char name[MHP_OWNER_NAME_MAX + 1U];
};

struct mhp__listener {                  /* hotplug lock */
	mhp_listener_fn *fn;           /* NULL: free */
	void *ctx;
	int priority;
	uint32_t order;                /* of registration */
	char name[MHP_OWNER_NAME_MAX + 1U];
};

struct mhp {
	/* const, read on the hot path */
	struct mhp_geometry geo;
	uint8_t arena_order;           /* min(block_order, pageblock_order + 6) */
	uint8_t pageblock_words_shift; /* log2 words of a pageblock's bitmap */
	uint16_t nr_zones;
	uint32_t nr_arenas;
	uint64_t block_mask, arena_mask; /* the pages of a block and of an arena, less one */
	struct mhp__block *blocks;
	struct mhp__arena *arenas;
	struct mhp__page *vmemmap;      /* vmemmap model */
	struct mhp_cache *caches;      /* [zone][cpu] */
	size_t zone_caches_bytes;      /* of one zone, all CPUs */
	struct mhp__zone *zones;        /* [node][kind] */
	unsigned char *direct_map;
	uint8_t *zonelist;             /* [node][movable][2 * nr_nodes]: zone ids by preference */
	_Atomic uint64_t owners_live;  /* bit per owner; written under the hotplug lock */
	_Atomic uint64_t owners_movable;

	/* const */
	const struct mhp_port_ops *ops;
	void *port;
	struct mhp_port_caps caps;
	void (*trace)(void *ctx, const struct mhp_event *event);
	void *trace_ctx;
	size_t footprint_bytes;
	uint32_t block_meta_pages;     /* metadata of a block, in pages, without port's tables */
	uint32_t const_check;          /* over all const fields */

	/* the hotplug lock's own state */
	_Atomic uint64_t lock_owner;   /* port's self() of the holder, or 0 */
	_Atomic uint32_t still;        /* 1: the holder changes nothing that readers see */
	_Atomic uint32_t readers[2];   /* threads that read without the lock: [1] those that may
					  be killed while others go on, [0] the others */
	struct mhp__spin nest;         /* held by the one reader that may begin to read again */
	_Atomic uint64_t between;      /* self() of that reader, or 0 */
	_Atomic uint64_t change_lost;  /* 1: a killed thread left a change half done; no other
					  begins before mhp_change_lost() has ended it */

	/* hotplug lock */
	struct mhp__owner owners[MHP_OWNERS_MAX];
	struct mhp__listener listeners[MHP_LISTENERS_MAX];
	uint32_t listener_seq, nr_listeners;
	uint32_t tables_check;         /* mhp__tables_seal(): owners, listeners, policy, bad */
	struct mhp_policy policy;
	_Atomic uint32_t memmap_switch; /* enum mhp_memmap_switch; read without it, too */
	uint32_t nr_bad;
	uint64_t *bad;                 /* sorted pfns, geo.nr_bad_pages of them */
	struct mhp__bitset runs;        /* block starts a run of like blocks (INV 3) */
	struct mhp__bitset leaving;     /* scratch of offline and remove: empty between calls */
	struct mhp__bitset removing;    /* the same: those of them that are removed, too */
	_Atomic uint8_t *cpu_node;     /* [cpu]; read and written without the lock */
	_Atomic uint32_t generation;   /* of the last add; read without the lock */
	uint32_t generation_check;     /* mhp__generation_checksum() */
	uint64_t event_seq;
	uint64_t event_counts[MHP_EV_KINDS];
	/* of the operation under way (trace.h); all 0 between two */
	uint64_t phase_mark_ns;
	uint64_t phase_ns[MHP_PHASES];
	_Atomic uint64_t pages_moved;  /* read while it changes (hotplug.h) */
	uint64_t auto_online_retries;
	uint32_t blocks_present, blocks_online;
	uint64_t meta_bytes;
	_Atomic uint8_t node_states[MHP_NODES_MAX]; /* read without the lock */

	struct mhp__work work;         /* the change under way (work.h) */
};

/* ---- shape ---- */

#ifdef MHP_PORT_PAGEBLOCK_ORDER
#define MHP_PAGEBLOCK_ORDER(m) ((void)(m), (unsigned)MHP_PORT_PAGEBLOCK_ORDER)
#else
#define MHP_PAGEBLOCK_ORDER(m) ((unsigned)(m)->geo.pageblock_order)
#endif

static inline uint64_t
mhp__block_pages(const struct mhp *m)
{
	return UINT64_C(1) << m->geo.block_order;
}

static inline uint64_t
mhp__section_pages(const struct mhp *m)
{
	return UINT64_C(1) << m->geo.section_order;
}

static inline uint64_t
mhp__arena_pages(const struct mhp *m)
{
	return UINT64_C(1) << m->arena_order;
}

static inline uint64_t
mhp__page_bytes(const struct mhp *m)
{
	return UINT64_C(1) << m->geo.page_shift;
}

static inline uint64_t
mhp__max_pfn(const struct mhp *m)
{
	return (uint64_t)m->geo.nr_blocks << m->geo.block_order;
}

/* Has the address range these blocks? Return: 0, MHP_EINVAL (none), MHP_ENXIO (not all). */
MHP_MUST_CHECK int mhp__blocks_check(const struct mhp *m, struct mhp_blocks blocks);

static inline uint64_t
mhp__block_start(const struct mhp *m, uint32_t block)
{
	MHP_ASSERT_DEBUG(block <= m->geo.nr_blocks); /* after the last: where a loop ends */
	return (uint64_t)block << m->geo.block_order;
}

static inline uint32_t
mhp__pfn_block(const struct mhp *m, uint64_t pfn)
{
	MHP_ASSERT_DEBUG(pfn <= mhp__max_pfn(m));
	return (uint32_t)(pfn >> m->geo.block_order);
}

static inline uint32_t
mhp__pfn_arena(const struct mhp *m, uint64_t pfn)
{
	MHP_ASSERT_DEBUG(pfn <= mhp__max_pfn(m));
	return (uint32_t)(pfn >> m->arena_order);
}

static inline struct mhp_phys
mhp__pfn_phys(const struct mhp *m, uint64_t pfn)
{
	return (struct mhp_phys){ pfn << m->geo.page_shift };
}

static inline unsigned
mhp__node_states(const struct mhp *m, unsigned node)
{
	MHP_ASSERT_DEBUG(node < m->geo.nr_nodes);
	return atomic_load_explicit(&m->node_states[node], memory_order_relaxed);
}

/* Is it one of the zones that a node has? */
static inline bool
mhp__zone_exists(unsigned kind)
{
	return kind == MHP_ZONE_NORMAL || kind == MHP_ZONE_MOVABLE;
}

static inline struct mhp__zone *
mhp__zone(const struct mhp *m, unsigned node, unsigned kind)
{
	MHP_ASSERT_DEBUG(node < m->geo.nr_nodes);
	MHP_ASSERT_DEBUG(mhp__zone_exists(kind));
	return &m->zones[node * MHP_NODE_ZONES + kind - MHP_ZONE_NORMAL];
}

static inline unsigned
mhp__zone_id(const struct mhp *m, const struct mhp__zone *zone)
{
	MHP_ASSERT_DEBUG(zone >= m->zones);
	MHP_ASSERT_DEBUG(zone < m->zones + m->nr_zones);
	return (unsigned)(zone - m->zones);
}

static inline unsigned
mhp__arena_pageblocks(const struct mhp *m)
{
	MHP_ASSERT_DEBUG(m->arena_order - MHP_PAGEBLOCK_ORDER(m) <= 6U); /* a set is one word */
	return 1U << (m->arena_order - MHP_PAGEBLOCK_ORDER(m));
}

/* One bit for each pageblock that the arena has. */
static inline uint64_t
mhp__arena_mask(const struct mhp *m)
{
	return UINT64_MAX >> (64U - mhp__arena_pageblocks(m));
}

static inline uint32_t
mhp__arena_index(const struct mhp *m, const struct mhp__arena *arena)
{
	MHP_ASSERT_DEBUG(arena >= m->arenas);
	MHP_ASSERT_DEBUG(arena < m->arenas + m->nr_arenas);
	return (uint32_t)(arena - m->arenas);
}

static inline uint64_t
mhp__arena_start(const struct mhp *m, const struct mhp__arena *arena)
{
	return (uint64_t)mhp__arena_index(m, arena) << m->arena_order;
}

/* The first frame of the arena after pfn's. */
static inline uint64_t
mhp__arena_next(const struct mhp *m, uint64_t pfn)
{
	return (pfn | m->arena_mask) + 1;
}

/* The bit of pfn's pageblock in the sets of its arena. */
static inline uint64_t
mhp__pageblock_bit(const struct mhp *m, uint64_t pfn)
{
	return UINT64_C(1) << ((pfn & m->arena_mask) >> MHP_PAGEBLOCK_ORDER(m));
}

/* For assertions: does this thread hold the hotplug lock? */
static inline bool
mhp__hotplug_is_mine(const struct mhp *m)
{
	return atomic_load_explicit(&m->lock_owner, memory_order_relaxed) ==
	       m->ops->self(m->port);
}

#endif
