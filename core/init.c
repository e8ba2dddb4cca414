/* SPDX-License-Identifier: MIT */
/*
 * init.c - the life of an instance: its footprint, its start, its end.
 *
 * The caller's memory is cut into the parts that layout() lists, in that order, each on a cache
 * line of its own. init touches the parts whose size depends on the number of nodes and CPUs. It
 * leaves the two arrays of slots, whose size depends on the address range, as the zeros they are,
 * so that an instance for 64 TiB starts in microseconds and grows as blocks come.
 */
#include "state/instance.h"

#include "base/mem.h"
#include "memmap/memmap.h"
#include "state/hotplug.h"
#include "state/seal.h"
#include "tables/owner.h"

/* Where each part of the footprint begins, in bytes. */
struct layout {
	size_t zones, caches, blocks, arenas, zonelist, bad, runs, leaving, removing, cpu_node, end;
};

/* An arena has 64 pageblocks, so that a set of them is one word, or what a smaller block has. */
static unsigned
arena_order(const struct mhp_geometry *geo)
{
	unsigned order = geo->pageblock_order + 6U;

	MHP_ASSERT_DEBUG(geo->pageblock_order <= geo->block_order);
	return order < geo->block_order ? order : geo->block_order;
}

static unsigned
log2_up(uint64_t n)
{
	unsigned order = 0;

	MHP_ASSERT_DEBUG(n != 0);
	MHP_ASSERT_DEBUG(n <= UINT64_C(1) << 62);
	while ((UINT64_C(1) << order) < n)
		order++;
	return order;
}

static bool
orders_fit(const struct mhp_geometry *geo)
{
	if (geo->page_shift < 6 || geo->page_shift > 16)
		return false;
	if (geo->pageblock_order < 1 || geo->pageblock_order > MHP_PAGEBLOCK_ORDER_MAX)
		return false;
#ifdef MHP_PORT_PAGEBLOCK_ORDER /* the hot path was compiled for this one */
	if (geo->pageblock_order != MHP_PORT_PAGEBLOCK_ORDER)
		return false;
#endif
	return geo->pageblock_order <= geo->section_order &&
	       geo->section_order <= geo->block_order && geo->block_order <= 30;
}

static bool
geometry_fits(const struct mhp_geometry *geo)
{
	if (!orders_fit(geo))
		return false;
	if (geo->nr_nodes < 1 || geo->nr_nodes > MHP_NODES_MAX)
		return false;
	if (geo->nr_cpus < 1 || geo->nr_cpus > MHP_CPUS_MAX)
		return false;
	if (geo->nr_blocks < 1 || geo->nr_blocks > 1U << 24)
		return false;
	unsigned blocks_order = log2_up(geo->nr_blocks);
	/* Addresses stay below 2^63, and arena indexes below 2^31. */
	return blocks_order + geo->block_order + geo->page_shift <= 63 &&
	       blocks_order + geo->block_order - arena_order(geo) <= 30;
}

/* Append a part of nr elements to the footprint; returns where it begins. */
static size_t
part(size_t *end, size_t nr, size_t bytes_each)
{
	size_t begin = *end;

	MHP_ASSERT_DEBUG((begin & 63U) == 0);
	*end = (begin + nr * bytes_each + 63U) & ~(size_t)63;
	return begin;
}

static void
layout(const struct mhp_geometry *geo, struct layout *ret)
{
	size_t nr_zones = (size_t)geo->nr_nodes * MHP_NODE_ZONES;
	size_t nr_arenas = (size_t)geo->nr_blocks << (geo->block_order - arena_order(geo));
	size_t end = 0;

	(void)part(&end, 1, sizeof(struct mhp));
	ret->zones = part(&end, nr_zones, sizeof(struct mhp__zone));
	ret->caches = part(&end, nr_zones * geo->nr_cpus, sizeof(struct mhp_cache));
	ret->blocks = part(&end, geo->nr_blocks, sizeof(struct mhp__block));
	ret->arenas = part(&end, nr_arenas, sizeof(struct mhp__arena));
	ret->zonelist = part(&end, nr_zones * nr_zones, 1);
	ret->bad = part(&end, geo->nr_bad_pages, sizeof(uint64_t));
	ret->runs = part(&end, mhp__bitset_words(geo->nr_blocks), sizeof(uint64_t));
	ret->leaving = part(&end, mhp__bitset_words(geo->nr_blocks), sizeof(uint64_t));
	ret->removing = part(&end, mhp__bitset_words(geo->nr_blocks), sizeof(uint64_t));
	ret->cpu_node = part(&end, geo->nr_cpus, 1);
	ret->end = end;
}

int
mhp_footprint(const struct mhp_geometry *geometry, size_t *ret_bytes)
{
	struct layout parts;

	if (!geometry_fits(geometry))
		return MHP_EINVAL;
	layout(geometry, &parts);
	*ret_bytes = parts.end;
	return 0;
}

/* Optional parts are checked where they are used; without these there is no engine. */
static bool
config_complete(const struct mhp_config *config)
{
	const struct mhp_port_ops *ops = config->ops;

	if (ops == NULL)
		return false;
	if (!ops->map || !ops->unmap || !ops->meta_alloc || !ops->meta_free)
		return false;
	if (!ops->lock || !ops->unlock || !ops->self || !ops->now_ns || !ops->pause)
		return false;
	if (!MHP_VMEMMAP)
		return true;
	return config->vmemmap != NULL && ops->memmap_map && ops->memmap_unmap;
}

/* All nodes as seen from one: itself, then the others by distance. Nodes at the same distance, or
 * all where distances are not known, follow in a ring after it. */
static void
sort_nodes(const struct mhp *m, unsigned node, const uint8_t *distances,
	   uint8_t ret_nodes[MHP_NODES_MAX])
{
	unsigned nr = m->geo.nr_nodes;

	MHP_ASSERT_DEBUG(node < nr);
	MHP_ASSERT_DEBUG(nr <= MHP_NODES_MAX);
	/* Insertion keeps nodes of the same distance in the order of the ring, and node itself
	 * first, whatever the port says that its own distance is. */
	for (unsigned i = 0; i < nr; i++) {
		unsigned next = (node + i) % nr, at = i;
		const uint8_t *row = distances != NULL ? distances + node * nr : NULL;
		for (; row != NULL && at > 1 && row[ret_nodes[at - 1]] > row[next]; at--)
			ret_nodes[at] = ret_nodes[at - 1];
		ret_nodes[at] = (uint8_t)next;
	}
	MHP_ASSERT_DEBUG(ret_nodes[0] == node); /* nothing is nearer than itself */
}

/* Zones of one node in order of preference. */
static void
fill_zonelist(struct mhp *m, unsigned node, const uint8_t nodes[MHP_NODES_MAX], bool movable)
{
	unsigned at = 0;
	uint8_t *list = m->zonelist + (size_t)(node * 2U + movable) * m->nr_zones;

	for (unsigned i = 0; i < m->geo.nr_nodes; i++) {
		const struct mhp__zone *normal = mhp__zone(m, nodes[i], MHP_ZONE_NORMAL);
		/* Movable pages go to MOVABLE first: it is no obstacle there. Others must never
		 * come there. */
		if (movable)
			list[at++] = (uint8_t)mhp__zone_id(m, normal + 1);
		list[at++] = (uint8_t)mhp__zone_id(m, normal);
	}
	MHP_ASSERT_DEBUG(at <= m->nr_zones);
	while (at < m->nr_zones)
		list[at++] = UINT8_MAX;
}

static void
init_zones(struct mhp *m, const uint8_t *distances)
{
	uint8_t nodes[MHP_NODES_MAX];

	for (unsigned id = 0; id < m->nr_zones; id++) {
		m->zones[id].node = (uint8_t)(id / MHP_NODE_ZONES);
		m->zones[id].kind = (uint8_t)(MHP_ZONE_NORMAL + id % MHP_NODE_ZONES);
	}
	for (unsigned node = 0; node < m->geo.nr_nodes; node++) {
		sort_nodes(m, node, distances, nodes);
		fill_zonelist(m, node, nodes, false);
		fill_zonelist(m, node, nodes, true);
	}
}

/* False: this build's descriptors and this port's granules do not go together. */
static bool
init_shape(struct mhp *m)
{
	const struct mhp_geometry *geo = &m->geo;
	struct mhp_memmap_shape shape;
	struct mhp_memmap_answer answer;

	m->arena_order = (uint8_t)arena_order(geo);
	m->pageblock_words_shift =
		(uint8_t)(geo->pageblock_order > 6 ? geo->pageblock_order - 6 : 0);
	m->nr_zones = (uint16_t)(geo->nr_nodes * MHP_NODE_ZONES);
	m->nr_arenas = geo->nr_blocks << (geo->block_order - m->arena_order);
	m->block_mask = mhp__block_pages(m) - 1;
	m->arena_mask = mhp__arena_pages(m) - 1;
	m->zone_caches_bytes = geo->nr_cpus * sizeof(struct mhp_cache);
	shape = mhp_memmap_shape(m);
	(void)mhp_supports_memmap_on_memory(&shape, &answer);
	m->block_meta_pages = answer.nr_vmemmap_pages;
	if (MHP_VMEMMAP)
		m->block_meta_pages -= m->caps.tables_per_block;
	return answer.reason != MHP_MEMMAP_BAD_GEOMETRY;
}

int
mhp_init(void *memory, size_t size_bytes, const struct mhp_config *config, struct mhp **ret_m)
{
	struct layout parts;
	unsigned char *base = memory;
	struct mhp *m = memory;

	if (!geometry_fits(&config->geometry) || !config_complete(config))
		return MHP_EINVAL;
	if (((uintptr_t)memory & 63U) != 0)
		return MHP_EINVAL;
	layout(&config->geometry, &parts);
	if (size_bytes < parts.end)
		return MHP_ENOSPC;

	memset(m, 0, sizeof(*m));
	m->geo = config->geometry;
	m->ops = config->ops;
	m->port = config->port;
	m->caps = config->caps;
	m->direct_map = config->direct_map;
	m->vmemmap = config->vmemmap;
	m->trace = config->trace;
	m->trace_ctx = config->trace_ctx;
	m->footprint_bytes = parts.end;
	m->zones = (void *)(base + parts.zones);
	m->caches = (void *)(base + parts.caches);
	m->blocks = (void *)(base + parts.blocks);
	m->arenas = (void *)(base + parts.arenas);
	m->zonelist = base + parts.zonelist;
	m->bad = (void *)(base + parts.bad);
	m->cpu_node = (void *)(base + parts.cpu_node);
	mhp__bitset_init(&m->runs, (void *)(base + parts.runs), m->geo.nr_blocks);
	mhp__bitset_init(&m->leaving, (void *)(base + parts.leaving), m->geo.nr_blocks);
	mhp__bitset_init(&m->removing, (void *)(base + parts.removing), m->geo.nr_blocks);
	m->policy = (struct mhp_policy)MHP_POLICY_DEFAULT;
	m->memmap_switch = MHP_MEMMAP_ON;
	if (!init_shape(m)) {
		memset(m, 0, sizeof(*m)); /* the zeros that it was */
		return MHP_EINVAL;
	}
	init_zones(m, config->node_distances);
	mhp__owners_init(m);
	m->const_check = mhp__const_checksum(m);
	MHP_ASSERT_DEBUG(m->nr_zones <= MHP_ZONES_MAX);
	MHP_ASSERT_DEBUG(m->zonelist[0] < m->nr_zones);
	*ret_m = m;
	return 0;
}

int
mhp_fini(struct mhp *m)
{
	int err = m != NULL ? mhp__hotplug_lock(m) : 0;

	if (m == NULL || err != 0)
		return err;
	err = m->blocks_present == 0 ? 0 : MHP_EBUSY;
	mhp__hotplug_unlock(m);
	return err;
}

/* The killed thread may have left an event that is not counted, or a table that is not sealed. */
static void
mend_tables(struct mhp *m)
{
	uint64_t nr_events = 0;

	for (unsigned kind = 0; kind < MHP_EV_KINDS; kind++)
		nr_events += m->event_counts[kind];
	m->event_seq = nr_events;
	m->nr_listeners = 0;
	for (unsigned id = 0; id < MHP_LISTENERS_MAX; id++)
		m->nr_listeners += m->listeners[id].fn != NULL;
	mhp__tables_seal(m);
}

/* A target that has its owner's descriptor has left the room, even if the log does not say so yet.
 * From here on its owner may free it, so recovery.c must not take it for room. */
static void
mend_room(struct mhp *m)
{
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		_Atomic uint64_t *first = &m->work.log.room_pfn[order];
		uint64_t pfn = atomic_load(first);
		unsigned owner;

		if (pfn >= atomic_load(&m->work.log.room_end[order]))
			continue;
		owner = mhp__word_owner(mhp__page_word(mhp__pfn_to_page(m, pfn)));
		if (owner != MHP_OWNER_NONE && owner != MHP_OWNER_ROOM)
			mhp__log(first, pfn + (UINT64_C(1) << order));
	}
}

/* No other change begins before recovery.c has ended the one that is half done. Readers, and the
 * allocator, which never needs the lock, go on. */
void
mhp_lock_lost(struct mhp *m)
{
	mend_tables(m);
	if (atomic_load(&m->work.kind) != MHP_WORK_NONE) {
		mend_room(m);
		atomic_store(&m->change_lost, 1);
	} else {
		mhp__work_forget(m);
	}
	atomic_store(&m->lock_owner, 0);
}

/* In the child of a fork: the threads that read or waited are the parent's. */
void
mhp_forked(struct mhp *m)
{
	for (unsigned i = 0; i < 2; i++)
		atomic_store(&m->readers[i], 0);
	atomic_store(&m->between, 0);
	atomic_store(&m->nest.held, 0);
	atomic_store(&m->work.interrupts, 0);
}
